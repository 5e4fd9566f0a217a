/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution along one output row, 32 channels at a time. Reads what kernels/depthwise_pairs.c packed and
 * proved exact.
 *
 * A step interleaves the bytes of two taps, so that vpmaddubsw multiplies and sums them per channel; sums of a run stay
 * in 16 bits; two runs are interleaved and folded into int32 by vpmaddwd. depthwise_finish.h turns them into outputs.
 */
#include <assert.h>
#include <immintrin.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/depthwise_finish.h"
#include "kernels/depthwise_pairs.h"

#define NR NW_AVX2_DEPTHWISE_NR

typedef struct panel {
    const int32_t *runs;
    const int32_t *offsets;
    const __m256i *weights;
    int32_t n_runs, n_steps;
    int32_t channel, n; /* first channel and how many of the 32 there are */
} panel;

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

typedef enum form { ONE_RUN, NO_RUNS, ANY_RUNS } form;

/* Codes without residual and wrapping: sums start from the offset. form and n_steps are constants in each caller. */
static NW_INLINE void plain_pixels(const nw_depthwise_call *call, const panel *p, const nw_avx2_parameters *parameters,
                                   form form, int32_t n_steps)
{
    const bool shift = call->requant->shift != NULL;
    const int32_t zero_point = call->requant->zero_point;
    for (int32_t i = 0; i < call->n; i++) {
        const uint8_t *a = call->a + (ptrdiff_t)i * call->a_step + p->channel;
        __m256i acc[4];
#pragma GCC unroll 4
        for (int32_t q = 0; q < 4; q++)
            acc[q] = parameters->offset[q];
        if (form == ONE_RUN)
            one_run(acc, p, a, n_steps);
        else if (form == NO_RUNS)
            no_runs(acc, p, a, n_steps);
        else
            any_runs(acc, p, a);
        uint8_t *c = (uint8_t *)call->c + (ptrdiff_t)i * call->c_step + p->channel;
        finish_plain(c, p->n, parameters, shift, zero_point, acc);
    }
}

/* The same two pixels at a time, for layers with limits in codes. */
static NW_INLINE void pixels_in_twos(const nw_depthwise_call *call, const panel *p,
                                     const nw_avx2_parameters *parameters, form form, int32_t n_steps)
{
    const int32_t zero_point = call->requant->zero_point;
    int32_t i = 0;
    for (; i + 2 <= call->n; i += 2) {
        __m256i acc[2][4];
        uint8_t *c[2];
#pragma GCC unroll 2
        for (int32_t j = 0; j < 2; j++) {
            const uint8_t *a = call->a + (ptrdiff_t)(i + j) * call->a_step + p->channel;
            c[j] = (uint8_t *)call->c + (ptrdiff_t)(i + j) * call->c_step + p->channel;
#pragma GCC unroll 4
            for (int32_t q = 0; q < 4; q++)
                acc[j][q] = parameters->offset[q];
            if (form == ONE_RUN)
                one_run(acc[j], p, a, n_steps);
            else if (form == NO_RUNS)
                no_runs(acc[j], p, a, n_steps);
            else
                any_runs(acc[j], p, a);
        }
        finish_codes(c, p->n, parameters, zero_point, acc);
    }
    if (i == call->n)
        return;
    nw_depthwise_call last = *call;
    last.a += (ptrdiff_t)i * call->a_step;
    last.c = (uint8_t *)call->c + (ptrdiff_t)i * call->c_step;
    last.n = 1;
    plain_pixels(&last, p, parameters, form, n_steps);
}

#define STEPS_3X3 5 /* nine taps in pairs */

static NW_NOINLINE void codes_3x3(const nw_depthwise_call *call, const panel *p, const nw_avx2_parameters *parameters)
{
    if (p->n_runs == 1)
        pixels_in_twos(call, p, parameters, ONE_RUN, STEPS_3X3);
    else
        pixels_in_twos(call, p, parameters, NO_RUNS, STEPS_3X3);
}

static NW_NOINLINE void codes_any(const nw_depthwise_call *call, const panel *p, const nw_avx2_parameters *parameters)
{
    if (p->n_runs == 1)
        pixels_in_twos(call, p, parameters, ONE_RUN, p->n_steps);
    else if (2 * p->n_runs > p->n_steps)
        pixels_in_twos(call, p, parameters, NO_RUNS, p->n_steps);
    else
        pixels_in_twos(call, p, parameters, ANY_RUNS, p->n_steps);
}

static NW_NOINLINE void plain_3x3(const nw_depthwise_call *call, const panel *p, const nw_avx2_parameters *parameters)
{
    if (p->n_runs == 1)
        plain_pixels(call, p, parameters, ONE_RUN, STEPS_3X3);
    else
        plain_pixels(call, p, parameters, NO_RUNS, STEPS_3X3);
}

