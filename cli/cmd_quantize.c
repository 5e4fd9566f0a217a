/* SPDX-License-Identifier: Apache-2.0 */
/* narrow quantize: a float ONNX network and calibration data in, a .nw file out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/data_options.h"
#include "cli/network.h"
#include "cli/plan_rows.h"
#include "cli/report.h"
#include "cli/shares.h"
#include "model/file.h"
#include "quant/quantize.h"

typedef struct quantize {
    const char *calib, *range, *weight_range, *bias_correction, *weight_method, *weight_book, *point_budget, *plan_path,
        *layer_bits, *tensor_bits;
    int64_t samples, threads, weights, acts, seed, border;
    bool json, equalize, limits;
    nw_data_options preprocess;
    nw_plan *plan;
    nw_model *model, *integer;
    nw_dataset *data;
    nw_calibration *calibration;
    nw_progress progress;
    double seconds;
} quantize;

static nw_status read_sample(void *context, int64_t index, float *const *inputs, nw_error *error)
{
    const nw_dataset *data = context;
    return nw_dataset_tensor(data, (size_t)index, inputs[0], error);
}

/** Sample i of n spread evenly over the data, so that a few of a folder of classes still come from every class. */
typedef struct spread {
    const nw_dataset *data;
    size_t n, count;
} spread;

static nw_status read_spread(void *context, int64_t index, float *const *inputs, nw_error *error)
{
    const spread *s = context;
    const size_t at = (size_t)((double)index * (double)s->count / (double)s->n);
    return read_sample((void *)(uintptr_t)s->data, (int64_t)at, inputs, error);
}

static void show_progress(void *context, int64_t done, int64_t total)
{
    nw_progress_show(context, done, total);
}

static nw_status choose(int *value, const char *option, const char *given, const char *const *names, nw_error *error)
{
    if (!given)
        return NW_OK;
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], given) == 0) {
            *value = i;
            return NW_OK;
        }
    return nw_fail(error, NW_ERROR_USAGE, "--%s %s: no such choice; see `narrow quantize --help`", option, given);
}

/** --weight-method: how codes are found, and whether channels may have more points. */
static nw_status settle_weights(nw_quantize_options *o, const quantize *q, nw_error *error)
{
    static const char *const methods[] = {"plain",      "feedback",            "refine",
                                          "multipoint", "multipoint-feedback", "multipoint-refine", NULL};
    int method = (int)o->rounding;
    NW_TRY(choose(&method, "weight-method", q->weight_method, methods, error));
    int book = (int)o->book;
    NW_TRY(choose(&book, "weight-book", q->weight_book, nw_plan_books, error));
    o->book = (nw_book_kind)book;
    if (!nw_code_book_exists(o->book, (int32_t)q->weights) && !q->plan_path && !q->layer_bits)
        return nw_fail(error, NW_ERROR_USAGE, "--weight-book %s: has no codes of %d bits", q->weight_book,
                       (int)q->weights);
    const bool multipoint = method > (int)NW_ROUND_REFINE;
    o->rounding = (nw_rounding)(method % 3);
    o->point_budget = multipoint ? 0.05 : 0.0;
    if (q->point_budget) {
        char *end;
        o->point_budget = strtod(q->point_budget, &end) / 100.0;
        if (!multipoint || end == q->point_budget || *end || !(o->point_budget > 0.0 && o->point_budget <= 3.0))
            return nw_fail(error, NW_ERROR_USAGE,
                           "--point-budget %s: percent above 0, at most 300, with one of --weight-method multipoint, "
                           "multipoint-feedback, multipoint-refine", q->point_budget);
    }
    if (q->border < 0 || q->border > 8)
        return nw_fail(error, NW_ERROR_USAGE, "--first-last: 1 to 8 bits, or 0 for those of --weights");
    o->border_bits = (int32_t)q->border;
    return NW_OK;
}

static nw_status settle_options(nw_quantize_options *o, const quantize *q, nw_error *error)
{
    static const char *const ranges[] = {"minmax", "percentile", "mse", NULL};
    static const char *const weight_ranges[] = {"minmax", "mse", "output", NULL};
    static const char *const corrections[] = {"none", "analytic", "empirical", NULL};
    int range = (int)o->activation_range;
    int weight_range = (int)o->weight_range;
    int correction = (int)o->bias_correction;
    NW_TRY(choose(&range, "range", q->range, ranges, error));
    NW_TRY(choose(&weight_range, "weight-range", q->weight_range, weight_ranges, error));
    NW_TRY(choose(&correction, "bias-correction", q->bias_correction, corrections, error));
    if (q->weights < 1 || q->weights > 8 || q->acts < 1 || q->acts > 8)
        return nw_fail(error, NW_ERROR_USAGE, "--weights and --acts: from 1 to 8 bits");
    o->activation_range = (nw_range_method)range;
    o->weight_range = (nw_weight_method)weight_range;
    o->bias_correction = (nw_bias_correction)correction;
    o->weight_bits = (int32_t)q->weights;
    o->activation_bits = (int32_t)q->acts;
    o->equalize = q->equalize;
    NW_TRY(settle_weights(o, q, error));
    o->limits = q->limits;
    o->seed = (uint64_t)q->seed;
    return NW_OK;
}

