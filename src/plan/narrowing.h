/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ranges narrowed for 16-bit sums (quant/sums.c) do to the network's answer, layer by layer, beside what they
 * gain: only this layer is quantized, at its width and narrowed, the rest runs in float, as for its widths (measure.h).
 *
 *     NW_TRY(nw_narrowing_explain(integer, plan, model, trials, samples, n, NW_DAMAGE_DIVERGENCE, error));
 *
 * Reasons of a layer's row then hold, beside those of sums.c ("narrowed_channels", "gain", ...) and its "damage" without
 * any narrowing, "narrowed_damage", and "narrowed_changed", the share of answers that change.
 */
#ifndef NARROW_PLAN_NARROWING_H
#define NARROW_PLAN_NARROWING_H

#include "plan/search.h"

/**
 * Adds reasons to the plan that an integer network carries, and to a second one. Layers without narrowed channels stay
 * as they are.
 *
 * @param integer  its plan is replaced
 * @param plan     rows by name; gets the reasons of sums.c too. NULL: none
 * @param model    the float network
 * @param samples  as nw_measure: the first half is what damage is measured on, weights are rounded on the rest
 * @return NW_ERROR_MEMORY, or what the float engine returned
 */
nw_status nw_narrowing_explain(nw_model *integer, nw_plan *plan, const nw_model *model, nw_trials *trials,
                               const float *const *samples, int32_t n, nw_damage_kind kind, nw_error *error);

#endif
