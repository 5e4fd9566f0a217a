/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attacks on the sums of linear layers: whoever packed the weights may have proven whatever he likes, here his kernel
 * has to show it. Written without the pack functions' notion of lanes, runs and pairs: it knows what the file states
 * (weights, limits, zero point) and 64-bit integers.
 *
 *     nw_kernels kernels;
 *     nw_kernels_init(&kernels, isa);
 *     NW_TRY(nw_attack_node(model, node, &kernels, error));
 */
#ifndef NARROW_RUNTIME_ATTACK_H
#define NARROW_RUNTIME_ATTACK_H

#include "kernels/kernels.h"
#include "model/model.h"

/**
 * Bounds of every row of a linear node from the stored facts, in 64 bits: |partial sums| and |acc + z| below 2^31, and
 * z equal to minus the zero point times the sum of the weights.
 *
 * @return NW_GOAL_MISSED naming node and channel
 */
nw_status nw_attack_bounds(const nw_model *model, int32_t node, nw_error *error);

/**
 * Packs the node's weights with `kernels`, in blocks of rows, and lets them sum the worst inputs that the limits allow:
 * for every row all codes at the ends that make its sum highest and lowest, which is where every lane of every run is
 * highest and lowest too, and prefixes of k at one end with the rest at the other. The row's sum is compared with
 * 64-bit arithmetic. A 3 x 3 layer is attacked a second time through Winograd's convolution, if the family has it.
 *
 * @return NW_GOAL_MISSED naming node, channel and both sums; NW_ERROR_MEMORY
 */
nw_status nw_attack_node(const nw_model *model, int32_t node, const nw_kernels *kernels, nw_error *error);

#endif
