/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors of fewer than 8 bits: where the error that rounding and clipping make is weighed by what it does to the
 * outputs of the nodes that read it. Between follow.c, which settles widths and schemes, and equalize.c and grids.c,
 * which ask here for steps.
 *
 *     NW_TRY(nw_scheme_narrow(scheme, error));                     zero points, important channels
 *     double step = nw_narrow_channel_step(scheme, t, c);          the best one of a channel alone
 *     nw_narrow_step(&step, &noise, scheme, group);        the best one of a group, with its factors
 */
#ifndef NARROW_QUANT_NARROW_H
#define NARROW_QUANT_NARROW_H

#include "quant/scheme.h"

/**
 * Whether the group's grid is chosen here: fewer than 8 bits, ranges by output error, and neither a picture, whose
 * every value is signal, nor something that only tables read.
 */
bool nw_is_narrow(const nw_scheme *scheme, int32_t group);

/**
 * Sets the group's zero points, and under NW_ACTIVATION_DQA the shifts. A zero point is the one with the least sum of
 * the channels' errors, each channel on its own best step; important channels are ranked as options.ranking says.
 *
 * @return NW_ERROR_USAGE for a row of the plan that names channels a tensor does not have; NW_ERROR_MEMORY
 */
nw_status nw_scheme_narrow(nw_scheme *scheme, nw_error *error);

/** How many of the tensor's channels are important under DQA, unless the plan names them. */
int32_t nw_narrow_important(const nw_tensor_scheme *tensor);

/** Step of the finest codes (shift 0) that suits the channel best if it were alone, in reals; 0 for zeros. */
double nw_narrow_channel_step(const nw_scheme *scheme, int32_t tensor, int32_t channel);

/**
 * The group's scale for the factors that are set: least error behind its readers.
 *
 * @param noise  that error, relative to the outputs' power; NULL if nobody asks
 */
void nw_narrow_step(double *step, double *noise, const nw_scheme *scheme, int32_t group);

/** Lowest and highest code around the real 0 that the channel's width leaves, in its own steps. */
nw_clip nw_narrow_codes(const nw_tensor_scheme *tensor, int32_t channel);

/** Offsets that are added before rounding (NW_ACTIVATION_NOISY, NW_ACTIVATION_NOISY_SCALAR), once the grids stand. */
void nw_narrow_offsets(nw_scheme *scheme);

#endif
