/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass: a RELU or CLIP becomes the clamp of the node before it. It may stand behind operators that only select or move
 * elements: max(relu(x)) = relu(max(x)). A linear RESIZE takes means, so it stays in its place.
 */
#include <math.h>

#include "passes/graph.h"

static bool only_moves(const nw_node *node)
{
    return node->op == NW_OP_MAX_POOL || node->op == NW_OP_RESHAPE || node->op == NW_OP_TRANSPOSE ||
           node->op == NW_OP_SLICE || (node->op == NW_OP_RESIZE && node->resize_mode == NW_RESIZE_NEAREST);
}

static float clamped(float x, float lo, float hi)
{
    return fminf(fmaxf(x, lo), hi);
}

/** The node whose result is clamped, if it can do that itself and nobody sees the result unclamped. */
static nw_node *find_target(const nw_graph *graph, const nw_node *node)
{
    nw_node *before = nw_graph_sole_producer(graph, node->inputs[0]);
    while (before && only_moves(before))
        before = nw_graph_sole_producer(graph, before->inputs[0]);
    return before && (nw_is_linear(before) || before->op == NW_OP_ADD) ? before : NULL;
}

nw_status nw_pass_clamp(nw_graph *graph)
{
    for (int32_t k = 0; k < graph->model->n_nodes; k++) {
        nw_node *node = &graph->model->nodes[k];
        if (!nw_is_live(node) || (node->op != NW_OP_RELU && node->op != NW_OP_CLIP))
            continue;
        nw_node *target = find_target(graph, node);
        if (!target)
            continue;
        const float lo = node->op == NW_OP_RELU ? 0.0f : node->lo, hi = node->op == NW_OP_RELU ? INFINITY : node->hi;
        target->lo = clamped(target->lo, lo, hi); /* two clamps in a row are one: clamp its ends by the second */
        target->hi = clamped(target->hi, lo, hi);
        nw_graph_take_output(graph, nw_graph_producer(graph, node->inputs[0]), node);
    }
    return NW_OK;
}
