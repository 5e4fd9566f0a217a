/* SPDX-License-Identifier: Apache-2.0 */
/* One step for all rows of a layer: as much noise as codes of a width with steps of their own, in fewer coded bytes;
 * per tensor, with further points on steps of their own. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/weight_code.h"
#include "quant/quantize.h"
#include "quant/weights.h"
#include "quant_graphs.h"

/** Three convolutions; the rows of the middle one differ in size by up to 16. 32 groups: it is depthwise. */
static nw_model *make_network(int32_t groups)
{
    nw_model *model = graph_create(3, 12);
    graph_random random = {7};
    const graph_layer first = {.outputs = 32, .kernel = 3, .stride = 1, .pad = 1, .groups = 1, .hi = INFINITY,
                               .residual = NW_NONE};
    const graph_layer middle = {.outputs = 32, .kernel = 3, .stride = 1, .pad = 1, .groups = groups, .lo = -INFINITY,
                                .hi = INFINITY, .residual = NW_NONE};
    const graph_layer last = {.outputs = 10, .kernel = 1, .stride = 1, .groups = 1, .lo = -INFINITY, .hi = INFINITY,
                              .residual = NW_NONE};
    int32_t x = graph_linear(model, &random, 0, "first", first);
    x = graph_linear(model, &random, x, "middle", middle);
    nw_tensor *weights = &model->tensors[model->nodes[model->n_nodes - 1].inputs[1]];
    const size_t k = nw_tensor_elements(weights) / 32;
    for (size_t i = 0; i < 32 * k; i++)
        weights->data[i] *= (float)(1 << (i / k % 5)) * 0.25f;
    graph_finish(model, graph_linear(model, &random, x, "last", last));
    return model;
}

typedef struct result {
    double sqnr;
    size_t coded;
    const nw_linear *middle;
    nw_model *integer;
} result;

static nw_quantize_options options_of(nw_book_kind book, int32_t bits, nw_rounding rounding)
{
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.weight_bits = bits;
    options.book = book;
    options.rounding = rounding;
    options.equalize = false;
    return options;
}

static result quantized_by(const nw_model *model, const nw_calibration *calibration, const nw_quantize_options *options)
{
    result found = {0};
    nw_error error = {""};
    if (nw_quantize(&found.integer, model, calibration, options, &error))
        fail_msg("%s", error.message);
    for (int32_t i = 0; i < found.integer->n_nodes; i++)
        if (found.integer->nodes[i].linear && !strcmp(found.integer->nodes[i].name, "middle"))
            found.middle = found.integer->nodes[i].linear;
    assert_non_null(found.middle);
    const nw_linear *l = found.middle;
    found.coded = nw_weight_code_encode(NULL, l->weights, (size_t)l->n_rows, (size_t)l->k, (size_t)l->k / 9);
    found.sqnr = graph_sqnr(found.integer, model, 20);
    return found;
}

static result quantized(const nw_model *model, const nw_calibration *calibration, nw_book_kind book, int32_t bits,
                        nw_rounding rounding)
{
    const nw_quantize_options options = options_of(book, bits, rounding);
    return quantized_by(model, calibration, &options);
}

