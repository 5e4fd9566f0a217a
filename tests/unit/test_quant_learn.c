/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learning by gradients: derivatives against differences, errors on samples nobody saw, the same bits by any number of
 * threads.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "float/engine.h"
#include "quant/adam.h"
#include "quant/gradient.h"
#include "quant/quantize.h"
#include "quant_graphs.h"

enum { BATCH = 3 };

/* derivatives */

/** A scheme as far as gradient.h looks at it, and the network played without rounding. */
typedef struct played {
    nw_model *model;
    nw_calibration *calibration;
    nw_quantize_options options;
    nw_scheme *scheme;
    nw_gradient *g;
    float *slope; /* [elements of a sample, BATCH] of the loss by the output */
    int32_t output;
} played;

static void play(played *p, nw_model *model)
{
    nw_error error = {""};
    graph_random random = {5};
    *p = (played){.model = model, .options = NW_QUANTIZE_DEFAULTS, .output = model->outputs[0]};
    p->calibration = graph_calibrate(model, 16, 8);
    p->scheme = nw_scheme_create(model, p->calibration, &p->options);
    assert_non_null(p->scheme);
    assert_int_equal(nw_scheme_modes(p->scheme, &error), NW_OK);
    nw_scheme_groups(p->scheme);
    assert_int_equal(nw_scheme_settle(p->scheme, &error), NW_OK);
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (nw_is_linear(&model->nodes[i]))
            p->scheme->nodes[i].shape =
                nw_linear_shape_of(&model->nodes[i], &model->tensors[model->nodes[i].inputs[1]]);
    assert_int_equal(nw_gradient_create(&p->g, p->scheme, BATCH, true), NW_OK);
    const size_t size = nw_tensor_elements(&model->tensors[model->inputs[0]]);
    float *x = malloc(size * sizeof(*x));
    assert_non_null(x);
    for (int32_t s = 0; s < BATCH; s++) {
        graph_read(model, 100 + s, &x, NULL);
        nw_gradient_input(p->g, 0, s, x);
    }
    free(x);
    for (int32_t t = 0; t < model->n_tensors; t++)
        p->g->tensors[t].rounded = false;
    const size_t n = p->g->tensors[p->output].elements * BATCH;
    p->slope = malloc(n * sizeof(*p->slope));
    assert_non_null(p->slope);
    for (size_t i = 0; i < n; i++)
        p->slope[i] = graph_normal(&random);
}

static void stop(played *p)
{
    free(p->slope);
    nw_gradient_free(p->g);
    nw_scheme_free(p->scheme);
    nw_calibration_free(p->calibration);
    nw_model_free(p->model);
}

static double loss_of(const played *p)
{
    const nw_gradient_tensor *y = &p->g->tensors[p->output];
    double sum = 0.0;
    assert_int_equal(nw_gradient_forward(p->g), NW_OK);
    for (size_t i = 0; i < y->elements * BATCH; i++)
        sum += (double)p->slope[i] * (double)y->value[i];
    return sum;
}

/** Checks the derivative by *x against the difference of the loss on either side. Returns the error over its scale. */
static double difference_error(const played *p, float *x, double derivative, float h)
{
    const float held = *x;
    *x = held + h;
    const double above = loss_of(p);
    *x = held - h;
    const double below = loss_of(p);
    *x = held;
    return fabs((above - below) / (2.0 * (double)h) - derivative) / (1.0 + fabs(derivative));
}

/* Every kind of node the zoo has, most of all: weights and biases of the first layers, through everything behind them.
 * A clamp or a maximum may change sides between the two points, so single numbers may be off, but not one in twenty. */
