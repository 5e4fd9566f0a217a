/* SPDX-License-Identifier: Apache-2.0 */
/* See simulate.h. Between the scheme and the float engine; used by bias_correction.c. */
#include "quant/simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"

/** What the editor of one tensor needs. */
typedef struct edit {
    nw_simulator *simulator;
    int32_t node; /* producer, or NW_NONE */
} edit;

struct nw_simulator {
    const nw_scheme *scheme;
    nw_model *model; /* copy without fused clamps */
    nw_float_engine *engine;
    edit *edits; /* [n_tensors] */
    int32_t batch;
    bool quantized;
    nw_simulator_hook *hook;
    void *context;
};

/** Constants are the scheme's own: a copy of hundreds of MB would only stand beside them. */
static void share_constants(nw_simulator *simulator)
{
    for (int32_t t = 0; t < simulator->model->n_tensors; t++) {
        free(simulator->model->tensors[t].data);
        simulator->model->tensors[t].data = simulator->scheme->model->tensors[t].data;
    }
}

void nw_simulator_free(nw_simulator *simulator)
{
    if (!simulator)
        return;
    nw_float_free(simulator->engine);
    for (int32_t t = 0; simulator->model && t < simulator->model->n_tensors; t++)
        simulator->model->tensors[t].data = NULL;
    nw_model_free(simulator->model);
    free(simulator->edits);
    free(simulator);
}

/** Rounds to the tensor's grid and clips to its limits. */
static void round_channel(const nw_tensor_scheme *tensor, int32_t c, float *x, size_t n)
{
    const double step = (double)tensor->grid.scale * (1 << tensor->shift[c]) / tensor->factor[c];
    const float offset = (float)tensor->offset[c];
    const float scale = (float)step;
    const float inverse = (float)(1.0 / step);
    const float lo = tensor->lo[c];
    const float hi = tensor->hi[c];
    for (size_t i = 0; i < n; i++) {
        const float v = nw_minf(nw_maxf((x[i] + offset) * inverse, lo), hi);
        const float shifted = v + 0x1.8p23f; /* to nearest even for |v| < 2^22: codes are below 256 */
        x[i] = (shifted - 0x1.8p23f) * scale;
    }
}

void nw_simulate_rounding(const nw_tensor_scheme *tensor, int32_t batch, float *data, size_t n_elements)
{
    const size_t plane = n_elements / (size_t)batch / (size_t)tensor->n_channels;
    for (int32_t s = 0; s < batch; s++)
        for (int32_t c = 0; c < tensor->n_channels; c++)
            round_channel(tensor, c, data + ((size_t)s * (size_t)tensor->n_channels + (size_t)c) * plane, plane);
}

static void clamp_values(float *x, size_t n, float lo, float hi)
{
    for (size_t i = 0; i < n; i++)
        x[i] = nw_minf(nw_maxf(x[i], lo), hi);
}

static void edit_tensor(void *context, int32_t t, float *data, size_t n_elements)
{
    const edit *one = context;
    const nw_simulator *simulator = one->simulator;
    const nw_scheme *scheme = simulator->scheme;
    const nw_tensor_scheme *tensor = &scheme->tensors[t];
    const size_t plane = n_elements / (size_t)simulator->batch / (size_t)tensor->n_channels;
    if (one->node != NW_NONE && simulator->hook && scheme->nodes[one->node].mode == NW_MODE_LINEAR)
        simulator->hook(simulator->context, one->node, data, tensor->n_channels, plane);
    if (simulator->quantized && tensor->code) {
        nw_simulate_rounding(tensor, simulator->batch, data, n_elements);
    } else if (one->node != NW_NONE) {
        const nw_node *node = &scheme->model->nodes[one->node];
        const bool fused = nw_is_linear(node) || node->op == NW_OP_ADD;
        if (fused && (node->lo > -INFINITY || node->hi < INFINITY))
            clamp_values(data, n_elements, node->lo, node->hi);
    }
}

/** Whether a tensor needs an editor: sources of codes, and whatever had a fused clamp or is watched. */
static bool needs_edit(const nw_scheme *scheme, int32_t t, int32_t producer, bool quantized)
{
    if (quantized && nw_scheme_is_source(scheme, t))
        return true;
    if (producer == NW_NONE)
        return false;
    const nw_node *node = &scheme->model->nodes[producer];
    return nw_is_linear(node) || node->op == NW_OP_ADD;
}

