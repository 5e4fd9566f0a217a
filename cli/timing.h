/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time of an integer network, whole and per node, taking turns with others in the same run: what `bench` and `report`
 * measure. Machines are noisy and differ: the ratio counts, absolute times are for orientation.
 *
 *     nw_timing timing;
 *     NW_TRY(nw_timing_measure(&timing, &network, (nw_network *[]){&floats}, 1, 50, 1, error));
 *     printf("%.2f\n", timing.rival_seconds[0] / timing.seconds);
 *     nw_timing_free(&timing);
 */
#ifndef NARROW_CLI_TIMING_H
#define NARROW_CLI_TIMING_H

#include "cli/network.h"

#define NW_MOST_RUNS 1000000
#define NW_MOST_RIVALS 3

/** Medians. */
typedef struct nw_timing {
    double seconds; /* of a run */
    double rival_seconds[NW_MOST_RIVALS];
    bool rival_same[NW_MOST_RIVALS]; /* the outputs had the same bytes */
    double coding_seconds;         /* of packing and unpacking stored activations, all threads together */
    double *node_seconds;          /* [n_nodes] owned */
} nw_timing;

/**
 * Runs all networks on a made-up input, after a few runs to warm up, then times the nodes in runs of their own
 * (reading the clock costs tiny networks much).
 *
 * @param network  integer
 * @param rivals   [n_rivals] up to NW_MOST_RIVALS of either kind, of an input of the same size
 * @param runs     of each, 1 to NW_MOST_RUNS
 * @param threads  as all were opened with
 * @return NW_ERROR_USAGE for runs out of range; NW_ERROR_MEMORY
 */
nw_status nw_timing_measure(nw_timing *timing, nw_network *network, nw_network *const *rivals, int32_t n_rivals,
                            int64_t runs, int64_t threads, nw_error *error);

void nw_timing_free(nw_timing *timing);

#endif