static void check_derivatives(nw_model *model, int at_least)
{
    played p;
    play(&p, model);
    loss_of(&p);
    nw_gradient_clear(p.g);
    nw_gradient_clear_sums(p.g);
    nw_gradient_tensor *y = &p.g->tensors[p.output];
    assert_true(y->computed);
    memcpy(y->gradient, p.slope, y->elements * BATCH * sizeof(*y->gradient));
    assert_int_equal(nw_gradient_backward(p.g), NW_OK);
    graph_random random = {9};
    int n = 0, wrong = 0, layers = 0;
    double largest = 0.0;
    for (int32_t i = 0; i < p.model->n_nodes; i++) {
        nw_gradient_linear *linear = &p.g->linears[i];
        if (!nw_is_linear(&p.model->nodes[i]))
            continue;
        assert_non_null(linear->weights);
        layers++;
        const int32_t size = linear->shape.n_channels * linear->shape.k;
        for (int32_t j = 0; j < 12; j++, n += 2) {
            const int32_t at = (int32_t)((double)(graph_uniform(&random) + 1.0f) * 0.5 * size);
            const int32_t o = at / linear->shape.k;
            wrong += difference_error(&p, &linear->weights[at], (double)linear->weight_gradient[at], 0.002f) > 0.02;
            wrong += difference_error(&p, &linear->bias[o], (double)linear->bias_gradient[o], 0.002f) > 0.02;
            largest = fmax(largest, fabs((double)linear->weight_gradient[at]));
        }
    }
    assert_true(layers >= at_least);
    assert_true(largest > 1.0);
    if (wrong * 20 > n)
        fail_msg("%d of %d derivatives are wrong", wrong, n);
    stop(&p);
}

static void test_derivatives(void **state)
{
    (void)state;
    check_derivatives(graph_zoo(11), 6);
}

/* A residual that takes every second pixel and pads channels, as in the ResNets for CIFAR: every layer learns. */
static nw_model *shortcut(void)
{
    nw_model *model = graph_create(3, 12);
    graph_random random = {31};
    const graph_layer plain = {8, 3, 1, 1, 1, -INFINITY, INFINITY, NW_NONE, false}; /* no kinks */
    graph_layer layer = plain;
    const int32_t x = graph_linear(model, &random, 0, "first", layer);
    layer.outputs = 14;
    layer.stride = 2;
    const int32_t inner = graph_linear(model, &random, x, "inner", layer);
    const int32_t sliced = graph_unary(model, NW_OP_SLICE, x, "slice", 4, (int32_t[]){1, 8, 6, 5});
    memcpy(model->nodes[model->n_nodes - 1].starts, (int32_t[]){0, 0, 1, 2}, 4 * sizeof(int32_t));
    memcpy(model->nodes[model->n_nodes - 1].steps, (int32_t[]){1, 1, 2, 2}, 4 * sizeof(int32_t));
    layer = plain;
    layer.outputs = 14;
    const int32_t padded = graph_unary(model, NW_OP_PAD, sliced, "pad", 4, (int32_t[]){1, 14, 6, 6});
    memcpy(model->nodes[model->n_nodes - 1].pads, (int32_t[]){0, 2, 0, 1, 0, 4, 0, 0}, 8 * sizeof(int32_t));
    layer.residual = padded;
    const int32_t outer = graph_linear(model, &random, inner, "outer", layer);
    layer = (graph_layer){5, 1, 1, 0, 1, -INFINITY, INFINITY, NW_NONE, false};
    graph_finish(model, graph_linear(model, &random, outer, "last", layer));
    return model;
}

static void test_shortcut(void **state)
{
    (void)state;
    check_derivatives(shortcut(), 4);
}

/* Rounding: the identity inside the limits, nothing outside; by the step's logarithm what is left when the distance to
 * the nearest code (in steps) stays. */
