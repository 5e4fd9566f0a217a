/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of one tile, from a panel that gemm_pack.c packed; gemm.c turns them into outputs. */
#ifndef NARROW_KERNELS_AVX2_GEMM_TILE_H
#define NARROW_KERNELS_AVX2_GEMM_TILE_H

#include <immintrin.h>

#include "kernels/avx2/avx2.h"

/** A panel as the loops read it; the arrays lie in the packed matrix (avx2.h). */
typedef struct nw_avx2_tile_panel {
    const nw_avx2_group *groups;
    const int32_t *offsets;
    const __m256i *weights;
    int32_t n_groups, n_wide;
} nw_avx2_tile_panel;

/**
 * sums[2 i], sums[2 i + 1] = the exact int32 sums of channels 0-7 and 8-15 of the panel for pixel i.
 *
 * @param a   [mr] base of each pixel's window
 * @param mr  1 .. NW_AVX2_MR
 */
void nw_avx2_tile_sums(__m256i *sums, const nw_avx2_tile_panel *p, const uint8_t *const *a, int32_t mr);

#endif
