/* SPDX-License-Identifier: Apache-2.0 */
/* See narrow.h. */
#include "quant/narrow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ZERO_WINDOW 3      /* zero points tried on either side of the one that the extremes ask for */
#define STEPS_PER_OCTAVE 12
#define OCTAVES 3          /* steps tried below the largest that any channel wants */

static int32_t code_bits(const nw_tensor_scheme *tensor)
{
    return (int32_t)tensor->grid.bits - tensor->extra_bits;
}

/** Pictures, and what only tables read: their ranges follow other rules (grids.c, saturation.c). */
static bool is_special(const nw_scheme *scheme, int32_t group)
{
    for (int32_t i = 0; i < scheme->model->n_inputs; i++)
        if (scheme->tensors[scheme->model->inputs[i]].group == group)
            return true;
    for (int32_t t = group; t < scheme->model->n_tensors; t++)
        if (scheme->tensors[t].group == group && scheme->tensors[t].only_tables)
            return true;
    return false;
}

bool nw_is_narrow(const nw_scheme *scheme, int32_t group)
{
    return scheme->options->activation_range == NW_RANGE_OUTPUT && code_bits(&scheme->tensors[group]) < 8 &&
           !is_special(scheme, group);
}

nw_clip nw_narrow_codes(const nw_tensor_scheme *tensor, int32_t channel)
{
    const int32_t shift = tensor->shift[channel];
    const int32_t top = (1 << tensor->grid.bits) - 1;
    return (nw_clip){-(tensor->grid.zero_point >> shift), (top - tensor->grid.zero_point) >> shift,
                     tensor->offset[channel]};
}

/* importance */

static double total_variance(const nw_scheme *scheme, int32_t t)
{
    double sum = 0.0;
    for (int32_t c = 0; c < scheme->tensors[t].n_channels; c++)
        sum += nw_channel_variance(&scheme->calibration->tensors[t], c);
    return sum;
}

static void add_plain(const nw_scheme *scheme, int32_t t, double weight)
{
    const nw_tensor_scheme *tensor = &scheme->tensors[t];
    for (int32_t c = 0; tensor->importance && c < tensor->n_channels; c++)
        tensor->importance[c] += weight;
}

/** Sum over all rows of the squared weights that meet the channel. */
static void add_linear(const nw_scheme *scheme, const nw_node *node, double weight)
{
    const nw_tensor *weights = &scheme->model->tensors[node->inputs[1]];
    const nw_linear_shape shape = nw_linear_shape_of(node, weights);
    double *importance = scheme->tensors[node->inputs[0]].importance;
    for (int32_t o = 0; o < shape.n_channels; o++)
        for (int32_t j = 0; j < shape.k; j++) {
            const size_t at = nw_weights_index(&shape, node->op == NW_OP_CONV_TRANSPOSE, o, j);
            const double w = (double)weights->data[at];
            importance[nw_linear_input_channel(&shape, o, j)] += weight * w * w;
        }
}

static void pass_back(void *context, int32_t input, int32_t c_in, int32_t output, int32_t c_out)
{
    const nw_scheme *scheme = context;
    if (scheme->tensors[input].importance)
        scheme->tensors[input].importance[c_in] += scheme->tensors[output].importance[c_out];
}

/**
 * What noise of power 1 in a channel adds behind the nodes that read it, relative to the power there: backwards,
 * because PASS nodes hand on what their own readers say.
 */
static void set_importance(nw_scheme *scheme)
{
    for (int32_t i = scheme->model->n_nodes; i-- > 0;) {
        const nw_node *node = &scheme->model->nodes[i];
        const nw_mode mode = scheme->nodes[i].mode;
        if (mode == NW_MODE_PASS) {
            nw_scheme_pairs(scheme, node, pass_back, scheme);
            continue;
        }
        const double power = total_variance(scheme, node->output);
        if (!(power > 0.0))
            continue;
        if (mode == NW_MODE_LINEAR) {
            add_linear(scheme, node, 1.0 / power);
            if (node->n_inputs > 3 && node->inputs[3] != NW_NONE)
                add_plain(scheme, node->inputs[3], 1.0 / power);
        } else if (mode == NW_MODE_INTEGER || mode == NW_MODE_TABLE) {
            const double taps =
                node->op == NW_OP_AVERAGE_POOL ? (double)node->window.kernel[0] * node->window.kernel[1] : 1.0;
            for (int32_t j = 0; j < node->n_inputs; j++)
                if (node->inputs[j] != NW_NONE)
                    add_plain(scheme, node->inputs[j], 1.0 / (power * taps));
        }
    }
}

