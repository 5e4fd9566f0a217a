/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture with vpdpbusd. kernels/gemm_quads.h draws the packed weights; ops/ makes the
 * calls.
 *
 * A tile is mr pixels by q vectors of 16 channels. One step: q loads of weights, mr broadcasts of activations, mr * q
 * vpdpbusd; with q = 1 steps are eight bytes wide and sums take two vectors (gemm_quads.h):
 *
 *     tile     vpdpbusd  loads (weights + broadcasts + step)   of 32 registers   cycles a step (Zen 5, measured)
 *     6 x 64      24         4 +  6 + 1                          24 + 4 + 1       12.1
 *     8 x 48      24         3 +  8 + 1                          24 + 3 + 1       12.1
 *     10 x 32     20         2 + 10 + 1                          20 + 2 + 1       10.1
 *     10 x 16     20         2 + 10 + 1                          20 + 2 + 1       10.1
 *
 * With two vpdpbusd and two loads a cycle all are bound by vpdpbusd. At least ten accumulators hide its latency of
 * five cycles; more than 10 pixels would need more base pointers than there are general registers. The activation is
 * the unsigned operand, which the instruction cannot broadcast itself, but vpbroadcastd from memory is a load and
 * takes no vector port.
 *
 * Sums become codes in their registers (finish.h); off the bounded way they go through a small buffer.
 *
 * Panels of more than 32 channels prefetch the next panel into L2, a line each step: deep layers read more weights than
 * L2 holds, for few pixels. A panel of 512 x 3 x 3 inputs takes 295 kB, which eight tiles of 6 x 64 have 28 us for.
 *
 * Tiles of 10 x 32 prefetch the pixels that the next tile is the first to read. On a picture larger than L2 (226 x 226
 * x 64) a 3 x 3 layer of 32 channels takes 4 to 7 % less time by that; with 64 channels, where as many lines meet twice
 * the work, it took 1 % more, with 16 1 to 2 %.
 *
 * Measured on Zen 5, operands in L1, of the peak of vpdpbusd: the loop alone 99 %. The epilogue of 6 x 64 outputs takes
 * 60 cycles, 110 with a residual, and hardly overlaps with the next tile; why is not known. What changed nothing: lower
 * tiles, additions on the ports that multiply, no vzeroupper. Slower: through the buffer (70; 24 stores in a row cost
 * 39), from the buffer between the steps of the next tile (107), pixel by pixel (95).
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx512/finish.h"
#include "kernels/avx512vnni/avx512vnni.h"
#include "kernels/gemm_quads.h"

#define NR NW_AVX512VNNI_NR
#define MAX_MR 10
#define MAX_VECTORS 24
#define PREFETCHING 4 /* tiles that prefetch the next panel */

/* What the tiles of a panel share. */
typedef struct work {
    nw_quads_panel panel;
    const int32_t *start;    /* [16 q] what sums start from */
    const nw_finish *finish; /* NULL, or not the bounded way: sums are wanted */
    int32_t *sums;           /* [.., 16 q] */
    const int8_t *ahead;     /* prefetched, and its advance in each step */
    ptrdiff_t stride;
} work;

/* The product of a panel with the pixels a[..], i first: outputs, or sums. */
typedef void tile_fn(const work *w, const uint8_t *const *a, int32_t i);

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

/* Position within a panel. */
typedef struct cursor {
    const int32_t *steps;
    const int8_t *weights;
    const int8_t *ahead; /* prefetched */
} cursor;

/* acc[v * i + j] += the products of one step, v vectors of `size` bytes. */
static NW_INLINE void step(__m512i *acc, int mr, int v, int size, cursor *at, ptrdiff_t stride,
                           const uint8_t *const x[MAX_MR])
{
    const ptrdiff_t offset = *at->steps++;
    __m512i w[4];
#pragma GCC unroll 4
    for (int j = 0; j < v; j++)
        w[j] = in_register(_mm512_loadu_si512(at->weights + 64 * j)); /* not loaded anew for each pixel */
    at->weights += 64 * v;
    if (v > 2) {
        _mm_prefetch((const char *)at->ahead, _MM_HINT_T1);
        at->ahead += stride;
    }
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++) {
        const __m512i codes = size == 8 ? broadcast8(x[i] + offset) : broadcast4(x[i] + offset);
#pragma GCC unroll 4
        for (int j = 0; j < v; j++)
            acc[v * i + j] = _mm512_dpbusd_epi32(acc[v * i + j], codes, w[j]);
    }
}

/* acc[v * i + j] += the product of one panel with mr pixels; constant mr and q. */
static NW_INLINE void multiply(__m512i *acc, int mr, int q, const work *w, const uint8_t *const *a)
{
    const uint8_t *x[MAX_MR];
    const int v = q == 1 ? 2 : q;
    cursor at = {w->panel.steps, w->panel.weights, w->ahead};
    const int32_t *const steps_end = w->panel.steps_end;
    const ptrdiff_t stride = w->stride;
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++) {
        x[i] = a[i];
#pragma GCC unroll 4
        for (int j = 0; j < v; j++)
            acc[v * i + j] = in_register(acc[v * i + j]);
    }
    while (at.steps != steps_end)
        step(acc, mr, v, q == 1 ? 8 : 4, &at, stride, x);
}

