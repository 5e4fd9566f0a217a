/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The float engine against definitions (float_reference.c) on odd shapes, and its promises: observers, editors, partial
 * runs, replaced weights, shared memory.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "float/engine.h"
#include "float_reference.h"

/* ---- building networks ---- */

static uint32_t random_state = 1;

static float random_float(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / 8388608.0f - 1.0f;
}

static float *random_data(size_t n)
{
    float *data = malloc((n ? n : 1) * sizeof(*data));
    assert_non_null(data);
    for (size_t i = 0; i < n; i++)
        data[i] = random_float();
    return data;
}

static int32_t add_tensor(nw_model *model, const char *name, int32_t rank, const int32_t *dims)
{
    const int32_t index = nw_model_add_tensor(model, name, NW_TYPE_F32, rank, dims);
    assert_int_not_equal(index, NW_NONE);
    return index;
}

static int32_t add_constant(nw_model *model, const char *name, int32_t rank, const int32_t *dims)
{
    const int32_t index = add_tensor(model, name, rank, dims);
    model->tensors[index].data = random_data(nw_tensor_elements(&model->tensors[index]));
    return index;
}

static nw_node *add_node(nw_model *model, nw_op op, const char *name, int32_t n, const int32_t *inputs, int32_t output)
{
    nw_node *node = nw_model_add_node(model, op, name, n);
    assert_non_null(node);
    memcpy(node->inputs, inputs, (size_t)n * sizeof(*inputs));
    node->output = output;
    return node;
}

static void set_ends(nw_model *model, int32_t input, int32_t output)
{
    model->inputs = malloc(sizeof(*model->inputs));
    model->outputs = malloc(sizeof(*model->outputs));
    model->inputs[0] = input;
    model->outputs[0] = output;
    model->n_inputs = model->n_outputs = 1;
}

#define DIMS(...) ((const int32_t[]){__VA_ARGS__})
#define BATCH 3

/* The output of a network for one random input of BATCH samples; both are the caller's to free. */
static float *run_network(const nw_model *model, float **input)
{
    nw_float_engine *engine = NULL;
    nw_error error = {""};
    const nw_status status = nw_float_create(&engine, model, BATCH, &error);
    if (status)
        fail_msg("%s", error.message);
    const size_t n = nw_tensor_elements(&model->tensors[model->inputs[0]]) * BATCH;
    const size_t m = nw_tensor_elements(&model->tensors[model->outputs[0]]) * BATCH;
    *input = random_data(n);
    float *output = random_data(m);
    assert_int_equal(nw_float_run(engine, (const float *const[]){*input}, (float *const[]){output}, &error), NW_OK);
    nw_float_free(engine);
    return output;
}

static void assert_close(double got, double expected, const char *what)
{
    if (!(fabs(got - expected) <= 2e-5 * (1.0 + fabs(expected))))
        fail_msg("%s: %.9g, expected %.9g", what, got, expected);
}

/* ---- windows ---- */

typedef struct window_case {
    int32_t c, h, w, o, groups;
    nw_window window;
    float lo, hi;
    bool bias, residual;
} window_case;

static int32_t conv_size(const nw_window *w, int32_t size, int axis)
{
    const int32_t reach = (w->kernel[axis] - 1) * w->dilation[axis] + 1;
    return (size + w->pad[axis] + w->pad[axis + 2] - reach) / w->stride[axis] + 1;
}

static int32_t transposed_size(const nw_window *w, int32_t size, int axis)
{
    const int32_t reach = (w->kernel[axis] - 1) * w->dilation[axis] + 1;
    return (size - 1) * w->stride[axis] + reach - w->pad[axis] - w->pad[axis + 2];
}

static void check_linear(nw_op op, const window_case *t)
{
    const bool transposed = op == NW_OP_CONV_TRANSPOSE;
    const int32_t h = transposed ? transposed_size(&t->window, t->h, 0) : conv_size(&t->window, t->h, 0);
    const int32_t w = transposed ? transposed_size(&t->window, t->w, 1) : conv_size(&t->window, t->w, 1);
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, t->c, t->h, t->w));
    const int32_t a = transposed ? t->c : t->o, b = (transposed ? t->o : t->c) / t->groups;
    const int32_t weights = add_constant(model, "w", 4, DIMS(a, b, t->window.kernel[0], t->window.kernel[1]));
    const int32_t bias = t->bias ? add_constant(model, "b", 1, DIMS(t->o)) : NW_NONE;
    const int32_t residual = t->residual ? add_constant(model, "r", 4, DIMS(1, t->o, h, w)) : NW_NONE;
    const int32_t y = add_tensor(model, "y", 4, DIMS(1, t->o, h, w));
    const int32_t sum = add_tensor(model, "sum", 4, DIMS(1, t->o, h, w));
    /* a residual that carries a batch: y2 = linear(x) with residual linear(x) + constant */
    nw_node *first = add_node(model, op, "first", 3, DIMS(x, weights, bias), y);
    first->window = t->window;
    first->groups = t->groups;
    first->lo = t->residual ? -INFINITY : t->lo;
    first->hi = t->residual ? INFINITY : t->hi;
    if (t->residual) {
        const int32_t shifted = add_tensor(model, "shifted", 4, DIMS(1, t->o, h, w));
        add_node(model, NW_OP_ADD, "shift", 2, DIMS(y, residual), shifted);
        nw_node *second = add_node(model, op, "second", 4, DIMS(x, weights, bias, shifted), sum);
        second->window = t->window;
        second->groups = t->groups;
        second->lo = t->lo;
        second->hi = t->hi;
    }
    set_ends(model, x, t->residual ? sum : y);
    float *input, *output = run_network(model, &input);
    const nw_node *node = &model->nodes[0];
    const plane4 plane = {BATCH, t->c, t->h, t->w, input};
    size_t e = 0;
    for (int32_t n = 0; n < BATCH; n++)
        for (int32_t o = 0; o < t->o; o++)
            for (int32_t i = 0; i < h; i++)
                for (int32_t j = 0; j < w; j++, e++) {
                    double v = (transposed ? reference_conv_transpose : reference_conv)(
                        node, plane, model->tensors[weights].data, t->o, n, o, i, j);
                    v += t->bias ? model->tensors[bias].data[o] : 0.0f;
                    if (t->residual)
                        v = 2 * v + model->tensors[residual].data[(o * h + i) * w + j];
                    assert_close(output[e], fmin(fmax(v, t->lo), t->hi), transposed ? "transposed" : "convolution");
                }
    free(input);
    free(output);
    nw_model_free(model);
}

