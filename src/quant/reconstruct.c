/* SPDX-License-Identifier: Apache-2.0 */
/* See reconstruct.h. Drives refine.c and multipoint.c from the simulator's view of every tensor. */
#include "quant/reconstruct.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/multipoint.h"
#include "quant/patches.h"
#include "quant/refine.h"
#include "quant/rivals.h"
#include "quant/simulate.h"

#define MAX_OUTPUTS 67108864.0 /* reals of y over all layers */
#define LEAST_PATCHES 64
#define LEAST_WIDE 7 /* bits of activations behind which 8-bit weights need no help */
#define STRETCH 1.03 /* of the steps of rows narrowed for 16-bit sums, when runs have become shorter */
#define MAX_STRETCHES 3
#define BOOK_PAYS 0.9 /* flint's codes, whose sums leave 16 bits sooner, must leave less of the uniform ones' error */

/** One layer to be rounded. */
typedef struct layer {
    int32_t node;
    int32_t n_patches;
    double *w;       /* [O, k] owned; real weights with the input's factors divided out. This, codes and steps are there
                        while the layer is at work, with a budget for points from the first run on */
    float *y;        /* [n_groups, n_patches, group_outputs] owned; the float network's outputs without bias */
    int8_t *codes;   /* [O, NW_MAX_POINTS, k] owned; points found last */
    double *steps;   /* [O, NW_MAX_POINTS] owned */
    double error;    /* an open book's: sum of the rows' errors, each over the power of its output */
    uint8_t *points; /* [O] owned */
    bool *split;     /* [k] owned; NW_POINTS_SPLIT: columns that come twice */
    nw_multipoint_channel *channels; /* [O] owned; NULL without a budget */
    bool behind_narrow; /* some activation before it has fewer than LEAST_WIDE bits */
    float *held;     /* owned; the input or the residual, until the other one is there too */
} layer;

typedef struct reconstruction {
    nw_scheme *scheme;
    int32_t batch;
    layer *layers; /* in node order */
    int32_t n_layers;
    nw_simulator *simulator;
    bool quantized; /* second run */
    double **means; /* [n_nodes] of every linear node's output in the float network, [n_channels] each */
    nw_status status;
    nw_error *error;
} reconstruction;

static const nw_node *node_of(const reconstruction *r, const layer *l)
{
    return &r->scheme->model->nodes[l->node];
}

static nw_node_scheme *linear_of(const reconstruction *r, const layer *l)
{
    return &r->scheme->nodes[l->node];
}

/** Goes over all patches of the layer: sets y in the first run, gathers moments if asked to. */
static nw_status see_patches(reconstruction *r, layer *l, const float *data, const float *residual,
                             nw_moments *moments)
{
    const nw_node *node = node_of(r, l);
    const nw_patches patches = {r->scheme->model, node, &linear_of(r, l)->shape,
                                r->scheme->tensors[node->inputs[0]].factor, l->w, residual, r->batch, l->n_patches};
    return nw_patches_see(&patches, data, l->y, !r->quantized, moments);
}

/* rounding */

/** Whether the layer's book is to be chosen: learning moves weights with uniform codes only. */
static bool is_open(const reconstruction *r, const layer *l)
{
    const nw_node_scheme *linear = linear_of(r, l);
    return r->quantized && linear->book_is_open && !linear->narrowed && r->scheme->learn_updates < 1;
}

/** First run: what 1 to NW_MAX_POINTS points would leave of channel o, relative to the power of its output. */
static nw_status rate_row(reconstruction *r, layer *l, nw_row_solver *solver, int32_t o, const nw_row_target *target)
{
    const size_t at = (size_t)o * NW_MAX_POINTS;
    nw_multipoint_channel *channel = &l->channels[o];
    const double *w = l->w + (size_t)o * (size_t)target->k;
    int8_t *codes = l->codes + at * (size_t)target->k;
    if (r->scheme->options->points == NW_POINTS_PIECEWISE)
        return nw_piecewise_row(codes, l->steps + at, w, target->k, &solver->book, solver->importance);
    if (r->scheme->options->points == NW_POINTS_SPLIT)
        return nw_split_row(codes, l->steps + at, w, target->k, &solver->book, l->split, solver->importance);
    NW_TRY(nw_row_solve(solver, codes, l->steps + at, channel->error, NW_MAX_POINTS, w, target));
    for (int32_t p = 0; p < NW_MAX_POINTS; p++)
        channel->error[p] = target->energy > 0.0 ? channel->error[p] / target->energy : 0.0;
    const double macs = (double)nw_node_macs(r->scheme->model, node_of(r, l));
    channel->cost = macs / linear_of(r, l)->shape.n_channels;
    return NW_OK;
}

