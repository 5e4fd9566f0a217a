/* SPDX-License-Identifier: Apache-2.0 */
/* See scheme.h: life of the quantizer's working state. */
#include "quant/scheme.h"

#include <math.h>
#include <stdlib.h>

void nw_scheme_free(nw_scheme *scheme)
{
    if (!scheme)
        return;
    for (int32_t t = 0; scheme->tensors && t < scheme->model->n_tensors; t++) {
        free(scheme->tensors[t].factor);
        free(scheme->tensors[t].shift);
        free(scheme->tensors[t].offset);
        free(scheme->tensors[t].importance);
        free(scheme->tensors[t].curves);
        free(scheme->tensors[t].lo);
        free(scheme->tensors[t].hi);
    }
    for (int32_t i = 0; scheme->nodes && i < scheme->model->n_nodes; i++) {
        free(scheme->nodes[i].row_channel);
        free(scheme->nodes[i].weights);
        free(scheme->nodes[i].step);
        free(scheme->nodes[i].bias);
    }
    free(scheme->tensors);
    free(scheme->nodes);
    free(scheme);
}

static bool alloc_tensor(nw_tensor_scheme *tensor, int32_t n_channels)
{
    const size_t n = (size_t)n_channels;
    tensor->n_channels = n_channels;
    tensor->factor = malloc(n * sizeof(*tensor->factor));
    tensor->shift = calloc(n, sizeof(*tensor->shift));
    tensor->offset = calloc(n, sizeof(*tensor->offset));
    tensor->importance = calloc(n, sizeof(*tensor->importance));
    tensor->lo = calloc(n, sizeof(*tensor->lo));
    tensor->hi = calloc(n, sizeof(*tensor->hi));
    tensor->useful_lo = -INFINITY;
    tensor->useful_hi = INFINITY;
    for (size_t c = 0; tensor->factor && c < n; c++)
        tensor->factor[c] = 1.0;
    return tensor->factor && tensor->shift && tensor->offset && tensor->importance && tensor->lo && tensor->hi;
}

nw_scheme *nw_scheme_create(const nw_model *model, const nw_calibration *calibration,
                            const nw_quantize_options *options)
{
    nw_scheme *scheme = calloc(1, sizeof(*scheme));
    if (!scheme)
        return NULL;
    scheme->model = model;
    scheme->calibration = calibration;
    scheme->options = options;
    scheme->tensors = calloc((size_t)model->n_tensors + 1, sizeof(*scheme->tensors));
    scheme->nodes = calloc((size_t)model->n_nodes + 1, sizeof(*scheme->nodes));
    bool done = scheme->tensors && scheme->nodes;
    for (int32_t t = 0; done && t < model->n_tensors; t++) {
        scheme->tensors[t].group = t;
        if (!model->tensors[t].data)
            done = alloc_tensor(&scheme->tensors[t], nw_tensor_channels(&model->tensors[t]));
    }
    if (!done) {
        nw_scheme_free(scheme);
        return NULL;
    }
    return scheme;
}

bool nw_is_linear(const nw_node *node)
{
    return node->op == NW_OP_CONV || node->op == NW_OP_CONV_TRANSPOSE || node->op == NW_OP_GEMM;
}

bool nw_scheme_is_source(const nw_scheme *scheme, int32_t tensor)
{
    if (!scheme->tensors[tensor].code)
        return false;
    const int32_t producer = nw_model_producer(scheme->model, tensor);
    return producer == NW_NONE || scheme->nodes[producer].mode != NW_MODE_PASS;
}