/** --plan, and after it what the command line says of single layers and tensors. */
static nw_status settle_plan(nw_quantize_options *o, quantize *q, nw_error *error)
{
    if (q->plan_path)
        NW_TRY(nw_plan_read(&q->plan, q->plan_path, error));
    if (!q->plan)
        q->plan = nw_plan_create();
    if (!q->plan)
        return nw_fail_memory(error, "a plan");
    NW_TRY(nw_plan_rows_add(q->plan, NW_PLAN_LAYERS, q->layer_bits, error));
    NW_TRY(nw_plan_rows_add(q->plan, NW_PLAN_TENSORS, q->tensor_bits, error));
    o->plan = q->plan;
    return NW_OK;
}

static nw_status calibrate(quantize *q, nw_error *error)
{
    spread s = {.data = q->data, .count = nw_dataset_count(q->data)};
    s.n = q->samples && (size_t)q->samples < s.count ? (size_t)q->samples : s.count;
    const nw_sample_source source = {read_spread, &s, (int64_t)s.n};
    nw_calibrate_options options = NW_CALIBRATE_DEFAULTS;
    q->progress = (nw_progress){.phase = "calibrating"};
    options.progress = show_progress;
    options.progress_context = &q->progress;
    return nw_calibrate(&q->calibration, q->model, &source, &options, error);
}

static nw_status check_sample(const quantize *q, const char *path, nw_error *error)
{
    if (q->model->n_inputs != 1)
        return nw_fail(error, NW_ERROR_UNSUPPORTED, "%s: has %d inputs; calibration feeds exactly one", path,
                       q->model->n_inputs);
    const size_t wanted = nw_tensor_elements(&q->model->tensors[q->model->inputs[0]]);
    if (nw_dataset_sample_size(q->data) != wanted)
        return nw_fail(error, NW_ERROR_DATA, "%s: a sample has %zu values, but the network reads %zu", q->calib,
                       nw_dataset_sample_size(q->data), wanted);
    return NW_OK;
}

/** Before minutes of work: OUT must not be a float network's name, and it must be possible to write it. */
static nw_status check_output(const char *path, nw_error *error)
{
    if (nw_path_is_onnx(path))
        return nw_fail(error, NW_ERROR_USAGE, "%s: the output is a .nw file; .onnx names a float network", path);
    return nw_file_check_writable(path, error);
}

static nw_status make(quantize *q, const char *const *paths, nw_error *error)
{
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    NW_TRY(check_output(paths[1], error));
    NW_TRY(settle_options(&options, q, error));
    NW_TRY(settle_plan(&options, q, error));
    NW_TRY(nw_thread_count_check(q->threads, error));
    NW_TRY(nw_float_model_read(&q->model, paths[0], error));
    bool given;
    NW_TRY(nw_data_options_settle(&q->model->preprocess, &given, &q->preprocess, q->model, error));
    q->model->has_preprocess = given;
    NW_TRY(nw_data_open(&q->data, q->calib, NULL, &q->model->preprocess, given, error));
    NW_TRY(check_sample(q, paths[0], error));
    nw_float_set_threads((int32_t)nw_thread_count(q->threads));
    const double start = nw_seconds();
    NW_TRY(calibrate(q, error));
    NW_TRY(nw_quantize(&q->integer, q->model, q->calibration, &options, error));
    q->seconds = nw_seconds() - start;
    return nw_model_write(q->integer, paths[1], error);
}

