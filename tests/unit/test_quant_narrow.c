/* SPDX-License-Identifier: Apache-2.0 */
/* Activations of fewer than 8 bits: errors from histograms, DQA's integers, NoisyQuant's offsets, placements. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/clip.h"
#include "quant/quantize.h"
#include "quant_graphs.h"

/* clip.h */

/*
 * The error told from the histogram is that of the values themselves, up to the width of a bin; and so is the best
 * step.
 */
static void test_clip_error(void **state)
{
    (void)state;
    enum { N = 20000 };
    graph_random random = {7};
    float *values = malloc(N * sizeof(*values));
    nw_tensor_stats stats = {0};
    assert_non_null(values);
    for (int i = 0; i < N; i++)
        values[i] = fmaxf(graph_normal(&random), 0.0f);
    assert_int_equal(nw_tensor_stats_init(&stats, 1), NW_OK);
    assert_int_equal(nw_tensor_stats_add(&stats, values, 1, N), NW_OK);
    const nw_clip clip = {0.0, 7.0, 0.05};
    nw_clip_curve curve;
    nw_clip_curve_make(&curve, &stats.channels[0], stats.n_values, &clip);
    const double best = nw_clip_best(&curve);
    double least = INFINITY;
    for (int s = 1; s < 60; s++) {
        const double step = s * 0.02;
        double sum = 0.0;
        for (int i = 0; i < N; i++) {
            const double x = (double)values[i] + clip.offset;
            const double rest = x - step * fmin(fmax(rint(x / step), clip.lo), clip.hi);
            sum += rest * rest / N;
        }
        assert_true(fabs(nw_clip_error(&stats.channels[0], stats.n_values, &clip, step) - sum) < 0.03 * sum + 1e-4);
        assert_true(fabs(nw_clip_at(&curve, step) - sum) < 0.15 * sum + 1e-3);
        least = fmin(least, sum);
    }
    assert_true(nw_clip_error(&stats.channels[0], stats.n_values, &clip, best) < 1.1 * least);
    assert_true(best < 0.9 * (double)stats.channels[0].max / 7.0); /* clipping pays */
    nw_tensor_stats_clear(&stats);
    free(values);
}

/* networks */

static nw_model *quantize(nw_model *model, const nw_calibration *calibration, const nw_quantize_options *options)
{
    nw_error error = {""};
    nw_model *integer = NULL;
    if (nw_quantize(&integer, model, calibration, options, &error))
        fail_msg("%s", error.message);
    return integer;
}

static nw_quantize_options options_for(nw_activation_kind kind, int32_t bits, int32_t extra_bits, double share)
{
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.activation_kind = kind;
    options.activation_bits = bits;
    options.extra_bits = extra_bits;
    options.share = share;
    return options;
}

static const nw_tensor *tensor_of(const nw_model *model, const char *name)
{
    for (int32_t t = 0; t < model->n_tensors; t++)
        if (strcmp(model->tensors[t].name, name) == 0)
            return &model->tensors[t];
    fail_msg("no tensor \"%s\"", name);
    return NULL;
}

static int32_t important_of(const nw_tensor *tensor)
{
    int32_t n = 0;
    for (int32_t c = 0; c < nw_tensor_channels(tensor); c++)
        n += tensor->quant.shift[c] == 0;
    return n;
}

