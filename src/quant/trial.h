/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single layers and single tensors at any width, everything around them float: what the planner asks "what if" with.
 * Weights are rounded as nw_quantize would, on inputs of the float network, the mean of the error taken back by the
 * bias if empirical bias correction is wanted; tensors are rounded to the grid nw_quantize would choose.
 *
 *     nw_trials *trials;
 *     NW_TRY(nw_trials_create(&trials, model, calibration, &options, error));
 *     NW_TRY(nw_trials_open(trials, node, n_samples, error));
 *     NW_TRY(nw_trials_see(trials, data, n, error));             its inputs, any number of times
 *     NW_TRY(nw_trials_round(trials, 3, 0, weights, bias, error));  any widths
 *     nw_trials_free(trials);
 */
#ifndef NARROW_QUANT_TRIAL_H
#define NARROW_QUANT_TRIAL_H

#include "quant/quantize.h"

typedef struct nw_trials nw_trials;

/**
 * @param options  rounding, ranges, equalization and bias correction count; widths and plan do not. Copied
 * @return NW_ERROR_UNSUPPORTED naming a node that cannot be quantized; NW_ERROR_MEMORY
 */
nw_status nw_trials_create(nw_trials **out, const nw_model *model, const nw_calibration *calibration,
                           const nw_quantize_options *options, nw_error *error);
void nw_trials_free(nw_trials *trials);

/** Whether the node is a linear layer that becomes integer. */
bool nw_trials_is_layer(const nw_trials *trials, int32_t node);

/** Whether the tensor is the first of those that share one grid, and holds codes; and whether one belongs to it. */
bool nw_trials_is_group(const nw_trials *trials, int32_t tensor);
bool nw_trials_in_group(const nw_trials *trials, int32_t tensor, int32_t group);

/** Whether a group may have DQA's extra bits: if the options want them, but for the network's inputs. */
bool nw_trials_has_scheme(const nw_trials *trials, int32_t tensor);

/** Whether a tensor's producer chooses its codes (it is rounded then); the others only pass codes on. */
bool nw_trials_is_source(const nw_trials *trials, int32_t tensor);

/**
 * How many weight vectors beyond one per output channel a layer may be tried with: the options' budget of its own
 * multiply-accumulates, at least 1. 0 without a budget, or where there can be none.
 */
int32_t nw_trials_extra_points(const nw_trials *trials, int32_t node);

/** Begins a layer whose inputs will be shown `n_samples` samples in all. NW_ERROR_MEMORY. */
nw_status nw_trials_open(nw_trials *trials, int32_t node, int64_t n_samples, nw_error *error);

/** Gives back what the open layer, if there is one, takes. */
void nw_trials_close(nw_trials *trials);

/** Shows inputs of the layer. @param data  [n, C, H, W] */
nw_status nw_trials_see(nw_trials *trials, const float *data, int32_t n, nw_error *error);

/**
 * Rounds the open layer's weights.
 *
 * @param bits     1 to 8
 * @param extra    weight vectors beyond one per output channel, given to the channels whose output errs most: 0 to
 *                 nw_trials_extra_points
 * @param weights  as the model's weight tensor: its shape and order; out
 * @param bias     [O] out
 */
nw_status nw_trials_round(nw_trials *trials, int32_t bits, int32_t extra, float *weights, float *bias, nw_error *error);

/**
 * The same, rows narrowed first as `--acc 16` narrows them (sums.c), whatever the options' accumulator, so that sums
 * stay in 16 bits for longer. One weight vector per channel.
 */
nw_status nw_trials_narrow(nw_trials *trials, int32_t bits, float *weights, float *bias, nw_error *error);

/** Bytes of the weights rounded last in a file that holds them coded: as packed where that is shorter. */
size_t nw_trials_coded_bytes(const nw_trials *trials);

/**
 * Rounds a tensor in place.
 *
 * @param bits    1 to 8: grids for a width are chosen when it is first asked for
 * @param scheme  with DQA's extra bits; else all channels alike
 * @param data    [n, C, ...]
 */
nw_status nw_trials_round_tensor(nw_trials *trials, int32_t bits, bool scheme, int32_t tensor, int32_t n, float *data,
                                 size_t n_elements, nw_error *error);

#endif
