/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loops of the matrix product on Armv8.0: tiles of 4 pixels by 4 rows, 16 k at a time. See neon.h for the
 * layout; gemm_pack.c says why the sums are exact.
 *
 * A step is 16 bytes of each pixel by 16 bytes of each row. In 32 bits: smull, smlal2 and sadalp, 48 instructions for
 * the tile's 256 products, beside 4 loads of codes and 2 of weights. In a run: smlal and smlal2, 32 instructions; the
 * 16 sums in 16 bits and those in 32 do not fit the registers together, so a run's end adds to memory. Lanes are k mod
 * 8; they are added across once, after the last step.
 */
#include <arm_neon.h>
#include <stddef.h>

#include "base/compiler.h"
#include "kernels/neon/neon.h"

#define MR NW_NEON_MR
#define ROWS 4

/* Position within a panel. */
typedef struct cursor {
    const int32_t *offset;
    const int8_t *weights;
} cursor;

typedef struct codes {
    const uint8_t *a[MR];
} codes;

/* All runs of a panel; adds to sums. */
typedef void runs_fn(int32x4_t sums[MR][ROWS], cursor *at, const nw_neon_tile *p, const codes *codes);

/* 16 codes as signed bytes. */
static NW_INLINE int8x16_t load_codes(const uint8_t *a, bool shifted)
{
    const uint8x16_t x = vld1q_u8(a);
    return vreinterpretq_s8_u8(shifted ? veorq_u8(x, vdupq_n_u8(128)) : x);
}

static NW_INLINE void load_weights(int8x16_t w[ROWS], cursor *at)
{
#pragma GCC unroll 4
    for (int32_t c = 0; c < ROWS; c++)
        w[c] = vld1q_s8(at->weights + 16 * c);
    at->weights += 16 * ROWS;
}

/* The 32-bit sums of runs stay in memory: the compiler would keep half of them in registers and move those about. */
static NW_INLINE void forget_memory(void)
{
    __asm__ volatile("" : : : "memory");
}

/* One run: `length` >= 2 steps in 16 bits, of which the first sets the sums; then folded into sums. */
static NW_INLINE void run_of_steps(int32x4_t sums[MR][ROWS], cursor *at, int32_t length, const codes *codes, int32_t mr,
                                   bool shifted)
{
    int16x8_t r[MR][ROWS];
    int8x16_t w[ROWS];
    const ptrdiff_t first = *at->offset++;
    load_weights(w, at);
#pragma GCC unroll 4
    for (int32_t i = 0; i < mr; i++) {
        const int8x16_t x = load_codes(codes->a[i] + first, shifted);
#pragma GCC unroll 4
        for (int32_t c = 0; c < ROWS; c++)
            r[i][c] = vmull_s8(vget_low_s8(x), vget_low_s8(w[c]));
#pragma GCC unroll 4
        for (int32_t c = 0; c < ROWS; c++)
            r[i][c] = vmlal_high_s8(r[i][c], x, w[c]);
    }
    for (int32_t n = length - 1; n > 0; n--) {
        const ptrdiff_t step = *at->offset++;
        load_weights(w, at);
#pragma GCC unroll 4
        for (int32_t i = 0; i < mr; i++) {
            const int8x16_t x = load_codes(codes->a[i] + step, shifted);
#pragma GCC unroll 4
            for (int32_t c = 0; c < ROWS; c++)
                r[i][c] = vmlal_s8(r[i][c], vget_low_s8(x), vget_low_s8(w[c]));
#pragma GCC unroll 4
            for (int32_t c = 0; c < ROWS; c++)
                r[i][c] = vmlal_high_s8(r[i][c], x, w[c]);
        }
    }
    forget_memory();
#pragma GCC unroll 4
    for (int32_t i = 0; i < mr; i++) {
        int32x4_t sum[ROWS];
#pragma GCC unroll 4
        for (int32_t c = 0; c < ROWS; c++)
            sum[c] = sums[i][c];
#pragma GCC unroll 4
        for (int32_t c = 0; c < ROWS; c++)
            sum[c] = vpadalq_s16(sum[c], r[i][c]);
#pragma GCC unroll 4
        for (int32_t c = 0; c < ROWS; c++)
            sums[i][c] = sum[c];
    }
}

