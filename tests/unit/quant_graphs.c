/* SPDX-License-Identifier: Apache-2.0 */
/* See quant_graphs.h. */
#include "quant_graphs.h"

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "float/engine.h"
#include "narrow/narrow.h"

float graph_uniform(graph_random *random)
{
    random->state = random->state * 6364136223846793005u + 1442695040888963407u;
    return (float)(random->state >> 40) * 0x1p-23f - 1.0f;
}

float graph_normal(graph_random *random)
{
    float sum = 0.0f;
    for (int i = 0; i < 6; i++)
        sum += graph_uniform(random);
    return sum * 0.70710678f;
}

static int32_t constant(nw_model *model, const char *node, const char *what, int32_t rank, const int32_t *dims)
{
    char name[128];
    snprintf(name, sizeof(name), "%s.%s", node, what);
    const int32_t t = nw_model_add_tensor(model, name, NW_TYPE_F32, rank, dims);
    assert_int_not_equal(t, NW_NONE);
    model->tensors[t].data = calloc(nw_tensor_elements(&model->tensors[t]), sizeof(float));
    assert_non_null(model->tensors[t].data);
    return t;
}

int32_t graph_linear(nw_model *model, graph_random *random, int32_t x, const char *name, graph_layer layer)
{
    const int32_t inputs = nw_tensor_channels(&model->tensors[x]);
    const int32_t k = layer.kernel;
    const int32_t conv[4] = {layer.outputs, inputs / layer.groups, k, k};
    const int32_t transposed[4] = {inputs, layer.outputs / layer.groups, k, k};
    const int32_t w = constant(model, name, "weights", 4, layer.transpose ? transposed : conv);
    const int32_t b = constant(model, name, "bias", 1, (int32_t[]){layer.outputs});
    const size_t n = nw_tensor_elements(&model->tensors[w]);
    const float scale = sqrtf(2.0f / (float)(inputs / layer.groups * k * k));
    for (size_t i = 0; i < n; i++)
        model->tensors[w].data[i] = scale * graph_normal(random);
    for (int32_t o = 0; o < layer.outputs; o++)
        model->tensors[b].data[o] = 0.3f * graph_normal(random);
    const int32_t h = nw_tensor_height(&model->tensors[x]);
    const int32_t size = layer.transpose ? (h - 1) * layer.stride + k - 2 * layer.pad
                                         : (h + 2 * layer.pad - k) / layer.stride + 1;
    const int32_t rank = model->tensors[x].rank;
    const int32_t y = nw_model_add_tensor(model, name, NW_TYPE_F32, rank, (int32_t[]){1, layer.outputs, size, size});
    nw_node *node = nw_model_add_node(model, layer.transpose ? NW_OP_CONV_TRANSPOSE : NW_OP_CONV, name, 4);
    assert_non_null(node);
    memcpy(node->inputs, (int32_t[]){x, w, b, layer.residual}, 4 * sizeof(int32_t));
    node->output = y;
    const int32_t pad = layer.pad;
    node->window = (nw_window){{k, k}, {layer.stride, layer.stride}, {1, 1}, {pad, pad, pad, pad}};
    node->groups = layer.groups;
    node->lo = layer.lo;
    node->hi = layer.hi;
    return y;
}

int32_t graph_unary(nw_model *model, nw_op op, int32_t x, const char *name, int32_t rank, const int32_t *dims)
{
    const int32_t y = nw_model_add_tensor(model, name, NW_TYPE_F32, rank, dims);
    nw_node *node = nw_model_add_node(model, op, name, 1);
    assert_non_null(node);
    node->inputs[0] = x;
    node->output = y;
    return y;
}

nw_model *graph_create(int32_t channels, int32_t size)
{
    nw_model *model = nw_model_create();
    assert_non_null(model);
    nw_float_set_threads(1); /* networks too small to share */
    assert_int_equal(nw_model_add_tensor(model, "input", NW_TYPE_F32, 4, (int32_t[]){1, channels, size, size}), 0);
    model->inputs = calloc(1, sizeof(*model->inputs));
    model->outputs = calloc(1, sizeof(*model->outputs));
    assert_true(model->inputs && model->outputs);
    model->n_inputs = 1;
    return model;
}

void graph_finish(nw_model *model, int32_t output)
{
    model->outputs[0] = output;
    model->n_outputs = 1;
}

nw_status graph_read(void *context, int64_t index, float *const *inputs, nw_error *error)
{
    const nw_model *model = context;
    (void)error;
    graph_random random = {(uint64_t)index * 977u + 5u};
    const size_t n = nw_tensor_elements(&model->tensors[model->inputs[0]]);
    for (size_t i = 0; i < 16; i++)
        graph_uniform(&random);
    for (size_t i = 0; i < n; i++)
        inputs[0][i] = graph_normal(&random);
    return NW_OK;
}

nw_calibration *graph_calibrate(nw_model *model, int64_t n, int32_t batch)
{
    nw_error error = {""};
    nw_calibration *calibration = NULL;
    const nw_sample_source source = {graph_read, model, n};
    nw_calibrate_options options = NW_CALIBRATE_DEFAULTS;
    options.batch = batch;
    options.max_kept = 32;
    if (nw_calibrate(&calibration, model, &source, &options, &error))
        fail_msg("%s", error.message);
    return calibration;
}