/** Second run: the codes that stay. @param asks  for their error */
static nw_status settle_row(layer *l, nw_row_solver *solver, int32_t o, const nw_row_target *target, bool asks)
{
    const size_t at = (size_t)o * NW_MAX_POINTS;
    double errors[NW_MAX_POINTS];
    NW_TRY(nw_row_solve(solver, l->codes + at * (size_t)target->k, l->steps + at, asks ? errors : NULL, l->points[o],
                        l->w + (size_t)o * (size_t)target->k, target));
    l->error += asks && target->energy > 0.0 ? errors[l->points[o] - 1] / target->energy : 0.0;
    return NW_OK;
}

/** @param stretch  narrowed weights start from steps so many times as large as planned */
static nw_status round_rows(reconstruction *r, layer *l, const nw_moments *moments, double stretch)
{
    const nw_node_scheme *linear = linear_of(r, l);
    const nw_quantize_options *options = r->scheme->options;
    const bool shared_step = nw_code_book_shares_step(&linear->book);
    const bool several = r->quantized && linear->weight_bits < 7 && !shared_step;
    const bool open = is_open(r, l);
    nw_status status = NW_OK;
    l->error = 0.0;
    for (int32_t group = 0; !status && group < moments->n_groups; group++) {
        const int32_t first = group * moments->group_outputs;
        const nw_row_target shared = nw_moments_row(moments, first);
        nw_row_solver *solver = nw_row_solver_create(shared.gram, shared.k, &linear->book, linear->rounding,
                                                     options->weight_range, several ? NW_MAX_STARTS : 1);
        status = solver ? NW_OK : NW_ERROR_MEMORY;
        for (int32_t o = first; !status && o < first + moments->group_outputs; o++) {
            const nw_row_target target = nw_moments_row(moments, o);
            if (shared_step || linear->narrowed)
                solver->book.step = linear->step[o] * stretch;
            status = r->quantized ? settle_row(l, solver, o, &target, open) : rate_row(r, l, solver, o, &target);
        }
        nw_row_solver_free(solver);
    }
    return status;
}

/** Writes the points of all channels into the scheme: first points, then second ones in order of the channels, ... */
static nw_status store_rows(reconstruction *r, layer *l)
{
    nw_node_scheme *linear = linear_of(r, l);
    const int32_t n = linear->shape.n_channels;
    const size_t k = (size_t)linear->shape.k;
    size_t n_rows = 0;
    for (int32_t o = 0; o < n; o++) {
        const double *steps = l->steps + (size_t)o * NW_MAX_POINTS;
        while (l->points[o] > 1 && !(steps[l->points[o] - 1] > 0.0))
            l->points[o]--; /* nothing was left for it */
        n_rows += l->points[o];
    }
    int8_t *weights = malloc(n_rows * k + 1);
    double *step = malloc((n_rows + 1) * sizeof(*step));
    int32_t *row_channel = malloc((n_rows + 1) * sizeof(*row_channel));
    if (!weights || !step || !row_channel) {
        free(weights);
        free(step);
        free(row_channel);
        return NW_ERROR_MEMORY;
    }
    int32_t row = 0;
    for (int32_t p = 0; p < NW_MAX_POINTS; p++)
        for (int32_t o = 0; o < n; o++) {
            if (p >= l->points[o])
                continue;
            const size_t from = (size_t)o * NW_MAX_POINTS + (size_t)p;
            memcpy(weights + (size_t)row * k, l->codes + from * k, k);
            step[row] = l->steps[from];
            row_channel[row++] = o;
        }
    free(linear->weights);
    free(linear->step);
    free(linear->row_channel);
    linear->weights = weights;
    linear->step = step;
    linear->row_channel = row_channel;
    linear->n_rows = row;
    linear->reconstructed = r->quantized;
    nw_scheme_set_width(linear);
    return NW_OK;
}

