/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture without VNNI. Reads what avx2/gemm_pack.c packed and proved exact: a step of
 * that layout, 16 channels of four weights, is one 512-bit vector, and so is each half of a wide step.
 *
 * A tile is mr <= 8 pixels by 16 channels. 32 registers hold both kinds of sums, 16-bit ones of the current run and
 * int32 ones, so runs of any length fold without memory. Cycles for a step of a tile of 8 (512 products), by the two
 * ports that take 512-bit arithmetic (counted), and by llvm-mca -mcpu=skylake-avx512 (estimate, with loads):
 *
 *     run of n    8 vpmaddubsw, 8 vpaddw of which the first step has none, 16 / n to fold    8 + 4 / n    8.4 (n large)
 *     4, 3, 2                                                                                9, 9.3, 10   9.2, 9.7, 9.9
 *     1           8 vpmaddubsw, 8 vpmaddwd, 8 vpaddd                                         12           11.1
 *     unit of n   as a run, and 8 vpshufb on one of the two ports; n = 4, 1                  13, 16       11.8, 14.1
 *     wide        16 vpmaddwd, 16 vpaddd, 16 to separate odd and even bytes                  24           21.4
 *
 * Loads, one of weights and 8 broadcasts of four codes, go through ports of their own, two a cycle.
 *
 * avx2/gemm_pack.c chooses arrangements by the cycles of its own kernel. On Zen 5, where no one needs this family, that is
 * the wrong choice at 8 x 8 bits: runs and wide steps without units would be 1.19 times as fast on resnet20 and 1.08
 * times on mobilenetv2 (on avx2 they are slower, 0.93 and 0.95). Processors with AVX-512 and no VNNI have two ports for
 * all of these instructions, by which units win as on AVX2; nobody has measured that yet.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/finish.h"

#define MAX_MR 8
#define NR NW_AVX2_NR

/* Position within a panel. */
typedef struct cursor {
    const int32_t *offset;
    const int8_t *weights;
} cursor;

static NW_INLINE __m512i broadcast4(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm512_set1_epi32(four);
}

/* 16 bytes in every lane. */
static NW_INLINE __m512i broadcast16(const void *x)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)x));
}

/* acc[i] += the sums of one run. mr is a constant in each caller, length too where runs are short. */
static NW_INLINE void add_run(__m512i acc[MAX_MR], int mr, cursor *at, int32_t length, const uint8_t *const x[MAX_MR])
{
    const __m512i ones = _mm512_set1_epi16(1);
    const __m512i first = _mm512_loadu_si512(at->weights);
    __m512i r[MAX_MR];
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++)
        r[i] = _mm512_maddubs_epi16(broadcast4(x[i] + at->offset[0]), first);
    for (int32_t s = 1; s < length; s++) {
        const ptrdiff_t offset = at->offset[s];
        const __m512i w = _mm512_loadu_si512(at->weights + 64 * s);
#pragma GCC unroll 8
        for (int i = 0; i < mr; i++)
            add16_to(&r[i], _mm512_maddubs_epi16(broadcast4(x[i] + offset), w));
    }
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++)
        add32_to(&acc[i], _mm512_madd_epi16(r[i], ones));
    at->offset += length;
    at->weights += 64 * length;
}

static NW_INLINE void add_wide(__m512i acc[MAX_MR], int mr, cursor *at, const uint8_t *const x[MAX_MR])
{
    const __m512i low = _mm512_set1_epi16(255);
    const __m512i w_even = _mm512_loadu_si512(at->weights);
    const __m512i w_odd = _mm512_loadu_si512(at->weights + 64);
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++) {
        const __m512i codes = broadcast4(x[i] + at->offset[0]);
        add32_to(&acc[i], _mm512_madd_epi16(_mm512_and_si512(codes, low), w_even));
        add32_to(&acc[i], _mm512_madd_epi16(_mm512_srli_epi16(codes, 8), w_odd));
    }
    at->offset++;
    at->weights += 128;
}

/* acc[i] += the sums of one unit of `length` steps, 1, 2 or 4; mr and length are constants in each caller. */
static NW_INLINE void add_unit(__m512i acc[MAX_MR], int mr, cursor *at, int32_t length, const uint8_t *const x[MAX_MR])
{
    const __m512i ones = _mm512_set1_epi16(1);
    const ptrdiff_t offset = at->offset[0];
    const int8_t *weights = at->weights + 32 * length;
    const __m512i first = broadcast16(at->weights);
    __m512i codes[MAX_MR];
    __m512i r[MAX_MR];
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++) {
        codes[i] = broadcast16(x[i] + offset);
        r[i] = _mm512_maddubs_epi16(_mm512_shuffle_epi8(codes[i], first), _mm512_loadu_si512(weights));
    }
