/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementwise functions of reals, 8 at a time: the operations of base/elementary.c in their order, with selections
 * where that one branches.
 */
#include <math.h>

#include "base/arith.h"
#include "base/elementary.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/store.h"


static NW_INLINE __m256 constant(float x)
{
    return _mm256_set1_ps(x);
}

static NW_INLINE __m256 scale_by(__m256 y, __m256i exponent)
{
    const __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(y, _mm256_castsi256_ps(bits));
}

/* nw_exp. Lanes outside its range compute something of no meaning first. */
static NW_INLINE __m256 exp8(__m256 x)
{
    static const float c[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                              4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, constant(1.44269504088896341f)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_sub_ps(x, _mm256_mul_ps(n, constant(0.693359375f)));
    r = _mm256_sub_ps(r, _mm256_mul_ps(n, constant(-2.12194440e-4f)));
    __m256 y = constant(c[0]);
    for (int i = 1; i < 6; i++)
        y = _mm256_add_ps(_mm256_mul_ps(y, r), constant(c[i]));
    y = _mm256_add_ps(_mm256_add_ps(_mm256_mul_ps(y, _mm256_mul_ps(r, r)), r), constant(1.0f));
    const __m256i e = _mm256_cvttps_epi32(n);
    const __m256i half = _mm256_srai_epi32(_mm256_add_epi32(e, _mm256_srli_epi32(e, 31)), 1); /* toward 0 */
    y = scale_by(scale_by(y, half), _mm256_sub_epi32(e, half));
    y = _mm256_blendv_ps(y, constant(INFINITY), _mm256_cmp_ps(x, constant(88.72283f), _CMP_GT_OQ));
    y = _mm256_andnot_ps(_mm256_cmp_ps(x, constant(-87.33654f), _CMP_LT_OQ), y);
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

/* nw_sigmoid: with e = exp(-|x|) either 1 / (1 + e) or e / (1 + e). */
static NW_INLINE __m256 sigmoid8(__m256 x)
{
    const __m256 one = constant(1.0f);
    const __m256 e = exp8(_mm256_or_ps(x, constant(-0.0f)));
    const __m256 top = _mm256_blendv_ps(e, one, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ));
    return _mm256_div_ps(top, _mm256_add_ps(one, e));
}

static NW_INLINE __m256 apply8(nw_float_function function, __m256 a, __m256 b)
{
    switch (function) {
    case NW_FLOAT_SIGMOID:
        return sigmoid8(a);
    case NW_FLOAT_EXP:
        return exp8(a);
    case NW_FLOAT_ADD:
        return _mm256_add_ps(a, b);
    case NW_FLOAT_SUB:
        return _mm256_sub_ps(a, b);
    case NW_FLOAT_MUL:
        return _mm256_mul_ps(a, b);
    case NW_FLOAT_DIV:
        return _mm256_div_ps(a, b);
    default: /* RELU: of NaN and of zeros it gives 0 */
        return _mm256_and_ps(a, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_GT_OQ));
    }
}

static NW_INLINE __m256 load(const float *x, int32_t step, int32_t i, __m256i mask)
{
    return step ? _mm256_maskload_ps(x + i, mask) : constant(*x);
}

/* `function` is a constant wherever this is inlined. */
static NW_INLINE void line(nw_float_function function, const nw_float_call *call)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int32_t i = 0; i < call->n; i += 8) {
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(call->n - i), lanes);
        const __m256 a = load(call->a, call->a_step, i, mask);
        const __m256 b = call->b ? load(call->b, call->b_step, i, mask) : _mm256_setzero_ps();
        const __m256 v = apply8(function, a, b);
        const __m256 one_nan = _mm256_blendv_ps(v, constant(NAN), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        store_reals(call->y + i, one_nan, nw_min32(call->n - i, 8));
    }
}

static void tanh_line(const nw_float_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const float v = nw_tanh(call->a[call->a_step * i]);
        call->y[i] = v != v ? NAN : v;
    }
}

void nw_float_line_avx2(const nw_float_call *call)
{
    switch (call->function) {
    case NW_FLOAT_SIGMOID:
        line(NW_FLOAT_SIGMOID, call);
        break;
    case NW_FLOAT_TANH: /* no network has it here: the quantizer makes it a table */
        tanh_line(call);
        break;
    case NW_FLOAT_EXP:
        line(NW_FLOAT_EXP, call);
        break;
    case NW_FLOAT_RELU:
        line(NW_FLOAT_RELU, call);
        break;
    case NW_FLOAT_ADD:
        line(NW_FLOAT_ADD, call);
        break;
    case NW_FLOAT_SUB:
        line(NW_FLOAT_SUB, call);
        break;
    case NW_FLOAT_MUL:
        line(NW_FLOAT_MUL, call);
        break;
    case NW_FLOAT_DIV:
        line(NW_FLOAT_DIV, call);
        break;
    }
}
