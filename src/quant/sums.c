/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges for 16-bit sums: the post-training form of overflow-aware quantization (Xie et al. 2020). The codes that
 * candidates read have 7 bits already (follow.c); here, between linear.c and reconstruct.c,
 *
 *  1. limits of the codes they read are narrowed while what is clipped stays small beside the rounding noise
 *     (nw_scheme_tighten, called by grids.c);
 *  2. rows whose products would end a run early get larger steps, alpha[o] times the one their width asks for: a run
 *     ends for all rows of a panel when one of them is full. Alphas follow from the mean of the products of a row,
 *
 *         alpha[o] = SPREAD * R * max(sum_k max(w lo_k, w hi_k), -sum_k min(w lo_k, w hi_k)) / (lanes per row * 2^15)
 *
 *     for the least R of a short list whose predicted time is within 2 % of the best; the width stored is the least
 *     that holds the weights;
 *  3. a node that would gain less than MIN_GAIN over its exact form with 8-bit codes is given up.
 *
 * Nothing here makes a result inexact: kernels prove every run (kernels/runs.h).
 *
 * Zero-centred rows (A2Q+), left out: W less the rounded mean of its row, whose share mean * sum x a further row of ones per
 * layer restores. Rows of trained networks are balanced already: the larger of their positive and negative weights' sums is
 * 1.08 to 1.15 times the mean of both (median), and a panel's runs end at its fullest row. In the networks that --acc 16 makes of
 * resnet8, 20, 32, 56 and the MobileNets, centred rows have runs 0 to 3 % longer (14.5 steps become 14.7 on resnet20; single
 * layers: 0.75 to 1.5 times), which the further row costs again: the forecast is 1 to 4 % more time.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/runs.h"
#include "quant/scheme.h"

#define CLIP_SHARE 0.1  /* energy that a channel's limit may clip, as a share of the rounding noise step^2 / 12 */
#define SPREAD 1.5      /* demand of the fullest lane of a panel over the mean of its row */
#define LEAST_LIMIT 31.0 /* largest weight of a row that is narrowed furthest: 6 bits */
#define NEAR_BEST 1.02
#define MIN_GAIN 1.05

/* limits */

/** Mean over a channel's values of the square by which they exceed `edge` (side 1) or fall short of it (side -1). */
static double clipped_energy(const nw_tensor_stats *stats, int32_t c, double edge, double side)
{
    const nw_channel_stats *channel = &stats->channels[c];
    const nw_histogram *histogram = &channel->histogram;
    const double width = nw_histogram_width(histogram);
    double sum = 0.0;
    for (int32_t i = histogram->first; i <= histogram->last; i++) {
        const double count = (double)histogram->counts[i - histogram->first];
        const double a = fmax(i * width, (double)channel->min);
        const double b = fmin((i + 1) * width, (double)channel->max);
        if (!(count > 0.0))
            continue;
        const double near = fmax(0.0, side * ((side > 0.0 ? a : b) - edge));
        const double far = fmax(0.0, side * ((side > 0.0 ? b : a) - edge));
        sum += count * (near * near + near * far + far * far) / 3.0;
    }
    return stats->n_values ? sum / (double)stats->n_values : 0.0;
}

/** The code nearest to zero, on the side of `limit`, that clips little enough. */
static double tighten(const nw_tensor_stats *stats, int32_t c, double step, double limit)
{
    const double side = limit > 0.0 ? 1.0 : -1.0;
    double least = 0.0;
    double most = fabs(limit);
    while (most - least > 0.5) {
        const double middle = floor((least + most) / 2.0);
        if (clipped_energy(stats, c, side * middle * step, side) <= CLIP_SHARE * step * step / 12.0)
            most = middle;
        else
            least = middle + 1.0;
        if (least > most)
            least = most;
    }
    return side * most;
}

void nw_scheme_tighten(const nw_scheme *scheme, int32_t tensor, int32_t c, double *lo, double *hi)
{
    const nw_tensor_scheme *t = &scheme->tensors[tensor];
    const double step = (double)t->grid.scale * (1 << t->shift[c]) / t->factor[c];
    if (*hi > 0.0)
        *hi = tighten(&scheme->calibration->tensors[tensor], c, step, *hi);
    if (*lo < 0.0)
        *lo = tighten(&scheme->calibration->tensors[tensor], c, step, *lo);
}

/* rows */

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
    for (int32_t o = 0; o < linear->shape.n_channels; o++)
        weights += alpha[o] / n * 127.0 / linear->book.limit;
    for (int32_t c = 0; c < x->n_channels; c++)
        codes += ((double)x->hi[c] - (double)x->lo[c] + 1.0) / x->n_channels;
    return (nw_sum_reasons){.weight_alpha = weights, .code_alpha = 255.0 / ((1 << x->grid.bits) - 1), .code_bits = log2(codes)};
}

typedef struct layer {
    nw_node_scheme *linear;
    int32_t *lo, *hi;  /* [k] owned: codes that meet column k of the first group; refilled for each group */
    double *demand;    /* [n_channels] owned: products of a row, mean over its lanes */
    double *alpha;     /* [n_channels] owned */
    const nw_tensor_scheme *x;
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
    const int8_t *w = l->linear->weights + (size_t)o * (size_t)shape->k;
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
        const nw_run_rows rows = {.weights = l->linear->weights + (size_t)o * (size_t)shape->k,
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

/** Narrows the node's weights, or gives it up: then *dropped. */
static nw_status plan_node(nw_scheme *scheme, int32_t index, layer *l, bool *dropped)
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
    reasons->gain = nw_runs_cost(&exact) / nw_runs_cost(&narrow);
    if (reasons->gain >= MIN_GAIN || l->linear->accumulator_said)
        return nw_scheme_narrow_node(scheme, index, l->alpha);
    *dropped = true;
    l->linear->accumulator = NW_ACCUMULATOR_AUTO;
    return NW_OK;
}

static nw_status sum_node(nw_scheme *scheme, int32_t index, bool *dropped)
{
    layer l = {.linear = &scheme->nodes[index], .x = &scheme->tensors[scheme->model->nodes[index].inputs[0]]};
    const size_t k = (size_t)l.linear->shape.k;
    const size_t n = (size_t)l.linear->shape.n_channels;
    l.lo = malloc((k + 1) * sizeof(*l.lo));
    l.hi = malloc((k + 1) * sizeof(*l.hi));
    l.demand = malloc((n + 1) * sizeof(*l.demand));
    l.alpha = malloc((n + 1) * sizeof(*l.alpha));
    const bool done = l.lo && l.hi && l.demand && l.alpha;
    const nw_status status = done ? plan_node(scheme, index, &l, dropped) : NW_ERROR_MEMORY;
    free(l.lo);
    free(l.hi);
    free(l.demand);
    free(l.alpha);
    return status;
}

nw_status nw_scheme_sums(nw_scheme *scheme, bool *dropped, nw_error *error)
{
    *dropped = false;
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR && scheme->nodes[i].accumulator == NW_ACCUMULATOR_16 &&
            sum_node(scheme, i, dropped))
            return nw_fail_memory(error, "planning 16-bit sums");
    return *dropped ? nw_scheme_settle_tensors(scheme, error) : NW_OK;
}
