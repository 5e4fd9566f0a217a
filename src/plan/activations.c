/* SPDX-License-Identifier: Apache-2.0 */
/* See activations.h. */
#include "plan/activations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/peak.h"
#include "runtime/strips.h"

#define WIDEST_BUDGET 1.3  /* of the goal: what is alive at once is mostly less than the model of the peak says, ... */
#define BUDGET_STEP 0.02   /* ... so many budgets are solved for and the real layouts compared */
#define MEAN_STEP 0.1      /* bits, where a mean width misses the arena */
#define MOST_WORK 1e8      /* layouts tried for exchanges of bits, times nodes, times tensors */

/** What is chosen among: the tensors' rows that may be narrow. */
typedef struct chooser {
    const nw_activation_task *task;
    nw_item *items; /* [n] owned; costs in bytes of values */
    int32_t *rows;  /* [n] owned; of the measurement */
    int32_t n;
    int32_t *bits;  /* [n] owned; choices (choice.h), extended ones for a mean width under DQA only */
    double *base;   /* [n_moments] owned; see nw_peak */
    double *bytes;  /* [n_moments, n, NW_WIDTHS] owned */
    int32_t n_moments;
    double layouts;  /* that may still be tried */
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

double nw_activations_stored_bits(const nw_quantize_options *options, int32_t choice)
{
    const int32_t bits = nw_choice_bits(choice);
    const int32_t extra = options->extra_bits < 8 - bits ? options->extra_bits : 8 - bits;
    return bits + (nw_choice_is_extended(choice) ? options->share * extra : 0.0);
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
    c->layouts = MOST_WORK / ((double)c->n_moments * (double)task->costs->skeleton->n_tensors);
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
        item->extended = false;
        for (int32_t b = 1; b < NW_WIDTHS; b++)
            item->cost[b] = item->size * b / 8.0;
        if (m->rows[i].extended && !(task->arena > 0.0))
            item->most_extended = NW_MOST_EXTENDED_BITS < task->most ? NW_MOST_EXTENDED_BITS : task->most;
        for (int32_t b = item->least; b <= item->most_extended; b++)
            item->cost[nw_choice_extend(b)] =
                item->size * nw_activations_stored_bits(task->options, nw_choice_extend(b)) / 8.0;
        c->bits[c->n] = task->most;
        c->rows[c->n++] = i;
    }
    return NW_OK;
}

/* widths into the skeleton */

