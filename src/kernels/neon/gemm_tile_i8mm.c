/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loops of the matrix product with the matrix instructions: tiles of 4 pixels by 16 rows, 16 k at a time.
 * usmmla multiplies 2 pixels by 8 k with 2 rows by 8 k: 32 products, unsigned codes as they are. The tile is 2 pairs of
 * pixels by 8 pairs of rows. See neon.h for the layout.
 *
 *     a sum register:  | pixel 0, row 0 | pixel 0, row 1 | pixel 1, row 0 | pixel 1, row 1 |
 */
#include <arm_neon.h>
#include <stddef.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/neon/neon.h"

#define MR NW_NEON_MR
#define PAIRS 8 /* of the 16 rows */

static NW_INLINE void multiply(int32x4_t sums[2][PAIRS], const uint8x16_t x[2], const int8_t *weights)
{
#pragma GCC unroll 8
    for (int32_t r = 0; r < PAIRS; r++) {
        const int8x16_t w = vld1q_s8(weights + 16 * r);
        sums[0][r] = vusmmlaq_s32(sums[0][r], x[0], w);
        sums[1][r] = vusmmlaq_s32(sums[1][r], x[1], w);
    }
}

/* 8 codes of each of two pixels. */
static NW_INLINE uint8x16_t join(const uint8_t *first, const uint8_t *second)
{
    return vcombine_u8(vld1_u8(first), vld1_u8(second));
}

void nw_neon_tile_sums_i8mm(int32_t *out, const nw_neon_tile *p, const uint8_t *const *a, int32_t mr)
{
    const uint8_t *const pixels[MR] = {a[0], a[mr > 1 ? 1 : 0], a[mr > 2 ? 2 : 0], a[mr > 3 ? 3 : 0]};
    const int32_t *offset = p->offsets;
    const int8_t *weights = p->weights;
    int32x4_t sums[2][PAIRS];
#pragma GCC unroll 8
    for (int32_t r = 0; r < PAIRS; r++)
        sums[0][r] = sums[1][r] = vdupq_n_s32(0);
    for (int32_t n = p->n_single; n > 0; n--, weights += 256) {
        const ptrdiff_t step = *offset++;
        uint64x2_t x[MR];
#pragma GCC unroll 4
        for (int32_t i = 0; i < MR; i++)
            x[i] = vreinterpretq_u64_u8(vld1q_u8(pixels[i] + step));
        const uint8x16_t low[2] = {vreinterpretq_u8_u64(vzip1q_u64(x[0], x[1])),
                                   vreinterpretq_u8_u64(vzip1q_u64(x[2], x[3]))};
        const uint8x16_t high[2] = {vreinterpretq_u8_u64(vzip2q_u64(x[0], x[1])),
                                    vreinterpretq_u8_u64(vzip2q_u64(x[2], x[3]))};
        multiply(sums, low, weights);
        multiply(sums, high, weights + 128);
    }
    for (int32_t n = p->n_small; n > 0; n--, weights += 128) {
        const ptrdiff_t step = *offset++;
        const uint8x16_t x[2] = {join(pixels[0] + step, pixels[1] + step), join(pixels[2] + step, pixels[3] + step)};
        multiply(sums, x, weights);
    }
#pragma GCC unroll 4
    for (int32_t i = 0; i < MR; i++) {
        if (i >= mr)
            break;
#pragma GCC unroll 8
        for (int32_t r = 0; r < PAIRS; r++) {
            const int32x4_t sum = sums[i / 2][r];
            vst1_s32(out + NW_NEON_NR * i + 2 * r, i % 2 ? vget_high_s32(sum) : vget_low_s32(sum));
        }
    }
}
