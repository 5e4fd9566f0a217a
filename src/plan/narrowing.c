/* SPDX-License-Identifier: Apache-2.0 */
/* See narrowing.h. Both walk the network once, like measure.c. */
#include "plan/narrowing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"
#include "plan/measure_run.h"

/** The row that names a node, or NULL. */
static nw_plan_layer *row_of(nw_plan *plan, const char *name)
{
    for (int32_t i = 0; plan && i < plan->n_layers; i++)
        if (!plan->layers[i].key.is_expression && nw_plan_matches(&plan->layers[i].key, name))
            return &plan->layers[i];
    return NULL;
}

/** Whether sums.c narrowed channels of the layer. */
static bool is_narrowed(const nw_plan_layer *row)
{
    if (!row || !row->why || row->accumulator != (int32_t)NW_ACCUMULATOR_16)
        return false;
    cJSON *why = cJSON_Parse(row->why);
    const cJSON *channels = cJSON_GetObjectItemCaseSensitive(why, "narrowed_channels");
    const bool some = cJSON_IsNumber(channels) && channels->valuedouble > 0.0;
    cJSON_Delete(why);
    return some;
}

static nw_status add_reasons(nw_plan_layer *row, const char *more, nw_error *error)
{
    char *why = nw_plan_add_reasons(row->why, more);
    if (!why)
        return nw_fail_memory(error, "writing down reasons");
    free(row->why);
    row->why = why;
    return NW_OK;
}

/** The layer's row of a measurement, or NULL. */
static const nw_measured *measured(const nw_measurement *measurement, int32_t node)
{
    for (int32_t i = 0; i < measurement->n; i++)
        if (!measurement->rows[i].tensor && measurement->rows[i].index == node)
            return &measurement->rows[i];
    return NULL;
}

/** Measures one layer, unless that is done, and writes it into its row. */
static nw_status explain(nw_measure_run *run, const nw_measurement *known, int32_t node, nw_plan_layer *row,
                         nw_damage_kind kind, nw_error *error)
{
    char text[128];
    nw_measured own = {.index = node};
    const nw_measured *is = measured(known, node);
    if (!is || !(is->narrowed >> row->bits & 1u)) {
        NW_TRY(nw_prefix_advance(run->prefix, node, error));
        NW_TRY(nw_measure_narrowed(run, &own, 1u << row->bits, error));
        is = &own;
    }
    const nw_damage *damage = &is->at[nw_choice_narrow(row->bits)];
    snprintf(text, sizeof(text), "{\"narrowed_damage\":%.4g,\"narrowed_changed\":%.4g}", nw_damage_of(damage, kind),
             damage->changed);
    return add_reasons(row, text, error);
}

static nw_status explain_all(nw_measure_run *run, const nw_measurement *known, nw_plan *own, nw_plan *plan,
                             nw_damage_kind kind, nw_error *error)
{
    for (int32_t i = 0; i < run->model->n_nodes; i++) {
        const char *name = run->model->nodes[i].name;
        nw_plan_layer *row = nw_trials_is_layer(run->trials, i) ? row_of(own, name) : NULL;
        bool named = false; /* nodes may share a name, and then a row */
        for (int32_t j = 0; row && j < i; j++)
            named = named || strcmp(run->model->nodes[j].name, name) == 0;
        if (named || !is_narrowed(row))
            continue;
        NW_TRY(explain(run, known, i, row, kind, error));
        nw_plan_layer *other = row_of(plan, name);
        if (other)
            NW_TRY(add_reasons(other, row->why, error));
    }
    return NW_OK;
}

nw_status nw_narrowing_explain(nw_model *integer, nw_plan *plan, const nw_measurement *known, const nw_model *model,
                               nw_trials *trials, const float *const *samples, int32_t n, nw_damage_kind kind,
                               nw_error *error)
{
    nw_plan *own = NULL;
    nw_measurement about = {0};
    nw_measure_run run = {0};
    bool any = false;
    NW_TRY(nw_plan_parse(&own, integer->plan, strlen(integer->plan), "the plan", error));
    for (int32_t i = 0; i < own->n_layers; i++)
        any = any || is_narrowed(&own->layers[i]);
    nw_status status = any ? nw_measure_start(&run, &about, model, trials, samples, n, false, error) : NW_OK;
    if (any && !status)
        status = explain_all(&run, known, own, plan, kind, error);
    nw_measure_end(&run);
    char *text = any && !status ? nw_plan_print(own) : NULL;
    if (text) {
        free(integer->plan);
        integer->plan = text;
    } else if (any && !status) {
        status = nw_fail_memory(error, "writing down the plan");
    }
    nw_plan_free(own);
    return status;
}

nw_status nw_narrowing_measure(nw_measurement *measurement, const uint32_t *wanted, const nw_model *model,
                               nw_trials *trials, const float *const *samples, int32_t n,
                               void (*progress)(void *context, int64_t done, int64_t total), void *context,
                               nw_error *error)
{
    nw_measure_run run = {0};
    int64_t total = 0;
    int64_t done = 0;
    for (int32_t i = 0; i < measurement->n; i++)
        total += (wanted[i] & ~measurement->rows[i].narrowed) != 0;
    nw_status status = total ? nw_measure_start(&run, measurement, model, trials, samples, n, false, error) : NW_OK;
    for (int32_t i = 0; !status && i < measurement->n; i++) {
        nw_measured *row = &measurement->rows[i];
        const uint32_t open = wanted[i] & ~row->narrowed;
        if (!open)
            continue;
        status = nw_prefix_advance(run.prefix, row->node, error);
        if (!status)
            status = nw_measure_narrowed(&run, row, open, error);
        if (!status && progress)
            progress(context, ++done, total);
    }
    nw_measure_end(&run);
    return status;
}
