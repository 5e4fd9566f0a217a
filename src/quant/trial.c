/* SPDX-License-Identifier: Apache-2.0 */
/* See trial.h. Uses the quantizer's steps (scheme.h) up to the grids, and patches.h and refine.h for one layer. */
#include "quant/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "model/weight_storage.h"
#include "quant/multipoint.h"
#include "quant/narrow.h"
#include "quant/patches.h"
#include "quant/scheme.h"
#include "quant/shared_step.h"
#include "quant/simulate.h"

#define STARTS 2 /* of NW_MAX_STARTS: for comparing widths two are enough */

#define KINDS 17

struct nw_trials {
    const nw_model *model;
    const nw_calibration *calibration;
    nw_quantize_options options[KINDS]; /* by activation bits, 8 more with DQA; [0] is not used */
    nw_scheme *schemes[KINDS];          /* likewise; [8] always there */
    bool dqa;                           /* the options want it */
    /* the open layer */
    int32_t node;
    nw_linear_shape shape;
    double *w;           /* [O, k] */
    int8_t *codes;       /* [n_rows, k] rounded last; all points of a channel together */
    size_t n_rows, n_codes; /* n_codes: rows that there is room for */
    nw_moments *moments; /* NULL if they would not fit */
    nw_row_solver *solver; /* of a layer of one group, from the first width on; NULL: none yet */
    double *wanted;      /* [O, k] of its rows; NULL: not known */
    float *y;
    size_t n_y;
    int64_t n_samples, n_seen, n_patches;
    bool finished;
};

/** @param at  1 to 8: bits, direct; 9 to 16: 8 more than bits, with DQA */
static nw_status make_scheme(nw_trials *trials, int32_t at, nw_error *error)
{
    if (trials->schemes[at])
        return NW_OK;
    trials->options[at] = trials->options[8];
    trials->options[at].activation_bits = at > 8 ? at - 8 : at;
    trials->options[at].activation_kind = at > 8 ? NW_ACTIVATION_DQA : NW_ACTIVATION_DIRECT;
    trials->options[at].input_bits = 0;
    nw_scheme *scheme = nw_scheme_create(trials->model, trials->calibration, &trials->options[at]);
    if (!scheme)
        return nw_fail_memory(error, "trying widths");
    nw_status status = nw_scheme_modes(scheme, error);
    if (!status) {
        nw_scheme_groups(scheme);
        nw_scheme_saturation(scheme);
        status = nw_scheme_settle(scheme, error);
    }
    if (!status)
        status = nw_scheme_narrow(scheme, error);
    if (!status)
        status = nw_scheme_equalize(scheme, error);
    if (!status)
        status = nw_scheme_grids(scheme, error);
    if (status)
        nw_scheme_free(scheme);
    else
        trials->schemes[at] = scheme;
    return status;
}

nw_status nw_trials_create(nw_trials **out, const nw_model *model, const nw_calibration *calibration,
                           const nw_quantize_options *options, nw_error *error)
{
    nw_trials *trials = calloc(1, sizeof(*trials));
    if (!trials)
        return nw_fail_memory(error, "trying widths");
    trials->model = model;
    trials->calibration = calibration;
    trials->options[8] = *options;
    trials->dqa = options->activation_kind == NW_ACTIVATION_DQA;
    trials->options[8].plan = NULL;
    trials->options[8].weight_bits = 8;
    trials->node = NW_NONE;
    const nw_status status = make_scheme(trials, 8, error);
    if (status)
        nw_trials_free(trials);
    else
        *out = trials;
    return status;
}

void nw_trials_close(nw_trials *trials)
{
    free(trials->w);
    free(trials->codes);
    free(trials->y);
    nw_moments_free(trials->moments);
    nw_row_solver_free(trials->solver);
    free(trials->wanted);
    trials->solver = NULL;
    trials->wanted = NULL;
    trials->w = NULL;
    trials->codes = NULL;
    trials->n_rows = trials->n_codes = 0;
    trials->y = NULL;
    trials->n_y = 0;
    trials->moments = NULL;
    trials->node = NW_NONE;
}

