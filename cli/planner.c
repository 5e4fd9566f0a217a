/* SPDX-License-Identifier: Apache-2.0 */
/* See planner.h. */
#include "cli/planner.h"

#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cache.h"
#include "kernels/cpu.h"
#include "plan/prefix.h"
#include "plan/state.h"

#define STATE_BYTES ((size_t)512 << 20) /* of samples stopped half-way */
#define TIMED_SECONDS 2.0              /* for runs of all widths */
#define CALIBRATED 256                 /* samples wanted for calibration before any are set aside beyond a third */

bool nw_planner_has_goal(const nw_planner *planner)
{
    return planner->target_size || planner->max_drop >= 0.0 || planner->arena > 0.0 || planner->latency > 0.0 ||
           planner->target_acts > 0.0;
}

/* options */

static nw_status settle_size(nw_planner *planner, nw_error *error)
{
    if (!planner->target_size)
        return NW_OK;
    char *end;
    double size = strtod(planner->target_size, &end);
    const bool percent = *end == '%' && !end[1];
    if (percent)
        size *= 0.01 * (double)planner->model->source_size;
    if (end == planner->target_size || (*end && !percent) || !(size >= 1.0 && size < 1e15))
        return nw_fail(error, NW_ERROR_USAGE, "--target-size %s: bytes, or percent of the ONNX file (\"20%%\")",
                       planner->target_size);
    planner->goals.bytes = floor(size);
    return NW_OK;
}

/** Runs in one pass over strips that --arena may count: those whose choice depends on the network alone. */
static nw_status settle_fusion(nw_planner *planner, nw_error *error)
{
    static const char *const names[] = {"none", "small", NULL};
    int how = 0;
    NW_TRY(nw_choose(&how, "fuse", planner->fuse, names, error));
    if (planner->fuse && !(planner->arena > 0.0))
        return nw_fail(error, NW_ERROR_USAGE, "--fuse says what --arena counts: it needs that goal");
    planner->fusion = how ? NW_FUSION_SMALL : NW_FUSION_NONE;
    return NW_OK;
}

static nw_status settle_shard(nw_planner *planner, nw_error *error)
{
    int index, n;
    char rest;
    if (!planner->shard)
        return NW_OK;
    if (sscanf(planner->shard, "%d/%d%c", &index, &n, &rest) != 2 || index < 1 || n < 1 || index > n || n > 100000)
        return nw_fail(error, NW_ERROR_USAGE, "--shard %s: must be I/N with 1 <= I <= N, like 2/8", planner->shard);
    planner->shard_index = index - 1;
    planner->n_shards = n;
    return NW_OK;
}

static nw_status settle(nw_planner *planner, nw_error *error)
{
    int how = NW_ALLOCATE_EXACT;
    int kind = -1;
    NW_TRY(nw_choose(&how, "allocation", planner->allocation, nw_allocation_names, error));
    NW_TRY(nw_choose(&kind, "damage", planner->damage, nw_damage_names, error));
    planner->how = (nw_allocation)how;
    planner->kind = (nw_damage_kind)kind;
    planner->robustness = planner->robustness || planner->how == NW_ALLOCATE_ADAPTIVE;
    if (planner->measured < 1)
        return nw_fail(error, NW_ERROR_USAGE, "--measure-samples: at least 1");
    if (planner->max_drop > 100.0 || planner->arena < 0.0 || planner->latency < 0.0)
        return nw_fail(error, NW_ERROR_USAGE, "--max-drop is 0 to 100 points, --arena bytes, --target-latency milliseconds");
    if (planner->target_acts != 0.0 &&
        !(planner->target_acts >= NW_LEAST_ACTIVATION_BITS && planner->target_acts <= planner->options->activation_bits))
        return nw_fail(error, NW_ERROR_USAGE, "--target-acts is a mean width of %d bits to those of --acts",
                       NW_LEAST_ACTIVATION_BITS);
    if (planner->arena > 0.0 && planner->options->activation_kind == NW_ACTIVATION_DQA)
        return nw_fail(error, NW_ERROR_USAGE, "--arena chooses the widths of whole tensors: not with --act-method dqa");
    if ((planner->target_acts > 0.0 || planner->arena > 0.0) && planner->options->placement != NW_PLACEMENT_ALL)
        return nw_fail(error, NW_ERROR_USAGE, "--target-acts and --arena choose which tensors are narrow: not with "
                                              "--act-placement");
    planner->goals.activation_bits = planner->target_acts;
    planner->goals.drop = planner->max_drop >= 0.0 ? 0.01 * planner->max_drop : -1.0;
    planner->goals.arena = planner->arena;
    planner->goals.seconds = 1e-3 * planner->latency;
    NW_TRY(settle_size(planner, error));
    NW_TRY(settle_fusion(planner, error));
    return settle_shard(planner, error);
}