/* zero points */

static double best_error(const nw_scheme *scheme, int32_t t, int32_t c, int32_t zero_point, int32_t bits)
{
    const nw_tensor_stats *stats = &scheme->calibration->tensors[t];
    const nw_clip clip = {-zero_point, (1 << bits) - 1 - zero_point, 0.0};
    nw_clip_curve curve;
    nw_clip_curve_make(&curve, &stats->channels[c], stats->n_values, &clip);
    const double step = nw_clip_best(&curve);
    return step > 0.0 ? nw_clip_at(&curve, step) : 0.0;
}

static double zero_point_error(const nw_scheme *scheme, int32_t group, int32_t zero_point, int32_t bits)
{
    double sum = 0.0;
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        const nw_tensor_scheme *tensor = &scheme->tensors[t];
        for (int32_t c = 0; tensor->group == group && nw_scheme_is_source(scheme, t) && c < tensor->n_channels; c++)
            sum += tensor->importance[c] * best_error(scheme, t, c, zero_point, bits);
    }
    return sum;
}

static int32_t choose_zero_point(const nw_scheme *scheme, int32_t group, int32_t bits)
{
    double lo = 0.0;
    double hi = 0.0;
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        const nw_tensor_scheme *tensor = &scheme->tensors[t];
        for (int32_t c = 0; tensor->group == group && nw_scheme_is_source(scheme, t) && c < tensor->n_channels; c++) {
            lo = fmin(lo, (double)scheme->calibration->tensors[t].channels[c].min);
            hi = fmax(hi, (double)scheme->calibration->tensors[t].channels[c].max);
        }
    }
    const int32_t around = nw_grid_make(lo, hi, bits).zero_point;
    if (!(lo < 0.0) || !(hi > 0.0) || bits < 2)
        return around;
    const int32_t top = (1 << bits) - 1;
    const int32_t first = bits > 3 && around - ZERO_WINDOW > 1 ? around - ZERO_WINDOW : 1;
    const int32_t last = bits > 3 && around + ZERO_WINDOW < top - 1 ? around + ZERO_WINDOW : top - 1;
    int32_t best = around;
    double least = INFINITY;
    for (int32_t z = first; z <= last; z++) {
        const double error = zero_point_error(scheme, group, z, bits);
        if (error < least) {
            least = error;
            best = z;
        }
    }
    return best;
}

/* important channels */

typedef struct ranked {
    double score;
    int32_t channel;
} ranked;

static int descending(const void *a, const void *b)
{
    const ranked *x = a;
    const ranked *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->channel - y->channel;
}

