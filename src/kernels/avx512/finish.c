/* SPDX-License-Identifier: Apache-2.0 */
/* See finish.h. The bounded way (requant.h) has a function for each number of vectors, with and without a residual. */
#include "kernels/avx512/finish.h"

#include "base/arith.h"

const int32_t nw_finish_zeros_avx512[64];

/* Parameters of q vectors of channels, meant for registers. */
typedef struct parameters {
    __m512 bias[4], multiplier[4], residual_multiplier[4];
    __m512i residual_zero;
} parameters;

/* Rounded, unclamped values of 16 channels of a pixel. */
static NW_INLINE __m512i rounded(const parameters *p, int j, const int32_t *sums, bool has_residual,
                                 const uint8_t *residual)
{
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + 16 * j));
    __m512 v = _mm512_add_ps(p->bias[j], _mm512_mul_ps(p->multiplier[j], sum));
    if (has_residual) {
        const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(residual + 16 * j));
        const __m512i difference = _mm512_sub_epi32(_mm512_cvtepu8_epi32(codes), p->residual_zero);
        v = _mm512_add_ps(v, _mm512_mul_ps(p->residual_multiplier[j], _mm512_cvtepi32_ps(difference)));
    }
    return _mm512_cvtps_epi32(v);
}

/* The bounded way for n pixels, q vectors of channels; always called with constant q and has_residual. */
static NW_INLINE void finish(int q, bool has_residual, const nw_finish *f, const int32_t *sums, int32_t n,
                             const uint8_t *const *residual, void *const *c)
{
    const nw_requant *requant = f->call->requant;
    const int32_t o = f->o;
    const __m512i order = natural_order();
    const __m512i lo = f->lo;
    const __m512i hi = f->hi;
    const __m512i zero16 = f->zero16;
    parameters param;
    param.residual_zero = _mm512_set1_epi32(requant->residual_zero_point);
#pragma GCC unroll 4
    for (int j = 0; j < q; j++) {
        param.bias[j] = _mm512_loadu_ps(requant->bias + o + 16 * j);
        param.multiplier[j] = _mm512_loadu_ps(requant->multiplier + o + 16 * j);
        if (has_residual)
            param.residual_multiplier[j] = _mm512_loadu_ps(requant->residual_multiplier + o + 16 * j);
    }
    const int together = q > 2 ? 1 : 4 / q; /* pixels that fill 64 codes */
    for (int32_t i = 0; i < n; i += together) {
        __m512i r[4];
        uint8_t *to[4];
#pragma GCC unroll 4
        for (int g = 0; g < together; g++) {
            const int32_t pixel = nw_min32(i + g, n - 1);
            to[g] = (uint8_t *)c[pixel] + o;
#pragma GCC unroll 4
            for (int j = 0; j < q; j++)
                r[q * g + j] = rounded(&param, j, sums + 16 * q * pixel, has_residual,
                                       has_residual ? residual[pixel] + o : NULL);
        }
        __m512i y = narrow(r[0], r[1], r[2], r[q == 3 ? 2 : 3], zero16);
        y = _mm512_permutexvar_epi32(order, y);
        y = _mm512_min_epu8(_mm512_max_epu8(y, lo), hi);
        if (q > 2)
            store_codes(to[0], y, f->width);
        else
            store_pixels(to, y, q, nw_min32(n - i, together), f->width);
    }
}

typedef void finish_fn(const nw_finish *f, const int32_t *sums, int32_t n, const uint8_t *const *residual,
                       void *const *c);

#define FINISH(q, has_residual)                                                                                        \
    static void finish_##q##_##has_residual(const nw_finish *f, const int32_t *sums, int32_t n,                        \
                                            const uint8_t *const *residual, void *const *c)                            \
    {                                                                                                                  \
        finish(q, has_residual, f, sums, n, residual, c);                                                              \
    }

FINISH(1, 0) FINISH(2, 0) FINISH(3, 0) FINISH(4, 0)
FINISH(1, 1) FINISH(2, 1) FINISH(3, 1) FINISH(4, 1)

static finish_fn *const finishers[2][4] = {{finish_1_0, finish_2_0, finish_3_0, finish_4_0},
                                           {finish_1_1, finish_2_1, finish_3_1, finish_4_1}};

void nw_finish_init_avx512(nw_finish *finish, const nw_gemm_call *call, int32_t o, int32_t width)
{
    const nw_requant *requant = call->requant;
    finish->call = call;
    finish->o = o;
    finish->width = width;
    finish->q = (width + 15) / 16;
    finish->bounded = requant->lo_code != NULL;
    if (!finish->bounded) {
        finish->start = nw_finish_zeros_avx512;
        nw_extra_list_make(&finish->extra, requant, o, width);
        return;
    }
    finish->start = requant->offset + o;
    finish->lo = repeated_codes(requant->lo_code + o, finish->q);
    finish->hi = repeated_codes(requant->hi_code + o, finish->q);
    finish->zero16 = _mm512_set1_epi16((int16_t)requant->zero_point);
}

void nw_finish_run_avx512(const nw_finish *finish, const int32_t *sums, int32_t i, int32_t n)
{
    const nw_gemm_call *call = finish->call;
    const nw_requant *requant = call->requant;
    const uint8_t *const *residual = call->residual ? call->residual + i : NULL;
    const int32_t *extra_sums = requant->n_extra ? call->extra_sums + (ptrdiff_t)i * requant->n_extra : NULL;
    if (finish->bounded) {
        finishers[requant->residual_multiplier != NULL][finish->q - 1](finish, sums, n, residual, call->c + i);
        return;
    }
    const nw_requant_rows rows = {.requant = requant,
                                  .sums = sums,
                                  .stride = 16 * finish->q,
                                  .n = n,
                                  .o = finish->o,
                                  .width = finish->width,
                                  .extra = &finish->extra,
                                  .extra_sums = extra_sums,
                                  .residual = residual,
                                  .c = call->c + i};
    nw_requant_rows_avx512(&rows);
}
