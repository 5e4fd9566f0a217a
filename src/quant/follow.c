/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan beside the network: what it and the options say of every layer and tensor (between groups.c and equalize.c),
 * and what was done in the end (behind emit.c).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/patches.h"
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

/** Whether a linear node has no other linear node before it, and none behind it: the borders of the network. */
static void find_borders(const nw_scheme *scheme, int32_t index, bool *first, bool *last)
{
    const nw_model *model = scheme->model;
    bool *reached = calloc((size_t)model->n_tensors + 1, sizeof(*reached)); /* by data that passed a linear node */
    *first = reached != NULL;
    *last = *first;
    for (int32_t i = 0; reached && i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        bool any = nw_is_linear(node) && i < index;
        for (int32_t j = 0; j < node->n_inputs; j++)
            any = any || (node->inputs[j] != NW_NONE && reached[node->inputs[j]]);
        if (i == index) {
            *first = !any;
            memset(reached, 0, (size_t)model->n_tensors * sizeof(*reached));
            any = true;
        } else if (i > index && any && nw_is_linear(node)) {
            *last = false;
        }
        reached[node->output] = any;
    }
    free(reached);
}

/** Whether ranges are narrowed for the accumulator. */
static bool is_narrow(nw_accumulator accumulator)
{
    return accumulator == NW_ACCUMULATOR_16 || accumulator == NW_ACCUMULATOR_16_WRAP;
}

/** Accumulator of a node: 16-bit sums leave out the first layer and depthwise ones, which have few products to sum. */
static nw_accumulator accumulator_of(const nw_scheme *scheme, int32_t index, bool first)
{
    const nw_quantize_options *options = scheme->options;
    const nw_node *node = &scheme->model->nodes[index];
    const bool depthwise = node->groups > 1 && node->groups == scheme->tensors[node->inputs[0]].n_channels;
    return is_narrow(options->accumulator) && (depthwise || (first && !options->sums_first)) ? NW_ACCUMULATOR_AUTO
                                                                                             : options->accumulator;
}

/** Width, method and accumulator of a node: what the options say for all, and the plan for this one. */
static void settle_node(nw_scheme *scheme, int32_t index)
{
    nw_node_scheme *linear = &scheme->nodes[index];
    const nw_quantize_options *options = scheme->options;
    bool first, last;
    find_borders(scheme, index, &first, &last);
    const bool border = (first || last) && options->border_bits > options->weight_bits;
    nw_plan_layer row = {.bits = border ? options->border_bits : options->weight_bits,
                         .method = (int32_t)options->rounding,
                         .book = (int32_t)options->book,
                         .accumulator = NW_PLAN_UNSAID,
                         .extra_points = NW_PLAN_UNSAID};
    nw_plan_layer_of(&row, options->plan, scheme->model->nodes[index].name);
    linear->accumulator_said = row.accumulator != NW_PLAN_UNSAID;
    linear->accumulator =
        linear->accumulator_said ? (nw_accumulator)row.accumulator : accumulator_of(scheme, index, first);
    linear->sum_bits = NW_WRAPS_BITS;
    linear->weight_bits = row.bits;
    linear->book = nw_code_book_make((nw_book_kind)row.book, row.bits);
    linear->rounding = (nw_rounding)row.method;
    linear->extra_points = row.extra_points;
    linear->book_is_open = row.book == NW_BOOK_AUTO && nw_code_book_exists(NW_BOOK_FLINT, row.bits) &&
                           linear->rounding != NW_ROUND_PLAIN;
}

bool nw_scheme_has_points(const nw_scheme *scheme)
{
    bool any = scheme->options->point_budget > 0.0;
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        any = any || (scheme->nodes[i].mode == NW_MODE_LINEAR && scheme->nodes[i].extra_points != NW_PLAN_UNSAID);
    return any;
}

