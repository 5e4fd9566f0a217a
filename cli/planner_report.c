/* SPDX-License-Identifier: Apache-2.0 */
/* What the planner says: JSON and text (planner.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/planner.h"
#include "plan/measure_together.h"
#include "runtime/tuning.h"

#define FRONT 12 /* points */

static void report_front(cJSON *report, const nw_planner *planner)
{
    nw_front_point points[FRONT];
    int32_t n = FRONT;
    cJSON *front = cJSON_AddArrayToObject(report, "front");
    if (nw_search_front(points, &n, planner->search, NULL))
        return;
    for (int32_t i = 0; i < n; i++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddNumberToObject(row, "bytes", (double)points[i].bytes);
        cJSON_AddNumberToObject(row, "damage", points[i].damage);
        cJSON_AddNumberToObject(row, "mean_bits", points[i].mean_bits);
        cJSON_AddItemToArray(front, row);
    }
}

static void report_damage(cJSON *chosen, const char *name, const nw_damage *damage)
{
    cJSON *row = cJSON_AddObjectToObject(chosen, name);
    cJSON_AddNumberToObject(row, "divergence", damage->divergence);
    cJSON_AddNumberToObject(row, "noise", damage->noise);
    cJSON_AddNumberToObject(row, "changed", damage->changed);
}

static void report_measured(cJSON *report, const nw_planner *planner)
{
    const nw_measurement *m = planner->measurement;
    cJSON_AddNumberToObject(report, "margin", m->margin);
    cJSON *rows = cJSON_AddArrayToObject(report, "measured");
    for (int32_t i = 0; i < m->n; i++) {
        cJSON *row = cJSON_CreateObject();
        const double robustness = nw_measured_robustness(m, &m->rows[i]);
        cJSON_AddStringToObject(row, "name", m->rows[i].name);
        cJSON_AddNumberToObject(row, "noise_rate", nw_measured_rate(&m->rows[i]));
        if (!isnan(robustness))
            cJSON_AddNumberToObject(row, "robustness", robustness);
        cJSON_AddItemToArray(rows, row);
    }
}