#pragma GCC unroll 3
    for (int32_t s = 1; s < length; s++) {
        const __m512i take = broadcast16(at->weights + 32 * s);
        const __m512i w = _mm512_loadu_si512(weights + 64 * s);
#pragma GCC unroll 8
        for (int i = 0; i < mr; i++)
            add16_to(&r[i], _mm512_maddubs_epi16(_mm512_shuffle_epi8(codes[i], take), w));
    }
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++)
        add32_to(&acc[i], _mm512_madd_epi16(r[i], ones));
    at->offset++;
    at->weights += 96 * length;
}

/* sums[i] = start + the product of the panel with pixel i. mr is a constant in each caller. */
static NW_INLINE void tile(int mr, const void *packed, const nw_avx2_panel *p, const uint8_t *const *a,
                           const int32_t *start, int32_t *sums)
{
    const uint8_t *base = packed;
    const nw_avx2_group *groups = (const nw_avx2_group *)(const void *)(base + p->groups);
    cursor at = {(const int32_t *)(const void *)(base + p->offsets), (const int8_t *)(base + p->weights)};
    const uint8_t *x[MAX_MR];
    __m512i acc[MAX_MR];
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++) {
        x[i] = a[i];
        acc[i] = in_register(_mm512_loadu_si512(start));
    }
    for (int32_t g = 0; g < p->n_groups; g++)
        for (int32_t n = groups[g].count; n > 0; n--)
            add_run(acc, mr, &at, groups[g].length, x);
#pragma GCC unroll 4
    for (int32_t length = NW_AVX2_SHORT; length > 0; length--)
        for (int32_t n = p->n_short[length]; n > 0; n--)
            add_run(acc, mr, &at, length, x);
    for (int32_t n = p->n_wide; n > 0; n--)
        add_wide(acc, mr, &at, x);
#pragma GCC unroll 3
    for (int32_t length = NW_AVX2_UNIT; length > 0; length /= 2)
        for (int32_t n = p->n_units[length]; n > 0; n--)
            add_unit(acc, mr, &at, length, x);
#pragma GCC unroll 8
    for (int i = 0; i < mr; i++)
        _mm512_storeu_si512(sums + NR * i, acc[i]);
}

typedef void tile_fn(const void *packed, const nw_avx2_panel *p, const uint8_t *const *a, const int32_t *start,
                     int32_t *sums);

#define TILE(mr)                                                                                                       \
    static void tile_##mr(const void *packed, const nw_avx2_panel *p, const uint8_t *const *a, const int32_t *start,   \
                          int32_t *sums)                                                                               \
    {                                                                                                                  \
        tile(mr, packed, p, a, start, sums);                                                                           \
    }

TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8)

static tile_fn *const tiles[MAX_MR] = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8};

/* Pixels of the next tile when m are left: equal shares rather than full tiles and a small rest. */
static int32_t share(int32_t m)
{
    const int32_t n_tiles = (m + MAX_MR - 1) / MAX_MR;
    return (m + n_tiles - 1) / n_tiles;
}

void nw_gemm_run_avx512(const nw_gemm_call *call)
{
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % NR == 0 && call->begin < call->end);
    _Alignas(64) int32_t sums[MAX_MR * NR];
    nw_finish finish;
    for (int32_t o = call->begin; o < call->end; o += NR) {
        const nw_avx2_panel *panel = nw_avx2_panel_at(call->packed, o / NR);
        nw_finish_init_avx512(&finish, call, o, nw_min32(call->end - o, NR));
        for (int32_t i = 0, n; i < call->m; i += n) {
            n = share(call->m - i);
            tiles[n - 1](call->packed, panel, call->a + i, finish.start, sums);
            nw_finish_run_avx512(&finish, sums, i, n);
        }
    }
}

void nw_gemm_run_extra_avx512(const nw_gemm_call *call)
{
    const nw_avx2_gemm *header = call->packed;
    const int32_t n_extra = header->n_extra;
    assert(n_extra == call->requant->n_extra);
    _Alignas(64) int32_t sums[MAX_MR * NR];
    for (int32_t e = 0; e < n_extra; e += NR) {
        const nw_avx2_panel *panel = nw_avx2_panel_at(call->packed, header->n_panels + e / NR);
        const size_t size = (size_t)nw_min32(n_extra - e, NR) * sizeof(int32_t);
        for (int32_t i = 0, n; i < call->m; i += n) {
            n = share(call->m - i);
            tiles[n - 1](call->packed, panel, call->a + i, nw_finish_zeros_avx512, sums);
            for (int32_t j = 0; j < n; j++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + j) * n_extra + e, sums + NR * j, size);
        }
    }
}