/** Further points have steps of their own, and there are few of them per channel. */
static nw_status check_points(const nw_scheme *scheme, int32_t index, nw_error *error)
{
    const nw_node_scheme *linear = &scheme->nodes[index];
    const nw_node *node = &scheme->model->nodes[index];
    const nw_linear_shape shape = nw_linear_shape_of(node, &scheme->model->tensors[node->inputs[1]]);
    const char *hindrance = linear->book.kind == NW_BOOK_SHARED ? "one step for all rows"
                            : !nw_patches_fit(&shape)           ? "so large a layer"
                            : is_narrow(linear->accumulator)    ? "ranges narrowed for 16-bit sums"
                            : scheme->options->points != NW_POINTS_BY_ERROR ? "the rivals of multipoint"
                                                                            : NULL;
    if (linear->extra_points <= 0)
        return NW_OK;
    if (linear->extra_points > (NW_MAX_POINTS - 1) * shape.n_channels)
        return nw_fail(error, NW_ERROR_USAGE, "plan: \"%s\": \"extra_points\": at most %d, %d for each channel",
                       node->name, (NW_MAX_POINTS - 1) * shape.n_channels, NW_MAX_POINTS - 1);
    if (hindrance)
        return nw_fail(error, NW_ERROR_USAGE, "plan: \"%s\": \"extra_points\" cannot go with %s", node->name,
                       hindrance);
    return NW_OK;
}

/** Marks the groups of tensors whose codes meet sums modulo 2^16. */
static void mark_sums(nw_scheme *scheme)
{
    const nw_model *model = scheme->model;
    for (int32_t t = 0; t < model->n_tensors; t++)
        scheme->tensors[t].sum_bits = 0;
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node_scheme *linear = &scheme->nodes[i];
        if (linear->mode != NW_MODE_LINEAR || linear->accumulator != NW_ACCUMULATOR_16_WRAP)
            continue;
        int32_t *bits = &scheme->tensors[scheme->tensors[model->nodes[i].inputs[0]].group].sum_bits;
        *bits = *bits && *bits < linear->sum_bits ? *bits : linear->sum_bits;
    }
    for (int32_t t = 0; t < model->n_tensors; t++)
        scheme->tensors[t].sum_bits = scheme->tensors[scheme->tensors[t].group].sum_bits;
}

/** What the options say of the group: narrow where they want narrow tensors, else 8 bits. */
static nw_plan_tensor options_of(const nw_scheme *scheme, int32_t group)
{
    const nw_quantize_options *options = scheme->options;
    bool input = false;
    bool wanted = options->placement == NW_PLACEMENT_ALL;
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        if (scheme->tensors[t].group != group || !scheme->tensors[t].code)
            continue;
        input = input || nw_model_producer(scheme->model, t) == NW_NONE;
        wanted = wanted || nw_scheme_ends_block(scheme, t);
    }
    const int32_t narrow = input && options->input_bits > options->activation_bits ? options->input_bits
                                                                                   : options->activation_bits;
    return (nw_plan_tensor){.bits = wanted ? narrow : 8,
                            .scheme = input ? (int32_t)NW_ACTIVATION_DIRECT : (int32_t)options->activation_kind,
                            .extra_bits = options->extra_bits,
                            .share = options->share};
}

static bool differ(const nw_plan_tensor *a, const nw_plan_tensor *b)
{
    return (b->bits != NW_PLAN_UNSAID && a->bits != NW_PLAN_UNSAID && a->bits != b->bits) ||
           (b->scheme != NW_PLAN_UNSAID && a->scheme != NW_PLAN_UNSAID && a->scheme != b->scheme) ||
           (b->extra_bits != NW_PLAN_UNSAID && a->extra_bits != NW_PLAN_UNSAID && a->extra_bits != b->extra_bits) ||
           (b->share >= 0.0 && a->share >= 0.0 && (a->share < b->share || a->share > b->share));
}