#define NO_CLAMP -INFINITY, INFINITY
#define WINDOW(kh, kw, sh, sw, dh, dw, ...)     \
    {                                           \
        {kh, kw}, {sh, sw}, {dh, dw}, __VA_ARGS__ \
    }

static void test_convolution(void **state)
{
    (void)state;
    static const window_case cases[] = {
        {3, 9, 11, 16, 1, WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1}), 0.0f, INFINITY, true, false},
        {3, 10, 7, 5, 1, WINDOW(3, 3, 2, 2, 1, 1, {0, 0, 1, 1}), 0.0f, 6.0f, true, false},
        {16, 8, 8, 24, 1, WINDOW(1, 1, 1, 1, 1, 1, {0}), NO_CLAMP, true, false},
        {16, 8, 8, 24, 1, WINDOW(1, 1, 2, 2, 1, 1, {0}), NO_CLAMP, false, false},
        {7, 13, 9, 11, 1, WINDOW(5, 3, 2, 1, 1, 2, {2, 0, 1, 3}), -0.5f, 0.75f, true, false},
        {16, 9, 9, 16, 16, WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1}), 0.0f, 6.0f, true, false},
        {13, 9, 6, 13, 13, WINDOW(3, 3, 2, 2, 1, 1, {0, 1, 1, 1}), 0.0f, 6.0f, true, false},
        {24, 10, 10, 24, 24, WINDOW(5, 5, 1, 1, 2, 2, {4, 4, 4, 4}), NO_CLAMP, false, false},
        {12, 8, 7, 18, 3, WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1}), 0.0f, INFINITY, true, false},
        {6, 5, 5, 12, 6, WINDOW(2, 2, 1, 1, 1, 1, {0, 0, 1, 1}), NO_CLAMP, true, false},
        {16, 6, 6, 16, 1, WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1}), 0.0f, INFINITY, true, true},
        {10, 6, 5, 10, 1, WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1}), -1.0f, 1.0f, false, true},
        {16, 6, 6, 16, 16, WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1}), 0.0f, 6.0f, true, true},
        {12, 1, 1, 20, 1, WINDOW(1, 1, 1, 1, 1, 1, {0}), 0.0f, INFINITY, true, true},
        {12, 1, 1, 20, 1, WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1}), 0.0f, INFINITY, true, false},
        {1, 49, 10, 8, 1, WINDOW(10, 4, 2, 2, 1, 1, {4, 1, 5, 1}), 0.0f, INFINITY, true, false},
    };
    for (size_t i = 0; i < NW_COUNT(cases); i++)
        check_linear(NW_OP_CONV, &cases[i]);
}

static void test_transposed_convolution(void **state)
{
    (void)state;
    static const window_case cases[] = {
        {16, 5, 6, 8, 1, WINDOW(2, 2, 2, 2, 1, 1, {0}), NO_CLAMP, true, false},
        {5, 4, 3, 7, 1, WINDOW(3, 3, 2, 2, 1, 1, {1, 1, 1, 1}), 0.0f, INFINITY, true, false},
        {8, 4, 4, 8, 1, WINDOW(3, 3, 2, 2, 1, 1, {1, 1, 0, 0}), NO_CLAMP, false, false},
        {6, 4, 5, 9, 3, WINDOW(4, 3, 2, 1, 1, 2, {1, 0, 2, 1}), -0.5f, 0.5f, true, false},
        {8, 3, 3, 8, 8, WINDOW(4, 4, 2, 2, 1, 1, {1, 1, 1, 1}), NO_CLAMP, true, false},
        {8, 4, 4, 8, 1, WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1}), 0.0f, 1.0f, true, true},
    };
    for (size_t i = 0; i < NW_COUNT(cases); i++)
        check_linear(NW_OP_CONV_TRANSPOSE, &cases[i]);
}

static void check_pool(nw_op op, int32_t c, int32_t h, int32_t w, int32_t extra, const nw_window *window, bool include)
{
    const int32_t rows = conv_size(window, h, 0) + extra, columns = conv_size(window, w, 1) + extra;
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, c, h, w));
    const int32_t y = add_tensor(model, "y", 4, DIMS(1, c, rows, columns));
    nw_node *node = add_node(model, op, "pool", 1, DIMS(x), y);
    node->window = *window;
    node->count_include_pad = include;
    set_ends(model, x, y);
    float *input, *output = run_network(model, &input);
    const plane4 plane = {BATCH, c, h, w, input};
    size_t e = 0;
    for (int32_t n = 0; n < BATCH; n++)
        for (int32_t o = 0; o < c; o++)
            for (int32_t i = 0; i < rows; i++)
                for (int32_t j = 0; j < columns; j++, e++)
                    assert_close(output[e], reference_pool(node, plane, n, o, i, j), nw_op_name(op));
    free(input);
    free(output);
    nw_model_free(model);
}