static NW_NOINLINE void plain_any(const nw_depthwise_call *call, const panel *p, const nw_avx2_parameters *parameters)
{
    if (p->n_runs == 1)
        plain_pixels(call, p, parameters, ONE_RUN, p->n_steps);
    else if (2 * p->n_runs > p->n_steps)
        plain_pixels(call, p, parameters, NO_RUNS, p->n_steps);
    else
        plain_pixels(call, p, parameters, ANY_RUNS, p->n_steps);
}

static void any_pixels(const nw_depthwise_call *call, const panel *p, const nw_avx2_parameters *parameters)
{
    for (int32_t i = 0; i < call->n; i++) {
        __m256i acc[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                          _mm256_setzero_si256()};
        any_runs(acc, p, call->a + (ptrdiff_t)i * call->a_step + p->channel);
        finish_any(call, p->channel, p->n, parameters, acc, i);
    }
}

size_t nw_depthwise_pack_avx2(void *packed, const nw_depthwise_source *source)
{
    nw_avx2_depthwise header = {.pairs = NW_ALIGNMENT, .shape = nw_avx2_3x3_shape(source)};
    uint8_t *base = packed;
    size_t size = NW_ALIGNMENT + nw_pairs_pack(base ? base + header.pairs : NULL, source, 2, 2);
    header.vectors = (int64_t)nw_align(size, NW_ALIGNMENT);
    if (header.shape.column)
        size = (size_t)header.vectors + nw_avx2_3x3_pack(base ? base + header.vectors : NULL, source);
    if (packed)
        memcpy(packed, &header, sizeof(header));
    return size;
}

void nw_depthwise_count_runs_avx2(nw_run_counts *counts, const void *packed)
{
    const nw_avx2_depthwise *header = packed;
    nw_pairs_count_runs(counts, (const uint8_t *)packed + header->pairs);
}

/*
 * Whether columns of 8 channels, 4 pixels at a time, take fewer cycles for a row than steps of 32: measured figures, of
 * speed alone.
 */
static bool prefers_columns(const nw_pairs_header *header, const nw_pairs_panel *panels, int32_t n)
{
    const int32_t groups = (header->n_channels + NW_AVX2_3X3_CHANNELS - 1) / NW_AVX2_3X3_CHANNELS;
    int64_t steps = 0;
    for (int32_t i = 0; i < header->n_panels; i++)
        steps += panels[i].n_runs == 1 ? 30 : 10 + 6 * panels[i].n_steps;
    return 12 * (int64_t)groups * nw_round_up(n, NW_AVX2_3X3_PIXELS) < steps * n;
}

void nw_depthwise_run_avx2(const nw_depthwise_call *call)
{
    const nw_avx2_depthwise *whole = call->packed;
    const uint8_t *base = (const uint8_t *)call->packed + whole->pairs;
    const nw_pairs_header *header = (const nw_pairs_header *)(const void *)base;
    const nw_pairs_panel *panels = nw_pairs_panels(base);
    const nw_requant *requant = call->requant;
    const bool plain = !requant->residual_multiplier && !requant->wrap16 && !requant->float_output;
    assert(call->n >= 1 && requant->n_extra == 0);
    if (nw_avx2_3x3_can_run(&whole->shape, call) && prefers_columns(header, panels, call->n)) {
        nw_avx2_3x3_run(call, &whole->shape, (const uint8_t *)call->packed + whole->vectors);
        return;
    }
    for (int32_t i = 0; i < header->n_panels; i++) {
        const panel p = {.runs = (const int32_t *)(const void *)(base + panels[i].runs),
                         .offsets = (const int32_t *)(const void *)(base + panels[i].offsets),
                         .weights = (const __m256i *)(const void *)(base + panels[i].weights),
                         .n_runs = panels[i].n_runs,
                         .n_steps = panels[i].n_steps,
                         .channel = panels[i].channel,
                         .n = nw_min32(header->n_channels - panels[i].channel, NR)};
        nw_avx2_parameters parameters;
        parameters_load(&parameters, requant, p.channel);
        if (plain && requant->lo_code && p.n_steps == STEPS_3X3)
            codes_3x3(call, &p, &parameters);
        else if (plain && requant->lo_code)
            codes_any(call, &p, &parameters);
        else if (plain && p.n_steps == STEPS_3X3)
            plain_3x3(call, &p, &parameters);
        else if (plain)
            plain_any(call, &p, &parameters);
        else
            any_pixels(call, &p, &parameters);
    }
}
