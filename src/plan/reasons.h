/* SPDX-License-Identifier: Apache-2.0 */
/* A plan with a reason in every row: what search.c decided, for people and for `narrow report`. */
#ifndef NARROW_PLAN_REASONS_H
#define NARROW_PLAN_REASONS_H

#include "plan/search.h"

/**
 * A plan of rows by name, layers as in the measurement:
 *
 *     "why": {"damage": .., "damage_measure": "divergence", "bytes": ..,
 *             "by_bits": [{"bits":2,"damage":..,"bytes":..}, ...],
 *             "with_points" (a tensor's: "with_scheme"): [likewise, where that is a choice],
 *             "narrowed": [likewise, widths at which rows narrowed for 16-bit sums are one]}
 *
 * and "time" (seconds) beside every "bytes" of a layer if times are known, "noise_rate" (p_i) and "robustness" (t_i) if
 * t_i was measured. Bytes of a tensor: its values, and those that share its grid.
 *
 * @param items  [measurement->n] of the search
 * @param choices  [measurement->n] choice.h
 * @param narrow  widths of tensors were chosen; else their rows have no width, only reasons
 */
nw_status nw_reasons_plan(nw_plan **out, const nw_search_task *task, const nw_item *items, const int32_t *choices,
                          bool narrow, nw_error *error);

/** What a tensor's item was given into its row: the width, and where DQA is among the options whether it has that. */
void nw_reasons_tensor(nw_plan_tensor *row, const nw_search_task *task, const nw_item *item);

#endif
