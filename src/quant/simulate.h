/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quantized network played in the float engine: weights replaced by step * code, every code tensor rounded to its
 * grid and limits right after it was computed. Close to what the integer engine computes, not equal to it; the
 * quantizer uses it to measure (bias correction), never to report.
 *
 *     nw_simulator *simulator;
 *     NW_TRY(nw_simulator_create(&simulator, scheme, batch, true, error));
 *     NW_TRY(nw_simulator_run(simulator, inputs, outputs, error));
 *
 * Fused clamps are carried out by the simulator, not by the float engine, so that it sees what comes before them.
 */
#ifndef NARROW_QUANT_SIMULATE_H
#define NARROW_QUANT_SIMULATE_H

#include "float/engine.h"
#include "quant/scheme.h"

typedef struct nw_simulator nw_simulator;

/**
 * Prepares a run on `batch` samples.
 *
 * @param quantized  false: the float network, with the same view of what comes before the clamps
 */
nw_status nw_simulator_create(nw_simulator **out, const nw_scheme *scheme, int32_t batch, bool quantized,
                              nw_error *error);
void nw_simulator_free(nw_simulator *simulator);

/**
 * Sees the output of a linear node before clamp and rounding; may change it in place.
 *
 * @param values  [batch, n_channels, plane]
 */
typedef void nw_simulator_hook(void *context, int32_t node, float *values, int32_t n_channels, size_t plane);
void nw_simulator_set_hook(nw_simulator *simulator, nw_simulator_hook *hook, void *context);

/** Shows every tensor after rounding, as nw_float_observe. */
void nw_simulator_observe(nw_simulator *simulator, nw_float_observer *observer, void *context);

/** Takes a linear node's weights and biases from the scheme again; allowed while running, for nodes yet to come. */
nw_status nw_simulator_update(nw_simulator *simulator, int32_t node, nw_error *error);

/** Rounds reals to the tensor's grid and clips them to its limits. @param data  [batch, n_channels, plane] */
void nw_simulate_rounding(const nw_tensor_scheme *tensor, int32_t batch, float *data, size_t n_elements);

/** As nw_float_run. */
nw_status nw_simulator_run(nw_simulator *simulator, const float *const *inputs, float *const *outputs,
                           nw_error *error);

#endif
