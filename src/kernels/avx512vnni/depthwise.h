/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed weights of the depthwise kernel, shared by depthwise_pack.c and depthwise.c.
 *
 *     | depthwise_header | tap offset[4 n_groups], padded to 64 bytes | block | block | .. |
 *
 * Taps are taken in groups of four, so that one vpdpbusd adds four of them in 16 channels. A group that has fewer
 * repeats its last tap with zero weights. Kernels three wide are grouped by rows: then groups can be shared by two
 * neighbouring pixels (depthwise.c) and `column` holds the distance in bytes between taps of a row, else 0.
 *
 * A block covers 16 q channels: q = 4, or 2 or 1 at the end. A 512-bit vector always consists of four lanes of 16
 * codes: 16 q channels of 4 / q pixels. Interleaving four such vectors gives four vectors j, whose lane l holds the
 * channels 4 j .. 4 j + 3 of the l-th 16 codes, four taps each; weights are stored to match:
 *
 *     block: | group 0: | j = 0: | lane 0: ch 0: t0 t1 t2 t3 | ch 1 | ch 2 | ch 3 | lane 1: ch 16 .. | .. | j = 1 ..
 *            | group 1 ..
 *            | the same, shifted by one tap (0 t0 t1 t2), if column is not 0 |
 */
#ifndef NARROW_KERNELS_AVX512VNNI_DEPTHWISE_H
#define NARROW_KERNELS_AVX512VNNI_DEPTHWISE_H

#include <stdint.h>

typedef struct depthwise_header {
    int32_t n_channels, n_groups, column, unused;
    uint64_t taps, blocks, block_size, shifted; /* bytes: the first two from the header, `shifted` from the block */
    uint64_t unused2[2];
} depthwise_header;

/** Vectors of 16 channels in the block that starts where `left` channels remain. */
static inline int32_t depthwise_block(int32_t left)
{
    return left > 32 ? 4 : left > 16 ? 2 : 1;
}

#endif