static void test_pool(void **state)
{
    (void)state;
    const nw_window windows[] = {
        WINDOW(2, 2, 2, 2, 1, 1, {0}),          WINDOW(3, 3, 2, 2, 1, 1, {1, 1, 1, 1}),
        WINDOW(3, 2, 1, 2, 1, 1, {1, 0, 0, 1}), WINDOW(2, 3, 1, 1, 2, 1, {0, 1, 1, 1}),
        WINDOW(9, 8, 1, 1, 1, 1, {0}),
    };
    for (size_t i = 0; i < NW_COUNT(windows); i++)
        for (int32_t c = 5; c <= 16; c += 11) {
            check_pool(NW_OP_MAX_POOL, c, 9, 8, 0, &windows[i], false);
            check_pool(NW_OP_AVERAGE_POOL, c, 9, 8, 0, &windows[i], false);
            check_pool(NW_OP_AVERAGE_POOL, c, 9, 8, 0, &windows[i], true);
        }
    /* ceil mode: one more window, which hangs over the edge */
    const nw_window ceil = WINDOW(3, 3, 2, 2, 1, 1, {1, 1, 1, 1});
    check_pool(NW_OP_MAX_POOL, 8, 8, 8, 1, &ceil, false);
    check_pool(NW_OP_AVERAGE_POOL, 8, 8, 8, 1, &ceil, false);
    check_pool(NW_OP_AVERAGE_POOL, 8, 8, 8, 1, &ceil, true);
}

/* ---- elementwise ---- */

static double eltwise(const nw_node *node, double x)
{
    switch (node->op) {
    case NW_OP_RELU:
        return fmax(x, 0.0);
    case NW_OP_CLIP:
        return fmin(fmax(x, node->lo), node->hi);
    case NW_OP_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case NW_OP_TANH:
        return tanh(x);
    case NW_OP_EXP:
        return exp(x);
    case NW_OP_HARD_SIGMOID:
        return fmin(fmax(node->alpha * x + node->beta, 0.0), 1.0);
    case NW_OP_HARD_SWISH:
        return x * fmin(fmax(x / 6.0 + 0.5, 0.0), 1.0);
    case NW_OP_SILU:
        return x / (1.0 + exp(-x));
    default: /* NW_OP_LEAKY_RELU */
        return x < 0.0 ? node->alpha * x : x;
    }
}

/* Behind a convolution, so that the data lies in blocks with a padded tail, and on the dense input. */
static void check_eltwise(nw_op op, bool blocked)
{
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, 11, 5, 3));
    const int32_t w = add_constant(model, "w", 4, DIMS(11, 11, 3, 3));
    const int32_t h = add_tensor(model, "h", 4, DIMS(1, 11, 5, 3));
    const int32_t y = add_tensor(model, "y", 4, DIMS(1, 11, 5, 3));
    nw_node *conv = add_node(model, NW_OP_CONV, "conv", 2, DIMS(x, w), h);
    conv->window = (nw_window)WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1});
    nw_node *node = add_node(model, op, "node", 1, DIMS(blocked ? h : x), y);
    node->alpha = 0.25f;
    node->beta = 0.5f;
    if (op == NW_OP_CLIP) {
        node->lo = -0.25f;
        node->hi = 0.5f;
    }
    set_ends(model, x, y);
    float *input, *output = run_network(model, &input);
    const plane4 plane = {BATCH, 11, 5, 3, input};
    for (int32_t e = 0; e < BATCH * 11 * 15; e++) {
        const int32_t n = e / 165, c = e / 15 % 11, i = e / 3 % 5, j = e % 3;
        const double v = blocked ? reference_conv(&model->nodes[0], plane, model->tensors[w].data, 11, n, c, i, j)
                                 : input[e];
        assert_close(output[e], eltwise(&model->nodes[1], v), nw_op_name(op));
    }
    free(input);
    free(output);
    nw_model_free(model);
}

static void test_eltwise(void **state)
{
    (void)state;
    static const nw_op ops[] = {NW_OP_RELU, NW_OP_CLIP,         NW_OP_SIGMOID,    NW_OP_TANH,
                                NW_OP_EXP,  NW_OP_HARD_SIGMOID, NW_OP_HARD_SWISH, NW_OP_LEAKY_RELU,
                                NW_OP_SILU};
    for (size_t i = 0; i < NW_COUNT(ops); i++) {
        check_eltwise(ops[i], false);
        check_eltwise(ops[i], true);
    }
}

static double binary(nw_op op, double a, double b)
{
    return op == NW_OP_ADD ? a + b : op == NW_OP_SUB ? a - b : op == NW_OP_MUL ? a * b : a / b;
}

/* x [1, 6, 4, 5] (maybe through a convolution) op a constant of shape [c, h, w] broadcast to it, either way round. */
static void check_broadcast(nw_op op, bool swapped, int32_t rank, const int32_t *dims)
{
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, 6, 4, 5));
    const int32_t k = add_constant(model, "k", rank, dims);
    const int32_t y = add_tensor(model, "y", 4, DIMS(1, 6, 4, 5));
    const size_t n = nw_tensor_elements(&model->tensors[k]);
    for (size_t i = 0; i < n; i++)
        model->tensors[k].data[i] += 2.5f; /* no division by almost zero */
    nw_node *node = add_node(model, op, "node", 2, swapped ? DIMS(k, x) : DIMS(x, k), y);
    node->lo = -2.0f;
    node->hi = 2.0f;
    set_ends(model, x, y);
    float *input, *output = run_network(model, &input);
    for (int32_t e = 0; e < BATCH * 120; e++) {
        const int32_t index[4] = {0, e / 20 % 6, e / 5 % 4, e % 5};
        int32_t at = 0;
        for (int32_t i = 0; i < rank; i++)
            at = at * dims[i] + (dims[i] > 1 ? index[4 - rank + i] : 0);
        const double b = model->tensors[k].data[at];
        if (swapped && op == NW_OP_DIV && fabsf(input[e]) < 0.01f)
            continue;
        const double v = swapped ? binary(op, b, input[e]) : binary(op, input[e], b);
        assert_close(output[e], fmin(fmax(v, -2.0), 2.0), nw_op_name(op));
    }
    free(input);
    free(output);
    nw_model_free(model);
}

