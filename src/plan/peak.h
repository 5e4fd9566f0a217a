/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Widths of what lies in memory only for a while: the least sum of damages while at no moment more than a budget is
 * alive. A peak is a maximum over moments, not a sum, so only items that are alive at a tight moment need fewer bits.
 *
 * Solved to the end, moment by moment: of all choices for the items so far only the best is kept for every choice of
 * those still alive (few are alive at once), and choices that leave no room for the narrowest rest are dropped. Where
 * items of more than MOST_STATES choices are alive at once those of the least damage so far go on: a good answer then,
 * maybe not the best. activations.c calls it.
 */
#ifndef NARROW_PLAN_PEAK_H
#define NARROW_PLAN_PEAK_H

#include "plan/allocate.h"

typedef struct nw_peak {
    const nw_item *items; /* [n] borrowed; widths from least to most, and damages; costs are not looked at */
    int32_t n, n_moments;
    const double *base;   /* [n_moments] borrowed; what is alive whatever is chosen */
    const double *bytes;  /* [n_moments, n, NW_WIDTHS] borrowed; 0 where an item is not alive, else rising with the
                             width */
    double budget;
} nw_peak;

/**
 * @param bits  [n] out: the least widths if even these do not fit
 * @param fits  out: whether the budget is kept at every moment
 * @return NW_ERROR_MEMORY
 */
nw_status nw_peak_solve(int32_t *bits, bool *fits, const nw_peak *task, nw_error *error);

/** Bytes alive at a moment. */
double nw_peak_at(const nw_peak *task, int32_t moment, const int32_t *bits);

#endif
