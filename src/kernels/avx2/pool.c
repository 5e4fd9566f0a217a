/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pooling of one output row. The window of a pixel is first cut to the taps that lie inside the picture; then channels
 * go 32 (maximum) or 16 (average) at a time with the window's taps as the inner loop.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/epilogue.h"
#include "kernels/window.h"

static NW_INLINE __m256i window_max(const nw_taps *w, int32_t c)
{
    __m256i best = _mm256_setzero_si256();
    const uint8_t *row = w->x + c;
    for (int32_t y = 0; y < w->rows; y++, row += w->row_step) {
        const uint8_t *x = row;
        for (int32_t k = 0; k < w->columns; k++, x += w->column_step)
            best = _mm256_max_epu8(best, _mm256_loadu_si256((const __m256i *)(const void *)x));
    }
    return best;
}

void nw_max_pool_avx2(const nw_pool_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const nw_taps w = nw_taps_of(call, i);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_pixel_stride;
        for (int32_t c = 0; c < call->channels; c += 32) {
            const __m256i best = window_max(&w, c);
            if (call->channels - c >= 32) {
                _mm256_storeu_si256((__m256i *)(void *)(y + c), best);
                continue;
            }
            const int32_t n = call->channels - c;
            store_bytes(y + c, _mm256_castsi256_si128(best), nw_min32(n, 16));
            if (n > 16)
                store_bytes(y + c + 16, _mm256_extracti128_si256(best, 1), n - 16);
        }
    }
}

/* Sums over the window: 16-bit sums of up to 256 taps, then into 32 bits. */
static NW_INLINE nw_i32x16 window_sum(const nw_taps *w, int32_t c)
{
    const __m256i zero = _mm256_setzero_si256();
    nw_i32x16 sum = {{zero, zero}};
    __m256i sum16 = zero;
    int32_t left = 256; /* 256 * 255 < 2^16 */
    const uint8_t *row = w->x + c;
    for (int32_t y = 0; y < w->rows; y++, row += w->row_step) {
        const uint8_t *x = row;
        for (int32_t k = 0; k < w->columns; k++, x += w->column_step) {
            sum16 = _mm256_add_epi16(sum16, _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)x)));
            if (--left > 0)
                continue;
            sum.half[0] = _mm256_add_epi32(sum.half[0], _mm256_cvtepu16_epi32(_mm256_castsi256_si128(sum16)));
            sum.half[1] = _mm256_add_epi32(sum.half[1], _mm256_cvtepu16_epi32(_mm256_extracti128_si256(sum16, 1)));
            sum16 = zero;
            left = 256;
        }
    }
    sum.half[0] = _mm256_add_epi32(sum.half[0], _mm256_cvtepu16_epi32(_mm256_castsi256_si128(sum16)));
    sum.half[1] = _mm256_add_epi32(sum.half[1], _mm256_cvtepu16_epi32(_mm256_extracti128_si256(sum16, 1)));
    return sum;
}

void nw_average_pool_avx2(const nw_pool_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const nw_taps w = nw_taps_of(call, i);
        const int32_t n_valid = w.rows * w.columns;
        const int32_t count = call->count_include_pad ? call->kernel_h * call->kernel_w : n_valid;
        const __m256 divisor = _mm256_set1_ps((float)count);
        const __m256i zero = _mm256_set1_epi32(n_valid * call->zero_x);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_pixel_stride;
        for (int32_t c = 0; c < call->channels; c += 16) {
            const nw_i32x16 sum = window_sum(&w, c);
            nw_f32x16 v;
#pragma GCC unroll 2
            for (int32_t h = 0; h < 2; h++) {
                const __m256 m = _mm256_div_ps(_mm256_loadu_ps(call->multiplier + c + 8 * h), divisor);
                v.half[h] = _mm256_mul_ps(m, _mm256_cvtepi32_ps(_mm256_sub_epi32(sum.half[h], zero)));
            }
            store_bytes(y + c, clamp_round(call->requant, c, v), nw_min32(call->channels - c, 16));
        }
    }
}
