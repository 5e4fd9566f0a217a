/* SPDX-License-Identifier: Apache-2.0 */
/* See gradient.h. Life, and the walk over the network. */
#include "quant/gradient.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"

bool nw_gradient_knows(const nw_scheme *scheme, int32_t index)
{
    const nw_mode mode = scheme->nodes[index].mode;
    return mode == NW_MODE_LINEAR ||
           (mode != NW_MODE_DEAD && mode != NW_MODE_REAL && nw_gradient_knows_plain(scheme->model, index));
}

/* life */

static void clear_tensor(nw_gradient_tensor *t)
{
    if (t->before != t->value)
        free(t->before);
    free(t->value);
    free(t->gradient);
    free(t->step);
    free(t->lo);
    free(t->hi);
    free(t->offset);
    free(t->step_gradient);
}

void nw_gradient_free(nw_gradient *g)
{
    if (!g)
        return;
    for (int32_t t = 0; g->tensors && t < g->scheme->model->n_tensors; t++)
        clear_tensor(&g->tensors[t]);
    for (int32_t i = 0; g->linears && i < g->scheme->model->n_nodes; i++) {
        free(g->linears[i].weights);
        free(g->linears[i].bias);
        free(g->linears[i].weight_gradient);
        free(g->linears[i].bias_gradient);
    }
    free(g->tensors);
    free(g->linears);
    free(g->columns);
    free(g->places);
    free(g);
}

static float *floats(size_t n)
{
    return calloc(n + 1, sizeof(float));
}

/** Whether something happens between a node's sum and what its readers see, and gradients ask for what it was. */
static bool has_before(const nw_gradient *g, int32_t t, const nw_node *producer)
{
    const bool fused = producer && (nw_is_linear(producer) || producer->op == NW_OP_ADD) &&
                       (producer->lo > -INFINITY || producer->hi < INFINITY);
    return g->trains && (nw_scheme_is_source(g->scheme, t) || fused);
}

static nw_status alloc_tensor(nw_gradient *g, int32_t t, const nw_node *producer)
{
    const nw_tensor *shape = &g->scheme->model->tensors[t];
    nw_gradient_tensor *to = &g->tensors[t];
    to->computed = true;
    to->channels = nw_tensor_channels(shape);
    to->elements = nw_tensor_elements(shape);
    to->height = shape->rank >= 4 ? nw_tensor_height(shape) : (int32_t)(to->elements / (size_t)to->channels);
    to->width = shape->rank >= 4 ? nw_tensor_width(shape) : 1;
    to->rounded = g->trains && nw_scheme_is_source(g->scheme, t);
    const bool fused = producer && (nw_is_linear(producer) || producer->op == NW_OP_ADD);
    to->clamp_lo = fused ? producer->lo : -INFINITY;
    to->clamp_hi = fused ? producer->hi : INFINITY;
    const size_t n = to->elements * (size_t)g->batch;
    const size_t channels = (size_t)to->channels;
    to->value = floats(n);
    to->before = has_before(g, t, producer) ? floats(n) : to->value;
    to->gradient = g->trains ? floats(n) : NULL;
    to->step = floats(channels);
    to->lo = floats(channels);
    to->hi = floats(channels);
    to->offset = floats(channels);
    to->step_gradient = calloc(channels + 1, sizeof(*to->step_gradient));
    const bool done = to->value && to->before && (to->gradient || !g->trains) && to->step && to->lo && to->hi &&
                      to->offset && to->step_gradient;
    return done ? NW_OK : NW_ERROR_MEMORY;
}

static nw_status alloc_linear(nw_gradient *g, int32_t index)
{
    const nw_model *model = g->scheme->model;
    const nw_node *node = &model->nodes[index];
    nw_gradient_linear *to = &g->linears[index];
    to->shape = nw_linear_shape_of(node, &model->tensors[node->inputs[1]]);
    to->depthwise = node->op == NW_OP_CONV && to->shape.group_inputs == 1 && to->shape.group_outputs == 1;
    const size_t n = (size_t)to->shape.n_channels;
    const size_t k = (size_t)to->shape.k;
    double *row = malloc((k + 1) * sizeof(*row));
    to->weights = floats(n * k);
    to->bias = floats(n);
    to->weight_gradient = g->trains ? floats(n * k) : NULL;
    to->bias_gradient = g->trains ? floats(n) : NULL;
    const bool done =
        row && to->weights && to->bias && (!g->trains || (to->weight_gradient && to->bias_gradient));
    const int32_t bias = node->n_inputs > 2 ? node->inputs[2] : NW_NONE;
    for (int32_t o = 0; done && o < to->shape.n_channels; o++) {
        nw_weights_row(row, node, &model->tensors[node->inputs[1]], o);
        for (size_t j = 0; j < k; j++)
            to->weights[(size_t)o * k + j] = (float)row[j];
        to->bias[o] = bias == NW_NONE ? 0.0f : model->tensors[bias].data[o];
    }
    free(row);
    return done ? NW_OK : NW_ERROR_MEMORY;
}

/** Whether all that the node reads is there. */
static bool can_compute(const nw_gradient *g, int32_t index)
{
    const nw_node *node = &g->scheme->model->nodes[index];
    bool all = nw_gradient_knows(g->scheme, index);
    for (int32_t j = 0; j < node->n_inputs; j++)
        if (node->inputs[j] != NW_NONE && !g->scheme->model->tensors[node->inputs[j]].data)
            all = all && g->tensors[node->inputs[j]].computed;
    return all;
}

