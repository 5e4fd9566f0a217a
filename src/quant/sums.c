/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges for 16-bit sums: the post-training form of overflow-aware quantization (Xie et al. 2020). Between linear.c and
 * reconstruct.c,
 *
 *  1. rows whose products would end a run early get larger steps, alpha[o] times the one their width asks for: a run
 *     ends for all rows of a panel when one of them is full. Alphas follow from the mean of the products of a row,
 *
 *         alpha[o] = SPREAD * R * max(sum_k max(w lo_k, w hi_k), -sum_k min(w lo_k, w hi_k)) / (lanes per row * 2^15)
 *
 *     for the least R of a short list whose predicted time is within 2 % of the best; the width stored is the least
 *     that holds the weights;
 *  2. a node that would gain less than MIN_GAIN over its exact form is given up.
 *
 * reconstruct.c then rounds these rows by the outputs they give, and asks here whether runs stay as long.
 *
 * Only weights are narrowed: what a coarser step does to them learned rounding makes good for, and what narrower codes
 * or tighter limits do to activations nothing does. Output SQNR in dB on pictures that calibration did not see (50 of
 * the calibration list's for mobilenetv2-imagenet, 1,000 to 2,000 training pictures else), with predicted gains alike,
 * 1.53 to 1.57: codes of 7 bits and limits that clip a tenth of the rounding noise, weights to the nearest (as it was
 * once); codes of 7 bits, learned rounding; codes of 8 bits, learned rounding; exact 8 x 8 bits:
 *
 *     resnet8-cifar10        24.8   28.1   30.6   33.1        mobilenetv2-cifar10    28.7   30.6   33.2   34.9
 *     mobilenetv2-imagenet   12.0   15.7   17.6   18.4
 *
 * Clipping costs most where nothing is clipped on calibration pictures: limits at their extremes alone take 4 dB from
 * mobilenetv2-imagenet. With 5 bits left for the widest weights (15) instead of 6 runs are 1.5 times as long and the
 * time is within 3 % of this.
 *
 * Nothing here makes a result inexact: kernels prove every run (kernels/runs.h).
 *
 * Zero-centred rows (A2Q+), left out: W less the rounded mean of its row, whose share mean * sum x a further row of
 * ones per layer restores. Rows of trained networks are balanced already: the larger of their positive and negative
 * weights' sums is 1.08 to 1.15 times the mean of both (median), and a panel's runs end at its fullest row. In the
 * networks that --acc 16 makes of resnet8, 20, 32, 56 and the MobileNets, centred rows have runs 0 to 3 % longer (14.5
 * steps become 14.7 on resnet20; single layers: 0.75 to 1.5 times), which the further row costs again: the forecast is
 * 1 to 4 % more time.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/runs.h"
#include "quant/scheme.h"

#define SPREAD 1.5      /* demand of the fullest lane of a panel over the mean of its row */
#define LEAST_LIMIT 31.0 /* largest weight of a row that is narrowed furthest: 6 bits */
#define NEAR_BEST 1.02
#define MIN_GAIN 1.05

double nw_scheme_most_alpha(const nw_node_scheme *linear)
{
    return linear->book.levels ? 1.0 : fmax(1.0, linear->book.limit / LEAST_LIMIT);
}

nw_sum_reasons nw_scheme_sum_reasons(const nw_scheme *scheme, int32_t index, const double *alpha)
{
    const nw_node_scheme *linear = &scheme->nodes[index];
    const nw_tensor_scheme *x = &scheme->tensors[scheme->model->nodes[index].inputs[0]];
    const double n = linear->shape.n_channels;
    double weights = 0.0;
    double codes = 0.0;
    int32_t rows = 0;
    for (int32_t o = 0; o < linear->shape.n_channels; o++) {
        weights += alpha[o] / n * 127.0 / linear->book.limit;
        rows += alpha[o] > 1.0;
    }
    for (int32_t c = 0; c < x->n_channels; c++)
        codes += ((double)x->hi[c] - (double)x->lo[c] + 1.0) / x->n_channels;
    return (nw_sum_reasons){.rows = rows,
                            .weight_alpha = weights,
                            .code_alpha = 255.0 / ((1 << x->grid.bits) - 1),
                            .code_bits = log2(codes)};
}

typedef struct layer {
    nw_node_scheme *linear;
    int32_t *lo, *hi;  /* [k] owned: codes that meet column k of the first group; refilled for each group */
    double *demand;    /* [n_channels] owned: products of a row, mean over its lanes */
    double *alpha;     /* [n_channels] owned */
    const nw_tensor_scheme *x;
    const int8_t *weights; /* [n_channels, k] borrowed: the node's, or others in their place */
} layer;

/** Codes that meet the columns of output channel o. */
static void fill_codes(layer *l, int32_t o)
{
    for (int32_t j = 0; j < l->linear->shape.k; j++) {
        const int32_t c = nw_linear_input_channel(&l->linear->shape, o, j);
        l->lo[j] = l->x->grid.zero_point + (int32_t)l->x->lo[c] * (1 << l->x->shift[c]);
        l->hi[j] = l->x->grid.zero_point + (int32_t)l->x->hi[c] * (1 << l->x->shift[c]);
    }
}

static double demand_of(const layer *l, int32_t o)
{
    const nw_linear_shape *shape = &l->linear->shape;
    const int8_t *w = l->weights + (size_t)o * (size_t)shape->k;
    double high = 0.0;
    double low = 0.0;
    for (int32_t j = 0; j < shape->k; j++) {
        high += w[j] * (w[j] > 0 ? l->hi[j] : l->lo[j]);
        low += w[j] * (w[j] > 0 ? l->lo[j] : l->hi[j]);
    }
    return fmax(high, -low) / (2.0 * ceil(shape->k / 4.0));
}

/** Forecast for the whole layer; alpha NULL: weights as they are. */
static nw_run_forecast forecast_layer(layer *l, const double *alpha, double scale)
{
    const nw_linear_shape *shape = &l->linear->shape;
    nw_run_forecast forecast = {0};
    for (int32_t o = 0; o < shape->n_channels; o += shape->group_outputs) {
        fill_codes(l, o);
        const nw_run_rows rows = {.weights = l->weights + (size_t)o * (size_t)shape->k,
                                  .alpha = alpha ? alpha + o : NULL,
                                  .n_rows = shape->group_outputs,
                                  .k = shape->k,
                                  .lo = l->lo,
                                  .hi = l->hi};
        nw_runs_forecast(&forecast, &rows, scale);
    }
    return forecast;
}

static void set_alphas(layer *l, double run)
{
    const double most = nw_scheme_most_alpha(l->linear);
    for (int32_t o = 0; o < l->linear->shape.n_channels; o++)
        l->alpha[o] = fmin(most, fmax(1.0, SPREAD * run * l->demand[o] / 32768.0));
}

/** The alphas with the least predicted time, or nearly. */
static nw_run_forecast choose_alphas(layer *l)
{
    static const double runs[] = {0.0, 6.0, 9.0, 13.0, 18.0, 25.0};
    nw_run_forecast forecasts[6];
    double least = INFINITY;
    for (int32_t i = 0; i < 6; i++) {
        set_alphas(l, runs[i]);
        forecasts[i] = forecast_layer(l, l->alpha, 1.0);
        least = fmin(least, nw_runs_cost(&forecasts[i]));
    }
    int32_t chosen = 0;
    while (nw_runs_cost(&forecasts[chosen]) > NEAR_BEST * least)
        chosen++;
    set_alphas(l, runs[chosen]);
    return forecasts[chosen];
}

/** Narrows the node's weights, or gives it up. */
static nw_status plan_node(nw_scheme *scheme, int32_t index, layer *l)
{
    const nw_linear_shape *shape = &l->linear->shape;
    for (int32_t o = 0; o < shape->n_channels; o++) {
        if (o % shape->group_outputs == 0)
            fill_codes(l, o);
        l->demand[o] = demand_of(l, o);
    }
    const double wider = 255.0 / ((1 << l->x->grid.bits) - 1);
    const nw_run_forecast exact = forecast_layer(l, NULL, wider);
    const nw_run_forecast narrow = choose_alphas(l);
    nw_sum_reasons *reasons = &l->linear->sums;
    *reasons = nw_scheme_sum_reasons(scheme, index, l->alpha);
    reasons->run = nw_runs_length(&narrow);
    reasons->longest = narrow.longest;
    reasons->cost = nw_runs_cost(&narrow);
    reasons->gain = nw_runs_cost(&exact) / reasons->cost;
    if (reasons->gain >= MIN_GAIN || l->linear->accumulator_said)
        return nw_scheme_narrow_node(scheme, index, l->alpha);
    l->linear->accumulator = NW_ACCUMULATOR_AUTO;
    return NW_OK;
}

static bool layer_init(layer *l, nw_scheme *scheme, int32_t index)
{
    *l = (layer){.linear = &scheme->nodes[index], .x = &scheme->tensors[scheme->model->nodes[index].inputs[0]]};
    const size_t k = (size_t)l->linear->shape.k;
    const size_t n = (size_t)l->linear->shape.n_channels;
    l->weights = l->linear->weights;
    l->lo = malloc((k + 1) * sizeof(*l->lo));
    l->hi = malloc((k + 1) * sizeof(*l->hi));
    l->demand = malloc((n + 1) * sizeof(*l->demand));
    l->alpha = malloc((n + 1) * sizeof(*l->alpha));
    return l->lo && l->hi && l->demand && l->alpha;
}

static void layer_clear(layer *l)
{
    free(l->lo);
    free(l->hi);
    free(l->demand);
    free(l->alpha);
}

nw_status nw_scheme_sum_node(nw_scheme *scheme, int32_t index)
{
    layer l;
    const nw_status status = layer_init(&l, scheme, index) ? plan_node(scheme, index, &l) : NW_ERROR_MEMORY;
    layer_clear(&l);
    return status;
}

nw_status nw_scheme_keeps_sums(bool *keeps, nw_scheme *scheme, int32_t node, const int8_t *weights)
{
    layer l;
    nw_sum_reasons *reasons = &scheme->nodes[node].sums;
    const bool done = layer_init(&l, scheme, node);
    if (done) {
        l.weights = weights;
        const nw_run_forecast now = forecast_layer(&l, NULL, 1.0);
        *keeps = nw_runs_cost(&now) <= NEAR_BEST * reasons->cost;
        if (*keeps) {
            reasons->run = nw_runs_length(&now);
            reasons->longest = now.longest;
        }
    }
    layer_clear(&l);
    return done ? NW_OK : NW_ERROR_MEMORY;
}

nw_status nw_scheme_sums(nw_scheme *scheme, nw_error *error)
{
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR && scheme->nodes[i].accumulator == NW_ACCUMULATOR_16 &&
            nw_scheme_sum_node(scheme, i))
            return nw_fail_memory(error, "planning 16-bit sums");
    return NW_OK;
}
