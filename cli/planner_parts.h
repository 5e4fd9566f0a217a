/* SPDX-License-Identifier: Apache-2.0 */
/* What planner.c (options, measuring) and planner_search.c (searching) share. */
#ifndef NARROW_CLI_PLANNER_PARTS_H
#define NARROW_CLI_PLANNER_PARTS_H

#include "cli/planner.h"

/** Shows progress of the planner's phase. @param context  the nw_planner */
void nw_planner_show(void *context, int64_t done, int64_t total);

/**
 * Samples to measure with: some of those that calibration kept, spread evenly, as many as fit into memory.
 *
 * @param samples  out: [n, ...] of the network's input; the caller's, also after a failure
 */
nw_status nw_planner_samples(const nw_planner *planner, float **samples, int32_t *n, nw_error *error);

#endif