void nw_trials_free(nw_trials *trials)
{
    if (!trials)
        return;
    nw_trials_close(trials);
    for (int32_t at = 0; at < KINDS; at++)
        nw_scheme_free(trials->schemes[at]);
    free(trials);
}

bool nw_trials_is_layer(const nw_trials *trials, int32_t node)
{
    return trials->schemes[8]->nodes[node].mode == NW_MODE_LINEAR;
}

bool nw_trials_is_group(const nw_trials *trials, int32_t tensor)
{
    const nw_tensor_scheme *scheme = &trials->schemes[8]->tensors[tensor];
    return scheme->code && scheme->group == tensor;
}

bool nw_trials_in_group(const nw_trials *trials, int32_t tensor, int32_t group)
{
    const nw_tensor_scheme *scheme = &trials->schemes[8]->tensors[tensor];
    return scheme->code && scheme->group == group;
}

bool nw_trials_has_scheme(const nw_trials *trials, int32_t tensor)
{
    for (int32_t t = tensor; t < trials->model->n_tensors; t++)
        if (nw_trials_in_group(trials, t, tensor) && nw_model_producer(trials->model, t) == NW_NONE)
            return false;
    return trials->dqa;
}

bool nw_trials_is_source(const nw_trials *trials, int32_t tensor)
{
    return nw_scheme_is_source(trials->schemes[8], tensor);
}

/* layers */

nw_status nw_trials_open(nw_trials *trials, int32_t node, int64_t n_samples, nw_error *error)
{
    const nw_node *from = &trials->model->nodes[node];
    const nw_tensor *weights = &trials->model->tensors[from->inputs[1]];
    nw_trials_close(trials);
    trials->shape = nw_linear_shape_of(from, weights);
    trials->w = malloc((nw_tensor_elements(weights) + 1) * sizeof(*trials->w));
    if (trials->w && nw_patches_fit(&trials->shape))
        trials->moments = nw_moments_create(&trials->shape);
    if (!trials->w || (nw_patches_fit(&trials->shape) && !trials->moments)) {
        nw_trials_close(trials);
        return nw_fail_memory(error, "trying widths");
    }
    nw_patches_weights(trials->w, from, weights, trials->schemes[8]->tensors[from->inputs[0]].factor);
    trials->node = node;
    trials->n_samples = n_samples;
    trials->n_seen = trials->n_patches = 0;
    trials->finished = false;
    return NW_OK;
}

nw_status nw_trials_see(nw_trials *trials, const float *data, int32_t n, nw_error *error)
{
    if (!trials->moments)
        return NW_OK;
    const nw_node *node = &trials->model->nodes[trials->node];
    const int64_t positions = nw_patch_positions(trials->model, node);
    const int64_t all = positions * trials->n_samples;
    const int64_t wanted = all < NW_PATCHES_MOST ? all : NW_PATCHES_MOST;
    const int64_t upto = wanted * (trials->n_seen + n) / trials->n_samples;
    const int64_t from = wanted * trials->n_seen / trials->n_samples;
    trials->n_seen += n;
    if (upto <= from)
        return NW_OK;
    const size_t n_y = (size_t)trials->shape.n_channels * (size_t)(upto - from);
    if (n_y > trials->n_y) {
        free(trials->y);
        trials->y = malloc(n_y * sizeof(*trials->y));
        trials->n_y = trials->y ? n_y : 0;
    }
    const nw_patches patches = {trials->model, node, &trials->shape,
                                trials->schemes[8]->tensors[node->inputs[0]].factor, trials->w, NULL, n,
                                (int32_t)(upto - from)};
    if (!trials->y || nw_patches_see(&patches, data, trials->y, true, trials->moments))
        return nw_fail_memory(error, "trying widths");
    trials->n_patches += upto - from;
    return NW_OK;
}

static bool corrects(const nw_trials *trials)
{
    return trials->options[8].bias_correction == NW_BIAS_CORRECTION_EMPIRICAL;
}

/** What the open layer is rounded to. */
typedef struct rounding {
    const nw_code_book *book;
    const double *given;               /* [O] steps, or NULL */
    const uint8_t *points;             /* [O], or NULL: one each */
    nw_multipoint_channel *channels;   /* [O]: what 1 to NW_MAX_POINTS points would leave is wanted, no codes; or
                                          NULL */
    float *weights, *bias;             /* out */
} rounding;

