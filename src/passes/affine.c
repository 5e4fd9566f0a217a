/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass: y = scale[c] * x + shift[c]. BATCH_NORM, and ADD, SUB, MUL, DIV by a constant that varies over channels at
 * most, are folded into the CONV, CONV_TRANSPOSE or GEMM before them,
 *
 *     W'[o, ...] = scale[o] * W[o, ...]        b'[o] = scale[o] * b[o] + shift[o]        in binary64, rounded once,
 *
 * if that has no other user; otherwise, on [1, C, H, W] or [1, C], they become a depthwise 1 x 1 CONV of their own.
 */
#include <math.h>
#include <stdlib.h>

#include "passes/graph.h"

/** Bounds the memory that many such nodes over one wide tensor can take; wider ones stay as they are. */
#define MAX_DEPTHWISE_CHANNELS 65536

typedef struct affine {
    int32_t channels;
    double *scale, *shift; /* [channels] */
} affine;

/** Distance between the values of two channels in a constant operand: 1, 0 for a scalar, -1 if it varies elsewhere. */
static int channel_stride(const nw_tensor *constant, const nw_tensor *x)
{
    const size_t n = nw_tensor_elements(constant);
    if (n == 1 && constant->rank <= x->rank)
        return 0;
    const int32_t axis = 1 - ((int32_t)x->rank - (int32_t)constant->rank); /* of the channel in the constant */
    if (constant->rank > x->rank || axis < 0 || (size_t)constant->dims[axis] != n || n != (size_t)x->dims[1])
        return -1;
    return 1;
}

static void read_batch_norm(affine *a, const nw_graph *graph, const nw_node *node)
{
    const float *p[4];
    for (int32_t i = 0; i < 4; i++)
        p[i] = graph->model->tensors[node->inputs[i + 1]].data;
    for (int32_t c = 0; c < a->channels; c++) {
        a->scale[c] = (double)p[0][c] / sqrt((double)p[3][c] + (double)node->alpha);
        a->shift[c] = (double)p[1][c] - a->scale[c] * (double)p[2][c];
    }
}

/** x op constant; a constant minuend (first operand of SUB) is -x + constant. */
static void read_binary(affine *a, const nw_node *node, const float *values, int stride, bool constant_first)
{
    for (int32_t c = 0; c < a->channels; c++) {
        const double value = (double)values[c * stride];
        a->scale[c] = node->op == NW_OP_MUL ? value : node->op == NW_OP_DIV ? 1.0 / value : constant_first ? -1.0 : 1.0;
        a->shift[c] = node->op == NW_OP_ADD ? value : node->op == NW_OP_SUB ? (constant_first ? value : -value) : 0.0;
    }
}

/** Which operand of the node is x, or -1 if the node is not affine per channel. */
static int32_t find_operand(int *stride, const nw_graph *graph, const nw_node *node)
{
    const nw_model *model = graph->model;
    if (node->op == NW_OP_BATCH_NORM)
        return 0;
    if (node->op != NW_OP_ADD && node->op != NW_OP_SUB && node->op != NW_OP_MUL && node->op != NW_OP_DIV)
        return -1;
    for (int32_t i = 0; i < 2; i++) {
        const nw_tensor *x = &model->tensors[node->inputs[i]], *constant = &model->tensors[node->inputs[1 - i]];
        if (x->data || !constant->data || (node->op == NW_OP_DIV && i == 1) || x->rank < 2)
            continue;
        *stride = channel_stride(constant, x);
        return *stride >= 0 && nw_same_dims(x, &model->tensors[node->output]) ? i : -1;
    }
    return -1;
}

/** Allocates and fills `a`; *operand is -1 if the node is not affine per channel with finite factors. */
static nw_status read_affine(affine *a, int32_t *operand, const nw_graph *graph, const nw_node *node)
{
    int stride = 1;
    *operand = find_operand(&stride, graph, node);
    if (*operand < 0)
        return NW_OK;
    a->channels = graph->model->tensors[node->inputs[*operand]].dims[1];
    a->scale = malloc((size_t)a->channels * sizeof(double));
    a->shift = malloc((size_t)a->channels * sizeof(double));
    if (!a->scale || !a->shift)
        return nw_fail_memory(graph->error, "folding constants");
    if (node->op == NW_OP_BATCH_NORM)
        read_batch_norm(a, graph, node);
    else
        read_binary(a, node, graph->model->tensors[node->inputs[1 - *operand]].data, stride, *operand == 1);
    for (int32_t c = 0; c < a->channels; c++)
        if (!(fabs(a->scale[c]) <= 1e30) || !(fabs(a->shift[c]) <= 1e30))
            *operand = -1;
    return NW_OK;
}

