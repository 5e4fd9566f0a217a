/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise 3x3 with stride 1 or 2 along one output row: blocks of 4 pixels by 8 channels. Every column of the picture
 * is widened once for all the pixels of a block that see it, to pairs of 16-bit codes: rows 0 and 1, and row 2 beside
 * nothing. vpmaddwd sums such pairs in 32 bits, so nothing has to be proven, and 8 channels waste nothing where
 * channels are few.
 *
 * For 4 pixels by 8 channels: 18 shuffles (27 with stride 2), 48 products and sums, 30 for the outputs; 25 instructions
 * a pixel, where pairs of taps as they lie (depthwise.c) take 36 and more as soon as they need runs.
 */
#include <immintrin.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/store.h"

#define PIXELS NW_AVX2_3X3_PIXELS
#define CHANNELS NW_AVX2_3X3_CHANNELS
#define NEAR 16384 /* bytes of the picture that channels pass over again and again: half of a first-level cache */

static NW_INLINE __m128i load8(const uint8_t *x)
{
    return _mm_loadl_epi64((const __m128i *)(const void *)x);
}

/* Sums of 4 pixels from `start` on. */
static NW_INLINE void block_sums(__m256i acc[PIXELS], const nw_avx2_3x3 *shape, const uint8_t *a, const __m256i *w,
                                 __m256i start, int32_t stride)
{
#pragma GCC unroll 4
    for (int32_t i = 0; i < PIXELS; i++)
        acc[i] = start;
#pragma GCC unroll 9
    for (int32_t j = 0; j < (PIXELS - 1) * stride + 3; j++) {
        const uint8_t *x = a + (ptrdiff_t)j * shape->column;
        const __m128i bytes = _mm_unpacklo_epi8(load8(x + shape->row[0]), load8(x + shape->row[1]));
        const __m256i two = _mm256_cvtepu8_epi16(bytes);
        const __m256i one = _mm256_cvtepu8_epi32(load8(x + shape->row[2]));
#pragma GCC unroll 4
        for (int32_t i = 0; i < PIXELS; i++) {
            const int32_t tap = j - i * stride;
            if (tap < 0 || tap > 2)
                continue;
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(two, w[tap]));
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(one, w[3 + tap]));
            __asm__("" : "+x"(acc[i])); /* sums in this order: from trees of sums GCC spills two thirds of them */
        }
    }
}

static NW_INLINE void store_pixel(uint8_t *y, __m128i codes, int32_t n)
{
    if (n == CHANNELS)
        _mm_storel_epi64((__m128i *)(void *)y, codes);
    else
        store_bytes(y, codes, n);
}

/* Outputs of 4 pixels, n channels from o on; limits are met after rounding, which is the same for these layers. */
static NW_INLINE void block_outputs(const nw_depthwise_call *call, const __m256i acc[PIXELS], uint8_t *c, int32_t o,
                                    int32_t n)
{
    const nw_requant *requant = call->requant;
    const __m256 multiplier = _mm256_loadu_ps(requant->multiplier + o);
    const __m256 bias = _mm256_loadu_ps(requant->bias + o);
    const __m256i zero = _mm256_set1_epi16((int16_t)requant->zero_point);
    const __m128i lo = _mm_set1_epi64x(_mm_cvtsi128_si64(load8(requant->lo_code + o)));
    const __m128i hi = _mm_set1_epi64x(_mm_cvtsi128_si64(load8(requant->hi_code + o)));
    __m256i y[PIXELS];
#pragma GCC unroll 4
    for (int32_t i = 0; i < PIXELS; i++)
        y[i] = _mm256_cvtps_epi32(_mm256_add_ps(bias, _mm256_mul_ps(multiplier, _mm256_cvtepi32_ps(acc[i]))));
    const __m256i first = _mm256_adds_epi16(_mm256_packs_epi32(y[0], y[1]), zero);
    const __m256i second = _mm256_adds_epi16(_mm256_packs_epi32(y[2], y[3]), zero);
    const __m256i codes = _mm256_packus_epi16(first, second); /* channels 0-3 of pixels 0 to 3 | 4-7 of them */
    const __m128i low = _mm256_castsi256_si128(codes);
    const __m128i high = _mm256_extracti128_si256(codes, 1);
    const __m128i out[2] = {_mm_min_epu8(_mm_max_epu8(_mm_unpacklo_epi32(low, high), lo), hi),
                            _mm_min_epu8(_mm_max_epu8(_mm_unpackhi_epi32(low, high), lo), hi)};
#pragma GCC unroll 2
    for (int32_t i = 0; i < 2; i++, c += 2 * (ptrdiff_t)call->c_step) {
        store_pixel(c, out[i], n);
        store_pixel(c + call->c_step, _mm_srli_si128(out[i], 8), n);
    }
}

