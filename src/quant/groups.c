/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be the same on both sides of a node that passes codes through unchanged: the grid of whole tensors, the
 * factor and limits of the channels that meet. Between modes.c and equalize.c.
 */
#include <string.h>

#include "quant/scheme.h"

/** Joins two groups; the lower index becomes the representative of both. */
static void join(nw_scheme *scheme, int32_t a, int32_t b)
{
    const int32_t from = scheme->tensors[a].group > scheme->tensors[b].group ? scheme->tensors[a].group
                                                                             : scheme->tensors[b].group;
    const int32_t to = scheme->tensors[a].group > scheme->tensors[b].group ? scheme->tensors[b].group
                                                                           : scheme->tensors[a].group;
    for (int32_t t = 0; t < scheme->model->n_tensors; t++)
        if (scheme->tensors[t].group == from)
            scheme->tensors[t].group = to;
}

void nw_scheme_groups(nw_scheme *scheme)
{
    for (int32_t i = 0; i < scheme->model->n_nodes; i++) {
        const nw_node *node = &scheme->model->nodes[i];
        if (scheme->nodes[i].mode != NW_MODE_PASS)
            continue;
        for (int32_t j = 0; j < node->n_inputs; j++)
            if (node->inputs[j] != NW_NONE)
                join(scheme, node->inputs[j], node->output);
    }
}

typedef struct pairs {
    const nw_model *model;
    const nw_node *node;
    nw_channel_pair *pair;
    void *context;
    int32_t input;
} pairs;

static void same(const pairs *p, int32_t n_channels, int32_t offset)
{
    for (int32_t c = 0; c < n_channels; c++)
        p->pair(p->context, p->input, c, p->node->output, c + offset);
}

static void concat_pairs(pairs *p)
{
    int32_t offset = 0;
    for (int32_t j = 0; j < p->node->n_inputs; j++) {
        p->input = p->node->inputs[j];
        const int32_t n = nw_tensor_channels(&p->model->tensors[p->input]);
        same(p, n, p->node->axis == 1 ? offset : 0);
        offset += n;
    }
}

static void slice_pairs(const pairs *p)
{
    const int32_t n = nw_tensor_channels(&p->model->tensors[p->node->output]);
    for (int32_t c = 0; c < n; c++)
        p->pair(p->context, p->input, p->node->starts[1] + c * p->node->steps[1], p->node->output, c);
}

/** Elements keep their row-major order, so element e lies in channel e / plane of either side. */
static void reshape_pairs(const pairs *p)
{
    const nw_tensor *x = &p->model->tensors[p->input];
    const nw_tensor *y = &p->model->tensors[p->node->output];
    const size_t n = nw_tensor_elements(x);
    const size_t plane_x = n / (size_t)nw_tensor_channels(x);
    const size_t plane_y = n / (size_t)nw_tensor_channels(y);
    for (size_t e = 0; e < n;) {
        p->pair(p->context, p->input, (int32_t)(e / plane_x), p->node->output, (int32_t)(e / plane_y));
        const size_t next_x = (e / plane_x + 1) * plane_x;
        const size_t next_y = (e / plane_y + 1) * plane_y;
        e = next_x < next_y ? next_x : next_y;
    }
}

/** Channels that change places with pixels all meet; nothing finer is worth telling apart. */
static void transpose_pairs(const pairs *p)
{
    const int32_t n_x = nw_tensor_channels(&p->model->tensors[p->input]);
    const int32_t n_y = nw_tensor_channels(&p->model->tensors[p->node->output]);
    if (p->model->tensors[p->input].rank < 2 || p->node->perm[1] == 1) {
        same(p, n_x, 0);
        return;
    }
    for (int32_t c = 0; c < n_x; c++)
        for (int32_t d = 0; d < n_y; d++)
            p->pair(p->context, p->input, c, p->node->output, d);
}

void nw_scheme_pairs(const nw_scheme *scheme, const nw_node *node, nw_channel_pair *pair, void *context)
{
    pairs p = {scheme->model, node, pair, context, node->inputs[0]};
    const int32_t n_x = nw_tensor_channels(&scheme->model->tensors[p.input]);
    switch (node->op) {
    case NW_OP_CONCAT:
        concat_pairs(&p);
        break;
    case NW_OP_SLICE:
        slice_pairs(&p);
        break;
    case NW_OP_PAD:
        same(&p, n_x, node->pads[1]);
        break;
    case NW_OP_RESHAPE:
        reshape_pairs(&p);
        break;
    case NW_OP_TRANSPOSE:
        transpose_pairs(&p);
        break;
    default: /* MAX_POOL, RESIZE */
        same(&p, n_x, 0);
    }
}
