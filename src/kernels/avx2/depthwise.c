/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution along one output row, 32 channels at a time. Reads what kernels/depthwise_pairs.c packed and
 * proved exact.
 *
 * A step interleaves the bytes of two taps, so that vpmaddubsw multiplies and sums them per channel; sums of a run stay
 * in 16 bits; two runs are interleaved and folded into int32 by vpmaddwd. Unpacking leaves channels in the order
 *
 *     q[0] = 0-3 | 16-19    q[1] = 4-7 | 20-23    q[2] = 8-11 | 24-27    q[3] = 12-15 | 28-31
 *
 * which packing undoes without a permutation. The parameters of a panel are brought into that order once per call.
 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/store.h"
#include "kernels/depthwise_pairs.h"

#define NR NW_AVX2_DEPTHWISE_NR

typedef struct panel {
    const int32_t *runs;
    const int32_t *offsets;
    const __m256i *weights;
    int32_t n_runs, n_steps;
    int32_t channel, n; /* first channel and how many of the 32 there are */
} panel;

/* nw_requant of the 32 channels, in the order of q. */
typedef struct parameters {
    __m256 bias[4], multiplier[4], lo[4], hi[4], residual[4];
    __m256i offset[4], shift[4];
} parameters;

static __m256 order_f32(const float *p, int32_t q)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 4 * q)), _mm_loadu_ps(p + 16 + 4 * q), 1);
}

static __m256i order_i32(const int32_t *p, int32_t q)
{
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * q));
    const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 + 4 * q));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

static void parameters_load(parameters *out, const nw_requant *requant, int32_t channel)
{
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        out->bias[q] = order_f32(requant->bias + channel, q);
        out->multiplier[q] = order_f32(requant->multiplier + channel, q);
        out->offset[q] = order_i32(requant->offset + channel, q);
        if (requant->lo) {
            out->lo[q] = order_f32(requant->lo + channel, q);
            out->hi[q] = order_f32(requant->hi + channel, q);
        }
        if (requant->shift)
            out->shift[q] = order_i32(requant->shift + channel, q);
        if (requant->residual_multiplier)
            out->residual[q] = order_f32(requant->residual_multiplier + channel, q);
    }
}

/* The 16-bit sums of one run: [0] channels 0-7 | 16-23, [1] 8-15 | 24-31. */
typedef struct sums16 {
    __m256i half[2];
} sums16;

static NW_INLINE sums16 step_products(const panel *p, int32_t s, const uint8_t *a)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(a + p->offsets[2 * s]));
    const __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(a + p->offsets[2 * s + 1]));
    return (sums16){{_mm256_maddubs_epi16(_mm256_unpacklo_epi8(x, y), p->weights[2 * s]),
                     _mm256_maddubs_epi16(_mm256_unpackhi_epi8(x, y), p->weights[2 * s + 1])}};
}

static NW_INLINE sums16 run_sums(const panel *p, int32_t first, int32_t n, const uint8_t *a)
{
    sums16 sum = step_products(p, first, a);
    for (int32_t s = first + 1; s < first + n; s++) {
        const sums16 more = step_products(p, s, a);
        sum.half[0] = _mm256_add_epi16(sum.half[0], more.half[0]);
        sum.half[1] = _mm256_add_epi16(sum.half[1], more.half[1]);
    }
    return sum;
}

/* acc += first + second, widened. */
static NW_INLINE void fold(__m256i acc[4], sums16 first, sums16 second)
{
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 2
    for (int32_t h = 0; h < 2; h++) {
        const __m256i low = _mm256_unpacklo_epi16(first.half[h], second.half[h]);
        const __m256i high = _mm256_unpackhi_epi16(first.half[h], second.half[h]);
        acc[2 * h] = _mm256_add_epi32(acc[2 * h], _mm256_madd_epi16(low, ones));
        acc[2 * h + 1] = _mm256_add_epi32(acc[2 * h + 1], _mm256_madd_epi16(high, ones));
    }
}

/* acc += the exact sums of a pixel whose n_steps are one run. */
static NW_INLINE void one_run(__m256i acc[4], const panel *p, const uint8_t *a, int32_t n_steps)
{
    const sums16 none = {{_mm256_setzero_si256(), _mm256_setzero_si256()}};
    sums16 sum = step_products(p, 0, a);
#pragma GCC unroll 8
    for (int32_t s = 1; s < n_steps; s++) {
        const sums16 more = step_products(p, s, a);
        sum.half[0] = _mm256_add_epi16(sum.half[0], more.half[0]);
        sum.half[1] = _mm256_add_epi16(sum.half[1], more.half[1]);
    }
    fold(acc, sum, none);
}

