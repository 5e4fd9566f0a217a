/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear nodes of gradient.h. The inputs of a number of output pixels are gathered as rows of a matrix, [pixels, k] in
 * the weights' order kh, kw, c; then all three passes are products of matrices. Layers that read single pixels need no
 * gathering; depthwise ones would make matrices of one column and go tap by tap. Bias, residual and rounding of these
 * pixels come right behind (backward: before), while they are in the cache.
 */
#include <string.h>

#include "base/arith.h"
#include "base/clones.h"
#include "float/onednn.h"
#include "quant/gradient.h"
#include "quant/moments.h"

#define ROWS 1024 /* output pixels gathered at a time */

typedef struct pass {
    nw_gradient *g;
    const nw_node *node;
    nw_gradient_linear *linear;
    nw_gradient_tensor *x, *y;
    bool direct; /* every output pixel reads the input pixel of its own place */
    size_t pixels; /* of all samples */
} pass;

static pass make_pass(nw_gradient *g, int32_t index)
{
    const nw_node *node = &g->scheme->model->nodes[index];
    pass p = {g, node, &g->linears[index], &g->tensors[node->inputs[0]], &g->tensors[node->output], true, 0};
    const nw_window *w = &node->window;
    if (node->op != NW_OP_GEMM)
        p.direct = node->op == NW_OP_CONV && !p.linear->depthwise && p.linear->shape.taps == 1 && w->stride[0] == 1 &&
                   w->stride[1] == 1 && p.x->height == p.y->height && p.x->width == p.y->width && w->pad[0] == 0 &&
                   w->pad[1] == 0;
    p.pixels = (size_t)g->batch * (size_t)p.y->height * (size_t)p.y->width;
    return p;
}

static inline void add_products(float *restrict to, const float *restrict from, float factor, size_t n)
{
    for (size_t c = 0; c < n; c++)
        to[c] += factor * from[c];
}

/** Input row (axis 0) or column (axis 1) that tap k meets at output place y, or -1. */
static int32_t source_of(const nw_node *node, int32_t axis, int32_t y, int32_t k, int32_t n_x)
{
    const nw_window *w = &node->window;
    if (node->op != NW_OP_CONV_TRANSPOSE) {
        const int32_t at = y * w->stride[axis] + k * w->dilation[axis] - w->pad[axis];
        return at >= 0 && at < n_x ? at : -1;
    }
    const int32_t spread = y + w->pad[axis] - k * w->dilation[axis];
    return spread >= 0 && spread % w->stride[axis] == 0 && spread / w->stride[axis] < n_x ? spread / w->stride[axis]
                                                                                          : -1;
}

/** Fills g->places: for every output pixel of a sample and every tap the input's first channel there, or -1. */
static void set_places(const pass *p)
{
    const int32_t kw = p->node->window.kernel[1];
    int32_t *to = p->g->places;
    for (int32_t oh = 0; oh < p->y->height; oh++)
        for (int32_t ow = 0; ow < p->y->width; ow++)
            for (int32_t tap = 0; tap < p->linear->shape.taps; tap++) {
                const int32_t h = source_of(p->node, 0, oh, tap / kw, p->x->height);
                const int32_t w = source_of(p->node, 1, ow, tap % kw, p->x->width);
                *to++ = h < 0 || w < 0 ? -1 : (h * p->x->width + w) * p->x->channels;
            }
}

/** Places of output pixel `at` of all samples, and where its sample begins in the input. */
static const int32_t *places_of(const pass *p, size_t at, size_t *sample)
{
    const size_t plane = (size_t)p->y->height * (size_t)p->y->width;
    *sample = at / plane * p->x->elements;
    return p->g->places + at % plane * (size_t)p->linear->shape.taps;
}