static float *sample(const nw_model *model, int64_t index)
{
    float *values = calloc(nw_tensor_elements(&model->tensors[model->inputs[0]]), sizeof(*values));
    assert_non_null(values);
    graph_read((void *)(uintptr_t)model, index, &values, NULL);
    return values;
}

void graph_run_float(const nw_model *model, int64_t index, float *out)
{
    nw_error error = {""};
    nw_float_engine *engine = NULL;
    float *values = sample(model, index);
    if (nw_float_create(&engine, model, 1, &error) ||
        nw_float_run(engine, (const float *const *)&values, &out, &error))
        fail_msg("%s", error.message);
    nw_float_free(engine);
    free(values);
}

void graph_run_integer(const nw_model *integer, const nw_model *model, int64_t index, float *out)
{
    nw_error error = {""};
    nw_engine *engine = NULL;
    float *values = sample(model, index);
    const nw_input input = {.values = values};
    if (nw_engine_create(&engine, integer, NULL, &error))
        fail_msg("%s", error.message);
    assert_int_equal(nw_engine_run(engine, &input, &out, NULL), NW_OK);
    nw_engine_free(engine);
    free(values);
}

double graph_sqnr(const nw_model *integer, const nw_model *model, int32_t n)
{
    const size_t size = nw_tensor_elements(&model->tensors[model->outputs[0]]);
    float *a = calloc(size, sizeof(*a));
    float *b = calloc(size, sizeof(*b));
    assert_true(a && b);
    double signal = 0.0;
    double noise = 0.0;
    for (int32_t i = 0; i < n; i++) {
        graph_run_float(model, 1000 + i, a);
        graph_run_integer(integer, model, 1000 + i, b);
        for (size_t j = 0; j < size; j++) {
            signal += (double)a[j] * (double)a[j];
            noise += ((double)a[j] - (double)b[j]) * ((double)a[j] - (double)b[j]);
        }
    }
    free(a);
    free(b);
    return 10.0 * log10(signal / (noise + 1e-30));
}

const nw_code_book *uniform_book(int32_t bits)
{
    static nw_code_book books[9];
    books[bits] = nw_code_book_make(NW_BOOK_UNIFORM, bits);
    return &books[bits];
}

nw_model *graph_zoo(uint64_t seed)
{
    graph_random random = {seed};
    nw_model *m = graph_create(3, 16);
    int32_t x = graph_linear(m, &random, 0, "stem", (graph_layer){16, 3, 1, 1, 1, 0.0f, INFINITY, NW_NONE, false});
    const int32_t skip = x;
    x = graph_linear(m, &random, x, "expand", (graph_layer){24, 1, 1, 0, 1, 0.0f, 6.0f, NW_NONE, false});
    x = graph_linear(m, &random, x, "depthwise", (graph_layer){24, 3, 1, 1, 24, 0.0f, 6.0f, NW_NONE, false});
    x = graph_linear(m, &random, x, "project", (graph_layer){16, 1, 1, 0, 1, -INFINITY, INFINITY, skip, false});
    const int32_t wide = x;
    x = graph_unary(m, NW_OP_MAX_POOL, x, "pool", 4, (int32_t[]){1, 16, 8, 8});
    m->nodes[m->n_nodes - 1].window = (nw_window){{2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}};
    x = graph_linear(m, &random, x, "middle", (graph_layer){20, 3, 1, 1, 2, 0.0f, INFINITY, NW_NONE, false});
    x = graph_linear(m, &random, x, "up", (graph_layer){12, 2, 2, 0, 1, -INFINITY, INFINITY, NW_NONE, true});
    const int32_t joined = nw_model_add_tensor(m, "joined", NW_TYPE_F32, 4, (int32_t[]){1, 28, 16, 16});
    nw_node *concat = nw_model_add_node(m, NW_OP_CONCAT, "joined", 2);
    concat->inputs[0] = wide;
    concat->inputs[1] = x;
    concat->output = joined;
    concat->axis = 1;
    x = graph_linear(m, &random, joined, "tail", (graph_layer){20, 3, 2, 1, 1, 0.0f, INFINITY, NW_NONE, false});
    x = graph_unary(m, NW_OP_LEAKY_RELU, x, "leaky", 4, (int32_t[]){1, 20, 8, 8});
    m->nodes[m->n_nodes - 1].alpha = 0.1f;
    x = graph_unary(m, NW_OP_AVERAGE_POOL, x, "mean", 4, (int32_t[]){1, 20, 1, 1});
    m->nodes[m->n_nodes - 1].window = (nw_window){{8, 8}, {1, 1}, {1, 1}, {0, 0, 0, 0}};
    x = graph_unary(m, NW_OP_RESHAPE, x, "flat", 2, (int32_t[]){1, 20});
    x = graph_linear(m, &random, x, "classes", (graph_layer){10, 1, 1, 0, 1, -INFINITY, INFINITY, NW_NONE, false});
    graph_finish(m, x);
    return m;
}