static nw_status alloc_all(nw_gradient *g)
{
    const nw_model *model = g->scheme->model;
    g->tensors = calloc((size_t)model->n_tensors + 1, sizeof(*g->tensors));
    g->linears = calloc((size_t)model->n_nodes + 1, sizeof(*g->linears));
    g->columns = floats(nw_gradient_columns(g->scheme));
    g->places = malloc(nw_gradient_places(g->scheme) * sizeof(*g->places));
    if (!g->tensors || !g->linears || !g->columns || !g->places)
        return NW_ERROR_MEMORY;
    for (int32_t i = 0; i < model->n_inputs; i++)
        NW_TRY(alloc_tensor(g, model->inputs[i], NULL));
    for (int32_t i = 0; i < model->n_nodes; i++) {
        if (!can_compute(g, i))
            continue;
        NW_TRY(alloc_tensor(g, model->nodes[i].output, &model->nodes[i]));
        if (nw_is_linear(&model->nodes[i]))
            NW_TRY(alloc_linear(g, i));
    }
    return NW_OK;
}

nw_status nw_gradient_create(nw_gradient **out, const nw_scheme *scheme, int32_t batch, bool trains)
{
    nw_gradient *g = calloc(1, sizeof(*g));
    if (!g)
        return NW_ERROR_MEMORY;
    g->scheme = scheme;
    g->batch = batch;
    g->trains = trains;
    if (alloc_all(g)) {
        nw_gradient_free(g);
        return NW_ERROR_MEMORY;
    }
    *out = g;
    return NW_OK;
}

size_t nw_gradient_sample_size(const nw_scheme *scheme)
{
    size_t n = 0;
    for (int32_t t = 0; t < scheme->model->n_tensors; t++)
        if (!scheme->model->tensors[t].data)
            n += nw_tensor_elements(&scheme->model->tensors[t]);
    return 4 * n * sizeof(float); /* before, value, gradient; the float network's value */
}

void nw_gradient_input(nw_gradient *g, int32_t input, int32_t sample, const float *data)
{
    nw_gradient_tensor *t = &g->tensors[g->scheme->model->inputs[input]];
    const size_t plane = t->elements / (size_t)t->channels;
    float *to = t->before + (size_t)sample * t->elements;
    for (size_t c = 0; c < (size_t)t->channels; c++)
        for (size_t i = 0; i < plane; i++)
            to[i * (size_t)t->channels + c] = data[c * plane + i];
}

/* the walk */

static nw_status run_node(nw_gradient *g, int32_t index, bool back)
{
    if (g->linears[index].weights)
        return back ? nw_gradient_linear_backward(g, index) : nw_gradient_linear_forward(g, index);
    nw_gradient_plain(g, index, back);
    return NW_OK;
}

static size_t pixels_of(const nw_gradient *g, const nw_gradient_tensor *t)
{
    return (size_t)g->batch * t->elements / (size_t)t->channels;
}

nw_status nw_gradient_forward(nw_gradient *g)
{
    const nw_model *model = g->scheme->model;
    for (int32_t i = 0; i < model->n_inputs; i++) {
        nw_gradient_tensor *x = &g->tensors[model->inputs[i]];
        nw_gradient_round(x, 0, pixels_of(g, x));
    }
    for (int32_t i = 0; i < model->n_nodes; i++) {
        nw_gradient_tensor *y = &g->tensors[model->nodes[i].output];
        if (!y->computed)
            continue;
        NW_TRY(run_node(g, i, false));
        if (!g->linears[i].weights)
            nw_gradient_round(y, 0, pixels_of(g, y));
    }
    return NW_OK;
}

void nw_gradient_clear(nw_gradient *g)
{
    for (int32_t t = 0; t < g->scheme->model->n_tensors; t++) {
        nw_gradient_tensor *tensor = &g->tensors[t];
        if (tensor->computed)
            memset(tensor->gradient, 0, tensor->elements * (size_t)g->batch * sizeof(*tensor->gradient));
    }
}

void nw_gradient_clear_sums(nw_gradient *g)
{
    const nw_model *model = g->scheme->model;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_gradient_tensor *tensor = &g->tensors[t];
        if (tensor->computed)
            memset(tensor->step_gradient, 0, (size_t)tensor->channels * sizeof(*tensor->step_gradient));
    }
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_gradient_linear *linear = &g->linears[i];
        if (!linear->weights)
            continue;
        const size_t n = (size_t)linear->shape.n_channels;
        memset(linear->weight_gradient, 0, n * (size_t)linear->shape.k * sizeof(*linear->weight_gradient));
        memset(linear->bias_gradient, 0, n * sizeof(*linear->bias_gradient));
    }
}

nw_status nw_gradient_backward(nw_gradient *g)
{
    const nw_model *model = g->scheme->model;
    for (int32_t i = model->n_nodes; i-- > 0;) {
        nw_gradient_tensor *y = &g->tensors[model->nodes[i].output];
        if (!y->computed)
            continue;
        if (!g->linears[i].weights)
            nw_gradient_round_backward(y, 0, pixels_of(g, y));
        NW_TRY(run_node(g, i, true));
    }
    for (int32_t i = 0; i < model->n_inputs; i++) {
        nw_gradient_tensor *x = &g->tensors[model->inputs[i]];
        nw_gradient_round_backward(x, 0, pixels_of(g, x));
    }
    return NW_OK;
}
