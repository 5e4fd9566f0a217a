/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From sums to outputs, the parts that the AVX-512 kernels share. nw_requant in kernels.h gives the formula; every
 * float operation here is one of its operations, in its order.
 *
 * Two ways lead to the codes. The bounded way, for layers whose |v| provably stays below 2^31 (nw_requant.lo_code),
 * clamps late and in bytes:
 *
 *     y = min_u8(max_u8(saturate_u8(saturate_s16(saturate_s16(rint(v)) + z)), z + lo), z + hi)
 *
 * which equals z + rint(min(max(v, lo), hi)) because lo and hi are integers, rint is monotone and z + lo, z + hi lie
 * in [0, 255]: two instructions for 64 outputs instead of eight. The general way (requant.c) does as the formula says.
 */
#ifndef NARROW_KERNELS_AVX512_REQUANT_H
#define NARROW_KERNELS_AVX512_REQUANT_H

#include "base/compiler.h"
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/intrinsics.h"
#include "kernels/extra.h"

/** A mask of the lowest n bits, n in 0..64 (clamped to that range). */
static NW_INLINE uint64_t low_bits(int32_t n)
{
    return n >= 64 ? UINT64_MAX : n <= 0 ? 0 : (UINT64_C(1) << n) - 1;
}

/**
 * 64 codes z + r from rounded values, not yet clamped. Within each 128-bit lane l the result holds lane l of r0, r1,
 * r2, r3, in that order.
 */
static NW_INLINE __m512i narrow(__m512i r0, __m512i r1, __m512i r2, __m512i r3, __m512i zero16)
{
    const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(r0, r1), zero16);
    const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(r2, r3), zero16);
    return _mm512_packus_epi16(low, high);
}

/** Index of permutexvar_epi32 that puts narrow's result of four consecutive vectors into natural order. */
static NW_INLINE __m512i natural_order(void)
{
    return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

/** min(max(v, lo), hi), rounded, shifted, plus z: 16 codes as the formula says, in the low bytes of each element. */
static NW_INLINE __m512i clamp_round(__m512 v, __m512 lo, __m512 hi, __m512i shift, __m512i zero_point)
{
    const __m512i r = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(v, lo), hi));
    return _mm512_add_epi32(_mm512_sllv_epi32(r, shift), zero_point);
}

/** Shifts of 16 channels from o on; zeros where every shift is 0. */
static NW_INLINE __m512i load_shift(const nw_requant *requant, int32_t o)
{
    return requant->shift ? _mm512_loadu_si512(requant->shift + o) : _mm512_setzero_si512();
}

/** v plus the residual term of the channels o .. o + 15; residual: of the pixel, channel 0. */
static NW_INLINE __m512 add_residual(const nw_requant *requant, int32_t o, const uint8_t *residual, __m512 v)
{
    const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(residual + o)));
    const __m512 r = _mm512_cvtepi32_ps(_mm512_sub_epi32(code, _mm512_set1_epi32(requant->residual_zero_point)));
    return _mm512_add_ps(v, _mm512_mul_ps(_mm512_loadu_ps(requant->residual_multiplier + o), r));
}

/** The codes of 16 q channels, repeated 4 / q times. */
static NW_INLINE __m512i repeated_codes(const uint8_t *limits, int q)
{
    const __m512i codes = _mm512_loadu_si512(limits);
    return q >= 3 ? codes : q == 2 ? _mm512_shuffle_i32x4(codes, codes, 0x44) : _mm512_shuffle_i32x4(codes, codes, 0);
}

/** Writes the lowest `width` bytes of y; all 64 in the common case, without a mask. */
static NW_INLINE void store_codes(uint8_t *c, __m512i y, int32_t width)
{
    if (width >= 64)
        _mm512_storeu_si512(c, y);
    else
        _mm512_mask_storeu_epi8(c, low_bits(width), y);
}

/** Lane l of y, and lane l + 1 if there is one, as the lowest ones. l is a constant. */
static NW_INLINE __m512i from_lane(__m512i y, int l)
{
    return l == 0   ? y
           : l == 1 ? _mm512_castsi128_si512(_mm512_extracti32x4_epi32(y, 1))
           : l == 2 ? _mm512_castsi256_si512(_mm512_extracti64x4_epi64(y, 1))
                    : _mm512_castsi128_si512(_mm512_extracti32x4_epi32(y, 3));
}

/** Writes the lowest `width` <= 16 q bytes of y. */
static NW_INLINE void store_pixel(uint8_t *c, __m512i y, int q, int32_t width)
{
    if (q > 2 || width < 16 * q)
        store_codes(c, y, width);
    else if (q == 2)
        _mm256_storeu_si256((__m256i *)(void *)c, _mm512_castsi512_si256(y));
    else
        _mm_storeu_si128((__m128i *)(void *)c, _mm512_castsi512_si128(y));
}

/** Writes 16 q codes each of n <= 4 / q pixels, of which the lowest `width` count; q is 1 or 2. */
static NW_INLINE void store_pixels(uint8_t *const c[4], __m512i y, int q, int32_t n, int32_t width)
{
    for (int p = 0; p < 4 / q; p++)
        if (p < n)
            store_pixel(c[p], from_lane(y, q * p), q, width);
}

/** The general way, for a tile of raw sums (neither wrapped nor offset). */
typedef struct nw_requant_rows {
    const nw_requant *requant;
    const int32_t *sums; /* [n, stride], channel o first; readable up to the next multiple of 16 */
    int32_t stride, n;
    int32_t o, width;               /* width <= 64 */
    const nw_extra_list *extra;     /* extra rows of [o, o + width), or NULL */
    const int32_t *extra_sums;      /* [n, n_extra] of these pixels */
    const uint8_t *const *residual; /* [n] channel 0, or NULL */
    void *const *c;                 /* [n] channel 0 */
} nw_requant_rows;

void nw_requant_rows_avx512(const nw_requant_rows *rows);

#endif