/** First points of all rows, [n_channels, k], as far as the kernels' runs see them. */
static int8_t *first_points(const reconstruction *r, const layer *l)
{
    const nw_linear_shape *shape = &linear_of(r, l)->shape;
    const size_t k = (size_t)shape->k;
    int8_t *weights = malloc((size_t)shape->n_channels * k + 1);
    for (size_t o = 0; weights && o < (size_t)shape->n_channels; o++)
        memcpy(weights + o * k, l->codes + o * NW_MAX_POINTS * k, k);
    return weights;
}

/**
 * Rows narrowed for 16-bit sums are rounded from the steps that were planned; where runs would become shorter by that,
 * with steps a little larger. *kept: the codes found keep the plan; else those at hand stay.
 */
static nw_status round_narrowed(reconstruction *r, layer *l, const nw_moments *moments, bool *kept)
{
    *kept = false;
    double stretch = 1.0;
    for (int i = 0; i <= MAX_STRETCHES && !*kept; i++, stretch *= STRETCH) {
        NW_TRY(round_rows(r, l, moments, stretch));
        int8_t *weights = first_points(r, l);
        const nw_status status = weights ? nw_scheme_keeps_sums(kept, r->scheme, l->node, weights) : NW_ERROR_MEMORY;
        free(weights);
        NW_TRY(status);
    }
    return NW_OK;
}

/** Uniform codes, or flint's where these leave clearly less error in the layer's output. */
static nw_status round_open(reconstruction *r, layer *l, const nw_moments *moments)
{
    nw_node_scheme *linear = linear_of(r, l);
    const size_t n = (size_t)linear->shape.n_channels * NW_MAX_POINTS;
    const size_t k = (size_t)linear->shape.k;
    NW_TRY(round_rows(r, l, moments, 1.0));
    const layer uniform = *l;
    const nw_code_book book = linear->book;
    l->codes = malloc(n * k);
    l->steps = calloc(n, sizeof(*l->steps));
    linear->book = nw_code_book_make(NW_BOOK_FLINT, book.bits);
    nw_status status = l->codes && l->steps ? round_rows(r, l, moments, 1.0) : NW_ERROR_MEMORY;
    const bool flint = !status && l->error < BOOK_PAYS * uniform.error;
    free(flint ? uniform.codes : l->codes);
    free(flint ? uniform.steps : l->steps);
    if (!flint) {
        l->codes = uniform.codes;
        l->steps = uniform.steps;
        linear->book = book;
    }
    return status;
}

/** Whether the error's mean may be anything: only what is measured afterwards is taken back exactly. */
static bool mean_is_free(const reconstruction *r)
{
    return r->scheme->options->bias_correction == NW_BIAS_CORRECTION_EMPIRICAL;
}

static nw_status open_layer(const reconstruction *r, layer *l)
{
    const nw_node *node = node_of(r, l);
    const nw_linear_shape *shape = &linear_of(r, l)->shape;
    const size_t n = (size_t)shape->n_channels;
    const size_t k = (size_t)shape->k;
    if (l->w)
        return NW_OK;
    l->w = malloc(n * k * sizeof(*l->w));
    l->codes = malloc(n * NW_MAX_POINTS * k);
    l->steps = calloc(n * NW_MAX_POINTS, sizeof(*l->steps));
    if (!l->w || !l->codes || !l->steps)
        return NW_ERROR_MEMORY;
    nw_patches_weights(l->w, node, &r->scheme->model->tensors[node->inputs[1]],
                       r->scheme->tensors[node->inputs[0]].factor);
    return NW_OK;
}

static void close_layer(layer *l)
{
    free(l->w);
    free(l->codes);
    free(l->steps);
    l->w = l->steps = NULL;
    l->codes = NULL;
}

