/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution along one output row. depthwise.h draws the packed weights.
 *
 * Four taps of 64 codes are interleaved so that four bytes of one channel lie together (8 shuffles), then 4 vpdpbusd
 * add them. With three columns and a stride of one, the four columns x[i] .. x[i + 3] serve two pixels: weights (w0
 * w1 w2 0) for pixel i, (0 w0 w1 w2) for pixel i + 1. The saturating packs of the epilogue undo the interleaving for
 * free, so only the parameters have to be brought into the interleaved order, once per call and block.
 *
 * Instructions on the vector ports for 64 outputs of a 3 x 3 kernel (counted): in pairs 12 shuffles + 12 vpdpbusd +
 * 24 of the epilogue, else 24 + 12 + 24.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx512vnni/depthwise.h"
#include "kernels/avx512vnni/requant.h"

/* Parameters of the bounded way, in the interleaved order. Loops copy them, so that they may stay in registers. */
typedef struct epilogue {
    __m512 bias[4], multiplier[4];
    __m512i lo, hi, zero16;
} epilogue;

/* One block of 16 q channels, ready for all pixels of the call. */
typedef struct block {
    const nw_depthwise_call *call;
    const int32_t *taps;
    const int8_t *weights;
    int32_t n_groups, column, channel, width; /* column in bytes; width <= 16 q channels */
    size_t shifted;
    bool bounded;
    __m512i init[4]; /* offsets in the interleaved order, or 0 for the general way */
    epilogue epilogue;
} block;

/* Vector j of 16 q parameters in the interleaved order: lane l holds elements 16 (l % q) + 4 j .. + 3. */
static NW_INLINE __m512i interleaved(const void *parameters, int32_t q, int32_t j)
{
    const __m128i *at = (const __m128i *)parameters + j; /* 4 to a vector of 16 */
    __m512i lanes = _mm512_castsi128_si512(_mm_loadu_si128(at));
    lanes = _mm512_inserti32x4(lanes, _mm_loadu_si128(at + 1 % q * 4), 1);
    lanes = _mm512_inserti32x4(lanes, _mm_loadu_si128(at + 2 % q * 4), 2);
    return _mm512_inserti32x4(lanes, _mm_loadu_si128(at + 3 % q * 4), 3);
}

static NW_INLINE void block_init(block *b, const nw_depthwise_call *call, int32_t channel, const int8_t *weights,
                                 int32_t q)
{
    const depthwise_header *header = call->packed;
    const nw_requant *requant = call->requant;
    b->call = call;
    b->taps = (const int32_t *)(const void *)((const uint8_t *)call->packed + header->taps);
    b->weights = weights;
    b->n_groups = header->n_groups;
    b->column = header->column;
    b->channel = channel;
    b->width = nw_min32(header->n_channels - channel, 16 * q);
    b->shifted = (size_t)header->shifted;
    b->bounded = !requant->residual_multiplier && nw_requant_bounded_avx512vnni(requant, channel, b->width);
#pragma GCC unroll 4
    for (int32_t j = 0; j < 4; j++) {
        b->init[j] = b->bounded ? interleaved(requant->offset + channel, q, j) : _mm512_setzero_si512();
        b->epilogue.bias[j] = _mm512_castsi512_ps(interleaved(requant->bias + channel, q, j));
        b->epilogue.multiplier[j] = _mm512_castsi512_ps(interleaved(requant->multiplier + channel, q, j));
    }
    if (!b->bounded)
        return;
    b->epilogue.lo = repeated_codes(requant->lo + channel, requant->zero_point, q);
    b->epilogue.hi = repeated_codes(requant->hi + channel, requant->zero_point, q);
    b->epilogue.zero16 = _mm512_set1_epi16((int16_t)requant->zero_point);
}

/* Four vectors of codes to four vectors of 16 channels with four codes each. */
static NW_INLINE void interleave(__m512i v[4], __m512i t0, __m512i t1, __m512i t2, __m512i t3)
{
    const __m512i low01 = _mm512_unpacklo_epi8(t0, t1);
    const __m512i high01 = _mm512_unpackhi_epi8(t0, t1);
    const __m512i low23 = _mm512_unpacklo_epi8(t2, t3);
    const __m512i high23 = _mm512_unpackhi_epi8(t2, t3);
    v[0] = _mm512_unpacklo_epi16(low01, low23);
    v[1] = _mm512_unpackhi_epi16(low01, low23);
    v[2] = _mm512_unpacklo_epi16(high01, high23);
    v[3] = _mm512_unpackhi_epi16(high01, high23);
}

static NW_INLINE void multiply_add(__m512i acc[4], const __m512i v[4], const int8_t *weights)
{
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        acc[j] = _mm512_dpbusd_epi32(acc[j], v[j], _mm512_loadu_si512(weights + 64 * j));
}

/* The general way for n pixels, 16 q channels each, whose raw sums are in four interleaved vectors. */
static NW_NOINLINE void finish_general(const block *b, int32_t q, const int32_t vectors[64], int32_t i, int32_t n)
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
    nw_requant_rows_avx512vnni(&rows);
}

