/* SPDX-License-Identifier: Apache-2.0 */
/* See gradient.h. The walk over the network, and the nodes that are neither linear nor rounding. */
#include "quant/gradient.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"

static bool is_elementwise(nw_op op)
{
    return op == NW_OP_RELU || op == NW_OP_CLIP || op == NW_OP_SIGMOID || op == NW_OP_TANH || op == NW_OP_HARD_SIGMOID ||
           op == NW_OP_HARD_SWISH || op == NW_OP_SILU || op == NW_OP_LEAKY_RELU;
}

bool nw_gradient_knows(const nw_scheme *scheme, int32_t index)
{
    const nw_node *node = &scheme->model->nodes[index];
    const nw_mode mode = scheme->nodes[index].mode;
    if (mode == NW_MODE_LINEAR)
        return true;
    if (mode == NW_MODE_DEAD || mode == NW_MODE_REAL)
        return false;
    return is_elementwise(node->op) || node->op == NW_OP_ADD || node->op == NW_OP_MUL || node->op == NW_OP_AVERAGE_POOL ||
           node->op == NW_OP_MAX_POOL || node->op == NW_OP_RESHAPE || (node->op == NW_OP_CONCAT && node->axis == 1);
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

/** Whether something happens between a node's sum and what its readers see. */
static bool has_before(const nw_gradient *g, int32_t t, const nw_node *producer)
{
    const bool source = nw_scheme_is_source(g->scheme, t);
    const bool fused = producer && (nw_is_linear(producer) || producer->op == NW_OP_ADD) &&
                       (producer->lo > -INFINITY || producer->hi < INFINITY);
    return (g->trains && source) || fused;
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
    return 5 * n * sizeof(float); /* before, value, gradient; the float network's before and value */
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

/* elementwise functions */

static float value_of(const nw_node *node, float x)
{
    switch (node->op) {
    case NW_OP_RELU:
        return nw_maxf(x, 0.0f);
    case NW_OP_CLIP:
        return nw_minf(nw_maxf(x, node->lo), node->hi);
    case NW_OP_SIGMOID:
        return 1.0f / (1.0f + expf(-x));
    case NW_OP_TANH:
        return tanhf(x);
    case NW_OP_HARD_SIGMOID:
        return nw_minf(nw_maxf(node->alpha * x + node->beta, 0.0f), 1.0f);
    case NW_OP_HARD_SWISH:
        return x * nw_minf(nw_maxf(x / 6.0f + 0.5f, 0.0f), 1.0f);
    case NW_OP_SILU:
        return x / (1.0f + expf(-x));
    default: /* LEAKY_RELU */
        return x < 0.0f ? node->alpha * x : x;
    }
}

static float slope_of(const nw_node *node, float x)
{
    const float s = 1.0f / (1.0f + expf(-x));
    switch (node->op) {
    case NW_OP_RELU:
        return x > 0.0f ? 1.0f : 0.0f;
    case NW_OP_CLIP:
        return x >= node->lo && x <= node->hi ? 1.0f : 0.0f;
    case NW_OP_SIGMOID:
        return s * (1.0f - s);
    case NW_OP_TANH:
        return 1.0f - tanhf(x) * tanhf(x);
    case NW_OP_HARD_SIGMOID: {
        const float v = node->alpha * x + node->beta;
        return v > 0.0f && v < 1.0f ? node->alpha : 0.0f;
    }
    case NW_OP_HARD_SWISH:
        return x <= -3.0f ? 0.0f : x >= 3.0f ? 1.0f : x / 3.0f + 0.5f;
    case NW_OP_SILU:
        return s * (1.0f + x * (1.0f - s));
    default: /* LEAKY_RELU */
        return x < 0.0f ? node->alpha : 1.0f;
    }
}

/* pools */

typedef void pool_visit(const nw_gradient_tensor *x, nw_gradient_tensor *y, size_t to, const size_t *from, int32_t n,
                        float share);

/** Calls visit for every output pixel with the input pixels of its window: indices of their first channels. */
static void over_windows(const nw_gradient *g, const nw_node *node, pool_visit *visit)
{
    const nw_gradient_tensor *x = &g->tensors[node->inputs[0]];
    nw_gradient_tensor *y = &g->tensors[node->output];
    const nw_window *w = &node->window;
    const size_t channels = (size_t)x->channels;
    size_t *from = malloc(((size_t)w->kernel[0] * (size_t)w->kernel[1] + 1) * sizeof(*from));
    for (int32_t s = 0; from && s < g->batch; s++)
        for (int32_t oh = 0; oh < y->height; oh++)
            for (int32_t ow = 0; ow < y->width; ow++) {
                int32_t n = 0;
                for (int32_t tap = 0; tap < w->kernel[0] * w->kernel[1]; tap++) {
                    const int32_t h = oh * w->stride[0] + tap / w->kernel[1] * w->dilation[0] - w->pad[0];
                    const int32_t v = ow * w->stride[1] + tap % w->kernel[1] * w->dilation[1] - w->pad[1];
                    if (h >= 0 && h < x->height && v >= 0 && v < x->width)
                        from[n++] = (size_t)s * x->elements + (size_t)(h * x->width + v) * channels;
                }
                const int32_t count = node->count_include_pad ? w->kernel[0] * w->kernel[1] : n;
                visit(x, y, (size_t)s * y->elements + (size_t)(oh * y->width + ow) * channels, from, n,
                      1.0f / (float)count);
            }
    free(from);
}

static void average(const nw_gradient_tensor *x, nw_gradient_tensor *y, size_t to, const size_t *from, int32_t n,
                    float share)
{
    for (int32_t c = 0; c < x->channels; c++) {
        float sum = 0.0f;
        for (int32_t i = 0; i < n; i++)
            sum += x->value[from[i] + (size_t)c];
        y->before[to + (size_t)c] = sum * share;
    }
}

static void average_back(const nw_gradient_tensor *x, nw_gradient_tensor *y, size_t to, const size_t *from, int32_t n,
                         float share)
{
    for (int32_t i = 0; i < n; i++)
        for (int32_t c = 0; c < x->channels; c++)
            x->gradient[from[i] + (size_t)c] += y->gradient[to + (size_t)c] * share;
}

/** The first of the largest values of a window. */
static size_t largest(const nw_gradient_tensor *x, const size_t *from, int32_t n, int32_t c)
{
    size_t best = from[0];
    for (int32_t i = 1; i < n; i++)
        best = x->value[from[i] + (size_t)c] > x->value[best + (size_t)c] ? from[i] : best;
    return best + (size_t)c;
}

static void maximum(const nw_gradient_tensor *x, nw_gradient_tensor *y, size_t to, const size_t *from, int32_t n,
                    float share)
{
    (void)share;
    for (int32_t c = 0; n > 0 && c < x->channels; c++)
        y->before[to + (size_t)c] = x->value[largest(x, from, n, c)];
}

static void maximum_back(const nw_gradient_tensor *x, nw_gradient_tensor *y, size_t to, const size_t *from, int32_t n,
                         float share)
{
    (void)share;
    for (int32_t c = 0; n > 0 && c < x->channels; c++)
        x->gradient[largest(x, from, n, c)] += y->gradient[to + (size_t)c];
}

/* moves and sums */

/** Element i of a sample in the order [C, H, W], where it lies channels last. */
static size_t lies_at(const nw_gradient_tensor *t, size_t i)
{
    const size_t plane = t->elements / (size_t)t->channels;
    return i % plane * (size_t)t->channels + i / plane;
}

static void reshape(const nw_gradient *g, const nw_node *node, bool back)
{
    const nw_gradient_tensor *x = &g->tensors[node->inputs[0]];
    const nw_gradient_tensor *y = &g->tensors[node->output];
    for (size_t s = 0; s < (size_t)g->batch; s++)
        for (size_t i = 0; i < x->elements; i++) {
            const size_t from = s * x->elements + lies_at(x, i);
            const size_t to = s * y->elements + lies_at(y, i);
            if (back)
                x->gradient[from] += y->gradient[to];
            else
                y->before[to] = x->value[from];
        }
}

static void concat(const nw_gradient *g, const nw_node *node, bool back)
{
    const nw_gradient_tensor *y = &g->tensors[node->output];
    const size_t pixels = (size_t)g->batch * y->elements / (size_t)y->channels;
    size_t first = 0;
    for (int32_t j = 0; j < node->n_inputs; j++) {
        const nw_gradient_tensor *x = &g->tensors[node->inputs[j]];
        const size_t n = (size_t)x->channels;
        for (size_t i = 0; i < pixels; i++)
            for (size_t c = 0; c < n; c++) {
                const size_t to = i * (size_t)y->channels + first + c;
                if (back)
                    x->gradient[i * n + c] += y->gradient[to];
                else
                    y->before[to] = x->value[i * n + c];
            }
        first += n;
    }
}

static void sum(const nw_gradient *g, const nw_node *node, bool back)
{
    const nw_gradient_tensor *a = &g->tensors[node->inputs[0]];
    const nw_gradient_tensor *b = &g->tensors[node->inputs[1]];
    const nw_gradient_tensor *y = &g->tensors[node->output];
    for (size_t i = 0; i < y->elements * (size_t)g->batch; i++) {
        if (back) {
            a->gradient[i] += y->gradient[i];
            b->gradient[i] += y->gradient[i];
        } else {
            y->before[i] = a->value[i] + b->value[i];
        }
    }
}

/** Where element i of the product finds its factor: one for all pixels, or its own. */
static size_t factor_at(const nw_gradient_tensor *x, const nw_gradient_tensor *y, size_t i)
{
    const size_t sample = i / y->elements;
    return x->elements == y->elements ? i : sample * x->elements + i % (size_t)y->channels;
}

static void product(const nw_gradient *g, const nw_node *node, bool back)
{
    const nw_gradient_tensor *a = &g->tensors[node->inputs[0]];
    const nw_gradient_tensor *b = &g->tensors[node->inputs[1]];
    const nw_gradient_tensor *y = &g->tensors[node->output];
    for (size_t i = 0; i < y->elements * (size_t)g->batch; i++) {
        const size_t j = factor_at(a, y, i);
        const size_t k = factor_at(b, y, i);
        if (back) {
            a->gradient[j] += y->gradient[i] * b->value[k];
            b->gradient[k] += y->gradient[i] * a->value[j];
        } else {
            y->before[i] = a->value[j] * b->value[k];
        }
    }
}

static void elementwise(const nw_gradient *g, const nw_node *node, bool back)
{
    const nw_gradient_tensor *x = &g->tensors[node->inputs[0]];
    const nw_gradient_tensor *y = &g->tensors[node->output];
    for (size_t i = 0; i < y->elements * (size_t)g->batch; i++) {
        if (back)
            x->gradient[i] += y->gradient[i] * slope_of(node, x->value[i]);
        else
            y->before[i] = value_of(node, x->value[i]);
    }
}

/* the walk */

static nw_status run_node(nw_gradient *g, int32_t index, bool back)
{
    const nw_node *node = &g->scheme->model->nodes[index];
    switch (node->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
    case NW_OP_GEMM:
        return back ? nw_gradient_linear_backward(g, index) : nw_gradient_linear_forward(g, index);
    case NW_OP_ADD:
        sum(g, node, back);
        break;
    case NW_OP_MUL:
        product(g, node, back);
        break;
    case NW_OP_AVERAGE_POOL:
        over_windows(g, node, back ? average_back : average);
        break;
    case NW_OP_MAX_POOL:
        over_windows(g, node, back ? maximum_back : maximum);
        break;
    case NW_OP_RESHAPE:
        reshape(g, node, back);
        break;
    case NW_OP_CONCAT:
        concat(g, node, back);
        break;
    default:
        elementwise(g, node, back);
        break;
    }
    return NW_OK;
}

nw_status nw_gradient_forward(nw_gradient *g)
{
    const nw_model *model = g->scheme->model;
    for (int32_t i = 0; i < model->n_inputs; i++)
        nw_gradient_round(&g->tensors[model->inputs[i]], g->batch);
    for (int32_t i = 0; i < model->n_nodes; i++) {
        if (!g->tensors[model->nodes[i].output].computed)
            continue;
        NW_TRY(run_node(g, i, false));
        nw_gradient_round(&g->tensors[model->nodes[i].output], g->batch);
    }
    return NW_OK;
}

void nw_gradient_clear(nw_gradient *g)
{
    const nw_model *model = g->scheme->model;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_gradient_tensor *tensor = &g->tensors[t];
        if (!tensor->computed)
            continue;
        memset(tensor->gradient, 0, tensor->elements * (size_t)g->batch * sizeof(*tensor->gradient));
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
        if (!g->tensors[model->nodes[i].output].computed)
            continue;
        nw_gradient_round_backward(&g->tensors[model->nodes[i].output], g->batch);
        NW_TRY(run_node(g, i, true));
    }
    for (int32_t i = 0; i < model->n_inputs; i++)
        nw_gradient_round_backward(&g->tensors[model->inputs[i]], g->batch);
    return NW_OK;
}
