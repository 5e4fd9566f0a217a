/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture with vpdpbusd. gemm.h draws the packed weights; ops/ makes the calls.
 *
 * A tile is mr pixels by q vectors of 16 channels. One step: q loads of weights, mr broadcasts of activations, mr * q
 * vpdpbusd; with q = 1 steps are eight bytes wide and sums take two vectors (gemm.h):
 *
 *     tile     vpdpbusd  loads (weights + broadcasts + step)   of 32 registers   cycles a step (llvm-mca, estimate)
 *     6 x 64      24         4 +  6 + 1                          24 + 4 + 1       12.1
 *     8 x 48      24         3 +  8 + 1                          24 + 3 + 1       12.1
 *     10 x 32     20         2 + 10 + 1                          20 + 2 + 1       11.4
 *     10 x 16     20         2 + 10 + 1                          20 + 2 + 1       11.1
 *
 * With two vpdpbusd and two loads a cycle all are bound by vpdpbusd. At least ten accumulators hide its latency of
 * five cycles; more than 10 pixels would need more base pointers than there are general registers. The activation is
 * the unsigned operand, which the instruction cannot broadcast itself, but vpbroadcastd from memory is a load and
 * takes no vector port.
 *
 * Sums go through a small buffer to the epilogue (L1, at most 24 stores a tile): one epilogue instead of one per tile.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx512vnni/gemm.h"
#include "kernels/avx512vnni/requant.h"

#define MAX_MR 10
#define MAX_SUMS (24 * 16)

typedef void tile_fn(const int32_t *steps, const int32_t *steps_end, const int8_t *b, const uint8_t *const *a,
                     const int32_t *init, int32_t *sums);

static NW_INLINE __m512i broadcast4(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm512_set1_epi32(four);
}

static NW_INLINE __m512i broadcast8(const uint8_t *x)
{
    int64_t eight;
    memcpy(&eight, x, 8);
    return _mm512_set1_epi64(eight);
}

/* acc[i][j] += the product of one panel with mr pixels, v vectors of `size` bytes; always called with constants. */
static NW_INLINE void multiply(__m512i acc[MAX_MR][4], int mr, int v, int size, const int32_t *steps,
                               const int32_t *steps_end, const int8_t *b, const uint8_t *const *a)
{
    const uint8_t *x[MAX_MR];
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++) {
        x[i] = a[i];
#pragma GCC unroll 4
        for (int j = 0; j < v; j++)
            acc[i][j] = in_register(acc[i][j]);
    }
    for (; steps != steps_end; steps++, b += 64 * v) {
        const ptrdiff_t offset = *steps;
        __m512i w[4];
#pragma GCC unroll 4
        for (int j = 0; j < v; j++)
            w[j] = _mm512_loadu_si512(b + 64 * j);
#pragma GCC unroll 10
        for (int i = 0; i < mr; i++) {
            const __m512i codes = size == 8 ? broadcast8(x[i] + offset) : broadcast4(x[i] + offset);
#pragma GCC unroll 4
            for (int j = 0; j < v; j++)
                acc[i][j] = _mm512_dpbusd_epi32(acc[i][j], codes, w[j]);
        }
    }
}

/* sums[i][16 j ..] = init[16 j ..] + the product, for mr pixels and q vectors; always called with constants. */
static NW_INLINE void tile(int mr, int q, const int32_t *steps, const int32_t *steps_end, const int8_t *b,
                           const uint8_t *const *a, const int32_t *init, int32_t *sums)
{
    __m512i acc[MAX_MR][4];
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int j = 0; j < q; j++)
            acc[i][j] = _mm512_loadu_si512(init + 16 * j);
    multiply(acc, mr, q, 4, steps, steps_end, b, a);
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int j = 0; j < q; j++)
            _mm512_storeu_si512(sums + 16 * (q * i + j), acc[i][j]);
}

/* The same for a panel of 16 rows. Even and odd elements hold the sums over the two halves of each wide step. */
static NW_INLINE void narrow_tile(int mr, const int32_t *steps, const int32_t *steps_end, const int8_t *b,
                                  const uint8_t *const *a, const int32_t *init, int32_t *sums)
{
    const __m512i first = _mm512_loadu_si512(init);
    __m512i acc[MAX_MR][4];
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++)
        acc[i][0] = acc[i][1] = _mm512_setzero_si512();
    multiply(acc, mr, 2, 8, steps, steps_end, b, a);
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++) {
        const __m512 low = _mm512_castsi512_ps(acc[i][0]);
        const __m512 high = _mm512_castsi512_ps(acc[i][1]);
        const __m512i even = _mm512_castps_si512(_mm512_shuffle_ps(low, high, 0x88));
        const __m512i odd = _mm512_castps_si512(_mm512_shuffle_ps(low, high, 0xdd));
        _mm512_storeu_si512(sums + 16 * i, _mm512_add_epi32(first, _mm512_add_epi32(even, odd)));
    }
}

