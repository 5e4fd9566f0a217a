/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution along one output row without VNNI. Reads what kernels/depthwise_pairs.c packed and proved
 * exact, with vectors of four lanes; depthwise_block.h says what a vector holds and finishes the sums.
 *
 * A step interleaves the bytes of two taps, so that vpmaddubsw multiplies and sums them per channel; sums of a run stay
 * in 16 bits; two runs are interleaved and folded into int32 by vpmaddwd, which leaves them in the interleaved order.
 *
 * Instructions on the vector ports for 64 outputs of a 3 x 3 kernel (counted): 10 shuffles + 10 products + 8 additions
 * + 12 to fold as one run, 10 + 10 + 36 with every step for itself, + 24 of the epilogue.
 */
#include <assert.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/depthwise_block.h"
#include "kernels/depthwise_pairs.h"

#define LANES 4

/*
 * The packed weights open with this. Eight channels are half of the codes of a lane here and fill the vectors of
 * avx2/depthwise_3x3.c, which takes 0.58 of the time (8 channels of 112 x 112 pixels, Zen 5): so few are left to that
 * family.
 */
typedef struct layout {
    int64_t avx2, pairs; /* bytes from the start to what the one or the other packed; 0: not that one */
} layout;

/* A block with its packed weights. */
typedef struct block {
    nw_block base;
    const int32_t *runs, *offsets;
    const int8_t *weights;
    int32_t n_runs;
} block;

/* The 16-bit sums of one run: vector h, lane l: channels 8 h .. 8 h + 7 of the l-th 16. */
typedef struct sums16 {
    __m512i half[2];
} sums16;

static NW_INLINE sums16 step_products(const block *b, int32_t s, const uint8_t *a, int q, bool together,
                                      const ptrdiff_t pixel[4])
{
    const __m512i x = block_load(a + b->offsets[2 * s], q, together, pixel);
    const __m512i y = block_load(a + b->offsets[2 * s + 1], q, together, pixel);
    const int8_t *w = b->weights + 128 * s;
    return (sums16){{_mm512_maddubs_epi16(_mm512_unpacklo_epi8(x, y), _mm512_loadu_si512(w)),
                     _mm512_maddubs_epi16(_mm512_unpackhi_epi8(x, y), _mm512_loadu_si512(w + 64))}};
}

/* The sums of run r, whose first step is *s; moves *s behind it. No run: zeros. */
static NW_INLINE sums16 run_sums(const block *b, int32_t r, int32_t *s, const uint8_t *a, int q, bool together,
                                 const ptrdiff_t pixel[4])
{
    sums16 sum = {{_mm512_setzero_si512(), _mm512_setzero_si512()}};
    if (r == b->n_runs)
        return sum;
    sum = step_products(b, (*s)++, a, q, together, pixel);
    for (int32_t left = b->runs[r] - 1; left > 0; left--) {
        const sums16 more = step_products(b, (*s)++, a, q, together, pixel);
        sum.half[0] = _mm512_add_epi16(sum.half[0], more.half[0]);
        sum.half[1] = _mm512_add_epi16(sum.half[1], more.half[1]);
    }
    return sum;
}

/* acc += first + second, widened. */
static NW_INLINE void fold(__m512i acc[4], sums16 first, sums16 second)
{
    const __m512i ones = _mm512_set1_epi16(1);
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const __m512i low = _mm512_unpacklo_epi16(first.half[h], second.half[h]);
        const __m512i high = _mm512_unpackhi_epi16(first.half[h], second.half[h]);
        acc[2 * h] = _mm512_add_epi32(acc[2 * h], _mm512_madd_epi16(low, ones));
        acc[2 * h + 1] = _mm512_add_epi32(acc[2 * h + 1], _mm512_madd_epi16(high, ones));
    }
}

/* All pixels of a block of 16 q channels; always called with constant q and together. */
static NW_INLINE void run_block(const block *b, int q, bool together)
{
    const nw_block_epilogue e = b->base.epilogue;
    const int32_t n = b->base.call->n;
    for (int32_t i = 0; i < n; i += LANES / q) {
        const int32_t count = nw_min32(LANES / q, n - i);
        ptrdiff_t pixel[4];
        const uint8_t *a = block_pixels(&b->base, i, count, pixel);
        __m512i acc[4] = {b->base.init[0], b->base.init[1], b->base.init[2], b->base.init[3]};
        int32_t s = 0;
        for (int32_t r = 0; r < b->n_runs; r += 2) {
            const sums16 first = run_sums(b, r, &s, a, q, together, pixel);
            fold(acc, first, run_sums(b, r + 1, &s, a, q, together, pixel));
        }
        block_finish(&b->base, &e, q, acc, i, count);
    }
}

static NW_NOINLINE void run_64(const block *b)
{
    run_block(b, 4, true);
}

static NW_NOINLINE void run_32(const block *b, bool together)
{
    if (together)
        run_block(b, 2, true);
    else
        run_block(b, 2, false);
}

static NW_NOINLINE void run_16(const block *b, bool together)
{
    if (together)
        run_block(b, 1, true);
    else
        run_block(b, 1, false);
}

size_t nw_depthwise_pack_avx512(void *packed, const nw_depthwise_source *source)
{
    const bool few = source->n_channels <= NW_AVX2_3X3_CHANNELS;
    const size_t start = nw_align(sizeof(layout), NW_ALIGNMENT);
    const layout header = {few ? (int64_t)start : 0, few ? 0 : (int64_t)start};
    uint8_t *base = packed;
    if (base)
        memcpy(base, &header, sizeof(header));
    void *weights = base ? base + start : NULL;
    return start + (few ? nw_depthwise_pack_avx2(weights, source) : nw_pairs_pack(weights, source, LANES, 1));
}

void nw_depthwise_count_runs_avx512(nw_run_counts *counts, const void *packed)
{
    const layout *header = packed;
    const uint8_t *base = packed;
    if (header->avx2)
        nw_depthwise_count_runs_avx2(counts, base + header->avx2);
    else
        nw_pairs_count_runs(counts, base + header->pairs);
}

void nw_depthwise_run_avx512(const nw_depthwise_call *call)
{
    const layout *whole = call->packed;
    assert(call->n >= 1 && call->requant->n_extra == 0);
    if (whole->avx2) {
        nw_depthwise_call few = *call;
        few.packed = (const uint8_t *)call->packed + whole->avx2;
        nw_depthwise_run_avx2(&few);
        return;
    }
    const uint8_t *base = (const uint8_t *)call->packed + whole->pairs;
    const nw_pairs_header *header = (const nw_pairs_header *)(const void *)base;
    const nw_pairs_panel *panels = nw_pairs_panels(base);
    for (int32_t i = 0; i < header->n_panels; i++) {
        const nw_pairs_panel *p = &panels[i];
        const block b = {.base = block_of(call, p->channel, header->n_channels, p->q),
                         .runs = (const int32_t *)(const void *)(base + p->runs),
                         .offsets = (const int32_t *)(const void *)(base + p->offsets),
                         .weights = (const int8_t *)(base + p->weights),
                         .n_runs = p->n_runs};
        if (p->q == 4)
            run_64(&b);
        else if (p->q == 2)
            run_32(&b, call->a_step == 32);
        else
            run_16(&b, call->a_step == 16);
    }
}