static void report_found(cJSON *report, const nw_planner *planner)
{
    const nw_found *found = &planner->found;
    cJSON *chosen = cJSON_AddObjectToObject(report, "chosen");
    cJSON_AddNumberToObject(chosen, "bytes", (double)found->bytes);
    cJSON_AddNumberToObject(chosen, "arena_bytes", (double)found->activations.arena);
    cJSON_AddStringToObject(chosen, "activation_storage", found->activations.packed ? "packed" : "bytes");
    cJSON_AddStringToObject(chosen, "fusion", nw_fusion_names[planner->fusion]);
    cJSON_AddNumberToObject(chosen, "damage", found->damage);
    if (planner->damage_together.n) {
        const nw_damage sum = nw_measurement_sum(planner->measurement, found->choices);
        report_damage(chosen, "damage_sum", &sum);
        report_damage(chosen, "damage_together", &planner->damage_together);
    }
    if (!isnan(found->seconds)) {
        cJSON_AddNumberToObject(chosen, "milliseconds", 1e3 * found->seconds);
        cJSON_AddStringToObject(chosen, "accumulator", nw_plan_accumulators[planner->accumulator]);
    }
    if (!isnan(found->verdict.drop))
        cJSON_AddNumberToObject(chosen, "drop", found->verdict.drop);
    if (!isnan(found->verdict.error)) {
        cJSON_AddNumberToObject(chosen, "drop_standard_error", found->verdict.error);
        cJSON_AddNumberToObject(chosen, "drop_counted", found->verdict.counted);
    }
    cJSON_AddNumberToObject(chosen, "networks_tried", found->tried);
    cJSON_AddBoolToObject(chosen, "met", found->met);
    cJSON *trail = cJSON_AddArrayToObject(chosen, "trail");
    for (int32_t i = 0; i < found->tried; i++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddNumberToObject(row, "bytes", (double)found->trail[i].bytes);
        if (!isnan(found->trail[i].drop))
            cJSON_AddNumberToObject(row, "drop", found->trail[i].drop);
        cJSON_AddItemToArray(trail, row);
    }
    cJSON *layers = cJSON_AddArrayToObject(chosen, "layers");
    for (int32_t i = 0; i < planner->measurement->n; i++) {
        if (planner->measurement->rows[i].tensor)
            continue;
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "node", planner->measurement->rows[i].name);
        cJSON_AddNumberToObject(row, "bits", nw_choice_bits(found->choices[i]));
        if (!isnan(found->seconds))
            cJSON_AddStringToObject(row, "accumulator",
                                    nw_plan_accumulators[nw_choice_is_narrowed(found->choices[i])
                                                             ? NW_ACCUMULATOR_16 : planner->options->accumulator]);
        if (planner->measurement->rows[i].extra_points)
            cJSON_AddNumberToObject(row, "extra_points", nw_choice_is_extended(found->choices[i])
                                                             ? planner->measurement->rows[i].extra_points : 0);
        cJSON_AddItemToArray(layers, row);
    }
    if (!found->narrow)
        return;
    cJSON_AddNumberToObject(chosen, "activation_bits", found->activations.mean_bits);
    cJSON_AddNumberToObject(chosen, "activation_values", found->activations.values);
    cJSON *tensors = cJSON_AddArrayToObject(chosen, "tensors");
    for (int32_t i = 0; i < planner->measurement->n; i++) {
        if (!planner->measurement->rows[i].tensor)
            continue;
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "tensor", planner->measurement->rows[i].name);
        cJSON_AddNumberToObject(row, "bits", nw_choice_bits(found->choices[i]));
        if (planner->measurement->rows[i].extended)
            cJSON_AddStringToObject(row, "scheme",
                                    nw_plan_schemes[nw_choice_is_extended(found->choices[i]) ? NW_ACTIVATION_DQA
                                                                                             : NW_ACTIVATION_DIRECT]);
        cJSON_AddItemToArray(tensors, row);
    }
}

void nw_planner_report(cJSON *report, const nw_planner *planner)
{
    cJSON *samples = cJSON_AddObjectToObject(report, "samples");
    cJSON_AddNumberToObject(samples, "calibration", (double)(planner->choice.n - planner->choice.held));
    cJSON_AddNumberToObject(samples, "measured", planner->measurement->n_samples);
    cJSON_AddNumberToObject(samples, "held_out", (double)planner->choice.held);
    if (planner->holdout.measure)
        cJSON_AddNumberToObject(samples, "judged", (double)planner->holdout.n);
    cJSON *seconds = cJSON_AddObjectToObject(report, "phase_seconds");
    cJSON_AddNumberToObject(seconds, "calibrating", planner->seconds_calibrating);
    cJSON_AddNumberToObject(seconds, "measuring", planner->seconds_measuring);
    cJSON_AddNumberToObject(seconds, "searching", planner->seconds_searching);
    cJSON_AddStringToObject(report, "allocation", nw_allocation_names[planner->how]);
    cJSON_AddStringToObject(report, "damage_measure", nw_damage_names[planner->kind]);
    if (planner->holdout.measure)
        cJSON_AddStringToObject(report, "drop_measure", planner->holdout.measure);
    report_measured(report, planner);
    report_front(report, planner);
    if (planner->found.plan)
        report_found(report, planner);
}

static void print_front(const nw_planner *planner)
{
    nw_front_point points[FRONT];
    int32_t n = FRONT;
    if (nw_search_front(points, &n, planner->search, NULL))
        return;
    printf("%12s %12s %12s\n", "file bytes", "bits/weight", nw_damage_names[planner->kind]);
    for (int32_t i = 0; i < n; i++)
        printf("%12zu %12.2f %12.4g\n", points[i].bytes, points[i].mean_bits, points[i].damage);
}

