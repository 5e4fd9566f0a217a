/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ranges narrowed for 16-bit sums (quant/sums.c) do to the network's answer, layer by layer, beside what they
 * gain: only this layer is quantized, at its width and narrowed, the rest runs in float, as for its widths (measure.h).
 *
 *     NW_TRY(nw_narrowing_measure(measurement, wanted, model, trials, samples, n, show, context,
 *                                 error));                                          before a search
 *     NW_TRY(nw_narrowing_explain(integer, plan, measurement, model, trials, samples, n, NW_DAMAGE_DIVERGENCE, error));
 *
 * The first makes narrowed widths choices of the search (choice.h), the second explains a network that has some.
 * Reasons of a layer's row then hold, beside those of sums.c ("narrowed_channels", "gain", ...) and its "damage"
 * without any narrowing, "narrowed_damage", and "narrowed_changed", the share of answers that change.
 */
#ifndef NARROW_PLAN_NARROWING_H
#define NARROW_PLAN_NARROWING_H

#include "plan/search.h"

/**
 * Measures narrowed choices that are not there yet.
 *
 * @param wanted    [measurement->n] bit b: width b of this row, a layer
 * @param samples   as nw_measure
 * @param progress  called after every layer; NULL for none
 */
nw_status nw_narrowing_measure(nw_measurement *measurement, const uint32_t *wanted, const nw_model *model,
                               nw_trials *trials, const float *const *samples, int32_t n,
                               void (*progress)(void *context, int64_t done, int64_t total), void *context,
                               nw_error *error);

/**
 * Adds reasons to the plan that an integer network carries, and to a second one. Layers without narrowed channels stay
 * as they are.
 *
 * @param integer  its plan is replaced
 * @param plan     rows by name; gets the reasons of sums.c too. NULL: none
 * @param known    what was measured already is not measured again
 * @param model    the float network
 * @param samples  as nw_measure: the first half is what damage is measured on, weights are rounded on the rest
 * @return NW_ERROR_MEMORY, or what the float engine returned
 */
nw_status nw_narrowing_explain(nw_model *integer, nw_plan *plan, const nw_measurement *known, const nw_model *model,
                               nw_trials *trials, const float *const *samples, int32_t n, nw_damage_kind kind,
                               nw_error *error);

#endif
