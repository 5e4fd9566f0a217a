/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a network's blocks end, told from its graph, for the placement that the DQA paper uses (follow.c):
 *
 *     networks with sums    outputs of residual sums; and of linear bottlenecks: convolutions without clamp that feed
 *                           convolutions (blocks of MobileNetV2 that do not add)
 *     others                what a convolution gives to a pool, a Concat, a transposed convolution, or to more than one
 *                           reader (double convolutions of a U-Net)
 */
#include <math.h>

#include "quant/scheme.h"

static bool has_residual(const nw_node *node)
{
    return node->op == NW_OP_ADD || (nw_is_linear(node) && node->n_inputs > 3 && node->inputs[3] != NW_NONE);
}

static bool network_has_sums(const nw_model *model)
{
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (has_residual(&model->nodes[i]))
            return true;
    return false;
}

/** Counts the nodes that read the tensor, those that read it as a convolution's input, and those that end a stage. */
static void count_readers(const nw_model *model, int32_t t, int32_t *all, int32_t *linear, int32_t *ending)
{
    *all = *linear = *ending = 0;
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        for (int32_t j = 0; j < node->n_inputs; j++) {
            if (node->inputs[j] != t)
                continue;
            ++*all;
            *linear += j == 0 && nw_is_linear(node);
            *ending += node->op == NW_OP_MAX_POOL || node->op == NW_OP_CONCAT || node->op == NW_OP_CONV_TRANSPOSE ||
                       node->op == NW_OP_RESIZE;
        }
    }
}

bool nw_scheme_ends_block(const nw_scheme *scheme, int32_t tensor)
{
    const nw_model *model = scheme->model;
    const int32_t producer = nw_model_producer(model, tensor);
    if (producer == NW_NONE)
        return false;
    const nw_node *node = &model->nodes[producer];
    int32_t readers, linear, ending;
    count_readers(model, tensor, &readers, &linear, &ending);
    if (network_has_sums(model)) {
        const bool clamped = node->lo > -INFINITY || node->hi < INFINITY;
        return has_residual(node) || (node->op == NW_OP_CONV && !clamped && linear > 0);
    }
    return node->op == NW_OP_CONV && (ending > 0 || readers > 1);
}