static nw_status round_layer(reconstruction *r, layer *l, const float *data, const float *residual)
{
    const bool wanted = r->quantized || l->channels;
    bool kept = true;
    NW_TRY(open_layer(r, l));
    nw_moments *moments = wanted ? nw_moments_create(&linear_of(r, l)->shape) : NULL;
    nw_status status = wanted && !moments ? NW_ERROR_MEMORY : see_patches(r, l, data, residual, moments);
    if (!status && moments) {
        nw_moments_finish(moments, l->n_patches, mean_is_free(r));
        nw_moments_damp(moments, l->w, l->behind_narrow ? NW_PATCHES_DAMPING_NARROW : NW_PATCHES_DAMPING);
        status = linear_of(r, l)->narrowed ? round_narrowed(r, l, moments, &kept)
                 : is_open(r, l)           ? round_open(r, l, moments)
                                           : round_rows(r, l, moments, 1.0);
    }
    nw_moments_free(moments);
    if (!status && r->quantized && kept)
        status = store_rows(r, l);
    if (!l->channels)
        close_layer(l);
    if (r->quantized) { /* the largest matrices come last */
        free(l->y);
        l->y = NULL;
    }
    if (!status && r->quantized)
        status = nw_simulator_update(r->simulator, l->node, r->error);
    return status;
}

/* runs */

/** A layer's input or residual: when both are there, its weights are rounded. The first to come is kept. */
static nw_status see_input(reconstruction *r, layer *l, int32_t tensor, const float *data, size_t n_elements)
{
    const nw_node *node = node_of(r, l);
    const int32_t residual = node->n_inputs > 3 ? node->inputs[3] : NW_NONE;
    if (node->inputs[0] != tensor && residual != tensor)
        return NW_OK;
    if (residual == NW_NONE || residual == node->inputs[0])
        return round_layer(r, l, data, residual == NW_NONE ? NULL : data);
    if (!l->held) {
        l->held = malloc(n_elements * sizeof(*l->held));
        if (!l->held)
            return NW_ERROR_MEMORY;
        memcpy(l->held, data, n_elements * sizeof(*l->held));
        return NW_OK;
    }
    const bool is_input = node->inputs[0] == tensor;
    const nw_status status = round_layer(r, l, is_input ? data : l->held, is_input ? l->held : data);
    free(l->held);
    l->held = NULL;
    return status;
}

static void observe(void *context, int32_t tensor, const float *data, size_t n_elements)
{
    reconstruction *r = context;
    for (int32_t i = 0; !r->status && i < r->n_layers; i++)
        r->status = see_input(r, &r->layers[i], tensor, data, n_elements);
}

/** Remembers the mean of every output in the first run; brings it back in the second, as bias correction will. */
static void see_output(void *context, int32_t node, float *values, int32_t n_channels, size_t plane)
{
    const reconstruction *r = context;
    for (int32_t c = 0; c < n_channels; c++) {
        double sum = 0.0;
        for (int32_t s = 0; s < r->batch; s++) {
            const float *x = values + ((size_t)s * (size_t)n_channels + (size_t)c) * plane;
            for (size_t i = 0; i < plane; i++)
                sum += (double)x[i];
        }
        const double mean = sum / ((double)r->batch * (double)plane);
        if (!r->quantized) {
            r->means[node][c] = mean;
            continue;
        }
        const float difference = (float)(r->means[node][c] - mean);
        for (int32_t s = 0; s < r->batch; s++) {
            float *x = values + ((size_t)s * (size_t)n_channels + (size_t)c) * plane;
            for (size_t i = 0; i < plane; i++)
                x[i] += difference;
        }
    }
}

static nw_status run(reconstruction *r, bool quantized)
{
    float **no_outputs = calloc((size_t)r->scheme->model->n_outputs + 1, sizeof(*no_outputs));
    nw_status status = no_outputs ? NW_OK : NW_ERROR_MEMORY;
    r->quantized = quantized;
    if (!status)
        status = nw_simulator_create(&r->simulator, r->scheme, r->batch, quantized, r->error);
    if (!status) {
        nw_simulator_observe(r->simulator, observe, r);
        if (!quantized || mean_is_free(r))
            nw_simulator_set_hook(r->simulator, see_output, r);
        status =
            nw_simulator_run(r->simulator, (const float *const *)r->scheme->calibration->kept, no_outputs, r->error);
    }
    nw_simulator_free(r->simulator);
    r->simulator = NULL;
    free(no_outputs);
    return status ? status : r->status;
}

/** Points of all channels of all layers, as the method says. */
static void choose_points(uint8_t *points, const nw_multipoint_channel *channels, size_t n, double macs,
                          const nw_quantize_options *options)
{
    if (options->points == NW_POINTS_BY_ERROR)
        nw_multipoint_allocate(points, channels, n, options->point_budget * macs);
    else if (options->points == NW_POINTS_AT_RANDOM)
        nw_points_draw(points, channels, n, options->point_budget * macs, options->seed);
    else
        memset(points, 2, n);
}

