/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Winograd's convolution (kernels/winograd.h) with smlal by element: four products of words into 32 bits. Only for CPUs
 * without dot products, which take 16 products of bytes in an instruction.
 *
 * A tile of the product is up to 4 Winograd tiles by 16 channels: sixteen sums, four vectors of weights and four of V.
 * A step, eight input channels, takes 8 loads of weights (ld2 parts a pair's channels), 4 of V and 128 smlal for 512
 * products, with the compiler's moves 0.32 instructions each; the direct way takes 0.16 to 0.23
 * (tests/cross/neon_instructions.py) for four times as many products.
 */
#define NW_WINOGRAD_VECTOR 16
#include "kernels/neon/epilogue.h"
#include "kernels/neon/neon.h"
#include "kernels/winograd_run.h"

#define WINOGRAD_MR 4
#define NR NW_NEON_NR

/* acc[4 i ..] += word `lane` of each tile's V times 16 weights; lane is a constant. */
#define ADD_WORD(lane, w0, w1)                                                                                        \
    do {                                                                                                              \
        _Pragma("GCC unroll 4") for (int i = 0; i < mr; i++)                                                          \
        {                                                                                                             \
            acc[4 * i] = vmlal_laneq_s16(acc[4 * i], vget_low_s16(w0), x[i], lane);                                   \
            acc[4 * i + 1] = vmlal_high_laneq_s16(acc[4 * i + 1], w0, x[i], lane);                                    \
            acc[4 * i + 2] = vmlal_laneq_s16(acc[4 * i + 2], vget_low_s16(w1), x[i], lane);                           \
            acc[4 * i + 3] = vmlal_high_laneq_s16(acc[4 * i + 3], w1, x[i], lane);                                    \
        }                                                                                                             \
    } while (0)

/* The pair of channels 2 `pair`, 2 `pair` + 1 of the eight in x. */
#define ADD_PAIR(pair)                                                                                                \
    do {                                                                                                              \
        const int16x8x2_t low = vld2q_s16(w);                                                                         \
        const int16x8x2_t high = vld2q_s16(w + 16);                                                                   \
        ADD_WORD(2 * (pair), low.val[0], high.val[0]);                                                                \
        ADD_WORD(2 * (pair) + 1, low.val[1], high.val[1]);                                                            \
        w += 32;                                                                                                      \
    } while (0)

/*
 * The product of mr tiles with one sixteen of channels, `g`; mr is a constant. V is padded with whatever: no
 * weights.
 */
static NW_INLINE void multiply_tile(int mr, const wino_product *p, int32_t first, int32_t g)
{
    const int16_t *v = p->v + first * p->v_tile;
    const int16_t *w = p->weights + (ptrdiff_t)32 * g * p->pairs;
    int32_t *m = p->m + first * p->m_tile + 16 * g;
    int32x4_t acc[4 * WINOGRAD_MR];
    int16x8_t x[WINOGRAD_MR];
#pragma GCC unroll 16
    for (int i = 0; i < 4 * mr; i++)
        acc[i] = vdupq_n_s32(0);
    for (int32_t left = p->pairs; left > 0; left -= 4, v += 8) {
#pragma GCC unroll 4
        for (int i = 0; i < mr; i++)
            x[i] = vld1q_s16(v + i * p->v_tile);
        ADD_PAIR(0);
        if (left > 1)
            ADD_PAIR(1);
        if (left > 2)
            ADD_PAIR(2);
        if (left > 3)
            ADD_PAIR(3);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4 * mr; i++)
        vst1q_s32(m + i / 4 * p->m_tile + i % 4 * 4, acc[i]);
}

static NW_NOINLINE void whole_tile(const wino_product *p, int32_t first, int32_t g)
{
    multiply_tile(WINOGRAD_MR, p, first, g);
}

static NW_NOINLINE void single_tile(const wino_product *p, int32_t first, int32_t g)
{
    multiply_tile(1, p, first, g);
}

static void multiply(const wino_product *p)
{
    for (int32_t g = 0; g < p->q; g++) {
        int32_t first = 0;
        for (; first + WINOGRAD_MR <= p->n; first += WINOGRAD_MR)
            whole_tile(p, first, g);
        for (; first < p->n; first++)
            single_tile(p, first, g);
    }
}

static void start(wino_outputs *outputs)
{
    static const int32_t zeros[NW_NEON_WINOGRAD_NR];
    outputs->start = zeros;
}

static void finish(const wino_outputs *outputs, const int32_t *sums, int32_t i, int32_t n)
{
    const nw_gemm_call *call = &outputs->call;
    const nw_requant *requant = call->requant;
    for (int32_t j = i; j < i + n; j++)
        for (int32_t c = 0; c < outputs->width; c += NR, sums += NR) {
            const int32_t o = outputs->o + c;
            nw_f32x16 v = first_point(
                requant, o,
                (nw_s32x16){{vld1q_s32(sums), vld1q_s32(sums + 4), vld1q_s32(sums + 8), vld1q_s32(sums + 12)}});
            if (requant->residual_multiplier)
                v = add_residual(requant, o, v, call->residual[j] + o);
            store_outputs(requant, o, nw_min32(outputs->width - c, NR), v, call->c[j]);
        }
}

size_t nw_winograd_pack_neon(void *packed, const nw_winograd_source *source)
{
    return nw_winograd_pack(packed, source, NW_NEON_WINOGRAD_NR, true);
}

void nw_winograd_run_neon(const nw_winograd_call *call)
{
    winograd_run(call, multiply, start, finish, NULL);
}
