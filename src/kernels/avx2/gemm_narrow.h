/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights of few values (kernels/gemm_narrow.h) for 256-bit vectors: what avx2/ and avxvnni/gemm_narrow.c share, which
 * differ in how a tile is summed. Panels of 16 channels, two steps at once: four vectors of weights from two packed
 * ones at 4 bits, from one at 2.
 *
 *     static void tile(__m256i *sums, const nw_narrow_header *header, const nw_narrow_panel *p,
 *                      const uint8_t *const *a, int mr, int bits); // sums[2 i + h]: channels 8 h .. 8 h + 7 of pixel i
 *     NARROW_TILES
 *     narrow_run(call, tiles);
 */
#ifndef NARROW_KERNELS_AVX2_GEMM_NARROW_H
#define NARROW_KERNELS_AVX2_GEMM_NARROW_H

#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "kernels/avx2/gemm_finish.h"
#include "kernels/gemm_narrow.h"

#define NARROW_MR 2 /* pixels of a tile */

/* The values, in both halves, and the mask of an index. */
typedef struct lookup {
    __m256i values, mask;
} lookup;

static NW_INLINE lookup lookup_of(const nw_narrow_header *header)
{
    const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)header->values);
    return (lookup){_mm256_broadcastsi128_si256(values), _mm256_set1_epi8((char)((1 << header->bits) - 1))};
}

/* What the indices in the low bits of each byte stand for. */
static NW_INLINE __m256i look_up(const lookup *l, __m256i indices)
{
    return _mm256_shuffle_epi8(l->values, _mm256_and_si256(indices, l->mask));
}

/* w[0], w[1]: the channels 0-7 and 8-15 of a step; w[2], w[3]: of the next. bits: a constant in each caller. */
static NW_INLINE void unpack_two_steps(__m256i w[4], const uint8_t *packed, const lookup *l, int bits)
{
    const __m256i *at = (const __m256i *)(const void *)packed;
    const __m256i first = _mm256_load_si256(at);
    const __m256i second = bits == 4 ? _mm256_load_si256(at + 1) : _mm256_srli_epi16(first, 4);
    _mm_prefetch((const char *)packed + NW_GEMM_AHEAD, _MM_HINT_T0);
    w[0] = look_up(l, first);
    w[1] = look_up(l, bits == 4 ? _mm256_srli_epi16(first, 4) : _mm256_srli_epi16(first, 2));
    w[2] = look_up(l, second);
    w[3] = look_up(l, bits == 4 ? _mm256_srli_epi16(second, 4) : _mm256_srli_epi16(second, 2));
}

static NW_INLINE __m256i narrow_codes(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm256_set1_epi32(four);
}

typedef void narrow_tile(__m256i *sums, const nw_narrow_header *header, const nw_narrow_panel *p,
                         const uint8_t *const *a);

#define NARROW_TILE(mr, bits)                                                                                          \
    static NW_NOINLINE void tile_##mr##_##bits(__m256i *sums, const nw_narrow_header *h, const nw_narrow_panel *p,     \
                                               const uint8_t *const *a)                                                \
    {                                                                                                                  \
        tile(sums, h, p, a, mr, bits);                                                                                 \
    }
/* tiles[bits / 4][mr - 1] */
#define NARROW_TILES                                                                                                   \
    NARROW_TILE(1, 2)                                                                                                  \
    NARROW_TILE(2, 2)                                                                                                  \
    NARROW_TILE(1, 4)                                                                                                  \
    NARROW_TILE(2, 4)                                                                                                  \
    static narrow_tile *const tiles[2][NARROW_MR] = {{tile_1_2, tile_2_2}, {tile_1_4, tile_2_4}};

/** nw_gemm.run */
static NW_INLINE void narrow_run(const nw_gemm_call *call, narrow_tile *const tiles[2][NARROW_MR])
{
    const nw_narrow_header *header = call->packed;
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % NW_AVX2_NR == 0 && call->begin < call->end && call->end <= header->n_channels);
    __m256i sums[2 * NARROW_MR];
    nw_extra_list list;
    for (int32_t o = call->begin; o < call->end; o += NW_AVX2_NR) {
        const nw_narrow_panel p = nw_narrow_panel_at(call->packed, false, o);
        nw_extra_list_make(&list, call->requant, o, NW_AVX2_NR);
        for (int32_t i = 0; i < call->m; i += NARROW_MR) {
            const int32_t mr = nw_min32(call->m - i, NARROW_MR);
            tiles[header->bits / 4][mr - 1](sums, header, &p, call->a + i);
            finish_any_tile(call, &list, sums, i, mr, o, p.width);
        }
    }
}

/** nw_gemm.run_extra */
static NW_INLINE void narrow_run_extra(const nw_gemm_call *call, narrow_tile *const tiles[2][NARROW_MR])
{
    const nw_narrow_header *header = call->packed;
    const int32_t n_extra = header->n_extra;
    __m256i sums[2 * NARROW_MR];
    for (int32_t e = 0; e < n_extra; e += NW_AVX2_NR) {
        const nw_narrow_panel p = nw_narrow_panel_at(call->packed, true, e);
        for (int32_t i = 0; i < call->m; i += NARROW_MR) {
            const int32_t mr = nw_min32(call->m - i, NARROW_MR);
            tiles[header->bits / 4][mr - 1](sums, header, &p, call->a + i);
            for (int32_t j = 0; j < mr; j++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + j) * n_extra + e, &sums[2 * j],
                       (size_t)p.width * sizeof(int32_t));
        }
    }
}

#endif
