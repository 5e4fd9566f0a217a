/* SPDX-License-Identifier: Apache-2.0 */
/* See allocate.h: closed forms here, the exact optimum in knapsack.c. */
#include "plan/allocate.h"

#include <math.h>

#include "plan/knapsack.h"

const char *const nw_allocation_names[] = {"exact", "adaptive", "sqnr", "equal", NULL};

double nw_items_damage(const nw_item *items, int32_t n, const int32_t *choices)
{
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++)
        sum += items[i].damage[choices[i]];
    return sum;
}

double nw_items_cost(const nw_item *items, int32_t n, const int32_t *choices)
{
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++)
        sum += items[i].cost[choices[i]];
    return sum;
}

/** Puts a choice behind those that do not cost more. @return how many there are now */
static int32_t insert(int32_t *order, int32_t n, const nw_item *item, int32_t choice)
{
    int32_t at = n;
    for (; at > 0 && item->cost[order[at - 1]] > item->cost[choice]; at--)
        order[at] = order[at - 1];
    order[at] = choice;
    return n + 1;
}

int32_t nw_item_choices(int32_t order[NW_CHOICES], const nw_item *item)
{
    int32_t n = 0;
    for (int32_t b = item->least; b <= item->most; b++)
        n = insert(order, n, item, b);
    for (int32_t b = item->least; b <= item->most_extended; b++)
        n = insert(order, n, item, nw_choice_extend(b));
    for (int32_t b = item->least; b <= item->most; b++)
        if (item->narrowed >> b & 1u)
            n = insert(order, n, item, nw_choice_narrow(b));
    return n;
}

static int32_t clip(const nw_item *item, double bits)
{
    return bits <= item->least ? item->least : bits >= item->most ? item->most : (int32_t)bits;
}

/** rate of the model that the closed form stands for. */
static double rate_of(const nw_item *item, nw_allocation how)
{
    return how == NW_ALLOCATE_SQNR ? 1.0 : fmax(item->rate, 1e-300);
}

/** Rounded down. */
static void set_bits(int32_t *bits, const nw_item *items, int32_t n, double c, nw_allocation how)
{
    for (int32_t i = 0; i < n; i++) {
        const double offset = 0.5 * log2(rate_of(&items[i], how) / fmax(items[i].size, 1.0));
        bits[i] = clip(&items[i], how == NW_ALLOCATE_EQUAL ? c : c + offset);
    }
}

/** Modelled damage that one more bit takes away, per cost; -1 if there is no room for it. */
static double gain(const nw_item *item, int32_t bits, double left, nw_allocation how)
{
    if (bits >= item->most || item->cost[bits + 1] - item->cost[bits] > left)
        return -1.0;
    const double cost = item->cost[bits + 1] - item->cost[bits];
    return rate_of(item, how) * (exp2(-2.0 * bits) - exp2(-2.0 * (bits + 1))) / fmax(cost, 1e-300);
}

static void spend(int32_t *bits, const nw_item *items, int32_t n, double budget, nw_allocation how)
{
    for (double left = budget - nw_items_cost(items, n, bits);;) {
        int32_t best = -1;
        double most = 0.0;
        for (int32_t i = 0; i < n; i++) {
            const double one = gain(&items[i], bits[i], left, how);
            if (one > most) {
                most = one;
                best = i;
            }
        }
        if (best < 0)
            return;
        left -= items[best].cost[bits[best] + 1] - items[best].cost[bits[best]];
        bits[best]++;
    }
}

static nw_status choose(int32_t *choices, bool *fits, const nw_item *items, int32_t n, double budget, nw_allocation how,
                        nw_error *error)
{
    for (int32_t i = 0; i < n; i++)
        choices[i] = items[i].least;
    *fits = nw_items_cost(items, n, choices) <= budget;
    if (!*fits)
        return NW_OK;
    if (how == NW_ALLOCATE_EXACT)
        return nw_knapsack_solve(choices, items, n, budget, error);
    double lo = -600.0; /* rates span 1e-300 to 1e300 */
    double hi = 600.0;
    for (int32_t step = 0; step < 60; step++) {
        const double middle = 0.5 * (lo + hi);
        set_bits(choices, items, n, middle, how);
        if (nw_items_cost(items, n, choices) <= budget)
            lo = middle;
        else
            hi = middle;
    }
    set_bits(choices, items, n, lo, how);
    if (how != NW_ALLOCATE_EQUAL)
        spend(choices, items, n, budget, how);
    return NW_OK;
}

nw_status nw_allocate(int32_t *choices, bool *fits, const nw_item *items, int32_t n, double budget, nw_allocation how,
                      nw_error *error)
{
    NW_TRY(choose(choices, fits, items, n, budget, how, error));
    for (int32_t i = 0; i < n; i++)
        if (items[i].extended)
            choices[i] = nw_choice_extend(choices[i]);
    return NW_OK;
}
