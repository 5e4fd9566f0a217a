/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured to be fastest on this machine, network by network (`narrow tune`): a file, which belongs to one
 * CPU, kernel family and version of the library. It says how an engine is built, never what it computes.
 *
 *     {"version": 2, "cpu": "...", "isa": "avx512", "library": "0.1.0",
 *      "networks": [{"network": "0123456789abcdef", "threads": 1, "fusion": "fast", "fusion_bytes": 300000,
 *                    "fusion_scratch": 200000, "gain": 1.05,
 *                    "layers": [{"isa": "avx2", "arrangement": "runs", "nodes": [1, 4]}]}]}
 *
 * `layers` names the nodes that are not computed as the engine would do it by itself (choice.h).
 *
 *     nw_tuning tuning;
 *     if (nw_tuning_find(&tuning, "tuning.json", model, isa, 1, NULL) == NW_OK)
 *         nw_tuning_apply(&options, &tuning);
 *     ...                                            // build the engine
 *     nw_tuning_free(&tuning);
 */
#ifndef NARROW_RUNTIME_TUNING_H
#define NARROW_RUNTIME_TUNING_H

#include "base/error.h"
#include "kernels/cpu.h"
#include "model/model.h"
#include "narrow/narrow.h"
#include "runtime/choice.h"

/** One row of the file. */
typedef struct nw_tuning {
    uint64_t network; /* nw_tuning_network */
    int32_t threads;
    nw_fusion fusion;
    int32_t fusion_bytes, fusion_scratch;
    int32_t n_nodes;    /* of the network */
    nw_choice *choices; /* [n_nodes] owned; NULL: every layer as without a choice */
    double gain;        /* time of the engine without all this over that with it */
} nw_tuning;

#define NW_TUNING_MOST_ROWS 1000 /* of a file; the oldest go first */

/** "none", "fast", "small" (nw_fusion). */
extern const char *const nw_fusion_names[3];

/**
 * What times depend on in a network: operators, shapes, windows, and widths of weights, codes and sums; not the
 * weights.
 */
uint64_t nw_tuning_network(const nw_model *model);

/** CPU, kernel family and version of the library, in one line. */
void nw_tuning_key(char key[128], nw_isa isa);

/**
 * The row for a network and a number of threads; without one the layers of the network's row for another number, else
 * nothing chosen. *out is to be freed whatever is returned.
 *
 * @return NW_ERROR_DATA if the file cannot be read, is damaged or of another CPU, kernel family or version: nothing is
 *         chosen then; NW_ERROR_MEMORY
 */
nw_status nw_tuning_find(nw_tuning *out, const char *path, const nw_model *model, nw_isa isa, int32_t threads,
                         nw_error *error);
void nw_tuning_free(nw_tuning *tuning);

/**
 * Puts the row into the file, in place of one for the same network and threads. A file that is none of ours is made
 * anew.
 */
nw_status nw_tuning_keep(const nw_tuning *row, const char *path, nw_isa isa, nw_error *error);

/** Fills in fusion and choices, which stay the row's. */
void nw_tuning_apply(nw_engine_options *options, const nw_tuning *tuning);

#endif