static void test_binary(void **state)
{
    (void)state;
    static const nw_op ops[] = {NW_OP_ADD, NW_OP_SUB, NW_OP_MUL, NW_OP_DIV};
    for (size_t i = 0; i < NW_COUNT(ops); i++)
        for (int swapped = 0; swapped < 2; swapped++) {
            check_broadcast(ops[i], swapped, 4, DIMS(1, 6, 4, 5));
            check_broadcast(ops[i], swapped, 4, DIMS(1, 6, 1, 1));
            check_broadcast(ops[i], swapped, 3, DIMS(6, 1, 1));
            check_broadcast(ops[i], swapped, 3, DIMS(1, 4, 1));
            check_broadcast(ops[i], swapped, 1, DIMS(5));
            check_broadcast(ops[i], swapped, 1, DIMS(1));
            check_broadcast(ops[i], swapped, 0, DIMS(1));
        }
}

/* The squeeze-and-excitation pattern: [N, C, H, W] * [N, C, 1, 1], both computed. */
static void test_scale_by_channel(void **state)
{
    (void)state;
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, 16, 4, 4));
    const int32_t w = add_constant(model, "w", 4, DIMS(16, 16, 1, 1));
    const int32_t h = add_tensor(model, "h", 4, DIMS(1, 16, 4, 4));
    const int32_t mean = add_tensor(model, "mean", 4, DIMS(1, 16, 1, 1));
    const int32_t y = add_tensor(model, "y", 4, DIMS(1, 16, 4, 4));
    nw_node *conv = add_node(model, NW_OP_CONV, "conv", 2, DIMS(x, w), h);
    conv->window = (nw_window)WINDOW(1, 1, 1, 1, 1, 1, {0});
    nw_node *pool = add_node(model, NW_OP_AVERAGE_POOL, "pool", 1, DIMS(h), mean);
    pool->window = (nw_window)WINDOW(4, 4, 1, 1, 1, 1, {0});
    add_node(model, NW_OP_MUL, "mul", 2, DIMS(h, mean), y);
    set_ends(model, x, y);
    float *input, *output = run_network(model, &input);
    const plane4 plane = {BATCH, 16, 4, 4, input};
    for (int32_t n = 0; n < BATCH; n++)
        for (int32_t c = 0; c < 16; c++) {
            double v[16], sum = 0.0;
            for (int32_t i = 0; i < 16; i++)
                sum += v[i] = reference_conv(&model->nodes[0], plane, model->tensors[w].data, 16, n, c, i / 4, i % 4);
            for (int32_t i = 0; i < 16; i++)
                assert_close(output[(n * 16 + c) * 16 + i], v[i] * sum / 16.0, "mul");
        }
    free(input);
    free(output);
    nw_model_free(model);
}

static void test_batch_norm(void **state)
{
    (void)state;
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, 11, 3, 5));
    int32_t inputs[5] = {x};
    static const char *const names[] = {"", "scale", "bias", "mean", "variance"};
    for (int i = 1; i < 5; i++)
        inputs[i] = add_constant(model, names[i], 1, DIMS(11));
    for (int i = 0; i < 11; i++)
        model->tensors[inputs[4]].data[i] += 1.5f;
    const int32_t y = add_tensor(model, "y", 4, DIMS(1, 11, 3, 5));
    add_node(model, NW_OP_BATCH_NORM, "bn", 5, inputs, y)->alpha = 1e-3f;
    set_ends(model, x, y);
    float *input, *output = run_network(model, &input);
    for (int32_t e = 0; e < BATCH * 165; e++) {
        const int32_t c = e / 15 % 11;
        const double scale = model->tensors[inputs[1]].data[c], bias = model->tensors[inputs[2]].data[c];
        const double mean = model->tensors[inputs[3]].data[c], variance = model->tensors[inputs[4]].data[c];
        assert_close(output[e], (input[e] - mean) / sqrt(variance + 1e-3f) * scale + bias, "batch_norm");
    }
    free(input);
    free(output);
    nw_model_free(model);
}

static void test_gemm(void **state)
{
    (void)state;
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 2, DIMS(1, 37));
    const int32_t w = add_constant(model, "w", 2, DIMS(13, 37));
    const int32_t b = add_constant(model, "b", 1, DIMS(13));
    const int32_t y = add_tensor(model, "y", 2, DIMS(1, 13));
    add_node(model, NW_OP_GEMM, "gemm", 3, DIMS(x, w, b), y);
    set_ends(model, x, y);
    float *input, *output = run_network(model, &input);
    for (int32_t e = 0; e < BATCH * 13; e++) {
        double sum = model->tensors[b].data[e % 13];
        for (int32_t k = 0; k < 37; k++)
            sum += (double)input[e / 13 * 37 + k] * model->tensors[w].data[e % 13 * 37 + k];
        assert_close(output[e], sum, "gemm");
    }
    free(input);
    free(output);
    nw_model_free(model);
}

static void test_softmax(void **state)
{
    (void)state;
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, 7, 2, 3)), y = add_tensor(model, "y", 4, DIMS(1, 7, 2, 3));
    add_node(model, NW_OP_SOFTMAX, "softmax", 1, DIMS(x), y)->axis = 1;
    set_ends(model, x, y);
    float *input, *output = run_network(model, &input);
    for (int32_t e = 0; e < BATCH * 42; e++) {
        double sum = 0.0;
        for (int32_t c = 0; c < 7; c++)
            sum += exp(input[e / 42 * 42 + c * 6 + e % 6]);
        assert_close(output[e], exp(input[e]) / sum, "softmax");
    }
    free(input);
    free(output);
    nw_model_free(model);
}

/* ---- data movement: behind a convolution that lets every channel through, so that the source lies in blocks ---- */

/* x -> identity convolution -> h; returns h. */
static int32_t add_identity(nw_model *model, int32_t x, int32_t channels, int32_t h, int32_t w)
{
    const int32_t weights = add_constant(model, "identity", 4, DIMS(channels, channels, 1, 1));
    for (int32_t i = 0; i < channels * channels; i++)
        model->tensors[weights].data[i] = i / channels == i % channels ? 1.0f : 0.0f;
    const int32_t y = add_tensor(model, "h", 4, DIMS(1, channels, h, w));
    add_node(model, NW_OP_CONV, "identity", 2, DIMS(x, weights), y)->window =
        (nw_window)WINDOW(1, 1, 1, 1, 1, 1, {0});
    return y;
}