/* acc += the exact sums of a pixel, every step a run of its own: few steps are not worth the branches of runs. */
static NW_INLINE void no_runs(__m256i acc[4], const panel *p, const uint8_t *a, int32_t n_steps)
{
#pragma GCC unroll 4
    for (int32_t s = 0; s < n_steps; s += 2) {
        sums16 second = {{_mm256_setzero_si256(), _mm256_setzero_si256()}};
        if (s + 1 < n_steps)
            second = step_products(p, s + 1, a);
        fold(acc, step_products(p, s, a), second);
    }
}

/* acc += the exact sums of a pixel, runs as they come. */
static NW_INLINE void any_runs(__m256i acc[4], const panel *p, const uint8_t *a)
{
    int32_t s = 0;
    for (int32_t r = 0; r < p->n_runs; r += 2) {
        const sums16 first = run_sums(p, s, p->runs[r], a);
        s += p->runs[r];
        sums16 second = {{_mm256_setzero_si256(), _mm256_setzero_si256()}};
        if (r + 1 < p->n_runs) {
            second = run_sums(p, s, p->runs[r + 1], a);
            s += p->runs[r + 1];
        }
        fold(acc, first, second);
    }
}

static NW_INLINE void add_residual(__m256 v[4], const parameters *parameters, __m256i codes, int32_t zero_point)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i words[2] = {_mm256_unpacklo_epi8(codes, zero), _mm256_unpackhi_epi8(codes, zero)};
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        const __m256i x = q % 2 ? _mm256_unpackhi_epi16(words[q / 2], zero) : _mm256_unpacklo_epi16(words[q / 2], zero);
        const __m256 f = _mm256_cvtepi32_ps(_mm256_sub_epi32(x, _mm256_set1_epi32(zero_point)));
        v[q] = _mm256_add_ps(v[q], _mm256_mul_ps(parameters->residual[q], f));
    }
}

static NW_INLINE __m256i clamp_round(const __m256 v[4], const parameters *parameters, bool shift, int32_t zero_point)
{
    const __m256i zero = _mm256_set1_epi16((int16_t)zero_point);
    __m256i y[4];
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        y[q] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v[q], parameters->lo[q]), parameters->hi[q]));
        if (shift)
            y[q] = _mm256_sllv_epi32(y[q], parameters->shift[q]);
    }
    return _mm256_packus_epi16(_mm256_add_epi16(_mm256_packs_epi32(y[0], y[1]), zero),
                               _mm256_add_epi16(_mm256_packs_epi32(y[2], y[3]), zero));
}

static void store_floats(float *y, const __m256 v[4], int32_t n)
{
    float all[NR];
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        _mm_storeu_ps(all + 4 * q, _mm256_castps256_ps128(v[q]));
        _mm_storeu_ps(all + 16 + 4 * q, _mm256_extractf128_ps(v[q], 1));
    }
    memcpy(y, all, (size_t)n * sizeof(float));
}

static NW_INLINE void store_codes(uint8_t *y, __m256i codes, int32_t n)
{
    if (n == NR) {
        _mm256_storeu_si256((__m256i *)(void *)y, codes);
        return;
    }
    store_bytes(y, _mm256_castsi256_si128(codes), nw_min32(n, 16));
    if (n > 16)
        store_bytes(y + 16, _mm256_extracti128_si256(codes, 1), n - 16);
}

/* From sums (without the offset) to outputs: every option. */
static NW_NOINLINE void finish_any(const nw_depthwise_call *call, const panel *p, const parameters *parameters,
                                   const __m256i acc[4], int32_t i)
{
    const nw_requant *requant = call->requant;
    __m256 v[4];
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        const __m256i sum = requant->wrap16 ? _mm256_srai_epi32(_mm256_slli_epi32(acc[q], 16), 16) : acc[q];
        const __m256 x = _mm256_cvtepi32_ps(_mm256_add_epi32(sum, parameters->offset[q]));
        v[q] = _mm256_add_ps(parameters->bias[q], _mm256_mul_ps(parameters->multiplier[q], x));
    }
    if (requant->residual_multiplier) {
        const uint8_t *residual = call->residual + (ptrdiff_t)i * call->residual_step + p->channel;
        add_residual(v, parameters, _mm256_loadu_si256((const __m256i *)(const void *)residual),
                     requant->residual_zero_point);
    }
    uint8_t *c = (uint8_t *)call->c + (ptrdiff_t)i * call->c_step;
    if (requant->float_output)
        store_floats((float *)(void *)c + p->channel, v, p->n);
    else
        store_codes(c + p->channel, clamp_round(v, parameters, requant->shift != NULL, requant->zero_point), p->n);
}

