/* SPDX-License-Identifier: Apache-2.0 */
/* See facts.h: what a network's file and its engine say without running anything. */
#include "cli/report/facts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "model/weight_storage.h"
#include "runtime/layout.h"

static uint64_t file_size(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static void count_weights(nw_layer_facts *layer, const nw_linear *l)
{
    for (size_t i = 0; i < (size_t)l->n_rows * (size_t)l->k; i++)
        layer->weights[l->weights[i] + 128]++;
}

/** Mean run and shares of the steps. */
static void sum_runs(nw_layer_facts *layer, const nw_linear *l)
{
    int64_t n_runs = 0;
    int64_t n_steps = 0;
    for (int32_t length = 1; length <= NW_LONGEST_RUN; length++) {
        n_runs += layer->runs.runs[length];
        n_steps += length * layer->runs.runs[length];
    }
    const double all = fmax(1.0, (double)(n_steps + layer->runs.wide));
    layer->mean_run = n_runs ? (double)n_steps / (double)n_runs : 0.0;
    layer->paired_share = (double)layer->runs.paired / all;
    layer->wide_share = (double)layer->runs.wide / all;
    layer->filled_share =
        /* steps of zeros are left out */
        fmin(1.0, (double)l->n_rows * (double)l->k / fmax(1.0, (double)layer->runs.places));
}

static void take_layer(nw_layer_facts *layer, const nw_network *network, int32_t n)
{
    const nw_model *model = network->model;
    const nw_node *node = &model->nodes[n];
    const nw_tensor *y = &model->tensors[node->output];
    size_t at = 0;
    *layer = (nw_layer_facts){.node = n,
                              .weight_bits = node->linear->weight_bits,
                              .planned_bits = node->linear->weight_bits,
                              .activation_bits = y->type == NW_TYPE_U8 ? y->quant.bits : 32,
                              .extra_bits = y->type == NW_TYPE_U8
                                                ? nw_quant_extra_bits(&y->quant, nw_tensor_channels(y), NULL) : 0,
                              .macs = nw_node_macs(model, node),
                              .weight_bytes = nw_weight_bytes(node->linear),
                              .n_weights = (uint64_t)node->linear->n_rows * (uint64_t)node->linear->k,
                              .kernel = nw_engine_kernel(network->engine, n),
                              .mean_run = NAN,
                              .paired_share = NAN,
                              .wide_share = NAN,
                              .filled_share = NAN,
                              .isolated_db = NAN,
                              .accumulated_db = NAN,
                              .damage = NAN,
                              .narrowed_damage = NAN};
    for (int32_t i = 0; i < y->rank && at < sizeof(layer->shape); i++)
        at += (size_t)snprintf(layer->shape + at, sizeof(layer->shape) - at, i ? "x%d" : "%d", y->dims[i]);
    for (int32_t b = 0; b < NW_FACT_WIDTHS; b++)
        layer->damage_by_bits[b] = layer->bytes_by_bits[b] = NAN;
    count_weights(layer, node->linear);
    layer->has_runs = nw_engine_count_runs(network->engine, n, &layer->runs);
    if (layer->has_runs)
        sum_runs(layer, node->linear);
    nw_facts_explain(layer, model, nw_engine_isa(network->engine));
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static nw_status take_tensor(nw_tensor_facts *facts, const nw_model *model, int32_t n)
{
    const nw_tensor *t = &model->tensors[model->nodes[n].output];
    const nw_quant *q = &t->quant;
    const int32_t channels = nw_tensor_channels(t);
    const double codes = (double)((1 << q->bits) - 1);
    *facts = (nw_tensor_facts){.tensor = model->nodes[n].output, .node = n, .n_limits = channels};
    facts->extra_bits = nw_quant_extra_bits(q, channels, &facts->n_fine);
    facts->at_limit_share = facts->accumulated_db = facts->damage = NAN;
    for (int32_t b = 0; b < NW_FACT_WIDTHS; b++)
        facts->damage_by_bits[b] = facts->bytes_by_bits[b] = NAN;
    facts->limits = malloc((size_t)channels * sizeof(*facts->limits));
    if (!facts->limits)
        return NW_ERROR_MEMORY;
    int32_t least = 255;
    int32_t most = 0;
    for (int32_t c = 0; c < channels; c++) {
        int32_t lowest;
        int32_t highest;
        nw_quant_code_range(q, c, &lowest, &highest);
        facts->limits[c] = (highest - lowest) / codes;
        least = lowest < least ? lowest : least;
        most = highest > most ? highest : most;
    }
    facts->lowest = (double)q->scale * (least - q->zero_point);
    facts->highest = (double)q->scale * (most - q->zero_point);
    qsort(facts->limits, (size_t)channels, sizeof(*facts->limits), compare_doubles);
    return NW_OK;
}

/** Whether a node rounds to the grid of its output; others pass codes on. */
static bool rounds(const nw_model *model, const nw_node *node)
{
    if (model->tensors[node->output].type != NW_TYPE_U8)
        return false;
    switch (node->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
    case NW_OP_QUANTIZE:
    case NW_OP_ADD:
    case NW_OP_AVERAGE_POOL:
    case NW_OP_TABLE:
        return true;
    default:
        return false;
    }
}

/** Why a node computes in reals; NULL if it does not. */
static const char *float_reason(const nw_model *model, const nw_node *node)
{
    if (node->linear || model->tensors[node->output].type != NW_TYPE_F32)
        return NULL;
    if (node->op == NW_OP_DEQUANTIZE)
        return "border: codes become reals, one product per value";
    return node->op == NW_OP_SOFTMAX ? "needs the sum of exponentials, which codes of 8 bits cannot hold"
                                     : "stands behind the last layer that has a grid";
}

static nw_status take_nodes(nw_facts *facts, const nw_network *network)
{
    const nw_model *model = network->model;
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_node *node = &model->nodes[n];
        const char *reason = float_reason(model, node);
        if (node->linear) {
            take_layer(&facts->layers[facts->n_layers++], network, n);
            facts->float_weight_bytes +=
                sizeof(float) * (uint64_t)node->linear->n_channels * (1 + (uint64_t)node->linear->k);
        }
        if (reason)
            facts->floats[facts->n_floats++] = (nw_float_facts){n, reason};
        if (rounds(model, node))
            NW_TRY(take_tensor(&facts->tensors[facts->n_tensors++], model, n));
    }
    return NW_OK;
}

nw_status nw_facts_create(nw_facts *facts, const nw_network *network, const char *path, nw_error *error)
{
    const size_t n = (size_t)network->model->n_nodes;
    *facts = (nw_facts){.path = path,
                        .model = network->model,
                        .isa = nw_isa_name(nw_engine_isa(network->engine)),
                        .file_bytes = file_size(path),
                        .activation_bytes = nw_engine_activation_size(network->engine),
                        .engine_bytes = nw_engine_total_size(network->engine),
                        .layers = calloc(n, sizeof(*facts->layers)),
                        .tensors = calloc(n, sizeof(*facts->tensors)),
                        .floats = calloc(n, sizeof(*facts->floats)),
                        .top1 = NAN,
                        .top1_standard_error = NAN,
                        .float_top1 = NAN,
                        .agreement = NAN,
                        .sqnr_db = NAN,
                        .chosen_bytes = NAN,
                        .chosen_damage = NAN};
    nw_shares_count(&facts->shares, network->model);
    nw_layout packed = {0};
    const nw_layout_options one_thread = {.packed = true, .lanes = 1};
    if (!nw_layout_make(&packed, network->model, &one_thread, NULL))
        facts->packed_activation_bytes = packed.size;
    nw_layout_free(&packed);
    const bool memory = facts->layers && facts->tensors && facts->floats;
    if (memory && !take_nodes(facts, network))
        return NW_OK;
    nw_facts_free(facts);
    return nw_fail_memory(error, "describing the network");
}

void nw_facts_free(nw_facts *facts)
{
    for (int32_t i = 0; i < facts->n_tensors; i++)
        free(facts->tensors[i].limits);
    free(facts->layers);
    free(facts->tensors);
    free(facts->floats);
    *facts = (nw_facts){0};
}

double nw_layer_milliseconds(const nw_facts *facts, const nw_layer_facts *layer)
{
    return facts->timing ? 1e3 * facts->timing->node_seconds[layer->node] : NAN;
}