/* From the sums of pixels i .. i + n - 1, n <= 4 / q, to outputs. */
static NW_INLINE void finish(const block *b, const epilogue *e, int q, const __m512i acc[4], int32_t i, int32_t n)
{
    if (!b->bounded) {
        int32_t vectors[64];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm512_storeu_si512(vectors + 16 * j, acc[j]);
        finish_general(b, q, vectors, i, n);
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

/* 16 q codes each of 4 / q pixels, which lie `pixel` bytes from x; together: they fill 64 bytes. */
static NW_INLINE __m512i load_codes(const uint8_t *x, int q, bool together, const ptrdiff_t pixel[4])
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

/* Pixels i .. i + n - 1, n <= 4 / q, with any taps. Places of a vector past n repeat the last pixel. */
static NW_INLINE void run_vector(const block *b, const epilogue *e, int q, bool together, int32_t i, int32_t n)
{
    const uint8_t *a = b->call->a + (ptrdiff_t)i * b->call->a_step + b->channel;
    ptrdiff_t pixel[4];
    for (int32_t p = 0; p < 4; p++)
        pixel[p] = (ptrdiff_t)nw_min32(p, n - 1) * b->call->a_step;
    const int32_t *tap = b->taps;
    const int8_t *weights = b->weights;
    __m512i acc[4] = {b->init[0], b->init[1], b->init[2], b->init[3]};
    for (int32_t g = 0; g < b->n_groups; g++, tap += 4, weights += 256) {
        __m512i v[4];
        interleave(v, load_codes(a + tap[0], q, together, pixel), load_codes(a + tap[1], q, together, pixel),
                   load_codes(a + tap[2], q, together, pixel), load_codes(a + tap[3], q, together, pixel));
        multiply_add(acc, v, weights);
    }
    finish(b, e, q, acc, i, n);
}

/* Pixels i and i + 1 of a kernel three wide whose columns are one pixel apart; 64 channels. */
static NW_INLINE void run_pair(const block *b, const epilogue *e, int32_t i)
{
    const uint8_t *a = b->call->a + (ptrdiff_t)i * b->call->a_step + b->channel;
    const int32_t *tap = b->taps;
    const int8_t *weights = b->weights;
    const ptrdiff_t column = b->column;
    __m512i left[4] = {b->init[0], b->init[1], b->init[2], b->init[3]};
    __m512i right[4] = {b->init[0], b->init[1], b->init[2], b->init[3]};
    for (int32_t g = 0; g < b->n_groups; g++, tap += 4, weights += 256) {
        const uint8_t *x = a + tap[0];
        __m512i v[4];
        interleave(v, _mm512_loadu_si512(x), _mm512_loadu_si512(x + column), _mm512_loadu_si512(x + 2 * column),
                   _mm512_loadu_si512(x + 3 * column));
        multiply_add(left, v, weights);
        multiply_add(right, v, weights + b->shifted);
    }
    finish(b, e, 4, left, i, 1);
    finish(b, e, 4, right, i + 1, 1);
}

static NW_NOINLINE void run_pairs(const block *b)
{
    const epilogue e = b->epilogue;
    int32_t i = 0;
    for (; i + 2 <= b->call->n; i += 2)
        run_pair(b, &e, i);
    if (i < b->call->n)
        run_vector(b, &e, 4, true, i, 1);
}

/* All pixels of a block of 16 q channels; always called with constant q and together. */
static NW_INLINE void run_block(const block *b, int q, bool together)
{
    const epilogue e = b->epilogue;
    for (int32_t i = 0; i < b->call->n; i += 4 / q)
        run_vector(b, &e, q, together, i, nw_min32(4 / q, b->call->n - i));
}

static NW_NOINLINE void run_64(const block *b)
{
    run_block(b, 4, true);
}

static NW_NOINLINE void run_32(const block *b, bool together)
{
    if (together)
        run_block(b, 2, true);
    else
        run_block(b, 2, false);
}

static NW_NOINLINE void run_16(const block *b, bool together)
{
    if (together)
        run_block(b, 1, true);
    else
        run_block(b, 1, false);
}

void nw_depthwise_run_avx512vnni(const nw_depthwise_call *call)
{
    const depthwise_header *header = call->packed;
    const int8_t *weights = (const int8_t *)call->packed + header->blocks;
    assert(call->n >= 1 && call->requant->n_extra == 0);
    block b;
    for (int32_t c = 0, q; c < header->n_channels; c += 16 * q, weights += header->block_size) {
        q = depthwise_block(header->n_channels - c);
        block_init(&b, call, c, weights, q);
        if (q == 4 && b.column && b.column == call->a_step)
            run_pairs(&b);
        else if (q == 4)
            run_64(&b);
        else if (q == 2)
            run_32(&b, call->a_step == 32);
        else
            run_16(&b, call->a_step == 16);
    }
}
