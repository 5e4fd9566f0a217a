/* SPDX-License-Identifier: Apache-2.0 */
/* See planner.h: from what was measured to what is found, and times for it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "cli/cache.h"
#include "cli/planner_parts.h"
#include "kernels/cpu.h"
#include "model/file.h"
#include "model/json.h"
#include "plan/measure_together.h"
#include "plan/narrowing.h"
#include "plan/state.h"

#define TIMED_SECONDS 4.0 /* for runs of all widths */

/* timing */

/** What times depend on, besides the network: the CPU, its kernels, the options, and the widths of activations. */
static nw_status times_key(char *key, size_t size, const nw_planner *planner, const nw_quantize_options *options,
                           nw_error *error)
{
    char brand[64];
    nw_isa isa;
    NW_TRY(nw_isa_choose(&isa, getenv("NARROW_ISA"), error));
    nw_cpu_brand(brand);
    char *rows = options->plan ? nw_plan_print(options->plan) : NULL;
    if (options->plan && !rows)
        return nw_fail_memory(error, "timing");
    snprintf(key, size, "%s, %s, %d activation bits, packed as %016" PRIx64 ", sums %s, network and data %016" PRIx64,
             brand, nw_isa_name(isa), (int)options->activation_bits, rows ? nw_state_hash_text(rows) : 0,
             nw_plan_accumulators[options->accumulator], planner->measurement->fingerprint);
    free(rows);
    return NW_OK;
}

/** @param options  with a plan of the activations' widths, or NULL: bytes */
static nw_status measure_times(nw_times **times, const nw_planner *planner, const nw_quantize_options *options,
                               nw_error *error)
{
    char key[256];
    char path[640] = "";
    NW_TRY(times_key(key, sizeof(key), planner, options, error));
    if (planner->cache)
        snprintf(path, sizeof(path), "%s%s", planner->cache,
                 options->accumulator == planner->options->accumulator ? "" : ".16");
    else if (!nw_cache_path(path, sizeof(path), "times", nw_state_hash_text(key)))
        path[0] = '\0';
    if (path[0] && nw_times_read(times, path, key, planner->model->n_nodes, NULL) == NW_OK)
        return NW_OK;
    NW_TRY(nw_times_measure(times, planner->model, planner->calibration, options, options->plan != NULL, TIMED_SECONDS,
                            error));
    if (path[0] && nw_times_write(*times, path, key, error) && planner->cache)
        return NW_ERROR_DATA; /* a default cache that cannot be written only costs time */
    error->message[0] = '\0';
    return NW_OK;
}

/** Times of the network with some options and the activations that the search chooses. */
static nw_status find_times(nw_times **times, const nw_planner *planner, const nw_quantize_options *options,
                            nw_error *error)
{
    nw_quantize_options narrow = *options;
    nw_plan *rows;
    NW_TRY(nw_search_activations(&rows, planner->search, &planner->goals, error));
    narrow.plan = rows;
    const nw_status status = measure_times(times, planner, &narrow, error);
    nw_plan_free(rows);
    return status;
}

/** Whether rows narrowed for 16-bit sums can make this machine's kernels faster: those with dot products gain none. */
static bool sums_may_pay(void)
{
    nw_isa isa;
    return !nw_isa_choose(&isa, getenv("NARROW_ISA"), NULL) &&
           (isa == NW_ISA_AVX2 || isa == NW_ISA_AVX512 || isa == NW_ISA_NEON);
}

/** Measures the damage of narrowed layers, where they are faster, and keeps it. */
static nw_status measure_narrowed(nw_planner *planner, nw_error *error)
{
    float *samples = NULL;
    int32_t n = 0;
    uint32_t *wanted = calloc((size_t)planner->measurement->n + 1, sizeof(*wanted));
    nw_status status = wanted ? nw_planner_samples(planner, &samples, &n, error) : nw_fail_memory(error, "planning");
    if (!status) {
        nw_search_narrowing(planner->search, wanted);
        status = nw_narrowing_measure(planner->measurement, wanted, planner->model, planner->trials,
                                      (const float *const[]){samples}, n, nw_planner_show, planner, error);
    }
    if (!status && planner->state)
        status = nw_state_write(planner->measurement, planner->state, error);
    free(samples);
    free(wanted);
    return status;
}

/** Gives the search times, and where that can pay the choice to narrow layers for 16-bit sums. */
static nw_status add_times(nw_planner *planner, nw_error *error)
{
    NW_TRY(find_times(&planner->times, planner, planner->options, error));
    nw_search_set_times(planner->search, planner->times, NULL);
    if (planner->options->accumulator != NW_ACCUMULATOR_AUTO || !sums_may_pay())
        return NW_OK;
    nw_quantize_options sums = *planner->options;
    sums.accumulator = NW_ACCUMULATOR_16;
    NW_TRY(find_times(&planner->narrowed_times, planner, &sums, error));
    nw_search_set_times(planner->search, planner->times, planner->narrowed_times);
    NW_TRY(measure_narrowed(planner, error));
    nw_search_narrowed(planner->search);
    return NW_OK;
}

