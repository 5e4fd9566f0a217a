/* SPDX-License-Identifier: Apache-2.0 */
/* The float engine's operators against definitions (float_reference.c), on odd shapes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "float/engine.h"
#include "float_graphs.h"
#include "float_reference.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution),
        cmocka_unit_test(test_transposed_convolution),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_eltwise),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_scale_by_channel),
        cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_movement),
        cmocka_unit_test(test_linear_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
