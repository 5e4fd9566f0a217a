/* SPDX-License-Identifier: Apache-2.0 */
/* The general way from sums to outputs: every feature of nw_requant, 16 channels at a time. See requant.h. */
#include "kernels/avx512/requant.h"

#include "base/arith.h"

static __m512 first_term(const nw_requant *requant, int32_t o, const int32_t *sums)
{
    __m512i sum = _mm512_loadu_si512(sums);
    if (requant->wrap16)
        sum = _mm512_srai_epi32(_mm512_slli_epi32(sum, 16), 16);
    sum = _mm512_add_epi32(sum, _mm512_loadu_si512(requant->offset + o));
    const __m512 product = _mm512_mul_ps(_mm512_loadu_ps(requant->multiplier + o), _mm512_cvtepi32_ps(sum));
    return _mm512_add_ps(_mm512_loadu_ps(requant->bias + o), product);
}

static void store_row(const nw_requant *requant, int32_t o, __m512 v, void *c, __mmask16 mask)
{
    if (requant->float_output) {
        _mm512_mask_storeu_ps((float *)c + o, mask, v);
        return;
    }
    const __m512i y = clamp_round(v, _mm512_loadu_ps(requant->lo + o), _mm512_loadu_ps(requant->hi + o),
                                  load_shift(requant, o), _mm512_set1_epi32(requant->zero_point));
    _mm_mask_storeu_epi8((uint8_t *)c + o, mask, _mm512_cvtepi32_epi8(y));
}

void nw_requant_rows_avx512(const nw_requant_rows *rows)
{
    const nw_requant *requant = rows->requant;
    for (int32_t i = 0; i < rows->n; i++) {
        float v[64];
        for (int32_t j = 0; j < rows->width; j += 16)
            _mm512_storeu_ps(v + j, first_term(requant, rows->o + j, rows->sums + i * rows->stride + j));
        if (rows->extra && rows->extra->n)
            nw_extra_add(v, rows->extra, rows->extra_sums + (ptrdiff_t)i * requant->n_extra);
        for (int32_t j = 0; j < rows->width; j += 16) {
            const __mmask16 mask = (__mmask16)low_bits(nw_min32(rows->width - j, 16));
            __m512 value = _mm512_loadu_ps(v + j);
            if (requant->residual_multiplier)
                value = add_residual(requant, rows->o + j, rows->residual[i], value);
            store_row(requant, rows->o + j, value, rows->c[i], mask);
        }
    }
}
