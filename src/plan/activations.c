/* SPDX-License-Identifier: Apache-2.0 */
/* See activations.h. */
#include "plan/activations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/peak.h"
#include "runtime/strips.h"

#define LAYOUT_TRIES 12 /* corrections of the budget for what the real layout makes of a choice */

/** What is chosen among: the tensors' rows that may be narrow. */
typedef struct chooser {
    const nw_activation_task *task;
    nw_item *items; /* [n] owned; costs in bytes of values */
    int32_t *rows;  /* [n] owned; of the measurement */
    int32_t n;
    int32_t *bits;  /* [n] owned */
    double *base;   /* [n_moments] owned; see nw_peak */
    double *bytes;  /* [n_moments, n, NW_WIDTHS] owned */
    int32_t n_moments;
} chooser;

bool nw_activations_is_input(const nw_model *model, const nw_trials *trials, int32_t group)
{
    for (int32_t t = group; t < model->n_tensors; t++)
        if (nw_trials_in_group(trials, t, group) && nw_model_producer(model, t) == NW_NONE)
            return true;
    return false;
}

double nw_activations_size(const nw_model *model, const nw_trials *trials, int32_t group)
{
    double size = 0.0;
    for (int32_t t = group; t < model->n_tensors; t++)
        if (nw_trials_in_group(trials, t, group))
            size += (double)nw_tensor_elements(&model->tensors[t]);
    return size;
}

static void clear(chooser *c)
{
    free(c->items);
    free(c->rows);
    free(c->bits);
    free(c->base);
    free(c->bytes);
}

static nw_status gather(chooser *c, const nw_item *items, const nw_activation_task *task, nw_error *error)
{
    const nw_measurement *m = task->measurement;
    *c = (chooser){.task = task,
                   .items = calloc((size_t)m->n + 1, sizeof(*c->items)),
                   .rows = calloc((size_t)m->n + 1, sizeof(*c->rows)),
                   .bits = calloc((size_t)m->n + 1, sizeof(*c->bits)),
                   .n_moments = task->costs->skeleton->n_nodes + 1};
    if (!c->items || !c->rows || !c->bits)
        return nw_fail_memory(error, "allocating bits");
    for (int32_t i = 0; i < m->n; i++) {
        if (!m->rows[i].tensor ||
            (!task->inputs && nw_activations_is_input(task->model, task->trials, m->rows[i].index)))
            continue;
        nw_item *item = &c->items[c->n];
        *item = items[i];
        item->least = task->most < NW_LEAST_ACTIVATION_BITS ? task->most : NW_LEAST_ACTIVATION_BITS;
        item->most = task->most;
        for (int32_t b = 1; b < NW_WIDTHS; b++)
            item->cost[b] = item->size * b / 8.0;
        c->bits[c->n] = task->most;
        c->rows[c->n++] = i;
    }
    return NW_OK;
}

/* widths into the skeleton */

static void set_width(const chooser *c, int32_t i, int32_t bits)
{
    const nw_activation_task *task = c->task;
    const int32_t group = task->measurement->rows[c->rows[i]].index;
    for (int32_t t = group; t < task->model->n_tensors; t++)
        if (nw_trials_in_group(task->trials, t, group))
            nw_costs_set_activation(task->costs, t, bits);
}

static nw_status lay_out(size_t *arena, const chooser *c, nw_error *error)
{
    for (int32_t i = 0; i < c->n; i++)
        set_width(c, i, c->bits[i]);
    return nw_costs_arena(arena, c->task->costs, true, error);
}

/* the peak */

/** owner[tensor of the skeleton] = place among the items, or -1. */
static int32_t *find_owners(const chooser *c)
{
    const nw_activation_task *task = c->task;
    int32_t *owner = malloc(((size_t)task->costs->skeleton->n_tensors + 1) * sizeof(*owner));
    for (int32_t t = 0; owner && t < task->costs->skeleton->n_tensors; t++)
        owner[t] = -1;
    for (int32_t i = 0; owner && i < c->n; i++) {
        const int32_t group = task->measurement->rows[c->rows[i]].index;
        for (int32_t t = group; t < task->model->n_tensors; t++)
            if (nw_trials_in_group(task->trials, t, group) && task->costs->codes_of[t] != NW_NONE)
                owner[task->costs->codes_of[t]] = i;
    }
    return owner;
}

/** What every item takes at every moment with width b, from a layout in which all have it. */
static void add_layout(chooser *c, const nw_layout *layout, const int32_t *owner, int32_t b)
{
    const nw_model *skeleton = c->task->costs->skeleton;
    const bool narrowest = b == c->items[0].least;
    for (int32_t t = 0; t < skeleton->n_tensors; t++) {
        const nw_place *p = &layout->places[t];
        for (int32_t m = p->size ? p->first : c->n_moments; m < c->n_moments && m <= p->last; m++) {
            if (owner[t] >= 0)
                c->bytes[((size_t)m * (size_t)c->n + (size_t)owner[t]) * NW_WIDTHS + (size_t)b] += (double)p->size;
            else if (narrowest)
                c->base[m] += (double)p->size;
        }
    }
    for (int32_t m = 0; narrowest && m < skeleton->n_nodes; m++)
        c->base[m] += (double)layout->strips[m].lanes * (double)layout->strips[m].lane_size;
}

