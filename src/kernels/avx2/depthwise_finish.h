/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epilogue of depthwise convolutions with 256-bit vectors, avx2/ and avxvnni/: 32 channels of a pixel. Unpacking
 * leaves sums in the order
 *
 *     q[0] = 0-3 | 16-19    q[1] = 4-7 | 20-23    q[2] = 8-11 | 24-27    q[3] = 12-15 | 28-31
 *
 * which packing undoes without a permutation. The parameters of a panel are brought into that order once per call.
 */
#ifndef NARROW_KERNELS_AVX2_DEPTHWISE_FINISH_H
#define NARROW_KERNELS_AVX2_DEPTHWISE_FINISH_H

#include <immintrin.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/store.h"

/** nw_requant of the 32 channels, in the order of q. */
typedef struct nw_avx2_parameters {
    __m256 bias[4], multiplier[4], lo[4], hi[4], residual[4];
    __m256i offset[4], shift[4];
    __m256i lo_code, hi_code; /* in channel order; where nw_requant has them */
} nw_avx2_parameters;

static NW_INLINE __m256 order_f32(const float *p, int32_t q)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 4 * q)), _mm_loadu_ps(p + 16 + 4 * q), 1);
}

static NW_INLINE __m256i order_i32(const int32_t *p, int32_t q)
{
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * q));
    const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 + 4 * q));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

static NW_INLINE void parameters_load(nw_avx2_parameters *out, const nw_requant *requant, int32_t channel)
{
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        out->bias[q] = order_f32(requant->bias + channel, q);
        out->multiplier[q] = order_f32(requant->multiplier + channel, q);
        out->offset[q] = order_i32(requant->offset + channel, q);
        if (requant->lo) {
            out->lo[q] = order_f32(requant->lo + channel, q);
            out->hi[q] = order_f32(requant->hi + channel, q);
        }
        if (requant->shift)
            out->shift[q] = order_i32(requant->shift + channel, q);
        if (requant->lo_code) {
            out->lo_code = _mm256_loadu_si256((const __m256i *)(const void *)(requant->lo_code + channel));
            out->hi_code = _mm256_loadu_si256((const __m256i *)(const void *)(requant->hi_code + channel));
        }
        if (requant->residual_multiplier)
            out->residual[q] = order_f32(requant->residual_multiplier + channel, q);
    }
}

static NW_INLINE void add_residual(__m256 v[4], const nw_avx2_parameters *parameters, __m256i codes,
                                   int32_t zero_point)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i words[2] = {_mm256_unpacklo_epi8(codes, zero), _mm256_unpackhi_epi8(codes, zero)};
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        const __m256i x = q % 2 ? _mm256_unpackhi_epi16(words[q / 2], zero) : _mm256_unpacklo_epi16(words[q / 2], zero);
        const __m256 f = _mm256_cvtepi32_ps(_mm256_sub_epi32(x, _mm256_set1_epi32(zero_point)));
        v[q] = _mm256_add_ps(v[q], _mm256_mul_ps(parameters->residual[q], f));
    }
}

static NW_INLINE __m256i clamp_round(const __m256 v[4], const nw_avx2_parameters *parameters, bool shift,
                                     int32_t zero_point)
{
    const __m256i zero = _mm256_set1_epi16((int16_t)zero_point);
    __m256i y[4];
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        y[q] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v[q], parameters->lo[q]), parameters->hi[q]));
        if (shift)
            y[q] = _mm256_sllv_epi32(y[q], parameters->shift[q]);
    }
    return _mm256_packus_epi16(_mm256_add_epi16(_mm256_packs_epi32(y[0], y[1]), zero),
                               _mm256_add_epi16(_mm256_packs_epi32(y[2], y[3]), zero));
}

static NW_INLINE void store_floats(float *y, const __m256 v[4], int32_t n)
{
    float all[NW_AVX2_DEPTHWISE_NR];
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        _mm_storeu_ps(all + 4 * q, _mm256_castps256_ps128(v[q]));
        _mm_storeu_ps(all + 16 + 4 * q, _mm256_extractf128_ps(v[q], 1));
    }
    memcpy(y, all, (size_t)n * sizeof(float));
}

