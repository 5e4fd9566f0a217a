/* SPDX-License-Identifier: Apache-2.0 */
/* See knapsack.h. */
#include "plan/knapsack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_STATES 400000 /* beyond it the bound is widened: the answer is then within the gap it was widened by */

/** A step along the lower convex hull of an item's (cost, damage). */
typedef struct increment {
    int32_t item, choice; /* it leads to */
    double cost, fall;
} increment;

/** One choice for the items so far. */
typedef struct state {
    double cost, damage;
    int32_t parent; /* in the list before */
    int32_t choice;
} state;

typedef struct list {
    state *states; /* owned, by rising cost and falling damage */
    int32_t n;
} list;

typedef struct solver {
    const nw_item *items;
    int32_t n;
    double budget;
    increment *increments; /* by falling fall / cost */
    int32_t n_increments;
    double best;           /* damage of `choices` */
    int32_t *choices;
    double gap;            /* a state must promise to be better by this share */
} solver;

/* relaxation */

static int by_efficiency(const void *a, const void *b)
{
    const increment *x = a;
    const increment *y = b;
    const double left = x->fall * y->cost;
    const double right = y->fall * x->cost;
    if (left != right)
        return left > right ? -1 : 1;
    return x->item != y->item ? x->item - y->item : x->choice - y->choice;
}

/** Corners of the lower hull from the cheapest choice on; choices that cost more and do not help are passed over. */
static int32_t hull(int32_t *corner, const nw_item *item)
{
    int32_t order[NW_CHOICES];
    const int32_t n_choices = nw_item_choices(order, item);
    int32_t n = 0;
    for (int32_t i = 0; i < n_choices; i++) {
        const int32_t b = order[i];
        if (n > 0 && item->damage[b] >= item->damage[corner[n - 1]])
            continue;
        while (n > 1) {
            const int32_t o = corner[n - 2];
            const int32_t m = corner[n - 1];
            if ((item->damage[o] - item->damage[m]) * (item->cost[b] - item->cost[m]) >
                (item->damage[m] - item->damage[b]) * (item->cost[m] - item->cost[o]))
                break;
            n--;
        }
        if (n == 1 && item->cost[b] <= item->cost[corner[0]])
            n = 0;
        corner[n++] = b;
    }
    return n;
}

static void list_increments(solver *s)
{
    for (int32_t i = 0; i < s->n; i++) {
        int32_t corner[NW_CHOICES];
        const nw_item *item = &s->items[i];
        const int32_t n = hull(corner, item);
        for (int32_t j = 1; j < n; j++)
            s->increments[s->n_increments++] =
                (increment){i, corner[j], item->cost[corner[j]] - item->cost[corner[j - 1]],
                            item->damage[corner[j - 1]] - item->damage[corner[j]]};
    }
    qsort(s->increments, (size_t)s->n_increments, sizeof(*s->increments), by_efficiency);
}

/** First corner of an item: what it has before any increment. */
static int32_t cheapest(const nw_item *item)
{
    int32_t corner[NW_CHOICES];
    hull(corner, item);
    return corner[0];
}

/** Cheapest costs and their damages of items from `first` on. */
static void rest_of(const solver *s, int32_t first, double *cost, double *damage)
{
    *cost = *damage = 0.0;
    for (int32_t i = first; i < s->n; i++) {
        const int32_t b = cheapest(&s->items[i]);
        *cost += s->items[i].cost[b];
        *damage += s->items[i].damage[b];
    }
}

/** Sums of the increments of items from `first` on. @return how many */
static int32_t sum_increments(const solver *s, int32_t first, double *cost, double *fall)
{
    int32_t n = 0;
    cost[0] = fall[0] = 0.0;
    for (int32_t j = 0; j < s->n_increments; j++) {
        if (s->increments[j].item < first)
            continue;
        cost[n + 1] = cost[n] + s->increments[j].cost;
        fall[n + 1] = fall[n] + s->increments[j].fall;
        n++;
    }
    return n;
}

/** Most that divisible increments can take away within `room`. */
static double relaxed_fall(const double *cost, const double *fall, int32_t n, double room)
{
    int32_t lo = 0;
    int32_t hi = n;
    while (lo < hi) {
        const int32_t middle = (lo + hi + 1) / 2;
        if (cost[middle] <= room)
            lo = middle;
        else
            hi = middle - 1;
    }
    if (lo == n)
        return fall[n];
    return fall[lo] + (fall[lo + 1] - fall[lo]) * (room - cost[lo]) / (cost[lo + 1] - cost[lo]);
}

/* a first solution */