/** step * code, the input's factors multiplied back in, in the order of the model's weight tensor. */
static nw_status set_weights(nw_simulator *simulator, int32_t i, nw_error *error)
{
    const nw_node *node = &simulator->model->nodes[i];
    const nw_node_scheme *linear = &simulator->scheme->nodes[i];
    const nw_linear_shape *shape = &linear->shape;
    const double *factor = simulator->scheme->tensors[node->inputs[0]].factor;
    const size_t n = (size_t)shape->n_channels * (size_t)shape->k;
    float *weights = malloc((n + 1) * sizeof(*weights));
    float *bias = malloc(((size_t)shape->n_channels + 1) * sizeof(*bias));
    nw_status status = NW_ERROR_MEMORY;
    if (!weights || !bias) {
        nw_fail_memory(error, "simulating the quantized network");
        goto cleanup;
    }
    for (int32_t o = 0; o < shape->n_channels; o++)
        bias[o] = (float)nw_scheme_bias(simulator->scheme, i, o);
    memset(weights, 0, n * sizeof(*weights));
    for (int32_t row = 0; row < linear->n_rows; row++) {
        const int32_t o = linear->row_channel[row];
        for (int32_t j = 0; j < shape->k; j++) {
            const int32_t c = nw_linear_input_channel(shape, o, j);
            weights[nw_weights_index(shape, node->op == NW_OP_CONV_TRANSPOSE, o, j)] +=
                (float)(linear->step[row] * linear->weights[(size_t)row * (size_t)shape->k + (size_t)j] * factor[c]);
        }
    }
    status = nw_float_set_weights(simulator->engine, i, weights, bias, error);

cleanup:
    free(weights);
    free(bias);
    return status;
}

static nw_status prepare(nw_simulator *simulator, nw_error *error)
{
    const nw_scheme *scheme = simulator->scheme;
    nw_model *model = simulator->model;
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (nw_is_linear(&model->nodes[i]) || model->nodes[i].op == NW_OP_ADD) {
            model->nodes[i].lo = -INFINITY;
            model->nodes[i].hi = INFINITY;
        }
    NW_TRY(nw_float_create(&simulator->engine, model, simulator->batch, error));
    for (int32_t t = 0; t < model->n_tensors; t++) {
        const int32_t producer = nw_model_producer(model, t);
        simulator->edits[t] = (edit){simulator, producer};
        if (!model->tensors[t].data && needs_edit(scheme, t, producer, simulator->quantized))
            NW_TRY(nw_float_edit(simulator->engine, t, edit_tensor, &simulator->edits[t], error));
    }
    for (int32_t i = 0; simulator->quantized && i < model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR)
            NW_TRY(set_weights(simulator, i, error));
    return NW_OK;
}

nw_status nw_simulator_create(nw_simulator **out, const nw_scheme *scheme, int32_t batch, bool quantized,
                              nw_error *error)
{
    nw_simulator *simulator = calloc(1, sizeof(*simulator));
    if (!simulator)
        return nw_fail_memory(error, "simulating the quantized network");
    simulator->scheme = scheme;
    simulator->batch = batch;
    simulator->quantized = quantized;
    simulator->model = nw_model_copy(scheme->model);
    if (simulator->model)
        share_constants(simulator);
    simulator->edits = calloc((size_t)scheme->model->n_tensors + 1, sizeof(*simulator->edits));
    nw_status status = NW_ERROR_MEMORY;
    if (simulator->model && simulator->edits)
        status = prepare(simulator, error);
    else
        nw_fail_memory(error, "simulating the quantized network");
    if (status) {
        nw_simulator_free(simulator);
        return status;
    }
    *out = simulator;
    return NW_OK;
}

void nw_simulator_set_hook(nw_simulator *simulator, nw_simulator_hook *hook, void *context)
{
    simulator->hook = hook;
    simulator->context = context;
}

void nw_simulator_observe(nw_simulator *simulator, nw_float_observer *observer, void *context)
{
    nw_float_observe(simulator->engine, observer, context);
}

nw_status nw_simulator_update(nw_simulator *simulator, int32_t node, nw_error *error)
{
    return set_weights(simulator, node, error);
}

nw_status nw_simulator_run(nw_simulator *simulator, const float *const *inputs, float *const *outputs, nw_error *error)
{
    return nw_float_run(simulator->engine, inputs, outputs, error);
}
