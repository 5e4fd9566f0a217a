/* SPDX-License-Identifier: Apache-2.0 */
/* One row of a linear Resize: codes 16 channels at a time, reals 8. */
#include <math.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/store.h"

/* 16 codes of one input column as sums over the two rows: [0] channels 0-3 and 8-11, [1] 4-7 and 12-15. */
typedef struct column {
    __m256i half[2];
} column;

static NW_INLINE column blend_rows(const uint8_t *top, const uint8_t *bottom, __m256i weights)
{
    const __m256i a = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)top));
    const __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)bottom));
    return (column){{_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights),
                     _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights)}};
}

/* left * (one - weight) + right * weight, as left * one + (right - left) * weight. */
static NW_INLINE __m256i blend_columns(__m256i left, __m256i right, __m256i weight)
{
    const __m256i difference = _mm256_mullo_epi32(_mm256_sub_epi32(right, left), weight);
    return _mm256_add_epi32(_mm256_slli_epi32(left, NW_TAP_BITS), difference);
}

/* Levels without a shift: z takes no part, it is a whole number of steps. */
static NW_INLINE __m256i round_sums(__m256i sum)
{
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << (2 * NW_TAP_BITS - 1))), 2 * NW_TAP_BITS);
}

/*
 * The same to the step of each channel; `shift` is that of channels 0-3 and 8-11 of the column's half, or 4-7,
 * 12-15.
 */
static NW_INLINE __m256i round_shifted(__m256i sum, const int32_t *shift, int32_t zero_point)
{
    const __m256i s = _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(const void *)(shift + 8)),
                                       _mm_loadu_si128((const __m128i *)(const void *)shift));
    const __m256i bits = _mm256_add_epi32(s, _mm256_set1_epi32(2 * NW_TAP_BITS));
    const __m256i half = _mm256_sllv_epi32(_mm256_set1_epi32(1 << (2 * NW_TAP_BITS - 1)), s);
    const __m256i zero = _mm256_set1_epi32(zero_point);
    const __m256i centred = _mm256_sub_epi32(sum, _mm256_slli_epi32(zero, 2 * NW_TAP_BITS));
    const __m256i level = _mm256_srav_epi32(_mm256_add_epi32(centred, half), bits);
    return _mm256_add_epi32(zero, _mm256_sllv_epi32(level, s));
}

void nw_resize_codes_avx2(const nw_resize_call *call)
{
    const __m256i down = _mm256_set1_epi32((NW_TAP_ONE - call->down.weight) | call->down.weight << 16);
    for (int32_t i = 0; i < call->n; i++) {
        const nw_tap *t = &call->taps[i];
        const __m256i weight = _mm256_set1_epi32(t->weight);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step;
        for (int32_t c = 0; c < call->channels; c += 16) {
            const column left = blend_rows(call->top + t->low + c, call->bottom + t->low + c, down);
            const column right = blend_rows(call->top + t->high + c, call->bottom + t->high + c, down);
            __m256i codes[2];
            for (int32_t h = 0; h < 2; h++) {
                const __m256i sum = blend_columns(left.half[h], right.half[h], weight);
                codes[h] =
                    call->shift ? round_shifted(sum, call->shift + c + 4 * h, call->zero_point) : round_sums(sum);
            }
            const __m256i words = _mm256_packs_epi32(codes[0], codes[1]);
            store_bytes(y + c, _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)),
                        nw_min32(call->channels - c, 16));
        }
    }
}

static NW_INLINE __m256 blend(__m256 a, __m256 b, __m256 weight)
{
    return _mm256_add_ps(a, _mm256_mul_ps(_mm256_sub_ps(b, a), weight));
}

static NW_INLINE __m256 load(const uint8_t *at, __m256i mask)
{
    return _mm256_maskload_ps((const float *)(const void *)at, mask);
}

/* One input column: its two rows blended, or as it lies. */
static NW_INLINE __m256 real_column(const nw_resize_call *call, bool two_rows, ptrdiff_t at, __m256i mask, __m256 down)
{
    const __m256 top = load(call->top + at, mask);
    return two_rows ? blend(top, load(call->bottom + at, mask), down) : top;
}

/* `two_rows` is a constant wherever this is inlined. */
static NW_INLINE void resize_reals(const nw_resize_call *call, bool two_rows)
{
    const __m256 down = _mm256_set1_ps(call->down.fraction);
    const __m256 nan = _mm256_set1_ps(NAN);
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int32_t rest = call->channels % 8;
    const __m256i rest_mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(rest), lanes);
    for (int32_t i = 0; i < call->n; i++) {
        const nw_tap *t = &call->taps[i];
        const __m256 across = _mm256_set1_ps(t->fraction);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step;
        int32_t c = 0;
        for (; c + 8 <= call->channels; c += 8) {
            const __m256i all = _mm256_set1_epi32(-1);
            const __m256 left = real_column(call, two_rows, t->low + 4 * c, all, down);
            const __m256 right = real_column(call, two_rows, t->high + 4 * c, all, down);
            const __m256 v = blend(left, right, across);
            _mm256_storeu_ps((float *)(void *)(y + 4 * c), _mm256_blendv_ps(v, nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
        }
        if (rest) {
            const __m256 left = real_column(call, two_rows, t->low + 4 * c, rest_mask, down);
            const __m256 right = real_column(call, two_rows, t->high + 4 * c, rest_mask, down);
            const __m256 v = blend(left, right, across);
            store_reals((float *)(void *)(y + 4 * c), _mm256_blendv_ps(v, nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q)),
                        rest);
        }
    }
}

void nw_resize_reals_avx2(const nw_resize_call *call)
{
    if (call->bottom)
        resize_reals(call, true);
    else
        resize_reals(call, false);
}
