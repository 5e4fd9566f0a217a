/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass: a chain of Reshape, Transpose and Slice that together takes every n-th element of some axes is one SLICE. The
 * channel shuffle of ShuffleNets is such a chain: reshape to [C/2, 2, HW], transpose, reshape, take half 0 or 1, that
 * is channels 0, 2, 4, ... or 1, 3, 5, ... (and on its way the batch is not the first axis).
 *
 * Every link is applied to a strided view of the chain's first tensor: element (i0, i1, ...) of the result is element
 * offset + i0 * stride0 + i1 * stride1 + ... of it.
 */
#include <string.h>

#include "passes/graph.h"

#define MAX_CHAIN 8

typedef struct view {
    int32_t rank;
    int64_t dims[NW_MAX_RANK], strides[NW_MAX_RANK], offset;
} view;

static view whole(const nw_tensor *tensor)
{
    view v = {.rank = tensor->rank};
    int64_t stride = 1;
    for (int32_t i = tensor->rank - 1; i >= 0; i--) {
        v.dims[i] = tensor->dims[i];
        v.strides[i] = stride;
        stride *= tensor->dims[i];
    }
    return v;
}

/** Drops axes of one element and merges neighbours that step on evenly: the fewest axes with the same elements. */
static view merged(const view *v)
{
    view m = {.offset = v->offset};
    for (int32_t i = 0; i < v->rank; i++) {
        if (v->dims[i] == 1)
            continue;
        if (m.rank && m.strides[m.rank - 1] == v->strides[i] * v->dims[i]) {
            m.dims[m.rank - 1] *= v->dims[i];
            m.strides[m.rank - 1] = v->strides[i];
        } else {
            m.dims[m.rank] = v->dims[i];
            m.strides[m.rank++] = v->strides[i];
        }
    }
    return m;
}

/** Splits the merged axes into the target's; false when a target axis would span two of them. */
static bool reshape(view *v, const nw_tensor *target)
{
    const view m = merged(v);
    view out = {.rank = target->rank, .offset = v->offset};
    int32_t axis = m.rank - 1;
    int64_t left = axis >= 0 ? m.dims[axis] : 1, stride = axis >= 0 ? m.strides[axis] : 1;
    for (int32_t i = target->rank - 1; i >= 0; i--) {
        const int64_t d = target->dims[i];
        out.dims[i] = d;
        out.strides[i] = stride;
        if (d == 1)
            continue;
        if (left == 1 && axis > 0) {
            axis--;
            left = m.dims[axis];
            stride = m.strides[axis];
            out.strides[i] = stride;
        }
        if (left % d)
            return false;
        left /= d;
        stride *= d;
    }
    *v = out;
    return left == 1 && axis <= 0;
}

static bool apply(view *v, const nw_graph *graph, const nw_node *node)
{
    const nw_tensor *out = &graph->model->tensors[node->output];
    const view in = *v;
    switch (node->op) {
    case NW_OP_RESHAPE:
        return reshape(v, out);
    case NW_OP_TRANSPOSE:
        for (int32_t i = 0; i < in.rank; i++) {
            v->dims[i] = in.dims[node->perm[i]];
            v->strides[i] = in.strides[node->perm[i]];
        }
        return true;
    case NW_OP_SLICE:
        for (int32_t i = 0; i < in.rank; i++) {
            v->offset += node->starts[i] * in.strides[i];
            v->strides[i] *= node->steps[i];
            v->dims[i] = out->dims[i];
        }
        return true;
    default:
        return false;
    }
}

/** Writes the view as starts and steps of a slice of `root`; false when it is none. */
static bool as_slice(const view *v, const nw_tensor *root, int32_t starts[NW_MAX_RANK], int32_t steps[NW_MAX_RANK])
{
    const view natural = whole(root);
    if (v->rank != natural.rank)
        return false;
    int64_t offset = v->offset;
    for (int32_t i = 0; i < v->rank; i++) {
        const int64_t step = v->dims[i] > 1 ? v->strides[i] / natural.strides[i] : 1;
        const int64_t start = offset / natural.strides[i];
        offset %= natural.strides[i];
        if (step < 1 || (v->dims[i] > 1 && v->strides[i] % natural.strides[i]) ||
            start + (v->dims[i] - 1) * step >= natural.dims[i])
            return false;
        starts[i] = (int32_t)start;
        steps[i] = (int32_t)step;
    }
    return true;
}

static bool is_view(const nw_node *node)
{
    return node && (node->op == NW_OP_RESHAPE || node->op == NW_OP_TRANSPOSE || node->op == NW_OP_SLICE);
}

/** Tries the chain of `n` nodes that ends in chain[0]. */
static bool simplify(nw_graph *graph, nw_node *const *chain, int32_t n)
{
    const int32_t root = chain[n - 1]->inputs[0];
    const nw_tensor *tensor = &graph->model->tensors[root];
    view v = whole(tensor);
    for (int32_t i = n - 1; i >= 0; i--)
        if (!apply(&v, graph, chain[i]))
            return false;
    int32_t starts[NW_MAX_RANK] = {0}, steps[NW_MAX_RANK] = {0};
    if (!as_slice(&v, tensor, starts, steps))
        return false;
    nw_node *node = chain[0];
    node->op = NW_OP_SLICE;
    memcpy(node->starts, starts, sizeof(starts));
    memcpy(node->steps, steps, sizeof(steps));
    nw_graph_set_input(graph, node, 0, root);
    return true;
}

nw_status nw_pass_view(nw_graph *graph)
{
    for (int32_t k = 0; k < graph->model->n_nodes; k++) {
        nw_node *chain[MAX_CHAIN] = {&graph->model->nodes[k]};
        if (!nw_is_live(chain[0]) || !is_view(chain[0]))
            continue;
        int32_t n = 1;
        while (n < MAX_CHAIN && is_view(nw_graph_producer(graph, chain[n - 1]->inputs[0]))) {
            chain[n] = nw_graph_producer(graph, chain[n - 1]->inputs[0]);
            n++;
        }
        while (n > 1 && !simplify(graph, chain, n))
            n--;
    }
    return NW_OK;
}