/** Samples to set aside: half, but calibration gets 256 first, as long as a third is left. */
static size_t set_aside(size_t n)
{
    const size_t half = n / 2;
    const size_t beyond = n > CALIBRATED ? n - CALIBRATED : 0;
    const size_t wanted = beyond < half ? beyond : half;
    return wanted > n / 3 ? wanted : n >= 4 ? n / 3 : 0;
}

nw_status nw_planner_open(nw_planner *planner, nw_model *model, const nw_sample_choice *choice,
                          const nw_quantize_options *options, int64_t threads, nw_error *error)
{
    planner->model = model;
    planner->options = options;
    planner->threads = threads;
    NW_TRY(settle(planner, error));
    if (planner->state && !planner->shard)
        NW_TRY(nw_file_check_writable(planner->state, error));
    planner->choice = *choice;
    planner->choice.held = set_aside(planner->choice.n);
    const double start = nw_seconds();
    NW_TRY(nw_calibrate_on(&planner->calibration, model, &planner->choice, error));
    planner->seconds_calibrating = nw_seconds() - start;
    return nw_trials_create(&planner->trials, model, planner->calibration, options, error);
}

void nw_planner_close(nw_planner *planner)
{
    nw_found_clear(&planner->found);
    nw_search_free(planner->search);
    nw_times_free(planner->times);
    nw_holdout_close(&planner->holdout);
    nw_measurement_free(planner->measurement);
    nw_trials_free(planner->trials);
    nw_calibration_free(planner->calibration);
}

/* measuring */

static void show_progress(void *context, int64_t done, int64_t total)
{
    nw_planner *planner = context;
    nw_progress_show(&planner->progress, done, total);
}

static nw_status save(void *context, const nw_measurement *measurement, nw_error *error)
{
    const nw_planner *planner = context;
    return nw_state_write(measurement, planner->state, error);
}

/** Samples to measure with: some of those that calibration kept, spread evenly, as many as fit into memory. */
static nw_status pick_samples(const nw_planner *planner, float **samples, int32_t *n, nw_error *error)
{
    const nw_calibration *calibration = planner->calibration;
    const size_t fit = STATE_BYTES / (nw_prefix_sample_bytes(planner->model) + 1);
    int64_t most = planner->measured < calibration->n_kept ? planner->measured : calibration->n_kept;
    most = fit < 4 ? (most < 4 ? most : 4) : (size_t)most > fit ? (int64_t)fit : most;
    const size_t size = nw_tensor_elements(&planner->model->tensors[planner->model->inputs[0]]);
    *n = (int32_t)most;
    *samples = malloc(size * (size_t)most * sizeof(**samples) + 1);
    if (!*samples)
        return nw_fail_memory(error, "measuring");
    for (int64_t i = 0; i < most; i++) { /* every other one first: one half measures, the other one rounds */
        const int64_t at = 2 * i < most ? 2 * i : 2 * (i - (most + 1) / 2) + 1;
        memcpy(*samples + (size_t)i * size, calibration->kept[0] + (size_t)(at * calibration->n_kept / most) * size,
               size * sizeof(**samples));
    }
    return NW_OK;
}

/** What an earlier run left. */
static nw_status resume(nw_planner *planner, nw_error *error)
{
    struct stat file;
    nw_measurement *before = NULL;
    if (!planner->state || stat(planner->state, &file) != 0)
        return NW_OK;
    NW_TRY(nw_state_read(&before, planner->state, error));
    const nw_status status = nw_state_absorb(planner->measurement, before, planner->state, error);
    nw_measurement_free(before);
    return status;
}

