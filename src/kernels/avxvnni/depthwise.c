/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution along one output row, 32 channels at a time. kernels/depthwise_quads.h draws the packed
 * weights.
 *
 * Four taps of 32 codes are interleaved so that four bytes of one channel lie together (8 shuffles), then 4 vpdpbusd
 * add them. With three columns and a stride of one, the four columns x[i] .. x[i + 3] serve two pixels: weights (w0 w1
 * w2 0) for pixel i, (0 w0 w1 w2) for pixel i + 1. Sums come in the order that avx2/depthwise_finish.h takes.
 *
 * Instructions on the vector ports for 32 outputs of a 3 x 3 kernel (counted): in pairs 12 shuffles + 12 vpdpbusd, else
 * 24 + 12; avx2/ needs 10 shuffles + 10 products + 8 additions + 12 to fold where 16 bits hold all, else 56.
 */
#include <assert.h>

#include "base/arith.h"
#include "kernels/avx2/depthwise_finish.h"
#include "kernels/avxvnni/avxvnni.h"
#include "kernels/depthwise_quads.h"

#define LANES 2
#define NR 32

typedef struct block {
    const int32_t *taps;
    const __m256i *weights;
    int32_t n_groups, column; /* column in bytes */
    ptrdiff_t shifted;        /* vectors from the weights to the shifted ones */
    int32_t channel, n;       /* first channel and how many of the 32 there are */
} block;

static NW_INLINE __m256i load(const uint8_t *x)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)x);
}

/* Four vectors of codes to four vectors of 8 channels with four codes each. */
static NW_INLINE void interleave(__m256i v[4], __m256i t0, __m256i t1, __m256i t2, __m256i t3)
{
    const __m256i low01 = _mm256_unpacklo_epi8(t0, t1);
    const __m256i high01 = _mm256_unpackhi_epi8(t0, t1);
    const __m256i low23 = _mm256_unpacklo_epi8(t2, t3);
    const __m256i high23 = _mm256_unpackhi_epi8(t2, t3);
    v[0] = _mm256_unpacklo_epi16(low01, low23);
    v[1] = _mm256_unpackhi_epi16(low01, low23);
    v[2] = _mm256_unpacklo_epi16(high01, high23);
    v[3] = _mm256_unpackhi_epi16(high01, high23);
}

/* GCC 12 otherwise gives every sum a new register in each turn of a loop and moves it back (objdump). */
static NW_INLINE __m256i in_register(__m256i x)
{
    __asm__("" : "+x"(x));
    return x;
}

static NW_INLINE void multiply_add(__m256i acc[4], const __m256i v[4], const __m256i *weights)
{
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++)
        acc[q] = in_register(_mm256_dpbusd_avx_epi32(acc[q], v[q], weights[q]));
}

/* acc += the sums of the pixel at a. */
static NW_INLINE void pixel_sums(__m256i acc[4], const block *b, const uint8_t *a)
{
    const int32_t *tap = b->taps;
    const __m256i *weights = b->weights;
    for (int32_t g = 0; g < b->n_groups; g++, tap += 4, weights += 4) {
        __m256i v[4];
        interleave(v, load(a + tap[0]), load(a + tap[1]), load(a + tap[2]), load(a + tap[3]));
        multiply_add(acc, v, weights);
    }
}

/* left, right += the sums of the pixel at a and of the next, one column further. */
static NW_INLINE void pair_sums(__m256i left[4], __m256i right[4], const block *b, const uint8_t *a)
{
    const ptrdiff_t column = b->column;
    const __m256i *weights = b->weights;
    for (int32_t g = 0; g < b->n_groups; g++, weights += 4) {
        const uint8_t *x = a + b->taps[4 * g];
        __m256i v[4];
        interleave(v, load(x), load(x + column), load(x + 2 * column), load(x + 3 * column));
        multiply_add(left, v, weights);
        multiply_add(right, v, weights + b->shifted);
    }
}