/** Output channel that element i of the weights belongs to. */
static size_t channel_of(const nw_node *linear, const nw_tensor *weights, size_t i)
{
    if (linear->op == NW_OP_CONV_TRANSPOSE) { /* [C, O/groups, kh, kw] */
        const size_t plane = (size_t)weights->dims[2] * (size_t)weights->dims[3], per_group = (size_t)weights->dims[1];
        const size_t in = i / (plane * per_group), in_per_group = (size_t)weights->dims[0] / (size_t)linear->groups;
        return in / in_per_group * per_group + i / plane % per_group;
    }
    return i / (nw_tensor_elements(weights) / (size_t)weights->dims[0]);
}

/** True when no folded weight or bias would leave the range of binary32. */
static bool stays_finite(const affine *a, const nw_model *model, const nw_node *linear)
{
    const nw_tensor *weights = &model->tensors[linear->inputs[1]];
    const size_t n = nw_tensor_elements(weights);
    for (size_t i = 0; i < n; i++)
        if (!isfinite((float)(a->scale[channel_of(linear, weights, i)] * (double)weights->data[i])))
            return false;
    for (int32_t c = 0; c < a->channels; c++) {
        const double bias = linear->inputs[2] == NW_NONE ? 0.0 : (double)model->tensors[linear->inputs[2]].data[c];
        if (!isfinite((float)(a->scale[c] * bias + a->shift[c])))
            return false;
    }
    return true;
}

static nw_status fold(const affine *a, nw_graph *graph, nw_node *linear)
{
    const nw_tensor *shape = &graph->model->tensors[linear->inputs[1]];
    NW_TRY(nw_graph_own_constant(graph, linear, 1, shape->rank, shape->dims));
    if (linear->inputs[2] == NW_NONE)
        NW_TRY(nw_graph_new_constant(graph, linear, 2, "bias", 1, &a->channels));
    else
        NW_TRY(nw_graph_own_constant(graph, linear, 2, 1, &a->channels));
    const nw_tensor *weights = &graph->model->tensors[linear->inputs[1]];
    const size_t n = nw_tensor_elements(weights);
    float *bias = graph->model->tensors[linear->inputs[2]].data;
    for (size_t i = 0; i < n; i++)
        weights->data[i] = (float)(a->scale[channel_of(linear, weights, i)] * (double)weights->data[i]);
    for (int32_t c = 0; c < a->channels; c++)
        bias[c] = (float)(a->scale[c] * (double)bias[c] + a->shift[c]);
    return NW_OK;
}

static nw_status to_depthwise(const affine *a, nw_graph *graph, nw_node *node, int32_t x)
{
    for (int32_t i = 0; i < node->n_inputs; i++)
        nw_graph_set_input(graph, node, i, i == 0 ? x : NW_NONE);
    NW_TRY(nw_graph_resize_inputs(graph, node, 4));
    const int32_t dims[4] = {a->channels, 1, 1, 1};
    NW_TRY(nw_graph_new_constant(graph, node, 1, "weights", 4, dims));
    NW_TRY(nw_graph_new_constant(graph, node, 2, "bias", 1, dims));
    for (int32_t c = 0; c < a->channels; c++) {
        graph->model->tensors[node->inputs[1]].data[c] = (float)a->scale[c];
        graph->model->tensors[node->inputs[2]].data[c] = (float)a->shift[c];
    }
    node->op = NW_OP_CONV;
    node->alpha = 0;
    node->groups = a->channels;
    node->window = (nw_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    return NW_OK;
}

static nw_status visit(affine *a, nw_graph *graph, nw_node *node)
{
    int32_t operand = -1;
    NW_TRY(read_affine(a, &operand, graph, node));
    if (operand < 0)
        return NW_OK;
    const int32_t x = node->inputs[operand];
    const int32_t rank = graph->model->tensors[x].rank;
    nw_node *linear = nw_graph_sole_producer(graph, x);
    const bool free_result = linear && nw_is_linear(linear) && linear->lo == -INFINITY && linear->hi == INFINITY &&
                             (linear->n_inputs < 4 || linear->inputs[3] == NW_NONE);
    if (free_result && stays_finite(a, graph->model, linear)) {
        NW_TRY(fold(a, graph, linear));
        nw_graph_take_output(graph, linear, node);
        return NW_OK;
    }
    if ((rank == 2 || rank == 4) && a->channels <= MAX_DEPTHWISE_CHANNELS)
        return to_depthwise(a, graph, node, x);
    return NW_OK;
}

nw_status nw_pass_affine(nw_graph *graph)
{
    nw_status status = NW_OK;
    for (int32_t k = 0; k < graph->model->n_nodes && !status; k++) {
        affine a = {0};
        if (nw_is_live(&graph->model->nodes[k]))
            status = visit(&a, graph, &graph->model->nodes[k]);
        free(a.scale);
        free(a.shift);
    }
    return status;
}
