/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling of one output row: per pixel the box of taps inside the picture, per box all channels. */
#include "base/arith.h"
#include "kernels/avx512/requant.h"
#include "kernels/window.h"

static NW_INLINE __m512i largest(const nw_taps *b, int32_t c)
{
    __m512i best = _mm512_setzero_si512();
    const uint8_t *row = b->x + c;
    for (int32_t ky = 0; ky < b->rows; ky++, row += b->row_step) {
        const uint8_t *x = row;
        for (int32_t kx = 0; kx < b->columns; kx++, x += b->column_step)
            best = _mm512_max_epu8(best, _mm512_loadu_si512(x));
    }
    return best;
}

void nw_max_pool_avx512(const nw_pool_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const nw_taps b = nw_taps_of(call, i);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_pixel_stride;
        for (int32_t c = 0; c < call->channels; c += 64)
            store_codes(y + c, largest(&b, c), call->channels - c);
    }
}

static NW_INLINE __m512i sum_of(const nw_taps *b, int32_t c)
{
    __m512i sum = _mm512_setzero_si512();
    const uint8_t *row = b->x + c;
    for (int32_t ky = 0; ky < b->rows; ky++, row += b->row_step) {
        const uint8_t *x = row;
        for (int32_t kx = 0; kx < b->columns; kx++, x += b->column_step)
            sum = _mm512_add_epi32(sum, _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)x)));
    }
    return sum;
}

void nw_average_pool_avx512(const nw_pool_call *call)
{
    const nw_requant *requant = call->requant;
    const __m512i zero_point = _mm512_set1_epi32(requant->zero_point);
    for (int32_t i = 0; i < call->n; i++) {
        const nw_taps b = nw_taps_of(call, i);
        const int32_t n_valid = b.rows * b.columns;
        const int32_t count = call->count_include_pad ? call->kernel_h * call->kernel_w : n_valid;
        const __m512 divisor = _mm512_set1_ps((float)count);
        const __m512i zero_sum = _mm512_set1_epi32(n_valid * call->zero_x);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_pixel_stride;
        for (int32_t c = 0; c < call->channels; c += 16) {
            const __m512 m = _mm512_div_ps(_mm512_loadu_ps(call->multiplier + c), divisor);
            const __m512 v = _mm512_mul_ps(m, _mm512_cvtepi32_ps(_mm512_sub_epi32(sum_of(&b, c), zero_sum)));
            const __m512i codes = clamp_round(v, _mm512_loadu_ps(requant->lo + c), _mm512_loadu_ps(requant->hi + c),
                                              load_shift(requant, c), zero_point);
            const int32_t left = nw_min32(16, call->channels - c);
            _mm_mask_storeu_epi8(y + c, (__mmask16)low_bits(left), _mm512_cvtepi32_epi8(codes));
        }
    }
}
