/* SPDX-License-Identifier: Apache-2.0 */
/* See cost.h. Used by search.c. */
#include "plan/cost.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "model/file.h"
#include "runtime/layout.h"

void nw_costs_free(nw_costs *costs)
{
    if (!costs)
        return;
    nw_model_free(costs->skeleton);
    free(costs->node_of);
    free(costs);
}

nw_quantize_options nw_quickest(const nw_quantize_options *options)
{
    nw_quantize_options quick = *options;
    quick.plan = NULL;
    quick.weight_bits = 8;
    quick.rounding = NW_ROUND_PLAIN;
    quick.point_budget = 0.0;
    quick.weight_range = NW_WEIGHTS_MIN_MAX;
    quick.bias_correction = NW_BIAS_CORRECTION_NONE;
    return quick;
}

static nw_status make_skeleton(nw_costs *costs, const nw_model *model, const nw_calibration *calibration,
                               const nw_quantize_options *options, nw_error *error)
{
    const nw_quantize_options quick = nw_quickest(options);
    NW_TRY(nw_quantize(&costs->skeleton, model, calibration, &quick, error));
    costs->skeleton->weight_storage = NW_STORED_PACKED; /* what codes take depends on the weights: search.c */
    for (int32_t i = 0; i < costs->skeleton->n_nodes; i++) {
        nw_linear *linear = costs->skeleton->nodes[i].linear;
        if (!linear)
            continue;
        memset(linear->weights, 0, (size_t)linear->n_rows * (size_t)linear->k);
        memset(linear->offset, 0, (size_t)linear->n_rows * sizeof(*linear->offset));
    }
    return NW_OK;
}

void nw_match_nodes(int32_t *node_of, const nw_model *model, const nw_model *integer)
{
    int32_t at = 0; /* nodes keep their names and their order */
    for (int32_t i = 0; i < model->n_nodes; i++) {
        node_of[i] = NW_NONE;
        for (int32_t j = at; j < integer->n_nodes; j++)
            if (integer->nodes[j].linear && strcmp(integer->nodes[j].name, model->nodes[i].name) == 0) {
                node_of[i] = j;
                at = j + 1;
                break;
            }
    }
}

nw_status nw_costs_create(nw_costs **out, const nw_model *model, const nw_calibration *calibration,
                          const nw_quantize_options *options, nw_error *error)
{
    nw_layout layout = {0};
    nw_costs *costs = calloc(1, sizeof(*costs));
    if (!costs)
        return nw_fail_memory(error, "counting bytes");
    costs->n_nodes = model->n_nodes;
    costs->rounding = options->rounding;
    costs->book = options->book;
    costs->node_of = malloc(((size_t)model->n_nodes + 1) * sizeof(*costs->node_of));
    nw_status status = costs->node_of ? make_skeleton(costs, model, calibration, options, error)
                                      : nw_fail_memory(error, "counting bytes");
    if (!status)
        status = nw_layout_make(&layout, costs->skeleton, NULL, error);
    if (status) {
        nw_costs_free(costs);
        return status;
    }
    costs->arena = layout.size;
    nw_layout_free(&layout);
    nw_match_nodes(costs->node_of, model, costs->skeleton);
    *out = costs;
    return NW_OK;
}

double nw_costs_layer_bytes(const nw_costs *costs, int32_t node, int32_t bits)
{
    if (costs->node_of[node] == NW_NONE)
        return 0.0;
    const nw_linear *linear = costs->skeleton->nodes[costs->node_of[node]].linear;
    return (double)linear->n_rows * (double)nw_bits_row_size((size_t)linear->k, bits);
}

/** Widths of the plan into the skeleton. */
static void set_widths(nw_costs *costs, const nw_plan *plan)
{
    for (int32_t i = 0; i < costs->skeleton->n_nodes; i++) {
        nw_plan_layer row = {.bits = 8};
        nw_plan_layer_of(&row, plan, costs->skeleton->nodes[i].name);
        if (costs->skeleton->nodes[i].linear)
            costs->skeleton->nodes[i].linear->weight_bits = (uint8_t)row.bits;
    }
}

/** What the quantizer will write down for a layer or tensor of codes (quant/follow.c). */
static nw_status follow(nw_plan *followed, const nw_costs *costs, const nw_plan *plan)
{
    for (int32_t i = 0; i < followed->n_layers; i++) {
        nw_plan_layer *row = &followed->layers[i];
        nw_plan_layer said = {.bits = 8, .method = (int32_t)costs->rounding};
        nw_plan_layer_of(&said, plan, row->key.name);
        row->bits = said.bits;
        row->method = said.bits < 8 ? said.method : NW_PLAN_UNSAID;
        row->book = nw_code_book_make(costs->book, said.bits).kind != NW_BOOK_UNIFORM ? (int32_t)costs->book : NW_PLAN_UNSAID;
        row->why = said.why ? nw_plan_brief(said.why) : NULL;
        if (said.why && !row->why)
            return NW_ERROR_MEMORY;
    }
    for (int32_t i = 0; i < followed->n_tensors; i++) {
        nw_plan_tensor *row = &followed->tensors[i];
        nw_plan_tensor said = {.bits = row->bits};
        nw_plan_tensor_of(&said, plan, row->key.name);
        row->bits = said.bits;
        row->why = said.why ? nw_plan_brief(said.why) : NULL;
        if (said.why && !row->why)
            return NW_ERROR_MEMORY;
    }
    return NW_OK;
}

nw_status nw_costs_file_bytes(size_t *bytes, nw_costs *costs, const nw_plan *plan, nw_error *error)
{
    nw_bytes file = {0};
    char *before = costs->skeleton->plan;
    nw_plan *followed = NULL;
    set_widths(costs, plan);
    nw_status status = nw_plan_parse(&followed, before, strlen(before), "plan", error);
    if (status)
        return status;
    status = follow(followed, costs, plan);
    costs->skeleton->plan = status ? NULL : nw_plan_print(followed);
    status = costs->skeleton->plan ? nw_model_serialize(&file, costs->skeleton, error)
                                   : nw_fail_memory(error, "counting bytes");
    free(costs->skeleton->plan);
    costs->skeleton->plan = before;
    if (!status)
        *bytes = file.size;
    nw_bytes_free(&file);
    nw_plan_free(followed);
    return status;
}
