/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes share a pair, and which pairs a run: the choice of units (avx2.h) for gemm_pack.c.
 *
 * vpmaddubsw adds neighbouring products, and on real 8-bit weights about half of the steps of 4 bytes as they lie hold
 * a pair that can exceed 16 bits in one of the panel's 16 channels, though few single pairs do. Among 16 bytes there is
 * nearly always a way to pair them that is safe in all channels, mostly even one in which four bytes may be summed in
 * 16 bits: large weights meet small ones, or those of the other sign.
 *
 * Bytes are parted into groups of four, then what is left into groups of two, by local search: exchange two bytes of
 * two groups while that makes more groups fit. Ranges are kept in units of 8, rounded outward, in 16-bit lanes, one per
 * channel; and never on the wrong side of 0, so that every part of a group that fits also fits. Both only make the test
 * stricter than the exact one of kernels/runs.h.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "kernels/avx2/avx2.h"

#define BYTES NW_AVX2_UNIT_BYTES
#define MAX_SWAPS 24
#define UNFIT 65536 /* what one group that does not fit counts, however little it exceeds */

typedef struct range {
    __m256i high, low; /* [channel], in units of 8 */
} range;

/* Bytes in groups of one size: group g is members[g * size .. g * size + size). */
typedef struct parts {
    int32_t size, n_groups;
    int8_t members[BYTES]; /* byte, -1: none */
    range total[BYTES];
    int32_t excess[BYTES]; /* 0: fits */
} parts;

typedef struct search {
    range bytes[BYTES + 1]; /* the last one: no byte */
    parts parts;
} search;

static NW_INLINE __m256i eighth_up(__m256i a, __m256i b)
{
    const __m256i seven = _mm256_set1_epi32(7);
    const __m256i low = _mm256_srai_epi32(_mm256_add_epi32(a, seven), 3);
    const __m256i high = _mm256_srai_epi32(_mm256_add_epi32(b, seven), 3);
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
}

/* Products of 16 weights with one code, in eighths rounded up. */
static NW_INLINE __m256i products(__m256i w, int32_t code)
{
    const __m256i x = _mm256_set1_epi16((int16_t)code);
    const __m256i low = _mm256_mullo_epi16(w, x); /* |w x| <= 127 * 255 < 2^15 */
    return eighth_up(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(low)),
                     _mm256_cvtepi16_epi32(_mm256_extracti128_si256(low, 1)));
}

static range range_of(const int8_t weights[NW_AVX2_NR], int32_t hi)
{
    const __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)weights));
    const __m256i zero = _mm256_setzero_si256();
    const __m256i down = products(_mm256_sub_epi16(zero, _mm256_min_epi16(w, zero)), hi);
    return (range){products(_mm256_max_epi16(w, zero), hi), _mm256_sub_epi16(zero, down)};
}

static NW_INLINE range sum(range a, range b)
{
    return (range){_mm256_add_epi16(a.high, b.high), _mm256_add_epi16(a.low, b.low)};
}

static NW_INLINE range without(range a, range b)
{
    return (range){_mm256_sub_epi16(a.high, b.high), _mm256_sub_epi16(a.low, b.low)};
}

/* 0 if every channel fits 16 bits, else UNFIT and something that grows with what is too much. */
static NW_INLINE int32_t excess_of(range r)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i above = _mm256_sub_epi16(r.high, _mm256_set1_epi16(INT16_MAX / 8));
    const __m256i below = _mm256_sub_epi16(_mm256_set1_epi16(INT16_MIN / 8), r.low);
    const __m256i excess = _mm256_max_epi16(_mm256_max_epi16(above, below), zero);
    if (_mm256_testz_si256(excess, excess))
        return 0;
    const __m256i sums = _mm256_madd_epi16(excess, _mm256_set1_epi16(1));
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return UNFIT + nw_min32(_mm_cvtsi128_si32(s), UNFIT - 1);
}

static NW_INLINE range member_range(const search *s, int32_t place)
{
    const int8_t byte = s->parts.members[place];
    return s->bytes[byte < 0 ? BYTES : byte];
}

static void refresh(search *s, int32_t group)
{
    parts *p = &s->parts;
    range total = member_range(s, group * p->size);
    for (int32_t i = 1; i < p->size; i++)
        total = sum(total, member_range(s, group * p->size + i));
    p->total[group] = total;
    p->excess[group] = excess_of(total);
}

