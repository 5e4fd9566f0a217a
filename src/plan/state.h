/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A measurement as a JSON file: written after every row, so that an interrupted run goes on where it was, and put
 * together from shards. Figures are written so that they read back exactly: a merged file equals the one of a single
 * run byte for byte.
 *
 *     {"version":1,"fingerprint":"0123456789abcdef","samples":128,"classes":10,"margin":7.1,"signal":93.0,
 *      "drop":0.1,"robustness":false,
 *      "rows":[{"node":"conv1","by_bits":[{"bits":2,"noise":1.9,"divergence":0.02,"changed":0.008}, ...]},
 *              {"node":"conv2"},
 *              {"tensor":"relu1", ...}]}
 *
 * A row without "by_bits" is still to be measured. A layer's may have "narrowed" too, widths with rows narrowed for
 * 16-bit sums, those of them that a search asked for.
 */
#ifndef NARROW_PLAN_STATE_H
#define NARROW_PLAN_STATE_H

#include "plan/measure.h"

/** Writes the file, atomically. */
nw_status nw_state_write(const nw_measurement *measurement, const char *path, nw_error *error);

/** Reads a file nobody vouches for. Rows have no `index` and `node` of a network yet (NW_NONE). */
nw_status nw_state_read(nw_measurement **out, const char *path, nw_error *error);

/**
 * Copies finished rows of `from` into those of `to` that have the same name.
 *
 * @param what  names `from` in errors
 * @return NW_ERROR_DATA if it was measured on another network, other samples or with other options
 */
nw_status nw_state_absorb(nw_measurement *to, const nw_measurement *from, const char *what, nw_error *error);

/** Names of rows that are not complete, divided by commas; NULL if none. To be freed. */
char *nw_state_missing(const nw_measurement *measurement);

/** FNV-1a (64 bits) of what a measurement depends on: graph, weights, samples, options. */
uint64_t nw_state_fingerprint(const nw_model *model, const float *const *samples, int32_t n,
                              const nw_quantize_options *options);

/** The same hash of a text. */
uint64_t nw_state_hash_text(const char *text);

#endif