static void test_noise_and_bytes(void **state)
{
    (void)state;
    nw_model *model = make_network(1);
    nw_calibration *calibration = graph_calibrate(model, 48, 8);
    for (int32_t bits = 2; bits <= 5; bits++)
        for (int how = 0; how < 2; how++) {
            const nw_rounding rounding = how ? NW_ROUND_REFINE : NW_ROUND_PLAIN;
            const result own = quantized(model, calibration, NW_BOOK_UNIFORM, bits, rounding);
            const result shared = quantized(model, calibration, NW_BOOK_SHARED, bits, rounding);
            printf("%d bits, %s: own steps %.1f dB, %zu bytes coded; shared %.1f dB, %zu\n", (int)bits,
                   how ? "refined" : "nearest", own.sqnr, own.coded, shared.sqnr, shared.coded);
            assert_true(shared.sqnr > own.sqnr - 0.5);
            /* 6.02 dB are worth a bit a weight */
            const double worth = (shared.sqnr - own.sqnr) / 6.02 * 32 * own.middle->k / 8.0;
            assert_true((double)shared.coded - worth < 0.85 * (double)own.coded);
            assert_int_equal(own.middle->weight_bits, bits);
            assert_true(shared.middle->weight_bits > bits);
            for (int32_t r = 1; how == 0 && r < 32; r++) /* one step, so one factor: nearest codes, no step fitted */
                assert_true(fabs(shared.middle->multiplier[r] / shared.middle->multiplier[0] - 1.0f) < 1e-5f);
            nw_model_free(own.integer);
            nw_model_free(shared.integer);
        }
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/** Rows of a depthwise layer meet inputs of their own: steps differ so that each row makes the same noise. */
static void test_depthwise(void **state)
{
    (void)state;
    nw_model *model = make_network(32);
    nw_calibration *calibration = graph_calibrate(model, 48, 8);
    const result own = quantized(model, calibration, NW_BOOK_UNIFORM, 3, NW_ROUND_PLAIN);
    const result shared = quantized(model, calibration, NW_BOOK_SHARED, 3, NW_ROUND_PLAIN);
    float least = INFINITY;
    float most = 0.0f;
    for (int32_t r = 0; r < 32; r++) {
        least = fminf(least, shared.middle->multiplier[r]);
        most = fmaxf(most, shared.middle->multiplier[r]);
    }
    assert_true(shared.sqnr > own.sqnr - 0.5);
    assert_true(most > 1.05f * least);
    nw_model_free(own.integer);
    nw_model_free(shared.integer);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/** An input that hardly varies lets its row be as coarse as it likes: zeros, with a step that is still one. */
static void test_quiet_input(void **state)
{
    (void)state;
    nw_model *model = make_network(32);
    const nw_node *first = &model->nodes[0];
    nw_tensor *weights = &model->tensors[first->inputs[1]];
    const size_t k = nw_tensor_elements(weights) / 32;
    for (size_t i = 5 * k; i < 6 * k; i++)
        weights->data[i] *= 1e-8f;
    model->tensors[first->inputs[2]].data[5] = 0.001f;
    nw_calibration *calibration = graph_calibrate(model, 48, 8);
    for (int how = 0; how < 2; how++) {
        const result own = quantized(model, calibration, NW_BOOK_UNIFORM, 3, how ? NW_ROUND_REFINE : NW_ROUND_PLAIN);
        const result shared = quantized(model, calibration, NW_BOOK_SHARED, 3, how ? NW_ROUND_REFINE : NW_ROUND_PLAIN);
        for (int32_t j = 0; j < shared.middle->k; j++)
            assert_int_equal(shared.middle->weights[5 * shared.middle->k + j], 0);
        assert_true(shared.middle->multiplier[5] <= 0x1p20f);
        assert_true(shared.sqnr > own.sqnr - 0.5);
        nw_model_free(own.integer);
        nw_model_free(shared.integer);
    }
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/**
 * However codes are found, first points stay on one step; further ones have their own, and help where that step hurts.
 */
static void test_per_tensor(void **state)
{
    (void)state;
    nw_model *model = make_network(1);
    nw_calibration *calibration = graph_calibrate(model, 48, 8);
    for (int32_t bits = 2; bits <= 4; bits++)
        for (int how = NW_ROUND_PLAIN; how <= NW_ROUND_REFINE; how++) {
            nw_quantize_options options = options_of(NW_BOOK_PER_TENSOR, bits, (nw_rounding)how);
            const result own = quantized(model, calibration, NW_BOOK_UNIFORM, bits, (nw_rounding)how);
            const result one = quantized_by(model, calibration, &options);
            options.point_budget = 0.5;
            const result points = quantized_by(model, calibration, &options);
            printf("%d bits, rounding %d: own steps %.1f dB, one step %.1f, with points %.1f\n", (int)bits, how,
                   own.sqnr, one.sqnr, points.sqnr);
            assert_true(one.sqnr < own.sqnr);
            assert_true(points.sqnr > one.sqnr + 0.3);
            assert_true(points.middle->n_rows > 32);
            assert_int_equal(points.middle->weight_bits, bits);
            float differ = 0.0f;
            for (int32_t r = 1; r < points.middle->n_rows; r++) {
                const float ratio = points.middle->multiplier[r] / points.middle->multiplier[0];
                if (r < 32) /* multipliers are rounded */
                    assert_true(fabsf(ratio - 1.0f) < 1e-5f &&
                                fabsf(one.middle->multiplier[r] / one.middle->multiplier[0] - 1.0f) < 1e-5f);
                else
                    differ = fmaxf(differ, fabsf(ratio - points.middle->multiplier[32] / points.middle->multiplier[0]));
            }
            assert_true(points.middle->n_rows < 34 || differ > 1e-3f);
            nw_model_free(own.integer);
            nw_model_free(one.integer);
            nw_model_free(points.integer);
        }
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/** Sum of squared errors of a layer's float weights on one step; limit: largest code. */
static double error_on(const float *w, size_t n, double step, double limit)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double rest = (double)w[i] - step * fmin(fmax(rint((double)w[i] / step), -limit), limit);
        sum += rest * rest;
    }
    return sum;
}

/** The step per tensor: no other one on a fine grid is better; from the largest weight where ranges are to be so. */
static void test_step_per_tensor(void **state)
{
    (void)state;
    nw_model *model = make_network(1);
    nw_calibration *calibration = graph_calibrate(model, 8, 8);
    const nw_tensor *weights = &model->tensors[model->nodes[1].inputs[1]];
    const size_t n = nw_tensor_elements(weights);
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)weights->data[i]));
    nw_quantize_options options = options_of(NW_BOOK_PER_TENSOR, 3, NW_ROUND_PLAIN);
    for (int how = NW_WEIGHTS_MIN_MAX; how <= NW_WEIGHTS_MSE; how++) {
        options.weight_range = (nw_weight_method)how;
        const result found = quantized_by(model, calibration, &options);
        /* m = s_x s_w / s_y */
        const nw_node *node = &found.integer->nodes[0];
        while (!node->linear || node->linear != found.middle)
            node++;
        const double scales = (double)found.integer->tensors[node->output].quant.scale /
                              (double)found.integer->tensors[node->inputs[0]].quant.scale;
        const double step = (double)found.middle->multiplier[0] * scales;
        if (how == NW_WEIGHTS_MIN_MAX)
            assert_true(fabs(step * 3.0 / largest - 1.0) < 1e-5);
        else
            for (int i = 1; i <= 1000; i++)
                assert_true(error_on(weights->data, n, step, 3.0) <=
                            error_on(weights->data, n, largest / 3.0 * i / 1000.0, 3.0) * (1.0 + 1e-6));
        nw_model_free(found.integer);
    }
    nw_calibration_free(calibration);
    nw_model_free(model);
}

