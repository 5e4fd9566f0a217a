/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture, in tiles of 4 pixels by 16 channels. Reads what gemm_pack.c packed (layout:
 * avx2.h), leaves exact int32 sums in a small buffer, and turns them into outputs with epilogue.h.
 *
 * A step multiplies 4 bytes of each pixel, broadcast, by 64 weights: 2 vpmaddubsw per pixel. In a run of length 1 each
 * goes through vpmaddwd and vpaddd into int32 registers: 16 multiplications on two ports, 8 cycles for the tile's 256
 * products; 24 vector and 6 load instructions leave room for the rest. In longer runs a step is 8 vpmaddubsw and
 * 8 vpaddw, 4 cycles by the ports (5 as measured with nothing else in the loop), and the sums are folded into memory at
 * the end of the run. Wider tiles have fewer loads per product, but not enough registers for both kinds of sums;
 * measured, 5 and 6 pixels by 16 and 3 by 32 channels were not better where runs are short, and tie where they are long.
 *
 * The panels are the outer loop: a panel's weights (at most tens of KiB) stay in L1 or L2 while up to 128 pixels pass.
 */
#include <assert.h>
#include <stddef.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/epilogue.h"

#define MR NW_AVX2_MR
#define NR NW_AVX2_NR
#define MAX_EXTRA 128 /* extra rows of a panel that are listed; more are found by search */

/* A panel as the loops want it. */
typedef struct panel {
    const nw_avx2_group *groups;
    const int32_t *offsets;
    const __m256i *weights;
    int32_t n_groups, n_wide;
} panel;

static panel panel_at(const void *packed, int32_t index)
{
    const uint8_t *base = packed;
    const nw_avx2_panel *p = (const nw_avx2_panel *)(const void *)(base + sizeof(nw_avx2_gemm)) + index;
    return (panel){.groups = (const nw_avx2_group *)(const void *)(base + p->groups),
                   .offsets = (const int32_t *)(const void *)(base + p->offsets),
                   .weights = (const __m256i *)(const void *)(base + p->weights),
                   .n_groups = p->n_groups,
                   .n_wide = p->n_wide};
}

/*
 * The three forms of a product. In assembly because the sum must stay in its register: from intrinsics GCC 12 makes a
 * copy of each sum per step and spills one, which costs a third of the speed.
 */
static NW_INLINE void add_product16(__m256i *sum, __m256i a, __m256i b)
{
    __m256i t;
    __asm__("vpmaddubsw %2, %3, %1\n\tvpaddw %1, %0, %0" : "+x"(*sum), "=&x"(t) : "x"(b), "x"(a));
}

static NW_INLINE void add_product32(__m256i *sum, __m256i a, __m256i b, __m256i ones)
{
    __m256i t;
    __asm__("vpmaddubsw %2, %3, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
            : "+x"(*sum), "=&x"(t)
            : "x"(b), "x"(a), "x"(ones));
}

static NW_INLINE void add_wide(__m256i *sum, __m256i a, __m256i b)
{
    __m256i t;
    __asm__("vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0" : "+x"(*sum), "=&x"(t) : "x"(b), "x"(a));
}

static NW_INLINE __m256i broadcast4(const uint8_t *a)
{
    int32_t bytes;
    memcpy(&bytes, a, sizeof(bytes));
    return _mm256_set1_epi32(bytes);
}

/* Position within a panel. */
typedef struct cursor {
    const int32_t *offset;
    const __m256i *weights;
} cursor;

static NW_INLINE void load_sums(__m256i *r, const __m256i *sums, int32_t n)
{
#pragma GCC unroll 8
    for (int32_t i = 0; i < n; i++)
        r[i] = sums[i];
}

static NW_INLINE void store_sums(__m256i *sums, const __m256i *r, int32_t n)
{
#pragma GCC unroll 8
    for (int32_t i = 0; i < n; i++)
        sums[i] = r[i];
}

/* `count` steps, each product folded into 32 bits at once. */
static NW_INLINE cursor single_steps(__m256i *sums, cursor at, int32_t count, const uint8_t *const *a, int32_t mr)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i r[2 * MR];
    load_sums(r, sums, 2 * mr);
    do {
        const ptrdiff_t offset = *at.offset++;
        const __m256i b0 = at.weights[0];
        const __m256i b1 = at.weights[1];
        at.weights += 2;
#pragma GCC unroll 4
        for (int32_t i = 0; i < mr; i++) {
            const __m256i x = broadcast4(a[i] + offset);
            add_product32(&r[2 * i], x, b0, ones);
            add_product32(&r[2 * i + 1], x, b1, ones);
        }
    } while (--count);
    store_sums(sums, r, 2 * mr);
    return at;
}

