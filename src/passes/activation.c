/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass: a product of x with a function of x, as exporters spell activations, becomes one elementwise node, so that
 * the quantizer makes one table of it instead of rounding twice and multiplying pictures.
 *
 *     x * sigmoid(x)                                                     SILU
 *     x * hard_sigmoid(x) with 1/6 and 1/2                               HARD_SWISH
 *     x * (clip(x + 3, 0, 6) / 6), (x * clip(x + 3, 0, 6)) / 6           HARD_SWISH    (also times 1/6)
 *     clip(x + 3, 0, 6) / 6                                              HARD_SIGMOID
 *
 * It stands before affine.c, which would fold + 3 and / 6 elsewhere.
 */
#include <math.h>

#include "passes/graph.h"

static bool is_near(float value, float wanted)
{
    return fabsf(value - wanted) <= 1e-6f * fabsf(wanted);
}

/** Whether input i of the node is a constant scalar of about this value. */
static bool is_scalar(const nw_graph *graph, const nw_node *node, int32_t i, float wanted)
{
    const nw_tensor *tensor = &graph->model->tensors[node->inputs[i]];
    return tensor->data && nw_tensor_elements(tensor) == 1 && is_near(tensor->data[0], wanted);
}

/** The x of clip(x + 3, 0, 6), or NW_NONE. Other users of the intermediate results do not matter: they keep theirs. */
static int32_t clipped_sum(const nw_graph *graph, int32_t tensor)
{
    const nw_node *clip = nw_graph_producer(graph, tensor);
    if (!clip || clip->op != NW_OP_CLIP || clip->lo != 0.0f || clip->hi != 6.0f)
        return NW_NONE;
    const nw_node *add = nw_graph_producer(graph, clip->inputs[0]);
    const bool good = add && add->op == NW_OP_ADD && add->lo == -INFINITY && add->hi == INFINITY;
    return good && is_scalar(graph, add, 1, 3.0f) ? add->inputs[0] : NW_NONE;
}

/** Whether the node divides its first input by 6. */
static bool takes_a_sixth(const nw_graph *graph, const nw_node *node)
{
    return (node->op == NW_OP_DIV && is_scalar(graph, node, 1, 6.0f)) ||
           (node->op == NW_OP_MUL && is_scalar(graph, node, 1, 1.0f / 6.0f));
}

/** The function of x that a tensor is: SIGMOID, HARD_SIGMOID (of slope 1/6), CLIP (of x + 3), or NW_OP_COUNT. */
static nw_op factor_of(const nw_graph *graph, int32_t tensor, int32_t x)
{
    const nw_node *node = nw_graph_producer(graph, tensor);
    if (!node)
        return NW_OP_COUNT;
    if (node->op == NW_OP_SIGMOID && node->inputs[0] == x)
        return NW_OP_SIGMOID;
    if (node->op == NW_OP_HARD_SIGMOID && node->inputs[0] == x)
        return is_near(node->alpha, 1.0f / 6.0f) && is_near(node->beta, 0.5f) ? NW_OP_HARD_SIGMOID : NW_OP_COUNT;
    return x != NW_NONE && clipped_sum(graph, tensor) == x ? NW_OP_CLIP : NW_OP_COUNT;
}

/** x and the function that MUL multiplies it by; NW_OP_COUNT if it is no such product. */
static nw_op product_of(const nw_graph *graph, const nw_node *node, int32_t *x)
{
    if (node->op != NW_OP_MUL)
        return NW_OP_COUNT;
    for (int32_t i = 0; i < 2; i++) {
        const nw_op op = factor_of(graph, node->inputs[1 - i], node->inputs[i]);
        *x = node->inputs[i];
        if (op != NW_OP_COUNT)
            return op;
    }
    return NW_OP_COUNT;
}

/** The node becomes op(x), unless a constant gave its result another shape than x has. */
static nw_status become(nw_graph *graph, nw_node *node, nw_op op, int32_t x)
{
    if (!nw_same_dims(&graph->model->tensors[x], &graph->model->tensors[node->output]))
        return NW_OK;
    nw_graph_set_input(graph, node, 0, x);
    NW_TRY(nw_graph_resize_inputs(graph, node, 1));
    node->op = op;
    node->alpha = op == NW_OP_HARD_SIGMOID ? 1.0f / 6.0f : 0.0f;
    node->beta = op == NW_OP_HARD_SIGMOID ? 0.5f : 0.0f;
    return NW_OK;
}

static nw_status visit(nw_graph *graph, nw_node *node)
{
    int32_t x = NW_NONE;
    if (takes_a_sixth(graph, node)) {
        const nw_node *before = nw_graph_producer(graph, node->inputs[0]);
        if (before && product_of(graph, before, &x) == NW_OP_CLIP)
            return become(graph, node, NW_OP_HARD_SWISH, x);
        x = clipped_sum(graph, node->inputs[0]);
        return x == NW_NONE ? NW_OK : become(graph, node, NW_OP_HARD_SIGMOID, x);
    }
    switch (product_of(graph, node, &x)) {
    case NW_OP_SIGMOID:
        return become(graph, node, NW_OP_SILU, x);
    case NW_OP_HARD_SIGMOID:
        return become(graph, node, NW_OP_HARD_SWISH, x);
    default: /* x * clip(x + 3, 0, 6): a division by 6 follows, or it stays what it is */
        return NW_OK;
    }
}

nw_status nw_pass_activation(nw_graph *graph)
{
    for (int32_t k = 0; k < graph->model->n_nodes; k++)
        if (nw_is_live(&graph->model->nodes[k]))
            NW_TRY(visit(graph, &graph->model->nodes[k]));
    return NW_OK;
}