#define TILE(mr, q)                                                                                                    \
    static void tile_##mr##_##q(const int32_t *steps, const int32_t *steps_end, const int8_t *b,                       \
                                const uint8_t *const *a, const int32_t *init, int32_t *sums)                           \
    {                                                                                                                  \
        if (q == 1)                                                                                                    \
            narrow_tile(mr, steps, steps_end, b, a, init, sums);                                                       \
        else                                                                                                           \
            tile(mr, q, steps, steps_end, b, a, init, sums);                                                           \
    }

TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1) TILE(7, 1) TILE(8, 1) TILE(9, 1) TILE(10, 1)
TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2) TILE(7, 2) TILE(8, 2) TILE(9, 2) TILE(10, 2)
TILE(1, 3) TILE(2, 3) TILE(3, 3) TILE(4, 3) TILE(5, 3) TILE(6, 3) TILE(7, 3) TILE(8, 3)
TILE(1, 4) TILE(2, 4) TILE(3, 4) TILE(4, 4) TILE(5, 4) TILE(6, 4)

/* [q - 1][mr - 1] */
static tile_fn *const tiles[4][MAX_MR] = {
    {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1, tile_7_1, tile_8_1, tile_9_1, tile_10_1},
    {tile_1_2, tile_2_2, tile_3_2, tile_4_2, tile_5_2, tile_6_2, tile_7_2, tile_8_2, tile_9_2, tile_10_2},
    {tile_1_3, tile_2_3, tile_3_3, tile_4_3, tile_5_3, tile_6_3, tile_7_3, tile_8_3},
    {tile_1_4, tile_2_4, tile_3_4, tile_4_4, tile_5_4, tile_6_4},
};
static const int32_t max_mr[4] = {10, 10, 8, 6};

/* What the epilogue of one panel needs beside the sums. */
typedef struct panel {
    const nw_requant *requant;
    __m512i lo, hi, zero16; /* z + lo, z + hi as bytes, repeated for each pixel of 64 codes; z as words */
    int32_t o, width;
} panel;

/* Parameters of q vectors of channels, meant for registers. */
typedef struct parameters {
    __m512 bias[4], multiplier[4], residual_multiplier[4];
    __m512i residual_zero;
} parameters;

/* Rounded, unclamped values of 16 channels of a pixel. */
static NW_INLINE __m512i rounded(const parameters *p, int j, const int32_t *sums, bool has_residual,
                                 const uint8_t *residual)
{
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + 16 * j));
    __m512 v = _mm512_add_ps(p->bias[j], _mm512_mul_ps(p->multiplier[j], sum));
    if (has_residual) {
        const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(residual + 16 * j));
        const __m512i difference = _mm512_sub_epi32(_mm512_cvtepu8_epi32(codes), p->residual_zero);
        v = _mm512_add_ps(v, _mm512_mul_ps(p->residual_multiplier[j], _mm512_cvtepi32_ps(difference)));
    }
    return _mm512_cvtps_epi32(v);
}

