/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether damages add up: allocate.h chooses by a sum of damages, each measured with everything else in float
 * (measure.h). Here all choices are made at once, each rounded as it was alone, and the same samples looked at.
 *
 *     nw_damage together;
 *     const nw_damage sum = nw_measurement_sum(measurement, found.choices);
 *     NW_TRY(nw_measure_together(&together, measurement, found.choices, model, trials, samples, n, error));
 *     ... sum.noise / together.noise ...
 */
#ifndef NARROW_PLAN_MEASURE_TOGETHER_H
#define NARROW_PLAN_MEASURE_TOGETHER_H

#include "plan/measure.h"

/** The sum of what was measured of single choices. @param choices  [measurement->n] (choice.h) */
nw_damage nw_measurement_sum(const nw_measurement *measurement, const int32_t *choices);

/**
 * Damage of all choices at once.
 *
 * @param measurement  complete; its rows stay as they are
 * @param choices      [measurement->n]
 * @param samples, n   as given to nw_measure
 */
nw_status nw_measure_together(nw_damage *damage, nw_measurement *measurement, const int32_t *choices,
                              const nw_model *model, nw_trials *trials, const float *const *samples, int32_t n,
                              nw_error *error);

#endif
