/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gets how many bits. A list of items (layers), each with a damage and a cost for every choice (choice.h); one
 * choice for each, so that the costs stay within a budget.
 *
 *     nw_item *items = ...;
 *     int32_t *choices = ...;
 *     NW_TRY(nw_allocate(choices, &fits, items, n, budget, NW_ALLOCATE_EXACT, error));
 *
 *     exact     least sum of damages: the multiple-choice knapsack, solved to the end; the only one that extends or
 *               narrows widths
 *     adaptive  b_i = c + 1/2 log2(p_i / (t_i s_i)): closed form for damages (p_i / t_i) 4^-b (Zhou et al. 2018)
 *     sqnr      b_i = c + 1/2 log2(1 / s_i): the same without looking at the network (Lin et al. 2016)
 *     equal     one width for all
 *
 * The closed forms are rounded down, then what is left of the budget goes where the modelled damage falls most per
 * cost.
 */
#ifndef NARROW_PLAN_ALLOCATE_H
#define NARROW_PLAN_ALLOCATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "plan/choice.h"

#define NW_WIDTHS 9 /* figures are by bits, 1 to 8 */

typedef struct nw_item {
    int32_t least, most;       /* widths allowed, 1 <= least <= most <= 8 */
    int32_t most_extended;     /* widths from least to this one are there extended too; 0: none */
    uint32_t narrowed;         /* bit b: width b is there narrowed too */
    bool extended;             /* a tensor whose width was chosen: it is an extended one */
    double damage[NW_CHOICES]; /* >= 0 */
    double cost[NW_CHOICES];   /* >= 0; rising with the width */
    double size;               /* s_i: weights */
    double rate;               /* p_i / t_i */
} nw_item;

typedef enum nw_allocation {
    NW_ALLOCATE_EXACT,
    NW_ALLOCATE_ADAPTIVE,
    NW_ALLOCATE_SQNR,
    NW_ALLOCATE_EQUAL
} nw_allocation;

/** "exact", "adaptive", "sqnr", "equal"; NULL-terminated. */
extern const char *const nw_allocation_names[];

/** What an item may be given, by rising cost, equal costs by width. @param order  out @return how many */
int32_t nw_item_choices(int32_t order[NW_CHOICES], const nw_item *item);

/**
 * Chooses.
 *
 * @param choices  [n] out: least widths everywhere if even these do not fit
 * @param fits    out: whether the budget is kept
 * @return NW_ERROR_MEMORY
 */
nw_status nw_allocate(int32_t *choices, bool *fits, const nw_item *items, int32_t n, double budget, nw_allocation how,
                      nw_error *error);

/** Sums over what was chosen. */
double nw_items_damage(const nw_item *items, int32_t n, const int32_t *choices);
double nw_items_cost(const nw_item *items, int32_t n, const int32_t *choices);

#endif
