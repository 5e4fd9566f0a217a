/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plan says of why: each layer's and tensor's damage, and from the damages of all widths the front, the least
 * damage for every size (facts.h: nw_facts_add_plan). A plan as `narrow plan` writes it:
 *
 *     "why": {"damage": .., "damage_measure": "divergence", "bytes": ..,
 *             "by_bits": [{"bits": 2, "damage": .., "bytes": ..}]}
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report/facts.h"
#include "model/json.h"
#include "plan/allocate.h"

/** The number called `key`, or NAN. */
static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) && isfinite(item->valuedouble) ? item->valuedouble : NAN;
}

/** Damages and bytes by bits. @return how many widths have both */
static int32_t take_widths(double *damages, double *bytes, const cJSON *list)
{
    int32_t n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        int32_t bits;
        if (!nw_json_int(&bits, cJSON_GetObjectItemCaseSensitive(item, "bits"), 1, 8))
            continue;
        damages[bits] = number(item, "damage");
        bytes[bits] = number(item, "bytes");
    }
    for (int32_t bits = 1; bits <= 8; bits++)
        n += !isnan(damages[bits]) && !isnan(bytes[bits]);
    return n;
}

/** A row's damage and its unit. */
static double take_damage(nw_facts *facts, const cJSON *object)
{
    const cJSON *measure = cJSON_GetObjectItemCaseSensitive(object, "damage_measure");
    const double damage = number(object, "damage");
    if (!isnan(damage))
        snprintf(facts->damage_measure, sizeof(facts->damage_measure), "%s",
                 cJSON_IsString(measure) ? measure->valuestring : "damage");
    return damage;
}

/** What --acc narrowed in a layer (quant/sums.c), if it did, and what that does to the answer (plan/narrowing.c). */
static void take_narrowing(nw_layer_facts *layer, const nw_linear *linear, const cJSON *why)
{
    const double rows = linear->accumulator == NW_ACCUMULATOR_16 ? number(why, "narrowed_channels") : NAN;
    const double alpha = number(why, "weight_alpha");
    const double gain = number(why, "gain");
    const double run = number(why, "run");
    const double exact = number(why, "damage");
    const double changed = number(why, "narrowed_changed");
    const cJSON *measure = cJSON_GetObjectItemCaseSensitive(why, "damage_measure");
    layer->narrowed_damage = number(why, "narrowed_damage");
    if (isnan(rows) || isnan(alpha) || isnan(gain) || isnan(run))
        return;
    const int n = snprintf(layer->narrowed, sizeof(layer->narrowed),
                           "For 16-bit sums the weights of %.0f of %d channels were narrowed, on average to 1/%.1f: "
                           "sums of %.1f steps, %.2f times as fast as exact 8 bits by forecast%s", rows,
                           linear->n_channels, alpha, run, gain,
                           layer->has_runs ? "" : " where kernels sum in 16 bits, which this one does not");
    if (isnan(exact) || isnan(layer->narrowed_damage) || isnan(changed) || !cJSON_IsString(measure))
        snprintf(layer->narrowed + n, sizeof(layer->narrowed) - (size_t)n, ".");
    else
        snprintf(layer->narrowed + n, sizeof(layer->narrowed) - (size_t)n,
                 ". By itself that takes its damage (%s) from %.3g to %.3g and changes %.2f %% of the answers.",
                 measure->valuestring, exact, layer->narrowed_damage, 100.0 * changed);
}

static void take_reason(nw_facts *facts, nw_layer_facts *layer, const char *why)
{
    cJSON *object = cJSON_Parse(why);
    take_narrowing(layer, nw_layer_node(facts, layer)->linear, object);
    layer->damage = take_damage(facts, object);
    layer->n_by_bits = take_widths(layer->damage_by_bits, layer->bytes_by_bits,
                                   cJSON_GetObjectItemCaseSensitive(object, "by_bits"));
    cJSON_Delete(object);
}

