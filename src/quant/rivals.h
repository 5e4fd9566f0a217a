/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What multipoint quantization is measured against, in the same form (a row as a sum of few vectors of codes): further
 * points by chance, piecewise-linear quantization, outlier channel splitting. reconstruct.c calls them.
 */
#ifndef NARROW_QUANT_RIVALS_H
#define NARROW_QUANT_RIVALS_H

#include "quant/code_book.h"
#include "quant/multipoint.h"

/** How channels come to further points. */
typedef enum nw_point_method {
    NW_POINTS_BY_ERROR,  /* multipoint: where the output's error is largest, nw_multipoint_allocate */
    NW_POINTS_AT_RANDOM, /* as many multiply-accumulates, channels drawn by chance */
    NW_POINTS_PIECEWISE, /* two points everywhere: small weights and large ones on grids of their own */
    NW_POINTS_SPLIT      /* outlier channel splitting: the input channels of the largest weights come twice */
} nw_point_method;

/** Second points for channels drawn by chance until the budget is spent; parameters as nw_multipoint_allocate. */
double nw_points_draw(uint8_t *points, const nw_multipoint_channel *channels, size_t n, double budget, uint64_t seed);

/**
 * Piecewise-linear quantization (PWLQ, Fang et al. 2020) as two points of disjoint support: weights up to a break point
 * on a fine grid that ends there, the others on a coarse grid that ends at the largest. The break point of least
 * sum_j importance[j] (w_j - v_j)^2 out of 32.
 *
 * @param codes  [2, k] out
 * @param steps  [2] out, >= 0
 * @return NW_ERROR_MEMORY
 */
nw_status nw_piecewise_row(int8_t *codes, double *steps, const double *w, int32_t k, const nw_code_book *book,
                           const double *importance);

/**
 * The input channels that outlier channel splitting (OCS, Zhao et al. 2019) doubles: ceil(share * channels) of them,
 * those with the largest weights.
 *
 * @param split  [k] out: whether the column belongs to such a channel
 * @param w      [n_rows, k], columns (tap, channel of the group): channel = column mod group_inputs
 * @return NW_ERROR_MEMORY
 */
nw_status nw_split_columns(bool *split, const double *w, int32_t n_rows, int32_t k, int32_t group_inputs, double share);

/**
 * A row whose split columns are halved and come twice, all on one grid. The halves are rounded at (w - step/2) / 2 and
 * (w + step/2) / 2, so that their sum is w rounded to the step.
 *
 * @param codes  [2, k] out: second halves in codes[k..], 0 elsewhere
 * @param steps  [2] out, equal; 0 for a row of zeros
 * @return NW_ERROR_MEMORY
 */
nw_status nw_split_row(int8_t *codes, double *steps, const double *w, int32_t k, const nw_code_book *book,
                       const bool *split, const double *importance);

#endif