/* The exchange between `group` and another one that helps most, as places; false if none helps. */
static bool best_swap(const search *s, int32_t group, int32_t swap[2])
{
    const parts *p = &s->parts;
    int32_t best = 0;
    for (int32_t other = 0; other < p->n_groups; other++) {
        const int32_t now = p->excess[group] + p->excess[other];
        if (other == group || now <= best) /* nothing can gain more than all there is */
            continue;
        for (int32_t i = group * p->size; i < (group + 1) * p->size; i++) {
            const range without_i = without(p->total[group], member_range(s, i));
            const range with_i = sum(p->total[other], member_range(s, i));
            for (int32_t j = other * p->size; j < (other + 1) * p->size; j++) {
                const range out = member_range(s, j);
                int32_t gain = now - excess_of(sum(without_i, out));
                if (gain > best) /* most exchanges are no better in their first group already */
                    gain -= excess_of(without(with_i, out));
                if (gain <= best)
                    continue;
                best = gain;
                swap[0] = i;
                swap[1] = j;
            }
        }
    }
    return best > 0;
}

/* Exchanges members until every group fits or nothing helps. */
static void improve(search *s)
{
    parts *p = &s->parts;
    bool stuck[BYTES] = {false};
    for (int32_t g = 0; g < p->n_groups; g++)
        refresh(s, g);
    for (int32_t n = 0; n < MAX_SWAPS;) {
        int32_t worst = -1;
        int32_t swap[2];
        for (int32_t g = 0; g < p->n_groups; g++)
            if (p->excess[g] && !stuck[g] && (worst < 0 || p->excess[g] < p->excess[worst]))
                worst = g; /* the one that is nearest to fitting */
        if (worst < 0)
            return;
        if (!best_swap(s, worst, swap)) {
            stuck[worst] = true;
            continue;
        }
        const int8_t byte = p->members[swap[0]];
        p->members[swap[0]] = p->members[swap[1]];
        p->members[swap[1]] = byte;
        refresh(s, swap[0] / p->size);
        refresh(s, swap[1] / p->size);
        memset(stuck, 0, sizeof(stuck));
        n++;
    }
}

/* Deals n bytes, heaviest last in `from`, to groups of `size`: light and heavy ones together. */
static void part(search *s, const int8_t *from, int32_t n, int32_t size)
{
    parts *p = &s->parts;
    p->size = size;
    p->n_groups = (n + size - 1) / size;
    memset(p->members, -1, sizeof(p->members));
    for (int32_t i = 0; i < n; i++) {
        const int32_t round = i / p->n_groups;
        const int32_t g = i % p->n_groups;
        p->members[(round % 2 ? p->n_groups - 1 - g : g) * size + round] = from[i];
    }
    improve(s);
}

static int32_t count_unfit(const parts *p)
{
    int32_t n = 0;
    for (int32_t g = 0; g < p->n_groups; g++)
        n += p->excess[g] != 0;
    return n;
}

/*
 * Groups of four, several times from other places to start while one more that fits would make another unit of two
 * steps; keeps the best.
 */
static void part_quads(search *s, const int8_t *from, int32_t n)
{
    static const int32_t strides[] = {3, 5, 7, 11}; /* primes: a permutation unless n is a multiple */
    int8_t turned[BYTES];
    part(s, from, n, 4);
    for (size_t t = 0; t < NW_COUNT(strides); t++) {
        const parts best = s->parts;
        const int32_t unfit = count_unfit(&best);
        if (unfit == 0 || (unfit == 2 && best.n_groups == 4))
            return;
        if (n % strides[t] == 0)
            continue;
        for (int32_t i = 0; i < n; i++)
            turned[i] = from[i * strides[t] % n];
        part(s, turned, n, 4);
        if (count_unfit(&s->parts) >= unfit)
            s->parts = best;
    }
}

/* Bytes that have weights, by their largest one. Returns how many. */
static int32_t sort_bytes(int8_t order[BYTES], const nw_avx2_bytes *bytes)
{
    int32_t weight[BYTES];
    int32_t n = 0;
    for (int32_t b = 0; b < bytes->n; b++) {
        int32_t largest = 0;
        for (int32_t c = 0; c < NW_AVX2_NR; c++)
            largest = nw_max32(largest, bytes->weights[b][c] < 0 ? -bytes->weights[b][c] : bytes->weights[b][c]);
        if (!largest)
            continue;
        int32_t at = n++;
        for (; at > 0 && weight[at - 1] > largest * bytes->hi[b]; at--) {
            weight[at] = weight[at - 1];
            order[at] = order[at - 1];
        }
        weight[at] = largest * bytes->hi[b];
        order[at] = (int8_t)b;
    }
    return n;
}

static int32_t unit_of_quads(nw_avx2_unit *unit, const int8_t *a, const int8_t *b)
{
    unit->n_steps = 2;
    for (int32_t i = 0; i < 2; i++) {
        const int8_t take[NW_AVX2_KR] = {a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]};
        memcpy(unit->take[i], take, sizeof(take));
    }
    return 1;
}