static nw_status find_moments(chooser *c, nw_error *error)
{
    int32_t *owner = find_owners(c);
    c->base = calloc((size_t)c->n_moments, sizeof(*c->base));
    c->bytes = calloc((size_t)c->n_moments * (size_t)c->n * NW_WIDTHS + 1, sizeof(*c->bytes));
    nw_status status = owner && c->base && c->bytes ? NW_OK : nw_fail_memory(error, "allocating bits");
    for (int32_t b = c->items[0].least; !status && b <= c->items[0].most; b++) {
        nw_layout layout;
        for (int32_t i = 0; i < c->n; i++)
            set_width(c, i, b);
        status = nw_layout_make(&layout, c->task->costs->skeleton, nw_costs_storage(true), error);
        if (status)
            break;
        add_layout(c, &layout, owner, b);
        nw_layout_free(&layout);
    }
    free(owner);
    return status;
}

/** The widest equal widths within the arena; the narrowest if none is. */
static nw_status equal_widths(chooser *c, nw_error *error)
{
    for (int32_t b = c->items[0].most; b >= c->items[0].least; b--) {
        size_t arena;
        for (int32_t i = 0; i < c->n; i++)
            c->bits[i] = b;
        NW_TRY(lay_out(&arena, c, error));
        if ((double)arena <= c->task->arena)
            break;
    }
    return NW_OK;
}

/** More bits where the layout has room for them: who gains most comes first. */
static nw_status fill_up(chooser *c, nw_error *error)
{
    bool *done = calloc((size_t)c->n + 1, sizeof(*done));
    nw_status status = done ? NW_OK : nw_fail_memory(error, "allocating bits");
    for (int32_t turn = 0; !status && turn < c->n; turn++) {
        int32_t next = -1;
        double most = 0.0;
        for (int32_t i = 0; i < c->n; i++) {
            const double gain = c->items[i].damage[c->bits[i]] - c->items[i].damage[c->items[i].most];
            if (!done[i] && c->bits[i] < c->items[i].most && gain > most) {
                next = i;
                most = gain;
            }
        }
        if (next < 0)
            break;
        done[next] = true;
        const int32_t before = c->bits[next];
        int32_t kept = before;
        for (int32_t b = c->items[next].most; !status && b > before && kept == before; b--) {
            size_t arena;
            c->bits[next] = b;
            status = c->items[next].damage[b] < c->items[next].damage[before] ? lay_out(&arena, c, error) : NW_OK;
            if (!status && c->items[next].damage[b] < c->items[next].damage[before] && (double)arena <= c->task->arena)
                kept = b;
        }
        c->bits[next] = kept;
    }
    free(done);
    return status;
}

static nw_status least_damage(chooser *c, nw_error *error)
{
    NW_TRY(find_moments(c, error));
    nw_peak peak = {c->items, c->n, c->n_moments, c->base, c->bytes, c->task->arena};
    for (int32_t step = 0; step < LAYOUT_TRIES; step++) {
        size_t arena;
        bool fits;
        NW_TRY(nw_peak_solve(c->bits, &fits, &peak, error));
        NW_TRY(lay_out(&arena, c, error));
        if ((double)arena <= c->task->arena)
            return fill_up(c, error);
        if (!fits)
            break;
        peak.budget -= fmax((double)arena - c->task->arena, 64.0);
    }
    for (int32_t i = 0; i < c->n; i++)
        c->bits[i] = c->items[i].least;
    size_t arena;
    NW_TRY(lay_out(&arena, c, error));
    return (double)arena <= c->task->arena ? fill_up(c, error) : NW_OK;
}

static nw_status fit_arena(chooser *c, nw_activation_choice *choice, nw_error *error)
{
    choice->packed = (double)choice->arena > c->task->arena;
    if (!choice->packed || c->n == 0)
        return NW_OK;
    NW_TRY(c->task->how == NW_ALLOCATE_EQUAL ? equal_widths(c, error) : least_damage(c, error));
    for (int32_t i = 0; i < c->n; i++) /* a mean width may take more away */
        c->items[i].most = c->bits[i];
    return NW_OK;
}

/* the mean */

static double size_of(const chooser *c)
{
    double size = 0.0;
    for (int32_t i = 0; i < c->n; i++)
        size += c->items[i].size;
    return size;
}

static nw_status fit_mean(chooser *c, nw_error *error)
{
    bool fits;
    return nw_allocate(c->bits, &fits, c->items, c->n, size_of(c) * c->task->mean_bits / 8.0 * (1.0 + 1e-12),
                       c->task->how, error);
}

nw_status nw_activations_choose(nw_activation_choice *choice, nw_item *items, const nw_activation_task *task,
                                nw_error *error)
{
    chooser c;
    *choice = (nw_activation_choice){.mean_bits = task->most, .packed = task->most < 8};
    nw_status status = gather(&c, items, task, error);
    for (int32_t i = 0; !status && i < c.n; i++)
        set_width(&c, i, task->most);
    if (!status)
        status = nw_costs_arena(&choice->arena, task->costs, choice->packed, error);
    if (!status && task->arena > 0.0)
        status = fit_arena(&c, choice, error);
    if (!status && task->mean_bits > 0.0 && c.n) {
        status = fit_mean(&c, error);
        choice->packed = choice->packed || task->mean_bits < 8.0;
    }
    for (int32_t i = 0; !status && i < c.n; i++) {
        set_width(&c, i, c.bits[i]);
        items[c.rows[i]].least = items[c.rows[i]].most = c.bits[i];
    }
    if (!status)
        status = nw_costs_arena(&choice->arena, task->costs, choice->packed, error);
    choice->values = status ? 0.0 : size_of(&c);
    if (choice->values > 0.0)
        choice->mean_bits = 8.0 * nw_items_cost(c.items, c.n, c.bits) / choice->values;
    clear(&c);
    return status;
}
