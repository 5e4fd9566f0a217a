/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs a matrix for gemm.c and proves on the way that 16 bits are enough: the certificate of a run is made here, from
 * the real weights and the limits of the codes, panel by panel.
 *
 * A 16-bit lane is one channel and one pair of neighbouring k: channel c, k = 4 s + {0, 1} or {2, 3} in step s. With
 * codes x in [lo, hi], lo >= 0, the pair's sum of products lies in [low, high],
 *
 *     high = sum_j (w_j > 0 ? w_j * hi_j : w_j * lo_j)        low = sum_j (w_j > 0 ? w_j * lo_j : w_j * hi_j)
 *
 * 1. pair test: vpmaddubsw forms the exact sum of two products and saturates it: exact if high <= 32767 and
 *    low >= -32768. Steps that fail in any lane are widened (32-bit products): 1.35 times the cost of a step with int32
 *    sums. Splitting it into two with w = w1 + w2, which NW_AVX2_SPLIT keeps for comparison, costs two such steps, or
 *    two places in runs, which is no less.
 * 2. run test: vpaddw adds modulo 2^16. The sum of a run is exact if the *total* over its steps satisfies the same two
 *    bounds; what happens at its prefixes cannot be seen. The totals are bounded by the sums of `high` and of `low`.
 *
 * All lanes of a panel end their runs together, so a run is a set of steps under 64 linear bounds. In the order of k
 * and with lo = 0 (high >= 0 >= low) the greedy choice, always the longest run, gives the fewest: any part of a run
 * that fits also fits, so if some partition's i-th run ends at step e, greedy's i-th run ends at e or later (induction
 * on i). Steps are independent, so runs may also pick among the next `window` steps (first fit), which makes them
 * longer than any partition in order can: 3.1 steps become 4.5 on real 7-bit weights with 8-bit codes, 8.3 become 10.5
 * with 7-bit codes; 64 steps of window are where it levels off.
 *
 * pack() needs no memory of its own: a first pass counts the runs of each length, a second one, with the same choices,
 * writes each run to its place.
 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "kernels/avx2/avx2.h"

#define N_LANES (NW_AVX2_NR * 2)
#define STEP_SIZE (NW_AVX2_NR * NW_AVX2_KR)

/* Ranges of the lanes of a step or a run, [low, high]; lane 2 c + pair. Vector v holds lanes 8 v .. 8 v + 7. */
typedef struct ranges {
    __m256i high[N_LANES / 8], low[N_LANES / 8];
} ranges;

typedef struct step {
    int32_t offset;
    int8_t weights[NW_AVX2_NR][NW_AVX2_KR];
    ranges range;
} step;

/* The steps of a panel, one after the other. */
typedef struct reader {
    const nw_gemm_source *source;
    int32_t row, n_rows; /* of the panel */
    int32_t segment, at; /* next step */
    bool split;
    bool pending; /* `second` is the other half of the step handed out before */
    step second;
} reader;

static void reader_init(reader *r, const nw_gemm_source *source, int32_t row, int32_t end_row, bool split)
{
    r->source = source;
    r->row = row;
    r->n_rows = nw_min32(end_row - row, NW_AVX2_NR);
    r->segment = 0;
    r->at = 0;
    r->split = split;
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

/* The range of every lane. */
static void bound(const reader *r, step *s)
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
        s->range.high[v] = _mm256_add_epi32(_mm256_madd_epi16(positive, hi), _mm256_madd_epi16(negative, lo));
        s->range.low[v] = _mm256_add_epi32(_mm256_madd_epi16(positive, lo), _mm256_madd_epi16(negative, hi));
    }
}

/* Lanes of vector v that 16 bits cannot hold: all ones there. */
static __m256i overflow(const ranges *range, int32_t v)
{
    const __m256i above = _mm256_cmpgt_epi32(range->high[v], _mm256_set1_epi32(INT16_MAX));
    const __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(INT16_MIN), range->low[v]);
    return _mm256_or_si256(above, below);
}

static bool fits16(const ranges *range)
{
    __m256i any = overflow(range, 0);
    for (int32_t v = 1; v < N_LANES / 8; v++)
        any = _mm256_or_si256(any, overflow(range, v));
    return _mm256_testz_si256(any, any);
}

/* s = s + second, halves of the lanes that fail: |w| <= 64 there, and 2 * 64 * 255 = 32640 fits. */
static void halve(step *s, step *second)
{
    second->offset = s->offset;
    memset(second->weights, 0, sizeof(second->weights));
    for (int32_t v = 0; v < N_LANES / 8; v++) {
        const int32_t failed = _mm256_movemask_ps(_mm256_castsi256_ps(overflow(&s->range, v)));
        for (int32_t i = 0; i < 16; i++) {
            int8_t *w = &s->weights[4 * v][0] + i;
            const int8_t half = (int8_t)(failed >> (i / 2) & 1 ? *w / 2 : 0);
            (&second->weights[4 * v][0])[i] = half;
            *w = (int8_t)(*w - half);
        }
    }
}

