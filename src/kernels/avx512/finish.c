/* SPDX-License-Identifier: Apache-2.0 */
/* See finish.h. */
#include "kernels/avx512/finish.h"

const int32_t nw_finish_zeros_avx512[64];

void nw_finish_init_avx512(nw_finish *finish, const nw_gemm_call *call, int32_t o, int32_t width)
{
    const nw_requant *requant = call->requant;
    finish->call = call;
    finish->o = o;
    finish->width = width;
    finish->q = (width + 15) / 16;
    finish->bounded = requant->lo_code != NULL;
    finish->floats = requant->float_output && !requant->wrap16 && !requant->n_extra;
    finish->start = finish->bounded || finish->floats ? requant->offset + o : nw_finish_zeros_avx512;
    if (!finish->bounded) {
        nw_extra_list_make(&finish->extra, requant, o, width);
        return;
    }
    finish->lo = repeated_codes(requant->lo_code + o, finish->q);
    finish->hi = repeated_codes(requant->hi_code + o, finish->q);
    finish->zero16 = _mm512_set1_epi16((int16_t)requant->zero_point);
}

/* The bounded way; always called with constant q. */
static NW_INLINE void run_bounded(int q, const nw_finish *f, const int32_t *sums, int32_t i, int32_t n)
{
    __m512i acc[16];
    for (; n >= 4; n -= 4, i += 4, sums += 64 * q) {
#pragma GCC unroll 16
        for (int v = 0; v < 4 * q; v++)
            acc[v] = _mm512_loadu_si512(sums + 16 * v);
        finish_tile(q, 4, f, acc, i);
    }
    for (; n > 0; n--, i++, sums += 16 * q) {
#pragma GCC unroll 4
        for (int v = 0; v < q; v++)
            acc[v] = _mm512_loadu_si512(sums + 16 * v);
        finish_tile(q, 1, f, acc, i);
    }
}

/* Float outputs of one point per channel. */
static void run_floats(const nw_finish *f, const int32_t *sums, int32_t i, int32_t n)
{
    const nw_requant *requant = f->call->requant;
    for (int32_t j = 0; j < f->q; j++) {
        const int32_t o = f->o + 16 * j;
        const __mmask16 mask = (__mmask16)low_bits(nw_min32(f->width - 16 * j, 16));
        const __m512 bias = _mm512_loadu_ps(requant->bias + o);
        const __m512 multiplier = _mm512_loadu_ps(requant->multiplier + o);
        for (int32_t p = 0; p < n; p++) {
            const __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + 16 * (f->q * p + j)));
            __m512 v = _mm512_add_ps(bias, _mm512_mul_ps(multiplier, sum));
            if (requant->residual_multiplier)
                v = add_residual(requant, o, f->call->residual[i + p], v);
            _mm512_mask_storeu_ps((float *)f->call->c[i + p] + o, mask, v);
        }
    }
}

static void run_general(const nw_finish *f, const int32_t *sums, int32_t i, int32_t n)
{
    const nw_gemm_call *call = f->call;
    const nw_requant *requant = call->requant;
    const nw_requant_rows rows = {
        .requant = requant,
        .sums = sums,
        .stride = 16 * f->q,
        .n = n,
        .o = f->o,
        .width = f->width,
        .extra = &f->extra,
        .extra_sums = requant->n_extra ? call->extra_sums + (ptrdiff_t)i * requant->n_extra : NULL,
        .residual = call->residual ? call->residual + i : NULL,
        .c = call->c + i,
    };
    nw_requant_rows_avx512(&rows);
}

void nw_finish_run_avx512(const nw_finish *finish, const int32_t *sums, int32_t i, int32_t n)
{
    if (finish->floats)
        run_floats(finish, sums, i, n);
    else if (!finish->bounded)
        run_general(finish, sums, i, n);
    else if (finish->q == 4)
        run_bounded(4, finish, sums, i, n);
    else if (finish->q == 3)
        run_bounded(3, finish, sums, i, n);
    else if (finish->q == 2)
        run_bounded(2, finish, sums, i, n);
    else
        run_bounded(1, finish, sums, i, n);
}
