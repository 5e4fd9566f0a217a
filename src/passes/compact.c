/* SPDX-License-Identifier: Apache-2.0 */
/* The end of the passes: removed nodes and unused tensors leave, the rest is renumbered in its order. See graph.h. */
#include <stdlib.h>

#include "passes/graph.h"

static void free_node(nw_node *node)
{
    free(node->name);
    free(node->inputs);
}

static void drop_nodes(nw_model *model)
{
    int32_t n = 0;
    for (int32_t k = 0; k < model->n_nodes; k++) {
        if (nw_is_live(&model->nodes[k]))
            model->nodes[n++] = model->nodes[k];
        else
            free_node(&model->nodes[k]);
    }
    model->n_nodes = n;
}

/** New index of every tensor that stays, NW_NONE for the others; `number` comes in zeroed. */
static void number_tensors(const nw_model *model, int32_t *number)
{
    for (int32_t i = 0; i < model->n_inputs; i++)
        number[model->inputs[i]] = 1;
    for (int32_t i = 0; i < model->n_outputs; i++)
        number[model->outputs[i]] = 1;
    for (int32_t k = 0; k < model->n_nodes; k++) {
        number[model->nodes[k].output] = 1;
        for (int32_t i = 0; i < model->nodes[k].n_inputs; i++)
            if (model->nodes[k].inputs[i] != NW_NONE)
                number[model->nodes[k].inputs[i]] = 1;
    }
    int32_t next = 0;
    for (int32_t t = 0; t < model->n_tensors; t++)
        number[t] = number[t] ? next++ : NW_NONE;
}

static void apply_numbers(nw_model *model, const int32_t *number)
{
    int32_t n = 0;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        if (number[t] != NW_NONE) {
            model->tensors[n++] = model->tensors[t];
        } else {
            free(model->tensors[t].name);
            free(model->tensors[t].data);
        }
    }
    model->n_tensors = n;
    for (int32_t i = 0; i < model->n_inputs; i++)
        model->inputs[i] = number[model->inputs[i]];
    for (int32_t i = 0; i < model->n_outputs; i++)
        model->outputs[i] = number[model->outputs[i]];
    for (int32_t k = 0; k < model->n_nodes; k++) {
        nw_node *node = &model->nodes[k];
        node->output = number[node->output];
        for (int32_t i = 0; i < node->n_inputs; i++)
            node->inputs[i] = node->inputs[i] == NW_NONE ? NW_NONE : number[node->inputs[i]];
    }
}

/** Every input of every node is a constant, a graph input or made earlier; every activation is one sample. */
static nw_status check(const nw_model *model, bool *ready, nw_error *error)
{
    for (int32_t t = 0; t < model->n_tensors; t++)
        ready[t] = model->tensors[t].data != NULL;
    for (int32_t i = 0; i < model->n_inputs; i++)
        ready[model->inputs[i]] = true;
    for (int32_t k = 0; k < model->n_nodes; k++) {
        const nw_node *node = &model->nodes[k];
        for (int32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != NW_NONE && !ready[node->inputs[i]])
                return nw_fail(error, NW_ERROR_INTERNAL, "node \"%s\": its input %d is not computed before it",
                               node->name, i);
        ready[node->output] = true;
        if (model->tensors[node->output].dims[0] != 1)
            return nw_fail(error, NW_ERROR_UNSUPPORTED, "node \"%s\" (%s): its result has %d as its first dimension, "
                           "which has to be the batch", node->name, nw_op_name(node->op),
                           (int)model->tensors[node->output].dims[0]);
    }
    return NW_OK;
}

nw_status nw_graph_compact(nw_graph *graph)
{
    nw_model *model = graph->model;
    const size_t n = (size_t)model->n_tensors + 1;
    int32_t *number = calloc(n, sizeof(*number));
    bool *ready = calloc(n, sizeof(*ready));
    nw_status status = NW_OK;
    if (!number || !ready) {
        status = nw_fail_memory(graph->error, "simplifying a network");
        goto cleanup;
    }
    drop_nodes(model);
    number_tensors(model, number);
    apply_numbers(model, number);
    status = check(model, ready, graph->error);

cleanup:
    free(number);
    free(ready);
    return status;
}
