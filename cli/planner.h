/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goals on the command line and what it takes to meet them: calibrate on a part of the samples, measure, search, judge
 * on the rest. `narrow plan` is little more than this, `narrow quantize` uses it when it is given a goal.
 *
 *     nw_planner planner = NW_PLANNER_DEFAULTS;
 *     const nw_option options[] = {NW_PLANNER_OPTIONS(&planner), ...};
 *     NW_TRY(nw_planner_open(&planner, model, &sample_choice, &quantize_options, 1, error));
 *     NW_TRY(nw_planner_measure(&planner, error));
 *     NW_TRY(nw_planner_search(&planner, false, error));
 *     ... planner.found ...
 *     nw_planner_close(&planner);
 */
#ifndef NARROW_CLI_PLANNER_H
#define NARROW_CLI_PLANNER_H

#include <cjson/cJSON.h>

#include "cli/judge.h"
#include "plan/search.h"

typedef struct nw_planner {
    /* options */
    const char *target_size, *damage, *allocation, *state, *shard, *cache, *fuse;
    double max_drop, arena, latency, target_acts; /* points, below 0: no goal; bytes, ms, bits, 0: no goal */
    int64_t measured;        /* samples that damage is measured with */
    bool tensors, robustness, together;
    /* borrowed */
    nw_model *model;
    const nw_quantize_options *options;
    int64_t threads;
    /* owned */
    nw_sample_choice choice;
    nw_calibration *calibration;
    nw_trials *trials;
    nw_measurement *measurement;
    nw_holdout holdout;
    nw_times *times, *narrowed_times; /* the latter with rows narrowed for 16-bit sums */
    nw_search *search;
    nw_found found;
    nw_damage damage_together; /* of all that was found at once; n = 0: not measured */
    nw_accumulator accumulator; /* of what was found; 16: of some layers at least */
    nw_goals goals;
    nw_damage_kind kind;
    nw_allocation how;
    nw_fusion fusion;
    int32_t shard_index, n_shards;
    double seconds_calibrating, seconds_measuring, seconds_searching;
    nw_progress progress;
} nw_planner;

#define NW_PLANNER_DEFAULTS {.max_drop = -1.0, .measured = 256, .n_shards = 1}

/** Table entries for a command's options. */
#define NW_PLANNER_OPTIONS(p)                                                                                          \
    {"target-size", "SIZE", NW_OPTION_TEXT, &(p)->target_size, "goal: bytes of the file, or 20% of the ONNX file's"},  \
    {"max-drop", "POINTS", NW_OPTION_REAL, &(p)->max_drop,                                                             \
     "goal: points of accuracy lost on calibration data set aside (without labels: answers that differ)"},             \
    {"arena", "BYTES", NW_OPTION_REAL, &(p)->arena,                                                                    \
     "goal: memory of activations while the network runs (packed storage, one thread)"},                               \
    {"fuse", "HOW", NW_OPTION_TEXT, &(p)->fuse, "--arena: none, small: that of runs with this --fuse (default none)"}, \
    {"target-acts", "BITS", NW_OPTION_REAL, &(p)->target_acts, "goal: mean width of activations, like 4.5"},           \
    {"target-latency", "MS", NW_OPTION_REAL, &(p)->latency, "goal: time of a run on this machine, one thread"},        \
    {"cache", "FILE", NW_OPTION_TEXT, &(p)->cache, "keeps what --target-latency timed (default: in the user's "        \
    "cache)"},                                                                                                         \
    {"allocation", "METHOD", NW_OPTION_TEXT, &(p)->allocation,                                                         \
     "who gets how many bits: exact (default), adaptive, sqnr, equal"},                                                \
    {"damage", "MEASURE", NW_OPTION_TEXT, &(p)->damage, "divergence (default for classes), noise, changed"},           \
    {"measure-samples", "N", NW_OPTION_NUMBER, &(p)->measured, "samples that damage is measured with (default 256)"},  \
    {"state", "FILE", NW_OPTION_TEXT, &(p)->state, "keeps what was measured: a second run goes on from there"}

/** Whether any goal was given. */
bool nw_planner_has_goal(const nw_planner *planner);

/**
 * Settles the options, sets samples aside and calibrates on the others.
 *
 * @param model   as imported: a size in percent refers to its source_size
 * @param choice  copied; nothing set aside yet
 */
nw_status nw_planner_open(nw_planner *planner, nw_model *model, const nw_sample_choice *choice,
                          const nw_quantize_options *options, int64_t threads, nw_error *error);
void nw_planner_close(nw_planner *planner);

/** Measures what the state file does not hold yet. */
nw_status nw_planner_measure(nw_planner *planner, nw_error *error);

/** Meets the goals as well as can be: planner->found. */
nw_status nw_planner_search(nw_planner *planner, bool dry, nw_error *error);

/** NW_GOAL_MISSED with a sentence that says what was found instead, or NW_OK. */
nw_status nw_planner_verdict(const nw_planner *planner, nw_error *error);

/** Adds what was found and why to a report (docs/command-line.md, "plan"). */
void nw_planner_report(cJSON *report, const nw_planner *planner);

/** A table of layers and tensors: what was chosen, what it costs, what was measured; nothing if there is neither. */
void nw_planner_print_rows(const nw_planner *planner);

/** The same in a few lines of text. */
void nw_planner_print(const nw_planner *planner);

#endif