/* One run of `length` >= 2 steps: sums in 16 bits, the first step sets them. */
static NW_INLINE cursor run_of_steps(__m256i *sums, cursor at, int32_t length, const uint8_t *const *a, int32_t mr)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i r[2 * MR];
    const ptrdiff_t first = *at.offset++;
#pragma GCC unroll 4
    for (int32_t i = 0; i < mr; i++) {
        const __m256i x = broadcast4(a[i] + first);
        r[2 * i] = _mm256_maddubs_epi16(x, at.weights[0]);
        r[2 * i + 1] = _mm256_maddubs_epi16(x, at.weights[1]);
    }
    at.weights += 2;
    do {
        const ptrdiff_t offset = *at.offset++;
        const __m256i b0 = at.weights[0];
        const __m256i b1 = at.weights[1];
        at.weights += 2;
#pragma GCC unroll 4
        for (int32_t i = 0; i < mr; i++) {
            const __m256i x = broadcast4(a[i] + offset);
            add_product16(&r[2 * i], x, b0);
            add_product16(&r[2 * i + 1], x, b1);
        }
    } while (--length > 1);
#pragma GCC unroll 8
    for (int32_t i = 0; i < 2 * mr; i++)
        sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(r[i], ones));
    return at;
}

/* `count` steps in 16-bit factors: even bytes of a by the first half of the weights, odd ones by the second. */
static NW_INLINE void wide_steps(__m256i *sums, cursor at, int32_t count, const uint8_t *const *a, int32_t mr)
{
    const __m256i low_byte = _mm256_set1_epi16(255);
    __m256i r[2 * MR];
    load_sums(r, sums, 2 * mr);
    do {
        const ptrdiff_t offset = *at.offset++;
        const __m256i b0 = at.weights[0];
        const __m256i b1 = at.weights[1];
        const __m256i b2 = at.weights[2];
        const __m256i b3 = at.weights[3];
        at.weights += 4;
#pragma GCC unroll 4
        for (int32_t i = 0; i < mr; i++) {
            const __m256i x = broadcast4(a[i] + offset);
            const __m256i even = _mm256_and_si256(x, low_byte);
            const __m256i odd = _mm256_srli_epi16(x, 8);
            add_wide(&r[2 * i], even, b0);
            add_wide(&r[2 * i + 1], even, b1);
            add_wide(&r[2 * i], odd, b2);
            add_wide(&r[2 * i + 1], odd, b3);
        }
    } while (--count);
    store_sums(sums, r, 2 * mr);
}

/* sums[i][0..16) = the panel's exact sums for pixel i. mr is a constant in each caller. */
static NW_INLINE void tile_sums(__m256i *sums, const panel *p, const uint8_t *const *a, int32_t mr)
{
    cursor at = {p->offsets, p->weights};
#pragma GCC unroll 8
    for (int32_t i = 0; i < 2 * mr; i++)
        sums[i] = _mm256_setzero_si256();
    for (int32_t g = 0; g < p->n_groups; g++) {
        const int32_t length = p->groups[g].length;
        int32_t count = p->groups[g].count;
        if (length == 1) {
            at = single_steps(sums, at, count, a, mr);
            continue;
        }
        do
            at = run_of_steps(sums, at, length, a, mr);
        while (--count);
    }
    if (p->n_wide)
        wide_steps(sums, at, p->n_wide, a, mr);
}

static NW_NOINLINE void tile_sums_4(__m256i *sums, const panel *p, const uint8_t *const *a)
{
    const uint8_t *const pixels[4] = {a[0], a[1], a[2], a[3]};
    tile_sums(sums, p, pixels, 4);
}

static NW_NOINLINE void tile_sums_3(__m256i *sums, const panel *p, const uint8_t *const *a)
{
    const uint8_t *const pixels[3] = {a[0], a[1], a[2]};
    tile_sums(sums, p, pixels, 3);
}

static NW_NOINLINE void tile_sums_2(__m256i *sums, const panel *p, const uint8_t *const *a)
{
    const uint8_t *const pixels[2] = {a[0], a[1]};
    tile_sums(sums, p, pixels, 2);
}