/** columns [n, k] of output pixels first .. first + n - 1 of one group. */
static void gather(const pass *p, int32_t group, size_t first, size_t n)
{
    const nw_linear_shape *s = &p->linear->shape;
    const size_t width = (size_t)s->group_inputs;
    float *to = p->g->columns;
    for (size_t i = 0; i < n; i++) {
        size_t sample;
        const int32_t *places = places_of(p, first + i, &sample);
        const float *x = p->x->value + sample + (size_t)group * width;
        for (int32_t tap = 0; tap < s->taps; tap++, to += width) {
            if (places[tap] < 0)
                memset(to, 0, width * sizeof(*to));
            else
                memcpy(to, x + places[tap], width * sizeof(*to));
        }
    }
}

/** Adds columns to the gradient of the input. */
static void scatter(const pass *p, int32_t group, size_t first, size_t n)
{
    const nw_linear_shape *s = &p->linear->shape;
    const size_t width = (size_t)s->group_inputs;
    const float *from = p->g->columns;
    for (size_t i = 0; i < n; i++) {
        size_t sample;
        const int32_t *places = places_of(p, first + i, &sample);
        float *x = p->x->gradient + sample + (size_t)group * width;
        for (int32_t tap = 0; tap < s->taps; tap++, from += width)
            if (places[tap] >= 0)
                add_products(x + places[tap], from, 1.0f, width);
    }
}

/* forward */

static nw_status multiply_rows(const pass *p, int32_t group, size_t first, size_t n)
{
    const nw_linear_shape *s = &p->linear->shape;
    const size_t outputs = (size_t)s->group_outputs;
    const size_t k = (size_t)s->k;
    const size_t channels = (size_t)p->x->channels;
    nw_dnn_matrix a = {p->g->columns, k, false};
    if (p->direct)
        a = (nw_dnn_matrix){p->x->value + first * channels + (size_t)group * k, channels, false};
    else
        gather(p, group, first, n);
    const nw_dnn_matrix b = {p->linear->weights + (size_t)group * outputs * k, k, true};
    float *c = p->y->before + first * (size_t)p->y->channels + (size_t)group * outputs;
    return nw_dnn_multiply(c, (size_t)p->y->channels, n, outputs, k, &a, &b, 0.0f);
}

/** Weights of a depthwise layer tap by tap, [taps, C]. */
static void set_weights_by_tap(const pass *p)
{
    const int32_t n = p->y->channels;
    const int32_t taps = p->linear->shape.taps;
    for (int32_t c = 0; c < n; c++)
        for (int32_t tap = 0; tap < taps; tap++)
            p->g->columns[tap * n + c] = p->linear->weights[c * taps + tap];
}

/** Neighbouring floats anywhere in memory. */
typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
#define LANES (sizeof(lanes) / sizeof(float))

/** One output pixel: sum over taps of weights [taps, n] times the input's. */
static inline void depthwise_pixel(float *restrict y, const float *restrict w, const float *restrict x,
                                   const int32_t *places, int32_t taps, size_t n)
{
    size_t c = 0;
    for (; c + LANES <= n; c += LANES) {
        lanes sum = {0};
        for (int32_t tap = 0; tap < taps; tap++)
            if (places[tap] >= 0)
                sum += *(const lanes *)(w + (size_t)tap * n + c) * *(const lanes *)(x + places[tap] + c);
        *(lanes *)(y + c) = sum;
    }
    for (; c < n; c++) {
        float sum = 0.0f;
        for (int32_t tap = 0; tap < taps; tap++)
            if (places[tap] >= 0)
                sum += w[(size_t)tap * n + c] * x[(size_t)places[tap] + c];
        y[c] = sum;
    }
}

NW_CLONES static void depthwise_rows(const pass *p, size_t first, size_t n_rows)
{
    const size_t n = (size_t)p->y->channels;
    for (size_t i = first; i < first + n_rows; i++) {
        size_t sample;
        const int32_t *places = places_of(p, i, &sample);
        depthwise_pixel(p->y->before + i * n, p->g->columns, p->x->value + sample, places, p->linear->shape.taps, n);
    }
}