/** The next of a row of numbers in [0, 1) that looks random: splitmix64. */
static double random_of(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/** By how much the error behind the readers falls if the channel gets the extra bits; or a random number. */
static double score_of(const nw_scheme *scheme, int32_t t, int32_t c, uint64_t *random)
{
    const nw_tensor_scheme *tensor = &scheme->tensors[t];
    if (scheme->options->ranking == NW_RANKING_RANDOM)
        return random_of(random);
    const int32_t fine = tensor->grid.zero_point;
    const double coarse = best_error(scheme, t, c, fine >> tensor->extra_bits, code_bits(tensor));
    return tensor->importance[c] * (coarse - best_error(scheme, t, c, fine, tensor->grid.bits));
}

static nw_status follow_row(nw_tensor_scheme *tensor, const nw_plan_tensor *row, const char *name, nw_error *error)
{
    memset(tensor->shift, tensor->extra_bits, (size_t)tensor->n_channels);
    for (int32_t i = 0; i < row->n_channels; i++) {
        if (row->channels[i] < 0 || row->channels[i] >= tensor->n_channels)
            return nw_fail(error, NW_ERROR_USAGE, "plan: tensor \"%s\" has %d channels, so none is number %d", name,
                           tensor->n_channels, row->channels[i]);
        tensor->shift[row->channels[i]] = 0;
    }
    return NW_OK;
}

int32_t nw_narrow_important(const nw_tensor_scheme *tensor)
{
    return (int32_t)floor(tensor->share * tensor->n_channels + 1e-9);
}

static nw_status rank_channels(nw_scheme *scheme, int32_t t, nw_error *error)
{
    nw_tensor_scheme *tensor = &scheme->tensors[t];
    const char *name = scheme->model->tensors[t].name;
    nw_plan_tensor row = NW_PLAN_TENSOR_UNSAID;
    nw_plan_tensor_of(&row, scheme->options->plan, name);
    if (row.channels)
        return follow_row(tensor, &row, name, error);
    ranked *all = malloc((size_t)tensor->n_channels * sizeof(*all));
    if (!all)
        return nw_fail_memory(error, "ranking channels");
    uint64_t random = scheme->options->seed * 0x10001u + (uint64_t)t;
    for (int32_t c = 0; c < tensor->n_channels; c++)
        all[c] = (ranked){score_of(scheme, t, c, &random), c};
    qsort(all, (size_t)tensor->n_channels, sizeof(*all), descending);
    const int32_t n = nw_narrow_important(tensor);
    for (int32_t i = 0; i < tensor->n_channels; i++)
        tensor->shift[all[i].channel] = (uint8_t)(i < n ? 0 : tensor->extra_bits);
    free(all);
    return NW_OK;
}

/** A channel that passes codes on can hold those of every channel it gets them from. */
static void pass_on(void *context, int32_t input, int32_t c_in, int32_t output, int32_t c_out)
{
    const nw_scheme *scheme = context;
    const uint8_t shift = scheme->tensors[input].shift[c_in];
    if (shift < scheme->tensors[output].shift[c_out])
        scheme->tensors[output].shift[c_out] = shift;
}

/** Where codes are only handed on: the finest of what arrives; between pixels Resize makes any codes. */
static void pass_shifts(nw_scheme *scheme)
{
    for (int32_t i = 0; i < scheme->model->n_nodes; i++) {
        const nw_node *node = &scheme->model->nodes[i];
        nw_tensor_scheme *output = &scheme->tensors[node->output];
        if (scheme->nodes[i].mode != NW_MODE_PASS || !output->extra_bits)
            continue;
        memset(output->shift, node->op == NW_OP_RESIZE ? 0 : output->extra_bits, (size_t)output->n_channels);
        nw_scheme_pairs(scheme, node, pass_on, scheme);
    }
}

/* the step */

static nw_status set_curves(nw_scheme *scheme, int32_t t)
{
    nw_tensor_scheme *tensor = &scheme->tensors[t];
    const nw_tensor_stats *stats = &scheme->calibration->tensors[t];
    free(tensor->curves); /* of an earlier round, with other widths */
    tensor->curves = malloc((size_t)tensor->n_channels * sizeof(*tensor->curves));
    if (!tensor->curves)
        return NW_ERROR_MEMORY;
    for (int32_t c = 0; c < tensor->n_channels; c++) {
        const nw_clip codes = nw_narrow_codes(tensor, c);
        nw_clip_curve_make(&tensor->curves[c], &stats->channels[c], stats->n_values, &codes);
    }
    return NW_OK;
}

nw_status nw_scheme_narrow(nw_scheme *scheme, nw_error *error)
{
    const nw_model *model = scheme->model;
    set_importance(scheme);
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_tensor_scheme *tensor = &scheme->tensors[t];
        if (!tensor->code || !nw_is_narrow(scheme, tensor->group))
            continue;
        tensor->grid.zero_point = scheme->tensors[tensor->group].grid.zero_point;
        if (tensor->group == t)
            tensor->grid.zero_point =
                (uint8_t)(choose_zero_point(scheme, t, code_bits(tensor)) << tensor->extra_bits);
    }
    for (int32_t t = 0; t < model->n_tensors; t++)
        if (scheme->tensors[t].extra_bits && nw_scheme_is_source(scheme, t))
            NW_TRY(rank_channels(scheme, t, error));
    pass_shifts(scheme);
    for (int32_t t = 0; t < model->n_tensors; t++)
        if (nw_scheme_is_source(scheme, t) && nw_is_narrow(scheme, scheme->tensors[t].group) && set_curves(scheme, t))
            return nw_fail_memory(error, "choosing ranges");
    return NW_OK;
}

double nw_narrow_channel_step(const nw_scheme *scheme, int32_t tensor, int32_t channel)
{
    const nw_tensor_scheme *t = &scheme->tensors[tensor];
    return nw_clip_best(&t->curves[channel]) / (1 << t->shift[channel]);
}

