/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epilogue of a tile of the matrix products with 256-bit vectors, avx2/ and avxvnni/: sums[2 j], sums[2 j + 1] hold
 * the channels 0-7 and 8-15 of pixel j.
 */
#ifndef NARROW_KERNELS_AVX2_GEMM_FINISH_H
#define NARROW_KERNELS_AVX2_GEMM_FINISH_H

#include "kernels/avx2/avx2.h"
#include "kernels/avx2/epilogue.h"
#include "kernels/extra.h"

#define MAX_FINISH 6 /* most pixels of a whole tile */

static NW_NOINLINE nw_f32x16 add_extra(const nw_extra_list *list, nw_f32x16 v, const int32_t *sums)
{
    float channels[NW_AVX2_NR];
    memcpy(channels, &v, sizeof(channels));
    nw_extra_add(channels, list, sums);
    memcpy(&v, channels, sizeof(channels));
    return v;
}

/*
 * Rounded values of mr pixels by 8 channels, before the zero point: channels o + 8 h on. `late`: not yet clamped;
 * `offset`: what the sums still lack.
 */
static NW_INLINE void round_half(__m256i y[2 * MAX_FINISH], const nw_gemm_call *call, const __m256i *sums, int32_t i,
                                 int32_t o, int32_t h, int32_t mr, bool late, __m256i offset)
{
    const nw_requant *requant = call->requant;
    const int32_t at = o + 8 * h;
    const __m256 multiplier = _mm256_loadu_ps(requant->multiplier + at);
    const __m256 bias = _mm256_loadu_ps(requant->bias + at);
    __m256 v[MAX_FINISH];
#pragma GCC unroll 6
    for (int32_t j = 0; j < mr; j++) {
        const __m256 x = _mm256_cvtepi32_ps(_mm256_add_epi32(sums[2 * j + h], offset));
        v[j] = _mm256_add_ps(bias, _mm256_mul_ps(multiplier, x));
    }
    if (requant->residual_multiplier) {
        const __m256 m = _mm256_loadu_ps(requant->residual_multiplier + at);
        const __m256i zero = _mm256_set1_epi32(requant->residual_zero_point);
#pragma GCC unroll 6
        for (int32_t j = 0; j < mr; j++) {
            const __m128i codes = _mm_loadl_epi64((const __m128i *)(const void *)(call->residual[i + j] + at));
            const __m256i x = _mm256_sub_epi32(_mm256_cvtepu8_epi32(codes), zero);
            v[j] = _mm256_add_ps(v[j], _mm256_mul_ps(m, _mm256_cvtepi32_ps(x)));
        }
    }
    if (late) {
#pragma GCC unroll 6
        for (int32_t j = 0; j < mr; j++)
            y[2 * j + h] = _mm256_cvtps_epi32(v[j]);
        return;
    }
    const __m256 lo = _mm256_loadu_ps(requant->lo + at);
    const __m256 hi = _mm256_loadu_ps(requant->hi + at);
#pragma GCC unroll 6
    for (int32_t j = 0; j < mr; j++)
        y[2 * j + h] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v[j], lo), hi));
    if (requant->shift) {
        const __m256i shift = load_i32(requant->shift + at);
#pragma GCC unroll 6
        for (int32_t j = 0; j < mr; j++)
            y[2 * j + h] = _mm256_sllv_epi32(y[2 * j + h], shift);
    }
}

static NW_INLINE __m256i twice(const uint8_t *codes)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)codes));
}

/*
 * Codes of pixels j and j + 1 of a tile, 16 bytes each. With `late` limits are met as bytes, 32 at a time. Saturation
 * at 16 and then at 8 bits keeps order, so what is beyond a limit stays beyond it or meets it.
 */
static NW_INLINE __m256i two_pixels(const nw_requant *requant, const __m256i y[2 * MAX_FINISH], int32_t j, int32_t o,
                                    bool late)
{
    const __m256i zero_point = _mm256_set1_epi16((int16_t)requant->zero_point);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* undoes the packing by 128-bit halves */
    const __m256i first = _mm256_adds_epi16(_mm256_packs_epi32(y[2 * j], y[2 * j + 1]), zero_point);
    const __m256i second = _mm256_adds_epi16(_mm256_packs_epi32(y[2 * j + 2], y[2 * j + 3]), zero_point);
    const __m256i codes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order);
    if (!late)
        return codes;
    return _mm256_min_epu8(_mm256_max_epu8(codes, twice(requant->lo_code + o)), twice(requant->hi_code + o));
}

