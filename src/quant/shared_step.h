/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step for all rows of a layer.
 *
 * NW_BOOK_PER_TENSOR: the uniform codes of a width, on the step that suits the rows best together. It is how weights
 * are quantized where the target has no step per channel, and the multipoint paper's scale per layer: small rows are
 * left with few codes, and further points, with steps of their own, make good for that.
 *
 * NW_BOOK_SHARED: at a given noise in the layer's output, entropy-coded codes are
 * shortest if every row makes the same noise: then a row costs 1/2 log2(its variance / noise) bits a weight, few where
 * weights are small. With a step of its own and codes of fixed width, a row of small weights is as long as any other.
 * (High-rate theory: Gish and Pierce 1968; the share of rows is reverse water-filling.)
 */
#ifndef NARROW_QUANT_SHARED_STEP_H
#define NARROW_QUANT_SHARED_STEP_H

#include "quant/scheme.h"

/**
 * Steps of a layer's rows. Per tensor: step[o] = d, which options.weight_range chooses for the weights of all rows as
 * if they were one row. Shared: step[o] = d / sqrt(mean importance of row o), with the one d at which nearest codes
 * make as much noise, summed over the rows, weighted by importance, as uniform codes of book->bits bits with a step per
 * row. Importance is the variance of the input that meets the weight, or 1 where options.weight_range does not look at
 * it; it differs between rows only in grouped layers. Of layers with many weights a part of the rows decides, but about
 * the largest magnitude all do. A step is at most twice the sum of the row's magnitudes (but for one bit): there all
 * codes are 0 already.
 *
 * @param steps  [n_channels] out; 0: the layer or the row has no weights that matter; nw_code_book_shares_step(book)
 * @return NW_ERROR_MEMORY
 */
nw_status nw_shared_steps(double *steps, const nw_scheme *scheme, int32_t node, const nw_code_book *book);

#endif
