/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise weights for instructions that multiply bytes and add pairs of products in 16 bits (vpmaddubsw): the packed
 * layout that depthwise_pairs.c writes and avx2/ and avx512/ read.
 *
 * A vector holds `lanes` times 16 codes. A panel is 16 q channels, q <= lanes; with q < lanes a vector holds lanes / q
 * pixels of them. A step is two taps whose bytes are interleaved per channel, so that a product sums two taps of one
 * channel. Steps form runs (kernels/runs.h); two runs at a time are folded into int32. In memory, from `runs` on:
 *
 *     int32 runs[n_runs] (steps of each) | int32 offsets[n_steps][2] | padding to 64 | weights[n_steps]
 *
 *     weights of a step:  two vectors, h = 0 and 1; lane l of vector h: the channels 16 (l mod q) + 8 h .. + 7, each
 *                         w[t], w[u]: the order of vpunpcklbw and vpunpckhbw
 */
#ifndef NARROW_KERNELS_DEPTHWISE_PAIRS_H
#define NARROW_KERNELS_DEPTHWISE_PAIRS_H

#include "kernels/depthwise_groups.h"
#include "kernels/kernels.h"

typedef struct nw_pairs_panel {
    int64_t runs, offsets, weights; /* bytes from the start of the packed weights */
    int32_t n_runs, n_steps;
    int32_t channel, q;
} nw_pairs_panel;

/** The packed weights open with this, then the panels. */
typedef struct nw_pairs_header {
    int32_t n_channels, n_panels;
} nw_pairs_header;

static inline const nw_pairs_panel *nw_pairs_panels(const void *packed)
{
    return (const nw_pairs_panel *)(const void *)((const uint8_t *)packed + sizeof(nw_pairs_header));
}

/** nw_depthwise.pack for vectors of 2 or 4 lanes; panels hold at least 16 * least channels. */
size_t nw_pairs_pack(void *packed, const nw_depthwise_source *source, int32_t lanes, int32_t least);

/** nw_depthwise.count_runs for what nw_pairs_pack packed. */
void nw_pairs_count_runs(nw_run_counts *counts, const void *packed);

#endif
