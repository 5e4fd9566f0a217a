/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Factor per channel. A tensor has one step for all its channels, so a channel that uses a hundredth of the tensor's
 * range gets two or three codes. Codes therefore stand for factor * real with
 *
 *     factor[c] = (r_max / min(r_max, (1 + margin) r_c + room r_max))^power      r_c: largest magnitude in calibration
 *
 * The function of the network does not change: whoever makes the tensor multiplies by factor (multiplier, bias, clamp,
 * residual multiplier: all per channel), whoever reads it divides (weight columns, ADD and pooling multipliers).
 * Per-row weight steps absorb the first for free; the second costs something only where weight columns of one row
 * become unequal, so the power of each group is the one with the least noise of codes and weights together.
 * Channels that meet in a PASS node share their factor. It stays 1 where nobody can divide: at borders to reals, at the
 * input. A table divides and multiplies for free, if every channel has its own; what only tables read therefore has
 * every channel on a grid that is nearly its own.
 *
 * Tensors of fewer than 8 bits take the best step of every channel alone in place of its range (narrow.h).
 *
 * Between narrow.c and grids.c.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/narrow.h"

/** Least share of the range that a channel in front of a table counts as: bounds how far a quiet one is magnified. */
#define TABLE_ROOM (1.0 / 32.0)

/** Classes of channels that share a factor, over all channels of all code tensors. */
typedef struct classes {
    const nw_scheme *scheme;
    int32_t *first;  /* [n_tensors] id of channel 0 */
    int32_t *parent; /* [n_channels in all] union-find; parent[i] <= i */
    double *range;   /* [n_channels in all] of a class, at its root */
    bool *frozen;    /* likewise */
    double *group_range; /* [n_tensors] largest range in the group, at its representative */
} classes;

static int32_t root_of(classes *all, int32_t id)
{
    while (all->parent[id] != id) {
        all->parent[id] = all->parent[all->parent[id]];
        id = all->parent[id];
    }
    return id;
}

static void join(void *context, int32_t input, int32_t c_in, int32_t output, int32_t c_out)
{
    classes *all = context;
    const int32_t a = root_of(all, all->first[input] + c_in);
    const int32_t b = root_of(all, all->first[output] + c_out);
    if (a < b)
        all->parent[b] = a;
    else
        all->parent[a] = b;
}

static nw_status alloc_classes(classes *all)
{
    const nw_model *model = all->scheme->model;
    const size_t n_tensors = (size_t)model->n_tensors;
    all->first = calloc(n_tensors + 1, sizeof(*all->first));
    all->group_range = calloc(n_tensors + 1, sizeof(*all->group_range));
    if (!all->first || !all->group_range)
        return NW_ERROR_MEMORY;
    int64_t n = 0;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        all->first[t] = (int32_t)n;
        n += all->scheme->tensors[t].n_channels;
        if (n > INT32_MAX)
            return NW_ERROR_MEMORY;
    }
    all->parent = calloc((size_t)n + 1, sizeof(*all->parent));
    all->range = calloc((size_t)n + 1, sizeof(*all->range));
    all->frozen = calloc((size_t)n + 1, sizeof(*all->frozen));
    if (!all->parent || !all->range || !all->frozen)
        return NW_ERROR_MEMORY;
    for (int32_t i = 0; i < n; i++)
        all->parent[i] = i;
    return NW_OK;
}

static void free_classes(classes *all)
{
    free(all->first);
    free(all->parent);
    free(all->range);
    free(all->frozen);
    free(all->group_range);
}

static void freeze(classes *all, int32_t tensor)
{
    for (int32_t c = 0; c < all->scheme->tensors[tensor].n_channels; c++)
        all->frozen[root_of(all, all->first[tensor] + c)] = true;
}

static void freeze_borders(classes *all)
{
    const nw_scheme *scheme = all->scheme;
    for (int32_t t = 0; t < scheme->model->n_tensors; t++)
        if (scheme->tensors[t].code &&
            (scheme->tensors[t].real || nw_model_producer(scheme->model, t) == NW_NONE))
            freeze(all, t);
}

