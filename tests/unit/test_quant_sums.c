/* SPDX-License-Identifier: Apache-2.0 */
/* Plans for 16-bit sums (src/quant/runs.c, sums.c): forecasts known by hand, and what a narrowed network looks like. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/quantize.h"
#include "quant/runs.h"
#include "quant_graphs.h"
#include "runtime/overflow.h"

#define K 1024

static nw_run_forecast forecast(const int8_t *weights, int32_t n_rows, int32_t hi, double scale)
{
    int32_t lo[K];
    int32_t his[K];
    for (int32_t j = 0; j < K; j++) {
        lo[j] = 0;
        his[j] = hi;
    }
    const nw_run_rows rows = {.weights = weights, .n_rows = n_rows, .k = K, .lo = lo, .hi = his};
    nw_run_forecast result = {0};
    nw_runs_forecast(&result, &rows, scale);
    return result;
}

/* Pairs of w x hi: a run ends when the fullest lane is full. */
static void test_forecast(void **state)
{
    (void)state;
    int8_t weights[20 * K];
    memset(weights, 1, sizeof(weights));
    nw_run_forecast f = forecast(weights, 16, 255, 1.0); /* 510 per step and lane: 64 steps */
    assert_true(f.steps == K / 4 && f.wide == 0.0 && f.runs == 4.0 && f.longest == 64.0);
    f = forecast(weights, 20, 255, 1.0); /* a second panel of four rows */
    assert_true(f.steps == 2 * K / 4 && f.runs == 8.0);
    f = forecast(weights, 16, 255, 2.0); /* 32 steps */
    assert_true(f.runs == 8.0);
    memset(weights + 3 * K, 100, K); /* one row fills its lanes: 51000 does not fit a pair */
    f = forecast(weights, 16, 255, 1.0);
    assert_true(f.wide == f.steps && f.runs == 0.0);
    assert_true(nw_runs_cost(&f) > 1.2);
    memset(weights + 3 * K, -50, K); /* 25500: one step a run */
    f = forecast(weights, 16, 255, 1.0);
    assert_true(f.wide == 0.0 && f.runs == f.steps);
    const double alpha[16] = {[3] = 50.0};
    int32_t lo[K] = {0};
    int32_t hi[K];
    for (int32_t j = 0; j < K; j++)
        hi[j] = 255;
    const nw_run_rows rows = {.weights = weights, .alpha = alpha, .n_rows = 16, .k = K, .lo = lo, .hi = hi};
    f = (nw_run_forecast){0};
    nw_runs_forecast(&f, &rows, 1.0);
    assert_true(f.runs == 4.0); /* narrowed to -1 like the others */
    assert_true(nw_runs_cost(&f) < 0.75);
}

/* Two wide layers behind a first one, and a depthwise one. */
static nw_model *network(void)
{
    graph_random random = {5};
    nw_model *model = graph_create(3, 12);
    const graph_layer first = {.outputs = 32, .kernel = 3, .stride = 1, .pad = 1, .groups = 1, .lo = 0.0f,
                               .hi = INFINITY, .residual = NW_NONE};
    graph_layer depthwise = first;
    depthwise.groups = 32;
    int32_t x = graph_linear(model, &random, 0, "first", first);
    x = graph_linear(model, &random, x, "second", first);
    x = graph_linear(model, &random, x, "depthwise", depthwise);
    x = graph_linear(model, &random, x, "last", first);
    graph_finish(model, x);
    return model;
}

static nw_model *quantize(const nw_model *model, const nw_calibration *calibration, const nw_quantize_options *options)
{
    nw_model *integer = NULL;
    nw_error error = {0};
    if (nw_quantize(&integer, model, calibration, options, &error))
        fail_msg("%s", error.message);
    return integer;
}

static const nw_node *node_of(const nw_model *model, const char *name)
{
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (strcmp(model->nodes[i].name, name) == 0)
            return &model->nodes[i];
    fail_msg("no node %s", name);
    return NULL;
}

static double sqnr(const nw_model *integer, const nw_model *model)
{
    static float exact[32 * 144];
    static float codes[32 * 144];
    double signal = 0.0;
    double noise = 0.0;
    for (int64_t sample = 100; sample < 104; sample++) {
        graph_run_float(model, sample, exact);
        graph_run_integer(integer, model, sample, codes);
        for (int i = 0; i < 32 * 144; i++) {
            signal += (double)exact[i] * (double)exact[i];
            noise += pow((double)exact[i] - (double)codes[i], 2.0);
        }
    }
    return 10.0 * log10(signal / noise);
}