static void check_concat(int32_t a, int32_t b)
{
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, a, 3, 4));
    const int32_t h = add_identity(model, x, a, 3, 4);
    const int32_t w = add_constant(model, "w", 4, DIMS(b, a, 1, 1));
    const int32_t g = add_tensor(model, "g", 4, DIMS(1, b, 3, 4));
    const int32_t y = add_tensor(model, "y", 4, DIMS(1, a + b + a, 3, 4));
    add_node(model, NW_OP_CONV, "conv", 2, DIMS(h, w), g)->window = (nw_window)WINDOW(1, 1, 1, 1, 1, 1, {0});
    add_node(model, NW_OP_CONCAT, "concat", 3, DIMS(h, g, x), y)->axis = 1;
    set_ends(model, x, y);
    float *input, *output = run_network(model, &input);
    const plane4 plane = {BATCH, a, 3, 4, input};
    for (int32_t e = 0; e < BATCH * (a + b + a) * 12; e++) {
        const int32_t n = e / ((a + b + a) * 12), c = e / 12 % (a + b + a), i = e % 12;
        const double expected =
            c >= a && c < a + b
                ? reference_conv(&model->nodes[1], plane, model->tensors[w].data, b, n, c - a, i / 4, i % 4)
                : input[(n * a + (c < a ? c : c - a - b)) * 12 + i];
        assert_close(output[e], expected, "concat");
    }
    free(input);
    free(output);
    nw_model_free(model);
}

static void test_concat(void **state)
{
    (void)state;
    check_concat(16, 8);
    check_concat(5, 7);
    check_concat(8, 3);
}

/* Moves [1, 10, 6, 7] by `node`; source(index of the result) gives the index in the input, negative for the pad. */
typedef int32_t source_fn(const int32_t index[4]);

static void check_movement(nw_op op, const int32_t dims[4], source_fn *source, void (*set)(nw_node *))
{
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, 10, 6, 7));
    const int32_t h = add_identity(model, x, 10, 6, 7);
    const int32_t y = add_tensor(model, "y", 4, dims);
    set(add_node(model, op, "node", 1, DIMS(h), y));
    set_ends(model, x, y);
    float *input, *output = run_network(model, &input);
    const int32_t one = dims[1] * dims[2] * dims[3];
    for (int32_t e = 0; e < BATCH * one; e++) {
        const int32_t index[4] = {0, e % one / (dims[2] * dims[3]), e / dims[3] % dims[2], e % dims[3]};
        const int32_t from = source(index);
        assert_close(output[e], from < 0 ? -7.0 : input[e / one * 420 + from], nw_op_name(op));
    }
    free(input);
    free(output);
    nw_model_free(model);
}

static int32_t slice_source(const int32_t i[4])
{
    return (2 + i[1] * 3) * 42 + (1 + i[2]) * 7 + i[3] * 2;
}

static void set_slice(nw_node *node)
{
    const int32_t starts[4] = {0, 2, 1, 0}, steps[4] = {1, 3, 1, 2};
    memcpy(node->starts, starts, sizeof(starts));
    memcpy(node->steps, steps, sizeof(steps));
}

static int32_t pad_source(const int32_t i[4])
{
    const int32_t c = i[1] - 1, y = i[2], x = i[3] - 2;
    return c < 0 || c >= 10 || y >= 6 || x < 0 || x >= 7 ? -1 : c * 42 + y * 7 + x;
}

static void set_pad(nw_node *node)
{
    const int32_t pads[8] = {0, 1, 0, 2, 0, 1, 3, 1};
    memcpy(node->pads, pads, sizeof(pads));
    node->alpha = -7.0f;
}

static int32_t transpose_source(const int32_t i[4]) /* [N, H, W, C] */
{
    return i[3] * 42 + i[1] * 7 + i[2];
}

static void set_transpose(nw_node *node)
{
    const int32_t perm[4] = {0, 2, 3, 1};
    memcpy(node->perm, perm, sizeof(perm));
}

static int32_t reshape_source(const int32_t i[4]) /* [N, 20, 3, 7] */
{
    return (i[1] * 3 + i[2]) * 7 + i[3];
}

static int32_t flatten_source(const int32_t i[4]) /* [N, 420, 1, 1] */
{
    return i[1];
}

static void set_nothing(nw_node *node)
{
    (void)node;
}

static int32_t nearest_source(const int32_t i[4])
{
    return i[1] * 42 + i[2] / 2 * 7 + i[3] / 2;
}

static void set_nearest(nw_node *node)
{
    node->resize_mode = NW_RESIZE_NEAREST;
    node->resize_coordinates = NW_COORDINATES_ASYMMETRIC;
}

static void test_movement(void **state)
{
    (void)state;
    check_movement(NW_OP_SLICE, DIMS(1, 3, 4, 4), slice_source, set_slice);
    check_movement(NW_OP_PAD, DIMS(1, 12, 9, 10), pad_source, set_pad);
    check_movement(NW_OP_TRANSPOSE, DIMS(1, 6, 7, 10), transpose_source, set_transpose);
    check_movement(NW_OP_RESHAPE, DIMS(1, 20, 3, 7), reshape_source, set_nothing);
    check_movement(NW_OP_RESHAPE, DIMS(1, 420, 1, 1), flatten_source, set_nothing);
    check_movement(NW_OP_RESIZE, DIMS(1, 10, 12, 14), nearest_source, set_nearest);
}

