/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture with vpdpbusd. gemm.h draws the packed weights; ops/ makes the calls.
 *
 * A tile is mr pixels by q vectors of 16 channels. One step: q loads of weights, mr broadcasts of four activation
 * bytes, mr * q vpdpbusd:
 *
 *     tile     vpdpbusd  loads (weights + broadcasts + step)   of 32 registers
 *     6 x 64      24         4 +  6 + 1                          24 + 4 + 1
 *     8 x 48      24         3 +  8 + 1                          24 + 3 + 1
 *     10 x 32     20         2 + 10 + 1                          20 + 2 + 1
 *     11 x 16     11         1 + 11 + 1                          11 + 1 + 1
 *
 * With two vpdpbusd and two loads a cycle the first three are bound by vpdpbusd, the last by loads. At least ten
 * accumulators hide its latency of five cycles; more pixels than 11 would need more base pointers than there are
 * general registers. The activation is the unsigned operand, which the instruction cannot broadcast itself, but
 * vpbroadcastd from memory is a load and takes no vector port.
 *
 * Sums go through a small buffer to the epilogue (L1, at most 24 stores a tile): one epilogue instead of one per tile.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx512vnni/gemm.h"
#include "kernels/avx512vnni/requant.h"

#define MAX_MR 11
#define MAX_SUMS (24 * 16)

typedef void tile_fn(const int32_t *steps, const int32_t *steps_end, const int8_t *b, const uint8_t *const *a,
                     const int32_t *init, int32_t *sums);

static NW_INLINE __m512i broadcast4(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm512_set1_epi32(four);
}

/* sums[i][16 j ..] = init[16 j ..] + the product, for mr pixels and q vectors; always called with constants. */
static NW_INLINE void tile(int mr, int q, const int32_t *steps, const int32_t *steps_end, const int8_t *b,
                           const uint8_t *const *a, const int32_t *init, int32_t *sums)
{
    __m512i acc[MAX_MR][4];
    const uint8_t *x[MAX_MR];
#pragma GCC unroll 11
    for (int i = 0; i < mr; i++) {
        x[i] = a[i];
#pragma GCC unroll 4
        for (int j = 0; j < q; j++)
            acc[i][j] = _mm512_loadu_si512(init + 16 * j);
    }
    for (; steps != steps_end; steps++, b += 64 * q) {
        const ptrdiff_t offset = *steps;
        __m512i w[4];
#pragma GCC unroll 4
        for (int j = 0; j < q; j++)
            w[j] = _mm512_loadu_si512(b + 64 * j);
#pragma GCC unroll 11
        for (int i = 0; i < mr; i++) {
            const __m512i four = broadcast4(x[i] + offset);
#pragma GCC unroll 4
            for (int j = 0; j < q; j++)
                acc[i][j] = _mm512_dpbusd_epi32(acc[i][j], four, w[j]);
        }
    }
#pragma GCC unroll 11
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int j = 0; j < q; j++)
            _mm512_storeu_si512(sums + 16 * (q * i + j), acc[i][j]);
}

#define TILE(mr, q)                                                                                                    \
    static void tile_##mr##_##q(const int32_t *steps, const int32_t *steps_end, const int8_t *b,                       \
                                const uint8_t *const *a, const int32_t *init, int32_t *sums)                           \
    {                                                                                                                  \
        tile(mr, q, steps, steps_end, b, a, init, sums);                                                               \
    }

TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1)
TILE(7, 1) TILE(8, 1) TILE(9, 1) TILE(10, 1) TILE(11, 1)
TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2) TILE(7, 2) TILE(8, 2) TILE(9, 2) TILE(10, 2)
TILE(1, 3) TILE(2, 3) TILE(3, 3) TILE(4, 3) TILE(5, 3) TILE(6, 3) TILE(7, 3) TILE(8, 3)
TILE(1, 4) TILE(2, 4) TILE(3, 4) TILE(4, 4) TILE(5, 4) TILE(6, 4)