/* All 16 bytes as one run, if there are two eights that fit. */
static bool unit_of_eights(nw_avx2_unit *unit, const parts *quads)
{
    for (int32_t partner = 1; partner < 4; partner++) {
        const int32_t other[2] = {partner == 1 ? 2 : 1, partner == 3 ? 2 : 3};
        if (excess_of(sum(quads->total[0], quads->total[partner])) ||
            excess_of(sum(quads->total[other[0]], quads->total[other[1]])))
            continue;
        nw_avx2_unit half[2];
        unit_of_quads(&half[0], &quads->members[0], &quads->members[4 * other[0]]);
        unit_of_quads(&half[1], &quads->members[4 * partner], &quads->members[4 * other[1]]);
        unit->n_steps = 4;
        memcpy(unit->take[0], half[0].take, 2 * NW_AVX2_KR);
        memcpy(unit->take[2], half[1].take, 2 * NW_AVX2_KR);
        return true;
    }
    return false;
}

/* Units of two steps out of the groups of four that fit; what is left goes to `rest`. Returns the number of units. */
static int32_t take_quads(nw_avx2_unit *units, const search *s, int8_t rest[BYTES], int32_t *n_rest)
{
    const parts *p = &s->parts;
    int32_t n = 0;
    int32_t waiting = -1;
    bool used[BYTES] = {false};
    for (int32_t g = 0; g < p->n_groups; g++) {
        if (p->excess[g])
            continue;
        if (waiting >= 0) {
            n += unit_of_quads(&units[n], &p->members[4 * waiting], &p->members[4 * g]);
            used[waiting] = used[g] = true;
            waiting = -1;
        } else {
            waiting = g;
        }
    }
    *n_rest = 0;
    for (int32_t g = 0; g < p->n_groups; g++)
        for (int32_t i = 0; i < 4 && !used[g]; i++)
            if (p->members[4 * g + i] >= 0)
                rest[(*n_rest)++] = p->members[4 * g + i];
    return n;
}

/* Units of one step: pairs that fit, and single bytes of those that do not. */
static int32_t take_pairs(nw_avx2_unit *units, const search *s)
{
    const parts *p = &s->parts;
    int32_t n_pairs = 0;
    memset(units, -1, NW_AVX2_MAX_UNITS * sizeof(*units));
    for (int32_t g = 0; g < p->n_groups; g++) {
        const int8_t *pair = &p->members[2 * g];
        for (int32_t i = 0; i < 2; i++) {
            if (i && !p->excess[g])
                continue;
            int8_t *take = &units[n_pairs / 2].take[0][n_pairs % 2 * 2];
            if (p->excess[g]) {
                take[0] = pair[i];
            } else {
                take[0] = pair[0];
                take[1] = pair[1];
            }
            units[n_pairs / 2].n_steps = 1;
            n_pairs++;
        }
    }
    return (n_pairs + 1) / 2;
}

int32_t nw_avx2_choose_units(nw_avx2_unit units[NW_AVX2_MAX_UNITS], const nw_avx2_bytes *bytes)
{
    search s;
    int8_t order[BYTES];
    int8_t rest[BYTES];
    int32_t n = sort_bytes(order, bytes);
    int32_t n_units = 0;
    for (int32_t b = 0; b < BYTES; b++)
        s.bytes[b] = range_of(bytes->weights[b], b < bytes->n ? bytes->hi[b] : 0);
    s.bytes[BYTES] = (range){_mm256_setzero_si256(), _mm256_setzero_si256()};
    if (n > NW_AVX2_KR) {
        const int32_t n_quads = n > 12 ? n : nw_min32(n, 8); /* a third group would have no partner */
        part_quads(&s, order, n_quads);
        if (n == BYTES && !s.parts.excess[0] && !s.parts.excess[1] && !s.parts.excess[2] && !s.parts.excess[3] &&
            unit_of_eights(units, &s.parts))
            return 1;
        int32_t n_rest;
        n_units = take_quads(units, &s, rest, &n_rest);
        memcpy(rest + n_rest, order + n_quads, (size_t)(n - n_quads));
        n = n_rest + n - n_quads;
    } else {
        memcpy(rest, order, sizeof(rest));
    }
    if (n > 0) {
        nw_avx2_unit pairs[NW_AVX2_MAX_UNITS];
        part(&s, rest, n, 2);
        const int32_t n_pairs = take_pairs(pairs, &s);
        memcpy(units + n_units, pairs, (size_t)n_pairs * sizeof(*pairs));
        n_units += n_pairs;
    }
    return n_units;
}