static NW_INLINE void store_codes(uint8_t *y, __m256i codes, int32_t n)
{
    if (n == NW_AVX2_DEPTHWISE_NR) {
        _mm256_storeu_si256((__m256i *)(void *)y, codes);
        return;
    }
    store_bytes(y, _mm256_castsi256_si128(codes), nw_min32(n, 16));
    if (n > 16)
        store_bytes(y + 16, _mm256_extracti128_si256(codes, 1), n - 16);
}

/** From sums (without the offset) to outputs: every option. */
static NW_NOINLINE void finish_any(const nw_depthwise_call *call, int32_t channel, int32_t n,
                                   const nw_avx2_parameters *parameters, const __m256i acc[4], int32_t i)
{
    const nw_requant *requant = call->requant;
    __m256 v[4];
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        const __m256i sum = requant->wrap16 ? _mm256_srai_epi32(_mm256_slli_epi32(acc[q], 16), 16) : acc[q];
        const __m256 x = _mm256_cvtepi32_ps(_mm256_add_epi32(sum, parameters->offset[q]));
        v[q] = _mm256_add_ps(parameters->bias[q], _mm256_mul_ps(parameters->multiplier[q], x));
    }
    if (requant->residual_multiplier) {
        const uint8_t *residual = call->residual + (ptrdiff_t)i * call->residual_step + channel;
        add_residual(v, parameters, _mm256_loadu_si256((const __m256i *)(const void *)residual),
                     requant->residual_zero_point);
    }
    uint8_t *c = (uint8_t *)call->c + (ptrdiff_t)i * call->c_step;
    if (requant->float_output)
        store_floats((float *)(void *)c + channel, v, n);
    else
        store_codes(c + channel, clamp_round(v, parameters, requant->shift != NULL, requant->zero_point), n);
}

/** Codes of n channels from sums that started from the offset, without residual and wrapping. */
static NW_INLINE void finish_plain(uint8_t *c, int32_t n, const nw_avx2_parameters *parameters, bool shift,
                                   int32_t zero_point, const __m256i acc[4])
{
    __m256 v[4];
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++)
        v[q] = _mm256_add_ps(parameters->bias[q],
                             _mm256_mul_ps(parameters->multiplier[q], _mm256_cvtepi32_ps(acc[q])));
    store_codes(c, clamp_round(v, parameters, shift, zero_point), n);
}

/**
 * The same for two pixels where limits are met after rounding (nw_requant.lo_code): no shift, and parameters that are
 * loaded once for both.
 */
static NW_INLINE void finish_codes(uint8_t *const c[2], int32_t n, const nw_avx2_parameters *parameters,
                                   int32_t zero_point, __m256i acc[2][4])
{
    const __m256i zero = _mm256_set1_epi16((int16_t)zero_point);
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        const __m256 multiplier = parameters->multiplier[q];
        const __m256 bias = parameters->bias[q];
#pragma GCC unroll 2
        for (int32_t i = 0; i < 2; i++)
            acc[i][q] = _mm256_cvtps_epi32(
                _mm256_add_ps(bias, _mm256_mul_ps(multiplier, _mm256_cvtepi32_ps(acc[i][q]))));
    }
#pragma GCC unroll 2
    for (int32_t i = 0; i < 2; i++) {
        const __m256i low = _mm256_adds_epi16(_mm256_packs_epi32(acc[i][0], acc[i][1]), zero);
        const __m256i high = _mm256_adds_epi16(_mm256_packs_epi32(acc[i][2], acc[i][3]), zero);
        const __m256i codes = _mm256_max_epu8(_mm256_packus_epi16(low, high), parameters->lo_code);
        store_codes(c[i], _mm256_min_epu8(codes, parameters->hi_code), n);
    }
}

#endif
