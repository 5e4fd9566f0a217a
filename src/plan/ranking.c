/* SPDX-License-Identifier: Apache-2.0 */
/* See ranking.h. Between measure_run.h, which runs tails, and the plan that nw_quantize follows. */
#include "plan/ranking.h"

#include <stdlib.h>
#include <string.h>

#include "plan/measure_run.h"

/** A tensor rounded but for one channel. */
typedef struct spared {
    nw_trials *trials;
    int32_t tensor, channel, n_channels;
    int32_t batch;
    float *values;     /* of the channel, borrowed */
    nw_status *status; /* of all */
} spared;

typedef struct ranked {
    int32_t channel;
    double changed, divergence;
} ranked;

typedef struct ranking {
    nw_measurement about;
    nw_measure_run run;
    nw_trials *trials;       /* owned */
    int32_t *wanted;         /* [n_tensors] owned; channels to find, NW_NONE: it is not ranked */
    spared *kept;            /* [n_tensors] owned; of the tensors before the one that is ranked */
    float *values;           /* owned; scratch: a channel of a batch */
    ranked *channels;        /* owned; scratch */
    nw_status status;        /* of the editors in the prefix */
    int64_t done, total;
} ranking;

static void end(ranking *r)
{
    nw_measure_end(&r->run);
    nw_trials_free(r->trials);
    free(r->wanted);
    free(r->kept);
    free(r->values);
    free(r->channels);
}

/** Rounds all channels but one. @param data  [n, C, ...] */
static nw_status round_but_one(void *context, int32_t tensor, int32_t n, float *data, size_t n_elements)
{
    const spared *s = context;
    const size_t plane = n_elements / ((size_t)n * (size_t)s->n_channels);
    if (tensor != s->tensor) /* one that shares its grid */
        return NW_OK;
    for (int32_t i = 0; i < n; i++)
        memcpy(s->values + (size_t)i * plane, data + ((size_t)i * (size_t)s->n_channels + (size_t)s->channel) * plane,
               plane * sizeof(*data));
    NW_TRY(nw_trials_round_tensor(s->trials, NW_RANKING_BITS, false, tensor, n, data, n_elements, NULL));
    for (int32_t i = 0; i < n; i++)
        memcpy(data + ((size_t)i * (size_t)s->n_channels + (size_t)s->channel) * plane, s->values + (size_t)i * plane,
               plane * sizeof(*data));
    return NW_OK;
}

/** The same for what stays so while later tensors are ranked. */
static void keep_rounding(void *context, int32_t tensor, float *data, size_t n_elements)
{
    spared *s = context;
    const nw_status status = round_but_one(s, tensor, s->batch, data, n_elements);
    *s->status = *s->status ? *s->status : status;
}

static int best_first(const void *a, const void *b)
{
    const ranked *x = a;
    const ranked *y = b;
    if (x->changed != y->changed)
        return x->changed < y->changed ? -1 : 1;
    if (x->divergence != y->divergence)
        return x->divergence < y->divergence ? -1 : 1;
    return x->channel - y->channel;
}

static int ascending(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

static nw_status add_row(nw_plan *plan, const char *name, const ranked *channels, int32_t n, nw_error *error)
{
    nw_plan_tensor *row;
    NW_TRY(nw_plan_add_tensor(&row, plan, name, false, error));
    row->channels = malloc(((size_t)n + 1) * sizeof(*row->channels));
    if (!row->channels)
        return nw_fail_memory(error, "ranking channels");
    row->n_channels = n;
    for (int32_t i = 0; i < n; i++)
        row->channels[i] = channels[i].channel;
    qsort(row->channels, (size_t)n, sizeof(*row->channels), ascending);
    return NW_OK;
}

/** Ranks the channels of one tensor, whose producer the prefix has reached, and leaves it rounded but for the best. */
static nw_status rank_tensor(ranking *r, int32_t t, void (*progress)(void *context, int64_t done, int64_t total),
                             void *context, nw_error *error)
{
    const int32_t batch = nw_prefix_batch_size(r->run.prefix);
    const int32_t n = nw_tensor_channels(&r->run.model->tensors[t]);
    int32_t group = t;
    while (!nw_trials_in_group(r->trials, t, group) || !nw_trials_is_group(r->trials, group))
        group--;
    for (int32_t c = 0; c < n; c++) {
        spared s = {r->trials, t, c, n, batch, r->values, &r->status};
        nw_damage damage;
        NW_TRY(nw_measure_tail(&damage, &r->run, group, round_but_one, &s, error));
        r->channels[c] = (ranked){c, damage.changed, damage.divergence};
        if (progress)
            progress(context, ++r->done, r->total);
    }
    qsort(r->channels, (size_t)n, sizeof(*r->channels), best_first);
    r->kept[t] = (spared){r->trials, t, r->channels[0].channel, n, batch, r->values, &r->status};
    return nw_float_edit(nw_prefix_engine(r->run.prefix), t, keep_rounding, &r->kept[t], error);
}

/** Scratch for the largest tensor, and how many channels there are in all. */
static bool make_room(ranking *r)
{
    const nw_model *model = r->run.model;
    size_t plane = 0;
    size_t most = 0;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        if (r->wanted[t] == NW_NONE)
            continue;
        const size_t channels = (size_t)nw_tensor_channels(&model->tensors[t]);
        const size_t size = nw_tensor_elements(&model->tensors[t]) / channels;
        plane = size > plane ? size : plane;
        most = channels > most ? channels : most;
        r->total += (int64_t)channels;
    }
    r->values = malloc((plane * (size_t)nw_prefix_batch_size(r->run.prefix) + 1) * sizeof(*r->values));
    r->channels = malloc((most + 1) * sizeof(*r->channels));
    return r->values && r->channels;
}

static nw_status walk(ranking *r, nw_plan *plan, void (*progress)(void *context, int64_t done, int64_t total),
                      void *context, nw_error *error)
{
    const nw_model *model = r->run.model;
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const int32_t t = model->nodes[i].output;
        if (r->wanted[t] == NW_NONE)
            continue;
        NW_TRY(nw_prefix_advance(r->run.prefix, i, error));
        NW_TRY(rank_tensor(r, t, progress, context, error));
        if (r->status)
            return nw_fail_memory(error, "ranking channels");
        NW_TRY(add_row(plan, model->tensors[t].name, r->channels, r->wanted[t], error));
    }
    return NW_OK;
}

nw_status nw_rank_channels(nw_plan *plan, const nw_model *model, const nw_calibration *calibration,
                           const nw_quantize_options *options,
                           void (*progress)(void *context, int64_t done, int64_t total), void *context,
                           nw_error *error)
{
    const size_t n = (size_t)model->n_tensors + 1;
    nw_quantize_options everywhere = *options; /* grids for whatever the plan names */
    everywhere.placement = NW_PLACEMENT_ALL;
    ranking r = {.wanted = malloc(n * sizeof(*r.wanted)), .kept = calloc(n, sizeof(*r.kept))};
    nw_status status = r.wanted && r.kept ? nw_important_counts(r.wanted, model, calibration, options, error)
                                          : nw_fail_memory(error, "ranking channels");
    if (!status)
        status = nw_trials_create(&r.trials, model, calibration, &everywhere, error);
    if (!status)
        status = nw_measure_start(&r.run, &r.about, model, r.trials, (const float *const *)calibration->kept,
                                  (int32_t)calibration->n_kept, true, error);
    if (!status && !make_room(&r))
        status = nw_fail_memory(error, "ranking channels");
    if (!status)
        status = walk(&r, plan, progress, context, error);
    end(&r);
    return status;
}
