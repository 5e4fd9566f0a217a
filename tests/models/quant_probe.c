/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every switch of the quantizer is worth on real data, for quant_probe.py:
 *
 *     quant_probe MODEL.onnx PREPROCESS.json CALIB TEST N_TEST THREADS [--maps FOLDER] CONFIG...
 *
 * Calibrates once on all of CALIB, runs the float network once over N_TEST samples spread over TEST (0: all), then
 * quantizes and runs the integer engine once per CONFIG, a name followed by settings: "plain:eq=0,bc=0,range=0". Prints
 * one line per configuration: score, drop, agreement with float, signal to noise of the outputs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "data/dataset.h"
#include "float/engine.h"
#include "narrow/narrow.h"
#include "onnx/onnx.h"
#include "passes/passes.h"
#include "quant/quantize.h"

typedef struct probe {
    nw_model *model;
    nw_dataset *calib, *test;
    size_t n, total;                     /* samples used, spread evenly over all */
    size_t n_out, classes, positions;    /* outputs per sample = classes * positions */
    float *reference;                    /* [n, n_out] of the float network */
    nw_threads *threads;
} probe;

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static nw_status read_calib(void *context, int64_t index, float *const *inputs, nw_error *error)
{
    return nw_dataset_tensor(((probe *)context)->calib, (size_t)index, inputs[0], error);
}

static size_t best_of(const float *out, size_t classes, size_t positions, size_t at)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (out[c * positions + at] > out[best * positions + at])
            best = c;
    return best;
}

static size_t sample_of(const probe *p, size_t i)
{
    return i * p->total / p->n;
}

/* Accuracy in percent (mIoU with maps), and the share of equal decisions. */
typedef struct score {
    double value, agreement, sqnr;
} score;

typedef struct tally {
    uint64_t right, same, all;
    uint64_t both[256], mine[256], truth[256];
    double signal, noise;
} tally;

static void count_sample(tally *t, const probe *p, size_t i, const float *out, const uint8_t *map)
{
    const float *reference = p->reference + i * p->n_out;
    for (size_t at = 0; at < p->positions; at++) {
        const size_t best = best_of(out, p->classes, p->positions, at);
        t->same += best == best_of(reference, p->classes, p->positions, at);
        t->all++;
        if (map && map[at] != 255) {
            t->mine[best]++;
            t->truth[map[at]]++;
            t->both[best] += best == map[at];
        } else if (!map) {
            t->right += (int32_t)best == nw_dataset_label(p->test, sample_of(p, i)) + p->model->preprocess.class_offset;
        }
    }
    for (size_t j = 0; j < p->n_out; j++) {
        const double difference = (double)out[j] - (double)reference[j];
        t->signal += (double)reference[j] * (double)reference[j];
        t->noise += difference * difference;
    }
}

static score finish(const tally *t, bool maps)
{
    double value = 100.0 * (double)t->right / (double)t->all;
    if (maps) {
        double sum = 0.0;
        int n = 0;
        for (int c = 0; c < 256; c++)
            if (t->truth[c]) {
                sum += (double)t->both[c] / (double)(t->mine[c] + t->truth[c] - t->both[c]);
                n++;
            }
        value = 100.0 * sum / n;
    }
    return (score){value, 100.0 * (double)t->same / (double)t->all, 10.0 * log10(t->signal / (t->noise + 1e-30))};
}

