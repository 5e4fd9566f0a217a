/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fingerprint of a network's arithmetic: every intermediate tensor on a built-in input, as one number. The same on
 * every machine, kernel family and number of threads, or something is wrong.
 */
#ifndef NARROW_RUNTIME_HASH_H
#define NARROW_RUNTIME_HASH_H

#include "runtime/engine.h"

/**
 * Runs the network on built-in inputs and hashes (FNV-1a, 64 bits) the output of every node, in node order, elements in
 * row-major logical order, floats as their little-endian bits.
 *
 * Built-in input: `n_runs` samples of reals, in stretches of 64 values in row-major order, from a linear congruential
 * generator (x = 6364136223846793005 x + 1442695040888963407 modulo 2^64, top 24 bits): every other stretch, as one of
 * its bits says, is uniform over the range of the input's codes and 1/16 of it beyond either end, or one value
 * throughout. Noise alone reaches few limits inside the network. No input reaches all, so the limits and shifts of
 * every tensor of codes are hashed behind the outputs (little-endian binary32, bytes).
 */
nw_status nw_engine_hash(uint64_t *hash, nw_engine *engine, const nw_model *model, int32_t n_runs, nw_threads *threads,
                         nw_error *error);

#endif
