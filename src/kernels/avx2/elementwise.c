/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementwise kernels: sum and product of two pictures, 16 channels at a time, and functions of one code through a
 * table.
 */
#include <string.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/epilogue.h"

/* multiplier * f32(codes - zero) of channels o .. o + 15. */
static NW_INLINE nw_f32x16 term(const uint8_t *x, const float *multiplier, __m256i zero)
{
    const nw_i32x16 codes = widen_codes(_mm_loadu_si128((const __m128i *)(const void *)x));
    nw_f32x16 v;
#pragma GCC unroll 2
    for (int32_t h = 0; h < 2; h++)
        v.half[h] = _mm256_mul_ps(_mm256_loadu_ps(multiplier + 8 * h),
                                  _mm256_cvtepi32_ps(_mm256_sub_epi32(codes.half[h], zero)));
    return v;
}

void nw_add_avx2(const nw_add_call *call)
{
    const __m256i zero_a = _mm256_set1_epi32(call->zero_a);
    const __m256i zero_b = _mm256_set1_epi32(call->zero_b);
    for (int32_t i = 0; i < call->n; i++) {
        const uint8_t *a = call->a + (ptrdiff_t)i * call->a_step;
        const uint8_t *b = call->b + (ptrdiff_t)i * call->b_step;
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step;
        for (int32_t c = 0; c < call->channels; c += 16) {
            nw_f32x16 v = term(a + c, call->multiplier_a + c, zero_a);
            const nw_f32x16 w = term(b + c, call->multiplier_b + c, zero_b);
#pragma GCC unroll 2
            for (int32_t h = 0; h < 2; h++)
                v.half[h] = _mm256_add_ps(v.half[h], w.half[h]);
            store_bytes(y + c, clamp_round(call->requant, c, v), nw_min32(call->channels - c, 16));
        }
    }
}

void nw_multiply_avx2(const nw_multiply_call *call)
{
    const nw_requant *requant = call->requant;
    const __m256i zero_a = _mm256_set1_epi32(call->zero_a);
    const __m256i zero_b = _mm256_set1_epi32(call->zero_b);
    for (int32_t i = 0; i < call->n; i++) {
        const uint8_t *a = call->a + (ptrdiff_t)i * call->a_step;
        const uint8_t *b = call->b + (ptrdiff_t)i * call->b_step;
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step;
        for (int32_t c = 0; c < call->channels; c += 16) {
            const nw_i32x16 p = widen_codes(_mm_loadu_si128((const __m128i *)(const void *)(a + c)));
            const nw_i32x16 q = widen_codes(_mm_loadu_si128((const __m128i *)(const void *)(b + c)));
            nw_f32x16 v;
#pragma GCC unroll 2
            for (int32_t h = 0; h < 2; h++) {
                const __m256i product = _mm256_mullo_epi32(_mm256_sub_epi32(p.half[h], zero_a),
                                                           _mm256_sub_epi32(q.half[h], zero_b));
                v.half[h] = _mm256_mul_ps(_mm256_loadu_ps(requant->multiplier + c + 8 * h),
                                          _mm256_cvtepi32_ps(product));
            }
            store_bytes(y + c, clamp_round(requant, c, v), nw_min32(call->channels - c, 16));
        }
    }
}

/*
 * y = table[x] for 64 codes: entry i of 16 rows of the table answers for the codes 16 i .. 16 i + 15. Subtracting 16 i
 * brings those to 0..15; adding 112 with saturation then sets the top bit of all others, for which vpshufb gives 0.
 */
static NW_INLINE void look_up_64(uint8_t *y, const uint8_t *x, const __m256i rows[16])
{
    const __m256i sixteen = _mm256_set1_epi8(16);
    const __m256i top = _mm256_set1_epi8(112);
    __m256i index[2];
    __m256i out[2];
    for (int32_t h = 0; h < 2; h++) {
        index[h] = _mm256_loadu_si256((const __m256i *)(const void *)(x + 32 * h));
        out[h] = _mm256_setzero_si256();
    }
    for (int32_t i = 0; i < 16; i++) {
#pragma GCC unroll 2
        for (int32_t h = 0; h < 2; h++) {
            const __m256i found = _mm256_shuffle_epi8(rows[i], _mm256_adds_epu8(index[h], top));
            out[h] = _mm256_or_si256(out[h], found);
            index[h] = _mm256_sub_epi8(index[h], sixteen);
        }
    }
    for (int32_t h = 0; h < 2; h++)
        _mm256_storeu_si256((__m256i *)(void *)(y + 32 * h), out[h]);
}

void nw_table_avx2(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256])
{
    size_t i = 0;
    if (n >= 64) {
        __m256i rows[16];
        for (size_t r = 0; r < 16; r++)
            rows[r] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(table + 16 * r)));
        for (; i + 64 <= n; i += 64)
            look_up_64(y + i, x + i, rows);
    }
    for (; i < n; i++)
        y[i] = table[x[i]];
}