/** Error behind the readers of the group at one scale. */
static double error_at(const nw_scheme *scheme, int32_t group, double scale)
{
    double sum = 0.0;
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        const nw_tensor_scheme *tensor = &scheme->tensors[t];
        for (int32_t c = 0; tensor->group == group && tensor->curves && c < tensor->n_channels; c++)
            sum += tensor->importance[c] *
                   nw_clip_at(&tensor->curves[c], scale * (1 << tensor->shift[c]) / tensor->factor[c]);
    }
    return sum;
}

void nw_narrow_step(double *step, double *noise, const nw_scheme *scheme, int32_t group)
{
    double largest = 0.0;
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        const nw_tensor_scheme *tensor = &scheme->tensors[t];
        for (int32_t c = 0; tensor->group == group && tensor->curves && c < tensor->n_channels; c++)
            largest = fmax(largest, nw_narrow_channel_step(scheme, t, c) * tensor->factor[c]);
    }
    double least = INFINITY;
    *step = largest > 0.0 ? largest : 1.0;
    for (int32_t i = -2; largest > 0.0 && i < OCTAVES * STEPS_PER_OCTAVE; i++) {
        const double scale = largest * exp2(-i / (double)STEPS_PER_OCTAVE);
        const double error = error_at(scheme, group, scale);
        if (error < least) {
            least = error;
            *step = scale;
        }
    }
    if (noise)
        *noise = largest > 0.0 ? least : 0.0;
}

/* offsets */

#define OFFSET_TRIES 10

/** Offsets of one tensor: uniform in [-share, share] steps, or all of them share. */
static void draw(nw_tensor_scheme *tensor, double share, uint64_t seed)
{
    for (int32_t c = 0; c < tensor->n_channels; c++) {
        const double one = tensor->kind == NW_ACTIVATION_NOISY ? 2.0 * random_of(&seed) - 1.0 : 1.0;
        tensor->offset[c] = one * share * (double)tensor->grid.scale / tensor->factor[c];
    }
}

static double offset_error(const nw_scheme *scheme, int32_t t)
{
    const nw_tensor_scheme *tensor = &scheme->tensors[t];
    const nw_tensor_stats *stats = &scheme->calibration->tensors[t];
    double sum = 0.0;
    for (int32_t c = 0; c < tensor->n_channels; c++) {
        const nw_clip codes = {(double)tensor->lo[c], (double)tensor->hi[c], tensor->offset[c]};
        sum += tensor->importance[c] * nw_clip_error(&stats->channels[c], stats->n_values, &codes,
                                                     (double)tensor->grid.scale / tensor->factor[c]);
    }
    return sum;
}

/** Whether every reader can take the offset out again: linear nodes, in their biases. */
static bool can_take_out(const nw_scheme *scheme, int32_t t)
{
    const int32_t producer = nw_model_producer(scheme->model, t);
    if (producer == NW_NONE || scheme->nodes[producer].mode != NW_MODE_LINEAR || scheme->tensors[t].real)
        return false;
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        for (int32_t j = 0; j < scheme->model->nodes[i].n_inputs; j++)
            if (scheme->model->nodes[i].inputs[j] == t && scheme->nodes[i].mode != NW_MODE_LINEAR &&
                scheme->nodes[i].mode != NW_MODE_DEAD)
                return false;
    return true;
}

void nw_narrow_offsets(nw_scheme *scheme)
{
    for (int32_t t = 0; t < scheme->model->n_tensors; t++) {
        nw_tensor_scheme *tensor = &scheme->tensors[t];
        if (!nw_activation_is_noisy(tensor->kind) || !tensor->code || !can_take_out(scheme, t))
            continue;
        const uint64_t seed = scheme->options->seed * 0x10001u + (uint64_t)t;
        double least = offset_error(scheme, t);
        double best = 0.0;
        const int32_t first = tensor->kind == NW_ACTIVATION_NOISY ? 1 : -OFFSET_TRIES; /* one offset has a sign */
        for (int32_t i = first; i <= OFFSET_TRIES; i++) {
            draw(tensor, (double)i / OFFSET_TRIES, seed);
            const double error = offset_error(scheme, t);
            if (error < least) {
                least = error;
                best = (double)i / OFFSET_TRIES;
            }
        }
        draw(tensor, best, seed);
    }
}