static void test_rounding(void **state)
{
    (void)state;
    enum { C = 5, N = 40 };
    graph_random random = {3};
    nw_gradient_tensor t = {.computed = true, .rounded = true, .channels = C, .elements = C * N};
    t.before = malloc(sizeof(float) * C * N);
    t.value = malloc(sizeof(float) * C * N);
    t.gradient = malloc(sizeof(float) * C * N);
    float step[C] = {0.1f, 0.2f, 0.3f, 0.5f, 0.7f}, lo[C] = {0.0f, -4.0f, -3.0f, -2.0f, 0.0f};
    float hi[C] = {7.0f, 3.0f, 2.0f, 5.0f, 1.0f}, offset[C] = {0.0f, 0.05f, 0.0f, -0.1f, 0.0f};
    double by_step[C] = {0.0}, expected[C] = {0.0};
    float slope[C * N];
    assert_true(t.before && t.value && t.gradient);
    t.step = step;
    t.lo = lo;
    t.hi = hi;
    t.offset = offset;
    t.step_gradient = by_step;
    for (int i = 0; i < C * N; i++) {
        t.before[i] = 2.0f * graph_normal(&random);
        t.gradient[i] = slope[i] = graph_normal(&random);
    }
    nw_gradient_round(&t, 0, N);
    nw_gradient_round_backward(&t, 0, N);
    int inside = 0;
    for (int i = 0; i < C * N; i++) {
        const int c = i % C;
        const double s = (double)step[c];
        const double u = ((double)t.before[i] + (double)offset[c]) / s;
        const bool cut = u < (double)lo[c] || u > (double)hi[c];
        const double code = rint(fmin(fmax(u, (double)lo[c]), (double)hi[c]));
        assert_true(fabs((double)t.value[i] - code * s) < 1e-5);
        assert_true(t.gradient[i] == (cut ? 0.0f : slope[i]));
        const double h = 1e-6; /* steps s e^h and s e^-h, at as many steps from the nearest code */
        const double above = cut ? code * s * exp(h) : s * exp(h) * (u * exp(-h) + (code - u));
        const double below = cut ? code * s * exp(-h) : s * exp(-h) * (u * exp(h) + (code - u));
        expected[c] += (double)slope[i] * (above - below) / (2.0 * h);
        inside += !cut;
    }
    assert_true(inside > C * N / 10 && inside < C * N * 9 / 10);
    for (int c = 0; c < C; c++)
        assert_true(fabs(by_step[c] - expected[c]) < 1e-3 * (1.0 + fabs(expected[c])));
    free(t.before);
    free(t.value);
    free(t.gradient);
}

/*
 * Adam goes downhill to the minimum of a quadratic, whatever the numbers' scales, and leaves numbers of unit 0
 * alone.
 */
static void test_adam(void **state)
{
    (void)state;
    nw_adam adam = {0};
    assert_int_equal(nw_adam_init(&adam, 3), NW_OK);
    const float goal[3] = {300.0f, -0.002f, 5.0f};
    adam.unit[0] = 1000.0f;
    adam.unit[1] = 0.01f;
    float gradient[3];
    for (int32_t update = 1; update <= 500; update++) {
        for (int i = 0; i < 3; i++)
            gradient[i] = 2.0f * (adam.value[i] - goal[i]);
        nw_adam_update(&adam, gradient, 0.02f * (float)(500 - update) / 500.0f, update);
    }
    assert_true(fabsf(adam.value[0] - goal[0]) < 3.0f);
    assert_true(fabsf(adam.value[1] - goal[1]) < 0.00003f);
    assert_true(adam.value[2] == 0.0f);
    nw_adam_clear(&adam);
}

/* networks */

static nw_calibration *calibrate(nw_model *model, int64_t n)
{
    nw_error error = {""};
    nw_calibration *calibration = NULL;
    const nw_sample_source source = {graph_read, model, n};
    nw_calibrate_options options = NW_CALIBRATE_DEFAULTS;
    options.max_kept = 32;
    options.max_pool = 1024;
    if (nw_calibrate(&calibration, model, &source, &options, &error))
        fail_msg("%s", error.message);
    assert_int_equal(calibration->n_pool, n < 1024 ? n : 1024);
    return calibration;
}

static nw_model *quantize(nw_model *model, const nw_calibration *calibration, const nw_quantize_options *options)
{
    nw_error error = {""};
    nw_model *integer = NULL;
    if (nw_quantize(&integer, model, calibration, options, &error))
        fail_msg("%s", error.message);
    return integer;
}

static double learned_sqnr(nw_model *model, const nw_calibration *calibration, nw_quantize_options options,
                           int32_t updates)
{
    options.learn_updates = updates;
    nw_model *integer = quantize(model, calibration, &options);
    const double sqnr = graph_sqnr(integer, model, 64);
    nw_model_free(integer);
    return sqnr;
}

