/* SPDX-License-Identifier: Apache-2.0 */
/* See reasons.h. Between search.c and quant/plan.h. */
#include "plan/reasons.h"

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

static bool add_figures(cJSON *object, const nw_search_task *task, int32_t i, const nw_item *item, int32_t bits,
                        bool measure)
{
    return cJSON_AddNumberToObject(object, "damage", rounded(item->damage[bits])) &&
           (!measure || cJSON_AddStringToObject(object, "damage_measure", nw_damage_names[task->kind])) &&
           cJSON_AddNumberToObject(object, "bytes", item->cost[bits]) &&
           (!task->times || cJSON_AddNumberToObject(object, "time",
                                                    rounded(task->times->layers[task->measurement->rows[i].index][bits])));
}

static char *reason(const nw_search_task *task, int32_t i, const nw_item *item, int32_t bits)
{
    cJSON *why = cJSON_CreateObject();
    bool done = add_figures(why, task, i, item, bits, true);
    cJSON *list = done ? cJSON_AddArrayToObject(why, "by_bits") : NULL;
    done = list != NULL;
    for (int32_t b = item->least; done && b <= item->most; b++) {
        cJSON *one = cJSON_CreateObject();
        done = one && cJSON_AddItemToArray(list, one) && cJSON_AddNumberToObject(one, "bits", b) &&
               add_figures(one, task, i, item, b, false);
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
    row->why = reason(task, i, item, bits);
    return row->why ? NW_OK : nw_fail_memory(error, "writing down reasons");
}

nw_status nw_reasons_plan(nw_plan **out, const nw_search_task *task, const nw_item *items, const int32_t *bits,
                          nw_error *error)
{
    nw_plan *plan = nw_plan_create();
    nw_status status = plan ? NW_OK : nw_fail_memory(error, "a plan");
    for (int32_t i = 0; !status && i < task->measurement->n; i++)
        if (!task->measurement->rows[i].tensor)
            status = add_layer(plan, task, i, &items[i], bits[i], error);
    if (status)
        nw_plan_free(plan);
    else
        *out = plan;
    return status;
}
