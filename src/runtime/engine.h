/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of an engine, for those who look at intermediate tensors: verify, compare, bench, bias correction.
 * include/narrow/narrow.h is the way in for everybody else.
 *
 * A model becomes a list of steps: each node one or a few jobs (ops/job.h), each with the picture whose halo has to be
 * filled before it. Running is walking the list; nothing is decided and nothing allocated then.
 */
#ifndef NARROW_RUNTIME_ENGINE_H
#define NARROW_RUNTIME_ENGINE_H

#include "base/geometry.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "narrow/narrow.h"

/** Called after a node: `view` holds the values of its output, valid during the call; dims and strides in its shape. */
typedef void nw_engine_observer(void *context, int32_t node, const nw_view *view);

typedef struct nw_run_options {
    nw_threads *threads;
    nw_engine_observer *observer; /* NULL: none */
    void *context;
    uint64_t *node_nanoseconds; /* [n_nodes] NULL or: time spent in each node is added here */
    uint64_t *coding_nanoseconds; /* NULL or: time spent packing and unpacking is added here, all threads together */
} nw_run_options;

/** nw_engine_run with a look inside. Only an observer of packed storage makes it allocate: NW_ERROR_MEMORY. */
nw_status nw_engine_run_with(nw_engine *engine, const nw_input *inputs, float *const *outputs,
                             const nw_run_options *options);

/** What is known about an engine. */
nw_isa nw_engine_isa(const nw_engine *engine);
/** Bytes of activations, and of everything (packed weights, parameters, step lists, activations). */
size_t nw_engine_activation_size(const nw_engine *engine);
size_t nw_engine_total_size(const nw_engine *engine);

/** How activations were stored and moved in all runs of an engine, for reports. */
typedef struct nw_traffic {
    uint64_t moved;       /* bytes of activations that nodes read and write in one run, on average */
    int32_t n_stored;     /* tensors */
    int32_t n_fused;      /* tensors between layers that run in one pass */
    uint64_t values;      /* codes that were stored, in all runs */
    uint64_t stored_bits; /* that they took */
    uint64_t rows, rows_dropped; /* rows stored, and those of them that lost their low bits to the arena budget */
    size_t stored_size, stored_full, stored_least; /* bytes, coded rows only: what an arena budget limits (layout.h) */
} nw_traffic;

nw_traffic nw_engine_traffic(const nw_engine *engine);

/** Name of the kernel that computes a node; "none" if it needs no work. */
const char *nw_engine_kernel(const nw_engine *engine, int32_t node);
/**
 * How the sums of a linear node are formed. False, *counts untouched: no linear node, or every product goes to 32 bits.
 */
bool nw_engine_count_runs(const nw_engine *engine, int32_t node, nw_run_counts *counts);

#endif
