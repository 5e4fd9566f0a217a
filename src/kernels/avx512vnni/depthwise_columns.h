/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise 3x3 and 5x5 by columns: what depthwise.c uses where it can.
 *
 * The packed weights: for each block of 16 q channels (kernels/depthwise_groups.h) the taps t of a row; for each the
 * rows in groups of four, each group four vectors j with the bytes w[r][t] w[r + 1][t] w[r + 2][t] w[r + 3][t] of the
 * channels in the interleaved order of depthwise_quads.h, 0 where there is no such row.
 */
#ifndef NARROW_KERNELS_AVX512VNNI_DEPTHWISE_COLUMNS_H
#define NARROW_KERNELS_AVX512VNNI_DEPTHWISE_COLUMNS_H

#include "kernels/avx512/depthwise_block.h"

/** A kernel whose taps form a square of evenly spaced columns. */
typedef struct nw_columns {
    int32_t n_channels;
    int32_t side;   /* 3 or 5; 0: another kernel */
    int32_t column; /* bytes from tap to tap along a row */
    int32_t row[5]; /* bytes from a pixel's base to the first tap of each row */
} nw_columns;

nw_columns nw_columns_of(const nw_depthwise_source *source);

/** Bytes of a block of channels. */
static inline int32_t nw_columns_block(const nw_columns *shape)
{
    return shape->side * ((shape->side + 3) / 4) * 256;
}

/** As nw_depthwise.pack; only for a shape with a side. */
size_t nw_columns_pack(void *packed, const nw_depthwise_source *source, const nw_columns *shape);

/**
 * Whether every pixel of the call can be had by columns, and sooner than in another way, for a block of 16 q channels.
 */
bool nw_columns_serve(const nw_columns *shape, const nw_depthwise_call *call, int32_t q);

/** All pixels of a row of a bounded block. */
void nw_columns_run(const nw_block *block, const nw_columns *shape, const int8_t *weights);

/** Eight channels that lie together, two pixels as one of 16: whether that can be, and all rows of the call. */
bool nw_columns_can_pair(const nw_columns *shape, const nw_depthwise_call *call);
void nw_columns_run_paired(const nw_depthwise_call *call, const nw_columns *shape, const int8_t *weights);

#endif
