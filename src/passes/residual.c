/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass: ADD(conv(x), r) becomes the convolution with r as its residual, executed where the ADD stood, with the ADD's
 * clamp. Of two convolutions the one that comes later takes the other's result. Nobody but the ADD may use the
 * convolution's result, and it must not be clamped already.
 */
#include <math.h>

#include "passes/graph.h"

/** Index of the convolution that makes the tensor and may take a residual, or NW_NONE. */
static int32_t candidate(const nw_graph *graph, int32_t tensor)
{
    const nw_node *node = nw_graph_sole_producer(graph, tensor);
    if (!node || (node->op != NW_OP_CONV && node->op != NW_OP_CONV_TRANSPOSE))
        return NW_NONE;
    const bool is_free = node->inputs[3] == NW_NONE && node->lo == -INFINITY && node->hi == INFINITY;
    return is_free ? graph->producer[tensor] : NW_NONE;
}

nw_status nw_pass_residual(nw_graph *graph)
{
    for (int32_t k = 0; k < graph->model->n_nodes; k++) {
        nw_node *add = &graph->model->nodes[k];
        if (!nw_is_live(add) || add->op != NW_OP_ADD)
            continue;
        const nw_tensor *a = &graph->model->tensors[add->inputs[0]], *b = &graph->model->tensors[add->inputs[1]];
        if (a->data || b->data || !nw_same_dims(a, b))
            continue;
        const int32_t first = candidate(graph, add->inputs[0]), second = candidate(graph, add->inputs[1]);
        if (first == NW_NONE && second == NW_NONE)
            continue;
        nw_node *conv = &graph->model->nodes[first > second ? first : second]; /* NW_NONE is below every index */
        nw_graph_set_input(graph, conv, 3, first > second ? add->inputs[1] : add->inputs[0]);
        conv->lo = add->lo;
        conv->hi = add->hi;
        nw_graph_move(graph, conv, add);
    }
    return NW_OK;
}