/* [q - 1][mr - 1] */
static tile_fn *const tiles[4][MAX_MR] = {
    {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1, tile_7_1, tile_8_1, tile_9_1, tile_10_1, tile_11_1},
    {tile_1_2, tile_2_2, tile_3_2, tile_4_2, tile_5_2, tile_6_2, tile_7_2, tile_8_2, tile_9_2, tile_10_2},
    {tile_1_3, tile_2_3, tile_3_3, tile_4_3, tile_5_3, tile_6_3, tile_7_3, tile_8_3},
    {tile_1_4, tile_2_4, tile_3_4, tile_4_4, tile_5_4, tile_6_4},
};
static const int32_t max_mr[4] = {11, 10, 8, 6};

/* What the epilogue of one panel needs beside the sums. */
typedef struct panel {
    const nw_requant *requant;
    __m512i lo, hi, zero16; /* z + lo, z + hi as bytes; z as words */
    int32_t o, width;
} panel;

/* The bounded way, for q vectors of channels; always called with constant q and residual. */
static NW_INLINE void finish(int q, bool has_residual, const panel *p, const int32_t *sums, int32_t n,
                             const uint8_t *const *residual, void *const *c)
{
    const nw_requant *requant = p->requant;
    const int32_t o = p->o;
    const __m512i residual_zero = _mm512_set1_epi32(requant->residual_zero_point);
    const __m512i order = natural_order();
    __m512 bias[4];
    __m512 multiplier[4];
    __m512 residual_multiplier[4];
#pragma GCC unroll 4
    for (int j = 0; j < q; j++) {
        bias[j] = _mm512_loadu_ps(requant->bias + o + 16 * j);
        multiplier[j] = _mm512_loadu_ps(requant->multiplier + o + 16 * j);
        if (has_residual)
            residual_multiplier[j] = _mm512_loadu_ps(requant->residual_multiplier + o + 16 * j);
    }
    for (int32_t i = 0; i < n; i++, sums += 16 * q) {
        __m512i r[4];
#pragma GCC unroll 4
        for (int j = 0; j < q; j++) {
            const __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + 16 * j));
            __m512 v = _mm512_add_ps(bias[j], _mm512_mul_ps(multiplier[j], sum));
            if (has_residual) {
                const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(residual[i] + o + 16 * j));
                const __m512i difference = _mm512_sub_epi32(_mm512_cvtepu8_epi32(codes), residual_zero);
                v = _mm512_add_ps(v, _mm512_mul_ps(residual_multiplier[j], _mm512_cvtepi32_ps(difference)));
            }
            r[j] = _mm512_cvtps_epi32(v);
        }
        /* q < 4 leaves parts of the result unused */
        __m512i y = narrow(r[0], r[q > 1 ? 1 : 0], r[q > 2 ? 2 : 0], r[q > 3 ? 3 : q > 1 ? 1 : 0], p->zero16);
        y = _mm512_permutexvar_epi32(order, y);
        y = _mm512_min_epu8(_mm512_max_epu8(y, p->lo), p->hi);
        uint8_t *to = (uint8_t *)c[i] + o;
        if (q == 1 && p->width == 16)
            _mm_storeu_si128((__m128i *)(void *)to, _mm512_castsi512_si128(y));
        else if (q == 2 && p->width == 32)
            _mm256_storeu_si256((__m256i *)(void *)to, _mm512_castsi512_si256(y));
        else
            store_codes(to, y, p->width);
    }
}

typedef void finish_fn(const panel *p, const int32_t *sums, int32_t n, const uint8_t *const *residual, void *const *c);

#define FINISH(q, has_residual)                                                                                        \
    static void finish_##q##_##has_residual(const panel *p, const int32_t *sums, int32_t n,                            \
                                            const uint8_t *const *residual, void *const *c)                            \
    {                                                                                                                  \
        finish(q, has_residual, p, sums, n, residual, c);                                                              \
    }

FINISH(1, 0) FINISH(2, 0) FINISH(3, 0) FINISH(4, 0)
FINISH(1, 1) FINISH(2, 1) FINISH(3, 1) FINISH(4, 1)

static finish_fn *const finishers[2][4] = {{finish_1_0, finish_2_0, finish_3_0, finish_4_0},
                                           {finish_1_1, finish_2_1, finish_3_1, finish_4_1}};

