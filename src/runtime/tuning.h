/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured to be fastest on this machine, network by network (`narrow tune`): a file, which belongs to one CPU,
 * kernel family and version of the library. It says how an engine is built, never what it computes.
 *
 *     {"version": 1, "cpu": "...", "isa": "avx512vnni", "library": "0.1.0",
 *      "networks": [{"network": "0123456789abcdef", "threads": 1, "fusion": "fast", "fusion_bytes": 300000,
 *                    "fusion_scratch": 200000, "gain": 1.05}]}
 *
 *     nw_tuning tuning;
 *     if (nw_tuning_find(&tuning, "tuning.json", model, isa, 1, NULL) == NW_OK)
 *         nw_tuning_apply(&options, &tuning);
 */
#ifndef NARROW_RUNTIME_TUNING_H
#define NARROW_RUNTIME_TUNING_H

#include "base/error.h"
#include "kernels/cpu.h"
#include "model/model.h"
#include "narrow/narrow.h"

/** One row of the file. */
typedef struct nw_tuning {
    uint64_t network; /* nw_tuning_network */
    int32_t threads;
    nw_fusion fusion;
    int32_t fusion_bytes, fusion_scratch;
    double gain; /* time of separate layers over that of this choice */
} nw_tuning;

#define NW_TUNING_MOST_ROWS 1000 /* of a file; the oldest go first */

/** "none", "fast", "small" (nw_fusion). */
extern const char *const nw_fusion_names[3];

/** What times depend on in a network: operators, shapes and windows, not weights. */
uint64_t nw_tuning_network(const nw_model *model);

/** CPU, kernel family and version of the library, in one line. */
void nw_tuning_key(char key[128], nw_isa isa);

/**
 * The row for a network and a number of threads; without one NW_FUSION_NONE.
 * @return NW_ERROR_DATA if the file cannot be read, is damaged or of another CPU, kernel family or version: *out is
 *         without fusion then too
 */
nw_status nw_tuning_find(nw_tuning *out, const char *path, const nw_model *model, nw_isa isa, int32_t threads,
                         nw_error *error);

/** Puts the row into the file, in place of one for the same network and threads. A file that is none of ours is made anew. */
nw_status nw_tuning_keep(const nw_tuning *row, const char *path, nw_isa isa, nw_error *error);

void nw_tuning_apply(nw_engine_options *options, const nw_tuning *tuning);

#endif