static void advance(reader *r)
{
    r->at += NW_AVX2_KR;
    if (r->at >= r->source->segments[r->segment].length) {
        r->segment++;
        r->at = 0;
    }
}

/* The next step that holds a weight. *fits: it passes the pair test, always after splitting. False at the end. */
static bool reader_next(reader *r, step *s, bool *fits)
{
    *fits = true;
    if (r->pending) {
        *s = r->second;
        r->pending = false;
        return true;
    }
    for (; r->segment < r->source->n_segments; advance(r)) {
        if (!gather(r, s))
            continue;
        bound(r, s);
        *fits = fits16(&s->range);
        if (!*fits && r->split) {
            halve(s, &r->second);
            bound(r, s);
            bound(r, &r->second);
            r->pending = true;
            *fits = true;
        }
        advance(r);
        return true;
    }
    return false;
}

/* Where the steps of a panel go. In the counting pass `base` is NULL. */
typedef struct writer {
    int32_t *offsets;
    int8_t *weights;
    int32_t n_runs[NW_AVX2_MAX_RUN + 1]; /* of each length */
    int32_t at[NW_AVX2_MAX_RUN + 1];     /* second pass: step where the next run of a length goes */
    int32_t n_steps, n_wide;             /* n_steps: those in runs */
    int32_t wide_at;
} writer;


static void write_wide(writer *w, const step *s)
{
    int16_t wide[2][NW_AVX2_NR][2];
    for (int32_t c = 0; c < NW_AVX2_NR; c++)
        for (int32_t j = 0; j < NW_AVX2_KR; j++)
            wide[j % 2][c][j / 2] = s->weights[c][j];
    w->offsets[w->n_steps + w->wide_at] = s->offset;
    memcpy(w->weights + (size_t)w->n_steps * STEP_SIZE + (size_t)w->wide_at * sizeof(wide), wide, sizeof(wide));
    w->wide_at++;
}

/* What is left of a step once it has found its run. */
typedef struct placed_step {
    int32_t offset;
    int8_t weights[STEP_SIZE];
} placed_step;

/* Steps that wait for a run, in the order of k. */
typedef struct waiting {
    step steps[NW_AVX2_WINDOW];
    int32_t order[NW_AVX2_WINDOW]; /* indices into steps; the first n wait, the others are free */
    int32_t n;
} waiting;

static void waiting_init(waiting *q)
{
    q->n = 0;
    for (int32_t i = 0; i < NW_AVX2_WINDOW; i++)
        q->order[i] = i;
}

static void waiting_remove(waiting *q, int32_t place)
{
    const int32_t index = q->order[place];
    q->n--;
    memmove(q->order + place, q->order + place + 1, (size_t)(q->n - place) * sizeof(*q->order));
    q->order[q->n] = index;
}

/* Reads until `window` steps wait or the panel ends; steps that do not fit a pair are counted or written at once. */
static void refill(waiting *q, reader *r, writer *w, bool writing, const nw_avx2_mode *mode)
{
    bool fits;
    while (q->n < mode->window) {
        step *s = &q->steps[q->order[q->n]];
        if (!reader_next(r, s, &fits))
            return;
        if (fits && mode->form != NW_AVX2_WIDE)
            q->n++;
        else if (writing)
            write_wide(w, s);
        else
            w->n_wide++;
    }
}

/* Adds a step to a run's totals if they stay within 16 bits. */
static bool joins(ranges *total, const step *s)
{
    ranges sum;
    for (int32_t v = 0; v < N_LANES / 8; v++) {
        sum.high[v] = _mm256_add_epi32(total->high[v], s->range.high[v]);
        sum.low[v] = _mm256_add_epi32(total->low[v], s->range.low[v]);
    }
    if (!fits16(&sum))
        return false;
    *total = sum;
    return true;
}

/* Takes the steps of one run out of the queue; their indices into q->steps stay valid until the next refill. */
static int32_t choose_run(waiting *q, ranges *total, int32_t room, int32_t *chosen)
{
    int32_t n = 0;
    for (int32_t place = 0; place < q->n && n < room;) {
        const int32_t index = q->order[place];
        if (joins(total, &q->steps[index])) {
            chosen[n++] = index;
            waiting_remove(q, place);
        } else {
            place++;
        }
    }
    return n;
}

/* One pass over a panel: forms the runs and counts them, or writes them to the places the counts gave. */
static void form_runs(reader *r, writer *w, bool writing, const nw_avx2_mode *mode)
{
    waiting q;
    placed_step run[NW_AVX2_MAX_RUN];
    int32_t chosen[NW_AVX2_WINDOW];
    waiting_init(&q);
    for (;;) {
        ranges total = {0};
        int32_t length = 0;
        int32_t n;
        do {
            refill(&q, r, w, writing, mode);
            n = choose_run(&q, &total, mode->max_run - length, chosen);
            for (int32_t i = 0; writing && i < n; i++) {
                run[length + i].offset = q.steps[chosen[i]].offset;
                memcpy(run[length + i].weights, q.steps[chosen[i]].weights, STEP_SIZE);
            }
            length += n;
        } while (n > 0 && length < mode->max_run);
        if (length == 0)
            return;
        w->n_runs[length]++;
        for (int32_t i = 0; writing && i < length; i++) {
            w->offsets[w->at[length] + i] = run[i].offset;
            memcpy(w->weights + (size_t)(w->at[length] + i) * STEP_SIZE, run[i].weights, STEP_SIZE);
        }
        w->at[length] += length;
    }
}

