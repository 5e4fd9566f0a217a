/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise weights for instructions that add four products u8 x s8 to an int32 (vpdpbusd): the packed layout that
 * depthwise_quads.c writes and avxvnni/ and avx512vnni/ read.
 *
 *     | nw_depthwise_quads | tap offset[4 n_groups], padded to 64 bytes | block | block | .. |
 *
 * Taps are taken in groups of four, so that one vpdpbusd adds four of them in 4 `lanes` channels. A group that has
 * fewer repeats its last tap with zero weights. Kernels three wide are grouped by rows: then groups can be shared by
 * two neighbouring pixels and `column` holds the distance in bytes between taps of a row, else 0.
 *
 * A vector holds `lanes` times 16 codes. A block covers 16 q channels, q <= lanes; with q < lanes a vector holds
 * lanes / q pixels of them. Interleaving four such vectors gives four vectors j, whose lane l holds the channels
 * 4 j .. 4 j + 3 of the l-th 16 codes, four taps each; weights are stored to match:
 *
 *     block: | group 0: | j = 0: | lane 0: ch 0: t0 t1 t2 t3 | ch 1 | ch 2 | ch 3 | lane 1: ch 16 .. | .. | j = 1 ..
 *            | group 1 ..
 *            | the same, shifted by one tap (0 t0 t1 t2), if column is not 0 |
 */
#ifndef NARROW_KERNELS_DEPTHWISE_QUADS_H
#define NARROW_KERNELS_DEPTHWISE_QUADS_H

#include "kernels/depthwise_groups.h"
#include "kernels/kernels.h"

typedef struct nw_depthwise_quads {
    int32_t n_channels, n_groups, column, unused;
    uint64_t taps, blocks, block_size, shifted; /* bytes: the first two from the header, `shifted` from the block */
    uint64_t unused2[2];
} nw_depthwise_quads;

/** nw_depthwise.pack for vectors of 2 or 4 lanes; blocks hold at least 16 * least channels. */
size_t nw_depthwise_quads_pack(void *packed, const nw_depthwise_source *source, int32_t lanes, int32_t least);

#endif