/*
 * What was learned holds on samples that calibration did not see, by the integer engine: all forms of narrow
 * tensors.
 */
static void test_learning_pays(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(21);
    nw_calibration *calibration = calibrate(model, 1024);
    static const struct {
        int32_t weights, bits;
        nw_activation_kind kind;
        double gain; /* dB, at least */
    } cases[] = {{8, 3, NW_ACTIVATION_DIRECT, 0.5},
                 {4, 3, NW_ACTIVATION_DIRECT, 0.5},
                 {8, 3, NW_ACTIVATION_DQA, 0.5}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
        options.weight_bits = cases[i].weights;
        options.activation_bits = cases[i].bits;
        options.activation_kind = cases[i].kind;
        const double before = learned_sqnr(model, calibration, options, 0);
        const double after = learned_sqnr(model, calibration, options, 300);
        print_message("case %zu: %.2f dB, learned %.2f dB\n", i, before, after);
        assert_true(after > before + cases[i].gain);
    }
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/* What samples that judge do not like is undone: here, where 300 updates make 0.4 dB worse what is good already. */
static void test_judges(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(21);
    nw_calibration *calibration = calibrate(model, 1024);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.weight_bits = 4;
    options.activation_bits = 4;
    const double before = learned_sqnr(model, calibration, options, 0);
    const double after = learned_sqnr(model, calibration, options, 300);
    assert_true(fabs(after - before) < 0.01); /* but for biases, now in binary32 */
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/* Auto: learns behind narrow activations only, and not without a pool; asked for without one it says so. */
static void test_when(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(22);
    nw_calibration *with = calibrate(model, 256);
    nw_calibration *without = graph_calibrate(model, 256, 8);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    const double wide = learned_sqnr(model, with, options, 0);
    options.activation_bits = 3;
    const double narrow = learned_sqnr(model, with, options, 0);
    assert_true(learned_sqnr(model, without, options, NW_LEARN_AUTO) == narrow);
    assert_true(learned_sqnr(model, with, options, NW_LEARN_AUTO) > narrow);
    options.activation_bits = 8;
    assert_true(learned_sqnr(model, with, options, NW_LEARN_AUTO) == wide);
    options.learn_updates = 3;
    nw_error error = {""};
    nw_model *integer = NULL;
    assert_int_equal(nw_quantize(&integer, model, without, &options, &error), NW_ERROR_USAGE);
    options.accumulator = NW_ACCUMULATOR_16;
    assert_int_equal(nw_quantize(&integer, model, with, &options, &error), NW_ERROR_USAGE);
    assert_null(integer);
    nw_calibration_free(with);
    nw_calibration_free(without);
    nw_model_free(model);
}

/* What learning does by itself is the same by any number of threads. */
static void test_threads(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(23);
    nw_calibration *calibration = calibrate(model, 64);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.activation_bits = 3;
    options.rounding = NW_ROUND_PLAIN;
    options.bias_correction = NW_BIAS_CORRECTION_NONE;
    options.learn_updates = 20;
    nw_model *made[3];
    for (int i = 0; i < 3; i++) {
        nw_float_set_threads(i == 1 ? 4 : 1);
        made[i] = quantize(model, calibration, &options);
    }
    for (int i = 1; i < 3; i++)
        for (int32_t n = 0; n < made[0]->n_nodes; n++) {
            const nw_linear *a = made[0]->nodes[n].linear;
            const nw_linear *b = made[i]->nodes[n].linear;
            if (!a)
                continue;
            assert_memory_equal(a->weights, b->weights, (size_t)a->n_rows * (size_t)a->k);
            assert_memory_equal(a->bias, b->bias, (size_t)a->n_channels * sizeof(float));
            assert_memory_equal(a->multiplier, b->multiplier, (size_t)a->n_rows * sizeof(float));
        }
    for (int i = 0; i < 3; i++)
        nw_model_free(made[i]);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_derivatives), cmocka_unit_test(test_shortcut),      cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_adam),        cmocka_unit_test(test_learning_pays), cmocka_unit_test(test_judges),
        cmocka_unit_test(test_when),        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
