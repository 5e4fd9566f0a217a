/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What widths cost in time on this machine: the network at every width, quantized quickly, run by the engine in turns
 * and clocked node by node, so that every layer is timed in its place, with its shape and its runs of 16-bit sums. A
 * mixture's time is put together from these. Used by search.c.
 *
 *     nw_times *times;
 *     NW_TRY(nw_times_measure(&times, model, calibration, &options, false, 2.0, error));
 *     double seconds = times->rest + times->layers[node][3];
 *     NW_TRY(nw_times_write(times, "times.json", key, error));
 *     nw_times_free(times);
 */
#ifndef NARROW_PLAN_TIMES_H
#define NARROW_PLAN_TIMES_H

#include "quant/quantize.h"

typedef double nw_time_by_bits[9]; /* seconds by bits, 2 to 8 */

typedef struct nw_times {
    int32_t n_nodes;         /* of the float network */
    nw_time_by_bits *layers; /* [n_nodes] owned; 0 for what is no linear layer */
    double rest;             /* all other nodes, and what lies between them */
} nw_times;

/**
 * One thread, lower quartiles: a neighbour slows some cores by a third for seconds at a time, and nothing makes them faster.
 *
 * @param options  a plan, if there is one, says widths of tensors alone
 * @param packed   with packed storage: unpacking and packing are part of the nodes' times
 * @param seconds  to run for, all widths in turns, 31 rounds at least: a neighbour's burst should not last three quarters of it
 */
nw_status nw_times_measure(nw_times **out, const nw_model *model, const nw_calibration *calibration,
                           const nw_quantize_options *options, bool packed, double seconds, nw_error *error);
void nw_times_free(nw_times *times);

/** A file for the next time. @param key  what the times depend on besides the network: CPU, kernel family, options */
nw_status nw_times_write(const nw_times *times, const char *path, const char *key, nw_error *error);

/** NW_ERROR_DATA if the file is none, or of another key or network. */
nw_status nw_times_read(nw_times **out, const char *path, const char *key, int32_t n_nodes, nw_error *error);

#endif
