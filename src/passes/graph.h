/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model under change, with the two questions every pass asks answered in constant time: who makes a tensor, and how
 * many use it. Passes change nodes only through these functions. A removed node stays in its place with output NW_NONE
 * until nw_graph_compact.
 */
#ifndef NARROW_PASSES_GRAPH_H
#define NARROW_PASSES_GRAPH_H

#include "base/error.h"
#include "model/model.h"

typedef struct nw_graph {
    nw_model *model;
    int32_t *producer; /* [n_tensors] node index or NW_NONE */
    int32_t *n_uses;   /* [n_tensors] node inputs and graph outputs */
    size_t copy_limit; /* elements of shared constants that may still be copied */
    nw_error *error;
} nw_graph;

/** Indexes the model. nw_graph_free it, also after a failure. */
nw_status nw_graph_init(nw_graph *graph, nw_model *model, nw_error *error);
void nw_graph_free(nw_graph *graph);

/** The live node that makes the tensor, or NULL. */
nw_node *nw_graph_producer(const nw_graph *graph, int32_t tensor);
/** The same, if nobody but one consumer uses the tensor. */
nw_node *nw_graph_sole_producer(const nw_graph *graph, int32_t tensor);
static inline bool nw_is_live(const nw_node *node)
{
    return node->output != NW_NONE;
}
static inline bool nw_is_linear(const nw_node *node)
{
    return node->op == NW_OP_CONV || node->op == NW_OP_CONV_TRANSPOSE || node->op == NW_OP_GEMM;
}
bool nw_is_constant(const nw_graph *graph, int32_t tensor);
bool nw_is_graph_input(const nw_graph *graph, int32_t tensor);
bool nw_is_graph_output(const nw_graph *graph, int32_t tensor);
bool nw_same_dims(const nw_tensor *a, const nw_tensor *b);

/** Input i of a node becomes `tensor` (NW_NONE for absent). */
void nw_graph_set_input(nw_graph *graph, nw_node *node, int32_t i, int32_t tensor);
/** The node has `n` inputs from now on; further ones are absent. */
nw_status nw_graph_resize_inputs(nw_graph *graph, nw_node *node, int32_t n);
/** Removes a node; its inputs lose a user. */
void nw_graph_remove(nw_graph *graph, nw_node *node);
/** Removes `node` and lets `producer` make its output instead of the tensor in between. */
void nw_graph_take_output(nw_graph *graph, nw_node *producer, nw_node *node);
/** Moves `node` to the place of `position`, which is removed; the node makes position's output from now on. */
void nw_graph_move(nw_graph *graph, nw_node *node, nw_node *position);
/**
 * A constant that only this node input uses: the present tensor if nobody shares it, else a copy.
 * @param rank, dims  its shape from now on, with the same number of elements
 */
nw_status nw_graph_own_constant(nw_graph *graph, nw_node *node, int32_t i, int32_t rank, const int32_t *dims);
/** Input i of the node becomes a new constant of zeros named after the node. */
nw_status nw_graph_new_constant(nw_graph *graph, nw_node *node, int32_t i, const char *suffix, int32_t rank,
                                const int32_t *dims);

/** Removes nodes whose results nobody uses. */
void nw_graph_remove_dead(nw_graph *graph);
/** Drops removed nodes and unused tensors, renumbers, and ends the use of `graph`. Checks the order. */
nw_status nw_graph_compact(nw_graph *graph);

/* ---- the passes, one file each, in the order of passes.c ---- */
nw_status nw_pass_noop(nw_graph *graph);
nw_status nw_pass_view(nw_graph *graph);
nw_status nw_pass_activation(nw_graph *graph);
nw_status nw_pass_affine(nw_graph *graph);
nw_status nw_pass_gemm(nw_graph *graph);
nw_status nw_pass_clamp(nw_graph *graph);
nw_status nw_pass_pad(nw_graph *graph);
nw_status nw_pass_residual(nw_graph *graph);

#endif