/** A row by name that speaks of DQA where there is none would be read for nothing. */
static nw_status check_dqa(const nw_plan *plan, const nw_plan_tensor *settled, const char *name, nw_error *error)
{
    for (int32_t i = 0; plan && settled->scheme != NW_ACTIVATION_DQA && i < plan->n_tensors; i++) {
        const nw_plan_tensor *row = &plan->tensors[i];
        if (!row->key.is_expression && row->scheme == NW_PLAN_UNSAID && nw_plan_matches(&row->key, name) &&
            nw_plan_tensor_wants_dqa(row))
            return nw_fail(error, NW_ERROR_USAGE,
                           "plan: \"%s\": \"extra_bits\", \"share\" and \"channels\" are for the "
                           "scheme \"dqa\", which it does not have",
                           name);
    }
    return NW_OK;
}

/** What the plan says of any member of the group over the options; two that differ contradict each other. */
static nw_status group_row(const nw_scheme *scheme, int32_t group, nw_plan_tensor *out, nw_error *error)
{
    const char *said_by = NULL;
    nw_plan_tensor said = NW_PLAN_TENSOR_UNSAID;
    *out = options_of(scheme, group);
    if (scheme->tensors[group].sum_bits && out->bits > scheme->tensors[group].sum_bits)
        out->bits = scheme->tensors[group].sum_bits;
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        if (scheme->tensors[t].group != group || !scheme->tensors[t].code)
            continue;
        const char *name = scheme->model->tensors[t].name;
        nw_plan_tensor row = NW_PLAN_TENSOR_UNSAID;
        nw_plan_tensor_of(&row, scheme->options->plan, name);
        if (said_by && differ(&said, &row))
            return nw_fail(
                error, NW_ERROR_USAGE,
                "tensors \"%s\" and \"%s\" share one grid, so what the plan says of their activation bits and "
                "scheme contradicts",
                said_by, name);
        nw_plan_tensor_of(&said, scheme->options->plan, name);
        nw_plan_tensor_of(out, scheme->options->plan, name);
        NW_TRY(check_dqa(scheme->options->plan, out, name, error));
        said_by = name;
    }
    return NW_OK;
}

/** Extra bits fit into 8 with the others; 8 bits need none, and no offset. */
static void settle_tensor(nw_tensor_scheme *tensor, const nw_plan_tensor *row)
{
    tensor->kind = row->bits < 8 ? (nw_activation_kind)row->scheme : NW_ACTIVATION_DIRECT;
    tensor->extra_bits = 0;
    if (tensor->kind == NW_ACTIVATION_DQA)
        tensor->extra_bits = row->extra_bits < 8 - row->bits ? row->extra_bits : 8 - row->bits;
    tensor->share = tensor->extra_bits ? row->share : 0.0;
    tensor->grid.bits = (uint8_t)(row->bits + tensor->extra_bits);
}

nw_status nw_scheme_settle(nw_scheme *scheme, nw_error *error)
{
    const nw_model *model = scheme->model;
    NW_TRY(check_rows(scheme, error));
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR) {
            settle_node(scheme, i);
            NW_TRY(check_points(scheme, i, error));
        }
    return nw_scheme_settle_tensors(scheme, error);
}

nw_status nw_scheme_settle_tensors(nw_scheme *scheme, nw_error *error)
{
    mark_sums(scheme);
    for (int32_t t = 0; t < scheme->model->n_tensors; t++) {
        nw_tensor_scheme *tensor = &scheme->tensors[t];
        const nw_tensor_scheme *first = &scheme->tensors[tensor->group];
        nw_plan_tensor row;
        if (tensor->group != t) {
            tensor->kind = first->kind;
            tensor->extra_bits = first->extra_bits;
            tensor->share = first->share;
            tensor->grid.bits = first->grid.bits;
            continue;
        }
        NW_TRY(group_row(scheme, t, &row, error));
        settle_tensor(tensor, &row);
    }
    return NW_OK;
}

