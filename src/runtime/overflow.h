/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often the sums of linear layers leave 16 bits on real data: what a plain int16 accumulator would have done to
 * them. An observer of the engine: it looks at the codes that every linear node read and sums them again, one product
 * after the other in the order of k, as the reference does; padding counts as the zero point it is. Slow, and apart
 * from every kernel.
 *
 *     nw_overflow *overflow;
 *     NW_TRY(nw_overflow_create(&overflow, model, error));
 *     nw_engine_run_with(engine, inputs, outputs,
 *                        &(nw_run_options){.observer = nw_overflow_observe, .context = overflow});
 *     nw_overflow_counts(overflow, node)->sums_outside
 *     nw_overflow_free(overflow);
 */
#ifndef NARROW_RUNTIME_OVERFLOW_H
#define NARROW_RUNTIME_OVERFLOW_H

#include "model/model.h"
#include "runtime/engine.h"

/**
 * Of one linear node, over all runs. "Outside": below -32768 or above 32767.
 *
 * A sum is acc of a row (every point of an output channel has its own) at one output pixel, before the zero-point term
 * z; centred: acc + z, the sum over W (x - z_x). A partial sum is what has been added up after a product, the last one
 * too. Runs: where exact sums may be formed in 16 bits (accumulator auto and 16), the totals of each lane's runs as
 * limits and weights prove them: panels of 16 rows, steps of four columns in the order of k, two products a lane.
 * Kernels choose their own steps and orders by the same proof; an honest proof leaves runs_outside 0.
 */
typedef struct nw_overflow_count {
    uint64_t sums, sums_outside, centred_outside;
    uint64_t partial_sums, partial_sums_outside;
    uint64_t runs, runs_outside;
    int32_t lowest, highest; /* sum; 0 if none was counted */
} nw_overflow_count;

typedef struct nw_overflow nw_overflow;

/** @param model  valid and integer; borrowed until nw_overflow_free. NW_ERROR_MEMORY */
nw_status nw_overflow_create(nw_overflow **out, const nw_model *model, nw_error *error);
void nw_overflow_free(nw_overflow *overflow);

/** nw_engine_observer; context: the nw_overflow. Allocates nothing. */
void nw_overflow_observe(void *context, int32_t node, const nw_view *view);

/** NULL for a node that is not linear. */
const nw_overflow_count *nw_overflow_counts(const nw_overflow *overflow, int32_t node);

#endif
