/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From int32 sums to outputs, 16 channels at a time: nw_requant of kernels.h in vectors. Every operation is the one the
 * reference does, in its order (no contraction), so results agree in every bit. Shared by gemm.c and depthwise.c.
 */
#ifndef NARROW_KERNELS_AVX2_EPILOGUE_H
#define NARROW_KERNELS_AVX2_EPILOGUE_H

#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/avx2/store.h"
#include "kernels/kernels.h"

/** 16 numbers: [0] channels 0-7, [1] channels 8-15. */
typedef struct nw_i32x16 {
    __m256i half[2];
} nw_i32x16;

typedef struct nw_f32x16 {
    __m256 half[2];
} nw_f32x16;

static NW_INLINE __m256i load_i32(const int32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static NW_INLINE __m256i wrap16(__m256i sum)
{
    return _mm256_srai_epi32(_mm256_slli_epi32(sum, 16), 16);
}

/** 16 codes as integers. */
static NW_INLINE nw_i32x16 widen_codes(__m128i codes)
{
    return (nw_i32x16){{_mm256_cvtepu8_epi32(codes), _mm256_cvtepu8_epi32(_mm_srli_si128(codes, 8))}};
}

/** bias + multiplier * f32(acc + offset) of channels o .. o + 15. */
static NW_INLINE nw_f32x16 first_point(const nw_requant *requant, int32_t o, nw_i32x16 acc)
{
    nw_f32x16 v;
#pragma GCC unroll 2
    for (int32_t h = 0; h < 2; h++) {
        const __m256i sum = requant->wrap16 ? wrap16(acc.half[h]) : acc.half[h];
        const __m256 x = _mm256_cvtepi32_ps(_mm256_add_epi32(sum, load_i32(requant->offset + o + 8 * h)));
        v.half[h] = _mm256_add_ps(_mm256_loadu_ps(requant->bias + o + 8 * h),
                                  _mm256_mul_ps(_mm256_loadu_ps(requant->multiplier + o + 8 * h), x));
    }
    return v;
}

/** v + residual_multiplier * f32(residual - its zero point); `residual` is channel o of the pixel. */
static NW_INLINE nw_f32x16 add_residual(const nw_requant *requant, int32_t o, nw_f32x16 v, const uint8_t *residual)
{
    const nw_i32x16 codes = widen_codes(_mm_loadu_si128((const __m128i *)(const void *)residual));
    const __m256i zero = _mm256_set1_epi32(requant->residual_zero_point);
#pragma GCC unroll 2
    for (int32_t h = 0; h < 2; h++) {
        const __m256 x = _mm256_cvtepi32_ps(_mm256_sub_epi32(codes.half[h], zero));
        const __m256 m = _mm256_loadu_ps(requant->residual_multiplier + o + 8 * h);
        v.half[h] = _mm256_add_ps(v.half[h], _mm256_mul_ps(m, x));
    }
    return v;
}

/** zero_point + (rint(clamp(v)) << shift) as 16 bytes. Of equals max and min take the second, as nw_maxf does. */
static NW_INLINE __m128i clamp_round(const nw_requant *requant, int32_t o, nw_f32x16 v)
{
    __m256i y[2];
#pragma GCC unroll 2
    for (int32_t h = 0; h < 2; h++) {
        const __m256 above = _mm256_max_ps(v.half[h], _mm256_loadu_ps(requant->lo + o + 8 * h));
        y[h] = _mm256_cvtps_epi32(_mm256_min_ps(above, _mm256_loadu_ps(requant->hi + o + 8 * h)));
        if (requant->shift)
            y[h] = _mm256_sllv_epi32(y[h], load_i32(requant->shift + o + 8 * h));
    }
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(y[0], y[1]), 0xd8);
    const __m256i shifted = _mm256_add_epi16(words, _mm256_set1_epi16((int16_t)requant->zero_point));
    return _mm_packus_epi16(_mm256_castsi256_si128(shifted), _mm256_extracti128_si256(shifted, 1));
}

/** Writes the first n of 16 outputs, to channel o of pixel c. */
static NW_INLINE void store_outputs(const nw_requant *requant, int32_t o, int32_t n, nw_f32x16 v, void *c)
{
    if (requant->float_output) {
        float *y = (float *)c + o;
        if (n == 16) {
            _mm256_storeu_ps(y, v.half[0]);
            _mm256_storeu_ps(y + 8, v.half[1]);
        } else {
            memcpy(y, &v, (size_t)n * sizeof(float));
        }
        return;
    }
    store_bytes((uint8_t *)c + o, clamp_round(requant, o, v), n);
}

#endif