static nw_status evaluate(probe *p, nw_engine *engine, bool maps, score *result, nw_error *error)
{
    const size_t size = nw_dataset_sample_size(p->test);
    float *values = malloc(size * sizeof(*values));
    uint8_t *pixels = malloc(size);
    uint8_t *map = malloc(p->positions);
    float *out = malloc(p->n_out * sizeof(*out));
    tally *t = calloc(1, sizeof(*t));
    nw_status status = values && pixels && map && out && t ? NW_OK : nw_fail_memory(error, "probing");
    const bool images = nw_dataset_has_images(p->test) && engine;
    for (size_t i = 0; !status && i < p->n; i++) {
        const nw_input input = {images ? NULL : values, images ? pixels : NULL};
        status = images ? nw_dataset_image(p->test, sample_of(p, i), pixels, error)
                        : nw_dataset_tensor(p->test, sample_of(p, i), values, error);
        if (!status && maps)
            status = nw_dataset_map(p->test, sample_of(p, i), map, error);
        if (!status && engine)
            status = nw_engine_run(engine, &input, &out, p->threads);
        if (!status)
            count_sample(t, p, i, engine ? out : p->reference + i * p->n_out, maps ? map : NULL);
    }
    if (!status)
        *result = finish(t, maps);
    free(values);
    free(pixels);
    free(map);
    free(out);
    free(t);
    return status;
}

static nw_status run_float(probe *p, nw_error *error)
{
    enum { BATCH = 8 };
    const size_t size = nw_dataset_sample_size(p->test);
    nw_float_engine *engine = NULL;
    float *values = calloc(BATCH * size, sizeof(*values));
    float *out = malloc(BATCH * p->n_out * sizeof(*out));
    p->reference = malloc(p->n * p->n_out * sizeof(*p->reference));
    nw_status status = values && out && p->reference ? nw_float_create(&engine, p->model, BATCH, error)
                                                     : nw_fail_memory(error, "probing");
    for (size_t i = 0; !status && i < p->n; i += BATCH) {
        const size_t n = p->n - i < BATCH ? p->n - i : BATCH;
        for (size_t j = 0; !status && j < n; j++)
            status = nw_dataset_tensor(p->test, sample_of(p, i + j), values + j * size, error);
        if (!status)
            status = nw_float_run(engine, (const float *const[]){values}, &out, error);
        if (!status)
            memcpy(p->reference + i * p->n_out, out, n * p->n_out * sizeof(*out));
    }
    nw_float_free(engine);
    free(values);
    free(out);
    return status;
}

static void set(nw_quantize_options *options, const char *key, double value)
{
    if (!strcmp(key, "w"))
        options->weight_bits = (int32_t)value;
    else if (!strcmp(key, "a"))
        options->activation_bits = (int32_t)value;
    else if (!strcmp(key, "range"))
        options->activation_range = (nw_range_method)(int)value;
    else if (!strcmp(key, "p"))
        options->percentile = value;
    else if (!strcmp(key, "wr"))
        options->weight_range = (nw_weight_method)(int)value;
    else if (!strcmp(key, "bc"))
        options->bias_correction = (nw_bias_correction)(int)value;
    else if (!strcmp(key, "eq"))
        options->equalize = value != 0.0;
    else if (!strcmp(key, "pow"))
        options->equalize_power = value;
    else if (!strcmp(key, "room"))
        options->equalize_room = value;
    else if (!strcmp(key, "lim"))
        options->limits = value != 0.0;
    else if (!strcmp(key, "margin"))
        options->limit_margin = value;
    else if (!strcmp(key, "floor"))
        options->limit_floor = value;
    else
        fprintf(stderr, "unknown setting %s\n", key);
}

static nw_status run_config(probe *p, const nw_calibration *calibration, char *text, bool maps, score floats,
                            nw_error *error)
{
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    char *settings = strchr(text, ':');
    if (settings)
        *settings++ = '\0';
    for (char *key = settings ? strtok(settings, ",") : NULL; key; key = strtok(NULL, ",")) {
        char *value = strchr(key, '=');
        if (!value)
            continue;
        *value++ = '\0';
        set(&options, key, strtod(value, NULL));
    }
    nw_model *integer = NULL;
    nw_engine *engine = NULL;
    score s = {0};
    const double start = now();
    nw_status status = nw_quantize(&integer, p->model, calibration, &options, error);
    const double quantized = now();
    nw_float_release_threads();
    if (!status)
        status = nw_engine_create(&engine, integer, NULL, error);
    if (!status)
        status = evaluate(p, engine, maps, &s, error);
    if (!status)
        printf("%-28s %6.2f  drop %6.2f  agree %6.2f  sqnr %5.1f dB  quantize %.1f s, run %.1f s\n", text, s.value,
               floats.value - s.value, s.agreement, s.sqnr, quantized - start, now() - quantized);
    fflush(stdout);
    nw_engine_free(engine);
    nw_model_free(integer);
    return status;
}