static const nw_gradient_tensor *residual_of(const pass *p)
{
    const bool any = p->node->n_inputs > 3 && p->node->inputs[3] != NW_NONE;
    return any ? &p->g->tensors[p->node->inputs[3]] : NULL;
}

NW_CLONES static void add_bias(const pass *p, size_t first, size_t n_rows)
{
    const nw_gradient_tensor *residual = residual_of(p);
    const size_t n = (size_t)p->y->channels;
    for (size_t i = first; i < first + n_rows; i++) {
        add_products(p->y->before + i * n, p->linear->bias, 1.0f, n);
        if (residual)
            add_products(p->y->before + i * n, residual->value + i * n, 1.0f, n);
    }
}

static nw_status forward_rows(const pass *p, size_t first, size_t n)
{
    const int32_t groups = p->y->channels / p->linear->shape.group_outputs;
    if (p->linear->depthwise)
        depthwise_rows(p, first, n);
    for (int32_t group = 0; !p->linear->depthwise && group < groups; group++)
        NW_TRY(multiply_rows(p, group, first, n));
    add_bias(p, first, n);
    nw_gradient_round(p->y, first, n);
    return NW_OK;
}

nw_status nw_gradient_linear_forward(nw_gradient *g, int32_t index)
{
    const pass p = make_pass(g, index);
    if (!p.direct)
        set_places(&p);
    if (p.linear->depthwise)
        set_weights_by_tap(&p);
    for (size_t first = 0; first < p.pixels; first += ROWS)
        NW_TRY(forward_rows(&p, first, p.pixels - first < ROWS ? p.pixels - first : ROWS));
    return NW_OK;
}

/* backward */

static nw_status multiply_rows_back(const pass *p, int32_t group, size_t first, size_t n)
{
    const nw_linear_shape *s = &p->linear->shape;
    const size_t outputs = (size_t)s->group_outputs;
    const size_t k = (size_t)s->k;
    const size_t channels = (size_t)p->x->channels;
    const float *y = p->y->gradient + first * (size_t)p->y->channels + (size_t)group * outputs;
    nw_dnn_matrix x = {p->g->columns, k, false};
    if (p->direct)
        x = (nw_dnn_matrix){p->x->value + first * channels + (size_t)group * k, channels, false};
    else
        gather(p, group, first, n);
    const nw_dnn_matrix across = {y, (size_t)p->y->channels, true};
    const nw_dnn_matrix along = {y, (size_t)p->y->channels, false};
    const nw_dnn_matrix w = {p->linear->weights + (size_t)group * outputs * k, k, false};
    float *weight_gradient = p->linear->weight_gradient + (size_t)group * outputs * k;
    NW_TRY(nw_dnn_multiply(weight_gradient, k, outputs, k, n, &across, &x, 1.0f));
    if (p->direct)
        return nw_dnn_multiply(p->x->gradient + first * channels + (size_t)group * k, channels, n, k, outputs, &along,
                               &w, 1.0f);
    NW_TRY(nw_dnn_multiply(p->g->columns, k, n, k, outputs, &along, &w, 0.0f));
    scatter(p, group, first, n);
    return NW_OK;
}

/** Sums of the weights' gradients by tap, [taps, C], lie behind the weights by tap. */
static float *sums_by_tap(const pass *p)
{
    return p->g->columns + (size_t)p->linear->shape.taps * (size_t)p->y->channels;
}

/** One output pixel: sums [taps, n] of the weights' gradients, and gradients of the input. */
static inline void depthwise_pixel_back(const float *restrict y, const float *restrict w, float *restrict sums,
                                        const float *restrict x, float *restrict gradient, const int32_t *places,
                                        int32_t taps, size_t n)
{
    for (int32_t tap = 0; tap < taps; tap++) {
        if (places[tap] < 0)
            continue;
        const size_t at = (size_t)places[tap];
        const size_t row = (size_t)tap * n;
        for (size_t c = 0; c < n; c++) {
            sums[row + c] += y[c] * x[at + c];
            gradient[at + c] += y[c] * w[row + c];
        }
    }
}

