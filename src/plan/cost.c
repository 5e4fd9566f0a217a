/* SPDX-License-Identifier: Apache-2.0 */
/* See cost.h. Used by search.c. */
#include "plan/cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "model/file.h"

void nw_costs_free(nw_costs *costs)
{
    if (!costs)
        return;
    for (int32_t t = 0; costs->as_made && t < costs->skeleton->n_tensors; t++) {
        free(costs->as_made[t].lo);
        free(costs->as_made[t].hi);
    }
    free(costs->as_made);
    nw_model_free(costs->skeleton);
    free(costs->node_of);
    free(costs->codes_of);
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

/** Copies of what nw_costs_set_activation changes. */
static nw_status remember_grids(nw_costs *costs, nw_error *error)
{
    const nw_model *skeleton = costs->skeleton;
    costs->as_made = calloc((size_t)skeleton->n_tensors + 1, sizeof(*costs->as_made));
    if (!costs->as_made)
        return nw_fail_memory(error, "counting bytes");
    for (int32_t t = 0; t < skeleton->n_tensors; t++) {
        const nw_quant *from = &skeleton->tensors[t].quant;
        const size_t size = (size_t)nw_tensor_channels(&skeleton->tensors[t]) * sizeof(float);
        nw_quant *to = &costs->as_made[t];
        if (skeleton->tensors[t].type != NW_TYPE_U8)
            continue;
        *to = (nw_quant){.bits = from->bits, .zero_point = from->zero_point, .scale = from->scale,
                         .lo = malloc(size + 1), .hi = malloc(size + 1)};
        if (!to->lo || !to->hi)
            return nw_fail_memory(error, "counting bytes");
        memcpy(to->lo, from->lo, size);
        memcpy(to->hi, from->hi, size);
    }
    return NW_OK;
}

/** Codes keep the name of the tensor, with ".codes" behind it at the graph's borders (quant/emit.c). */
static int32_t find_codes(const nw_model *skeleton, const char *name)
{
    const size_t size = strlen(name);
    for (int32_t t = 0; t < skeleton->n_tensors; t++) {
        const nw_tensor *tensor = &skeleton->tensors[t];
        if (tensor->type == NW_TYPE_U8 && strncmp(tensor->name, name, size) == 0 &&
            (!tensor->name[size] || strcmp(tensor->name + size, ".codes") == 0))
            return t;
    }
    return NW_NONE;
}

nw_status nw_costs_create(nw_costs **out, const nw_model *model, const nw_calibration *calibration,
                          const nw_quantize_options *options, nw_error *error)
{
    nw_costs *costs = calloc(1, sizeof(*costs));
    if (!costs)
        return nw_fail_memory(error, "counting bytes");
    costs->n_nodes = model->n_nodes;
    costs->rounding = options->rounding;
    costs->book = options->book;
    costs->kind = options->activation_kind;
    costs->node_of = malloc(((size_t)model->n_nodes + 1) * sizeof(*costs->node_of));
    costs->codes_of = malloc(((size_t)model->n_tensors + 1) * sizeof(*costs->codes_of));
    nw_status status = costs->node_of && costs->codes_of ? make_skeleton(costs, model, calibration, options, error)
                                                         : nw_fail_memory(error, "counting bytes");
    if (!status)
        status = remember_grids(costs, error);
    if (status) {
        nw_costs_free(costs);
        return status;
    }
    nw_match_nodes(costs->node_of, model, costs->skeleton);
    for (int32_t t = 0; t < model->n_tensors; t++)
        costs->codes_of[t] = model->tensors[t].data ? NW_NONE : find_codes(costs->skeleton, model->tensors[t].name);
    *out = costs;
    return NW_OK;
}

void nw_costs_set_activation(nw_costs *costs, int32_t tensor, int32_t bits)
{
    const int32_t t = costs->codes_of[tensor];
    if (t == NW_NONE || bits > costs->as_made[t].bits)
        return;
    const nw_quant *from = &costs->as_made[t];
    nw_quant *to = &costs->skeleton->tensors[t].quant;
    const float coarser = exp2f((float)(from->bits - bits));
    to->bits = (uint8_t)bits;
    to->zero_point = (uint8_t)(from->zero_point >> (from->bits - bits));
    const float most = (float)((1 << bits) - 1 - to->zero_point);
    for (int32_t c = 0; c < nw_tensor_channels(&costs->skeleton->tensors[t]); c++) {
        to->lo[c] = fmaxf(ceilf(from->lo[c] / coarser), -(float)to->zero_point);
        to->hi[c] = fminf(ceilf(from->hi[c] / coarser), most);
    }
}

nw_layout_options nw_costs_storage(const nw_costs *costs, bool packed)
{
    return (nw_layout_options){.packed = packed, .fusion = costs->fusion, .lanes = 1};
}

nw_status nw_costs_arena(size_t *bytes, const nw_costs *costs, bool packed, nw_error *error)
{
    nw_layout layout;
    const nw_layout_options storage = nw_costs_storage(costs, packed);
    NW_TRY(nw_layout_make(&layout, costs->skeleton, &storage, error));
    *bytes = layout.size;
    nw_layout_free(&layout);
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

/** Width of a tensor's codes in the skeleton; `otherwise` if it has none. */
static int32_t width_of(const nw_costs *costs, const char *name, int32_t otherwise)
{
    const int32_t codes = find_codes(costs->skeleton, name);
    return codes == NW_NONE ? otherwise : costs->skeleton->tensors[codes].quant.bits;
}

/** What the quantizer will write down for a layer or tensor of codes (quant/follow.c). */
static nw_status follow(nw_plan *followed, const nw_costs *costs, const nw_plan *plan)
{
    for (int32_t i = 0; i < followed->n_layers; i++) {
        nw_plan_layer *row = &followed->layers[i];
        nw_plan_layer said = {.bits = 8, .method = (int32_t)costs->rounding, .extra_points = NW_PLAN_UNSAID};
        nw_plan_layer_of(&said, plan, row->key.name);
        row->bits = said.bits;
        row->method = said.bits < 8 ? said.method : NW_PLAN_UNSAID;
        row->extra_points = said.extra_points;
        row->book =
            nw_code_book_make(costs->book, said.bits).kind != NW_BOOK_UNIFORM ? (int32_t)costs->book : NW_PLAN_UNSAID;
        free(row->why); /* what the skeleton said, of --acc 16 for instance */
        row->why = said.why ? nw_plan_brief(said.why) : NULL;
        if (said.why && !row->why)
            return NW_ERROR_MEMORY;
    }
    for (int32_t i = 0; i < followed->n_tensors; i++) {
        nw_plan_tensor *row = &followed->tensors[i];
        nw_plan_tensor said = NW_PLAN_TENSOR_UNSAID;
        said.bits = row->bits;
        nw_plan_tensor_of(&said, plan, row->key.name);
        row->bits = said.bits;
        if (costs->kind != NW_ACTIVATION_DQA) { /* its codes have extra bits, and nobody gave them a width */
            row->bits = width_of(costs, row->key.name, said.bits);
            row->scheme = row->bits < 8 ? (int32_t)costs->kind : NW_PLAN_UNSAID;
        }
        if (said.scheme != NW_PLAN_UNSAID) {
            row->scheme = said.scheme;
            row->extra_bits = said.extra_bits;
            row->share = said.share;
        }
        free(row->why); /* what the skeleton said, of --acc 16 for instance */
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