static nw_status run(probe *p, char **argv, int n_configs, char **configs, const char *maps, nw_error *error)
{
    nw_bytes json = {0};
    nw_preprocess preprocess;
    nw_calibration *calibration = NULL;
    NW_TRY(nw_onnx_import(&p->model, argv[1], error));
    NW_TRY(nw_passes_run(p->model, error));
    NW_TRY(nw_bytes_read(&json, argv[2], 65536, error));
    char *text = calloc(json.size + 1, 1);
    if (!text)
        return nw_fail_memory(error, "probing");
    memcpy(text, json.data, json.size);
    nw_bytes_free(&json);
    nw_status status = nw_preprocess_parse(&preprocess, text, argv[2], error);
    free(text);
    NW_TRY(status);
    p->model->preprocess = preprocess;
    p->model->has_preprocess = true;
    NW_TRY(nw_dataset_open(&p->calib, argv[3], NULL, &preprocess, error));
    NW_TRY(nw_dataset_open(&p->test, argv[4], maps, &preprocess, error));
    const nw_tensor *output = &p->model->tensors[p->model->outputs[0]];
    p->n = p->total = nw_dataset_count(p->test);
    const size_t wanted = (size_t)strtoul(argv[5], NULL, 10);
    p->n = wanted && wanted < p->n ? wanted : p->n;
    p->n_out = nw_tensor_elements(output);
    p->classes = (size_t)nw_tensor_channels(output);
    p->positions = p->n_out / p->classes;
    const nw_sample_source source = {read_calib, p, (int64_t)nw_dataset_count(p->calib)};
    nw_calibrate_options options = NW_CALIBRATE_DEFAULTS;
    const double start = now();
    NW_TRY(nw_calibrate(&calibration, p->model, &source, &options, error));
    const double calibrated = now();
    score floats = {0};
    status = run_float(p, error);
    if (!status)
        status = evaluate(p, NULL, maps != NULL, &floats, error);
    if (!status)
        printf("%-28s %6.2f  (%zu samples, calibrated on %lld in %.1f s)\n", "float", floats.value, p->n,
               (long long)source.n_samples, calibrated - start);
    for (int i = 0; !status && i < n_configs; i++)
        status = run_config(p, calibration, configs[i], maps != NULL, floats, error);
    nw_calibration_free(calibration);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr,
                "usage: quant_probe MODEL.onnx PREPROCESS.json CALIB TEST N_TEST THREADS [--maps FOLDER] CONFIG...\n");
        return 2;
    }
    int first = 7;
    const char *maps = NULL;
    if (argc > 8 && !strcmp(argv[7], "--maps")) {
        maps = argv[8];
        first = 9;
    }
    nw_error error = {""};
    probe p = {0};
    const size_t threads = (size_t)strtoul(argv[6], NULL, 10);
    nw_float_set_threads((int32_t)threads);
    p.threads = threads > 1 ? nw_threads_create(threads) : NULL;
    const nw_status status = run(&p, argv, argc - first, argv + first, maps, &error);
    if (status)
        fprintf(stderr, "%s\n", error.message);
    nw_threads_free(p.threads);
    nw_dataset_free(p.calib);
    nw_dataset_free(p.test);
    nw_model_free(p.model);
    free(p.reference);
    return nw_status_exit_code(status);
}