/** Whether the layer has points of its own number, by the plan. */
static bool has_own_points(const reconstruction *r, const layer *l)
{
    return l->channels && linear_of(r, l)->extra_points != NW_PLAN_UNSAID;
}

static bool shares_budget(const reconstruction *r, const layer *l)
{
    return l->channels && !has_own_points(r, l);
}

/** Shares the budget out over all channels of all layers, and what the plan gives a layer over the layer's. */
static nw_status allocate_points(reconstruction *r)
{
    size_t n = 0;
    double macs = 0.0;
    for (int32_t i = 0; i < r->scheme->model->n_nodes; i++)
        macs += (double)nw_node_macs(r->scheme->model, &r->scheme->model->nodes[i]);
    for (int32_t i = 0; i < r->n_layers; i++) {
        const layer *l = &r->layers[i];
        const nw_node_scheme *linear = linear_of(r, l);
        n += shares_budget(r, l) ? (size_t)linear->shape.n_channels : 0;
        if (has_own_points(r, l)) /* all channels cost the same; half of it keeps clear of rounding */
            nw_multipoint_allocate(l->points, l->channels, (size_t)linear->shape.n_channels,
                                   (linear->extra_points + 0.5) * l->channels[0].cost);
    }
    nw_multipoint_channel *channels = malloc((n + 1) * sizeof(*channels));
    uint8_t *points = malloc(n + 1);
    const bool done = channels && points;
    size_t at = 0;
    for (int32_t i = 0; done && i < r->n_layers; i++) {
        if (!shares_budget(r, &r->layers[i]))
            continue;
        const size_t n_channels = (size_t)linear_of(r, &r->layers[i])->shape.n_channels;
        memcpy(channels + at, r->layers[i].channels, n_channels * sizeof(*channels));
        at += n_channels;
    }
    if (done)
        choose_points(points, channels, n, macs, r->scheme->options);
    at = 0;
    for (int32_t i = 0; done && i < r->n_layers; i++) {
        if (!shares_budget(r, &r->layers[i]))
            continue;
        const size_t n_channels = (size_t)linear_of(r, &r->layers[i])->shape.n_channels;
        memcpy(r->layers[i].points, points + at, n_channels);
        linear_of(r, &r->layers[i])->given_points = -(int32_t)n_channels;
        for (size_t o = 0; o < n_channels; o++)
            linear_of(r, &r->layers[i])->given_points += points[at + o];
        at += n_channels;
    }
    free(channels);
    free(points);
    return done ? NW_OK : NW_ERROR_MEMORY;
}

/* life */

static nw_status alloc_layer(reconstruction *r, layer *l, int32_t max_patches)
{
    const nw_node *node = node_of(r, l);
    const nw_node_scheme *linear = linear_of(r, l);
    const size_t n = (size_t)linear->shape.n_channels;
    const size_t k = (size_t)linear->shape.k;
    const int64_t positions = nw_patch_positions(r->scheme->model, node) * r->batch;
    l->n_patches = positions < max_patches ? (int32_t)positions : max_patches;
    l->y = malloc(n * (size_t)l->n_patches * sizeof(*l->y));
    l->points = malloc(n);
    const bool said = linear->extra_points != NW_PLAN_UNSAID; /* 0 too: codes are those of a layer with a budget */
    const bool budget = (said || r->scheme->options->point_budget > 0.0) && !linear->narrowed &&
                        linear->book.kind != NW_BOOK_SHARED;
    l->channels = budget ? calloc(n, sizeof(*l->channels)) : NULL;
    if (!l->y || !l->points || (budget && !l->channels))
        return NW_ERROR_MEMORY;
    memset(l->points, 1, n);
    if (budget)
        NW_TRY(open_layer(r, l));
    if (!budget || r->scheme->options->points != NW_POINTS_SPLIT)
        return NW_OK;
    l->split = malloc(k * sizeof(*l->split));
    return l->split ? nw_split_columns(l->split, l->w, (int32_t)n, (int32_t)k, linear->shape.group_inputs,
                                       r->scheme->options->point_budget)
                    : NW_ERROR_MEMORY;
}

