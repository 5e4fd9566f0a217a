/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration and nw_quantize on small random networks: bounds, switches, refusals, determinism, memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cmocka.h>

#include "quant/quantize.h"
#include "quant_graphs.h"

#define NONE_LO (-INFINITY)

static nw_model *quantize(nw_model *model, const nw_calibration *calibration, const nw_quantize_options *options)
{
    nw_error error = {""};
    nw_model *integer = NULL;
    if (nw_quantize(&integer, model, calibration, options, &error))
        fail_msg("%s", error.message);
    return integer;
}

static nw_model *one_conv(uint64_t seed)
{
    graph_random random = {seed};
    nw_model *model = graph_create(5, 7);
    graph_finish(model, graph_linear(model, &random, 0, "conv",
                                     (graph_layer){6, 3, 1, 1, 1, NONE_LO, INFINITY, NW_NONE, false}));
    return model;
}

/* One layer from reals to reals: the error cannot exceed what rounding input and weights by half a step can do. */
static void test_one_conv_within_grid(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 8; seed++) {
        nw_model *model = one_conv(seed);
        nw_calibration *calibration = graph_calibrate(model, 16, 4);
        nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
        options.bias_correction = NW_BIAS_CORRECTION_NONE;
        options.weight_range = NW_WEIGHTS_MIN_MAX;
        options.weight_bits = 4 + (int32_t)(seed % 5);
        nw_model *integer = quantize(model, calibration, &options);
        assert_int_equal(integer->n_nodes, 2);
        const nw_quant *x = &integer->tensors[integer->nodes[1].inputs[0]].quant;
        const nw_linear *linear = integer->nodes[1].linear;
        float a[6 * 49], b[6 * 49];
        graph_run_float(model, 3, a); /* a calibration sample: nothing clips */
        graph_run_integer(integer, model, 3, b);
        for (int o = 0; o < 6; o++) {
            const double step = (double)linear->multiplier[o] / (double)x->scale;
            double bound = 1e-3;
            for (int j = 0; j < 45; j++) {
                const double w = fabs((double)linear->weights[o * 45 + j]) * step;
                bound += w * (double)x->scale / 2 + step / 2 * 4.3; /* inputs lie in (-4.3, 4.3) */
            }
            for (int i = 0; i < 49; i++)
                assert_true(fabs((double)a[o * 49 + i] - (double)b[o * 49 + i]) <= bound);
        }
        nw_model_free(integer);
        nw_calibration_free(calibration);
        nw_model_free(model);
    }
}

static void test_zoo(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 4; seed++) {
        nw_model *model = graph_zoo(seed);
        nw_calibration *calibration = graph_calibrate(model, 40, 8);
        for (int bias = 0; bias < 3; bias++)
            for (int range = 0; range < 3; range++) {
                nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
                options.bias_correction = (nw_bias_correction)bias;
                options.activation_range = (nw_range_method)range;
                options.equalize = range != 1;
                options.limits = bias != 1;
                nw_model *integer = quantize(model, calibration, &options);
                const double sqnr = graph_sqnr(integer, model, 16);
                if (sqnr < 30.0)
                    fail_msg("seed %d, bias correction %d, range %d: %.1f dB", (int)seed, bias, range, sqnr);
                nw_model_free(integer);
            }
        nw_calibration_free(calibration);
        nw_model_free(model);
    }
}

static nw_plan *plan_of(const char *text)
{
    nw_plan *plan = NULL;
    nw_error error = {0};
    if (nw_plan_parse(&plan, text, strlen(text), "plan", &error))
        fail_msg("%s", error.message);
    return plan;
}

