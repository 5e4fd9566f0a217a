/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multiple-choice knapsack: one width per item, least sum of damages within a budget of costs, exactly. A list of
 * all undominated (cost, damage) of the first i items grows item by item; what cannot beat the best known solution even
 * if the rest were divisible (the linear relaxation, Sinha and Zoltners 1979) is dropped. allocate.c calls it.
 */
#ifndef NARROW_PLAN_KNAPSACK_H
#define NARROW_PLAN_KNAPSACK_H

#include "plan/allocate.h"

/**
 * @param choices  [n] in: the least widths, which fit the budget; out: the best
 * @return NW_ERROR_MEMORY
 */
nw_status nw_knapsack_solve(int32_t *choices, const nw_item *items, int32_t n, double budget, nw_error *error);

#endif
