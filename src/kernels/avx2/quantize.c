/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reals to codes and back. Codes of a channel are made 32 pixels at a time; one and three channels, which pictures
 * have, are interleaved in registers, others byte by byte. A single pixel (a vector of features) takes its channels as
 * if they were pixels.
 */
#include <immintrin.h>
#include <string.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "kernels/avx2/avx2.h"

#define BLOCK 32

/* What 8 reals in a row meet: one channel's parameters, or those of 8 channels. */
typedef struct factors {
    __m256 multiplier, lo, hi;
    __m256i shift;
} factors;

static NW_INLINE factors factors_of(const nw_requant *r, int32_t c)
{
    return (factors){_mm256_set1_ps(r->multiplier[c]), _mm256_set1_ps(r->lo[c]), _mm256_set1_ps(r->hi[c]),
                     _mm256_set1_epi32(r->shift ? r->shift[c] : 0)};
}

static NW_INLINE factors factors_from(const nw_requant *r, int32_t c)
{
    const __m256i none = _mm256_setzero_si256();
    return (factors){_mm256_loadu_ps(r->multiplier + c), _mm256_loadu_ps(r->lo + c), _mm256_loadu_ps(r->hi + c),
                     r->shift ? _mm256_loadu_si256((const __m256i *)(const void *)(r->shift + c)) : none};
}

/* Of a NaN and a number max and min take the second, as nw_maxf and nw_minf do. */
static NW_INLINE __m256i round8(const float *x, factors f)
{
    const __m256 v = _mm256_max_ps(_mm256_mul_ps(_mm256_loadu_ps(x), f.multiplier), f.lo);
    return _mm256_sllv_epi32(_mm256_cvtps_epi32(_mm256_min_ps(v, f.hi)), f.shift);
}

static NW_INLINE __m256i pack32(const __m256i y[4], int32_t zero_point)
{
    const __m256i zero = _mm256_set1_epi16((int16_t)zero_point);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i first = _mm256_add_epi16(_mm256_packs_epi32(y[0], y[1]), zero);
    const __m256i second = _mm256_add_epi16(_mm256_packs_epi32(y[2], y[3]), zero);
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order);
}

static NW_INLINE __m256i codes32(const float *x, factors f, int32_t zero_point)
{
    __m256i y[4];
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++)
        y[q] = round8(x + 8 * q, f);
    return pack32(y, zero_point);
}

/* Three channels of 16 pixels side by side: byte j of the 48 is channel j mod 3 of pixel j / 3. */
static NW_INLINE void interleave16(uint8_t *y, const __m128i codes[3])
{
#define N (-1)
    static const int8_t place[3][3][16] = {
        {{0, N, N, 1, N, N, 2, N, N, 3, N, N, 4, N, N, 5},
         {N, 0, N, N, 1, N, N, 2, N, N, 3, N, N, 4, N, N},
         {N, N, 0, N, N, 1, N, N, 2, N, N, 3, N, N, 4, N}},
        {{N, N, 6, N, N, 7, N, N, 8, N, N, 9, N, N, 10, N},
         {5, N, N, 6, N, N, 7, N, N, 8, N, N, 9, N, N, 10},
         {N, 5, N, N, 6, N, N, 7, N, N, 8, N, N, 9, N, N}},
        {{N, 11, N, N, 12, N, N, 13, N, N, 14, N, N, 15, N, N},
         {N, N, 11, N, N, 12, N, N, 13, N, N, 14, N, N, 15, N},
         {10, N, N, 11, N, N, 12, N, N, 13, N, N, 14, N, N, 15}},
    };
#undef N
#pragma GCC unroll 3
    for (int32_t i = 0; i < 3; i++) {
        __m128i out = _mm_setzero_si128();
#pragma GCC unroll 3
        for (int32_t c = 0; c < 3; c++) {
            const __m128i from = _mm_loadu_si128((const __m128i *)(const void *)place[i][c]);
            out = _mm_or_si128(out, _mm_shuffle_epi8(codes[c], from));
        }
        _mm_storeu_si128((__m128i *)(void *)(y + 16 * i), out);
    }
}