static NW_INLINE void start_from(__m256i acc[4], const __m256i start[4])
{
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++)
        acc[q] = start[q];
}

/* Codes without residual and wrapping: sums start from the offset. */
static NW_NOINLINE void plain_pixels(const nw_depthwise_call *call, const block *b,
                                     const nw_avx2_parameters *parameters)
{
    const bool shift = call->requant->shift != NULL;
    const int32_t zero_point = call->requant->zero_point;
    const uint8_t *a = call->a + b->channel;
    uint8_t *c = (uint8_t *)call->c + b->channel;
    __m256i acc[4];
    for (int32_t i = 0; i < call->n; i++) {
        start_from(acc, parameters->offset);
        pixel_sums(acc, b, a + (ptrdiff_t)i * call->a_step);
        finish_plain(c + (ptrdiff_t)i * call->c_step, b->n, parameters, shift, zero_point, acc);
    }
}

/* The same for layers with limits in codes, two pixels at a time; the last pixel may be made twice. */
static NW_NOINLINE void code_pixels(const nw_depthwise_call *call, const block *b,
                                    const nw_avx2_parameters *parameters)
{
    const bool pairs = b->column && b->column == call->a_step && call->n > 1;
    for (int32_t i = 0; i < call->n; i += 2) {
        const ptrdiff_t left = pairs ? nw_min32(i, call->n - 2) : i;
        const ptrdiff_t right = nw_min32((int32_t)left + 1, call->n - 1);
        const uint8_t *a = call->a + b->channel;
        uint8_t *const c = (uint8_t *)call->c + b->channel;
        uint8_t *const pixels[2] = {c + left * call->c_step, c + right * call->c_step};
        __m256i acc[2][4];
        start_from(acc[0], parameters->offset);
        start_from(acc[1], parameters->offset);
        if (pairs) {
            pair_sums(acc[0], acc[1], b, a + left * call->a_step);
        } else {
            pixel_sums(acc[0], b, a + left * call->a_step);
            pixel_sums(acc[1], b, a + right * call->a_step);
        }
        finish_codes(pixels, b->n, parameters, call->requant->zero_point, acc);
    }
}

static void any_pixels(const nw_depthwise_call *call, const block *b, const nw_avx2_parameters *parameters)
{
    for (int32_t i = 0; i < call->n; i++) {
        __m256i acc[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                          _mm256_setzero_si256()};
        pixel_sums(acc, b, call->a + (ptrdiff_t)i * call->a_step + b->channel);
        finish_any(call, b->channel, b->n, parameters, acc, i);
    }
}

size_t nw_depthwise_pack_avxvnni(void *packed, const nw_depthwise_source *source)
{
    return nw_depthwise_quads_pack(packed, source, LANES, LANES);
}

void nw_depthwise_run_avxvnni(const nw_depthwise_call *call)
{
    const nw_depthwise_quads *header = call->packed;
    const uint8_t *base = call->packed;
    const nw_requant *requant = call->requant;
    const bool plain = !requant->residual_multiplier && !requant->wrap16 && !requant->float_output;
    assert(call->n >= 1 && requant->n_extra == 0);
    for (int32_t c = 0; c < header->n_channels; c += NR) {
        const size_t at = (size_t)header->blocks + (size_t)(c / NR) * (size_t)header->block_size;
        const block b = {.taps = (const int32_t *)(const void *)(base + header->taps),
                         .weights = (const __m256i *)(const void *)(base + at),
                         .n_groups = header->n_groups,
                         .column = header->column,
                         .shifted = (ptrdiff_t)(header->shifted / sizeof(__m256i)),
                         .channel = c,
                         .n = nw_min32(header->n_channels - c, NR)};
        nw_avx2_parameters parameters;
        parameters_load(&parameters, requant, c);
        if (plain && requant->lo_code)
            code_pixels(call, &b, &parameters);
        else if (plain)
            plain_pixels(call, &b, &parameters);
        else
            any_pixels(call, &b, &parameters);
    }
}