/** Why the plan wanted it so, as the row that is written says too. */
static char *reason(const char *why)
{
    return why ? nw_plan_brief(why) : NULL;
}

/**
 * Adds to a row's reasons what 16-bit sums were planned with (sums.c, wraps.c). Bits: effective ones, 8 less the
 * logarithm of what was narrowed.
 */
static nw_status add_sums_reason(nw_plan_layer *row, const nw_node_scheme *linear)
{
    char text[384];
    const nw_sum_reasons *s = &linear->sums;
    const int n = snprintf(text, sizeof(text),
                           "{\"narrowed_channels\":%d,\"alpha\":%.2f,\"weight_alpha\":%.2f,\"activation_alpha\":%.2f,"
                           "\"effective_weight_bits\":%.2f,\"effective_activation_bits\":%.2f",
                           s->rows, s->weight_alpha * s->code_alpha, s->weight_alpha, s->code_alpha,
                           8.0 - log2(s->weight_alpha), s->code_bits);
    if (linear->accumulator == NW_ACCUMULATOR_16)
        snprintf(text + n, sizeof(text) - (size_t)n, ",\"run\":%.1f,\"longest_run\":%.0f,\"gain\":%.2f}", s->run,
                 s->longest, s->gain);
    else
        snprintf(text + n, sizeof(text) - (size_t)n, ",\"wraps_expected\":%.1e}", s->outside);
    char *why = nw_plan_add_reasons(row->why, text);
    free(row->why);
    row->why = why;
    return why ? NW_OK : NW_ERROR_MEMORY;
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
    row->bits = linear->book.bits; /* what was asked for: narrowed weights may be stored in fewer */
    row->method = linear->book.bits < 8 || linear->narrowed ? (int32_t)linear->rounding : NW_PLAN_UNSAID;
    row->book = linear->book.kind != NW_BOOK_UNIFORM ? (int32_t)linear->book.kind : NW_PLAN_UNSAID;
    row->accumulator = (int32_t)linear->accumulator;
    if (scheme->options->points == NW_POINTS_BY_ERROR &&
        (linear->extra_points != NW_PLAN_UNSAID || scheme->options->point_budget > 0.0))
        row->extra_points = linear->extra_points != NW_PLAN_UNSAID ? linear->extra_points : linear->given_points;
    const bool sums = is_narrow(linear->accumulator);
    row->why = reason(said.why);
    if (said.why && !row->why)
        return NW_ERROR_MEMORY;
    return sums ? add_sums_reason(row, linear) : NW_OK;
}

/** The important channels, of a tensor whose producer chose them. */
static nw_status list_channels(nw_plan_tensor *row, const nw_tensor_scheme *tensor)
{
    row->channels = malloc(((size_t)tensor->n_channels + 1) * sizeof(*row->channels));
    if (!row->channels)
        return NW_ERROR_MEMORY;
    for (int32_t c = 0; c < tensor->n_channels; c++)
        if (!tensor->shift[c])
            row->channels[row->n_channels++] = c;
    return NW_OK;
}

static nw_status add_tensor(nw_plan *plan, const nw_scheme *scheme, int32_t index)
{
    const char *name = scheme->model->tensors[index].name;
    const nw_tensor_scheme *tensor = &scheme->tensors[index];
    nw_plan_tensor said = NW_PLAN_TENSOR_UNSAID;
    nw_plan_tensor *row;
    nw_plan_tensor_of(&said, scheme->options->plan, name);
    NW_TRY(nw_plan_add_tensor(&row, plan, name, false, NULL));
    row->bits = tensor->grid.bits - tensor->extra_bits;
    if (row->bits < 8)
        row->scheme = (int32_t)tensor->kind;
    if (tensor->extra_bits) {
        row->extra_bits = tensor->extra_bits;
        row->share = tensor->share;
        if (nw_scheme_is_source(scheme, index))
            NW_TRY(list_channels(row, tensor));
    }
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