/* Extra bits in the wanted share of channels, in every tensor but the input; pools and Concat hand them on. */
static void test_dqa_form(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(3);
    nw_calibration *calibration = graph_calibrate(model, 24, 8);
    const nw_quantize_options options = options_for(NW_ACTIVATION_DQA, 3, 2, 0.4);
    nw_model *integer = quantize(model, calibration, &options);
    int32_t n_codes = 0;
    for (int32_t t = 0; t < integer->n_tensors; t++) {
        const nw_tensor *tensor = &integer->tensors[t];
        if (tensor->type != NW_TYPE_U8 || strcmp(tensor->name, "input.codes") == 0)
            continue;
        n_codes++;
        assert_int_equal(tensor->quant.bits, 5);
        assert_int_equal(tensor->quant.zero_point % 4, 0);
        for (int32_t c = 0; c < nw_tensor_channels(tensor); c++) {
            const int32_t shift = tensor->quant.shift[c];
            assert_true(shift == 0 || shift == 2);
            assert_true(tensor->quant.hi[c] - tensor->quant.lo[c] < (float)(shift ? 8 : 32));
        }
    }
    assert_true(n_codes >= 9);
    assert_int_equal(important_of(tensor_of(integer, "stem")), 6);        /* of 16 */
    assert_int_equal(important_of(tensor_of(integer, "depthwise")), 9);   /* of 24 */
    assert_int_equal(important_of(tensor_of(integer, "pool")), 6);        /* project's */
    assert_int_equal(important_of(tensor_of(integer, "joined")), 6 + 4);  /* project's and up's */
    assert_int_equal(memcmp(tensor_of(integer, "pool")->quant.shift, tensor_of(integer, "project")->quant.shift, 16),
                     0);
    nw_model_free(integer);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/* Everything important is plain quantization to n + m bits, nothing is plain quantization to n bits: bit for bit. */
static void test_dqa_ends(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(4);
    nw_calibration *calibration = graph_calibrate(model, 24, 8);
    for (int all = 0; all < 2; all++) {
        nw_quantize_options dqa = options_for(NW_ACTIVATION_DQA, 3, 3, all);
        nw_quantize_options plain = options_for(NW_ACTIVATION_DIRECT, all ? 6 : 3, 1, 0.0);
        dqa.placement = plain.placement = NW_PLACEMENT_BLOCKS; /* ReLU's outputs: with a zero point 0 on both sides */
        static const char only[] =
            "{\"version\": 1, \"tensors\": [{\"match\": \"project|joined|pool|up\", \"bits\": 8}, "
            "{\"match\": \"stem|middle|depthwise\", \"bits\": %d}]}";
        char text[256];
        nw_plan *plans[2] = {NULL, NULL};
        nw_error error = {""};
        for (int i = 0; i < 2; i++) {
            snprintf(text, sizeof(text), only, i == 0 ? 3 : plain.activation_bits);
            assert_int_equal(nw_plan_parse(&plans[i], text, strlen(text), "plan", &error), NW_OK);
        }
        dqa.plan = plans[0];
        plain.plan = plans[1];
        nw_model *a = quantize(model, calibration, &dqa);
        nw_model *b = quantize(model, calibration, &plain);
        for (int i = 100; i < 110; i++) {
            float x[10], y[10];
            graph_run_integer(a, model, i, x);
            graph_run_integer(b, model, i, y);
            assert_memory_equal(x, y, sizeof(x));
        }
        nw_model_free(a);
        nw_model_free(b);
        nw_plan_free(plans[0]);
        nw_plan_free(plans[1]);
    }
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/*
 * The paper's identity (Hu et al. 2024): the n-bit code h = q >> m and the error e = q & (2^m - 1) that goes beside it
 * restore the (n + m)-bit quantized value, in binary32 too: delta_lo (h + e / 2^m) = delta_hi q.
 */
static void test_dqa_identity(void **state)
{
    (void)state;
    graph_random random = {11};
    for (int n = 3; n <= 5; n++)
        for (int m = 1; m <= 3; m++)
            for (int i = 0; i < 2000; i++) {
                const float largest = 0.1f + fabsf(graph_normal(&random));
                const float fine = largest / (float)(1 << (n + m - 1));
                const float coarse = largest / (float)(1 << (n - 1));
                const float x = largest * graph_uniform(&random);
                const int32_t top = 1 << (n + m - 1);
                const int32_t q = (int32_t)fminf(fmaxf(rintf(x / fine), (float)-top), (float)(top - 1));
                const int32_t e = q & ((1 << m) - 1);
                const int32_t h = (q - e) / (1 << m);
                const float restored = coarse * ((float)h + (float)e / (float)(1 << m));
                const float plain = fine * (float)q;
                assert_memory_equal(&restored, &plain, sizeof(plain));
                assert_true(h >= -(1 << (n - 1)) && h < 1 << (n - 1));
            }
}

/* More for the important channels, less noise; chosen ones beat random ones; more bits for all beat both. */
static void test_dqa_order(void **state)
{
    (void)state;
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    for (uint64_t seed = 1; seed < 3; seed++) {
        nw_model *model = graph_zoo(seed);
        nw_calibration *calibration = graph_calibrate(model, 24, 8);
        nw_quantize_options options[4] = {
            options_for(NW_ACTIVATION_DIRECT, 3, 3, 0.4), options_for(NW_ACTIVATION_DQA, 3, 3, 0.4),
            options_for(NW_ACTIVATION_DQA, 3, 3, 0.4), options_for(NW_ACTIVATION_DIRECT, 6, 3, 0.4)};
        options[1].ranking = NW_RANKING_RANDOM;
        for (int i = 0; i < 4; i++) {
            nw_model *integer = quantize(model, calibration, &options[i]);
            sum[i] += graph_sqnr(integer, model, 16);
            nw_model_free(integer);
        }
        nw_calibration_free(calibration);
        nw_model_free(model);
    }
    for (int i = 1; i < 4; i++)
        if (!(sum[i] > sum[i - 1]))
            fail_msg("direct %.1f, random %.1f, DQA %.1f, direct at n + m %.1f dB", sum[0] / 2, sum[1] / 2, sum[2] / 2,
                     sum[3] / 2);
}

/* Channels that a plan names are the important ones; numbers that are none are refused, and channels without DQA. */
static void test_dqa_plan(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(5);
    nw_calibration *calibration = graph_calibrate(model, 8, 8);
    nw_quantize_options options = options_for(NW_ACTIVATION_DIRECT, 8, 3, 0.4);
    static const char text[] =
        "{\"version\": 1, \"tensors\": [{\"tensor\": \"stem\", \"bits\": 4, \"scheme\": \"dqa\", "
        "\"extra_bits\": 2, \"channels\": [3, 15]}]}";
    static const char wrong[] =
        "{\"version\": 1, \"tensors\": [{\"tensor\": \"stem\", \"bits\": 4, \"scheme\": \"dqa\", "
        "\"channels\": [16]}]}";
    static const char unused[] =
        "{\"version\": 1, \"tensors\": [{\"tensor\": \"stem\", \"bits\": 4, \"channels\": [3]}]}";
    nw_plan *plan = NULL;
    nw_error error = {""};
    assert_int_equal(nw_plan_parse(&plan, text, strlen(text), "plan", &error), NW_OK);
    options.plan = plan;
    nw_model *integer = quantize(model, calibration, &options);
    const nw_tensor *stem = tensor_of(integer, "stem");
    assert_int_equal(stem->quant.bits, 6);
    for (int32_t c = 0; c < 16; c++)
        assert_int_equal(stem->quant.shift[c], c == 3 || c == 15 ? 0 : 2);
    assert_non_null(strstr(integer->plan, "\"scheme\":\"dqa\",\"extra_bits\":2,\"share\":"));
    assert_non_null(strstr(integer->plan, "\"channels\":[3,15]"));
    nw_plan_free(plan);
    nw_plan *followed = NULL; /* what was followed says the same again */
    assert_int_equal(nw_plan_parse(&followed, integer->plan, strlen(integer->plan), "plan", &error), NW_OK);
    options.plan = followed;
    nw_model *again = quantize(model, calibration, &options);
    assert_string_equal(again->plan, integer->plan);
    nw_model_free(again);
    nw_model_free(integer);
    nw_plan_free(followed);
    assert_int_equal(nw_plan_parse(&plan, wrong, strlen(wrong), "plan", &error), NW_OK);
    options.plan = plan;
    integer = NULL;
    assert_int_equal(nw_quantize(&integer, model, calibration, &options, &error), NW_ERROR_USAGE);
    assert_null(integer);
    nw_plan_free(plan);
    assert_int_equal(nw_plan_parse(&plan, unused, strlen(unused), "plan", &error), NW_OK);
    options.plan = plan;
    assert_int_equal(nw_quantize(&integer, model, calibration, &options, &error), NW_ERROR_USAGE);
    assert_non_null(strstr(error.message, "which it does not have"));
    options.activation_kind = NW_ACTIVATION_DQA; /* now it does */
    integer = quantize(model, calibration, &options);
    assert_int_equal(tensor_of(integer, "stem")->quant.shift[3], 0);
    nw_model_free(integer);
    nw_plan_free(plan);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/* Offsets never make the predicted error larger, and readers take them out: about as good as direct. */
static void check_noisy(nw_activation_kind kind)
{
    double direct = 0.0, noisy = 0.0;
    for (uint64_t seed = 1; seed < 3; seed++) {
        nw_model *model = graph_zoo(seed);
        nw_calibration *calibration = graph_calibrate(model, 16, 8);
        for (int correction = 0; correction < 3; correction += 2) {
            nw_quantize_options options = options_for(NW_ACTIVATION_DIRECT, 4, 3, 0.4);
            options.bias_correction = (nw_bias_correction)correction;
            nw_model *integer = quantize(model, calibration, &options);
            direct += graph_sqnr(integer, model, 16);
            nw_model_free(integer);
            options.activation_kind = kind;
            integer = quantize(model, calibration, &options);
            assert_non_null(strstr(integer->plan, kind == NW_ACTIVATION_NOISY ? "\"noisy\"" : "\"noisy-scalar\""));
            noisy += graph_sqnr(integer, model, 16);
            nw_model_free(integer);
        }
        nw_calibration_free(calibration);
        nw_model_free(model);
    }
    if (!(noisy > direct - 4 * 1.0))
        fail_msg("direct %.1f, noisy %.1f dB", direct / 4, noisy / 4);
}

static void test_noisy(void **state)
{
    (void)state;
    check_noisy(NW_ACTIVATION_NOISY);
    check_noisy(NW_ACTIVATION_NOISY_SCALAR);
}

/* One offset for all channels moves what the first linear tensor in front of linear readers is rounded to. */
static void test_noisy_scalar(void **state)
{
    (void)state;
    graph_random random = {3};
    nw_model *model = graph_create(4, 8);
    const graph_layer wide = {8, 3, 1, 1, 1, -INFINITY, INFINITY, NW_NONE, false};
    const int32_t a = graph_linear(model, &random, 0, "first", wide);
    graph_finish(model, graph_linear(model, &random, a, "second", wide));
    nw_calibration *calibration = graph_calibrate(model, 16, 8);
    nw_quantize_options options = options_for(NW_ACTIVATION_DIRECT, 3, 3, 0.4);
    double sqnr[3];
    static const nw_activation_kind kinds[] = {NW_ACTIVATION_DIRECT, NW_ACTIVATION_NOISY, NW_ACTIVATION_NOISY_SCALAR};
    for (int i = 0; i < 3; i++) {
        options.activation_kind = kinds[i];
        nw_model *integer = quantize(model, calibration, &options);
        sqnr[i] = graph_sqnr(integer, model, 16);
        nw_model_free(integer);
    }
    print_message("direct %.2f, noisy %.2f, scalar %.2f dB\n", sqnr[0], sqnr[1], sqnr[2]);
    assert_true(sqnr[2] > sqnr[0] - 0.5 && fabs(sqnr[2] - sqnr[1]) > 1e-6 && fabs(sqnr[2] - sqnr[0]) > 1e-6);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/* Placement `blocks`: the residual sum is narrow, and so is what shares its grid; the rest keeps 8 bits. */
static void test_placement(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(6);
    nw_calibration *calibration = graph_calibrate(model, 8, 8);
    nw_quantize_options options = options_for(NW_ACTIVATION_DIRECT, 4, 3, 0.4);
    options.placement = NW_PLACEMENT_BLOCKS;
    nw_model *integer = quantize(model, calibration, &options);
    assert_int_equal(tensor_of(integer, "project")->quant.bits, 4);
    assert_int_equal(tensor_of(integer, "joined")->quant.bits, 4);
    assert_int_equal(tensor_of(integer, "stem")->quant.bits, 8);
    assert_int_equal(tensor_of(integer, "depthwise")->quant.bits, 8);
    assert_int_equal(tensor_of(integer, "tail")->quant.bits, 8);
    nw_model_free(integer);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clip_error), cmocka_unit_test(test_dqa_identity), cmocka_unit_test(test_dqa_form),
        cmocka_unit_test(test_dqa_ends),   cmocka_unit_test(test_dqa_order),    cmocka_unit_test(test_dqa_plan),
        cmocka_unit_test(test_noisy),      cmocka_unit_test(test_placement),
        cmocka_unit_test(test_noisy_scalar),
    };
    return cmocka_run_group_tests_name("quant_narrow", tests, NULL, NULL);
}
