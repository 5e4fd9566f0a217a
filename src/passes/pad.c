/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass: zeros padded around H and W become pads of the window behind them: of a CONV, or of an AVERAGE_POOL that has no
 * pads of its own and from then on counts them.
 */
#include "passes/graph.h"

static bool pads_plane_with_zeros(const nw_graph *graph, const nw_node *node)
{
    const int32_t rank = graph->model->tensors[node->output].rank;
    return node->op == NW_OP_PAD && rank == 4 && node->alpha == 0.0f && !node->pads[0] && !node->pads[1] &&
           !node->pads[rank] && !node->pads[rank + 1];
}

/** Pads of the window plus those of the PAD; false when one would reach the size of the kernel. */
static bool add_pads(nw_window *window, const nw_node *pad)
{
    const int32_t added[4] = {pad->pads[2], pad->pads[3], pad->pads[6], pad->pads[7]};
    nw_window sum = *window;
    for (int i = 0; i < 4; i++) {
        const int64_t span = (int64_t)(window->kernel[i % 2] - 1) * window->dilation[i % 2] + 1;
        if ((int64_t)window->pad[i] + added[i] >= span)
            return false;
        sum.pad[i] += added[i];
    }
    *window = sum;
    return true;
}

nw_status nw_pass_pad(nw_graph *graph)
{
    for (int32_t k = 0; k < graph->model->n_nodes; k++) {
        nw_node *node = &graph->model->nodes[k];
        if (!nw_is_live(node) || (node->op != NW_OP_CONV && node->op != NW_OP_AVERAGE_POOL))
            continue;
        const nw_node *pad = nw_graph_producer(graph, node->inputs[0]);
        const int32_t *own = node->window.pad;
        const bool counts = node->op == NW_OP_AVERAGE_POOL;
        if (!pad || !pads_plane_with_zeros(graph, pad) || (counts && (own[0] || own[1] || own[2] || own[3])))
            continue;
        if (!add_pads(&node->window, pad))
            continue;
        node->count_include_pad = counts;
        nw_graph_set_input(graph, node, 0, pad->inputs[0]);
    }
    return NW_OK;
}