/** Room for codes of so many rows. */
static bool make_room(nw_trials *trials, size_t n_rows)
{
    trials->n_rows = 0;
    if (n_rows <= trials->n_codes)
        return true;
    free(trials->codes);
    trials->codes = malloc(n_rows * (size_t)trials->shape.k + 1);
    trials->n_codes = trials->codes ? n_rows : 0;
    return trials->codes != NULL;
}

/** Writes the codes and reals of one channel's points, and takes the mean of the error into the bias. */
static void store_row(nw_trials *trials, const rounding *to, int32_t o, const int8_t *q, const double *steps, int32_t n)
{
    const nw_node *node = &trials->model->nodes[trials->node];
    const nw_linear_shape *shape = &trials->shape;
    const double *factor = trials->schemes[8]->tensors[node->inputs[0]].factor;
    const nw_tensor_stats *stats = &trials->calibration->tensors[node->inputs[0]];
    const double *row = trials->w + (size_t)o * (size_t)shape->k;
    const double *means = NULL; /* of the inputs times their factors */
    if (trials->moments)
        means = trials->moments->input + (size_t)(o / shape->group_outputs) * (size_t)shape->k;
    double shift = 0.0;
    memcpy(trials->codes + trials->n_rows * (size_t)shape->k, q, (size_t)n * (size_t)shape->k);
    trials->n_rows += (size_t)n;
    for (int32_t j = 0; j < shape->k; j++) {
        const int32_t c = nw_linear_input_channel(shape, o, j);
        const double mean = means ? means[j] : nw_channel_mean(stats, c) * factor[c];
        double sum = 0.0;
        for (int32_t p = 0; p < n; p++)
            sum += steps[p] * q[(size_t)p * (size_t)shape->k + (size_t)j];
        shift += (row[j] - sum) * mean;
        to->weights[nw_weights_index(shape, node->op == NW_OP_CONV_TRANSPOSE, o, j)] = (float)(sum * factor[c]);
    }
    const int32_t b = node->n_inputs > 2 ? node->inputs[2] : NW_NONE;
    const double given = b == NW_NONE ? 0.0 : (double)trials->model->tensors[b].data[o];
    to->bias[o] = (float)(given + (corrects(trials) ? shift : 0.0));
}

static nw_status round_nearest(nw_trials *trials, const rounding *to)
{
    const size_t k = (size_t)trials->shape.k;
    int8_t *q = malloc(k + 1);
    double *row = malloc((k + 1) * sizeof(*row));
    double *importance = malloc((k + 1) * sizeof(*importance));
    const bool done = q && row && importance;
    for (int32_t o = 0; done && o < trials->shape.n_channels; o++) {
        nw_code_book given = *to->book;
        given.step = to->given ? to->given[o] : 0.0;
        const double step = nw_scheme_round_row(q, trials->schemes[8], trials->node, o, &given, row, importance);
        store_row(trials, to, o, q, &step, 1);
    }
    free(q);
    free(row);
    free(importance);
    return done ? NW_OK : NW_ERROR_MEMORY;
}

/** Points of one channel, or how good they would be. @param q  [NW_MAX_POINTS, k] room */
static nw_status round_channel(nw_trials *trials, nw_row_solver *solver, const rounding *to, int32_t o, int8_t *q)
{
    const size_t at = (size_t)o * (size_t)trials->shape.k;
    nw_row_target target = nw_moments_row(trials->moments, o);
    const int32_t n = to->channels ? NW_MAX_POINTS : to->points ? to->points[o] : 1;
    double *errors = to->channels ? to->channels[o].error : NULL;
    double steps[NW_MAX_POINTS];
    target.wanted = trials->wanted ? trials->wanted + at : NULL;
    solver->book.step = to->given ? to->given[o] : 0.0;
    NW_TRY(nw_row_solve(solver, q, steps, errors, n, trials->w + at, &target));
    for (int32_t p = 0; errors && p < NW_MAX_POINTS; p++)
        errors[p] = target.energy > 0.0 ? errors[p] / target.energy : 0.0;
    if (!errors)
        store_row(trials, to, o, q, steps, n);
    return NW_OK;
}

