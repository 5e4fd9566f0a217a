/* SPDX-License-Identifier: Apache-2.0 */
/* See planner.h: from what was measured to what is found, with and without 16-bit sums, and times for it. */
#include <inttypes.h>
#include <math.h>
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

#define TIMED_SECONDS 2.0 /* for runs of all widths */

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

/** Times of the network with the activations that the search chooses, given to the search. */
static nw_status add_times(nw_times **times, nw_search *search, const nw_planner *planner,
                           const nw_quantize_options *options, nw_error *error)
{
    nw_quantize_options narrow = *options;
    nw_plan *rows;
    NW_TRY(nw_search_activations(&rows, search, &planner->goals, error));
    narrow.plan = rows;
    const nw_status status = measure_times(times, planner, &narrow, error);
    nw_plan_free(rows);
    nw_search_set_times(search, *times);
    return status;
}

/* searching */

static nw_status judge(void *context, const nw_model *integer, nw_verdict *verdict, nw_error *error)
{
    nw_planner *planner = context;
    return nw_holdout_judge(&planner->holdout, integer, verdict, error);
}

/** The search with some options; what comes out is the caller's in any case. */
static nw_status search_with(nw_times **times, nw_search **search, nw_found *found, nw_planner *planner,
                             const nw_quantize_options *options, bool dry, nw_error *error)
{
    const nw_search_task task = {
        .model = planner->model,
        .calibration = planner->calibration,
        .options = options,
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
    NW_TRY(nw_search_create(search, &task, error));
    if (planner->goals.seconds > 0.0)
        NW_TRY(add_times(times, *search, planner, options, error));
    return nw_planner_has_goal(planner) ? nw_search_run(found, *search, &planner->goals, dry, error) : NW_OK;
}

/** Whether ranges narrowed for 16-bit sums can make this machine's kernels faster: those with dot products gain none. */
static bool sums_may_pay(void)
{
    nw_isa isa;
    return !nw_isa_choose(&isa, getenv("NARROW_ISA"), NULL) &&
           (isa == NW_ISA_AVX2 || isa == NW_ISA_AVX512 || isa == NW_ISA_NEON);
}

/** By how many times a search missed the goal for the time; 1: by nothing that forecasts tell apart. */
static double lateness(const nw_found *found, double goal)
{
    return found->seconds > goal * NW_NEAR_FASTEST ? found->seconds / goal : 1.0;
}

/**
 * What no damage was measured of, 16-bit sums, is preferred where nothing else meets the goals, or comes as near to the
 * time; and else where the judge does.
 */
static bool is_better(const nw_found *one, const nw_found *than, double goal)
{
    const double late = lateness(one, goal);
    const double other = lateness(than, goal);
    if (one->met != than->met)
        return one->met;
    if (late > other * NW_NEAR_FASTEST || other > late * NW_NEAR_FASTEST)
        return late < other;
    return one->verdict.drop < than->verdict.drop;
}

/** Which layers sum in 16 bits: the quantizer decided that, the plan is to say it. */
static void note_sums(nw_found *found)
{
    for (int32_t i = 0; found->model && i < found->model->n_nodes; i++)
        for (int32_t j = 0; found->model->nodes[i].linear && j < found->plan->n_layers; j++)
            if (nw_plan_matches(&found->plan->layers[j].key, found->model->nodes[i].name))
                found->plan->layers[j].accumulator = found->model->nodes[i].linear->accumulator;
}

/** The same search with ranges narrowed for sums in 16 bits, for a goal of time; it stays if it is the better one. */
static nw_status try_sums(nw_planner *planner, bool dry, nw_error *error)
{
    planner->with_sums = *planner->options;
    planner->with_sums.accumulator = NW_ACCUMULATOR_16;
    nw_times *times = NULL;
    nw_search *search = NULL;
    nw_found found = {0};
    const nw_status status = search_with(&times, &search, &found, planner, &planner->with_sums, dry, error);
    if (!status && is_better(&found, &planner->found, planner->goals.seconds)) {
        nw_times *other_times = planner->times;
        nw_search *other_search = planner->search;
        const nw_found other_found = planner->found;
        planner->times = times;
        planner->search = search;
        planner->found = found;
        planner->accumulator = NW_ACCUMULATOR_16;
        times = other_times;
        search = other_search;
        found = other_found;
    }
    nw_found_clear(&found);
    nw_search_free(search);
    nw_times_free(times);
    return status;
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
        status = nw_narrowing_explain(found->model, found->plan, planner->model, planner->trials,
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
    NW_TRY(search_with(&planner->times, &planner->search, &planner->found, planner, planner->options, dry, error));
    if (planner->goals.seconds > 0.0 && planner->accumulator == NW_ACCUMULATOR_AUTO && sums_may_pay())
        NW_TRY(try_sums(planner, dry, error));
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