nw_status nw_planner_measure(nw_planner *planner, nw_error *error)
{
    float *samples = NULL;
    int32_t n = 0;
    nw_measure_options options = NW_MEASURE_DEFAULTS;
    options.tensors = planner->tensors || planner->arena > 0.0 || planner->target_acts > 0.0;
    options.robustness = planner->robustness;
    options.shard = planner->shard_index;
    options.n_shards = planner->n_shards;
    options.save = planner->state ? save : NULL;
    options.progress = show_progress;
    options.context = planner;
    planner->progress = (nw_progress){.phase = "measuring"};
    const double start = nw_seconds();
    nw_status status = nw_measurement_create(&planner->measurement, planner->model, planner->trials, &options, error);
    if (!status)
        status = pick_samples(planner, &samples, &n, error);
    if (!status) {
        planner->measurement->fingerprint =
            nw_state_fingerprint(planner->model, (const float *const[]){samples}, n, planner->options);
        status = resume(planner, error);
    }
    if (!status)
        status = nw_measure(planner->measurement, planner->model, planner->trials, (const float *const[]){samples}, n,
                            &options, error);
    if (!status && planner->state)
        status = nw_state_write(planner->measurement, planner->state, error);
    free(samples);
    planner->seconds_measuring = nw_seconds() - start;
    return status;
}

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
        .progress = show_progress,
        .context = planner,
    };
    planner->progress = (nw_progress){.phase = "searching"};
    NW_TRY(nw_search_create(search, &task, error));
    if (planner->goals.seconds > 0.0)
        NW_TRY(add_times(times, *search, planner, options, error));
    return nw_planner_has_goal(planner) ? nw_search_run(found, *search, &planner->goals, dry, error) : NW_OK;
}

/** Whether ranges narrowed for 16-bit sums can make this machine's kernels faster: those with dot products gain nothing. */
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
        note_sums(&planner->found);
        times = other_times;
        search = other_search;
        found = other_found;
    }
    nw_found_clear(&found);
    nw_search_free(search);
    nw_times_free(times);
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
    nw_progress_show(&planner->progress, 1, 1);
    planner->seconds_searching = nw_seconds() - start;
    return NW_OK;
}

nw_status nw_planner_verdict(const nw_planner *planner, nw_error *error)
{
    const nw_found *found = &planner->found;
    if (!found->plan || found->met)
        return NW_OK;
    if (planner->goals.bytes > 0.0 && (double)found->bytes > planner->goals.bytes)
        return nw_fail(error, NW_GOAL_MISSED, "the goal of %.0f bytes cannot be met: the smallest found has %zu",
                       planner->goals.bytes, found->bytes);
    if (planner->goals.arena > 0.0 && (double)found->activations.arena > planner->goals.arena)
        return nw_fail(error, NW_GOAL_MISSED, "the goal of %.0f bytes of activations cannot be met: they take %zu",
                       planner->goals.arena, found->activations.arena);
    if (planner->goals.activation_bits > 0.0 && found->activations.mean_bits > planner->goals.activation_bits * (1.0 + 1e-9))
        return nw_fail(error, NW_GOAL_MISSED, "the goal of %.3f bits for activations cannot be met: they take %.3f",
                       planner->goals.activation_bits, found->activations.mean_bits);
    if (planner->goals.seconds > 0.0 && found->seconds > planner->goals.seconds)
        return nw_fail(error, NW_GOAL_MISSED, "the goal of %.4g ms cannot be met: the best within 2 %% of the fastest takes %.4g",
                       planner->latency, 1e3 * found->seconds);
    if (isnan(found->verdict.drop))
        return nw_fail(error, NW_GOAL_MISSED, "whether the drop is met is not known without making the network");
    return nw_fail(error, NW_GOAL_MISSED, "the goal of %.2f points cannot be met: the best found loses %.2f",
                   planner->max_drop, 100.0 * found->verdict.drop);
}