/* Blocks [begin, end) of 8 channels; the last block of a row ends with it and may repeat pixels of the one before. */
static NW_INLINE void run_blocks(const nw_depthwise_call *call, const nw_avx2_3x3 *shape, const __m256i *w, int32_t o,
                                 int32_t begin, int32_t end, int32_t stride)
{
    const int32_t n = nw_min32(shape->n_channels - o, CHANNELS);
    const __m256i start = _mm256_loadu_si256((const __m256i *)(const void *)(call->requant->offset + o));
    for (int32_t b = begin; b < end; b++) {
        const ptrdiff_t i = nw_min32(b * PIXELS, call->n - PIXELS);
        __m256i acc[PIXELS];
        block_sums(acc, shape, call->a + i * call->a_step + o, w, start, stride);
        block_outputs(call, acc, (uint8_t *)call->c + i * call->c_step + o, o, n);
    }
}

static NW_NOINLINE void run_stride_1(const nw_depthwise_call *call, const nw_avx2_3x3 *shape, const __m256i *w,
                                     int32_t o, int32_t begin, int32_t end)
{
    run_blocks(call, shape, w, o, begin, end, 1);
}

static NW_NOINLINE void run_stride_2(const nw_depthwise_call *call, const nw_avx2_3x3 *shape, const __m256i *w,
                                     int32_t o, int32_t begin, int32_t end)
{
    run_blocks(call, shape, w, o, begin, end, 2);
}

bool nw_avx2_3x3_can_run(const nw_avx2_3x3 *shape, const nw_depthwise_call *call)
{
    const nw_requant *requant = call->requant;
    return shape->column && call->n >= PIXELS && requant->lo_code && !requant->residual_multiplier &&
           (call->a_step == shape->column || call->a_step == 2 * shape->column);
}

void nw_avx2_3x3_run(const nw_depthwise_call *call, const nw_avx2_3x3 *shape, const void *vectors)
{
    const __m256i *w = vectors;
    const int32_t n_blocks = (call->n + PIXELS - 1) / PIXELS;
    const int32_t near = nw_max32(1, NEAR / (3 * PIXELS * call->a_step));
    for (int32_t begin = 0; begin < n_blocks; begin += near) {
        const int32_t end = nw_min32(begin + near, n_blocks);
        for (int32_t o = 0; o < shape->n_channels; o += CHANNELS) {
            const __m256i *group = w + o / CHANNELS * NW_AVX2_3X3_VECTORS;
            if (call->a_step == shape->column)
                run_stride_1(call, shape, group, o, begin, end);
            else
                run_stride_2(call, shape, group, o, begin, end);
        }
    }
}

static int16_t weight(const nw_depthwise_source *source, int32_t channel, int32_t tap)
{
    return channel < source->n_channels ? source->weights[channel * source->n_taps + tap] : 0;
}

nw_avx2_3x3 nw_avx2_3x3_shape(const nw_depthwise_source *source)
{
    nw_avx2_3x3 shape = {.n_channels = source->n_channels};
    const int32_t *tap = source->tap_offset;
    if (source->n_taps != 9)
        return shape;
    shape.column = tap[1] - tap[0];
    for (int32_t y = 0; y < 3; y++) {
        shape.row[y] = tap[3 * y];
        for (int32_t x = 0; x < 3; x++)
            if (tap[3 * y + x] != tap[3 * y] + x * shape.column)
                shape.column = 0;
    }
    return shape;
}

size_t nw_avx2_3x3_pack(void *packed, const nw_depthwise_source *source)
{
    int16_t(*w)[CHANNELS][2] = packed;
    const int32_t groups = nw_round_up(source->n_channels, CHANNELS) / CHANNELS;
    for (int32_t g = 0; packed && g < groups; g++)
        for (int32_t v = 0; v < NW_AVX2_3X3_VECTORS; v++, w++)
            for (int32_t c = 0; c < CHANNELS; c++) {
                const int32_t channel = g * CHANNELS + c;
                (*w)[c][0] = weight(source, channel, v < 3 ? v : 3 + v);
                (*w)[c][1] = (int16_t)(v < 3 ? weight(source, channel, 3 + v) : 0);
            }
    return (size_t)groups * NW_AVX2_3X3_VECTORS * sizeof(__m256i);
}