/** Takes increments in order wherever they fit, an item's in their order. */
static void greedy(solver *s)
{
    double left = s->budget;
    bool *stuck = calloc((size_t)s->n + 1, sizeof(*stuck));
    for (int32_t i = 0; i < s->n; i++) {
        s->choices[i] = cheapest(&s->items[i]);
        left -= s->items[i].cost[s->choices[i]];
    }
    for (int32_t j = 0; stuck && j < s->n_increments; j++) {
        const increment *one = &s->increments[j];
        if (stuck[one->item] || one->cost > left) {
            stuck[one->item] = true;
            continue;
        }
        left -= one->cost;
        s->choices[one->item] = one->choice;
    }
    free(stuck);
    s->best = nw_items_damage(s->items, s->n, s->choices);
}

/* lists */

static int by_cost(const void *a, const void *b)
{
    const state *x = a;
    const state *y = b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    if (x->damage != y->damage)
        return x->damage < y->damage ? -1 : 1;
    return x->parent != y->parent ? x->parent - y->parent : x->choice - y->choice;
}

/** Keeps what no other state beats in both. */
static int32_t undominated(state *states, int32_t n)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if (kept == 0 || states[i].damage < states[kept - 1].damage)
            states[kept++] = states[i];
    return kept;
}

/** All choices of item i behind all of `from` that may still win. */
static nw_status extend(list *to, const list *from, const solver *s, int32_t i)
{
    const nw_item *item = &s->items[i];
    double *cost = malloc(((size_t)s->n_increments + 1) * sizeof(*cost));
    double *fall = malloc(((size_t)s->n_increments + 1) * sizeof(*fall));
    int32_t order[NW_CHOICES];
    const int32_t n_choices = nw_item_choices(order, item);
    to->states = malloc(((size_t)from->n * (size_t)n_choices + 1) * sizeof(*to->states));
    to->n = 0;
    const bool done = cost && fall && to->states;
    if (done) {
        double rest_cost, rest_damage;
        const int32_t n = sum_increments(s, i + 1, cost, fall);
        rest_of(s, i + 1, &rest_cost, &rest_damage);
        for (int32_t j = 0; j < from->n; j++)
            for (int32_t at = 0; at < n_choices; at++) {
                const int32_t b = order[at];
                const state one = {from->states[j].cost + item->cost[b], from->states[j].damage + item->damage[b], j,
                                   b};
                const double room = s->budget - one.cost - rest_cost;
                if (room >= 0.0 &&
                    one.damage + rest_damage - relaxed_fall(cost, fall, n, room) < s->best * (1.0 - s->gap))
                    to->states[to->n++] = one;
            }
        qsort(to->states, (size_t)to->n, sizeof(*to->states), by_cost);
        to->n = undominated(to->states, to->n);
    }
    free(cost);
    free(fall);
    return done ? NW_OK : NW_ERROR_MEMORY;
}

/** The lists of all items; `full` if one became too long. */
static nw_status grow(const solver *s, list *lists, bool *full)
{
    state start = {0};
    const list first = {&start, 1};
    *full = false;
    for (int32_t i = 0; i < s->n && !*full; i++) {
        NW_TRY(extend(&lists[i], i ? &lists[i - 1] : &first, s, i));
        *full = lists[i].n > MOST_STATES;
    }
    return NW_OK;
}

/** Takes over the best choice if it beats the greedy one. */
static void trace_back(solver *s, const list *lists)
{
    const list *last = &lists[s->n - 1];
    if (last->n == 0 || !(last->states[last->n - 1].damage < s->best))
        return;
    int32_t at = last->n - 1; /* least damage */
    for (int32_t i = s->n - 1; i >= 0; i--) {
        s->choices[i] = lists[i].states[at].choice;
        at = lists[i].states[at].parent;
    }
}

nw_status nw_knapsack_solve(int32_t *choices, const nw_item *items, int32_t n, double budget, nw_error *error)
{
    if (n < 1)
        return NW_OK;
    solver s = {.items = items, .n = n, .budget = budget, .choices = choices, .gap = 1e-12};
    s.increments = malloc(((size_t)n * NW_CHOICES + 1) * sizeof(*s.increments));
    list *lists = calloc((size_t)n, sizeof(*lists));
    nw_status status = s.increments && lists ? NW_OK : NW_ERROR_MEMORY;
    bool full = true;
    if (!status) {
        list_increments(&s);
        greedy(&s);
    }
    while (!status && full) {
        status = grow(&s, lists, &full);
        if (!status && !full)
            trace_back(&s, lists);
        for (int32_t i = 0; i < n; i++)
            free(lists[i].states);
        memset(lists, 0, (size_t)n * sizeof(*lists));
        s.gap = fmax(1e-4, 4.0 * s.gap);
    }
    free(s.increments);
    free(lists);
    return status ? nw_fail_memory(error, "allocating bits") : NW_OK;
}
