/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples stopped half-way through a float network: what the nodes before a cut computed is kept, so that trying
 * something at the cut costs only the tail. Between float/engine.h and measure.c.
 *
 *     nw_prefix *prefix;
 *     NW_TRY(nw_prefix_create(&prefix, model, samples, 128, error));
 *     NW_TRY(nw_prefix_advance(prefix, node, error));                  cuts only move on
 *     for (int32_t b = 0; b < nw_prefix_batches(prefix); b++)
 *         NW_TRY(nw_prefix_finish(prefix, b, NULL, outputs, error));   as often as wanted
 *     nw_prefix_free(prefix);
 *
 * Memory: the tensors alive at the cut, for all samples.
 */
#ifndef NARROW_PLAN_PREFIX_H
#define NARROW_PLAN_PREFIX_H

#include "float/engine.h"

typedef struct nw_prefix nw_prefix;

/**
 * @param model    float network; borrowed. Only what its outputs depend on need be there
 * @param samples  [n_inputs], each [n, ...]; borrowed
 * @param n        samples, >= 1
 */
nw_status nw_prefix_create(nw_prefix **out, const nw_model *model, const float *const *samples, int32_t n,
                           nw_error *error);
void nw_prefix_free(nw_prefix *prefix);

/** Most bytes that tensors at one cut take, per sample. */
size_t nw_prefix_sample_bytes(const nw_model *model);

/** Moves the cut: nodes before `node` are done. Not before where it is. */
nw_status nw_prefix_advance(nw_prefix *prefix, int32_t node, nw_error *error);

/** Samples run in batches; those of batch b, and the first of them. */
int32_t nw_prefix_batches(const nw_prefix *prefix);
int32_t nw_prefix_batch_count(const nw_prefix *prefix, int32_t b);
int32_t nw_prefix_batch_first(const nw_prefix *prefix, int32_t b);

/** Samples that an engine run takes: buffers for outputs have room for so many, the last batch repeats some. */
int32_t nw_prefix_batch_size(const nw_prefix *prefix);

/** A tensor that is alive at the cut: [batch size, ...] of batch b; NULL if it is not. */
const float *nw_prefix_tensor(const nw_prefix *prefix, int32_t b, int32_t tensor);

/** The engine, for edits and weights that hold until they are taken back. */
nw_float_engine *nw_prefix_engine(nw_prefix *prefix);

/**
 * Runs the tail.
 *
 * @param instead  tensor given in place of the one at the cut, or NULL
 * @param outputs  [n_outputs], each [batch size, ...]
 */
nw_status nw_prefix_finish(nw_prefix *prefix, int32_t b, const nw_float_override *instead, float *const *outputs,
                           nw_error *error);

#endif