static const int32_t zeros[GEMM_NR];

/* Pixels of the next tile when m are left: equal shares rather than full tiles and a small rest. */
static int32_t share(int32_t m, int32_t q)
{
    const int32_t n_tiles = (m + max_mr[q - 1] - 1) / max_mr[q - 1];
    return (m + n_tiles - 1) / n_tiles;
}

static void run_panel(const nw_gemm_call *call, const int32_t *steps, const int32_t *steps_end, const int8_t *b,
                      int32_t o, int32_t width)
{
    const nw_requant *requant = call->requant;
    const int32_t q = (width + 15) / 16;
    const bool bounded = nw_requant_bounded_avx512vnni(requant, o, width);
    const int32_t *init = bounded ? requant->offset + o : zeros;
    finish_fn *const finish_rows = finishers[requant->residual_multiplier != NULL][q - 1];
    panel p = {.requant = requant, .o = o, .width = width};
    if (bounded) {
        p.lo = limit_codes(requant->lo + o, requant->zero_point);
        p.hi = limit_codes(requant->hi + o, requant->zero_point);
        p.zero16 = _mm512_set1_epi16((int16_t)requant->zero_point);
    }
    _Alignas(64) int32_t sums[MAX_SUMS];
    for (int32_t i = 0, n; i < call->m; i += n) {
        n = share(call->m - i, q);
        const uint8_t *const *residual = call->residual ? call->residual + i : NULL;
        tiles[q - 1][n - 1](steps, steps_end, b, call->a + i, init, sums);
        if (bounded) {
            finish_rows(&p, sums, n, residual, call->c + i);
            continue;
        }
        const nw_requant_rows rows = {.requant = requant,
                                      .sums = sums,
                                      .stride = 16 * q,
                                      .n = n,
                                      .o = o,
                                      .width = width,
                                      .extra_sums = requant->n_extra ? call->extra_sums + i * requant->n_extra : NULL,
                                      .residual = residual,
                                      .c = call->c + i};
        nw_requant_rows_avx512vnni(&rows);
    }
}

static const int32_t *steps_of(const nw_gemm_call *call)
{
    const gemm_header *header = call->packed;
    return (const int32_t *)(const void *)((const uint8_t *)call->packed + header->steps);
}

void nw_gemm_run_avx512vnni(const nw_gemm_call *call)
{
    const gemm_header *header = call->packed;
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % GEMM_NR == 0 && call->begin < call->end && call->end <= header->n_channels);
    assert(call->end % GEMM_NR == 0 || call->end == header->n_channels);
    const int32_t *steps = steps_of(call);
    const int8_t *b = (const int8_t *)call->packed + header->outputs;
    for (int32_t o = call->begin; o < call->end; o += GEMM_NR)
        run_panel(call, steps, steps + header->n_steps, b + (size_t)header->n_steps * 4 * (size_t)o, o,
                  nw_min32(GEMM_NR, header->n_channels - o));
}

static void run_extra_panel(const nw_gemm_call *call, const int8_t *b, int32_t e, int32_t width)
{
    const gemm_header *header = call->packed;
    const int32_t *steps = steps_of(call);
    const int32_t q = (width + 15) / 16;
    _Alignas(64) int32_t sums[MAX_SUMS];
    for (int32_t i = 0, n; i < call->m; i += n) {
        n = share(call->m - i, q);
        tiles[q - 1][n - 1](steps, steps + header->n_steps, b, call->a + i, zeros, sums);
        for (int32_t r = 0; r < n; r++)
            memcpy(call->extra_sums + (i + r) * header->n_extra + e, sums + 16 * q * r, (size_t)width * 4);
    }
}

void nw_gemm_run_extra_avx512vnni(const nw_gemm_call *call)
{
    const gemm_header *header = call->packed;
    const int8_t *b = (const int8_t *)call->packed + header->extras;
    for (int32_t e = 0; e < header->n_extra; e += GEMM_NR)
        run_extra_panel(call, b + (size_t)header->n_steps * 4 * (size_t)e, e, nw_min32(GEMM_NR, header->n_extra - e));
}
