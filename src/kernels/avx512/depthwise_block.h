/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution along one output row: what avx512/ and avx512vnni/ share, all but the products.
 *
 * A block is 16 q channels, q = 4, 2 or 1. A 512-bit vector always consists of four lanes of 16 codes: 16 q channels of
 * 4 / q pixels. Unpacking leaves sums in the interleaved order: vector j, lane l holds the channels 4 j .. 4 j + 3 of
 * the l-th 16 codes. The saturating packs of the epilogue undo that for free, so only the parameters have to be brought
 * into the order, once per call and block.
 */
#ifndef NARROW_KERNELS_AVX512_DEPTHWISE_BLOCK_H
#define NARROW_KERNELS_AVX512_DEPTHWISE_BLOCK_H

#include <string.h>

#include "base/arith.h"
#include "kernels/avx512/requant.h"

/* Parameters of the bounded way, in the interleaved order. Loops copy them, so that they may stay in registers. */
typedef struct nw_block_epilogue {
    __m512 bias[4], multiplier[4];
    __m512i lo, hi, zero16;
} nw_block_epilogue;

/** A block, ready for all pixels of the call. */
typedef struct nw_block {
    const nw_depthwise_call *call;
    int32_t channel, width; /* width <= 16 q channels */
    bool bounded;
    __m512i init[4]; /* offsets in the interleaved order, or 0 for the general way */
    nw_block_epilogue epilogue;
} nw_block;

/* Vector j of 16 q parameters in the interleaved order: lane l holds elements 16 (l % q) + 4 j .. + 3. */
static NW_INLINE __m512i interleaved(const void *parameters, int32_t q, int32_t j)
{
    const __m128i *at = (const __m128i *)parameters + j; /* 4 to a vector of 16 */
    __m512i lanes = _mm512_castsi128_si512(_mm_loadu_si128(at));
    lanes = _mm512_inserti32x4(lanes, _mm_loadu_si128(at + 1 % q * 4), 1);
    lanes = _mm512_inserti32x4(lanes, _mm_loadu_si128(at + 2 % q * 4), 2);
    return _mm512_inserti32x4(lanes, _mm_loadu_si128(at + 3 % q * 4), 3);
}

static NW_INLINE nw_block block_of(const nw_depthwise_call *call, int32_t channel, int32_t n_channels, int32_t q)
{
    const nw_requant *requant = call->requant;
    nw_block b;
    b.call = call;
    b.channel = channel;
    b.width = nw_min32(n_channels - channel, 16 * q);
    b.bounded = !requant->residual_multiplier && requant->lo_code;
#pragma GCC unroll 4
    for (int32_t j = 0; j < 4; j++) {
        b.init[j] = b.bounded ? interleaved(requant->offset + channel, q, j) : _mm512_setzero_si512();
        b.epilogue.bias[j] = _mm512_castsi512_ps(interleaved(requant->bias + channel, q, j));
        b.epilogue.multiplier[j] = _mm512_castsi512_ps(interleaved(requant->multiplier + channel, q, j));
    }
    if (!b.bounded)
        return b;
    b.epilogue.lo = repeated_codes(requant->lo_code + channel, q);
    b.epilogue.hi = repeated_codes(requant->hi_code + channel, q);
    b.epilogue.zero16 = _mm512_set1_epi16((int16_t)requant->zero_point);
    return b;
}

/** Where pixel i of the call begins; distances of the 4 / q pixels of a vector, those past n repeat the last. */
static NW_INLINE const uint8_t *block_pixels(const nw_block *b, int32_t i, int32_t n, ptrdiff_t pixel[4])
{
    for (int32_t p = 0; p < 4; p++)
        pixel[p] = (ptrdiff_t)nw_min32(p, n - 1) * b->call->a_step;
    return b->call->a + (ptrdiff_t)i * b->call->a_step + b->channel;
}

/* The general way for n pixels, 16 q channels each, whose raw sums are in four interleaved vectors. */
static NW_NOINLINE void block_finish_general(const nw_block *b, int32_t q, const int32_t vectors[64], int32_t i,
                                             int32_t n)
{
    const nw_depthwise_call *call = b->call;
    int32_t sums[64];
    const uint8_t *residual[4];
    void *c[4];
    for (int32_t l = 0; l < 4; l++)
        for (int32_t j = 0; j < 4; j++)
            memcpy(sums + 16 * l + 4 * j, vectors + 16 * j + 4 * l, 16);
    for (int32_t p = 0; p < n; p++) {
        residual[p] = call->residual ? call->residual + (ptrdiff_t)(i + p) * call->residual_step : NULL;
        c[p] = (uint8_t *)call->c + (ptrdiff_t)(i + p) * call->c_step;
    }
    const nw_requant_rows rows = {.requant = call->requant,
                                  .sums = sums,
                                  .stride = 16 * q,
                                  .n = n,
                                  .o = b->channel,
                                  .width = b->width,
                                  .residual = residual,
                                  .c = c};
    nw_requant_rows_avx512(&rows);
}

/* From the sums of pixels i .. i + n - 1, n <= 4 / q, to outputs. */
static NW_INLINE void block_finish(const nw_block *b, const nw_block_epilogue *e, int q, const __m512i acc[4],
                                   int32_t i, int32_t n)
{
    if (!b->bounded) {
        int32_t vectors[64];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm512_storeu_si512(vectors + 16 * j, acc[j]);
        block_finish_general(b, q, vectors, i, n);
        return;
    }
    __m512i r[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m512 product = _mm512_mul_ps(e->multiplier[j], _mm512_cvtepi32_ps(acc[j]));
        r[j] = _mm512_cvtps_epi32(_mm512_add_ps(e->bias[j], product));
    }
    __m512i y = narrow(r[0], r[1], r[2], r[3], e->zero16);
    y = _mm512_min_epu8(_mm512_max_epu8(y, e->lo), e->hi);
    uint8_t *c = (uint8_t *)b->call->c + (ptrdiff_t)i * b->call->c_step + b->channel;
    if (q == 4) {
        store_codes(c, y, b->width);
        return;
    }
    uint8_t *pixels[4];
#pragma GCC unroll 4
    for (int p = 0; p < 4; p++)
        pixels[p] = c + (ptrdiff_t)p * b->call->c_step;
    store_pixels(pixels, y, q, n, b->width);
}

/** 16 q codes each of 4 / q pixels, which lie `pixel` bytes from x; together: they fill 64 bytes. */
static NW_INLINE __m512i block_load(const uint8_t *x, int q, bool together, const ptrdiff_t pixel[4])
{
    if (q == 4 || together)
        return _mm512_loadu_si512(x);
    if (q == 2)
        return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)x)),
                                  _mm256_loadu_si256((const __m256i *)(const void *)(x + pixel[1])), 1);
    __m512i codes = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)x));
    codes = _mm512_inserti32x4(codes, _mm_loadu_si128((const __m128i *)(const void *)(x + pixel[1])), 1);
    codes = _mm512_inserti32x4(codes, _mm_loadu_si128((const __m128i *)(const void *)(x + pixel[2])), 2);
    return _mm512_inserti32x4(codes, _mm_loadu_si128((const __m128i *)(const void *)(x + pixel[3])), 3);
}

#endif