static nw_status report(const quantize *q, const char *const *paths, nw_error *error)
{
    nw_shares floats;
    nw_shares integers;
    nw_shares_count(&floats, q->model);
    nw_shares_count(&integers, q->integer);
    if (!q->json) {
        printf("%s: %.1f %% of %llu multiply-accumulates integer, weights %llu bytes (float: %llu), %lld calibration "
               "samples, %.1f s\n", paths[1], 100.0 * nw_shares_integer(&integers),
               (unsigned long long)integers.total_macs, (unsigned long long)integers.total_bytes,
               (unsigned long long)floats.total_bytes, (long long)q->calibration->n_samples, q->seconds);
        return NW_OK;
    }
    cJSON *document = cJSON_CreateObject();
    cJSON_AddStringToObject(document, "model", paths[1]);
    cJSON_AddStringToObject(document, "from", paths[0]);
    cJSON_AddNumberToObject(document, "calibration_samples", (double)q->calibration->n_samples);
    cJSON_AddNumberToObject(document, "seconds", q->seconds);
    cJSON_AddNumberToObject(document, "float_weight_bytes", (double)floats.total_bytes);
    nw_shares_report(document, q->integer, NULL);
    return nw_report_print(document, error);
}

nw_status nw_command_quantize(int argc, char **argv, nw_error *error)
{
    quantize q = {.weights = 8, .acts = 8, .equalize = true, .limits = true, .seed = 1, .border = 8};
    const char *paths[2] = {NULL, NULL};
    bool help;
    const nw_option options[] = {
        {"calib", "PATH", NW_OPTION_TEXT, &q.calib, "calibration data: folder, .csv, .npy, .npz (no labels needed)"},
        {"samples", "N", NW_OPTION_NUMBER, &q.samples, "use N of them, spread evenly (default: all)"},
        {"weights", "BITS", NW_OPTION_NUMBER, &q.weights, "width of weights, 1 to 8 (default 8)"},
        {"acts", "BITS", NW_OPTION_NUMBER, &q.acts, "width of activations, 1 to 8 (default 8)"},
        {"weight-method", "METHOD", NW_OPTION_TEXT, &q.weight_method,
         "weights below 8 bits: plain, feedback, refine (default), multipoint, multipoint-feedback, multipoint-refine"},
        {"weight-book", "BOOK", NW_OPTION_TEXT, &q.weight_book,
         "values of weights below 8 bits: uniform (default), power-of-two (3, 4 bits), flint (4, 5 bits)"},
        {"point-budget", "PERCENT", NW_OPTION_TEXT, &q.point_budget,
         "extra multiply-accumulates that further points may cost (default 5)"},
        {"first-last", "BITS", NW_OPTION_NUMBER, &q.border,
         "least width of the first and last layers' weights (default 8; 0: like the rest)"},
        {"plan", "FILE", NW_OPTION_TEXT, &q.plan_path, "choices for single layers and tensors (`narrow inspect --plan`)"},
        {"layer-bits", "LIST", NW_OPTION_TEXT, &q.layer_bits,
         "widths of single layers' weights, by regular expression: 'layer3.*=4,fc=8'"},
        {"tensor-bits", "LIST", NW_OPTION_TEXT, &q.tensor_bits, "widths of single activations, likewise"},
        {"range", "METHOD", NW_OPTION_TEXT, &q.range, "activation ranges: minmax, percentile, mse (default)"},
        {"weight-range", "METHOD", NW_OPTION_TEXT, &q.weight_range, "weight steps: minmax, mse, output (default)"},
        {"bias-correction", "METHOD", NW_OPTION_TEXT, &q.bias_correction, "none, analytic, empirical (default)"},
        {"equalize", NULL, NW_OPTION_FLAG, &q.equalize, "cross-layer equalization (--no-equalize turns it off)"},
        {"limits", NULL, NW_OPTION_FLAG, &q.limits, "per-channel limits from calibration (--no-limits: off)"},
        {"seed", "N", NW_OPTION_NUMBER, &q.seed, "stored in the plan (default 1)"},
        {"threads", "N", NW_OPTION_NUMBER, &q.threads, "default: OMP_NUM_THREADS, or all processors"},
        NW_DATA_OPTIONS(&q.preprocess),
        NW_OPTION_JSON(&q.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"quantize", "ONNX OUT", "A float network in, a network of narrow integers out.",
                                  "narrow quantize net.onnx net.nw --calib photos/ --preprocess net.json", options};
    NW_TRY(nw_args_parse(&line, argc, argv, paths, 2, 2, &help, error));
    if (help)
        return NW_OK;
    if (!q.calib)
        return nw_fail(error, NW_ERROR_USAGE, "`narrow quantize` needs --calib PATH");
    nw_status status = make(&q, paths, error);
    if (!status)
        status = report(&q, paths, error);
    nw_dataset_free(q.data);
    nw_calibration_free(q.calibration);
    nw_plan_free(q.plan);
    nw_model_free(q.model);
    nw_model_free(q.integer);
    return status;
}
