/* SPDX-License-Identifier: Apache-2.0 */
/* See peak.h. */
#include "plan/peak.h"

#include <stdlib.h>
#include <string.h>

#define MOST_STATES 20000

/** One choice for the items so far. */
typedef struct state {
    double damage;
    int32_t parent;        /* in the list before */
    int32_t n;             /* of widths */
    const uint8_t *widths; /* [n] of the items in the solver's order; 0: not chosen yet, or no longer alive */
    uint8_t bits;          /* of the item added last */
} state;

typedef struct list {
    state *states;   /* owned */
    uint8_t *widths; /* owned, of all states; NULL when the next list stands */
    int32_t n;
} list;

typedef struct solver {
    const nw_peak *task;
    bool *tight;    /* [n_moments] */
    int32_t *order; /* [n_hard] items alive at a tight moment, by the first of these */
    int32_t *until; /* [n_hard] place in `order` up to which the item's width matters */
    int32_t n_hard;
} solver;

static double bytes_of(const nw_peak *task, int32_t moment, int32_t item, int32_t bits)
{
    return task->bytes[((size_t)moment * (size_t)task->n + (size_t)item) * NW_WIDTHS + (size_t)bits];
}

static bool is_alive(const nw_peak *task, int32_t moment, int32_t item)
{
    return bytes_of(task, moment, item, task->items[item].most) > 0.0;
}

double nw_peak_at(const nw_peak *task, int32_t moment, const int32_t *bits)
{
    double sum = task->base[moment];
    for (int32_t i = 0; i < task->n; i++)
        sum += bytes_of(task, moment, i, bits[i]);
    return sum;
}

static bool all_fit(const nw_peak *task, const int32_t *bits)
{
    for (int32_t m = 0; m < task->n_moments; m++)
        if (nw_peak_at(task, m, bits) > task->budget)
            return false;
    return true;
}

/** The width of least damage, the narrowest of these. */
static int32_t best_width(const nw_item *item)
{
    int32_t best = item->least;
    for (int32_t b = item->least; b <= item->most; b++)
        best = item->damage[b] < item->damage[best] ? b : best;
    return best;
}

/** Moments that the best widths overflow; items alive there, in the order in which they come; how long each matters. */
static void find_tight(solver *s, const int32_t *best)
{
    const nw_peak *task = s->task;
    for (int32_t m = 0; m < task->n_moments; m++) {
        s->tight[m] = nw_peak_at(task, m, best) > task->budget;
        for (int32_t i = 0; s->tight[m] && i < task->n; i++) {
            bool known = false;
            for (int32_t h = 0; h < s->n_hard; h++)
                known = known || s->order[h] == i;
            if (!known && is_alive(task, m, i))
                s->order[s->n_hard++] = i;
        }
    }
    for (int32_t h = 0; h < s->n_hard; h++) {
        s->until[h] = h;
        for (int32_t m = 0; m < task->n_moments; m++)
            for (int32_t j = h; s->tight[m] && is_alive(task, m, s->order[h]) && j < s->n_hard; j++)
                if (j > s->until[h] && is_alive(task, m, s->order[j]))
                    s->until[h] = j;
    }
}

/** Whether `bits` for the item at place h fit behind a state's choices, all later items as narrow as can be. */
static bool has_room(const solver *s, const state *from, int32_t h, int32_t bits)
{
    const nw_peak *task = s->task;
    for (int32_t m = 0; m < task->n_moments; m++) {
        if (!s->tight[m] || !is_alive(task, m, s->order[h]))
            continue;
        double sum = task->base[m] + bytes_of(task, m, s->order[h], bits);
        for (int32_t j = 0; j < s->n_hard; j++)
            if (j != h)
                sum += bytes_of(task, m, s->order[j], j < h ? from->widths[j] : task->items[s->order[j]].least);
        if (sum > task->budget)
            return false;
    }
    return true;
}

static int by_alive(const void *a, const void *b)
{
    const state *x = a;
    const state *y = b;
    const int order = memcmp(x->widths, y->widths, (size_t)x->n);
    if (order)
        return order;
    if (x->damage != y->damage)
        return x->damage < y->damage ? -1 : 1;
    return x->parent != y->parent ? x->parent - y->parent : x->bits - y->bits;
}