typedef enum form { ONE_RUN, NO_RUNS, ANY_RUNS } form;

/* Codes without residual and wrapping: sums start from the offset. form and n_steps are constants in each caller. */
static NW_INLINE void plain_pixels(const nw_depthwise_call *call, const panel *p, const parameters *parameters,
                                   form form, int32_t n_steps)
{
    const bool shift = call->requant->shift != NULL;
    const int32_t zero_point = call->requant->zero_point;
    for (int32_t i = 0; i < call->n; i++) {
        const uint8_t *a = call->a + (ptrdiff_t)i * call->a_step + p->channel;
        __m256i acc[4];
        __m256 v[4];
#pragma GCC unroll 4
        for (int32_t q = 0; q < 4; q++)
            acc[q] = parameters->offset[q];
        if (form == ONE_RUN)
            one_run(acc, p, a, n_steps);
        else if (form == NO_RUNS)
            no_runs(acc, p, a, n_steps);
        else
            any_runs(acc, p, a);
#pragma GCC unroll 4
        for (int32_t q = 0; q < 4; q++)
            v[q] = _mm256_add_ps(parameters->bias[q],
                                 _mm256_mul_ps(parameters->multiplier[q], _mm256_cvtepi32_ps(acc[q])));
        uint8_t *c = (uint8_t *)call->c + (ptrdiff_t)i * call->c_step + p->channel;
        store_codes(c, clamp_round(v, parameters, shift, zero_point), p->n);
    }
}

#define STEPS_3X3 5 /* nine taps in pairs */

static NW_NOINLINE void plain_3x3(const nw_depthwise_call *call, const panel *p, const parameters *parameters)
{
    if (p->n_runs == 1)
        plain_pixels(call, p, parameters, ONE_RUN, STEPS_3X3);
    else
        plain_pixels(call, p, parameters, NO_RUNS, STEPS_3X3);
}

static NW_NOINLINE void plain_any(const nw_depthwise_call *call, const panel *p, const parameters *parameters)
{
    if (p->n_runs == 1)
        plain_pixels(call, p, parameters, ONE_RUN, p->n_steps);
    else if (2 * p->n_runs > p->n_steps)
        plain_pixels(call, p, parameters, NO_RUNS, p->n_steps);
    else
        plain_pixels(call, p, parameters, ANY_RUNS, p->n_steps);
}

static void any_pixels(const nw_depthwise_call *call, const panel *p, const parameters *parameters)
{
    for (int32_t i = 0; i < call->n; i++) {
        __m256i acc[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                          _mm256_setzero_si256()};
        any_runs(acc, p, call->a + (ptrdiff_t)i * call->a_step + p->channel);
        finish_any(call, p, parameters, acc, i);
    }
}

size_t nw_depthwise_pack_avx2(void *packed, const nw_depthwise_source *source)
{
    return nw_pairs_pack(packed, source, 2, 2);
}

void nw_depthwise_run_avx2(const nw_depthwise_call *call)
{
    const nw_pairs_header *header = call->packed;
    const uint8_t *base = call->packed;
    const nw_pairs_panel *panels = nw_pairs_panels(base);
    const nw_requant *requant = call->requant;
    const bool plain = !requant->residual_multiplier && !requant->wrap16 && !requant->float_output;
    assert(call->n >= 1 && requant->n_extra == 0);
    for (int32_t i = 0; i < header->n_panels; i++) {
        const panel p = {.runs = (const int32_t *)(const void *)(base + panels[i].runs),
                         .offsets = (const int32_t *)(const void *)(base + panels[i].offsets),
                         .weights = (const __m256i *)(const void *)(base + panels[i].weights),
                         .n_runs = panels[i].n_runs,
                         .n_steps = panels[i].n_steps,
                         .channel = panels[i].channel,
                         .n = nw_min32(header->n_channels - panels[i].channel, NR)};
        parameters parameters;
        parameters_load(&parameters, requant, p.channel);
        if (plain && p.n_steps == STEPS_3X3)
            plain_3x3(call, &p, &parameters);
        else if (plain)
            plain_any(call, &p, &parameters);
        else
            any_pixels(call, &p, &parameters);
    }
}
