/* SPDX-License-Identifier: Apache-2.0 */
/* Spreading a job's tiles over a team. The split never changes a byte: tiles are independent. */
#ifndef NARROW_RUNTIME_THREADS_H
#define NARROW_RUNTIME_THREADS_H

#include "narrow/narrow.h"
#include "ops/job.h"

/**
 * Runs all tiles; with threads NULL or few tiles on the calling thread. The floating-point environment is set inside.
 */
void nw_threads_run(nw_threads *threads, const nw_job *job);

/** Processors that are there to work at once, at least 1; 1 without threads. */
int32_t nw_threads_processors(void);

#endif
