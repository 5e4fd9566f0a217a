/* SPDX-License-Identifier: Apache-2.0 */
/* See graph.h. */
#include "passes/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** A constant that layers share is copied for each that changes it; a hostile file shares one a million times. */
#define COPY_LIMIT_BASE ((size_t)1 << 20)
#define COPY_LIMIT_FACTOR 16

nw_status nw_graph_init(nw_graph *graph, nw_model *model, nw_error *error)
{
    const size_t n = (size_t)model->n_tensors + 1;
    *graph = (nw_graph){.model = model, .error = error};
    graph->producer = malloc(n * sizeof(int32_t));
    graph->n_uses = calloc(n, sizeof(int32_t));
    if (!graph->producer || !graph->n_uses)
        return nw_fail_memory(error, "simplifying a network");
    graph->copy_limit = COPY_LIMIT_BASE;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        graph->producer[t] = NW_NONE;
        if (model->tensors[t].data)
            graph->copy_limit += COPY_LIMIT_FACTOR * nw_tensor_elements(&model->tensors[t]);
    }
    for (int32_t k = 0; k < model->n_nodes; k++) {
        const nw_node *node = &model->nodes[k];
        graph->producer[node->output] = k;
        for (int32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != NW_NONE)
                graph->n_uses[node->inputs[i]]++;
    }
    for (int32_t i = 0; i < model->n_outputs; i++)
        graph->n_uses[model->outputs[i]]++;
    for (int32_t k = 0; k < model->n_nodes; k++) { /* every convolution has its four inputs, present or not */
        nw_node *node = &model->nodes[k];
        if ((node->op == NW_OP_CONV || node->op == NW_OP_CONV_TRANSPOSE) && node->n_inputs < 4)
            NW_TRY(nw_graph_resize_inputs(graph, node, 4));
    }
    return NW_OK;
}

void nw_graph_free(nw_graph *graph)
{
    free(graph->producer);
    free(graph->n_uses);
    *graph = (nw_graph){0};
}

nw_node *nw_graph_producer(const nw_graph *graph, int32_t tensor)
{
    const int32_t k = tensor == NW_NONE ? NW_NONE : graph->producer[tensor];
    return k == NW_NONE ? NULL : &graph->model->nodes[k];
}

nw_node *nw_graph_sole_producer(const nw_graph *graph, int32_t tensor)
{
    return tensor != NW_NONE && graph->n_uses[tensor] == 1 ? nw_graph_producer(graph, tensor) : NULL;
}

bool nw_is_constant(const nw_graph *graph, int32_t tensor)
{
    return tensor != NW_NONE && graph->model->tensors[tensor].data != NULL;
}

static bool is_listed(const int32_t *list, int32_t n, int32_t tensor)
{
    for (int32_t i = 0; i < n; i++)
        if (list[i] == tensor)
            return true;
    return false;
}

bool nw_is_graph_input(const nw_graph *graph, int32_t tensor)
{
    return is_listed(graph->model->inputs, graph->model->n_inputs, tensor);
}

bool nw_is_graph_output(const nw_graph *graph, int32_t tensor)
{
    return is_listed(graph->model->outputs, graph->model->n_outputs, tensor);
}