static void clear_layer(layer *l)
{
    close_layer(l);
    free(l->y);
    free(l->points);
    free(l->channels);
    free(l->split);
    free(l->held);
}

/**
 * Narrow weights; 8-bit ones behind narrow activations, whose errors they can make good for; and those narrowed for
 * proven 16-bit sums. Not for sums modulo 2^16: their ranges were chosen for the sums that just these codes make on
 * data.
 */
static bool is_wanted(const nw_node_scheme *linear, bool behind_narrow)
{
    if (linear->mode != NW_MODE_LINEAR || !nw_patches_fit(&linear->shape))
        return false;
    if (linear->narrowed)
        return linear->accumulator == NW_ACCUMULATOR_16 && linear->rounding != NW_ROUND_PLAIN;
    return linear->weight_bits < 8 || behind_narrow || linear->extra_points > 0;
}

/** Whether the node makes codes so narrow that the layers behind should know of it. */
static bool makes_narrow(const nw_scheme *scheme, int32_t node)
{
    const nw_tensor_scheme *output = &scheme->tensors[scheme->model->nodes[node].output];
    return output->code && output->grid.bits - output->extra_bits < LEAST_WIDE;
}

static nw_status prepare(reconstruction *r)
{
    const int32_t n_nodes = r->scheme->model->n_nodes;
    double outputs = 1.0; /* channels of all layers */
    r->layers = calloc((size_t)n_nodes + 1, sizeof(*r->layers));
    r->means = calloc((size_t)n_nodes + 1, sizeof(*r->means));
    if (!r->layers || !r->means)
        return NW_ERROR_MEMORY;
    bool behind_narrow = false;
    for (int32_t i = 0; i < n_nodes; i++) {
        const nw_node_scheme *linear = &r->scheme->nodes[i];
        const bool after = behind_narrow;
        const bool wanted = is_wanted(linear, after);
        behind_narrow = behind_narrow || makes_narrow(r->scheme, i);
        if (linear->mode != NW_MODE_LINEAR)
            continue;
        r->means[i] = calloc((size_t)linear->shape.n_channels + 1, sizeof(**r->means));
        if (!r->means[i])
            return NW_ERROR_MEMORY;
        if (wanted) {
            r->layers[r->n_layers].behind_narrow = after;
            r->layers[r->n_layers++].node = i;
            outputs += linear->shape.n_channels;
        }
    }
    const int32_t most = (int32_t)fmin(NW_PATCHES_MOST, fmax(MAX_OUTPUTS / outputs, LEAST_PATCHES));
    for (int32_t i = 0; i < r->n_layers; i++)
        NW_TRY(alloc_layer(r, &r->layers[i], most));
    return NW_OK;
}

/** Without rounding methods that look at data: further points on the nearest codes, found in the first run. */
static nw_status store_all(reconstruction *r)
{
    for (int32_t i = 0; i < r->n_layers; i++)
        if (r->layers[i].channels)
            NW_TRY(store_rows(r, &r->layers[i]));
    return NW_OK;
}

nw_status nw_scheme_reconstruct(nw_scheme *scheme, nw_error *error)
{
    const nw_quantize_options *options = scheme->options;
    if (options->rounding == NW_ROUND_PLAIN && !nw_scheme_has_points(scheme))
        return NW_OK;
    reconstruction r = {.scheme = scheme, .batch = scheme->calibration->n_kept, .error = error};
    if (r.batch < 1)
        return nw_fail(error, NW_ERROR_USAGE,
                       "choosing weights by their outputs needs a calibration that kept samples");
    nw_status status = prepare(&r);
    if (!status && r.n_layers > 0)
        status = run(&r, false);
    if (!status && nw_scheme_has_points(scheme))
        status = allocate_points(&r);
    if (!status && r.n_layers > 0)
        status = options->rounding == NW_ROUND_PLAIN ? store_all(&r) : run(&r, true);
    if (status == NW_ERROR_MEMORY)
        nw_fail_memory(error, "choosing weights by their outputs");
    for (int32_t i = 0; r.layers && i < r.n_layers; i++)
        clear_layer(&r.layers[i]);
    for (int32_t i = 0; r.means && i < scheme->model->n_nodes; i++)
        free(r.means[i]);
    free(r.layers);
    free(r.means);
    return status;
}
