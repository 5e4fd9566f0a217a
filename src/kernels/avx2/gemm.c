/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture. Reads what gemm_pack.c packed, takes the exact sums of a tile from
 * gemm_tile.h, and turns them into outputs: a whole tile at once where that is possible, else pixel by pixel.
 *
 * The panels are the outer loop: a panel's weights (at most tens of KiB) stay in L1 or L2 while up to 128 pixels pass.
 */
#include <assert.h>
#include <stddef.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/epilogue.h"
#include "kernels/avx2/gemm_tile.h"
#include "kernels/extra.h"

#define NR NW_AVX2_NR

static tile_panel panel_at(const void *packed, int32_t index)
{
    const uint8_t *base = packed;
    const nw_avx2_panel *p = nw_avx2_panel_at(packed, index);
    return (tile_panel){.groups = (const nw_avx2_group *)(const void *)(base + p->groups),
                        .offsets = (const int32_t *)(const void *)(base + p->offsets),
                        .weights = (const __m256i *)(const void *)(base + p->weights),
                        .n_groups = p->n_groups,
                        .n_short = p->n_short,
                        .n_wide = p->n_wide};
}

static NW_NOINLINE nw_f32x16 add_extra(const nw_extra_list *list, nw_f32x16 v, const int32_t *sums)
{
    float channels[NR];
    memcpy(channels, &v, sizeof(channels));
    nw_extra_add(channels, list, sums);
    memcpy(&v, channels, sizeof(channels));
    return v;
}

/* Rounded values of 4 pixels by 8 channels, before the zero point: channels o + 8 h on. */
static NW_INLINE void round_half(__m256i y[2 * MR], const nw_gemm_call *call, const __m256i *sums, int32_t i, int32_t o,
                                 int32_t h)
{
    const nw_requant *requant = call->requant;
    const int32_t at = o + 8 * h;
    const __m256i offset = load_i32(requant->offset + at);
    const __m256 multiplier = _mm256_loadu_ps(requant->multiplier + at);
    const __m256 bias = _mm256_loadu_ps(requant->bias + at);
    const __m256 lo = _mm256_loadu_ps(requant->lo + at);
    const __m256 hi = _mm256_loadu_ps(requant->hi + at);
    __m256 v[MR];
#pragma GCC unroll 4
    for (int32_t j = 0; j < MR; j++) {
        const __m256 x = _mm256_cvtepi32_ps(_mm256_add_epi32(sums[2 * j + h], offset));
        v[j] = _mm256_add_ps(bias, _mm256_mul_ps(multiplier, x));
    }
    if (requant->residual_multiplier) {
        const __m256 m = _mm256_loadu_ps(requant->residual_multiplier + at);
        const __m256i zero = _mm256_set1_epi32(requant->residual_zero_point);
#pragma GCC unroll 4
        for (int32_t j = 0; j < MR; j++) {
            const __m128i codes = _mm_loadl_epi64((const __m128i *)(const void *)(call->residual[i + j] + at));
            const __m256i x = _mm256_sub_epi32(_mm256_cvtepu8_epi32(codes), zero);
            v[j] = _mm256_add_ps(v[j], _mm256_mul_ps(m, _mm256_cvtepi32_ps(x)));
        }
    }
#pragma GCC unroll 4
    for (int32_t j = 0; j < MR; j++)
        y[2 * j + h] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v[j], lo), hi));
    if (requant->shift) {
        const __m256i shift = load_i32(requant->shift + at);
#pragma GCC unroll 4
        for (int32_t j = 0; j < MR; j++)
            y[2 * j + h] = _mm256_sllv_epi32(y[2 * j + h], shift);
    }
}

/* Outputs of a whole tile of 4 pixels by 16 channels in codes: parameters are loaded once for the 4 pixels. */
static NW_INLINE void finish_whole_tile(const nw_gemm_call *call, const __m256i *sums, int32_t i, int32_t o)
{
    const __m256i zero_point = _mm256_set1_epi16((int16_t)call->requant->zero_point);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* undoes the packing by 128-bit halves */
    __m256i y[2 * MR];
    round_half(y, call, sums, i, o, 0);
    round_half(y, call, sums, i, o, 1);
#pragma GCC unroll 2
    for (int32_t j = 0; j < MR; j += 2) {
        const __m256i first = _mm256_add_epi16(_mm256_packs_epi32(y[2 * j], y[2 * j + 1]), zero_point);
        const __m256i second = _mm256_add_epi16(_mm256_packs_epi32(y[2 * j + 2], y[2 * j + 3]), zero_point);
        const __m256i codes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order);
        _mm_storeu_si128((__m128i *)(void *)((uint8_t *)call->c[i + j] + o), _mm256_castsi256_si128(codes));
        _mm_storeu_si128((__m128i *)(void *)((uint8_t *)call->c[i + j + 1] + o), _mm256_extracti128_si256(codes, 1));
    }
}

