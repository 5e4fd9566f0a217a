/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Winograd's convolution (kernels/winograd.h) with 256-bit vectors. Included by avx2/ and avxvnni/winograd.c, which
 * define add_pairs: acc += the products of 16 words, two to a sum.
 *
 * A tile of the product is up to 6 Winograd tiles by 16 channels: twelve sums, two vectors of weights, a broadcast and
 * a product are the sixteen registers. One step, a pair of input channels, takes 2 loads of weights, 6 broadcasts and
 * 12 multiplications.
 */
#ifndef NARROW_KERNELS_AVX2_WINOGRAD_TILE_H
#define NARROW_KERNELS_AVX2_WINOGRAD_TILE_H

#define NW_WINOGRAD_VECTOR 32
#include "kernels/avx2/gemm_finish.h"
#include "kernels/winograd_run.h"

#define WINOGRAD_MR 6
#define FINISH_MR 4 /* pixels that are finished together */

/* The product of mr tiles with one sixteen of channels, `g`; mr is a constant. The next sixteen is prefetched. */
static NW_INLINE void multiply_tile(int mr, const wino_product *p, int32_t first, int32_t g)
{
    const int16_t *v = p->v + first * p->v_tile;
    const int16_t *w = p->weights + (ptrdiff_t)32 * g * p->pairs;
    const int16_t *const end = w + (ptrdiff_t)32 * p->pairs;
    const int16_t *ahead = end;
    int32_t *m = p->m + first * p->m_tile + 16 * g;
    const ptrdiff_t v_tile = p->v_tile;
    __m256i acc[2 * WINOGRAD_MR];
#pragma GCC unroll 12
    for (int i = 0; i < 2 * mr; i++)
        acc[i] = _mm256_setzero_si256();
    for (; w != end; w += 32, v += 2) {
        const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)w);
        const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(w + 16));
        _mm_prefetch((const char *)ahead, _MM_HINT_T1);
        ahead += 32;
#pragma GCC unroll 6
        for (int i = 0; i < mr; i++) {
            int32_t pair;
            memcpy(&pair, v + i * v_tile, sizeof(pair));
            const __m256i words = _mm256_set1_epi32(pair);
            acc[2 * i] = add_pairs(acc[2 * i], words, low);
            acc[2 * i + 1] = add_pairs(acc[2 * i + 1], words, high);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < mr; i++) {
        _mm256_storeu_si256((__m256i *)(void *)(m + i * p->m_tile), acc[2 * i]);
        _mm256_storeu_si256((__m256i *)(void *)(m + i * p->m_tile + 8), acc[2 * i + 1]);
    }
}

typedef void tile_fn(const wino_product *p, int32_t first, int32_t g);

#define TILE(mr)                                                                                                      \
    static NW_NOINLINE void tile_##mr(const wino_product *p, int32_t first, int32_t g)                                \
    {                                                                                                                 \
        multiply_tile(mr, p, first, g);                                                                               \
    }

TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

/* Equal shares rather than full tiles and a small rest. */
static void multiply(const wino_product *p)
{
    static tile_fn *const tiles[WINOGRAD_MR] = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};
    const int32_t n = (p->n + WINOGRAD_MR - 1) / WINOGRAD_MR;
    for (int32_t g = 0; g < p->q; g++)
        for (int32_t t = 0, first = 0; t < n; t++) {
            const int32_t mr = p->n / n + (t < p->n % n);
            tiles[mr - 1](p, first, g);
            first += mr;
        }
}

static void start(wino_outputs *outputs)
{
    static const int32_t zeros[NW_AVX2_WINOGRAD_NR];
    outputs->start = zeros;
}

/* The n <= FINISH_MR pixels from place i on, channels o to o + width. */
static NW_INLINE void finish_pixels(const nw_gemm_call *call, const __m256i *acc, int32_t i, int32_t n, int32_t o,
                                    int32_t width)
{
    static const nw_extra_list none;
    if (n < FINISH_MR || call->requant->wrap16)
        finish_any_tile(call, &none, acc, i, n, o, width);
    else if (width == NW_AVX2_NR && !call->requant->float_output)
        finish_whole_tile(call, acc, i, o, FINISH_MR);
    else
        finish_rest_tile(call, acc, i, o, width, FINISH_MR);
}

static void finish(const wino_outputs *outputs, const int32_t *sums, int32_t i, int32_t n)
{
    __m256i acc[2 * FINISH_MR];
    for (int32_t g = 0; g < outputs->q; g++)
        for (int32_t done = 0; done < n; done += FINISH_MR) {
            const int32_t pixels = nw_min32(n - done, FINISH_MR);
            for (int32_t j = 0; j < pixels; j++)
                memcpy(acc + 2 * j, sums + ((done + j) * outputs->q + g) * NW_AVX2_NR, 2 * sizeof(*acc));
            finish_pixels(&outputs->call, acc, i + done, pixels, outputs->o + NW_AVX2_NR * g,
                          nw_min32(outputs->width - NW_AVX2_NR * g, NW_AVX2_NR));
        }
}

static NW_INLINE void run_winograd(const nw_winograd_call *call)
{
    winograd_run(call, multiply, start, finish, NULL);
}

#endif
