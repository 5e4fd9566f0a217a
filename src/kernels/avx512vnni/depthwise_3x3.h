/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise 3x3 by columns: what depthwise.c uses where it can.
 *
 * The packed weights: for each block of 16 q channels (kernels/depthwise_groups.h) three taps of a row, each four
 * vectors j with the bytes w[0][t] w[1][t] w[2][t] 0 of the channels in the interleaved order of depthwise_quads.h.
 */
#ifndef NARROW_KERNELS_AVX512VNNI_DEPTHWISE_3X3_H
#define NARROW_KERNELS_AVX512VNNI_DEPTHWISE_3X3_H

#include "kernels/avx2/avx2.h"
#include "kernels/avx512/depthwise_block.h"

#define NW_AVX512VNNI_3X3_BLOCK 768 /* bytes of a block of channels */

/** As nw_depthwise.pack; only for a shape with a column. */
size_t nw_avx512vnni_3x3_pack(void *packed, const nw_depthwise_source *source);

/** Whether every pixel of the call can be had by columns, and sooner than in another way, for a block of 16 q channels. */
bool nw_avx512vnni_3x3_serves(const nw_avx2_3x3 *shape, const nw_depthwise_call *call, int32_t q);

/** All pixels of a bounded block. */
void nw_avx512vnni_3x3_run(const nw_block *block, const nw_avx2_3x3 *shape, const int8_t *weights);

/** Eight channels that lie together, two pixels as one of 16: whether that can be, and all rows of the call. */
bool nw_avx512vnni_3x3_can_pair(const nw_avx2_3x3 *shape, const nw_depthwise_call *call);
void nw_avx512vnni_3x3_run_paired(const nw_depthwise_call *call, const nw_avx2_3x3 *shape, const int8_t *weights);

#endif
