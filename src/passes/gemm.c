/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass: a GEMM becomes a CONV. Behind a flattening of [1, C, H, W] its kernel is the whole plane: weights [O, C*H*W] in
 * the order of the flattening are weights [O, C, H, W] as they stand. Otherwise it is a 1 x 1 CONV on [1, K].
 * A Reshape between [1, C, 1, 1] and [1, C] behind a convolution disappears: the convolution makes that shape.
 */
#include "passes/graph.h"

static nw_status to_conv(nw_graph *graph, nw_node *node)
{
    const nw_model *model = graph->model;
    const nw_node *flatten = nw_graph_producer(graph, node->inputs[0]);
    const nw_tensor *weights = &model->tensors[node->inputs[1]];
    int32_t dims[4] = {weights->dims[0], weights->dims[1], 1, 1};
    if (flatten && flatten->op == NW_OP_RESHAPE && model->tensors[flatten->inputs[0]].rank == 4 &&
        model->tensors[flatten->inputs[0]].dims[0] == 1) {
        for (int i = 1; i < 4; i++)
            dims[i] = model->tensors[flatten->inputs[0]].dims[i];
        nw_graph_set_input(graph, node, 0, flatten->inputs[0]);
    }
    NW_TRY(nw_graph_resize_inputs(graph, node, 4));
    NW_TRY(nw_graph_own_constant(graph, node, 1, 4, dims));
    node->op = NW_OP_CONV;
    node->groups = 1;
    node->window = (nw_window){.kernel = {dims[2], dims[3]}, .stride = {1, 1}, .dilation = {1, 1}};
    return NW_OK;
}

/** True for a reshape between a vector's two shapes. */
static bool is_vector_reshape(const nw_graph *graph, const nw_node *node)
{
    if (node->op != NW_OP_RESHAPE)
        return false;
    const nw_tensor *in = &graph->model->tensors[node->inputs[0]], *out = &graph->model->tensors[node->output];
    if ((in->rank != 2 && in->rank != 4) || (out->rank != 2 && out->rank != 4) || in->dims[0] != 1 || out->dims[0] != 1)
        return false;
    return in->dims[1] == out->dims[1] && nw_tensor_elements(in) == (size_t)in->dims[1];
}

nw_status nw_pass_gemm(nw_graph *graph)
{
    for (int32_t k = 0; k < graph->model->n_nodes; k++) {
        nw_node *node = &graph->model->nodes[k];
        if (nw_is_live(node) && node->op == NW_OP_GEMM)
            NW_TRY(to_conv(graph, node));
    }
    for (int32_t k = 0; k < graph->model->n_nodes; k++) {
        nw_node *node = &graph->model->nodes[k];
        if (!nw_is_live(node) || !is_vector_reshape(graph, node))
            continue;
        nw_node *producer = nw_graph_sole_producer(graph, node->inputs[0]);
        if (producer && nw_is_linear(producer) && producer->inputs[3] == NW_NONE)
            nw_graph_take_output(graph, producer, node);
    }
    return NW_OK;
}
