/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator hands to the engine: a function over tiles that may run in any order, on any thread, in any split,
 * and always computes the same bytes.
 *
 *     nw_job job = nw_add_make(&params, arena);
 *     job.run(job.state, 0, job.n_tiles);          // or disjoint ranges on several threads
 *
 * Operators that compute an output row from a few input rows can also run row by row, with operands elsewhere than
 * where they lay when the job was made: a strip of rows may then stand for a picture of which only those rows are in
 * memory.
 */
#ifndef NARROW_OPS_JOB_H
#define NARROW_OPS_JOB_H

#include <stddef.h>
#include <stdint.h>

/** Output rows to compute, and where the operands lie now. */
typedef struct nw_rows {
    int32_t begin, end; /* output rows [begin, end) */
    int32_t first;      /* row of input 0 that is the first in memory */
    ptrdiff_t x[2];     /* bytes to add to every address of the inputs (linear: picture and residual) */
    ptrdiff_t y;        /* the same for the output */
} nw_rows;

struct nw_run_counts;

typedef struct nw_job {
    /** Computes tiles [begin, end). `state` is what the operator put into the arena. */
    void (*run)(const void *state, int32_t begin, int32_t end);
    const void *state;
    const char *kernel; /* name of the kernel, for bench */
    int32_t n_tiles;
    /** Computes some output rows, all tiles of them; NULL where an operator only runs whole. */
    void (*run_rows)(const void *state, const nw_rows *rows);
    /**
     * Adds how the sums of a linear layer are formed; NULL for other operators and where all of it happens in 32 bits.
     */
    void (*count_runs)(const void *state, struct nw_run_counts *counts);
} nw_job;

/** Work of one tile below which splitting it further costs more than it gains; in multiply-accumulates or bytes. */
#define NW_TILE_GRAIN 65536

#endif
