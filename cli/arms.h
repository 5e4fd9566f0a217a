/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines of one network that take turns: what `narrow tune` chooses by. The first arm is the one that others are
 * compared with; half of the rounds choose, the other half judges the chosen one: whoever is the fastest of many by
 * luck is not so twice.
 *
 *     nw_arms arms = {.network = &network, .input = input, .outputs = outputs, .rounds = 100};
 *     NW_TRY(nw_arms_add(&arms, &options, error));   // and so on
 *     NW_TRY(nw_arms_run(&arms, error));
 *     best = nw_arms_choose(&arms, NW_NONE, 1.03, &gain);
 *     nw_arms_free(&arms);
 */
#ifndef NARROW_CLI_ARMS_H
#define NARROW_CLI_ARMS_H

#include "cli/network.h"

#define NW_MOST_ARMS 20
#define NW_LEAST_ROUNDS 10

typedef struct nw_arm {
    nw_engine_options options; /* choices borrowed */
    nw_engine *engine;         /* owned */
    double *times;             /* [n_nodes, rounds] owned, seconds */
} nw_arm;

typedef struct nw_arms {
    const nw_network *network; /* model and threads */
    const float *input;        /* of a run */
    float *const *outputs;
    int64_t rounds; /* at most; nw_arms_run makes them fewer where they take long */
    nw_arm arms[NW_MOST_ARMS];
    int32_t n_arms;
} nw_arms;

/**
 * Adds an engine with these options. What options point to must stay. NW_ERROR_MEMORY and what nw_engine_create_with
 * returns.
 */
nw_status nw_arms_add(nw_arms *arms, const nw_engine_options *options, nw_error *error);

/** Leaves the last arm away. */
void nw_arms_drop(nw_arms *arms);

/**
 * Runs all in turns, after some to warm up: `rounds` times, or as often as some two seconds allow, but at least
 * NW_LEAST_ROUNDS times; `rounds` becomes how often. NW_ERROR_INTERNAL if a network cannot be run, NW_ERROR_MEMORY.
 */
nw_status nw_arms_run(nw_arms *arms, nw_error *error);

/**
 * Seconds of a node in arm i, or NW_NONE: of all nodes together. Of each node it is the lower quartile over the
 * rounds that choose (half 0) or judge (half 1): what disturbs a machine only ever adds time, and hardly to most of a
 * node's rounds, where runs of a whole large network may all be interrupted.
 */
double nw_arms_time(const nw_arms *arms, int32_t i, int32_t node, int32_t half);

/**
 * The arm that is fastest in the rounds that choose, if its time fits `least` times into the first arm's in both
 * halves, and more often than the first arm's own median exceeds its lower quartile, which tells a busy machine; else
 * 0.
 *
 * @param node  one node's time, or NW_NONE: all of it
 * @param gain  first arm's time over that of the chosen one, in the rounds that judge; 1 if that is the first
 */
int32_t nw_arms_choose(const nw_arms *arms, int32_t node, double least, double *gain);

void nw_arms_free(nw_arms *arms);

#endif