/* Linear resize of a ramp along x: a straight line between the first and the last centre. */
static void test_linear_resize(void **state)
{
    (void)state;
    static const nw_resize_coordinates modes[] = {NW_COORDINATES_HALF_PIXEL, NW_COORDINATES_ALIGN_CORNERS,
                                                  NW_COORDINATES_ASYMMETRIC, NW_COORDINATES_PYTORCH_HALF_PIXEL};
    for (size_t m = 0; m < NW_COUNT(modes); m++) {
        nw_model *model = nw_model_create();
        const int32_t x = add_tensor(model, "x", 4, DIMS(1, 11, 2, 5)), h = add_identity(model, x, 11, 2, 5);
        const int32_t y = add_tensor(model, "y", 4, DIMS(1, 11, 4, 13));
        nw_node *node = add_node(model, NW_OP_RESIZE, "resize", 1, DIMS(h), y);
        node->resize_mode = NW_RESIZE_LINEAR;
        node->resize_coordinates = modes[m];
        set_ends(model, x, y);
        nw_float_engine *engine;
        float input[110], output[11 * 52];
        for (int i = 0; i < 110; i++)
            input[i] = (float)(i % 5) + 10.0f * (float)(i / 10);
        assert_int_equal(nw_float_create(&engine, model, 1, NULL), NW_OK);
        assert_int_equal(nw_float_run(engine, (const float *const[]){input}, (float *const[]){output}, NULL), NW_OK);
        for (int e = 0; e < 11 * 52; e++) {
            const double i = e % 13;
            const double position = modes[m] == NW_COORDINATES_ALIGN_CORNERS ? i * 4.0 / 12.0
                                    : modes[m] == NW_COORDINATES_ASYMMETRIC  ? i * 5.0 / 13.0
                                                                             : (i + 0.5) * 5.0 / 13.0 - 0.5;
            assert_close(output[e], fmin(fmax(position, 0.0), 4.0) + 10.0 * (e / 52), "resize");
        }
        nw_float_free(engine);
        nw_model_free(model);
    }
}

/* ---- promises of the engine ---- */

enum { X, W1, H1, W2, H2, H3, Y, N_TENSORS };

/* x -> conv1 -> h1 -> conv2 (+ h1, relu) -> h2 -> reshape -> h3 -> gemm -> y */
static nw_model *small_network(void)
{
    nw_model *model = nw_model_create();
    add_tensor(model, "x", 4, DIMS(1, 3, 6, 6));
    add_constant(model, "w1", 4, DIMS(16, 3, 3, 3));
    add_tensor(model, "h1", 4, DIMS(1, 16, 6, 6));
    add_constant(model, "w2", 4, DIMS(16, 16, 3, 3));
    add_tensor(model, "h2", 4, DIMS(1, 16, 6, 6));
    add_tensor(model, "h3", 2, DIMS(1, 576));
    add_tensor(model, "y", 2, DIMS(1, 10));
    const int32_t w3 = add_constant(model, "w3", 2, DIMS(10, 576));
    const nw_window window = WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1});
    add_node(model, NW_OP_CONV, "conv1", 2, DIMS(X, W1), H1)->window = window;
    nw_node *second = add_node(model, NW_OP_CONV, "conv2", 4, DIMS(H1, W2, NW_NONE, H1), H2);
    second->window = window;
    second->lo = 0.0f;
    add_node(model, NW_OP_RESHAPE, "flatten", 1, DIMS(H2), H3);
    add_node(model, NW_OP_GEMM, "gemm", 2, DIMS(H3, w3), Y);
    set_ends(model, X, Y);
    return model;
}

typedef struct seen {
    int32_t tensors[16];
    int32_t n;
    float *copies[N_TENSORS];
    size_t counts[N_TENSORS];
} seen;

static void see(void *context, int32_t tensor, const float *data, size_t n)
{
    seen *s = context;
    s->tensors[s->n++] = tensor;
    s->counts[tensor] = n;
    free(s->copies[tensor]);
    s->copies[tensor] = malloc(n * sizeof(float));
    memcpy(s->copies[tensor], data, n * sizeof(float));
}

static void forget(seen *s)
{
    for (int i = 0; i < N_TENSORS; i++)
        free(s->copies[i]);
}

static void test_observer(void **state)
{
    (void)state;
    nw_model *model = small_network();
    nw_float_engine *engine;
    seen s = {{0}, 0, {0}, {0}};
    float *input = random_data(2 * 108), output[20];
    assert_int_equal(nw_float_create(&engine, model, 2, NULL), NW_OK);
    nw_float_observe(engine, see, &s);
    assert_int_equal(nw_float_run(engine, (const float *const[]){input}, (float *const[]){output}, NULL), NW_OK);
    const int32_t order[] = {X, H1, H2, H3, Y};
    assert_int_equal(s.n, 5);
    assert_memory_equal(s.tensors, order, sizeof(order));
    assert_int_equal(s.counts[H1], 2 * 16 * 36);
    assert_memory_equal(s.copies[X], input, 2 * 108 * sizeof(float));
    assert_memory_equal(s.copies[Y], output, sizeof(output));
    assert_memory_equal(s.copies[H2], s.copies[H3], 2 * 576 * sizeof(float));
    const plane4 plane = {2, 3, 6, 6, input};
    for (int32_t e = 0; e < 2 * 576; e++)
        assert_close(s.copies[H1][e],
                     reference_conv(&model->nodes[0], plane, model->tensors[W1].data, 16, e / 576, e / 36 % 16,
                                    e / 6 % 6, e % 6),
                     "observed");
    nw_float_free(engine);
    nw_model_free(model);
    forget(&s);
    free(input);
}

static void halve(void *context, int32_t tensor, float *data, size_t n)
{
    (void)context;
    (void)tensor;
    for (size_t i = 0; i < n; i++)
        data[i] *= 0.5f;
}