/* n steps in 32 bits: the sums of two products fit 16 bits for any weights. */
static NW_INLINE void single_steps(int32x4_t sums[MR][ROWS], cursor *at, int32_t n, const codes *codes, int32_t mr,
                                   bool shifted)
{
    int32x4_t r[MR][ROWS];
    int8x16_t w[ROWS];
#pragma GCC unroll 4
    for (int32_t i = 0; i < mr; i++) {
#pragma GCC unroll 4
        for (int32_t c = 0; c < ROWS; c++)
            r[i][c] = sums[i][c];
    }
    for (; n > 0; n--) {
        const ptrdiff_t step = *at->offset++;
        load_weights(w, at);
#pragma GCC unroll 4
        for (int32_t i = 0; i < mr; i++) {
            const int8x16_t x = load_codes(codes->a[i] + step, shifted);
            int16x8_t t[ROWS];
#pragma GCC unroll 4
            for (int32_t c = 0; c < ROWS; c++)
                t[c] = vmull_s8(vget_low_s8(x), vget_low_s8(w[c]));
#pragma GCC unroll 4
            for (int32_t c = 0; c < ROWS; c++)
                t[c] = vmlal_high_s8(t[c], x, w[c]);
#pragma GCC unroll 4
            for (int32_t c = 0; c < ROWS; c++)
                r[i][c] = vpadalq_s16(r[i][c], t[c]);
        }
    }
#pragma GCC unroll 4
    for (int32_t i = 0; i < mr; i++) {
#pragma GCC unroll 4
        for (int32_t c = 0; c < ROWS; c++)
            sums[i][c] = r[i][c];
    }
}

/* n steps of 8 k: the ends of segments. */
static NW_INLINE void small_steps(int32x4_t sums[MR][ROWS], cursor *at, int32_t n, const codes *codes, int32_t mr,
                                  bool shifted)
{
    for (; n > 0; n--, at->weights += 8 * ROWS) {
        const ptrdiff_t step = *at->offset++;
#pragma GCC unroll 4
        for (int32_t i = 0; i < mr; i++) {
            const uint8x8_t bytes = vld1_u8(codes->a[i] + step);
            const int8x8_t x = vreinterpret_s8_u8(shifted ? veor_u8(bytes, vdup_n_u8(128)) : bytes);
#pragma GCC unroll 4
            for (int32_t c = 0; c < ROWS; c++)
                sums[i][c] = vpadalq_s16(sums[i][c], vmull_s8(x, vld1_s8(at->weights + 8 * c)));
        }
    }
}

/* mr and shifted are constants in each caller. */
static NW_INLINE void tile_sums(int32_t *out, const nw_neon_tile *p, const uint8_t *const *a, int32_t mr, bool shifted,
                                runs_fn *runs)
{
    cursor at = {p->offsets, p->weights};
    codes codes;
    int32x4_t sums[MR][ROWS];
#pragma GCC unroll 4
    for (int32_t i = 0; i < mr; i++) {
        codes.a[i] = a[i];
#pragma GCC unroll 4
        for (int32_t c = 0; c < ROWS; c++)
            sums[i][c] = vdupq_n_s32(0);
    }
    if (p->n_runs)
        runs(sums, &at, p, &codes);
    if (p->n_single)
        single_steps(sums, &at, p->n_single, &codes, mr, shifted);
    if (p->n_small)
        small_steps(sums, &at, p->n_small, &codes, mr, shifted);
    const int32x4_t start = vld1q_s32(p->start);
#pragma GCC unroll 4
    for (int32_t i = 0; i < mr; i++) {
        const int32x4_t sum = vpaddq_s32(vpaddq_s32(sums[i][0], sums[i][1]), vpaddq_s32(sums[i][2], sums[i][3]));
        vst1q_s32(out + NW_NEON_NR * i, vaddq_s32(sum, start));
    }
}

/* Runs stand in a function of their own, which sees the 32-bit sums as memory. */
#define TILE(name, mr, shifted)                                                                                      \
    static NW_NOINLINE void runs_##name(int32x4_t sums[MR][ROWS], cursor *at, const nw_neon_tile *p, const codes *a) \
    {                                                                                                                \
        const codes local = *a;                                                                                      \
        cursor here = *at;                                                                                           \
        for (int32_t r = 0; r < p->n_runs; r++)                                                                      \
            run_of_steps(sums, &here, p->runs[r], &local, mr, shifted);                                              \
        *at = here;                                                                                                  \
    }                                                                                                                \
    static NW_NOINLINE void tile_##name(int32_t *out, const nw_neon_tile *p, const uint8_t *const *a)                \
    {                                                                                                                \
        tile_sums(out, p, a, mr, shifted, runs_##name);                                                              \
    }
TILE(1, 1, false)
TILE(2, 2, false)
TILE(3, 3, false)
TILE(4, 4, false)
TILE(1_shifted, 1, true)
TILE(2_shifted, 2, true)
TILE(3_shifted, 3, true)
TILE(4_shifted, 4, true)

void nw_neon_tile_sums(int32_t *sums, const nw_neon_tile *p, const uint8_t *const *a, int32_t mr)
{
    switch (p->shifted ? mr + MR : mr) {
    case 1:
        tile_1(sums, p, a);
        break;
    case 2:
        tile_2(sums, p, a);
        break;
    case 3:
        tile_3(sums, p, a);
        break;
    case 4:
        tile_4(sums, p, a);
        break;
    case MR + 1:
        tile_1_shifted(sums, p, a);
        break;
    case MR + 2:
        tile_2_shifted(sums, p, a);
        break;
    case MR + 3:
        tile_3_shifted(sums, p, a);
        break;
    default:
        tile_4_shifted(sums, p, a);
    }
}