/** "4", "4+3" with DQA's extra bits, "4+6p" with further points, "7n" with narrowed rows; "" if it was not chosen. */
static void choice_text(char *text, size_t size, const nw_planner *planner, int32_t i)
{
    const nw_measured *row = &planner->measurement->rows[i];
    const int32_t bits = planner->found.choices ? nw_choice_bits(planner->found.choices[i]) : 0;
    const bool extended = planner->found.choices && nw_choice_is_extended(planner->found.choices[i]);
    *text = '\0';
    if (!planner->found.choices || (row->tensor && !planner->found.narrow))
        return;
    if (!extended)
        snprintf(text, size, nw_choice_is_narrowed(planner->found.choices[i]) ? "%dn" : "%d", bits);
    else if (row->tensor)
        snprintf(text, size, "%d+%d", bits, planner->options->extra_bits);
    else
        snprintf(text, size, "%d+%dp", bits, row->extra_points);
}

void nw_planner_print_rows(const nw_planner *planner)
{
    const nw_measurement *m = planner->measurement;
    const nw_found *found = &planner->found;
    if (!found->choices && !m->robustness)
        return;
    int width = 4;
    for (int32_t i = 0; i < m->n; i++)
        width = (int)strlen(m->rows[i].name) > width ? (int)strlen(m->rows[i].name) : width;
    printf("%-*s %8s %12s %12s%s\n", width, "layer", "bits", nw_damage_names[planner->kind], "p_i",
           m->robustness ? "          t_i" : "");
    for (int32_t i = 0; i < m->n; i++) {
        char chosen[32];
        char damage[32] = "";
        choice_text(chosen, sizeof(chosen), planner, i);
        if (*chosen)
            snprintf(damage, sizeof(damage), "%.4g", nw_damage_of(&m->rows[i].at[found->choices[i]], planner->kind));
        printf("%-*s %8s %12s %12.4g", width, m->rows[i].name, chosen, damage, nw_measured_rate(&m->rows[i]));
        if (m->robustness)
            printf(" %12.4g", nw_measured_robustness(m, &m->rows[i]));
        printf("\n");
    }
    if (m->robustness)
        printf("margin %.4g\n", m->margin);
    printf("\n");
}

void nw_planner_print(const nw_planner *planner)
{
    const nw_found *found = &planner->found;
    print_front(planner);
    if (!found->plan)
        return;
    printf("chosen: %zu bytes, %s %.4g", found->bytes, nw_damage_names[planner->kind], found->damage);
    if (planner->damage_together.n)
        printf(" (%.4g measured at once)", nw_damage_of(&planner->damage_together, planner->kind));
    if (found->narrow)
        printf(", activations of %.2f bits, arena %zu bytes (%s%s)", found->activations.mean_bits,
               found->activations.arena, found->activations.packed ? "packed" : "bytes",
               planner->fusion == NW_FUSION_SMALL ? ", fused" : "");
    if (!isnan(found->seconds))
        printf(", %.3f ms expected, sums %s", 1e3 * found->seconds, nw_plan_accumulators[planner->accumulator]);
    if (!isnan(found->verdict.error))
        printf(", %.2f +- %.2f points expected to be lost (top1, %zu samples set aside, %zu with blends)",
               100.0 * (found->verdict.drop - found->verdict.error), 100.0 * found->verdict.error, planner->choice.held,
               planner->holdout.n);
    else if (!isnan(found->verdict.drop))
        printf(", %.2f points lost (%s, %zu samples set aside)", 100.0 * found->verdict.drop, planner->holdout.measure,
               planner->choice.held);
    printf("; %d networks tried, measured on %d samples in %.1f s, searched in %.1f s\n", found->tried,
           planner->measurement->n_samples, planner->seconds_measuring, planner->seconds_searching);
}