/* Editing h1 equals a network with half the first weights, exactly: powers of two commute with rounding. */
static void test_editor_and_weights(void **state)
{
    (void)state;
    nw_model *model = small_network();
    nw_float_engine *engine;
    float *input = random_data(2 * 108), edited[20], reweighted[20], restored[20], before[20];
    const float *const inputs[] = {input};
    assert_int_equal(nw_float_create(&engine, model, 2, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){before}, NULL), NW_OK);
    assert_int_equal(nw_float_edit(engine, H1, halve, NULL, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){edited}, NULL), NW_OK);
    assert_int_equal(nw_float_edit(engine, H1, NULL, NULL, NULL), NW_OK);
    assert_memory_not_equal(before, edited, sizeof(before));
    float half[16 * 27];
    for (int i = 0; i < 16 * 27; i++)
        half[i] = 0.5f * model->tensors[W1].data[i];
    assert_int_equal(nw_float_set_weights(engine, 0, half, NULL, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){reweighted}, NULL), NW_OK);
    assert_memory_equal(edited, reweighted, sizeof(edited));
    assert_int_equal(nw_float_set_weights(engine, 0, model->tensors[W1].data, NULL, NULL), NW_OK);
    /* the gemm's weights lie in the model until they are replaced; the model stays as it was */
    const int32_t w3 = model->nodes[3].inputs[1];
    float bias[10] = {0}, zeros[5760] = {0};
    const float kept = model->tensors[w3].data[0];
    bias[3] = 4.0f;
    assert_int_equal(nw_float_set_weights(engine, 3, zeros, bias, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){restored}, NULL), NW_OK);
    for (int i = 0; i < 20; i++)
        assert_true(restored[i] == (i % 10 == 3 ? 4.0f : 0.0f));
    assert_true(model->tensors[w3].data[0] == kept);
    bias[3] = 0.0f;
    assert_int_equal(nw_float_set_weights(engine, 3, model->tensors[w3].data, bias, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){restored}, NULL), NW_OK);
    assert_memory_equal(before, restored, sizeof(before));
    assert_int_equal(nw_float_set_weights(engine, 2, zeros, NULL, NULL), NW_ERROR_USAGE);
    nw_float_free(engine);
    nw_model_free(model);
    free(input);
}

/* Every tail gives the bytes of the whole run, whatever ran before. */
static void test_run_from(void **state)
{
    (void)state;
    nw_model *model = small_network();
    nw_float_engine *engine;
    nw_error error;
    seen s = {{0}, 0, {0}, {0}};
    float *input = random_data(2 * 108), *other = random_data(2 * 108), output[20], tail[20];
    assert_int_equal(nw_float_create(&engine, model, 2, NULL), NW_OK);
    nw_float_observe(engine, see, &s);
    assert_int_equal(nw_float_run(engine, (const float *const[]){input}, (float *const[]){output}, NULL), NW_OK);
    nw_float_observe(engine, NULL, NULL);
    const int32_t needed[] = {X, H1, H2, H3};
    for (int32_t first = 0; first < 4; first++) {
        assert_int_equal(nw_float_run(engine, (const float *const[]){other}, (float *const[]){tail}, NULL), NW_OK);
        const nw_float_override override = {needed[first], s.copies[needed[first]]};
        assert_true(nw_float_needs(engine, first, 4, needed[first]));
        assert_int_equal(nw_float_run_from(engine, first, 4, &override, 1, (float *const[]){tail}, NULL), NW_OK);
        assert_memory_equal(tail, output, sizeof(output));
        assert_int_equal(nw_float_run_from(engine, first, 4, NULL, 0, (float *const[]){tail}, &error), NW_ERROR_USAGE);
    }
    /* a block in the middle, seen by the observer */
    const nw_float_override override = {H1, s.copies[H1]};
    seen block = {{0}, 0, {0}, {0}};
    nw_float_observe(engine, see, &block);
    assert_int_equal(nw_float_run_from(engine, 1, 2, &override, 1, NULL, NULL), NW_OK);
    assert_int_equal(block.n, 1);
    assert_memory_equal(block.copies[H2], s.copies[H2], 2 * 576 * sizeof(float));
    assert_int_equal(nw_float_run_from(engine, 1, 2, &override, 1, (float *const[]){tail}, &error), NW_ERROR_USAGE);
    nw_float_free(engine);
    nw_model_free(model);
    forget(&s);
    forget(&block);
    free(input);
    free(other);
}

/*
 * x -> 1x1 -> a -> 3x3 -> b -> 3x3 (+ a, written over it) -> c -> 1x1 stride 2 -> d -> reshape -> gemm -> y, and a side
 * branch that keeps b alive: c2 = concat(c, b). Every range of nodes from any start to the end, on inputs taken from a
 * whole run, after a run on other data.
 */
static nw_model *residual_network(void)
{
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, 5, 6, 6));
    const int32_t w1 = add_constant(model, "w1", 4, DIMS(16, 5, 1, 1));
    const int32_t w2 = add_constant(model, "w2", 4, DIMS(16, 16, 3, 3));
    const int32_t w4 = add_constant(model, "w4", 4, DIMS(9, 32, 1, 1)), w5 = add_constant(model, "w5", 2, DIMS(7, 81));
    const int32_t a = add_tensor(model, "a", 4, DIMS(1, 16, 6, 6)), b = add_tensor(model, "b", 4, DIMS(1, 16, 6, 6));
    const int32_t c = add_tensor(model, "c", 4, DIMS(1, 16, 6, 6)), c2 = add_tensor(model, "c2", 4, DIMS(1, 32, 6, 6));
    const int32_t d = add_tensor(model, "d", 4, DIMS(1, 9, 3, 3)), e = add_tensor(model, "e", 2, DIMS(1, 81));
    const int32_t y = add_tensor(model, "y", 2, DIMS(1, 7));
    const nw_window one = WINDOW(1, 1, 1, 1, 1, 1, {0}), three = WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1});
    add_node(model, NW_OP_CONV, "conv1", 2, DIMS(x, w1), a)->window = one;
    add_node(model, NW_OP_CONV, "conv2", 2, DIMS(a, w2), b)->window = three;
    add_node(model, NW_OP_CONV, "conv3", 4, DIMS(b, w2, NW_NONE, a), c)->window = three;
    add_node(model, NW_OP_CONCAT, "concat", 2, DIMS(c, b), c2)->axis = 1;
    add_node(model, NW_OP_CONV, "conv4", 2, DIMS(c2, w4), d)->window = (nw_window)WINDOW(1, 1, 2, 2, 1, 1, {0});
    add_node(model, NW_OP_RESHAPE, "flatten", 1, DIMS(d), e);
    add_node(model, NW_OP_GEMM, "gemm", 2, DIMS(e, w5), y);
    set_ends(model, x, y);
    return model;
}

