/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of gradient.h that are neither linear nor rounding, each forward and back. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "quant/gradient.h"

static bool is_elementwise(nw_op op)
{
    return op == NW_OP_RELU || op == NW_OP_CLIP || op == NW_OP_SIGMOID || op == NW_OP_TANH ||
           op == NW_OP_HARD_SIGMOID || op == NW_OP_HARD_SWISH || op == NW_OP_SILU || op == NW_OP_LEAKY_RELU;
}

/** Slice or Pad of pictures that leaves the batch alone; what is padded with is 0. */
static bool is_placement(const nw_model *model, const nw_node *node)
{
    if (model->tensors[node->inputs[0]].rank != 4 || model->tensors[node->output].rank != 4)
        return false;
    if (node->op == NW_OP_SLICE)
        return node->starts[0] == 0 && node->steps[0] == 1;
    return node->op == NW_OP_PAD && node->pads[0] == 0 && node->pads[4] == 0 && node->alpha == 0.0f;
}

bool nw_gradient_knows_plain(const nw_model *model, int32_t index)
{
    const nw_node *node = &model->nodes[index];
    return is_elementwise(node->op) || node->op == NW_OP_ADD || node->op == NW_OP_MUL ||
           node->op == NW_OP_AVERAGE_POOL || node->op == NW_OP_MAX_POOL || node->op == NW_OP_RESHAPE ||
           (node->op == NW_OP_CONCAT && node->axis == 1) || is_placement(model, node);
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

/** Where a Slice takes its output from its input, a Pad puts its input into its output: at begin + step * i. */
typedef struct placement {
    const nw_gradient_tensor *small, *large;
    int32_t begin[3], step[3]; /* channel, row, column */
} placement;

static placement placement_of(const nw_gradient *g, const nw_node *node)
{
    const nw_gradient_tensor *x = &g->tensors[node->inputs[0]];
    const nw_gradient_tensor *y = &g->tensors[node->output];
    placement p = {y, x, {0}, {1, 1, 1}};
    if (node->op == NW_OP_PAD)
        p = (placement){x, y, {0}, {1, 1, 1}};
    for (int32_t axis = 0; axis < 3; axis++) {
        p.begin[axis] = node->op == NW_OP_PAD ? node->pads[axis + 1] : node->starts[axis + 1];
        p.step[axis] = node->op == NW_OP_PAD ? 1 : node->steps[axis + 1];
    }
    return p;
}

/** to = from, or to += from: pixels of the small tensor, of the large one where the placement says. */
static void copy_placed(const nw_gradient *g, const placement *p, float *small, float *large, bool to_large, bool add)
{
    const size_t channels = (size_t)p->small->channels;
    for (int32_t i = 0; i < g->batch * p->small->height; i++)
        for (int32_t w = 0; w < p->small->width; w++) {
            const int32_t sample = i / p->small->height;
            const int32_t row = sample * p->large->height + p->begin[1] + i % p->small->height * p->step[1];
            float *a = small + ((size_t)i * (size_t)p->small->width + (size_t)w) * channels;
            float *b = large + ((size_t)row * (size_t)p->large->width + (size_t)(p->begin[2] + w * p->step[2])) *
                                   (size_t)p->large->channels + (size_t)p->begin[0];
            for (size_t c = 0; c < channels; c++, a++, b += p->step[0]) {
                float *to = to_large ? b : a;
                *to = (to_large ? *a : *b) + (add ? *to : 0.0f);
            }
        }
}

static void place(const nw_gradient *g, const nw_node *node, bool back)
{
    const bool pads = node->op == NW_OP_PAD;
    const nw_gradient_tensor *x = &g->tensors[node->inputs[0]];
    const nw_gradient_tensor *y = &g->tensors[node->output];
    const placement p = placement_of(g, node);
    if (back) {
        copy_placed(g, &p, pads ? x->gradient : y->gradient, pads ? y->gradient : x->gradient, !pads, true);
        return;
    }
    if (pads)
        memset(y->before, 0, y->elements * (size_t)g->batch * sizeof(*y->before));
    copy_placed(g, &p, pads ? x->value : y->before, pads ? y->before : x->value, pads, false);
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

void nw_gradient_plain(nw_gradient *g, int32_t index, bool back)
{
    const nw_node *node = &g->scheme->model->nodes[index];
    switch (node->op) {
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
    case NW_OP_SLICE:
    case NW_OP_PAD:
        place(g, node, back);
        break;
    default:
        elementwise(g, node, back);
        break;
    }
}
