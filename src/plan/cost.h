/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What widths cost: bytes of the .nw file, to the byte, and bytes of the arena. A network is quantized once, as cheaply
 * as can be, its weights cleared; its widths and its plan can then be anything, and writing it tells the size.
 *
 *     nw_costs *costs;
 *     NW_TRY(nw_costs_create(&costs, model, calibration, &options, error));
 *     double bytes = nw_costs_layer_bytes(costs, node, 3);
 *     NW_TRY(nw_costs_file_bytes(&size, costs, plan, error));
 *     nw_costs_set_activation(costs, tensor, 4);
 *     NW_TRY(nw_costs_arena(&arena, costs, true, error));
 *     nw_costs_free(costs);
 */
#ifndef NARROW_PLAN_COST_H
#define NARROW_PLAN_COST_H

#include "quant/quantize.h"
#include "runtime/layout.h"

typedef struct nw_costs {
    nw_model *skeleton; /* owned; weights 0 */
    int32_t *node_of;   /* [nodes of the float network] owned; the same node in the skeleton, or NW_NONE */
    int32_t n_nodes;
    nw_rounding rounding;
    nw_book_kind book;
    nw_activation_kind kind;
    int32_t *codes_of;  /* [tensors of the float network] owned; the tensor of its codes in the skeleton, or NW_NONE */
    nw_quant *as_made;  /* [tensors of the skeleton] owned, with limits; whatever widths they have now */
    nw_fusion fusion;   /* of the runs whose arena counts; none unless set */
} nw_costs;

/** How the arena is laid out: on one thread, in packed storage or bytes. */
nw_layout_options nw_costs_storage(const nw_costs *costs, bool packed);

/** Options for a network whose structure is right and whose weights do not matter: quickly made, 8 bits, no plan. */
nw_quantize_options nw_quickest(const nw_quantize_options *options);

/**
 * node_of[i] = the linear node of an integer network that float node i became, or NW_NONE. @param node_of  [n_nodes]
 */
void nw_match_nodes(int32_t *node_of, const nw_model *model, const nw_model *integer);

nw_status nw_costs_create(nw_costs **out, const nw_model *model, const nw_calibration *calibration,
                          const nw_quantize_options *options, nw_error *error);
void nw_costs_free(nw_costs *costs);

/** Gives the codes of a tensor of the float network, if it has any, a width: 1 to 8 bits. */
void nw_costs_set_activation(nw_costs *costs, int32_t tensor, int32_t bits);

/** Bytes of activations while the network runs on one thread. @param packed  with packed storage, else all in bytes */
nw_status nw_costs_arena(size_t *bytes, const nw_costs *costs, bool packed, nw_error *error);

/** Bytes of a layer's packed weights; what else a layer has in the file does not depend on its width. */
double nw_costs_layer_bytes(const nw_costs *costs, int32_t node, int32_t bits);

/**
 * Bytes of the file that nw_quantize and nw_model_write would make by a plan without expressions, every layer with the
 * options' rounding.
 */
nw_status nw_costs_file_bytes(size_t *bytes, nw_costs *costs, const nw_plan *plan, nw_error *error);

#endif
