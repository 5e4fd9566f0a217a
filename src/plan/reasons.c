/* SPDX-License-Identifier: Apache-2.0 */
/* See reasons.h. Between search.c and quant/plan.h. */
#include "plan/reasons.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/json.h"

/** Four digits are enough for a reason, and short. */
static double rounded(double value)
{
    char text[32];
    snprintf(text, sizeof(text), "%.4g", value);
    return strtod(text, NULL);
}

static bool add_figures(cJSON *object, const nw_search_task *task, int32_t i, const nw_item *item, int32_t choice)
{
    const nw_measured *row = &task->measurement->rows[i];
    const double bytes = row->tensor ? ceil(item->size * nw_activations_stored_bits(task->options, choice) / 8.0)
                                     : item->cost[choice];
    const nw_times *times = nw_choice_is_narrowed(choice) ? task->narrowed_times : task->times;
    return cJSON_AddNumberToObject(object, "damage", rounded(item->damage[choice])) &&
           cJSON_AddNumberToObject(object, "bytes", bytes) &&
           (row->tensor || !times || nw_choice_is_extended(choice) ||
            cJSON_AddNumberToObject(object, "time", rounded(times->layers[row->index][nw_choice_bits(choice)])));
}

/** What `adaptive` goes by, where it was measured: p_i and t_i. */
static bool add_robustness(cJSON *why, const nw_measurement *measurement, const nw_measured *row)
{
    const double robustness = nw_measured_robustness(measurement, row);
    return isnan(robustness) || (cJSON_AddNumberToObject(why, "noise_rate", rounded(nw_measured_rate(row))) &&
                                 cJSON_AddNumberToObject(why, "robustness", rounded(robustness)));
}

/** A list of what the widths in `widths` (bit b) would do, as choices from `first` on. */
static bool add_list(cJSON *why, const char *key, const nw_search_task *task, int32_t i, const nw_item *item,
                     uint32_t widths, int32_t first)
{
    cJSON *list = cJSON_AddArrayToObject(why, key);
    for (int32_t b = NW_LEAST_BITS; list && b <= NW_MOST_BITS; b++) {
        if (!(widths >> b & 1u))
            continue;
        cJSON *one = cJSON_CreateObject();
        if (!one || !cJSON_AddItemToArray(list, one) || !cJSON_AddNumberToObject(one, "bits", b) ||
            !add_figures(one, task, i, item, first + b))
            return false;
    }
    return list != NULL;
}

static char *reason(const nw_search_task *task, int32_t i, const nw_item *item, int32_t choice)
{
    const nw_measured *row = &task->measurement->rows[i];
    cJSON *why = cJSON_CreateObject();
    const bool done = cJSON_AddStringToObject(why, "damage_measure", nw_damage_names[task->kind]) &&
                add_figures(why, task, i, item, choice) && add_robustness(why, task->measurement, row) &&
                add_list(why, "by_bits", task, i, item, ~0u, 0) &&
                (!row->extended || add_list(why, row->tensor ? "with_scheme" : "with_points", task, i, item,
                                            (2u << NW_MOST_EXTENDED_BITS) - 1u, nw_choice_extend(0))) &&
                (!item->narrowed || add_list(why, "narrowed", task, i, item, item->narrowed, nw_choice_narrow(0)));
    char *text = done ? cJSON_PrintUnformatted(why) : NULL;
    cJSON_Delete(why);
    return text;
}

/** Nodes may share a name; a plan's row speaks of all of them, so the first one decides. */
static bool is_named(const nw_plan *plan, const char *name)
{
    for (int32_t i = 0; i < plan->n_layers; i++)
        if (nw_plan_matches(&plan->layers[i].key, name))
            return true;
    return false;
}

static nw_status add_layer(nw_plan *plan, const nw_search_task *task, int32_t i, const nw_item *item, int32_t choice,
                           nw_error *error)
{
    const int32_t bits = nw_choice_bits(choice);
    const char *name = task->measurement->rows[i].name;
    nw_plan_layer *row;
    if (is_named(plan, name))
        return NW_OK;
    NW_TRY(nw_plan_add_layer(&row, plan, name, false, error));
    row->bits = bits;
    row->method = bits < 8 ? (int32_t)task->options->rounding : NW_PLAN_UNSAID;
    const nw_book_kind book = nw_code_book_make(task->options->book, bits).kind;
    row->book = book != NW_BOOK_UNIFORM ? (int32_t)book : NW_PLAN_UNSAID;
    if (nw_choice_is_extended(choice))
        row->extra_points = task->measurement->rows[i].extra_points;
    if (nw_choice_is_narrowed(choice))
        row->accumulator = (int32_t)NW_ACCUMULATOR_16;
    row->why = reason(task, i, item, choice);
    return row->why ? NW_OK : nw_fail_memory(error, "writing down reasons");
}

void nw_reasons_tensor(nw_plan_tensor *row, const nw_search_task *task, const nw_item *item)
{
    const nw_quantize_options *options = task->options;
    row->bits = item->least;
    if (options->activation_kind != NW_ACTIVATION_DQA || item->least == 8)
        return;
    row->scheme = item->extended ? (int32_t)NW_ACTIVATION_DQA : (int32_t)NW_ACTIVATION_DIRECT;
    if (item->extended) {
        row->extra_bits = options->extra_bits;
        row->share = options->share;
    }
}

/** What a tensor's widths would do; its width is left to the options unless it was chosen. */
static nw_status add_tensor(nw_plan *plan, const nw_search_task *task, int32_t i, const nw_item *item, bool narrow,
                            nw_error *error)
{
    const int32_t bits = item->least;
    nw_plan_tensor *row;
    NW_TRY(nw_plan_add_tensor(&row, plan, task->measurement->rows[i].name, false, error));
    /* sums in 16 bits want codes of their own widths: what is not narrow is left to them */
    const nw_accumulator accumulator = task->options->accumulator;
    const bool sums = accumulator == NW_ACCUMULATOR_16 || accumulator == NW_ACCUMULATOR_16_WRAP;
    if (narrow && !(sums && bits == task->options->activation_bits))
        nw_reasons_tensor(row, task, item);
    row->why = reason(task, i, item, item->extended ? nw_choice_extend(bits) : bits);
    return row->why ? NW_OK : nw_fail_memory(error, "writing down reasons");
}

nw_status nw_reasons_plan(nw_plan **out, const nw_search_task *task, const nw_item *items, const int32_t *choices,
                          bool narrow, nw_error *error)
{
    nw_plan *plan = nw_plan_create();
    nw_status status = plan ? NW_OK : nw_fail_memory(error, "a plan");
    if (plan && task->options->weight_storage != NW_STORED_PACKED)
        plan->weight_storage = (int32_t)task->options->weight_storage;
    for (int32_t i = 0; !status && i < task->measurement->n; i++)
        status = task->measurement->rows[i].tensor ? add_tensor(plan, task, i, &items[i], narrow, error)
                                                   : add_layer(plan, task, i, &items[i], choices[i], error);
    if (status)
        nw_plan_free(plan);
    else
        *out = plan;
    return status;
}