/** Codes at the graph's borders carry ".codes" behind the name that plans know. */
static void take_tensor_reason(nw_facts *facts, nw_tensor_facts *tensor, const nw_plan *plan)
{
    const char *full = facts->model->tensors[tensor->tensor].name;
    const size_t size = strlen(full);
    nw_plan_tensor row = NW_PLAN_TENSOR_UNSAID;
    char name[256];
    snprintf(name, sizeof(name), "%s", full);
    if (size > 6 && size < sizeof(name) && strcmp(full + size - 6, ".codes") == 0)
        name[size - 6] = '\0';
    nw_plan_tensor_of(&row, plan, name);
    if (!row.why)
        nw_plan_tensor_of(&row, plan, full);
    cJSON *object = row.why ? cJSON_Parse(row.why) : NULL;
    tensor->damage = take_damage(facts, object);
    tensor->n_by_bits = take_widths(tensor->damage_by_bits, tensor->bytes_by_bits,
                                    cJSON_GetObjectItemCaseSensitive(object, "by_bits"));
    cJSON_Delete(object);
}

/** The widths of a layer as the allocation reads them: those measured, which are neighbours. False: too few. */
static bool make_item(nw_item *item, const nw_layer_facts *layer)
{
    *item = (nw_item){.size = (double)layer->n_weights};
    for (int32_t bits = 1; bits <= 8; bits++) {
        if (isnan(layer->damage_by_bits[bits]) || isnan(layer->bytes_by_bits[bits]))
            continue;
        item->least = item->least ? item->least : bits;
        if (item->most && item->most + 1 != bits)
            return false;
        item->most = bits;
        item->damage[bits] = fmax(0.0, layer->damage_by_bits[bits]);
        item->cost[bits] = layer->bytes_by_bits[bits];
    }
    return item->most > 0;
}

static nw_status find_front(nw_facts *facts, const nw_item *items, int32_t *bits, nw_error *error)
{
    const int32_t n = facts->n_layers;
    double least = 0.0;
    double most = 0.0;
    for (int32_t i = 0; i < n; i++) {
        least += items[i].cost[items[i].least];
        most += items[i].cost[items[i].most];
    }
    for (int32_t p = 0; p < NW_FACT_FRONT; p++) {
        bool fits;
        const double budget = least + (most - least) * p / (NW_FACT_FRONT - 1);
        NW_TRY(nw_allocate(bits, &fits, items, n, budget, NW_ALLOCATE_EXACT, error));
        const double bytes = nw_items_cost(items, n, bits);
        if (!fits || (facts->n_front && bytes <= facts->front_bytes[facts->n_front - 1]))
            continue;
        facts->front_bytes[facts->n_front] = bytes;
        facts->front_damage[facts->n_front++] = nw_items_damage(items, n, bits);
    }
    for (int32_t i = 0; i < n; i++)
        bits[i] = facts->layers[i].planned_bits;
    facts->chosen_bytes = nw_items_cost(items, n, bits);
    facts->chosen_damage = nw_items_damage(items, n, bits);
    return NW_OK;
}

/** There is a front if the planner measured all layers, each also at the width it got. */
static nw_status add_front(nw_facts *facts, nw_error *error)
{
    const size_t n = (size_t)facts->n_layers;
    nw_item *items = calloc(n + 1, sizeof(*items));
    int32_t *bits = calloc(n + 1, sizeof(*bits));
    nw_status status = items && bits ? NW_OK : nw_fail_memory(error, "the front");
    bool whole = n > 0;
    for (size_t i = 0; !status && whole && i < n; i++) {
        const int32_t b = facts->layers[i].planned_bits;
        whole = make_item(&items[i], &facts->layers[i]) && items[i].least <= b && b <= items[i].most;
    }
    if (!status && whole)
        status = find_front(facts, items, bits, error);
    free(items);
    free(bits);
    return status;
}

nw_status nw_facts_add_plan(nw_facts *facts, const nw_plan *plan, nw_error *error)
{
    for (int32_t i = 0; i < facts->n_layers; i++) {
        nw_plan_layer row = {.bits = NW_PLAN_UNSAID};
        nw_plan_layer_of(&row, plan, nw_layer_node(facts, &facts->layers[i])->name);
        if (row.bits != NW_PLAN_UNSAID)
            facts->layers[i].planned_bits = row.bits;
        if (row.why)
            take_reason(facts, &facts->layers[i], row.why);
    }
    for (int32_t i = 0; i < facts->n_tensors; i++)
        take_tensor_reason(facts, &facts->tensors[i], plan);
    return add_front(facts, error);
}
