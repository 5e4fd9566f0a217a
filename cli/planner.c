/* SPDX-License-Identifier: Apache-2.0 */
/* See planner.h. */
#include "cli/planner.h"

#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/planner_parts.h"
#include "plan/prefix.h"
#include "plan/state.h"

#define STATE_BYTES ((size_t)512 << 20) /* of samples stopped half-way */
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
        return nw_fail(error, NW_ERROR_USAGE,
                       "--max-drop is 0 to 100 points, --arena bytes, --target-latency milliseconds");
    if (planner->target_acts != 0.0 && !(planner->target_acts >= NW_LEAST_ACTIVATION_BITS &&
                                         planner->target_acts <= planner->options->activation_bits))
        return nw_fail(error, NW_ERROR_USAGE, "--target-acts is a mean width of %d bits to those of --acts",
                       NW_LEAST_ACTIVATION_BITS);
    if (planner->arena > 0.0 && planner->options->activation_kind == NW_ACTIVATION_DQA)
        return nw_fail(error, NW_ERROR_USAGE, "--arena chooses the widths of whole tensors: not with --act-method dqa");
    if ((planner->target_acts > 0.0 || planner->arena > 0.0) && planner->options->placement != NW_PLACEMENT_ALL)
        return nw_fail(error, NW_ERROR_USAGE, "--target-acts and --arena choose which tensors are narrow: not with "
                                              "--act-placement");
    if (planner->options->ranking == NW_RANKING_ACCURACY)
        return nw_fail(error, NW_ERROR_USAGE,
                       "--act-ranking accuracy takes long for every network: not with a goal or in a plan");
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
    if (options->book == NW_BOOK_AUTO)
        return nw_fail(error, NW_ERROR_USAGE, "--weight-book auto: plans are made for one kind of values; name it");
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
    nw_times_free(planner->narrowed_times);
    nw_holdout_close(&planner->holdout);
    nw_measurement_free(planner->measurement);
    nw_trials_free(planner->trials);
    nw_calibration_free(planner->calibration);
}

/* measuring */

void nw_planner_show(void *context, int64_t done, int64_t total)
{
    nw_planner *planner = context;
    nw_progress_show(&planner->progress, done, total);
}

static nw_status save(void *context, const nw_measurement *measurement, nw_error *error)
{
    const nw_planner *planner = context;
    return nw_state_write(measurement, planner->state, error);
}

nw_status nw_planner_samples(const nw_planner *planner, float **samples, int32_t *n, nw_error *error)
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
    options.progress = nw_planner_show;
    options.context = planner;
    planner->progress = (nw_progress){.phase = "measuring"};
    const double start = nw_seconds();
    nw_status status = nw_measurement_create(&planner->measurement, planner->model, planner->trials, &options, error);
    if (!status)
        status = nw_planner_samples(planner, &samples, &n, error);
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
    if (planner->goals.activation_bits > 0.0 &&
        found->activations.mean_bits > planner->goals.activation_bits * (1.0 + 1e-9))
        return nw_fail(error, NW_GOAL_MISSED, "the goal of %.3f bits for activations cannot be met: they take %.3f",
                       planner->goals.activation_bits, found->activations.mean_bits);
    if (planner->goals.seconds > 0.0 && found->seconds > planner->goals.seconds)
        return nw_fail(error, NW_GOAL_MISSED,
                       "the goal of %.4g ms cannot be met: the best within 2 %% of the fastest takes %.4g",
                       planner->latency, 1e3 * found->seconds);
    if (isnan(found->verdict.drop))
        return nw_fail(error, NW_GOAL_MISSED, "whether the drop is met is not known without making the network");
    if (isnan(found->verdict.error))
        return nw_fail(error, NW_GOAL_MISSED, "the goal of %.2f points cannot be met: the best found loses %.2f",
                       planner->max_drop, 100.0 * found->verdict.drop);
    const double lost = found->verdict.drop - found->verdict.error; /* the error counts as lost */
    const bool open = lost - 2.0 * found->verdict.error <= planner->goals.drop;
    return nw_fail(error, NW_GOAL_MISSED,
                   "the goal of %.2f points %s: the best found is expected to lose %.2f +- %.2f, judged on %zu samples",
                   planner->max_drop, open ? "is not proven" : "cannot be met", 100.0 * lost,
                   100.0 * found->verdict.error, planner->choice.held);
}