static void test_eight_bits_are_uniform(void **state)
{
    (void)state;
    const nw_code_book book = nw_code_book_make(NW_BOOK_SHARED, 8);
    assert_int_equal(book.kind, NW_BOOK_UNIFORM);
    assert_true(nw_code_book_exists(NW_BOOK_SHARED, 8) && nw_code_book_exists(NW_BOOK_SHARED, 2));
    assert_false(nw_code_book_exists(NW_BOOK_SHARED, 1));
    assert_int_equal(nw_code_book_make(NW_BOOK_PER_TENSOR, 8).kind, NW_BOOK_UNIFORM);
    assert_int_equal(nw_code_book_make(NW_BOOK_PER_TENSOR, 4).limit, 7);
    assert_int_equal(nw_weights_least_bits((const int8_t[]){0, 1, -1}, 3), 2);
    assert_int_equal(nw_weights_least_bits((const int8_t[]){0, 2, -1}, 3), 3);
    assert_int_equal(nw_weights_least_bits((const int8_t[]){0, -127}, 2), 8);
}

/** A given step is kept; one too small for the largest weight is not. */
static void test_given_step(void **state)
{
    (void)state;
    const double w[4] = {1.0, -0.26, 0.0, 0.1};
    int8_t q[4];
    nw_code_book book = nw_code_book_make(NW_BOOK_SHARED, 3);
    book.step = 0.25;
    assert_true(nw_weights_quantize_row(q, w, 4, &book, NW_WEIGHTS_MSE, NULL) == 0.25);
    assert_memory_equal(q, ((const int8_t[]){4, -1, 0, 0}), 4);
    book.step = 1e-4;
    assert_true(fabs(nw_weights_quantize_row(q, w, 4, &book, NW_WEIGHTS_MSE, NULL) - 1.0 / 127.0) < 1e-12);
    assert_int_equal(q[0], 127);
    book = nw_code_book_make(NW_BOOK_PER_TENSOR, 3); /* clips */
    book.step = 0.2;
    assert_true(nw_weights_quantize_row(q, w, 4, &book, NW_WEIGHTS_MSE, NULL) == 0.2);
    assert_memory_equal(q, ((const int8_t[]){3, -1, 0, 0}), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_and_bytes),
        cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_quiet_input),
        cmocka_unit_test(test_per_tensor),
        cmocka_unit_test(test_step_per_tensor),
        cmocka_unit_test(test_eight_bits_are_uniform),
        cmocka_unit_test(test_given_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