static void measure(classes *all)
{
    const nw_scheme *scheme = all->scheme;
    for (int32_t t = 0; t < scheme->model->n_tensors; t++) {
        if (!nw_scheme_is_source(scheme, t))
            continue;
        const nw_tensor_stats *stats = &scheme->calibration->tensors[t];
        double *group_range = &all->group_range[scheme->tensors[t].group];
        for (int32_t c = 0; c < stats->n_channels; c++) {
            const nw_tensor_scheme *tensor = &scheme->tensors[t];
            const double r = nw_is_narrow(scheme, tensor->group)
                                 ? nw_narrow_channel_step(scheme, t, c)
                                 : fmax(nw_scheme_useful(tensor, (double)stats->channels[c].max),
                                        -nw_scheme_useful(tensor, (double)stats->channels[c].min));
            double *range = &all->range[root_of(all, all->first[t] + c)];
            *range = fmax(*range, r);
            *group_range = fmax(*group_range, r);
        }
    }
}

/** Narrow groups: a channel's range is its best step, because clipping pays; nothing is left free above it. */
static double narrow_factor(double power, double step, double largest)
{
    return step > 0.0 ? pow(largest / fmax(step, largest * 0x1p-6), power) : 1.0;
}

static double factor_of(const nw_quantize_options *options, double room, double power, double range,
                        double group_range)
{
    if (!(group_range > 0.0) || power == 0.0)
        return 1.0;
    /* unseen pictures exceed what calibration saw of a quiet channel: a factor must not use up all the room above it */
    const double roomy = range * (1.0 + options->limit_margin) + room * group_range;
    return pow(group_range / fmin(fmax(roomy, group_range * 0x1p-16), group_range), power);
}

static void set_factors(classes *all, nw_scheme *scheme, int32_t group, double power)
{
    const bool narrow = nw_is_narrow(scheme, group);
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        nw_tensor_scheme *tensor = &scheme->tensors[t];
        if (!tensor->code || tensor->group != group)
            continue;
        const double room = tensor->only_tables ? TABLE_ROOM : scheme->options->equalize_room;
        for (int32_t c = 0; c < tensor->n_channels; c++) {
            const int32_t root = root_of(all, all->first[t] + c);
            if (all->frozen[root])
                tensor->factor[c] = 1.0;
            else if (narrow)
                tensor->factor[c] = narrow_factor(power, all->range[root], all->group_range[group]);
            else
                tensor->factor[c] = factor_of(scheme->options, room, power, all->range[root], all->group_range[group]);
        }
    }
}

/** The power with the least noise behind the group's readers (noise.c), or the one that the options fix. */
static nw_status choose_power(classes *all, nw_scheme *scheme, int32_t group)
{
    static const double powers[] = {0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0};
    double best_power = scheme->options->equalize_power;
    if (best_power == NW_EQUALIZE_AUTO) {
        double best_noise = INFINITY;
        for (size_t i = 0; i < sizeof(powers) / sizeof(*powers); i++) {
            double noise;
            set_factors(all, scheme, group, powers[i]);
            NW_TRY(nw_scheme_noise(&noise, scheme, group));
            if (noise < best_noise) {
                best_noise = noise;
                best_power = powers[i];
            }
        }
    }
    set_factors(all, scheme, group, best_power == NW_EQUALIZE_AUTO ? 0.0 : best_power);
    return NW_OK;
}

nw_status nw_scheme_equalize(nw_scheme *scheme, nw_error *error)
{
    if (!scheme->options->equalize)
        return NW_OK;
    classes all = {.scheme = scheme};
    nw_status status = alloc_classes(&all);
    if (status)
        goto cleanup;
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_PASS)
            nw_scheme_pairs(scheme, &scheme->model->nodes[i], join, &all);
    freeze_borders(&all);
    measure(&all);
    for (int32_t t = 0; !status && t < scheme->model->n_tensors; t++)
        if (scheme->tensors[t].code && scheme->tensors[t].group == t)
            status = choose_power(&all, scheme, t);

cleanup:
    free_classes(&all);
    return status ? nw_fail_memory(error, "equalizing channels") : NW_OK;
}