/* Fewer bits, more noise; rows of a plan reach what they name. */
static void test_bits(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(1);
    nw_calibration *calibration = graph_calibrate(model, 40, 8);
    double last = 1e9;
    for (int32_t bits = 8; bits >= 4; bits -= 2) {
        nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
        options.weight_bits = options.activation_bits = bits;
        options.border_bits = 0;
        nw_plan *plan = plan_of("{\"version\": 1, \"layers\": [{\"node\": \"stem\", \"bits\": 8}], \"tensors\": "
                                "[{\"tensor\": \"input\", \"bits\": 8}, {\"match\": \"po+l\", \"bits\": 7}]}");
        options.plan = plan;
        nw_model *integer = quantize(model, calibration, &options);
        nw_plan_free(plan);
        for (int32_t i = 0; i < integer->n_nodes; i++)
            if (integer->nodes[i].linear)
                assert_int_equal(integer->nodes[i].linear->weight_bits,
                                 strcmp(integer->nodes[i].name, "stem") == 0 ? 8 : bits);
        for (int32_t t = 0; t < integer->n_tensors; t++) {
            const nw_tensor *tensor = &integer->tensors[t];
            const bool shared = !strcmp(tensor->name, "pool") || !strcmp(tensor->name, "project") ||
                                !strcmp(tensor->name, "up") || !strcmp(tensor->name, "joined");
            if (tensor->type == NW_TYPE_U8)
                assert_int_equal(tensor->quant.bits,
                                 strcmp(tensor->name, "input.codes") == 0 ? 8 : shared ? 7 : bits);
        }
        const double sqnr = graph_sqnr(integer, model, 8);
        assert_true(sqnr < last && sqnr > 3.0);
        last = sqnr;
        nw_model_free(integer);
    }
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/* Two layers whose middle channels differ by factors of up to 2^9, or do not: with equalization the same bits. */
static void test_equalization_undoes_channel_scales(void **state)
{
    (void)state;
    float out[2][8 * 64];
    double noise[2] = {0.0, 0.0};
    for (int equalize = 1; equalize >= 0; equalize--) {
        for (int scaled = 0; scaled < 2; scaled++) {
            graph_random random = {8};
            nw_model *m = graph_create(4, 8);
            int32_t x = graph_linear(m, &random, 0, "a", (graph_layer){10, 3, 1, 1, 1, 0.0f, INFINITY, NW_NONE, false});
            x = graph_linear(m, &random, x, "b", (graph_layer){8, 3, 1, 1, 1, NONE_LO, INFINITY, NW_NONE, false});
            graph_finish(m, x);
            for (int c = 1; scaled && c < 10; c++) {
                nw_tensor *a = &m->tensors[m->nodes[0].inputs[1]];
                nw_tensor *bias = &m->tensors[m->nodes[0].inputs[2]];
                nw_tensor *b = &m->tensors[m->nodes[1].inputs[1]];
                for (int i = 0; i < 36; i++)
                    a->data[c * 36 + i] = ldexpf(a->data[c * 36 + i], -c);
                bias->data[c] = ldexpf(bias->data[c], -c);
                for (int i = 0; i < 72; i++)
                    b->data[(i / 9 * 10 + c) * 9 + i % 9] = ldexpf(b->data[(i / 9 * 10 + c) * 9 + i % 9], c);
            }
            nw_calibration *calibration = graph_calibrate(m, 16, 8);
            nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
            options.bias_correction = NW_BIAS_CORRECTION_NONE;
            options.equalize = equalize;
            options.equalize_power = 1.0;
            options.equalize_room = 0.0;
            options.limit_margin = 0.0;
            nw_model *integer = quantize(m, calibration, &options);
            graph_run_integer(integer, m, 50, out[scaled]);
            noise[scaled] = graph_sqnr(integer, m, 4);
            nw_model_free(integer);
            nw_calibration_free(calibration);
            nw_model_free(m);
        }
        if (equalize)
            assert_memory_equal(out[0], out[1], sizeof(out[0]));
        else
            assert_true(noise[1] < noise[0] - 6.0);
    }
}

/* Mean error per output channel over unseen samples. */
static double mean_error(const nw_model *integer, const nw_model *model)
{
    enum { N = 24 };
    float a[10], b[10];
    double mean[10] = {0};
    for (int i = 0; i < N; i++) {
        graph_run_float(model, 500 + i, a);
        graph_run_integer(integer, model, 500 + i, b);
        for (int c = 0; c < 10; c++)
            mean[c] += ((double)b[c] - (double)a[c]) / N;
    }
    double sum = 0.0;
    for (int c = 0; c < 10; c++)
        sum += mean[c] * mean[c];
    return sqrt(sum / 10.0);
}

static void test_bias_correction_reduces_mean_error(void **state)
{
    (void)state;
    double sums[3] = {0.0, 0.0, 0.0};
    for (uint64_t seed = 1; seed < 5; seed++) {
        nw_model *model = graph_zoo(seed);
        nw_calibration *calibration = graph_calibrate(model, 48, 8);
        for (int bias = 0; bias < 3; bias++) {
            nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
            options.weight_bits = 3;
            options.rounding = NW_ROUND_PLAIN;
            options.border_bits = 0;
            options.bias_correction = (nw_bias_correction)bias;
            nw_model *integer = quantize(model, calibration, &options);
            sums[bias] += mean_error(integer, model);
            nw_model_free(integer);
        }
        nw_calibration_free(calibration);
        nw_model_free(model);
    }
    if (!(sums[1] < 0.7 * sums[0] && sums[2] < 0.5 * sums[0]))
        fail_msg("mean errors: none %g, analytic %g, empirical %g", sums[0], sums[1], sums[2]);
}

/* Limits hold 0, lie inside the clamp, and a ReLU6 channel cannot exceed 6. */
static void test_limits(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(2);
    nw_calibration *calibration = graph_calibrate(model, 40, 8);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    int narrower = 0;
    for (int limits = 0; limits < 2; limits++) {
        options.limits = limits;
        options.equalize = false;
        nw_model *integer = quantize(model, calibration, &options);
        for (int32_t t = 0; t < integer->n_tensors; t++) {
            const nw_tensor *tensor = &integer->tensors[t];
            if (tensor->type != NW_TYPE_U8)
                continue;
            for (int32_t c = 0; c < nw_tensor_channels(tensor); c++) {
                assert_true(tensor->quant.lo[c] <= 0.0f && tensor->quant.hi[c] >= 0.0f);
                narrower += limits && tensor->quant.hi[c] < 255.0f - (float)tensor->quant.zero_point;
                if (strcmp(tensor->name, "expand") == 0) {
                    assert_int_equal(tensor->quant.zero_point, 0);
                    assert_true(tensor->quant.lo[c] == 0.0f);
                    assert_true((double)tensor->quant.hi[c] <= rint(6.0 / (double)tensor->quant.scale));
                }
            }
        }
        nw_model_free(integer);
    }
    assert_true(narrower > 50);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/* The pixel table and the float way in agree on every pixel. */
static void test_pixel_tables(void **state)
{
    (void)state;
    nw_model *model = one_conv(3);
    model->tensors[0].dims[1] = 3;
    nw_error error = {""};
    nw_model_free(model);
    graph_random random = {4};
    model = graph_create(3, 7);
    graph_finish(model, graph_linear(model, &random, 0, "conv",
                                     (graph_layer){6, 3, 1, 1, 1, NONE_LO, INFINITY, NW_NONE, false}));
    if (nw_preprocess_parse(&model->preprocess,
                            "{\"size\": [7, 7], \"mean\": [123.675, 116.28, 103.53], \"std\": [58.395, 57.12, 57.375]}",
                            "test", &error))
        fail_msg("%s", error.message);
    model->has_preprocess = true;
    nw_calibration *calibration = graph_calibrate(model, 8, 8);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    nw_model *integer = quantize(model, calibration, &options);
    const nw_node *node = &integer->nodes[0];
    const nw_quant *quant = &integer->tensors[node->output].quant;
    assert_int_equal(node->op, NW_OP_QUANTIZE);
    assert_int_equal(node->n_tables, 3);
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < 256; p++) {
            const double x = (p - (double)model->preprocess.mean[c]) / (double)model->preprocess.std[c];
            const double code = x / (double)quant->scale + quant->zero_point;
            assert_true(fabs((double)node->table[c * 256 + p] - code) <= 0.51); /* no pixel is clipped */
        }
    nw_model_free(integer);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

static void expect_refusal(nw_model *model, const nw_calibration *calibration, const nw_quantize_options *options,
                           nw_status wanted, const char *part)
{
    nw_error error = {""};
    nw_model *integer = NULL;
    assert_int_equal(nw_quantize(&integer, model, calibration, options, &error), wanted);
    assert_null(integer);
    if (!strstr(error.message, part))
        fail_msg("\"%s\" does not say \"%s\"", error.message, part);
}

static void test_refusals(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(1);
    nw_calibration *calibration = graph_calibrate(model, 8, 8);
    nw_plan *unknown = plan_of("{\"version\": 1, \"layers\": [{\"node\": \"nobody\", \"bits\": 4}]}");
    nw_plan *unmatched = plan_of("{\"version\": 1, \"tensors\": [{\"match\": \"poo\", \"bits\": 4}]}");
    nw_plan *contradiction = plan_of("{\"version\": 1, \"tensors\": [{\"tensor\": \"pool\", \"bits\": 4}, "
                                     "{\"tensor\": \"project\", \"bits\": 5}]}");
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.weight_bits = 9;
    expect_refusal(model, calibration, &options, NW_ERROR_USAGE, "1 to 8");
    options.weight_bits = 8;
    options.plan = unknown;
    expect_refusal(model, calibration, &options, NW_ERROR_USAGE, "nobody");
    options.plan = unmatched;
    expect_refusal(model, calibration, &options, NW_ERROR_USAGE, "\"poo\"");
    options.plan = contradiction;
    expect_refusal(model, calibration, &options, NW_ERROR_USAGE, "contradict");
    options.plan = NULL;
    nw_plan_free(unknown);
    nw_plan_free(unmatched);
    nw_plan_free(contradiction);
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (strcmp(model->nodes[i].name, "leaky") == 0)
            model->nodes[i].op = NW_OP_SOFTMAX;
    expect_refusal(model, calibration, &options, NW_ERROR_UNSUPPORTED, "leaky");
    nw_calibration_free(calibration);
    nw_model_free(model);
}

static void test_deterministic_and_batch_free(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(3);
    float out[3][10];
    const int32_t batches[] = {8, 8, 3};
    for (int i = 0; i < 3; i++) {
        nw_calibration *calibration = graph_calibrate(model, 20, batches[i]);
        nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
        nw_model *integer = quantize(model, calibration, &options);
        graph_run_integer(integer, model, 77, out[i]);
        nw_model_free(integer);
        nw_calibration_free(calibration);
    }
    assert_memory_equal(out[0], out[1], sizeof(out[0]));
    for (int c = 0; c < 10; c++) /* the float engine may sum in another order for another batch */
        assert_true(fabsf(out[0][c] - out[2][c]) < 0.2f);
    nw_model_free(model);
}

/* How many samples are kept, where memory does not say less: a number, or the default that is asked for. */
static void test_kept_samples(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(1);
    const int32_t most[4] = {0, 0, 10, 110}, automatic[4] = {96, 104, 104, 104}, kept[4] = {96, 104, 10, 110};
    for (int i = 0; i < 4; i++) {
        nw_error error = {""};
        nw_calibration *calibration = NULL;
        const nw_sample_source source = {graph_read, model, 120};
        nw_calibrate_options options = NW_CALIBRATE_DEFAULTS;
        assert_int_equal(options.auto_kept, 96);
        options.max_kept = most[i];
        options.auto_kept = automatic[i];
        assert_int_equal(nw_calibrate(&calibration, model, &source, &options, &error), NW_OK);
        assert_int_equal(calibration->n_kept, kept[i]);
        nw_calibration_free(calibration);
    }
    nw_model_free(model);
}

#if defined(__GLIBC__)
static void note_memory(void *context, int64_t done, int64_t total)
{
    size_t *most = context;
    const struct mallinfo2 info = mallinfo2();
    (void)done, (void)total;
    *most = info.uordblks + info.hblkhd > *most ? info.uordblks + info.hblkhd : *most;
}

/* Heap in use during calibration on 40 and on 400 samples. */
static void test_memory_does_not_grow(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(1);
    size_t most[3] = {0, 0, 0};
    for (int i = 0; i < 3; i++) { /* the first round warms up oneDNN's caches */
        nw_error error = {""};
        nw_calibration *calibration = NULL;
        const nw_sample_source source = {graph_read, model, i == 2 ? 400 : 40};
        nw_calibrate_options options = NW_CALIBRATE_DEFAULTS;
        options.max_kept = 16;
        options.progress = note_memory;
        options.progress_context = &most[i];
        assert_int_equal(nw_calibrate(&calibration, model, &source, &options, &error), NW_OK);
        nw_calibration_free(calibration);
    }
    if (most[2] > most[1] + 65536)
        fail_msg("%zu bytes with 40 samples, %zu with 400", most[1], most[2]);
    nw_model_free(model);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_conv_within_grid),
        cmocka_unit_test(test_zoo),
        cmocka_unit_test(test_kept_samples),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_equalization_undoes_channel_scales),
        cmocka_unit_test(test_bias_correction_reduces_mean_error),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_pixel_tables),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_deterministic_and_batch_free),
#if defined(__GLIBC__)
        cmocka_unit_test(test_memory_does_not_grow),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