/* Any number of channels and pixels, every option, pixel by pixel. */
static NW_NOINLINE void finish_any_tile(const nw_gemm_call *call, const nw_extra_list *list, const __m256i *sums,
                                        int32_t i, int32_t mr, int32_t o, int32_t n)
{
    const nw_requant *requant = call->requant;
    for (int32_t j = 0; j < mr; j++) {
        const nw_i32x16 acc = {{sums[2 * j], sums[2 * j + 1]}};
        nw_f32x16 v = first_point(requant, o, acc);
        if (list->n)
            v = add_extra(list, v, call->extra_sums + (ptrdiff_t)(i + j) * requant->n_extra);
        if (requant->residual_multiplier)
            v = add_residual(requant, o, v, call->residual[i + j] + o);
        store_outputs(requant, o, n, v, call->c[i + j]);
    }
}

/* The edge of the pixels: fewer than 4. */
static NW_NOINLINE void few_sums(__m256i *sums, const tile_panel *p, const uint8_t *const *a, int32_t mr)
{
    if (mr == 1)
        tile_sums(sums, p, a, 1);
    else if (mr == 2)
        tile_sums(sums, p, a, 2);
    else
        tile_sums(sums, p, a, 3);
}

/* Whole tiles in codes, all that most layers consist of. Returns the first pixel that is left. */
static NW_NOINLINE int32_t plain_tiles(const nw_gemm_call *call, const tile_panel *p, int32_t o)
{
    __m256i sums[2 * MR];
    int32_t i = 0;
    for (; i + MR <= call->m; i += MR) {
        tile_sums(sums, p, call->a + i, MR);
        finish_whole_tile(call, sums, i, o);
    }
    return i;
}

/* The sums of any tile. */
static NW_NOINLINE void any_sums(__m256i *sums, const tile_panel *p, const uint8_t *const *a, int32_t mr)
{
    if (mr == MR)
        tile_sums(sums, p, a, MR);
    else
        few_sums(sums, p, a, mr);
}

void nw_gemm_run_avx2(const nw_gemm_call *call)
{
    const nw_avx2_gemm *header = call->packed;
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % NR == 0 && call->begin < call->end && call->end <= header->n_channels);
    assert(call->end % NR == 0 || call->end == header->n_channels);
    assert(header->n_extra == call->requant->n_extra);
    (void)header;
    __m256i sums[2 * MR];
    nw_extra_list list;
    for (int32_t o = call->begin; o < call->end; o += NR) {
        const tile_panel p = panel_at(call->packed, o / NR);
        nw_extra_list_make(&list, call->requant, o, NR);
        const bool plain = call->end - o >= NR && !list.n && !call->requant->wrap16 && !call->requant->float_output;
        for (int32_t i = plain ? plain_tiles(call, &p, o) : 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            any_sums(sums, &p, call->a + i, mr);
            finish_any_tile(call, &list, sums, i, mr, o, nw_min32(call->end - o, NR));
        }
    }
}

void nw_gemm_run_extra_avx2(const nw_gemm_call *call)
{
    const nw_avx2_gemm *header = call->packed;
    const int32_t n_extra = header->n_extra;
    assert(n_extra == call->requant->n_extra);
    __m256i sums[2 * MR];
    for (int32_t e = 0; e < n_extra; e += NR) {
        const tile_panel p = panel_at(call->packed, header->n_panels + e / NR);
        const size_t size = (size_t)nw_min32(n_extra - e, NR) * sizeof(int32_t);
        for (int32_t i = 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            any_sums(sums, &p, call->a + i, mr);
            for (int32_t j = 0; j < mr; j++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + j) * n_extra + e, &sums[2 * j], size);
        }
    }
}
