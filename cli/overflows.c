/* SPDX-License-Identifier: Apache-2.0 */
/* See overflows.h. */
#include "cli/overflows.h"

#include <stdio.h>

#include "model/file_graph.h"

/** The whole network's counts. */
static nw_overflow_count total_of(const nw_overflow *overflow, const nw_model *model)
{
    nw_overflow_count total = {0};
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_overflow_count *c = nw_overflow_counts(overflow, n);
        if (!c)
            continue;
        total.lowest = c->lowest < total.lowest || !total.sums ? c->lowest : total.lowest;
        total.highest = c->highest > total.highest || !total.sums ? c->highest : total.highest;
        total.sums += c->sums;
        total.sums_outside += c->sums_outside;
        total.centred_outside += c->centred_outside;
        total.partial_sums += c->partial_sums;
        total.partial_sums_outside += c->partial_sums_outside;
        total.runs += c->runs;
        total.runs_outside += c->runs_outside;
    }
    return total;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0.0;
}

static void print_count(const char *name, const char *accumulator, const nw_overflow_count *c)
{
    printf("%-32s %-8s %13llu %11.4f %% %11.4f %% %11.4f %% %14llu %9d %9d\n", name, accumulator,
           (unsigned long long)c->sums, 100.0 * share(c->sums_outside, c->sums),
           100.0 * share(c->centred_outside, c->sums), 100.0 * share(c->partial_sums_outside, c->partial_sums),
           (unsigned long long)c->runs_outside, (int)c->lowest, (int)c->highest);
}

void nw_overflows_print(const nw_overflow *overflow, const nw_model *model)
{
    printf("\nsums outside of 16 bits, had one 16-bit number held each\n%-32s %-8s %13s %13s %13s %13s %14s %9s %9s\n",
           "layer", "sums in", "sums", "outside", "less z", "partial sums", "proven runs", "lowest", "highest");
    for (int32_t n = 0; n < model->n_nodes; n++)
        if (nw_overflow_counts(overflow, n))
            print_count(model->nodes[n].name, nw_file_accumulators[model->nodes[n].linear->accumulator],
                        nw_overflow_counts(overflow, n));
    const nw_overflow_count total = total_of(overflow, model);
    print_count("all", "", &total);
}

static void add_count(cJSON *object, const nw_overflow_count *c)
{
    cJSON_AddNumberToObject(object, "sums", (double)c->sums);
    cJSON_AddNumberToObject(object, "sums_outside", (double)c->sums_outside);
    cJSON_AddNumberToObject(object, "centred_outside", (double)c->centred_outside);
    cJSON_AddNumberToObject(object, "partial_sums", (double)c->partial_sums);
    cJSON_AddNumberToObject(object, "partial_sums_outside", (double)c->partial_sums_outside);
    cJSON_AddNumberToObject(object, "runs", (double)c->runs);
    cJSON_AddNumberToObject(object, "runs_outside", (double)c->runs_outside);
    cJSON_AddNumberToObject(object, "lowest", c->lowest);
    cJSON_AddNumberToObject(object, "highest", c->highest);
}

void nw_overflows_report(cJSON *document, const nw_overflow *overflow, const nw_model *model)
{
    cJSON *object = cJSON_AddObjectToObject(document, "overflows");
    const nw_overflow_count total = total_of(overflow, model);
    add_count(object, &total);
    cJSON *layers = cJSON_AddArrayToObject(object, "layers");
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_node *node = &model->nodes[n];
        if (!nw_overflow_counts(overflow, n))
            continue;
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "node", node->name);
        cJSON_AddStringToObject(row, "accumulator", nw_file_accumulators[node->linear->accumulator]);
        cJSON_AddNumberToObject(row, "k", node->linear->k);
        cJSON_AddNumberToObject(row, "groups", node->groups);
        add_count(row, nw_overflow_counts(overflow, n));
        cJSON_AddItemToArray(layers, row);
    }
}
