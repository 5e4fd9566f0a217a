/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The float engine: runs a float nw_model with oneDNN. It is the source of calibration data and the baseline every
 * integer network is measured against.
 *
 *     nw_float_engine *engine;
 *     NW_TRY(nw_float_create(&engine, model, 8, error));    batch of 8
 *     nw_float_observe(engine, collect, &statistics); calibration: sees every tensor
 *     nw_float_run(engine, inputs, outputs, error);
 *     nw_float_free(engine);
 *
 * Data at this interface is dense NCHW [batch, ...]; inside, tensors lie as oneDNN likes them best. Tensors, scratch
 * memory and reordered weights are allocated by nw_float_create, copies for observers and editors while it runs, as
 * large as the tensor shown; small reorder objects are made when a tensor is first copied in or out. An engine is used
 * by one thread at a time; results are the same for the same number of threads on the same machine, and may differ in
 * the last bits elsewhere.
 *
 * Threads: oneDNN runs on OpenMP. nw_float_set_threads before nw_float_create says how many. An idle OpenMP team spins
 * for some milliseconds, so call nw_float_release_threads before timing anything that brings threads of its own. With
 * more than one thread on a busy machine the team's own barriers spin too, and one run can take a hundred times longer;
 * GOMP_SPINCOUNT=0 ends that, but libgomp reads it before main: a program has to be started with it (a command that
 * finds it unset can set it and exec itself).
 */
#ifndef NARROW_FLOAT_ENGINE_H
#define NARROW_FLOAT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

typedef struct nw_float_engine nw_float_engine;

/** Threads that engines created from now on by the calling thread use, >= 1. The default is OMP_NUM_THREADS or all. */
void nw_float_set_threads(int32_t threads);

/** Ends the idle worker threads of all engines; the next run starts new ones. */
void nw_float_release_threads(void);

/**
 * Prepares a float network, as onnx/ or passes/ leave it, for runs on `batch` samples.
 *
 * @param model  borrowed; must outlive the engine and stay unchanged, its constants are used in place where possible
 * @param batch  1 to 65536; dims[0] of every activation becomes batch
 * @return NW_ERROR_UNSUPPORTED naming a node that has no float implementation; NW_ERROR_DATA for contradictory shapes;
 *         NW_ERROR_MEMORY; NW_ERROR_USAGE for a bad batch
 */
nw_status nw_float_create(nw_float_engine **out, const nw_model *model, int32_t batch, nw_error *error);
void nw_float_free(nw_float_engine *engine);

/**
 * Runs the network.
 *
 * @param inputs   [n_inputs] dense data of model->inputs, each [batch, ...]; not written
 * @param outputs  [n_outputs] memory for model->outputs, each [batch, ...]; an entry may be NULL
 */
nw_status nw_float_run(nw_float_engine *engine, const float *const *inputs, float *const *outputs, nw_error *error);

/** A tensor given from outside instead of being computed: dense [batch, ...]. */
typedef struct nw_float_override {
    int32_t tensor;
    const float *data; /* borrowed for the call */
} nw_float_override;

/**
 * Runs the nodes first_node <= i < end_node only, on tensors given from outside.
 *
 * Every tensor that these nodes (or an output asked for) read and do not produce must be in `overrides`:
 * nw_float_needs tells which. Overrides that nobody reads are ignored. The observer sees what is computed.
 *
 * @param outputs  as in nw_float_run; NULL for none at all. Only outputs computed by these nodes or given as overrides
 * @return NW_ERROR_USAGE naming a missing tensor
 */
nw_status nw_float_run_from(nw_float_engine *engine, int32_t first_node, int32_t end_node,
                            const nw_float_override *overrides, int32_t n_overrides, float *const *outputs,
                            nw_error *error);

/** Whether nodes first_node <= i < end_node read a tensor that none of them produces (constants never count). */
bool nw_float_needs(const nw_float_engine *engine, int32_t first_node, int32_t end_node, int32_t tensor);

/** Sees one tensor: dense data [batch, ...], valid during the call. */
typedef void nw_float_observer(void *context, int32_t tensor, const float *data, size_t n_elements);

/** Changes one tensor in place. */
typedef void nw_float_editor(void *context, int32_t tensor, float *data, size_t n_elements);

/**
 * Calls `observer` for every graph input, then for every node's output in node order, after a tensor's editor.
 * NULL ends it. Without observer and editors no copies to the dense layout are made.
 */
void nw_float_observe(nw_float_engine *engine, nw_float_observer *observer, void *context);

/**
 * Calls `editor` for one tensor (graph input or node output) when it has been computed and before anything reads it:
 * simulated quantization, injected noise. NULL ends it. The output of a Reshape may share its memory with the Reshape's
 * input, so that other readers of that input see the edit too if they run later.
 */
nw_status nw_float_edit(nw_float_engine *engine, int32_t tensor, nw_float_editor *editor, void *context,
                        nw_error *error);

/**
 * Replaces the weights of a CONV, CONV_TRANSPOSE or GEMM node inside the engine; the model is left alone.
 *
 * @param weights  as the model's weight tensor: its shape and order; NULL keeps them
 * @param bias     [O], also for a node without bias; NULL keeps it
 */
nw_status nw_float_set_weights(nw_float_engine *engine, int32_t node, const float *weights, const float *bias,
                               nw_error *error);

int32_t nw_float_batch(const nw_float_engine *engine);

/** Bytes the engine holds: activations, scratch memory, weights that were put into another order. */
size_t nw_float_memory(const nw_float_engine *engine);

/** What computes a node: a oneDNN implementation ("jit:avx2"), "plain" or "alias"; lives as long as the engine. */
const char *nw_float_implementation(const nw_float_engine *engine, int32_t node);

#endif
