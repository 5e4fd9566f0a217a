/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epilogue of a panel of up to 64 channels, for every matrix product of the AVX-512 families: 16 q channels of each
 * pixel.
 *
 *     nw_finish finish;
 *     nw_finish_init_avx512(&finish, call, o, width);
 *     ... sums[16 q * pixel + channel] = finish.start[channel] + the product ...
 *     nw_finish_run_avx512(&finish, sums, i, n);          // pixels i .. i + n - 1
 *
 * Where sums are in registers and the layer takes the bounded way (requant.h), finish_tile makes them codes there. 64
 * outputs take 16 instructions to multiply, add and round and 8 to narrow, limit and store; 20 more with a residual.
 * Parameters are loaded once for all pixels: on Zen 5 the same operations pixel by pixel, with parameters from memory,
 * take half as long again.
 */
#ifndef NARROW_KERNELS_AVX512_FINISH_H
#define NARROW_KERNELS_AVX512_FINISH_H

#include "base/arith.h"
#include "kernels/avx512/requant.h"

typedef struct nw_finish {
    __m512i lo, hi, zero16; /* bounded: z + lo, z + hi as bytes, repeated for each pixel of 64 codes; z as words */
    const nw_gemm_call *call;
    int32_t o, width, q;
    const int32_t *start; /* [16 q] what sums start from: the offsets, or zeros */
    bool bounded;         /* the bounded way of requant.h */
    bool floats;          /* float outputs of one point per channel */
    nw_extra_list extra;  /* neither */
} nw_finish;

extern const int32_t nw_finish_zeros_avx512[64];

/** For the channels [o, o + width) of a call, width <= 64; q = width / 16, rounded up. */
void nw_finish_init_avx512(nw_finish *finish, const nw_gemm_call *call, int32_t o, int32_t width);

/** Outputs of the pixels i .. i + n - 1 from sums[n][16 q], whatever the layer. */
void nw_finish_run_avx512(const nw_finish *finish, const int32_t *sums, int32_t i, int32_t n);

/* acc[q * p + j] becomes the rounded, unclamped values of vector j of pixel p. */
static NW_INLINE void finish_round(int q, int n, bool has_residual, const nw_finish *f, __m512i *acc, int32_t i)
{
    const nw_gemm_call *call = f->call;
    const nw_requant *requant = call->requant;
    const __m512i residual_zero = _mm512_set1_epi32(requant->residual_zero_point);
#pragma GCC unroll 4
    for (int j = 0; j < q; j++) {
        const int32_t o = f->o + 16 * j;
        const __m512 bias = _mm512_loadu_ps(requant->bias + o);
        const __m512 multiplier = _mm512_loadu_ps(requant->multiplier + o);
        const __m512 residual_multiplier =
            has_residual ? _mm512_loadu_ps(requant->residual_multiplier + o) : _mm512_setzero_ps();
#pragma GCC unroll 10
        for (int p = 0; p < n; p++) {
            __m512 v = _mm512_add_ps(bias, _mm512_mul_ps(multiplier, _mm512_cvtepi32_ps(acc[q * p + j])));
            if (has_residual) {
                const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(call->residual[i + p] + o));
                const __m512i difference = _mm512_sub_epi32(_mm512_cvtepu8_epi32(codes), residual_zero);
                v = _mm512_add_ps(v, _mm512_mul_ps(residual_multiplier, _mm512_cvtepi32_ps(difference)));
            }
            acc[q * p + j] = _mm512_cvtps_epi32(v);
        }
    }
}

/* Codes of pixels that fill a vector, from rounded values; n of them. */
static NW_INLINE void finish_narrow(int q, int n, const nw_finish *f, const __m512i *acc, int32_t i)
{
    __m512i r[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        r[v] = acc[v < n * q ? v : n * q - 1];
    __m512i y = _mm512_permutexvar_epi32(natural_order(), narrow(r[0], r[1], r[2], r[3], f->zero16));
    y = _mm512_min_epu8(_mm512_max_epu8(y, f->lo), f->hi);
#pragma GCC unroll 4
    for (int p = 0; p < n; p++)
        store_pixel((uint8_t *)f->call->c[i + p] + f->o, q > 2 ? y : from_lane(y, q * p), q, f->width);
}

/* The bounded way for n pixels, i first; q, n and has_residual are constants. */
static NW_INLINE void finish_units(int q, int n, bool has_residual, const nw_finish *f, __m512i *acc, int32_t i)
{
    const int together = q > 2 ? 1 : 4 / q; /* pixels that fill a vector */
    finish_round(q, n, has_residual, f, acc, i);
#pragma GCC unroll 10
    for (int p = 0; p < n; p += together)
        finish_narrow(q, p + together <= n ? together : n - p, f, acc + q * p, i + p);
}

/** Outputs of the pixels i .. i + n - 1, the bounded way, from acc[q * pixel + j]. Always called with constant q, n. */
static NW_INLINE void finish_tile(int q, int n, const nw_finish *f, __m512i *acc, int32_t i)
{
    if (f->call->requant->residual_multiplier)
        finish_units(q, n, true, f, acc, i);
    else
        finish_units(q, n, false, f, acc, i);
}

#endif
