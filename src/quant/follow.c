/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan beside the network: what it and the options say of every layer and tensor (between groups.c and equalize.c),
 * and what was done in the end (behind emit.c).
 */
#include <stdlib.h>
#include <string.h>

#include "quant/scheme.h"

static bool speaks_of_node(const nw_scheme *scheme, const nw_plan_key *key)
{
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR && nw_plan_matches(key, scheme->model->nodes[i].name))
            return true;
    return false;
}

static bool speaks_of_tensor(const nw_scheme *scheme, const nw_plan_key *key)
{
    for (int32_t t = 0; t < scheme->model->n_tensors; t++)
        if (scheme->tensors[t].code && nw_plan_matches(key, scheme->model->tensors[t].name))
            return true;
    return false;
}

static nw_status check_rows(const nw_scheme *scheme, nw_error *error)
{
    const nw_plan *plan = scheme->options->plan;
    for (int32_t i = 0; plan && i < plan->n_layers; i++)
        if (!speaks_of_node(scheme, &plan->layers[i].key))
            return nw_fail(error, NW_ERROR_USAGE, "plan: \"%s\": the network has no such linear layer",
                           plan->layers[i].key.name);
    for (int32_t i = 0; plan && i < plan->n_tensors; i++)
        if (!speaks_of_tensor(scheme, &plan->tensors[i].key))
            return nw_fail(error, NW_ERROR_USAGE, "plan: \"%s\": the network has no such quantized tensor",
                           plan->tensors[i].key.name);
    return NW_OK;
}

/** Whether a linear node has no other linear node before it (or behind it): the borders of the network. */
static bool is_border(const nw_scheme *scheme, int32_t index)
{
    const nw_model *model = scheme->model;
    bool *reached = calloc((size_t)model->n_tensors + 1, sizeof(*reached)); /* by data that passed a linear node */
    bool first = reached != NULL;
    bool last = first;
    for (int32_t i = 0; reached && i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        bool any = nw_is_linear(node) && i < index;
        for (int32_t j = 0; j < node->n_inputs; j++)
            any = any || (node->inputs[j] != NW_NONE && reached[node->inputs[j]]);
        if (i == index) {
            first = !any;
            memset(reached, 0, (size_t)model->n_tensors * sizeof(*reached));
            any = true;
        } else if (i > index && any && nw_is_linear(node)) {
            last = false;
        }
        reached[node->output] = any;
    }
    free(reached);
    return first || last;
}

/** Width and method of a node: what the options say for all, and the plan for this one. */
static void settle_node(nw_scheme *scheme, int32_t index)
{
    nw_node_scheme *linear = &scheme->nodes[index];
    const nw_quantize_options *options = scheme->options;
    const bool border = options->border_bits > options->weight_bits && is_border(scheme, index);
    nw_plan_layer row = {.bits = border ? options->border_bits : options->weight_bits,
                         .method = (int32_t)options->rounding,
                         .book = (int32_t)options->book};
    nw_plan_layer_of(&row, options->plan, scheme->model->nodes[index].name);
    linear->weight_bits = row.bits;
    linear->book = nw_code_book_make((nw_book_kind)row.book, row.bits);
    linear->rounding = (nw_rounding)row.method;
}

/** Width of the group's codes: what the plan says of any member; two that differ contradict each other. */
static nw_status group_bits(const nw_scheme *scheme, int32_t group, int32_t *bits, nw_error *error)
{
    const char *said_by = NULL;
    *bits = scheme->options->activation_bits;
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        if (scheme->tensors[t].group != group || !scheme->tensors[t].code)
            continue;
        const char *name = scheme->model->tensors[t].name;
        nw_plan_tensor row = {.bits = NW_PLAN_UNSAID};
        nw_plan_tensor_of(&row, scheme->options->plan, name);
        if (row.bits == NW_PLAN_UNSAID)
            continue;
        if (said_by && row.bits != *bits)
            return nw_fail(error, NW_ERROR_USAGE,
                           "tensors \"%s\" and \"%s\" share one grid, so %d and %d activation bits contradict", said_by,
                           name, *bits, row.bits);
        *bits = row.bits;
        said_by = name;
    }
    return NW_OK;
}

nw_status nw_scheme_settle(nw_scheme *scheme, nw_error *error)
{
    const nw_model *model = scheme->model;
    NW_TRY(check_rows(scheme, error));
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR)
            settle_node(scheme, i);
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_tensor_scheme *tensor = &scheme->tensors[t];
        int32_t bits = scheme->tensors[tensor->group].grid.bits;
        if (tensor->group == t)
            NW_TRY(group_bits(scheme, t, &bits, error));
        tensor->grid.bits = (uint8_t)bits;
    }
    return NW_OK;
}

/** Why the plan wanted it so, as the row that is written says too. */
static char *reason(const char *why)
{
    return why ? nw_plan_brief(why) : NULL;
}

static nw_status add_layer(nw_plan *plan, const nw_scheme *scheme, int32_t index)
{
    const nw_node_scheme *linear = &scheme->nodes[index];
    const char *name = scheme->model->nodes[index].name;
    nw_plan_layer said = {.bits = NW_PLAN_UNSAID};
    nw_plan_layer *row;
    for (int32_t i = 0; i < plan->n_layers; i++)
        if (nw_plan_matches(&plan->layers[i].key, name))
            return NW_OK; /* ONNX lets nodes share a name: one row speaks of all of them */
    nw_plan_layer_of(&said, scheme->options->plan, name);
    NW_TRY(nw_plan_add_layer(&row, plan, name, false, NULL));
    row->bits = linear->weight_bits;
    row->method = linear->weight_bits < 8 ? (int32_t)linear->rounding : NW_PLAN_UNSAID;
    row->book = linear->book.levels ? (int32_t)linear->book.kind : NW_PLAN_UNSAID;
    row->why = reason(said.why);
    return !said.why || row->why ? NW_OK : NW_ERROR_MEMORY;
}

static nw_status add_tensor(nw_plan *plan, const nw_scheme *scheme, int32_t index)
{
    const char *name = scheme->model->tensors[index].name;
    nw_plan_tensor said = {.bits = NW_PLAN_UNSAID};
    nw_plan_tensor *row;
    nw_plan_tensor_of(&said, scheme->options->plan, name);
    NW_TRY(nw_plan_add_tensor(&row, plan, name, false, NULL));
    row->bits = scheme->tensors[index].grid.bits;
    row->why = reason(said.why);
    return !said.why || row->why ? NW_OK : NW_ERROR_MEMORY;
}

nw_plan *nw_scheme_plan(const nw_scheme *scheme)
{
    nw_plan *plan = nw_plan_create();
    nw_status status = plan ? NW_OK : NW_ERROR_MEMORY;
    for (int32_t i = 0; !status && i < scheme->model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR)
            status = add_layer(plan, scheme, i);
    for (int32_t t = 0; !status && t < scheme->model->n_tensors; t++)
        if (scheme->tensors[t].code)
            status = add_tensor(plan, scheme, t);
    if (!status)
        return plan;
    nw_plan_free(plan);
    return NULL;
}
