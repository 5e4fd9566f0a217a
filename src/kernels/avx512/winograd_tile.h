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

#include "kernels/avx512/tiles.h"

static void multiply(const wino_product *p)
{
    const shares s = share(p->n, p->q);
    for (int32_t t = 0, first = 0; t < s.n; t++) {
        const int32_t mr = s.rows + (t < s.larger);
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
