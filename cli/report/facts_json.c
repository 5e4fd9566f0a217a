/* SPDX-License-Identifier: Apache-2.0 */
/* The document of `narrow report --json` (docs/command-line.md). Numbers that were not measured are null. */
#include <math.h>

#include "cli/report/facts.h"

/** Null for NAN and infinity. */
static void add_real(cJSON *object, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
    else
        cJSON_AddNullToObject(object, key);
}

static void add_measured(cJSON *object, const char *key, double value)
{
    if (!isnan(value))
        add_real(object, key, value);
}

static void add_runs(cJSON *row, const nw_layer_facts *layer)
{
    cJSON *runs = layer->has_runs ? cJSON_AddArrayToObject(row, "runs") : NULL;
    for (int32_t length = 1; runs && length <= NW_LONGEST_RUN; length++) {
        if (!layer->runs.runs[length])
            continue;
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "steps", length);
        cJSON_AddNumberToObject(one, "count", (double)layer->runs.runs[length]);
        cJSON_AddItemToArray(runs, one);
    }
    add_measured(row, "mean_run", layer->mean_run);
    add_measured(row, "paired_share", layer->paired_share);
    add_measured(row, "wide_share", layer->wide_share);
    add_measured(row, "filled_share", layer->filled_share);
}

static void add_weights(cJSON *row, const nw_layer_facts *layer)
{
    cJSON *list = cJSON_AddArrayToObject(row, "weights");
    for (int32_t w = -128; w < 128; w++) {
        if (!layer->weights[w + 128])
            continue;
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "value", w);
        cJSON_AddNumberToObject(one, "count", (double)layer->weights[w + 128]);
        cJSON_AddItemToArray(list, one);
    }
}

static void add_by_bits(cJSON *row, double damage, int32_t n, const double *damages, const double *bytes)
{
    add_measured(row, "damage", damage);
    cJSON *list = n ? cJSON_AddArrayToObject(row, "by_bits") : NULL;
    for (int32_t bits = 1; list && bits <= 8; bits++) {
        if (isnan(damages[bits]) || isnan(bytes[bits]))
            continue;
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "bits", bits);
        cJSON_AddNumberToObject(one, "damage", damages[bits]);
        cJSON_AddNumberToObject(one, "bytes", bytes[bits]);
        cJSON_AddItemToArray(list, one);
    }
}

static cJSON *layer_row(const nw_facts *facts, const nw_layer_facts *layer)
{
    const nw_node *node = nw_layer_node(facts, layer);
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "node", node->name);
    cJSON_AddStringToObject(row, "op", nw_op_name(node->op));
    cJSON_AddStringToObject(row, "shape", layer->shape);
    cJSON_AddNumberToObject(row, "weight_bits", layer->weight_bits);
    cJSON_AddNumberToObject(row, "planned_bits", layer->planned_bits);
    cJSON_AddNumberToObject(row, "activation_bits", layer->activation_bits);
    cJSON_AddNumberToObject(row, "extra_bits", layer->extra_bits);
    cJSON_AddNumberToObject(row, "rows", node->linear->n_rows);
    cJSON_AddNumberToObject(row, "channels", node->linear->n_channels);
    cJSON_AddNumberToObject(row, "macs", (double)layer->macs);
    cJSON_AddNumberToObject(row, "mac_share", (double)layer->macs / fmax(1.0, (double)facts->shares.total_macs));
    cJSON_AddNumberToObject(row, "weight_bytes", (double)layer->weight_bytes);
    cJSON_AddStringToObject(row, "kernel", layer->kernel);
    cJSON_AddStringToObject(row, "why", layer->why);
    if (layer->narrowed[0])
        cJSON_AddStringToObject(row, "narrowed", layer->narrowed);
    if (!isnan(layer->narrowed_damage))
        cJSON_AddNumberToObject(row, "narrowed_damage", layer->narrowed_damage);
    add_measured(row, "milliseconds", nw_layer_milliseconds(facts, layer));
    if (facts->against && facts->data) {
        add_real(row, "isolated_db", layer->isolated_db);
        add_real(row, "accumulated_db", layer->accumulated_db);
    }
    add_by_bits(row, layer->damage, layer->n_by_bits, layer->damage_by_bits, layer->bytes_by_bits);
    add_weights(row, layer);
    add_runs(row, layer);
    return row;
}

static cJSON *tensor_row(const nw_facts *facts, const nw_tensor_facts *facts_of)
{
    const nw_tensor *t = &facts->model->tensors[facts_of->tensor];
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "tensor", t->name);
    cJSON_AddNumberToObject(row, "bits", t->quant.bits);
    cJSON_AddNumberToObject(row, "extra_bits", facts_of->extra_bits);
    cJSON_AddNumberToObject(row, "important_channels", facts_of->n_fine);
    cJSON_AddNumberToObject(row, "scale", (double)t->quant.scale);
    cJSON_AddNumberToObject(row, "zero_point", t->quant.zero_point);
    cJSON_AddNumberToObject(row, "lowest", facts_of->lowest);
    cJSON_AddNumberToObject(row, "highest", facts_of->highest);
    cJSON_AddItemToObject(row, "limit_shares", cJSON_CreateDoubleArray(facts_of->limits, facts_of->n_limits));
    if (facts->data) {
        cJSON *codes = cJSON_AddArrayToObject(row, "codes");
        for (int32_t code = 0; code < 1 << t->quant.bits; code++)
            cJSON_AddItemToArray(codes, cJSON_CreateNumber((double)facts_of->codes[code]));
        add_real(row, "at_limit_share", facts_of->at_limit_share);
    }
    if (facts->against && facts->data)
        add_real(row, "accumulated_db", facts_of->accumulated_db);
    add_by_bits(row, facts_of->damage, facts_of->n_by_bits, facts_of->damage_by_bits, facts_of->bytes_by_bits);
    return row;
}