static nw_row_solver *make_solver(const nw_trials *trials, int32_t group, const rounding *to)
{
    const nw_row_target shared = nw_moments_row(trials->moments, group * trials->shape.group_outputs);
    return nw_row_solver_create(shared.gram, shared.k, to->book, trials->options[8].rounding,
                                trials->options[8].weight_range, STARTS);
}

/**
 * What large layers need for every width alike: the factors of the gram, and the real weights that the data ask for.
 */
static nw_status keep_solver(nw_trials *trials, const rounding *to)
{
    const size_t k = (size_t)trials->shape.k;
    trials->solver = make_solver(trials, 0, to);
    if (!trials->solver)
        return NW_ERROR_MEMORY;
    if (!trials->solver->feedback)
        return NW_OK;
    trials->wanted = malloc((size_t)trials->shape.n_channels * k * sizeof(*trials->wanted) + 1);
    if (!trials->wanted)
        return NW_ERROR_MEMORY;
    for (int32_t o = 0; o < trials->shape.n_channels; o++)
        nw_feedback_solve(trials->solver->feedback, trials->wanted + (size_t)o * k,
                          nw_moments_row(trials->moments, o).cross);
    return NW_OK;
}

static nw_status round_group(nw_trials *trials, int32_t group, const rounding *to, int8_t *q)
{
    const int32_t first = group * trials->shape.group_outputs;
    const bool kept = trials->moments->n_groups == 1;
    if (kept && !trials->solver)
        NW_TRY(keep_solver(trials, to));
    nw_row_solver *solver = kept ? trials->solver : make_solver(trials, group, to);
    nw_status status = solver ? NW_OK : NW_ERROR_MEMORY;
    if (solver) {
        solver->book = *to->book;
        solver->n_starts = to->given || to->channels ? 1 : STARTS;
    }
    for (int32_t o = first; !status && o < first + trials->shape.group_outputs; o++)
        status = round_channel(trials, solver, to, o, q);
    if (!kept)
        nw_row_solver_free(solver);
    return status;
}

static nw_status round_by_outputs(nw_trials *trials, const rounding *to)
{
    int8_t *q = malloc((size_t)trials->shape.k * NW_MAX_POINTS + 1);
    nw_status status = q ? NW_OK : NW_ERROR_MEMORY;
    for (int32_t group = 0; !status && group < trials->moments->n_groups; group++)
        status = round_group(trials, group, to, q);
    free(q);
    return status;
}

/** With further points, as nw_quantize shares them out over the layer's channels. */
static nw_status round_with_points(nw_trials *trials, rounding *to, int32_t extra)
{
    const size_t n = (size_t)trials->shape.n_channels;
    nw_multipoint_channel *channels = calloc(n + 1, sizeof(*channels));
    uint8_t *points = malloc(n + 1);
    nw_status status = channels && points ? NW_OK : NW_ERROR_MEMORY;
    for (size_t o = 0; !status && o < n; o++)
        channels[o].cost = 1.0;
    to->channels = channels;
    if (!status)
        status = round_by_outputs(trials, to);
    if (!status)
        nw_multipoint_allocate(points, channels, n, extra + 0.5);
    to->channels = NULL;
    to->points = points;
    if (!status)
        status = round_by_outputs(trials, to);
    to->points = NULL;
    free(channels);
    free(points);
    return status;
}

int32_t nw_trials_extra_points(const nw_trials *trials, int32_t node)
{
    const nw_quantize_options *options = &trials->options[8];
    const nw_node *from = &trials->model->nodes[node];
    const nw_linear_shape shape = nw_linear_shape_of(from, &trials->model->tensors[from->inputs[1]]);
    const bool narrow = options->accumulator == NW_ACCUMULATOR_16 || options->accumulator == NW_ACCUMULATOR_16_WRAP;
    if (!(options->point_budget > 0.0) || options->points != NW_POINTS_BY_ERROR || options->book == NW_BOOK_SHARED ||
        narrow || !nw_patches_fit(&shape))
        return 0;
    const double wanted = fmax(1.0, round(options->point_budget * shape.n_channels));
    return (int32_t)fmin(wanted, (double)(NW_MAX_POINTS - 1) * shape.n_channels);
}