typedef struct recorded {
    float *copies[16];
} recorded;

static void record(void *context, int32_t tensor, const float *data, size_t n)
{
    recorded *r = context;
    free(r->copies[tensor]);
    r->copies[tensor] = malloc(n * sizeof(float));
    memcpy(r->copies[tensor], data, n * sizeof(float));
}

static void test_run_from_residual(void **state)
{
    (void)state;
    nw_model *model = residual_network();
    nw_float_engine *engine;
    recorded r = {{0}};
    float *input = random_data(2 * 180), *other = random_data(2 * 180), output[14], tail[14];
    assert_int_equal(nw_float_create(&engine, model, 2, NULL), NW_OK);
    nw_float_observe(engine, record, &r);
    assert_int_equal(nw_float_run(engine, (const float *const[]){input}, (float *const[]){output}, NULL), NW_OK);
    nw_float_observe(engine, NULL, NULL);
    for (int32_t first = 0; first < model->n_nodes; first++) {
        nw_float_override overrides[16];
        int32_t n = 0;
        for (int32_t t = 0; t < model->n_tensors; t++)
            if (nw_float_needs(engine, first, model->n_nodes, t))
                overrides[n++] = (nw_float_override){t, r.copies[t]};
        assert_int_equal(nw_float_run(engine, (const float *const[]){other}, (float *const[]){tail}, NULL), NW_OK);
        assert_memory_not_equal(tail, output, sizeof(output));
        assert_int_equal(
            nw_float_run_from(engine, first, model->n_nodes, overrides, n, (float *const[]){tail}, NULL), NW_OK);
        assert_memory_equal(tail, output, sizeof(output));
    }
    nw_float_free(engine);
    nw_model_free(model);
    for (int i = 0; i < 16; i++)
        free(r.copies[i]);
    free(input);
    free(other);
}

/* 40 convolutions in a row need the memory of a few, not of 40. */
static void test_memory_is_shared(void **state)
{
    (void)state;
    nw_model *model = nw_model_create();
    int32_t x = add_tensor(model, "t0", 4, DIMS(1, 16, 32, 32));
    const int32_t first = x;
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "w%d", i);
        const int32_t w = add_constant(model, name, 4, DIMS(16, 16, 1, 1));
        snprintf(name, sizeof(name), "t%d", i + 1);
        const int32_t y = add_tensor(model, name, 4, DIMS(1, 16, 32, 32));
        add_node(model, NW_OP_CONV, name, 2, DIMS(x, w), y)->window = (nw_window)WINDOW(1, 1, 1, 1, 1, 1, {0});
        x = y;
    }
    set_ends(model, first, x);
    nw_float_engine *engine;
    assert_int_equal(nw_float_create(&engine, model, 4, NULL), NW_OK);
    assert_true(nw_float_memory(engine) < 4 * 4 * 16 * 1024 * sizeof(float));
    nw_float_free(engine);
    nw_model_free(model);
}

/* Two threads, released between runs: the same bytes every time, and one thread's values within rounding. */
static void test_threads(void **state)
{
    (void)state;
    nw_model *model = small_network();
    float *input = random_data(2 * 108), one[20], two[20], again[20];
    const float *const inputs[] = {input};
    nw_float_engine *engines[2];
    for (int i = 0; i < 2; i++) {
        nw_float_set_threads(i + 1);
        assert_int_equal(nw_float_create(&engines[i], model, 2, NULL), NW_OK);
    }
    assert_int_equal(nw_float_run(engines[0], inputs, (float *const[]){one}, NULL), NW_OK);
    assert_int_equal(nw_float_run(engines[1], inputs, (float *const[]){two}, NULL), NW_OK);
    nw_float_release_threads();
    assert_int_equal(nw_float_run(engines[1], inputs, (float *const[]){again}, NULL), NW_OK);
    assert_memory_equal(two, again, sizeof(two));
    for (int i = 0; i < 20; i++)
        assert_close(two[i], one[i], "threads");
    nw_float_free(engines[0]);
    nw_float_free(engines[1]);
    nw_model_free(model);
    free(input);
    nw_float_set_threads(1);
}

static void test_refusals(void **state)
{
    (void)state;
    nw_float_engine *engine;
    nw_error error;
    nw_model *model = small_network();
    assert_int_equal(nw_float_create(&engine, model, 0, &error), NW_ERROR_USAGE);
    model->nodes[1].groups = 3; /* 16 channels do not divide */
    assert_int_equal(nw_float_create(&engine, model, 1, &error), NW_ERROR_DATA);
    assert_non_null(strstr(error.message, "conv2"));
    model->nodes[1].groups = 1;
    model->nodes[2].op = NW_OP_TABLE;
    assert_int_equal(nw_float_create(&engine, model, 1, &error), NW_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "flatten"));
    nw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution),        cmocka_unit_test(test_transposed_convolution),
        cmocka_unit_test(test_pool),               cmocka_unit_test(test_eltwise),
        cmocka_unit_test(test_binary),             cmocka_unit_test(test_scale_by_channel),
        cmocka_unit_test(test_batch_norm),         cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_softmax),            cmocka_unit_test(test_concat),
        cmocka_unit_test(test_movement),           cmocka_unit_test(test_linear_resize),
        cmocka_unit_test(test_observer),           cmocka_unit_test(test_editor_and_weights),
        cmocka_unit_test(test_run_from),           cmocka_unit_test(test_run_from_residual),
        cmocka_unit_test(test_memory_is_shared),
        cmocka_unit_test(test_threads),            cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