/* Counts the runs of a panel arranged by `mode`. */
static void count_panel(writer *w, const nw_gemm_source *source, int32_t row, int32_t end_row, const nw_avx2_mode *mode)
{
    reader r;
    memset(w, 0, sizeof(*w));
    reader_init(&r, source, row, end_row, mode->form == NW_AVX2_SPLIT);
    form_runs(&r, w, false, mode);
    for (int32_t length = NW_AVX2_MAX_RUN; length > 0; length--) { /* long runs first */
        w->at[length] = w->n_steps;
        w->n_steps += w->n_runs[length] * length;
    }
}

static int32_t count_groups(const writer *w)
{
    int32_t n = 0;
    for (int32_t length = NW_AVX2_SHORT + 1; length <= NW_AVX2_MAX_RUN; length++)
        n += w->n_runs[length] > 0;
    return n;
}

/* Lays out one panel at byte `size` of the packed matrix, writes it if there is memory, returns the byte behind it. */
static size_t pack_panel(void *packed, size_t size, nw_avx2_panel *panel, nw_avx2_gemm *totals,
                         const nw_gemm_source *source, int32_t row, int32_t end_row, const nw_avx2_mode *mode)
{
    writer w;
    count_panel(&w, source, row, end_row, mode);
    nw_avx2_group *groups = packed ? (nw_avx2_group *)(void *)((uint8_t *)packed + size) : NULL;
    panel->groups = (int64_t)size;
    panel->n_groups = count_groups(&w);
    panel->n_wide = w.n_wide;
    memcpy(panel->n_short, w.n_runs, sizeof(panel->n_short));
    size += (size_t)panel->n_groups * sizeof(nw_avx2_group);
    panel->offsets = (int64_t)size;
    size = nw_align(size + (size_t)(w.n_steps + w.n_wide) * sizeof(int32_t), 32);
    panel->weights = (int64_t)size;
    size += ((size_t)w.n_steps + 2u * (size_t)w.n_wide) * STEP_SIZE;
    totals->n_steps += w.n_steps;
    totals->n_wide += w.n_wide;
    for (int32_t length = NW_AVX2_MAX_RUN; length > 0; length--) {
        totals->n_runs += w.n_runs[length];
        if (groups && length > NW_AVX2_SHORT && w.n_runs[length])
            *groups++ = (nw_avx2_group){length, w.n_runs[length]};
    }
    if (packed) {
        reader r;
        w.offsets = (int32_t *)(void *)((uint8_t *)packed + panel->offsets);
        w.weights = (int8_t *)packed + panel->weights;
        reader_init(&r, source, row, end_row, mode->form == NW_AVX2_SPLIT);
        form_runs(&r, &w, true, mode);
    }
    return size;
}

size_t nw_gemm_pack_avx2_mode(void *packed, const nw_gemm_source *source, const nw_avx2_mode *mode)
{
    assert(mode->max_run >= 1 && mode->max_run <= NW_AVX2_MAX_RUN);
    assert(mode->window >= 1 && mode->window <= NW_AVX2_WINDOW);
    nw_avx2_gemm header = {.n_channels = source->n_channels, .n_extra = source->n_rows - source->n_channels};
    header.n_panels = nw_round_up(header.n_channels, NW_AVX2_NR) / NW_AVX2_NR;
    header.n_extra_panels = nw_round_up(header.n_extra, NW_AVX2_NR) / NW_AVX2_NR;
    const int32_t n_panels = header.n_panels + header.n_extra_panels;
    nw_avx2_panel *panels = packed ? (nw_avx2_panel *)(void *)((uint8_t *)packed + sizeof(header)) : NULL;
    size_t size = nw_align(sizeof(header) + (size_t)n_panels * sizeof(nw_avx2_panel), NW_ALIGNMENT);
    for (int32_t p = 0; p < n_panels; p++) {
        const bool extra = p >= header.n_panels;
        const int32_t row = extra ? header.n_channels + (p - header.n_panels) * NW_AVX2_NR : p * NW_AVX2_NR;
        nw_avx2_panel panel;
        size = pack_panel(packed, size, &panel, &header, source, row, extra ? source->n_rows : header.n_channels, mode);
        if (panels)
            panels[p] = panel;
    }
    if (packed)
        memcpy(packed, &header, sizeof(header));
    return size;
}

size_t nw_gemm_pack_avx2(void *packed, const nw_gemm_source *source)
{
    const nw_avx2_mode mode = {.form = NW_AVX2_WIDEN, .max_run = NW_AVX2_MAX_RUN, .window = NW_AVX2_WINDOW};
    return nw_gemm_pack_avx2_mode(packed, source, &mode);
}
