/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See gemm_reader.h. A 16-bit lane is one channel and one pair of neighbouring k: channel c, k = 4 s + {0, 1} or {2, 3}
 * in step s.
 */
#include "kernels/avx2/gemm_reader.h"

#include <immintrin.h>
#include <string.h>

#include "base/arith.h"

typedef nw_avx2_step step;
typedef nw_avx2_reader reader;
typedef nw_avx2_item item;

void nw_avx2_reader_init(reader *r, const nw_gemm_source *source, int32_t row, int32_t end_row, nw_avx2_form form)
{
    r->source = source;
    r->row = row;
    r->n_rows = nw_min32(end_row - row, NW_AVX2_NR);
    r->segment = 0;
    r->at = 0;
    r->form = form;
    r->pending = false;
}

/* Fills the weights of the step that starts at byte `at` of a segment; false if they are all zero. */
static bool gather(const reader *r, step *s)
{
    const nw_gemm_source *source = r->source;
    const nw_segment *segment = &source->segments[r->segment];
    const size_t n = (size_t)nw_min32(segment->length - r->at, NW_AVX2_KR);
    const int8_t *w = source->weights + (size_t)r->row * (size_t)source->k + (size_t)(segment->k + r->at);
    s->offset = segment->offset + r->at;
    memset(s->weights, 0, sizeof(s->weights));
    for (int32_t c = 0; c < r->n_rows; c++, w += source->k) {
        if (n == NW_AVX2_KR)
            memcpy(s->weights[c], w, NW_AVX2_KR);
        else
            memcpy(s->weights[c], w, n);
    }
    static const int8_t zero[STEP_SIZE];
    return memcmp(s->weights, zero, STEP_SIZE) != 0;
}

/* Four codes as words, four times over: the factors of a vector of weights. */
static __m256i repeat_codes(const uint8_t *codes, size_t n)
{
    uint16_t words[NW_AVX2_KR] = {0};
    int64_t all;
    for (size_t j = 0; j < n; j++)
        words[j] = codes[j];
    memcpy(&all, words, sizeof(all));
    return _mm256_set1_epi64x(all);
}

/* The range of every lane; lane 2 c + pair. */
static void bound(const reader *r, const step *s, nw_ranges *range)
{
    const nw_segment *segment = &r->source->segments[r->segment];
    const size_t n = (size_t)nw_min32(segment->length - r->at, NW_AVX2_KR);
    const __m256i lo = repeat_codes(r->source->x_lo + segment->k + r->at, n);
    const __m256i hi = repeat_codes(r->source->x_hi + segment->k + r->at, n);
    const __m256i zero = _mm256_setzero_si256();
    for (int32_t v = 0; v < N_LANES / 8; v++) {
        const __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)s->weights[4 * v]));
        const __m256i positive = _mm256_max_epi16(w, zero);
        const __m256i negative = _mm256_min_epi16(w, zero);
        const __m256i high = _mm256_add_epi32(_mm256_madd_epi16(positive, hi), _mm256_madd_epi16(negative, lo));
        const __m256i low = _mm256_add_epi32(_mm256_madd_epi16(positive, lo), _mm256_madd_epi16(negative, hi));
        _mm256_storeu_si256((__m256i *)(void *)(range->high + 8 * v), high);
        _mm256_storeu_si256((__m256i *)(void *)(range->low + 8 * v), low);
    }
}

/* s = s + second, halves of the lanes that fail: |w| <= 64 there, and 2 * 64 * 255 = 32640 fits. */
static void halve(step *s, const nw_ranges *range, step *second)
{
    second->offset = s->offset;
    for (int32_t c = 0; c < NW_AVX2_NR; c++)
        for (int32_t j = 0; j < NW_AVX2_KR; j++) {
            const int32_t lane = 2 * c + j / 2;
            const bool failed = range->high[lane] > INT16_MAX || range->low[lane] < INT16_MIN;
            const int8_t half = (int8_t)(failed ? s->weights[c][j] / 2 : 0);
            second->weights[c][j] = half;
            s->weights[c][j] = (int8_t)(s->weights[c][j] - half);
        }
}

static void advance(reader *r, int32_t n)
{
    r->at += n;
    if (r->at >= r->source->segments[r->segment].length) {
        r->segment++;
        r->at = 0;
    }
}

/* Whether the 16 bytes from here on become units: always, or if one of their steps holds a pair that does not fit. */
static bool in_units(const reader *r)
{
    reader ahead = *r;
    const int32_t end = nw_min32(r->at + NW_AVX2_UNIT_BYTES, r->source->segments[r->segment].length);
    step s;
    nw_ranges range;
    if (r->form != NW_AVX2_MIXED)
        return r->form == NW_AVX2_UNITS;
    for (; ahead.at < end; ahead.at += NW_AVX2_KR) {
        if (!gather(&ahead, &s))
            continue;
        bound(&ahead, &s, &range);
        if (!nw_ranges_fit(&range, N_LANES))
            return true;
    }
    return false;
}

/* Hands out the next 16 bytes of the segment for units. */
static item take_units(reader *r)
{
    const nw_gemm_source *source = r->source;
    const nw_segment *segment = &source->segments[r->segment];
    const int32_t k = segment->k + r->at;
    nw_avx2_bytes *bytes = &r->units;
    memset(bytes, 0, sizeof(*bytes));
    bytes->n = nw_min32(segment->length - r->at, NW_AVX2_UNIT_BYTES);
    r->units_offset = segment->offset + r->at;
    memcpy(bytes->hi, source->x_hi + k, (size_t)bytes->n);
    for (int32_t c = 0; c < r->n_rows; c++)
        for (int32_t b = 0; b < bytes->n; b++)
            bytes->weights[b][c] = source->weights[(size_t)(r->row + c) * (size_t)source->k + (size_t)(k + b)];
    advance(r, NW_AVX2_UNIT_BYTES);
    return NW_AVX2_ITEM_UNITS;
}

item nw_avx2_reader_next(reader *r, step *s, nw_ranges *range, bool *fits)
{
    *fits = true;
    if (r->pending) {
        *s = r->second;
        *range = r->second_range;
        r->pending = false;
        return NW_AVX2_ITEM_STEP;
    }
    while (r->segment < r->source->n_segments) {
        if (r->at % NW_AVX2_UNIT_BYTES == 0 && in_units(r))
            return take_units(r);
        if (!gather(r, s)) {
            advance(r, NW_AVX2_KR);
            continue;
        }
        bound(r, s, range);
        *fits = nw_ranges_fit(range, N_LANES);
        if (!*fits && r->form == NW_AVX2_SPLIT) {
            halve(s, range, &r->second);
            bound(r, s, range);
            bound(r, &r->second, &r->second_range);
            r->pending = true;
            *fits = true;
        }
        advance(r, NW_AVX2_KR);
        return NW_AVX2_ITEM_STEP;
    }
    return NW_AVX2_ITEM_END;
}