static int by_damage(const void *a, const void *b)
{
    const state *x = a;
    const state *y = b;
    return x->damage < y->damage ? -1 : x->damage > y->damage ? 1 : by_alive(a, b);
}

/** Of states that differ in nothing that still matters the best one; of too many those of the least damage. */
static void keep_best(list *to)
{
    int32_t n = 0;
    qsort(to->states, (size_t)to->n, sizeof(*to->states), by_alive);
    for (int32_t i = 0; i < to->n; i++)
        if (n == 0 || memcmp(to->states[n - 1].widths, to->states[i].widths, (size_t)to->states[i].n))
            to->states[n++] = to->states[i];
    qsort(to->states, (size_t)n, sizeof(*to->states), by_damage);
    to->n = n < MOST_STATES ? n : MOST_STATES;
}

/** All choices for the item at place h behind all states of `from`. */
static nw_status extend(list *to, const list *from, const solver *s, int32_t h)
{
    const nw_item *item = &s->task->items[s->order[h]];
    const size_t n_hard = (size_t)s->n_hard;
    const size_t most = (size_t)from->n * (size_t)(item->most - item->least + 1);
    to->states = malloc(most * sizeof(*to->states) + 1);
    to->widths = calloc(most * n_hard + 1, 1);
    if (!to->states || !to->widths)
        return NW_ERROR_MEMORY;
    for (int32_t i = 0; i < from->n; i++)
        for (int32_t b = item->least; b <= item->most; b++) {
            if (!has_room(s, &from->states[i], h, b))
                continue;
            uint8_t *widths = to->widths + (size_t)to->n * n_hard;
            for (int32_t j = 0; j <= h; j++)
                if (s->until[j] > h)
                    widths[j] = j < h ? from->states[i].widths[j] : (uint8_t)b;
            to->states[to->n++] =
                (state){from->states[i].damage + item->damage[b], i, s->n_hard, widths, (uint8_t)b};
        }
    keep_best(to);
    return NW_OK;
}

/** Lists for all hard items; the choice of the least damage into `bits`. */
static nw_status solve_hard(int32_t *bits, const solver *s)
{
    list *lists = calloc((size_t)s->n_hard + 1, sizeof(*lists));
    uint8_t *none = calloc((size_t)s->n_hard + 1, 1);
    state start = {.n = s->n_hard, .widths = none};
    const list first = {&start, none, 1};
    nw_status status = lists && none ? NW_OK : NW_ERROR_MEMORY;
    for (int32_t h = 0; !status && h < s->n_hard; h++) {
        status = extend(&lists[h], h ? &lists[h - 1] : &first, s, h);
        if (h) {
            free(lists[h - 1].widths);
            lists[h - 1].widths = NULL;
        }
    }
    int32_t at = 0; /* sorted by damage */
    for (int32_t h = s->n_hard - 1; !status && h >= 0; h--) {
        bits[s->order[h]] = lists[h].states[at].bits;
        at = lists[h].states[at].parent;
    }
    for (int32_t h = 0; lists && h < s->n_hard; h++) {
        free(lists[h].states);
        free(lists[h].widths);
    }
    free(lists);
    free(none);
    return status;
}

nw_status nw_peak_solve(int32_t *bits, bool *fits, const nw_peak *task, nw_error *error)
{
    for (int32_t i = 0; i < task->n; i++)
        bits[i] = task->items[i].least;
    *fits = all_fit(task, bits);
    if (!*fits)
        return NW_OK;
    solver s = {.task = task,
                .tight = calloc((size_t)task->n_moments + 1, sizeof(*s.tight)),
                .order = calloc((size_t)task->n + 1, sizeof(*s.order)),
                .until = calloc((size_t)task->n + 1, sizeof(*s.until))};
    nw_status status = s.tight && s.order && s.until ? NW_OK : NW_ERROR_MEMORY;
    for (int32_t i = 0; i < task->n; i++)
        bits[i] = best_width(&task->items[i]);
    if (!status) {
        find_tight(&s, bits);
        status = solve_hard(bits, &s);
    }
    free(s.tight);
    free(s.order);
    free(s.until);
    return status ? nw_fail_memory(error, "allocating bits") : NW_OK;
}