/* The bounded way for n pixels, q vectors of channels; always called with constant q and has_residual. */
static NW_INLINE void finish(int q, bool has_residual, const panel *p, const int32_t *sums, int32_t n,
                             const uint8_t *const *residual, void *const *c)
{
    const nw_requant *requant = p->requant;
    const int32_t o = p->o;
    const __m512i order = natural_order();
    const __m512i lo = p->lo;
    const __m512i hi = p->hi;
    const __m512i zero16 = p->zero16;
    parameters param;
    param.residual_zero = _mm512_set1_epi32(requant->residual_zero_point);
#pragma GCC unroll 4
    for (int j = 0; j < q; j++) {
        param.bias[j] = _mm512_loadu_ps(requant->bias + o + 16 * j);
        param.multiplier[j] = _mm512_loadu_ps(requant->multiplier + o + 16 * j);
        if (has_residual)
            param.residual_multiplier[j] = _mm512_loadu_ps(requant->residual_multiplier + o + 16 * j);
    }
    const int together = q > 2 ? 1 : 4 / q; /* pixels that fill 64 codes */
    for (int32_t i = 0; i < n; i += together) {
        __m512i r[4];
        uint8_t *to[4];
#pragma GCC unroll 4
        for (int g = 0; g < together; g++) {
            const int32_t pixel = nw_min32(i + g, n - 1);
            to[g] = (uint8_t *)c[pixel] + o;
#pragma GCC unroll 4
            for (int j = 0; j < q; j++)
                r[q * g + j] = rounded(&param, j, sums + 16 * q * pixel, has_residual,
                                       has_residual ? residual[pixel] + o : NULL);
        }
        __m512i y = narrow(r[0], r[1], r[2], r[q == 3 ? 2 : 3], zero16);
        y = _mm512_permutexvar_epi32(order, y);
        y = _mm512_min_epu8(_mm512_max_epu8(y, lo), hi);
        if (q > 2)
            store_codes(to[0], y, p->width);
        else
            store_pixels(to, y, q, nw_min32(n - i, together), p->width);
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

/* The panel of rows whose weights begin at b: the walk over the window and the tiles for its width. */
typedef struct product {
    const int32_t *steps, *steps_end;
    const int8_t *b;
    int32_t q;
} product;

static product product_of(const void *packed, const int8_t *b, int32_t width)
{
    const gemm_header *header = packed;
    const bool wide = width <= 16;
    const uint8_t *steps = (const uint8_t *)packed + (wide ? header->wide : header->steps);
    const int32_t *begin = (const int32_t *)(const void *)steps;
    return (product){begin, begin + (wide ? header->n_wide : header->n_steps), b, (width + 15) / 16};
}

/* The sums of the next pixels from i on into `sums`, [.., 16 q]; returns their number. */
static int32_t run_tile(const product *p, const nw_gemm_call *call, int32_t i, const int32_t *init, int32_t *sums)
{
    const int32_t n = share(call->m - i, p->q);
    tiles[p->q - 1][n - 1](p->steps, p->steps_end, p->b, call->a + i, init, sums);
    return n;
}

static void run_panel(const nw_gemm_call *call, const int8_t *b, int32_t o, int32_t width)
{
    const nw_requant *requant = call->requant;
    const product product = product_of(call->packed, b, width);
    const int32_t q = product.q;
    const bool bounded = nw_requant_bounded_avx512vnni(requant, o, width);
    const int32_t *init = bounded ? requant->offset + o : zeros;
    finish_fn *const finish_rows = finishers[requant->residual_multiplier != NULL][q - 1];
    panel p = {.requant = requant, .o = o, .width = width};
    if (bounded) {
        p.lo = repeated_codes(requant->lo + o, requant->zero_point, q);
        p.hi = repeated_codes(requant->hi + o, requant->zero_point, q);
        p.zero16 = _mm512_set1_epi16((int16_t)requant->zero_point);
    }
    _Alignas(64) int32_t sums[MAX_SUMS];
    for (int32_t i = 0, n; i < call->m; i += n) {
        const uint8_t *const *residual = call->residual ? call->residual + i : NULL;
        n = run_tile(&product, call, i, init, sums);
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

void nw_gemm_run_avx512vnni(const nw_gemm_call *call)
{
    const gemm_header *header = call->packed;
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % GEMM_NR == 0 && call->begin < call->end && call->end <= header->n_channels);
    assert(call->end % GEMM_NR == 0 || call->end == header->n_channels);
    const size_t panel_size = gemm_panel_size(header, GEMM_NR);
    const int8_t *b = (const int8_t *)call->packed + header->outputs + (size_t)(call->begin / GEMM_NR) * panel_size;
    for (int32_t o = call->begin; o < call->end; o += GEMM_NR, b += panel_size)
        run_panel(call, b, o, nw_min32(GEMM_NR, header->n_channels - o));
}

static void run_extra_panel(const nw_gemm_call *call, const int8_t *b, int32_t e, int32_t width)
{
    const int32_t n_extra = call->requant->n_extra;
    const product product = product_of(call->packed, b, width);
    _Alignas(64) int32_t sums[MAX_SUMS];
    for (int32_t i = 0, n; i < call->m; i += n) {
        n = run_tile(&product, call, i, zeros, sums);
        for (int32_t r = 0; r < n; r++)
            memcpy(call->extra_sums + (i + r) * n_extra + e, sums + 16 * product.q * r, (size_t)width * 4);
    }
}

void nw_gemm_run_extra_avx512vnni(const nw_gemm_call *call)
{
    const gemm_header *header = call->packed;
    const size_t panel_size = gemm_panel_size(header, GEMM_NR);
    const int8_t *b = (const int8_t *)call->packed + header->extras;
    assert(call->requant->n_extra == header->n_extra);
    for (int32_t e = 0; e < header->n_extra; e += GEMM_NR, b += panel_size)
        run_extra_panel(call, b, e, nw_min32(GEMM_NR, header->n_extra - e));
}