/* 32 pixels of three channels that lie together. */
static NW_INLINE void three_channels(const nw_quantize_call *call, const float *x, uint8_t *y, const factors f[3])
{
    __m256i codes[3];
#pragma GCC unroll 3
    for (int32_t c = 0; c < 3; c++)
        codes[c] = codes32(x + c * call->x_plane, f[c], call->requant->zero_point);
#pragma GCC unroll 2
    for (int32_t h = 0; h < 2; h++) {
        __m128i half[3];
#pragma GCC unroll 3
        for (int32_t c = 0; c < 3; c++)
            half[c] = h ? _mm256_extracti128_si256(codes[c], 1) : _mm256_castsi256_si128(codes[c]);
        interleave16(y + 48 * h, half);
    }
}

/* 32 reals, of which the first n are there. */
static NW_INLINE __m256i codes_of_rest(const float *x, int32_t n, factors f, int32_t zero_point)
{
    float rest[BLOCK] = {0};
    memcpy(rest, x, (size_t)n * sizeof(float));
    return codes32(rest, f, zero_point);
}

/* Pixels from `begin` on of one channel. */
static NW_NOINLINE void one_channel(const nw_quantize_call *call, int32_t c, int32_t begin)
{
    const float *x = call->x + c * call->x_plane;
    const int32_t zero_point = call->requant->zero_point;
    const factors f = factors_of(call->requant, c);
    uint8_t codes[BLOCK];
    for (int32_t i = begin; i < call->n; i += BLOCK) {
        const int32_t n = nw_min32(call->n - i, BLOCK);
        const __m256i block = n == BLOCK ? codes32(x + i, f, zero_point) : codes_of_rest(x + i, n, f, zero_point);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step + c;
        _mm256_storeu_si256((__m256i *)(void *)codes, block);
        if (call->y_step == 1)
            memcpy(y, codes, (size_t)n);
        else
            for (int32_t j = 0; j < n; j++)
                y[(ptrdiff_t)j * call->y_step] = codes[j];
    }
}

/* One pixel whose channels lie together. */
static void one_pixel(const nw_quantize_call *call)
{
    const nw_requant *r = call->requant;
    int32_t c = 0;
    for (; c + BLOCK <= call->channels; c += BLOCK) {
        __m256i y[4];
#pragma GCC unroll 4
        for (int32_t q = 0; q < 4; q++)
            y[q] = round8(call->x + c + 8 * q, factors_from(r, c + 8 * q));
        _mm256_storeu_si256((__m256i *)(void *)(call->y + c), pack32(y, r->zero_point));
    }
    for (; c < call->channels; c++)
        one_channel(call, c, 0);
}

void nw_quantize_avx2(const nw_quantize_call *call)
{
    int32_t done = 0;
    if (call->n == 1 && call->x_plane == 1) {
        one_pixel(call);
        return;
    }
    if (call->channels == 3 && call->y_step == 3) {
        const factors f[3] = {factors_of(call->requant, 0), factors_of(call->requant, 1), factors_of(call->requant, 2)};
        for (; done + BLOCK <= call->n; done += BLOCK)
            three_channels(call, call->x + done, call->y + (ptrdiff_t)done * 3, f);
    }
    for (int32_t c = 0; c < call->channels && done < call->n; c++)
        one_channel(call, c, done);
}

void nw_dequantize_avx2(float *y, const uint8_t *x, size_t n, float scale, int32_t zero_point)
{
    const __m256i zero = _mm256_set1_epi32(zero_point);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i codes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(x + i)));
        const __m256 v = _mm256_cvtepi32_ps(_mm256_sub_epi32(codes, zero));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_set1_ps(scale), v));
    }
    for (; i < n; i++)
        y[i] = scale * (float)(x[i] - zero_point);
}
