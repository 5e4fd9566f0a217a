/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator hands to the engine: a function over tiles that may run in any order, on any thread, in any split,
 * and always computes the same bytes.
 *
 *     nw_job job = nw_add_make(&params, arena);
 *     job.run(job.state, 0, job.n_tiles);          // or disjoint ranges on several threads
 */
#ifndef NARROW_OPS_JOB_H
#define NARROW_OPS_JOB_H

#include <stddef.h>
#include <stdint.h>

typedef struct nw_job {
    /** Computes tiles [begin, end). `state` is what the operator put into the arena. */
    void (*run)(const void *state, int32_t begin, int32_t end);
    const void *state;
    const char *kernel; /* name of the kernel, for bench */
    int32_t n_tiles;
} nw_job;

/** Work of one tile below which splitting it further costs more than it gains; in multiply-accumulates or bytes. */
#define NW_TILE_GRAIN 65536

#endif
