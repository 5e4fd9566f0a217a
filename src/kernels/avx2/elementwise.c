/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise kernels: the sum of two pictures, 16 channels at a time, and functions of one code through a table. */
#include <string.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/epilogue.h"

/* multiplier * f32(codes - zero) of channels o .. o + 15. */
static NW_INLINE nw_f32x16 term(const uint8_t *x, const float *multiplier, __m256i zero)
{
    const nw_i32x16 codes = widen_codes(_mm_loadu_si128((const __m128i *)(const void *)x));
    nw_f32x16 v;
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
            for (int32_t h = 0; h < 2; h++)
                v.half[h] = _mm256_add_ps(v.half[h], w.half[h]);
            store_bytes(y + c, clamp_round(call->requant, c, v), nw_min32(call->channels - c, 16));
        }
    }
}
