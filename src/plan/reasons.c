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

static bool add_figures(cJSON *object, const nw_search_task *task, int32_t i, const nw_item *item, int32_t bits)
{
    const nw_measured *row = &task->measurement->rows[i];
    const double bytes = row->tensor ? ceil(item->size * bits / 8.0) : item->cost[bits];
    return cJSON_AddNumberToObject(object, "damage", rounded(item->damage[bits])) &&
           cJSON_AddNumberToObject(object, "bytes", bytes) &&
           (row->tensor || !task->times ||
            cJSON_AddNumberToObject(object, "time", rounded(task->times->layers[row->index][bits])));
}

static char *reason(const nw_search_task *task, int32_t i, const nw_item *item, int32_t bits)
{
    cJSON *why = cJSON_CreateObject();
    bool done = cJSON_AddStringToObject(why, "damage_measure", nw_damage_names[task->kind]) &&
                add_figures(why, task, i, item, bits);
    cJSON *list = done ? cJSON_AddArrayToObject(why, "by_bits") : NULL;
    done = list != NULL;
    for (int32_t b = NW_LEAST_BITS; done && b <= NW_MOST_BITS; b++) {
        cJSON *one = cJSON_CreateObject();
        done = one && cJSON_AddItemToArray(list, one) && cJSON_AddNumberToObject(one, "bits", b) &&
               add_figures(one, task, i, item, b);
    }
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

static nw_status add_layer(nw_plan *plan, const nw_search_task *task, int32_t i, const nw_item *item, int32_t bits,
                           nw_error *error)
{
    const char *name = task->measurement->rows[i].name;
    nw_plan_layer *row;
    if (is_named(plan, name))
        return NW_OK;
    NW_TRY(nw_plan_add_layer(&row, plan, name, false, error));
    row->bits = bits;
    row->method = bits < 8 ? (int32_t)task->options->rounding : NW_PLAN_UNSAID;
    const nw_book_kind book = nw_code_book_make(task->options->book, bits).kind;
    row->book = book != NW_BOOK_UNIFORM ? (int32_t)book : NW_PLAN_UNSAID;
    row->why = reason(task, i, item, bits);
    return row->why ? NW_OK : nw_fail_memory(error, "writing down reasons");
}

/** What a tensor's widths would do; its width is left to the options unless it was chosen. */
static nw_status add_tensor(nw_plan *plan, const nw_search_task *task, int32_t i, const nw_item *item, int32_t bits,
                            bool narrow, nw_error *error)
{
    nw_plan_tensor *row;
    NW_TRY(nw_plan_add_tensor(&row, plan, task->measurement->rows[i].name, false, error));
    /* sums in 16 bits want codes of their own widths: what is not narrow is left to them */
    const nw_accumulator accumulator = task->options->accumulator;
    const bool sums = accumulator == NW_ACCUMULATOR_16 || accumulator == NW_ACCUMULATOR_16_WRAP;
    if (narrow && !(sums && bits == task->options->activation_bits))
        row->bits = bits;
    row->why = reason(task, i, item, bits);
    return row->why ? NW_OK : nw_fail_memory(error, "writing down reasons");
}

nw_status nw_reasons_plan(nw_plan **out, const nw_search_task *task, const nw_item *items, const int32_t *bits,
                          bool narrow, nw_error *error)
{
    nw_plan *plan = nw_plan_create();
    nw_status status = plan ? NW_OK : nw_fail_memory(error, "a plan");
    if (plan && task->options->weight_storage != NW_STORED_PACKED)
        plan->weight_storage = (int32_t)task->options->weight_storage;
    for (int32_t i = 0; !status && i < task->measurement->n; i++)
        status = task->measurement->rows[i].tensor ? add_tensor(plan, task, i, &items[i], bits[i], narrow, error)
                                                   : add_layer(plan, task, i, &items[i], bits[i], error);
    if (status)
        nw_plan_free(plan);
    else
        *out = plan;
    return status;
}