static void add_scores(cJSON *report, const nw_facts *facts)
{
    if (!facts->data)
        return;
    cJSON_AddStringToObject(report, "data", facts->data);
    cJSON_AddNumberToObject(report, "samples", (double)facts->samples);
    cJSON_AddNumberToObject(report, "error_samples", (double)facts->error_samples);
    add_measured(report, "top1", facts->top1);
    add_measured(report, "top1_standard_error", facts->top1_standard_error);
    add_measured(report, "float_top1", facts->float_top1);
    if (!facts->against)
        return;
    cJSON_AddNumberToObject(report, "agreement", facts->agreement);
    add_real(report, "sqnr_db", facts->sqnr_db);
}

static void add_times(cJSON *report, const nw_facts *facts)
{
    if (!facts->timing)
        return;
    cJSON_AddNumberToObject(report, "threads", (double)facts->threads);
    cJSON_AddNumberToObject(report, "runs", (double)facts->runs);
    cJSON_AddNumberToObject(report, "milliseconds", 1e3 * facts->timing->seconds);
    if (!facts->against)
        return;
    cJSON_AddNumberToObject(report, "float_milliseconds", 1e3 * facts->timing->rival_seconds[0]);
    cJSON_AddNumberToObject(report, "ratio", facts->timing->rival_seconds[0] / facts->timing->seconds);
}

static void add_plan(cJSON *report, const nw_facts *facts)
{
    if (facts->damage_measure[0])
        cJSON_AddStringToObject(report, "damage_measure", facts->damage_measure);
    if (!facts->n_front)
        return;
    cJSON *front = cJSON_AddArrayToObject(report, "front");
    for (int32_t i = 0; i < facts->n_front; i++) {
        cJSON *point = cJSON_CreateObject();
        cJSON_AddNumberToObject(point, "bytes", facts->front_bytes[i]);
        cJSON_AddNumberToObject(point, "damage", facts->front_damage[i]);
        cJSON_AddItemToArray(front, point);
    }
    cJSON *chosen = cJSON_AddObjectToObject(report, "chosen");
    cJSON_AddNumberToObject(chosen, "bytes", facts->chosen_bytes);
    cJSON_AddNumberToObject(chosen, "damage", facts->chosen_damage);
}

static void add_floats(cJSON *report, const nw_facts *facts)
{
    cJSON *list = cJSON_AddArrayToObject(report, "in_float");
    for (int32_t i = 0; i < facts->n_floats; i++) {
        const nw_node *node = &facts->model->nodes[facts->floats[i].node];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "node", node->name);
        cJSON_AddStringToObject(row, "op", nw_op_name(node->op));
        cJSON_AddStringToObject(row, "why", facts->floats[i].why);
        cJSON_AddItemToArray(list, row);
    }
}

cJSON *nw_facts_json(const nw_facts *facts)
{
    cJSON *report = cJSON_CreateObject();
    cJSON_AddStringToObject(report, "model", facts->path);
    cJSON_AddNumberToObject(report, "file_bytes", (double)facts->file_bytes);
    cJSON_AddNumberToObject(report, "float_weight_bytes", (double)facts->float_weight_bytes);
    cJSON_AddNumberToObject(report, "activation_bytes", (double)facts->activation_bytes);
    cJSON_AddNumberToObject(report, "packed_activation_bytes", (double)facts->packed_activation_bytes);
    cJSON_AddNumberToObject(report, "engine_bytes", (double)facts->engine_bytes);
    if (facts->against) {
        cJSON_AddStringToObject(report, "against", facts->against);
        cJSON_AddNumberToObject(report, "against_bytes", (double)facts->against_bytes);
    }
    nw_shares_report(report, facts->model, NULL);
    cJSON_AddStringToObject(report, "isa", facts->isa);
    add_scores(report, facts);
    add_times(report, facts);
    add_plan(report, facts);
    cJSON *layers = cJSON_AddArrayToObject(report, "layers");
    for (int32_t i = 0; i < facts->n_layers; i++)
        cJSON_AddItemToArray(layers, layer_row(facts, &facts->layers[i]));
    cJSON *tensors = cJSON_AddArrayToObject(report, "tensors");
    for (int32_t i = 0; i < facts->n_tensors; i++)
        cJSON_AddItemToArray(tensors, tensor_row(facts, &facts->tensors[i]));
    add_floats(report, facts);
    return report;
}
