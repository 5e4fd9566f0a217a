/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Narrow weights that keep the answer: rounding with the data at hand, and further points where one is not enough. Runs
 * between linear.c, which left nearest codes, and bias_correction.c, on the samples that calibration kept:
 *
 *     1. the float network: outputs y of every narrow layer at some thousand positions; with a point budget also the
 * error that 1 to NW_MAX_POINTS points would leave in every channel, from which the budget is shared out
 *     2. the quantized network, layer by layer: each layer's codes are chosen so that on what the quantized layers
 * before it really deliver it comes closest to y. It thereby makes good for part of their errors
 *
 * The mean of the error is left to empirical bias correction; without it, it counts as error.
 */
#ifndef NARROW_QUANT_RECONSTRUCT_H
#define NARROW_QUANT_RECONSTRUCT_H

#include "quant/scheme.h"

/**
 * Sets weights, steps and rows of all linear nodes of fewer than 8 bits, and of those behind activations of fewer than
 * 7 (options: rounding, point_budget). What a layer adds as its residual counts as part of its output: its weights make
 * good for the residual's errors too, as far as they can know of them. Layers whose moments would take more than 256
 * MiB keep their nearest codes and one point. Where the book is open, both are tried: flint's codes stay if they leave
 * clearly less error, summed over rows, each over the power of its output; not where learning follows, which moves
 * uniform ones.
 *
 * @return NW_ERROR_USAGE without kept samples; NW_ERROR_MEMORY; what the float engine returned
 */
nw_status nw_scheme_reconstruct(nw_scheme *scheme, nw_error *error);

#endif