static void set_width(const chooser *c, int32_t i, int32_t choice)
{
    const nw_activation_task *task = c->task;
    const int32_t bits = (int32_t)ceil(nw_activations_stored_bits(task->options, choice));
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
    const nw_layout_options storage = nw_costs_storage(c->task->costs, true);
    for (int32_t b = c->items[0].least; !status && b <= c->items[0].most; b++) {
        nw_layout layout;
        for (int32_t i = 0; i < c->n; i++)
            set_width(c, i, b);
        status = nw_layout_make(&layout, c->task->costs->skeleton, &storage, error);
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

#define EXCHANGES 36 /* most of two tensors: 2 to 8 bits each */

/** One tensor gets more bits, another one (or none, -1) fewer. */
typedef struct exchange {
    double gain; /* damage */
    int32_t up, up_bits, down, down_bits;
} exchange;

static int by_gain(const void *a, const void *b)
{
    const exchange *x = a;
    const exchange *y = b;
    if (x->gain != y->gain)
        return x->gain > y->gain ? -1 : 1;
    return x->up != y->up ? x->up - y->up : x->down != y->down ? x->down - y->down : x->up_bits - y->up_bits;
}

/** Exchanges of item i for b bits against those of item j, or for nothing, that lessen the damage. */
static int32_t add_exchanges(exchange *list, const chooser *c, int32_t i, int32_t b, int32_t j)
{
    const double won = c->items[i].damage[c->bits[i]] - c->items[i].damage[b];
    int32_t n = 0;
    if (j < 0) {
        list[0] = (exchange){won, i, b, j, 0};
        return won > 0.0;
    }
    for (int32_t less = c->bits[j] - 1; less >= c->items[j].least; less--) {
        const double gain = won - (c->items[j].damage[less] - c->items[j].damage[c->bits[j]]);
        if (gain > 0.0)
            list[n++] = (exchange){gain, i, b, j, less};
    }
    return n;
}

/** All of them, the best first; for nothing, or in pairs. @param list  room for n n EXCHANGES */
static int32_t list_exchanges(exchange *list, const chooser *c, bool pairs)
{
    int32_t n = 0;
    for (int32_t i = 0; i < c->n; i++)
        for (int32_t b = c->bits[i] + 1; b <= c->items[i].most; b++)
            for (int32_t j = pairs ? 0 : -1; j < (pairs ? c->n : 0); j++)
                n += i == j ? 0 : add_exchanges(list + n, c, i, b, j);
    qsort(list, (size_t)n, sizeof(*list), by_gain);
    return n;
}

/** Makes an exchange if the layout has room for it. */
static nw_status try_exchange(bool *made, chooser *c, const exchange *e, nw_error *error)
{
    const int32_t up = c->bits[e->up];
    const int32_t down = e->down < 0 ? 0 : c->bits[e->down];
    size_t arena;
    c->bits[e->up] = e->up_bits;
    if (e->down >= 0)
        c->bits[e->down] = e->down_bits;
    NW_TRY(lay_out(&arena, c, error));
    *made = (double)arena <= c->task->arena;
    if (*made)
        return NW_OK;
    c->bits[e->up] = up;
    if (e->down >= 0)
        c->bits[e->down] = down;
    return NW_OK;
}

/** Makes the first exchange of a kind that the layout has room for. */
static nw_status exchange_once(bool *made, chooser *c, exchange *list, bool pairs, nw_error *error)
{
    const int32_t n = list_exchanges(list, c, pairs);
    *made = false;
    for (int32_t i = 0; !*made && i < n && c->layouts > 0.0; i++, c->layouts--)
        NW_TRY(try_exchange(made, c, &list[i], error));
    return NW_OK;
}

/**
 * Exchanges bits as long as that lessens the damage and the layout has room: pairs, if wanted, where nothing else does.
 */
static nw_status exchange_bits(chooser *c, bool pairs, nw_error *error)
{
    exchange *list = malloc(((size_t)c->n * (size_t)c->n * EXCHANGES + 1) * sizeof(*list));
    nw_status status = list ? NW_OK : nw_fail_memory(error, "allocating bits");
    for (bool made = true; !status && made;) {
        status = exchange_once(&made, c, list, false, error);
        if (!status && !made && pairs)
            status = exchange_once(&made, c, list, true, error);
    }
    free(list);
    return status;
}

/** The best of the choices for several budgets whose real layout fits; the narrowest if none does. */
static nw_status solve_peaks(chooser *c, nw_error *error)
{
    nw_peak peak = {c->items, c->n, c->n_moments, c->base, c->bytes, 0.0};
    int32_t *best = malloc(((size_t)c->n + 1) * sizeof(*best));
    nw_status status = best ? NW_OK : nw_fail_memory(error, "allocating bits");
    double least = INFINITY;
    bool fits = true;
    for (int32_t i = 0; !status && i < c->n; i++)
        best[i] = c->items[i].least;
    for (double share = WIDEST_BUDGET; !status && fits; share -= BUDGET_STEP) {
        size_t arena = 0;
        peak.budget = share * c->task->arena;
        status = nw_peak_solve(c->bits, &fits, &peak, error);
        if (!status && fits)
            status = lay_out(&arena, c, error);
        if (status || !fits || (double)arena > c->task->arena)
            continue;
        status = exchange_bits(c, false, error);
        const double damage = nw_items_damage(c->items, c->n, c->bits);
        if (status || damage >= least)
            continue;
        least = damage;
        memcpy(best, c->bits, (size_t)c->n * sizeof(*best));
    }
    if (!status)
        memcpy(c->bits, best, (size_t)c->n * sizeof(*best));
    free(best);
    return status;
}

static nw_status least_damage(chooser *c, nw_error *error)
{
    size_t arena;
    NW_TRY(find_moments(c, error));
    NW_TRY(solve_peaks(c, error));
    NW_TRY(lay_out(&arena, c, error));
    return (double)arena <= c->task->arena ? exchange_bits(c, true, error) : NW_OK;
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

/** Fewer bits may need more scratch, so an arena that is a goal too is looked at again. */
static nw_status fit_mean(chooser *c, nw_error *error)
{
    for (double mean = c->task->mean_bits;; mean -= MEAN_STEP) {
        bool fits;
        size_t arena;
        const double budget = size_of(c) * mean / 8.0 * (1.0 + 1e-12);
        NW_TRY(nw_allocate(c->bits, &fits, c->items, c->n, budget, c->task->how, error));
        if (!(c->task->arena > 0.0) || !fits)
            return NW_OK;
        NW_TRY(lay_out(&arena, c, error));
        if ((double)arena <= c->task->arena)
            return NW_OK;
    }
}

nw_status nw_activations_choose(nw_activation_choice *choice, nw_item *items, const nw_activation_task *task,
                                nw_error *error)
{
    chooser c;
    const bool wanted = task->arena > 0.0 || task->mean_bits > 0.0; /* else the options say what every tensor has */
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
        nw_item *item = &items[c.rows[i]];
        const nw_measured *row = &task->measurement->rows[c.rows[i]];
        const int32_t bits = nw_choice_bits(c.bits[i]);
        set_width(&c, i, c.bits[i]);
        item->least = item->most = bits;
        item->extended =
            nw_choice_is_extended(c.bits[i]) || (!wanted && row->extended && bits <= NW_MOST_EXTENDED_BITS);
    }
    if (!status)
        status = nw_costs_arena(&choice->arena, task->costs, choice->packed, error);
    choice->values = status ? 0.0 : size_of(&c);
    if (choice->values > 0.0)
        choice->mean_bits = 8.0 * nw_items_cost(c.items, c.n, c.bits) / choice->values;
    clear(&c);
    return status;
}
