/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Winograd's convolution (kernels/winograd.h) with 512-bit vectors. Included by avx512/ and avx512vnni/winograd.c,
 * which define add_pairs: acc += the products of 32 words, two to a sum.
 *
 * A tile of the product is mr Winograd tiles by q vectors of 16 channels: one step, a pair of input channels, takes q
 * loads of weights, mr broadcasts and mr * q multiplications, as in avx512vnni/gemm.c. The weights of the next point
 * are prefetched: 512 channels of 28 x 28 take 0.74 of their time by that (Zen 5).
 */
#ifndef NARROW_KERNELS_AVX512_WINOGRAD_TILE_H
#define NARROW_KERNELS_AVX512_WINOGRAD_TILE_H

#define NW_WINOGRAD_VECTOR 64
#include "kernels/avx512/finish.h"
#include "kernels/winograd_run.h"

#define MAX_MR 10
#define MAX_VECTORS 24

/* The product of n = mr tiles; constant mr and q. `ahead`: prefetched, a line each step. */
static NW_INLINE void multiply_tile(int mr, int q, const wino_product *p, int32_t first, const int16_t *ahead)
{
    const int16_t *v = p->v + first * p->v_tile;
    const int16_t *w = p->weights;
    const int16_t *const end = w + (ptrdiff_t)32 * q * p->pairs;
    int32_t *m = p->m + first * p->m_tile;
    const ptrdiff_t v_tile = p->v_tile;
    __m512i acc[MAX_VECTORS];
#pragma GCC unroll 24
    for (int i = 0; i < mr * q; i++)
        acc[i] = in_register(_mm512_setzero_si512());
    for (; w != end; w += 32 * q, v += 2) {
        __m512i weights[4];
        _mm_prefetch((const char *)ahead, _MM_HINT_T1);
        ahead += 32;
#pragma GCC unroll 4
        for (int j = 0; j < q; j++)
            weights[j] = in_register(_mm512_loadu_si512(w + 32 * j));
#pragma GCC unroll 10
        for (int i = 0; i < mr; i++) {
            int32_t pair;
            memcpy(&pair, v + i * v_tile, sizeof(pair));
            const __m512i words = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
            for (int j = 0; j < q; j++)
                acc[q * i + j] = add_pairs(acc[q * i + j], words, weights[j]);
        }
    }
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int j = 0; j < q; j++)
            _mm512_storeu_si512(m + i * p->m_tile + 16 * j, acc[q * i + j]);
}

typedef void tile_fn(const wino_product *p, int32_t first, const int16_t *ahead);

#define TILE(mr, q)                                                                                                   \
    static NW_NOINLINE void tile_##mr##_##q(const wino_product *p, int32_t first, const int16_t *ahead) \
    {                                                                                                                 \
        multiply_tile(mr, q, p, first, ahead);                                                                        \
    }

TILE(1, 1)
TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1) TILE(7, 1) TILE(8, 1) TILE(9, 1) TILE(10, 1) TILE(1, 2)
    TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2) TILE(7, 2) TILE(8, 2) TILE(9, 2) TILE(10, 2) TILE(1, 3)
        TILE(2, 3) TILE(3, 3) TILE(4, 3) TILE(5, 3) TILE(6, 3) TILE(7, 3) TILE(8, 3) TILE(1, 4) TILE(2, 4) TILE(3, 4)
            TILE(4, 4) TILE(5, 4) TILE(6, 4)

    /* [q - 1][mr - 1] */
    static tile_fn *const tiles[4][MAX_MR] = {
        {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1, tile_7_1, tile_8_1, tile_9_1, tile_10_1},
        {tile_1_2, tile_2_2, tile_3_2, tile_4_2, tile_5_2, tile_6_2, tile_7_2, tile_8_2, tile_9_2, tile_10_2},
        {tile_1_3, tile_2_3, tile_3_3, tile_4_3, tile_5_3, tile_6_3, tile_7_3, tile_8_3},
        {tile_1_4, tile_2_4, tile_3_4, tile_4_4, tile_5_4, tile_6_4},
};
static const int32_t max_mr[4] = {10, 10, 8, 6};

/* Equal shares rather than full tiles and a small rest. */
static void multiply(const wino_product *p)
{
    const int32_t most = max_mr[p->q - 1];
    const int32_t n = (p->n + most - 1) / most;
    for (int32_t t = 0, first = 0; t < n; t++) {
        const int32_t mr = p->n / n + (t < p->n % n);
        const int32_t vectors = t < p->q ? p->q + t : t % p->q;
        tiles[p->q - 1][mr - 1](p, first, p->weights + (ptrdiff_t)32 * vectors * p->pairs);
        first += mr;
    }
}

static void start(wino_outputs *outputs)
{
    nw_finish *finish = outputs->family;
    nw_finish_init_avx512(finish, &outputs->call, outputs->o, outputs->width);
    outputs->start = finish->start;
}

static void finish(const wino_outputs *outputs, const int32_t *sums, int32_t i, int32_t n)
{
    nw_finish_run_avx512(outputs->family, sums, i, n);
}

static NW_INLINE void run_winograd(const nw_winograd_call *call)
{
    nw_finish family;
    winograd_run(call, multiply, start, finish, &family);
}

#endif