/* acc[q * i + j] = start[16 j ..] + the product, for mr pixels and q vectors; always called with constants. */
static NW_INLINE void wide_sums(__m512i *acc, int mr, int q, const work *w, const uint8_t *const *a)
{
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int j = 0; j < q; j++)
            acc[q * i + j] = _mm512_loadu_si512(w->start + 16 * j);
    multiply(acc, mr, q, w, a);
}

/* The same for a panel of 16 rows. Even and odd elements hold the sums over the two halves of each wide step. */
static NW_INLINE void narrow_sums(__m512i *acc, int mr, const work *w, const uint8_t *const *a)
{
    const __m512i first = _mm512_loadu_si512(w->start);
    __m512i halves[2 * MAX_MR];
#pragma GCC unroll 20
    for (int v = 0; v < 2 * mr; v++)
        halves[v] = _mm512_setzero_si512();
    multiply(halves, mr, 1, w, a);
#pragma GCC unroll 10
    for (int i = 0; i < mr; i++) {
        const __m512 low = _mm512_castsi512_ps(halves[2 * i]);
        const __m512 high = _mm512_castsi512_ps(halves[2 * i + 1]);
        const __m512i even = _mm512_castps_si512(_mm512_shuffle_ps(low, high, 0x88));
        const __m512i odd = _mm512_castps_si512(_mm512_shuffle_ps(low, high, 0xdd));
        acc[i] = _mm512_add_epi32(first, _mm512_add_epi32(even, odd));
    }
}

/* A tile_fn; always called with constant mr and q. */
static NW_INLINE void tile(int mr, int q, const work *w, const uint8_t *const *a, int32_t i)
{
    __m512i acc[MAX_VECTORS];
    if (q == 1)
        narrow_sums(acc, mr, w, a);
    else
        wide_sums(acc, mr, q, w, a);
    if (w->finish && w->finish->bounded) {
        finish_tile(q, mr, w->finish, acc, i);
        return;
    }
#pragma GCC unroll 24
    for (int v = 0; v < mr * q; v++)
        _mm512_storeu_si512(w->sums + 16 * v, acc[v]);
}

#define TILE(mr, q)                                                                \
    static void tile_##mr##_##q(const work *w, const uint8_t *const *a, int32_t i) \
    {                                                                              \
        tile(mr, q, w, a, i);                                                      \
    }

#include "kernels/avx512/tiles.h"

/*
 * The part of the next panel that tile t of n prefetches, or of what lies behind the last panel: the next layer's first
 * one where layers are packed in order.
 */
static void choose_ahead(work *w, int32_t t, int32_t n)
{
    const nw_quads_panel *p = &w->panel;
    const ptrdiff_t n_steps = p->steps_end - p->steps;
    const bool used = t < PREFETCHING && n > 1;
    w->ahead = used ? p->weights + n_steps * 64 * (p->q + t * p->q / PREFETCHING) : p->weights;
    w->stride = used ? 64 : 0;
}

/*
 * The lines that a tile is the first to read: those of its pixels' last step. What lies before was read by the tiles of
 * earlier rows and columns.
 */
static NW_INLINE void prefetch_pixels(const uint8_t *const *a, int32_t n, ptrdiff_t offset)
{
    for (int32_t i = 0; i < n; i++)
        _mm_prefetch((const char *)a[i] + offset, _MM_HINT_T0);
}

static void run_panel(const nw_gemm_call *call, int32_t o)
{
    nw_finish finish;
    _Alignas(64) int32_t sums[MAX_VECTORS * 16];
    work w = {.panel = nw_quads_panel_at(call->packed, false, o), .finish = &finish, .sums = sums};
    const int32_t q = w.panel.q;
    const shares s = share(call->m, q);
    nw_finish_init_avx512(&finish, call, o, w.panel.width);
    w.start = finish.start;
    for (int32_t t = 0, i = 0, n; t < s.n; t++, i += n) {
        n = s.rows + (t < s.larger);
        if (q > 2)
            choose_ahead(&w, t, s.n);
        if (q == 2 && o == call->begin && w.panel.steps != w.panel.steps_end)
            prefetch_pixels(call->a + i + n, nw_min32(n, call->m - i - n), w.panel.steps_end[-1]);
        tiles[q - 1][n - 1](&w, call->a + i, i);
        if (!finish.bounded)
            nw_finish_run_avx512(&finish, sums, i, n);
    }
}

size_t nw_gemm_pack_avx512vnni(void *packed, const nw_gemm_source *source)
{
    return nw_quads_pack(packed, source, NR, true);
}

void nw_gemm_run_avx512vnni(const nw_gemm_call *call)
{
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % NR == 0 && call->begin < call->end);
    for (int32_t o = call->begin; o < call->end; o += NR)
        run_panel(call, o);
}

void nw_gemm_run_extra_avx512vnni(const nw_gemm_call *call)
{
    const int32_t n_extra = call->requant->n_extra;
    _Alignas(64) int32_t sums[MAX_VECTORS * 16];
    for (int32_t e = 0; e < n_extra; e += NR) {
        work w = {.panel = nw_quads_panel_at(call->packed, true, e), .start = nw_finish_zeros_avx512, .sums = sums};
        const int32_t q = w.panel.q;
        const shares s = share(call->m, q);
        w.ahead = w.panel.weights;
        for (int32_t t = 0, i = 0, n; t < s.n; t++, i += n) {
            n = s.rows + (t < s.larger);
            tiles[q - 1][n - 1](&w, call->a + i, i);
            for (int32_t r = 0; r < n; r++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + r) * n_extra + e, sums + 16 * q * r,
                       (size_t)w.panel.width * 4);
        }
    }
}
