/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise kernels: the sum of two pictures. */
#include "kernels/avx512/requant.h"

#include "base/arith.h"

/* One picture's term of the sum for 16 channels. */
static NW_INLINE __m512 term(const uint8_t *x, __m512i zero, __m512 multiplier)
{
    const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)x));
    return _mm512_mul_ps(multiplier, _mm512_cvtepi32_ps(_mm512_sub_epi32(code, zero)));
}

/* Channels [c, c + width), width <= 16, of all pixels. Reads 16 codes a pixel, writes `width`. */
static void add_channels(const nw_add_call *call, int32_t c, int32_t width)
{
    const nw_requant *requant = call->requant;
    const __mmask16 mask = (__mmask16)low_bits(width);
    const __m512 multiplier_a = _mm512_loadu_ps(call->multiplier_a + c);
    const __m512 multiplier_b = _mm512_loadu_ps(call->multiplier_b + c);
    const __m512 lo = _mm512_loadu_ps(requant->lo + c);
    const __m512 hi = _mm512_loadu_ps(requant->hi + c);
    const __m512i shift = load_shift(requant, c);
    const __m512i zero_a = _mm512_set1_epi32(call->zero_a);
    const __m512i zero_b = _mm512_set1_epi32(call->zero_b);
    const __m512i zero_point = _mm512_set1_epi32(requant->zero_point);
    const uint8_t *a = call->a + c;
    const uint8_t *b = call->b + c;
    uint8_t *y = call->y + c;
    for (int32_t i = 0; i < call->n; i++, a += call->a_step, b += call->b_step, y += call->y_step) {
        const __m512 v = _mm512_add_ps(term(a, zero_a, multiplier_a), term(b, zero_b, multiplier_b));
        const __m128i codes = _mm512_cvtepi32_epi8(clamp_round(v, lo, hi, shift, zero_point));
        if (width == 16)
            _mm_storeu_si128((__m128i *)(void *)y, codes);
        else
            _mm_mask_storeu_epi8(y, mask, codes);
    }
}

void nw_add_avx512(const nw_add_call *call)
{
    for (int32_t c = 0; c < call->channels; c += 16)
        add_channels(call, c, nw_min32(16, call->channels - c));
}