bool nw_same_dims(const nw_tensor *a, const nw_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

void nw_graph_set_input(nw_graph *graph, nw_node *node, int32_t i, int32_t tensor)
{
    if (tensor != NW_NONE)
        graph->n_uses[tensor]++;
    if (node->inputs[i] != NW_NONE)
        graph->n_uses[node->inputs[i]]--;
    node->inputs[i] = tensor;
}

nw_status nw_graph_resize_inputs(nw_graph *graph, nw_node *node, int32_t n)
{
    for (int32_t i = n; i < node->n_inputs; i++)
        nw_graph_set_input(graph, node, i, NW_NONE);
    int32_t *inputs = realloc(node->inputs, (size_t)n * sizeof(*inputs));
    if (!inputs)
        return nw_fail_memory(graph->error, "simplifying a network");
    for (int32_t i = node->n_inputs; i < n; i++)
        inputs[i] = NW_NONE;
    node->inputs = inputs;
    node->n_inputs = n;
    return NW_OK;
}

void nw_graph_remove(nw_graph *graph, nw_node *node)
{
    for (int32_t i = 0; i < node->n_inputs; i++)
        nw_graph_set_input(graph, node, i, NW_NONE);
    graph->producer[node->output] = NW_NONE;
    node->output = NW_NONE;
}

void nw_graph_take_output(nw_graph *graph, nw_node *producer, nw_node *node)
{
    const int32_t output = node->output;
    nw_graph_remove(graph, node);
    graph->producer[producer->output] = NW_NONE;
    producer->output = output;
    graph->producer[output] = (int32_t)(producer - graph->model->nodes);
}

void nw_graph_move(nw_graph *graph, nw_node *node, nw_node *position)
{
    nw_graph_take_output(graph, node, position);
    const nw_node moved = *node;
    *node = *position;
    *position = moved;
    graph->producer[moved.output] = (int32_t)(position - graph->model->nodes);
}

/** Appends a tensor; the two index arrays grow with the model. */
static nw_status add_constant(int32_t *out, nw_graph *graph, const char *name, int32_t rank, const int32_t *dims,
                              float *take_data)
{
    const size_t n = (size_t)graph->model->n_tensors + 1;
    int32_t *producer = realloc(graph->producer, (n + 1) * sizeof(int32_t));
    if (producer)
        graph->producer = producer;
    int32_t *n_uses = realloc(graph->n_uses, (n + 1) * sizeof(int32_t));
    if (n_uses)
        graph->n_uses = n_uses;
    const int32_t tensor =
        producer && n_uses && take_data ? nw_model_add_tensor(graph->model, name, NW_TYPE_F32, rank, dims) : NW_NONE;
    if (tensor == NW_NONE) {
        free(take_data);
        return nw_fail_memory(graph->error, "simplifying a network");
    }
    graph->model->tensors[tensor].data = take_data;
    graph->producer[tensor] = NW_NONE;
    graph->n_uses[tensor] = 0;
    *out = tensor;
    return NW_OK;
}

/** A name that no exporter writes: every made-up one ends in ## and the tensor's index. */
static void made_up_name(char name[300], const nw_graph *graph, const char *stem, const char *suffix)
{
    snprintf(name, 300, "%.200s/%.40s##%d", stem, suffix, (int)graph->model->n_tensors);
}

nw_status nw_graph_own_constant(nw_graph *graph, nw_node *node, int32_t i, int32_t rank, const int32_t *dims)
{
    nw_tensor *tensor = &graph->model->tensors[node->inputs[i]];
    if (graph->n_uses[node->inputs[i]] == 1) {
        tensor->rank = (uint8_t)rank;
        memmove(tensor->dims, dims, (size_t)rank * sizeof(*dims));
        return NW_OK;
    }
    char name[300];
    made_up_name(name, graph, tensor->name, "copy");
    const size_t n = nw_tensor_elements(tensor), size = n * sizeof(float);
    if (n > graph->copy_limit)
        return nw_fail(graph->error, NW_ERROR_UNSUPPORTED, "node \"%s\": too many layers share the constant \"%s\"",
                       node->name, tensor->name);
    graph->copy_limit -= n;
    float *data = malloc(size);
    if (data)
        memcpy(data, tensor->data, size);
    int32_t kept[NW_MAX_RANK], copy = NW_NONE;
    memcpy(kept, dims, (size_t)rank * sizeof(*dims)); /* dims may lie in the tensor list, which is about to move */
    NW_TRY(add_constant(&copy, graph, name, rank, kept, data));
    nw_graph_set_input(graph, node, i, copy);
    return NW_OK;
}

nw_status nw_graph_new_constant(nw_graph *graph, nw_node *node, int32_t i, const char *suffix, int32_t rank,
                                const int32_t *dims)
{
    char name[300];
    size_t n = 1;
    for (int32_t k = 0; k < rank; k++)
        n *= (size_t)dims[k];
    made_up_name(name, graph, node->name, suffix);
    int32_t tensor = NW_NONE;
    NW_TRY(add_constant(&tensor, graph, name, rank, dims, calloc(n, sizeof(float))));
    nw_graph_set_input(graph, node, i, tensor);
    return NW_OK;
}

void nw_graph_remove_dead(nw_graph *graph)
{
    for (int32_t k = graph->model->n_nodes - 1; k >= 0; k--) {
        nw_node *node = &graph->model->nodes[k];
        if (nw_is_live(node) && graph->n_uses[node->output] == 0)
            nw_graph_remove(graph, node);
    }
}
