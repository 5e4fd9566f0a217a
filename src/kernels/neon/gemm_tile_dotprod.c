/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loops of the matrix product with the dot-product instructions: tiles of 4 pixels by 16 rows, 16 k at a
 * time. A register of weights is 4 rows by 4 k; sdot by element multiplies it by one of the 4 groups of a pixel's 16
 * codes: 64 instructions for 1024 products, beside 4 loads of codes and 8 (pairs) of weights. See neon.h for the
 * layout.
 */
#include <arm_neon.h>
#include <stddef.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/neon/neon.h"

#define MR NW_NEON_MR
#define QUARTERS 4 /* of the 16 rows */

#define DOT4_PIXEL(i, group)                                         \
    do {                                                             \
        sums[i][0] = vdotq_laneq_s32(sums[i][0], w[0], x[i], group); \
        sums[i][1] = vdotq_laneq_s32(sums[i][1], w[1], x[i], group); \
        sums[i][2] = vdotq_laneq_s32(sums[i][2], w[2], x[i], group); \
        sums[i][3] = vdotq_laneq_s32(sums[i][3], w[3], x[i], group); \
    } while (0)

/* One group of 4 k, which must be a constant of the instruction. */
#define DOT4(group)                              \
    do {                                         \
        int8x16_t w[QUARTERS];                   \
        load_weights(w, weights + 64 * (group)); \
        DOT4_PIXEL(0, group);                    \
        DOT4_PIXEL(1, group);                    \
        DOT4_PIXEL(2, group);                    \
        DOT4_PIXEL(3, group);                    \
    } while (0)

static NW_INLINE void load_weights(int8x16_t w[QUARTERS], const int8_t *weights)
{
#pragma GCC unroll 4
    for (int32_t q = 0; q < QUARTERS; q++)
        w[q] = vld1q_s8(weights + 16 * q);
}

static NW_INLINE void tile_sums(int32_t *out, const nw_neon_tile *p, const uint8_t *const a[MR], int32_t mr,
                                bool shifted)
{
    const uint8x16_t flip = vdupq_n_u8(shifted ? 128 : 0);
    const int32_t *offset = p->offsets;
    const int8_t *weights = p->weights;
    int32x4_t sums[MR][QUARTERS];
#pragma GCC unroll 4
    for (int32_t i = 0; i < MR; i++)
#pragma GCC unroll 4
        for (int32_t q = 0; q < QUARTERS; q++)
            sums[i][q] = vld1q_s32(p->start + 4 * q);
    for (int32_t n = p->n_single; n > 0; n--, weights += 256) {
        const ptrdiff_t step = *offset++;
        int8x16_t x[MR];
#pragma GCC unroll 4
        for (int32_t i = 0; i < MR; i++)
            x[i] = vreinterpretq_s8_u8(shifted ? veorq_u8(vld1q_u8(a[i] + step), flip) : vld1q_u8(a[i] + step));
        DOT4(0);
        DOT4(1);
        DOT4(2);
        DOT4(3);
    }
    for (int32_t n = p->n_small; n > 0; n--, weights += 64) {
        const ptrdiff_t step = *offset++;
        int8x16_t x[MR];
#pragma GCC unroll 4
        for (int32_t i = 0; i < MR; i++) {
            uint32_t bytes;
            memcpy(&bytes, a[i] + step, sizeof(bytes));
            x[i] = vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(vdupq_n_u32(bytes)), flip));
        }
        DOT4(0);
    }
    for (int32_t i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int32_t q = 0; q < QUARTERS; q++)
            vst1q_s32(out + NW_NEON_NR * i + 4 * q, sums[i][q]);
}

void nw_neon_tile_sums_dotprod(int32_t *sums, const nw_neon_tile *p, const uint8_t *const *a, int32_t mr)
{
    const uint8_t *const pixels[MR] = {a[0], a[mr > 1 ? 1 : 0], a[mr > 2 ? 2 : 0], a[mr > 3 ? 3 : 0]};
    if (p->shifted)
        tile_sums(sums, p, pixels, mr, true);
    else
        tile_sums(sums, p, pixels, mr, false);
}