/** Moments as rounding wants them, once all inputs were seen. */
static void settle_moments(nw_trials *trials)
{
    if (!trials->moments || trials->finished)
        return;
    nw_moments_finish(trials->moments, trials->n_patches, corrects(trials));
    nw_moments_damp(trials->moments, trials->w, NW_PATCHES_DAMPING);
    trials->finished = true;
}

nw_status nw_trials_round(nw_trials *trials, int32_t bits, int32_t extra, float *weights, float *bias, nw_error *error)
{
    settle_moments(trials);
    const nw_code_book book = nw_code_book_make(trials->options[8].book, bits);
    const bool nearest = bits == 8 || trials->options[8].rounding == NW_ROUND_PLAIN || !trials->moments;
    double *steps = NULL;
    rounding to = {.book = &book, .weights = weights, .bias = bias};
    nw_status status = make_room(trials, (size_t)trials->shape.n_channels + (size_t)extra) ? NW_OK : NW_ERROR_MEMORY;
    if (!status && nw_code_book_shares_step(&book)) {
        steps = calloc((size_t)trials->shape.n_channels, sizeof(*steps));
        status = steps ? nw_shared_steps(steps, trials->schemes[8], trials->node, &book) : NW_ERROR_MEMORY;
    }
    to.given = steps;
    if (!status)
        status = extra     ? round_with_points(trials, &to, extra)
                 : nearest ? round_nearest(trials, &to)
                           : round_by_outputs(trials, &to);
    free(steps);
    return status == NW_ERROR_MEMORY ? nw_fail_memory(error, "trying widths") : status;
}

/** Codes and steps that the scheme of 8 bits has for the open layer. */
static nw_status take_scheme(nw_trials *trials, const rounding *to)
{
    const nw_node_scheme *linear = &trials->schemes[8]->nodes[trials->node];
    for (int32_t o = 0; o < trials->shape.n_channels; o++)
        store_row(trials, to, o, linear->weights + (size_t)o * (size_t)trials->shape.k, &linear->step[o], 1);
    return NW_OK;
}

nw_status nw_trials_narrow(nw_trials *trials, int32_t bits, float *weights, float *bias, nw_error *error)
{
    nw_scheme *scheme = trials->schemes[8];
    nw_node_scheme *linear = &scheme->nodes[trials->node];
    settle_moments(trials);
    linear->book = nw_code_book_make(trials->options[8].book, bits);
    linear->accumulator = NW_ACCUMULATOR_16;
    linear->accumulator_said = true; /* or what does not pay would stay as it is */
    nw_status status = make_room(trials, (size_t)trials->shape.n_channels) ? NW_OK : NW_ERROR_MEMORY;
    if (!status)
        status = nw_scheme_linear_node(scheme, trials->node);
    if (!status)
        status = nw_scheme_sum_node(scheme, trials->node);
    const rounding to = {.book = &linear->book, .given = linear->step, .weights = weights, .bias = bias};
    const bool nearest = trials->options[8].rounding == NW_ROUND_PLAIN || !trials->moments;
    if (!status)
        status = nearest ? take_scheme(trials, &to) : round_by_outputs(trials, &to);
    return status ? nw_fail_memory(error, "trying widths") : NW_OK;
}

size_t nw_trials_coded_bytes(const nw_trials *trials)
{
    const size_t n = trials->n_rows;
    const size_t k = (size_t)trials->shape.k;
    const int32_t bits = nw_weights_least_bits(trials->codes, n * k);
    const size_t coded = nw_rows_coded_size(trials->codes, n, k, (size_t)trials->shape.group_inputs, bits);
    return coded ? coded : n * nw_bits_row_size(k, bits);
}

/* tensors */

nw_status nw_trials_round_tensor(nw_trials *trials, int32_t bits, bool scheme, int32_t tensor, int32_t n, float *data,
                                 size_t n_elements, nw_error *error)
{
    const int32_t at = scheme ? 8 + bits : bits;
    NW_TRY(make_scheme(trials, at, error));
    nw_simulate_rounding(&trials->schemes[at]->tensors[tensor], n, data, n_elements);
    return NW_OK;
}