static NW_NOINLINE void tile_sums_1(__m256i *sums, const panel *p, const uint8_t *const *a)
{
    const uint8_t *const pixels[1] = {a[0]};
    tile_sums(sums, p, pixels, 1);
}

typedef void tile_sums_fn(__m256i *sums, const panel *p, const uint8_t *const *a);
static tile_sums_fn *const tile_sums_of[MR + 1] = {NULL, tile_sums_1, tile_sums_2, tile_sums_3, tile_sums_4};

/* The extra rows that belong to one panel, in ascending order; those from `rest` on did not fit. */
typedef struct extra_list {
    int32_t rows[MAX_EXTRA];
    int32_t n, rest;
} extra_list;

static void list_extra(extra_list *list, const nw_requant *requant, int32_t o)
{
    list->n = 0;
    list->rest = 0;
    for (; list->rest < requant->n_extra; list->rest++) {
        const int32_t channel = requant->extra_channel[list->rest];
        if (channel < o || channel >= o + NR)
            continue;
        if (list->n == MAX_EXTRA)
            return;
        list->rows[list->n++] = list->rest;
    }
}

static void add_extra_row(float v[NR], const nw_requant *requant, int32_t o, int32_t e, const int32_t *sums)
{
    const int32_t sum = requant->wrap16 ? nw_wrap16(sums[e]) : sums[e];
    const float term = requant->extra_multiplier[e] * (float)(sum + requant->extra_offset[e]);
    v[requant->extra_channel[e] - o] += term;
}

static NW_NOINLINE nw_f32x16 add_extra(const extra_list *list, const nw_requant *requant, int32_t o, nw_f32x16 v,
                                       const int32_t *sums)
{
    float channels[NR];
    memcpy(channels, &v, sizeof(channels));
    for (int32_t i = 0; i < list->n; i++)
        add_extra_row(channels, requant, o, list->rows[i], sums);
    for (int32_t e = list->rest; e < requant->n_extra; e++)
        if (requant->extra_channel[e] >= o && requant->extra_channel[e] < o + NR)
            add_extra_row(channels, requant, o, e, sums);
    memcpy(&v, channels, sizeof(channels));
    return v;
}

/* Outputs o .. o + n of the mr pixels from pixel i on. */
static NW_INLINE void finish_tile(const nw_gemm_call *call, const extra_list *list, const __m256i *sums, int32_t i,
                                  int32_t mr, int32_t o, int32_t n)
{
    const nw_requant *requant = call->requant;
    for (int32_t j = 0; j < mr; j++) {
        const nw_i32x16 acc = {{sums[2 * j], sums[2 * j + 1]}};
        nw_f32x16 v = first_point(requant, o, acc);
        if (list->n)
            v = add_extra(list, requant, o, v, call->extra_sums + (ptrdiff_t)(i + j) * requant->n_extra);
        if (requant->residual_multiplier)
            v = add_residual(requant, o, v, call->residual[i + j] + o);
        store_outputs(requant, o, n, v, call->c[i + j]);
    }
}

void nw_gemm_run_avx2(const nw_gemm_call *call)
{
    const nw_avx2_gemm *header = call->packed;
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % NR == 0 && call->begin < call->end && call->end <= header->n_channels);
    assert(call->end % NR == 0 || call->end == header->n_channels);
    assert(header->n_extra == call->requant->n_extra);
    (void)header;
    __m256i sums[2 * MR];
    extra_list list;
    for (int32_t o = call->begin; o < call->end; o += NR) {
        const panel p = panel_at(call->packed, o / NR);
        list_extra(&list, call->requant, o);
        for (int32_t i = 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            tile_sums_of[mr](sums, &p, call->a + i);
            finish_tile(call, &list, sums, i, mr, o, nw_min32(call->end - o, NR));
        }
    }
}

void nw_gemm_run_extra_avx2(const nw_gemm_call *call)
{
    const nw_avx2_gemm *header = call->packed;
    const int32_t n_extra = header->n_extra;
    assert(n_extra == call->requant->n_extra);
    __m256i sums[2 * MR];
    for (int32_t e = 0; e < n_extra; e += NR) {
        const panel p = panel_at(call->packed, header->n_panels + e / NR);
        const size_t size = (size_t)nw_min32(n_extra - e, NR) * sizeof(int32_t);
        for (int32_t i = 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            tile_sums_of[mr](sums, &p, call->a + i);
            for (int32_t j = 0; j < mr; j++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + j) * n_extra + e, &sums[2 * j], size);
        }
    }
}
