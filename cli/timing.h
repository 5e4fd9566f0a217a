/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time of an integer network, whole and per node, taking turns with the float network in the same run: what `bench` and
 * `report` measure. Machines are noisy and differ: the ratio counts, absolute times are for orientation.
 *
 *     nw_timing timing;
 *     NW_TRY(nw_timing_measure(&timing, &network, &floats, 50, 1, error));
 *     printf("%.2f\n", timing.float_seconds / timing.seconds);
 *     nw_timing_free(&timing);
 */
#ifndef NARROW_CLI_TIMING_H
#define NARROW_CLI_TIMING_H

#include "cli/network.h"

#define NW_MOST_RUNS 1000000

/** Medians. */
typedef struct nw_timing {
    double seconds, float_seconds; /* of a run; float_seconds 0 without a float network */
    double coding_seconds;         /* of packing and unpacking stored activations, all threads together */
    double *node_seconds;          /* [n_nodes] owned */
} nw_timing;

/**
 * Runs both networks on a made-up input, after a few runs to warm up, then times the nodes in runs of their own
 * (reading the clock costs tiny networks much).
 *
 * @param network  integer
 * @param floats   of an input of the same size, or NULL
 * @param runs     of each, 1 to NW_MOST_RUNS
 * @param threads  as both were opened with
 * @return NW_ERROR_USAGE for runs out of range; NW_ERROR_MEMORY
 */
nw_status nw_timing_measure(nw_timing *timing, nw_network *network, nw_network *floats, int64_t runs, int64_t threads,
                            nw_error *error);

void nw_timing_free(nw_timing *timing);

#endif