NW_CLONES static void depthwise_rows_back(const pass *p, size_t first, size_t n_rows)
{
    const size_t n = (size_t)p->y->channels;
    for (size_t i = first; i < first + n_rows; i++) {
        size_t sample;
        const int32_t *places = places_of(p, i, &sample);
        depthwise_pixel_back(p->y->gradient + i * n, p->g->columns, sums_by_tap(p), p->x->value + sample,
                             p->x->gradient + sample, places, p->linear->shape.taps, n);
    }
}

static void add_sums_by_tap(const pass *p)
{
    const size_t n = (size_t)p->y->channels;
    const size_t taps = (size_t)p->linear->shape.taps;
    for (size_t c = 0; c < n; c++)
        for (size_t tap = 0; tap < taps; tap++)
            p->linear->weight_gradient[c * taps + tap] += sums_by_tap(p)[tap * n + c];
}

NW_CLONES static void back_bias(const pass *p, size_t first, size_t n_rows)
{
    const nw_gradient_tensor *residual = residual_of(p);
    const size_t n = (size_t)p->y->channels;
    for (size_t i = first; i < first + n_rows; i++) {
        add_products(p->linear->bias_gradient, p->y->gradient + i * n, 1.0f, n);
        if (residual)
            add_products(residual->gradient + i * n, p->y->gradient + i * n, 1.0f, n);
    }
}

static nw_status backward_rows(const pass *p, size_t first, size_t n)
{
    const int32_t groups = p->y->channels / p->linear->shape.group_outputs;
    nw_gradient_round_backward(p->y, first, n);
    back_bias(p, first, n);
    if (p->linear->depthwise)
        depthwise_rows_back(p, first, n);
    for (int32_t group = 0; !p->linear->depthwise && group < groups; group++)
        NW_TRY(multiply_rows_back(p, group, first, n));
    return NW_OK;
}

nw_status nw_gradient_linear_backward(nw_gradient *g, int32_t index)
{
    const pass p = make_pass(g, index);
    if (!p.direct)
        set_places(&p);
    if (p.linear->depthwise) {
        set_weights_by_tap(&p);
        memset(sums_by_tap(&p), 0, (size_t)p.linear->shape.taps * (size_t)p.y->channels * sizeof(float));
    }
    for (size_t first = 0; first < p.pixels; first += ROWS)
        NW_TRY(backward_rows(&p, first, p.pixels - first < ROWS ? p.pixels - first : ROWS));
    if (p.linear->depthwise)
        add_sums_by_tap(&p);
    return NW_OK;
}

size_t nw_gradient_places(const nw_scheme *scheme)
{
    size_t most = 1;
    for (int32_t i = 0; i < scheme->model->n_nodes; i++) {
        if (scheme->nodes[i].mode != NW_MODE_LINEAR)
            continue;
        const nw_node *node = &scheme->model->nodes[i];
        const size_t n = (size_t)nw_patch_positions(scheme->model, node) * (size_t)scheme->nodes[i].shape.taps;
        most = n > most ? n : most;
    }
    return most;
}

size_t nw_gradient_columns(const nw_scheme *scheme)
{
    size_t most = 1;
    for (int32_t i = 0; i < scheme->model->n_nodes; i++) {
        const nw_linear_shape *s = &scheme->nodes[i].shape;
        if (scheme->nodes[i].mode != NW_MODE_LINEAR)
            continue;
        const size_t gathered = ROWS * (size_t)s->k;
        const size_t by_tap = 2 * (size_t)s->taps * (size_t)s->n_channels;
        most = gathered > most ? gathered : most;
        most = by_tap > most ? by_tap : most;
    }
    return most;
}
