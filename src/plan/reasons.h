/* SPDX-License-Identifier: Apache-2.0 */
/* A plan with a reason in every row: what search.c decided, for people and for `narrow report`. */
#ifndef NARROW_PLAN_REASONS_H
#define NARROW_PLAN_REASONS_H

#include "plan/search.h"

/**
 * A plan of rows by name, layers as in the measurement:
 *
 *     "why": {"damage": .., "damage_measure": "divergence", "bytes": ..,
 *             "by_bits": [{"bits":2,"damage":..,"bytes":..}, ...]}
 *
 * and "time" (seconds) beside every "bytes" if times are known. Tensors that were measured have rows without a width, and
 * damages alone.
 *
 * @param items  [measurement->n] of the search
 * @param bits   [measurement->n]
 */
nw_status nw_reasons_plan(nw_plan **out, const nw_search_task *task, const nw_item *items, const int32_t *bits,
                          nw_error *error);

#endif
