/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step for all rows of a layer (NW_BOOK_SHARED). At a given noise in the layer's output, entropy-coded codes are
 * shortest if every row makes the same noise: then a row costs 1/2 log2(its variance / noise) bits a weight, few where
 * weights are small. With a step of its own and codes of fixed width, a row of small weights is as long as any other.
 * (High-rate theory: Gish and Pierce 1968; the share of rows is reverse water-filling.)
 */
#ifndef NARROW_QUANT_SHARED_STEP_H
#define NARROW_QUANT_SHARED_STEP_H

#include "quant/scheme.h"

/**
 * Steps of a layer's rows: step[o] = d / sqrt(mean importance of row o), with the one d at which nearest codes make as
 * much noise, summed over the rows, weighted by importance, as uniform codes of book->bits bits with a step per row.
 * Importance is the variance of the input that meets the weight, or 1 where options.weight_range does not look at it; it
 * differs between rows only in grouped layers. Of layers with many weights a part of the rows decides. A step is at most
 * twice the sum of the row's magnitudes: there all codes are 0 already.
 *
 * @param steps  [n_channels] out; 0: the layer or the row has no weights that matter
 * @return NW_ERROR_MEMORY
 */
nw_status nw_shared_steps(double *steps, const nw_scheme *scheme, int32_t node, const nw_code_book *book);

#endif