static NW_INLINE void finish_tile(const nw_gemm_call *call, const __m256i *sums, int32_t i, int32_t o, int32_t n,
                                  int32_t mr, bool late, const __m256i offset[2])
{
    __m256i y[2 * MAX_FINISH];
    round_half(y, call, sums, i, o, 0, mr, late, offset[0]);
    round_half(y, call, sums, i, o, 1, mr, late, offset[1]);
#pragma GCC unroll 3
    for (int32_t j = 0; j < mr; j += 2) {
        const __m256i codes = two_pixels(call->requant, y, j, o, late);
        store_bytes((uint8_t *)call->c[i + j] + o, _mm256_castsi256_si128(codes), n);
        store_bytes((uint8_t *)call->c[i + j + 1] + o, _mm256_extracti128_si256(codes, 1), n);
    }
}

/**
 * Outputs in codes of a whole tile, mr pixels by 16 channels, from sums that started from the offset: parameters are
 * loaded once for all pixels. For calls without extra rows and wrapping. mr: even, a constant in each caller.
 */
static NW_INLINE void finish_started_tile(const nw_gemm_call *call, const __m256i *sums, int32_t i, int32_t o,
                                          int32_t mr)
{
    const __m256i none[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    if (call->requant->lo_code)
        finish_tile(call, sums, i, o, NW_AVX2_NR, mr, true, none);
    else
        finish_tile(call, sums, i, o, NW_AVX2_NR, mr, false, none);
}

/** The same from bare sums. */
static NW_INLINE void finish_whole_tile(const nw_gemm_call *call, const __m256i *sums, int32_t i, int32_t o, int32_t mr)
{
    const __m256i offset[2] = {load_i32(call->requant->offset + o), load_i32(call->requant->offset + o + 8)};
    if (call->requant->lo_code)
        finish_tile(call, sums, i, o, NW_AVX2_NR, mr, true, offset);
    else
        finish_tile(call, sums, i, o, NW_AVX2_NR, mr, false, offset);
}

static NW_INLINE void store_some(float *y, __m256 v, int32_t n)
{
    if (n >= 8) {
        _mm256_storeu_ps(y, v);
        return;
    }
    float all[8];
    _mm256_storeu_ps(all, v);
    for (int32_t c = 0; c < n; c++)
        y[c] = all[c];
}

/** The same for the n channels of the last panel, and for floats. */
static NW_INLINE void finish_rest_tile(const nw_gemm_call *call, const __m256i *sums, int32_t i, int32_t o, int32_t n,
                                       int32_t mr)
{
    const nw_requant *requant = call->requant;
    const __m256i offset[2] = {load_i32(requant->offset + o), load_i32(requant->offset + o + 8)};
    if (!requant->float_output && requant->lo_code) {
        finish_tile(call, sums, i, o, n, mr, true, offset);
        return;
    }
    if (!requant->float_output) {
        finish_tile(call, sums, i, o, n, mr, false, offset);
        return;
    }
    for (int32_t j = 0; j < mr; j++) {
        const nw_i32x16 acc = {{sums[2 * j], sums[2 * j + 1]}};
        nw_f32x16 v = first_point(requant, o, acc);
        if (requant->residual_multiplier)
            v = add_residual(requant, o, v, call->residual[i + j] + o);
        store_some((float *)call->c[i + j] + o, v.half[0], n);
        if (n > 8)
            store_some((float *)call->c[i + j] + o + 8, v.half[1], n - 8);
    }
}

/** Any number of channels and pixels, every option, pixel by pixel. */
static NW_NOINLINE NW_UNUSED void finish_any_tile(const nw_gemm_call *call, const nw_extra_list *list,
                                                  const __m256i *sums, int32_t i, int32_t mr, int32_t o, int32_t n)
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

#endif
