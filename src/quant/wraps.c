/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges for sums modulo 2^16 (16-wrap): overflow-aware quantization after training, as Xie et al. 2020 mean it, where
 * "no overflow" is a statement about data. Codes have 7 bits (follow.c); rows get steps alpha[o] times as large until
 * sums fit. The quantized network runs over the kept samples; a layer's sums S = sum_k W[o,k] x[k] are formed at some
 * thousand positions, with mean m and deviation s per row, and all rows share one tail, that of |S - m| / s:
 *
 *     t(p)     |S - m| exceeds t(p) s in a share p of the sums; seen down to p = 10 / (sums seen), at least 1e-5, and
 *              from there on to OUTSIDE drawn on in a straight line over log p, as sums with heavy tails (exponential)
 *              do; those of normal ones fall faster
 *     alpha[o] = GUARD max(|m| + t s, the row's largest |S| seen) / 32767, and at least 1
 *
 * Why 1e-7: a sum that wraps is wrong by 65536, weights narrowed by alpha round sums off by about alpha sqrt(k E x^2 /
 * 12), some 200 alpha. The expected squares of both are alike at one sum in 10^5; a hundredth of that is left to wraps,
 * because a network makes 10^5 to 10^7 sums for an answer.
 *
 * A layer that needs more than alpha = 4 in some row is tried with codes of 6 bits; if that is not enough either, it
 * stays exact, unless the plan says otherwise.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/patches.h"
#include "quant/simulate.h"

#define OUTSIDE 1e-7 /* share of the sums that may wrap */
#define GUARD 1.05     /* other pictures */
#define LEAST_SEEN 1e-5
#define MOST_POSITIONS 32768
#define BINS 8192
#define BINS_PER_SIGMA 64
#define MAX_SUMS 33554432.0 /* of a layer that are looked at */

typedef struct wraps {
    nw_scheme *scheme;
    int32_t batch;
    bool *dropped;
    nw_status status;
} wraps;

typedef struct layer {
    const nw_node *node;
    nw_node_scheme *linear;
    int32_t index, n; /* positions */
    double *w;        /* [O, k] codes over the step of the input: sums then come out in units of code products */
    float *y;         /* [n_groups, n, group_outputs] sums less their zero-point term */
    double *mean, *deviation, *largest; /* [O] of the sums; largest |sum| */
    double *alpha;    /* [O] */
    uint64_t *bins;   /* [BINS] of |S - m| / s */
} layer;

static void layer_clear(layer *l)
{
    free(l->w);
    free(l->y);
    free(l->mean);
    free(l->deviation);
    free(l->largest);
    free(l->alpha);
    free(l->bins);
}

static bool layer_init(layer *l, const wraps *all, int32_t index)
{
    const nw_model *model = all->scheme->model;
    *l = (layer){.node = &model->nodes[index], .linear = &all->scheme->nodes[index], .index = index};
    const size_t outputs = (size_t)l->linear->shape.n_channels;
    const size_t k = (size_t)l->linear->shape.k;
    const double scale = (double)all->scheme->tensors[l->node->inputs[0]].grid.scale;
    const double most = fmin(MOST_POSITIONS, fmax(1.0, MAX_SUMS / (double)outputs));
    l->n = (int32_t)fmin(most, (double)nw_patch_positions(model, l->node) * all->batch);
    l->w = malloc(outputs * k * sizeof(*l->w));
    l->y = malloc(outputs * (size_t)l->n * sizeof(*l->y));
    l->mean = calloc(outputs, sizeof(*l->mean));
    l->deviation = calloc(outputs, sizeof(*l->deviation));
    l->largest = calloc(outputs, sizeof(*l->largest));
    l->alpha = calloc(outputs, sizeof(*l->alpha));
    l->bins = calloc(BINS, sizeof(*l->bins));
    for (size_t i = 0; l->w && i < outputs * k; i++)
        l->w[i] = l->linear->weights[i] / scale;
    return l->w && l->y && l->mean && l->deviation && l->largest && l->alpha && l->bins;
}

/** Sum i of row o, with the zero-point term that a 16-wrap kernel sees. */
static double sum_of(const layer *l, int32_t o, int32_t i, double zero_term)
{
    const size_t outputs = (size_t)l->linear->shape.group_outputs;
    const size_t group = (size_t)o / outputs;
    return (double)l->y[(group * (size_t)l->n + (size_t)i) * outputs + (size_t)o % outputs] + zero_term;
}

static void look_at_row(layer *l, int32_t o, int32_t zero_point)
{
    const int8_t *w = l->linear->weights + (size_t)o * (size_t)l->linear->shape.k;
    double zero_term = 0.0;
    double square = 0.0;
    for (int32_t j = 0; j < l->linear->shape.k; j++)
        zero_term += w[j] * zero_point;
    for (int32_t i = 0; i < l->n; i++) {
        const double sum = sum_of(l, o, i, zero_term);
        l->mean[o] += sum / l->n;
        l->largest[o] = fmax(l->largest[o], fabs(sum));
    }
    for (int32_t i = 0; i < l->n; i++)
        square += pow(sum_of(l, o, i, zero_term) - l->mean[o], 2.0) / l->n;
    l->deviation[o] = sqrt(square);
    for (int32_t i = 0; l->deviation[o] > 0.0 && i < l->n; i++) {
        const double far = fabs(sum_of(l, o, i, zero_term) - l->mean[o]) / l->deviation[o] * BINS_PER_SIGMA;
        l->bins[far < BINS - 1 ? (int32_t)far : BINS - 1]++;
    }
}

/** Deviations that a share p of all sums exceeds. */
static double quantile(const layer *l, double p)
{
    uint64_t total = 0;
    uint64_t above = 0;
    int32_t bin = BINS;
    for (int32_t i = 0; i < BINS; i++)
        total += l->bins[i];
    while (bin > 0 && (double)(above + l->bins[bin - 1]) <= p * (double)total)
        above += l->bins[--bin];
    return (double)bin / BINS_PER_SIGMA;
}

/** t(OUTSIDE). */
static double reach_of(const layer *l)
{
    const double n = (double)l->n * l->linear->shape.n_channels;
    const double seen = fmax(LEAST_SEEN, fmin(0.01, 10.0 / n));
    const double near = quantile(l, fmin(0.1, 100.0 * seen));
    const double far = quantile(l, seen);
    return far + (far - near) * log(seen / OUTSIDE) / log(fmin(0.1, 100.0 * seen) / seen);
}

static nw_status plan_layer(wraps *all, layer *l, const float *data)
{
    const nw_scheme *scheme = all->scheme;
    const nw_tensor_scheme *x = &scheme->tensors[l->node->inputs[0]];
    const nw_patches patches = {scheme->model, l->node, &l->linear->shape, x->factor, l->w, NULL, all->batch, l->n};
    const double most = nw_scheme_most_alpha(l->linear);
    /* phases of a transposed convolution have zero-point terms of their own */
    double largest = l->node->op == NW_OP_CONV_TRANSPOSE && x->grid.zero_point ? INFINITY : 1.0;
    NW_TRY(nw_patches_see(&patches, data, l->y, true, NULL));
    for (int32_t o = 0; o < l->linear->shape.n_channels; o++)
        look_at_row(l, o, x->grid.zero_point);
    const double reach = reach_of(l);
    for (int32_t o = 0; o < l->linear->shape.n_channels; o++) {
        const double tail = fabs(l->mean[o]) + reach * l->deviation[o];
        l->alpha[o] = fmax(1.0, GUARD * fmax(tail, l->largest[o]) / INT16_MAX);
        largest = fmax(largest, l->alpha[o]);
        l->alpha[o] = fmin(l->alpha[o], most);
    }
    if (largest > most && (l->linear->sum_bits > NW_WRAPS_LEAST_BITS || !l->linear->accumulator_said)) {
        if (l->linear->sum_bits <= NW_WRAPS_LEAST_BITS)
            l->linear->accumulator = NW_ACCUMULATOR_AUTO;
        l->linear->sum_bits = NW_WRAPS_LEAST_BITS;
        *all->dropped = true;
        return NW_OK;
    }
    l->linear->sums = nw_scheme_sum_reasons(scheme, l->index, l->alpha);
    l->linear->sums.outside = OUTSIDE;
    return nw_scheme_narrow_node(all->scheme, l->index, l->alpha);
}

/** Every layer that reads the tensor. The simulator keeps its wider weights: what they round off changes no range. */
static void observe(void *context, int32_t tensor, const float *data, size_t n_elements)
{
    wraps *all = context;
    (void)n_elements;
    for (int32_t i = 0; !all->status && i < all->scheme->model->n_nodes; i++) {
        const nw_node_scheme *linear = &all->scheme->nodes[i];
        if (linear->mode != NW_MODE_LINEAR || linear->accumulator != NW_ACCUMULATOR_16_WRAP ||
            all->scheme->model->nodes[i].inputs[0] != tensor)
            continue;
        layer l;
        all->status = layer_init(&l, all, i) ? plan_layer(all, &l, data) : NW_ERROR_MEMORY;
        layer_clear(&l);
    }
}

static bool any_wraps(const nw_scheme *scheme)
{
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR && scheme->nodes[i].accumulator == NW_ACCUMULATOR_16_WRAP)
            return true;
    return false;
}

nw_status nw_scheme_wraps(nw_scheme *scheme, bool *dropped, nw_error *error)
{
    *dropped = false;
    if (!any_wraps(scheme))
        return NW_OK;
    wraps all = {.scheme = scheme, .batch = scheme->calibration->n_kept, .dropped = dropped};
    if (all.batch < 1)
        return nw_fail(error, NW_ERROR_USAGE, "sums modulo 2^16 need a calibration that kept samples");
    nw_simulator *simulator = NULL;
    float **no_outputs = calloc((size_t)scheme->model->n_outputs + 1, sizeof(*no_outputs));
    nw_status status = no_outputs ? NW_OK : nw_fail_memory(error, "planning 16-bit sums");
    if (!status)
        status = nw_simulator_create(&simulator, scheme, all.batch, true, error);
    if (!status) {
        nw_simulator_observe(simulator, observe, &all);
        status = nw_simulator_run(simulator, (const float *const *)scheme->calibration->kept, no_outputs, error);
    }
    if (!status && all.status)
        status = nw_fail_memory(error, "planning 16-bit sums");
    nw_simulator_free(simulator);
    free(no_outputs);
    return !status && *dropped ? nw_scheme_settle_tensors(scheme, error) : status;
}