/* searching */

static nw_status judge(void *context, const nw_model *integer, nw_verdict *verdict, nw_error *error)
{
    nw_planner *planner = context;
    return nw_holdout_judge(&planner->holdout, integer, verdict, error);
}

static nw_status search(nw_planner *planner, bool dry, nw_error *error)
{
    const nw_search_task task = {
        .model = planner->model,
        .calibration = planner->calibration,
        .options = planner->options,
        .trials = planner->trials,
        .measurement = planner->measurement,
        .kind = planner->kind,
        .how = planner->how,
        .fusion = planner->fusion,
        .judge = planner->holdout.answers ? judge : NULL,
        .progress = nw_planner_show,
        .context = planner,
    };
    planner->progress = (nw_progress){.phase = "searching"};
    NW_TRY(nw_search_create(&planner->search, &task, error));
    if (planner->goals.seconds > 0.0)
        NW_TRY(add_times(planner, error));
    return nw_planner_has_goal(planner) ? nw_search_run(&planner->found, planner->search, &planner->goals, dry, error)
                                        : NW_OK;
}

/** Which layers sum in 16 bits: the quantizer decided that, the plan is to say it. */
static void note_sums(nw_found *found)
{
    for (int32_t i = 0; found->model && i < found->model->n_nodes; i++)
        for (int32_t j = 0; found->model->nodes[i].linear && j < found->plan->n_layers; j++)
            if (nw_plan_matches(&found->plan->layers[j].key, found->model->nodes[i].name))
                found->plan->layers[j].accumulator = found->model->nodes[i].linear->accumulator;
}

/**
 * What narrowed ranges do to the answer goes into the plan, and into the network unless that would break the goal
 * for its size.
 */
static nw_status explain_sums(nw_planner *planner, nw_error *error)
{
    nw_found *found = &planner->found;
    float *samples = NULL;
    int32_t n = 0;
    nw_bytes file = {0};
    char *before = nw_text_copy(found->model->plan);
    nw_status status = before ? nw_planner_samples(planner, &samples, &n, error) : nw_fail_memory(error, "planning");
    if (!status)
        status = nw_narrowing_explain(found->model, found->plan, planner->measurement, planner->model, planner->trials,
                                      (const float *const[]){samples}, n, planner->kind, error);
    if (!status)
        status = nw_model_serialize(&file, found->model, error);
    const double limit = planner->goals.bytes;
    if (!status && limit > 0.0 && (double)file.size > limit && (double)found->bytes <= limit) {
        free(found->model->plan);
        found->model->plan = before;
        before = NULL;
    } else if (!status) {
        found->bytes = file.size;
    }
    nw_bytes_free(&file);
    free(before);
    free(samples);
    return status;
}

/** The damage of everything that was found at once. */
static nw_status measure_together(nw_planner *planner, nw_error *error)
{
    float *samples = NULL;
    int32_t n = 0;
    nw_status status = nw_planner_samples(planner, &samples, &n, error);
    if (!status)
        status = nw_measure_together(&planner->damage_together, planner->measurement, planner->found.choices,
                                     planner->model, planner->trials, (const float *const[]){samples}, n, error);
    free(samples);
    return status;
}

nw_status nw_planner_search(nw_planner *planner, bool dry, nw_error *error)
{
    const double start = nw_seconds();
    const bool can_judge = planner->choice.held > 0 && planner->measurement->n_classes > 1;
    if ((int)planner->kind < 0)
        planner->kind = nw_damage_default(planner->measurement);
    planner->accumulator = planner->options->accumulator;
    if (!dry && (can_judge || planner->goals.drop >= 0.0))
        NW_TRY(nw_holdout_open(&planner->holdout, &planner->choice, planner->model, planner->threads, error));
    NW_TRY(search(planner, dry, error));
    for (int32_t i = 0; planner->found.choices && i < planner->measurement->n; i++)
        if (nw_choice_is_narrowed(planner->found.choices[i]))
            planner->accumulator = NW_ACCUMULATOR_16;
    if (planner->accumulator == NW_ACCUMULATOR_16 && planner->found.model) {
        note_sums(&planner->found);
        NW_TRY(explain_sums(planner, error));
    }
    if (planner->together && planner->found.choices)
        NW_TRY(measure_together(planner, error));
    nw_progress_show(&planner->progress, 1, 1);
    planner->seconds_searching = nw_seconds() - start;
    return NW_OK;
}
