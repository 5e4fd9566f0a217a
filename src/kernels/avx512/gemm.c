/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture without VNNI. Reads what avx2/gemm_pack.c packed and proved exact: a step of
 * that layout, 16 channels of four weights, is one 512-bit vector, and so is each half of a wide step.
 *
 * A tile is mr <= 8 pixels by 16 channels. 32 registers hold both kinds of sums, 16-bit ones of the current run and
 * int32 ones, so runs of any length fold without memory. Cycles for a step of a tile of 8 (512 products). Cores without
 * VNNI have two ports that take 512-bit arithmetic, of which one shuffles: counted, and by llvm-mca
 * -mcpu=skylake-avx512 (estimate, with loads). Zen 5 has four, of which two multiply and two shuffle, one of them both,
 * and two loads a cycle: counted, and measured by kernelcheck --bench:
 *
 *                                                        two ports                 Zen 5
 *     run of n   8 vpmaddubsw, 8 vpaddw of which the     8 + 4 / n   8.4           5, 4 + 4 / n  5.3
 *                first step has none,
 *     4, 3, 2    16 / n to fold, 10 loads                9, 9.3, 10  9.2 to 9.9    5, 5.3, 6     5.5, 5.8, 6.4
 *     1          8 vpmaddubsw, 8 vpmaddwd, 8 vpaddd      12          11.1          8             8.3
 *     unit of n  as a run, and 8 vpshufb; n = 4, 2, 1    13, 14, 16  11.8, -, 14.1 6.5, 7, 8     9.5, 10.4, 13.0
 *     wide       16 vpmaddwd, 16 vpaddd, 16 to separate  24          21.4          12            12.5
 *                odd and even bytes
 *
 * Loads, one of weights and 8 broadcasts of four codes, go through ports of their own, two a cycle. The broadcasts of
 * 16 bytes that units need do so on Intel's cores only: on Zen 5 vbroadcasti32x4 takes a shuffle as well (8 of them
 * beside 8 vpmaddubsw take 5.4 cycles, 8 vpbroadcastd 4.0), which is why units are worth less there than wide steps.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/finish.h"

#define MAX_MR 8
#define NR NW_AVX2_NR

/* The figures above in tenths; a unit of 2 on two ports lies between its neighbours. */
static const nw_avx2_costs two_ports = {
    .run = {0, 111, 198, 291, 368}, .long_run = 40, .long_step = 84, .wide = 214, .unit = {0, 141, 252, 0, 472}};
static const nw_avx2_costs zen5 = {
    .run = {0, 83, 128, 174, 220}, .long_run = 20, .long_step = 53, .wide = 125, .unit = {0, 130, 208, 0, 380}};

size_t nw_gemm_pack_avx512(void *packed, const nw_gemm_source *source)
{
    return nw_gemm_pack_avx2_costs(packed, source, &two_ports);
}

size_t nw_gemm_pack_zen5(void *packed, const nw_gemm_source *source)
{
    return nw_gemm_pack_avx2_costs(packed, source, &zen5);
}

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
    if (mr == 1)
        _mm_prefetch((const char *)at->weights + NW_GEMM_AHEAD, _MM_HINT_T0);
    for (int32_t s = 1; s < length; s++) {
        const ptrdiff_t offset = at->offset[s];
        const __m512i w = _mm512_loadu_si512(at->weights + 64 * s);
        if (mr == 1)
            _mm_prefetch((const char *)at->weights + 64 * s + NW_GEMM_AHEAD, _MM_HINT_T0);
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
    if (mr == 1) {
        _mm_prefetch((const char *)at->weights + NW_GEMM_AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)at->weights + NW_GEMM_AHEAD + 64, _MM_HINT_T0);
    }
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
