/* SPDX-License-Identifier: Apache-2.0 */
/* Pass: nodes that change nothing leave; a Reshape behind a Reshape reads the first one's input. */
#include <math.h>
#include <string.h>

#include "passes/graph.h"

static bool is_identity_perm(const nw_node *node, int32_t rank)
{
    for (int32_t i = 0; i < rank; i++)
        if (node->perm[i] != i)
            return false;
    return true;
}

static bool is_unit_window(const nw_window *w)
{
    for (int i = 0; i < 2; i++)
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->pad[i] || w->pad[i + 2])
            return false;
    return true;
}

static bool changes_nothing(const nw_graph *graph, const nw_node *node)
{
    const nw_tensor *in = &graph->model->tensors[node->inputs[0]], *out = &graph->model->tensors[node->output];
    if (!nw_same_dims(in, out))
        return false;
    switch (node->op) {
    case NW_OP_RESHAPE:
    case NW_OP_SLICE:  /* steps are positive: as many elements are all of them, in order */
    case NW_OP_PAD:
    case NW_OP_RESIZE: /* every rule of coordinates maps i to i */
        return true;
    case NW_OP_CONCAT:
        return node->n_inputs == 1;
    case NW_OP_TRANSPOSE:
        return is_identity_perm(node, in->rank);
    case NW_OP_CLIP:
        return node->lo == -INFINITY && node->hi == INFINITY;
    case NW_OP_MAX_POOL:
    case NW_OP_AVERAGE_POOL:
        return is_unit_window(&node->window);
    default:
        return false;
    }
}

/** Axes of one element may trade places freely: a batch of one that a Transpose moved goes back to the front. */
static void keep_batch_first(const nw_graph *graph, nw_node *node)
{
    const nw_tensor *in = &graph->model->tensors[node->inputs[0]];
    if (in->dims[0] != 1 || in->dims[node->perm[0]] != 1)
        return;
    for (int32_t i = 1; i < in->rank; i++)
        if (node->perm[i] == 0) {
            node->perm[i] = node->perm[0];
            node->perm[0] = 0;
        }
}

/**
 * Removes the node. Its consumers read its input; if the network's output hangs on it, the input's producer makes that
 * output instead, so that its name stays, which needs the input to have no other user.
 */
static void bypass(nw_graph *graph, nw_node *node)
{
    const int32_t input = node->inputs[0], output = node->output;
    nw_node *producer = nw_graph_sole_producer(graph, input);
    if (producer) {
        nw_graph_take_output(graph, producer, node);
        return;
    }
    if (nw_is_graph_output(graph, output))
        return;
    const int32_t position = (int32_t)(node - graph->model->nodes); /* users come later */
    for (int32_t k = position + 1; k < graph->model->n_nodes && graph->n_uses[output] > 0; k++) {
        nw_node *user = &graph->model->nodes[k];
        for (int32_t i = 0; i < user->n_inputs; i++)
            if (user->inputs[i] == output)
                nw_graph_set_input(graph, user, i, input);
    }
    nw_graph_remove(graph, node);
}

nw_status nw_pass_noop(nw_graph *graph)
{
    for (int32_t k = 0; k < graph->model->n_nodes; k++) {
        nw_node *node = &graph->model->nodes[k];
        if (!nw_is_live(node))
            continue;
        if (node->op == NW_OP_TRANSPOSE)
            keep_batch_first(graph, node);
        const nw_node *before = nw_graph_producer(graph, node->inputs[0]);
        if (node->op == NW_OP_RESHAPE && before && before->op == NW_OP_RESHAPE)
            nw_graph_set_input(graph, node, 0, before->inputs[0]);
        if (changes_nothing(graph, node))
            bypass(graph, node);
    }
    return NW_OK;
}
