/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quantized network brought closer to the float one by its own derivatives, on calibration samples, without labels:
 * weights, biases and the steps (so the clips) of narrow activations together. After bias correction, before emit.c.
 *
 * The loss of a batch is the squared difference from the float network, over the power that calibration saw there:
 *
 *     L = sum over ends t of E |x_t - y_t|^2 / E |y_t - mean|^2  +  the mean over ends of blocks t of the same
 *
 * Ends are the network's outputs, in front of a closing Softmax and whatever else gradients do not pass. Rounding is
 * straight-through (gradient.h; LSQ, Esser et al. 2020), targets at the ends of blocks are those of block
 * reconstruction (BRECQ, Li et al. 2021), but gradients pass from block to block, so that every layer learns what those
 * behind it make of its errors. Adam, its rate falling along half a cosine. Some samples are kept back: if their loss
 * has risen in the end, by more than the standard error of the difference, nothing changes.
 */
#ifndef NARROW_QUANT_LEARN_H
#define NARROW_QUANT_LEARN_H

#include "quant/scheme.h"

/** Sets scheme->learn_updates: what the options say, once widths are settled. */
void nw_scheme_learn_updates(nw_scheme *scheme);

/**
 * Moves the scheme's weights, biases, steps and factors, as options.learn_updates says. The calibration's pool has the
 * samples. The same bits for any number of threads.
 *
 * @return NW_ERROR_USAGE where updates are asked for and there is no pool, or 16-bit sums are planned; NW_ERROR_MEMORY
 */
nw_status nw_scheme_learn(nw_scheme *scheme, nw_error *error);

#endif