static void test_network(void **state)
{
    (void)state;
    nw_model *model = network();
    nw_calibration *calibration = graph_calibrate(model, 32, 8);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    nw_model *plain = quantize(model, calibration, &options);
    options.accumulator = NW_ACCUMULATOR_16;
    nw_model *narrow = quantize(model, calibration, &options);
    assert_int_equal(node_of(plain, "second")->linear->accumulator, NW_ACCUMULATOR_AUTO);
    assert_int_equal(node_of(narrow, "first")->linear->accumulator, NW_ACCUMULATOR_AUTO);
    assert_int_equal(node_of(narrow, "depthwise")->linear->accumulator, NW_ACCUMULATOR_AUTO);
    assert_int_equal(node_of(narrow, "second")->linear->accumulator, NW_ACCUMULATOR_16);
    assert_int_equal(node_of(narrow, "last")->linear->accumulator, NW_ACCUMULATOR_16);
    assert_int_equal(narrow->tensors[node_of(narrow, "second")->inputs[0]].quant.bits, 8);
    assert_int_equal(narrow->tensors[node_of(narrow, "depthwise")->inputs[0]].quant.bits, 8);
    const double before = sqnr(plain, model);
    const double after = sqnr(narrow, model);
    assert_true(after > 24.0 && after < before); /* narrower weights: a few dB */
    nw_model_free(narrow);
    options.sums_first = true;
    narrow = quantize(model, calibration, &options);
    const nw_node *first = node_of(narrow, "first");
    assert_true(first->linear->accumulator == NW_ACCUMULATOR_16 || first->linear->k < 32);
    nw_model_free(narrow);
    nw_model_free(plain);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/** Predicted time of a node's sums, from its weights and the limits of what it reads; one group, 3 x 3 taps. */
static double time_of(const nw_model *model, const nw_node *node)
{
    const nw_linear *linear = node->linear;
    const nw_tensor *x = &model->tensors[node->inputs[0]];
    int32_t lo[9 * 32];
    int32_t hi[9 * 32];
    assert_int_equal(linear->k, 9 * 32);
    for (int32_t j = 0; j < linear->k; j++) {
        lo[j] = x->quant.zero_point + (int32_t)x->quant.lo[j % 32];
        hi[j] = x->quant.zero_point + (int32_t)x->quant.hi[j % 32];
    }
    const nw_run_rows rows = {.weights = linear->weights, .n_rows = linear->n_rows, .k = linear->k, .lo = lo, .hi = hi};
    nw_run_forecast forecast = {0};
    nw_runs_forecast(&forecast, &rows, 1.0);
    return nw_runs_cost(&forecast);
}

/* Narrowed rows are rounded by the outputs they give: nearer to the float network, with runs as long. */
static void test_rounding(void **state)
{
    (void)state;
    nw_model *model = network();
    nw_calibration *calibration = graph_calibrate(model, 32, 8);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.accumulator = NW_ACCUMULATOR_16;
    nw_model *learned = quantize(model, calibration, &options);
    options.rounding = NW_ROUND_PLAIN;
    nw_model *nearest = quantize(model, calibration, &options);
    static const char *const names[] = {"second", "last"};
    for (int i = 0; i < 2; i++) {
        const nw_linear *linear = node_of(learned, names[i])->linear;
        const size_t n = (size_t)linear->n_rows * (size_t)linear->k;
        assert_true(memcmp(linear->weights, node_of(nearest, names[i])->linear->weights, n) != 0);
        assert_true(linear->weight_bits < 8);
        const double before = time_of(nearest, node_of(nearest, names[i]));
        assert_true(before < 1.0 && time_of(learned, node_of(learned, names[i])) <= 1.02 * before);
    }
    print_message("nearest %.1f dB, learned %.1f dB\n", sqnr(nearest, model), sqnr(learned, model));
    assert_true(sqnr(learned, model) > sqnr(nearest, model) + 1.0);
    nw_model_free(learned);
    nw_model_free(nearest);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/** Sums of a node, or of all that wrap (NULL), outside of 16 bits on samples that calibration did not see. */
static uint64_t count_outside(const nw_model *integer, const nw_model *model, const char *name)
{
    static float in[3 * 256];
    static float out[32 * 144];
    float *inputs[] = {in};
    float *outputs[] = {out};
    nw_engine *engine;
    nw_overflow *overflow;
    assert_int_equal(nw_engine_create(&engine, integer, NULL, NULL), NW_OK);
    assert_int_equal(nw_overflow_create(&overflow, integer, NULL), NW_OK);
    for (int64_t i = 1000; i < 1020; i++) {
        nw_model *borrowed = (nw_model *)(uintptr_t)model; /* a context, which graph_read only reads */
        assert_int_equal(graph_read(borrowed, i, inputs, NULL), NW_OK);
        const nw_run_options options = {.observer = nw_overflow_observe, .context = overflow};
        assert_int_equal(nw_engine_run_with(engine, &(nw_input){.values = in}, outputs, &options), NW_OK);
    }
    uint64_t outside = 0;
    for (int32_t i = 0; i < integer->n_nodes; i++) {
        const nw_node *node = &integer->nodes[i];
        const bool counts = name ? strcmp(node->name, name) == 0
                                 : node->linear && node->linear->accumulator == NW_ACCUMULATOR_16_WRAP;
        outside += counts ? nw_overflow_counts(overflow, i)->sums_outside : 0;
        assert_true(!node->linear || nw_overflow_counts(overflow, i)->runs_outside == 0);
    }
    nw_overflow_free(overflow);
    nw_engine_free(engine);
    return outside;
}

/* 92160 sums a layer, of which 1e-7 may wrap; at 8 bits a good part of them would. */
static void test_wraps(void **state)
{
    (void)state;
    nw_model *model = network();
    nw_calibration *calibration = graph_calibrate(model, 32, 8);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    nw_model *plain = quantize(model, calibration, &options);
    options.accumulator = NW_ACCUMULATOR_16_WRAP;
    nw_model *narrow = quantize(model, calibration, &options);
    static const char *const names[] = {"second", "last"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(node_of(narrow, names[i])->linear->accumulator, NW_ACCUMULATOR_16_WRAP);
        assert_true(narrow->tensors[node_of(narrow, names[i])->inputs[0]].quant.bits <= 7);
        assert_true(count_outside(plain, model, names[i]) > 100);
        assert_int_equal(count_outside(narrow, model, names[i]), 0);
    }
    assert_int_equal(node_of(narrow, "first")->linear->accumulator, NW_ACCUMULATOR_AUTO);
    assert_int_equal(node_of(narrow, "depthwise")->linear->accumulator, NW_ACCUMULATOR_AUTO);
    assert_true(sqnr(narrow, model) > 20.0);
    calibration->n_kept = 0;
    nw_model *none = NULL;
    nw_error error = {0};
    options.bias_correction = NW_BIAS_CORRECTION_NONE;
    options.rounding = NW_ROUND_PLAIN;
    assert_int_equal(nw_quantize(&none, model, calibration, &options, &error), NW_ERROR_USAGE);
    assert_non_null(strstr(error.message, "calibration that kept samples"));
    nw_model_free(narrow);
    nw_model_free(plain);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/*
 * Signed and unsigned codes, groups, a Gemm, and a transposed convolution, each of whose phases sees some of the
 * taps.
 */
static void test_wraps_of_all_kinds(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(3);
    nw_calibration *calibration = graph_calibrate(model, 32, 8);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.accumulator = NW_ACCUMULATOR_16_WRAP;
    options.sums_first = true;
    nw_model *narrow = quantize(model, calibration, &options);
    int32_t n_wrap = 0;
    for (int32_t i = 0; i < narrow->n_nodes; i++)
        n_wrap += narrow->nodes[i].linear && narrow->nodes[i].linear->accumulator == NW_ACCUMULATOR_16_WRAP;
    print_message("%d layers wrap\n", n_wrap);
    assert_true(n_wrap >= 4);
    assert_int_equal(count_outside(narrow, model, NULL), 0);
    nw_model_free(narrow);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/* The plan that is stored makes the same network again, without the options. */
static void check_plan_again(nw_accumulator accumulator, nw_rounding rounding)
{
    nw_model *model = network();
    nw_calibration *calibration = graph_calibrate(model, 32, 8);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.accumulator = accumulator;
    options.rounding = rounding;
    nw_model *narrow = quantize(model, calibration, &options);
    nw_plan *plan = NULL;
    assert_int_equal(nw_plan_parse(&plan, narrow->plan, strlen(narrow->plan), "plan", NULL), NW_OK);
    const nw_quantize_options defaults = NW_QUANTIZE_DEFAULTS;
    options = defaults;
    options.plan = plan;
    nw_model *again = quantize(model, calibration, &options);
    assert_string_equal(narrow->plan, again->plan);
    for (int32_t i = 0; i < narrow->n_nodes; i++)
        if (narrow->nodes[i].linear)
            assert_memory_equal(narrow->nodes[i].linear->weights, again->nodes[i].linear->weights,
                                (size_t)narrow->nodes[i].linear->n_rows * (size_t)narrow->nodes[i].linear->k);
    nw_plan_free(plan);
    nw_model_free(again);
    nw_model_free(narrow);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

static void test_plan_again(void **state)
{
    (void)state;
    check_plan_again(NW_ACCUMULATOR_16, NW_ROUND_REFINE);
    check_plan_again(NW_ACCUMULATOR_16, NW_ROUND_PLAIN);
    check_plan_again(NW_ACCUMULATOR_16_WRAP, NW_ROUND_REFINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forecast),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_wraps),
        cmocka_unit_test(test_wraps_of_all_kinds),
        cmocka_unit_test(test_plan_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
