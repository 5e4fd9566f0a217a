/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise 3x3 and 5x5 along one output row, four positions at a time: the bytes of a column lie together for vpdpbusd
 * after 8 shuffles (5x5: 14, the fifth byte beside zeros), and serve every position that sees the column.
 *
 * A vector always holds 64 codes: with 16 q channels, q < 4, those of 4 / q positions far apart. Positions are then
 * split into 4 / q parts of equal length, which may overlap: they write the same bytes twice.
 *
 * With dilation, pixels whose columns meet are `column` bytes apart, and a row is that many walks over every second,
 * third, .. pixel. Eight channels fill half a lane: two pixels stand for one of 16 channels, and a column is half such
 * a pixel.
 *
 * Instructions on the vector ports for 64 outputs (counted), by groups of taps in depthwise.c 48 for 3x3 in pairs and
 * 60 else, 108 for 5x5; here for 3x3 with stride 1: 12 shuffles + 12 vpdpbusd + 23 of the epilogue, stride 2: 18 + 12 +
 * 23, q = 2 adds 5 or 7, q = 1 three times as many; 5x5: 28 + 40 + 23. What counts on Zen 5 (four ports, two loads a
 * cycle) is loads: a column is loaded once, and parameters once for four positions. Expected from a loop of its own for
 * 3x3: 15 cycles, where depthwise.c took 26 in pairs and 43 else; measured there, with rows from the second-level
 * cache: 19 to 25 with stride 1, 28 with stride 2. For 5x5: expected 40 instead of 75, measured 53 to 60.
 */
#include <string.h>

#include "base/arith.h"
#include "kernels/avx512vnni/depthwise_columns.h"
#include "kernels/avx512vnni/interleave.h"
#include "kernels/depthwise_groups.h"

#define POSITIONS 4
#define PAIRED 8 /* channels of which two pixels fill a lane */

/* A walk along positions of the row. */
typedef struct walk {
    const nw_block *block;
    const int8_t *weights;
    const nw_columns *shape;
    const uint8_t *a;
    uint8_t *c;
    ptrdiff_t a_step, c_step;       /* from position to position */
    ptrdiff_t a_part[4], c_part[4]; /* from the first part to each */
} walk;

/* Row r beside nothing. */
static NW_INLINE void interleave_one(__m512i v[4], __m512i r)
{
    const __m512i none = _mm512_setzero_si512();
    const __m512i low = _mm512_unpacklo_epi8(r, none);
    const __m512i high = _mm512_unpackhi_epi8(r, none);
    v[0] = _mm512_unpacklo_epi16(low, none);
    v[1] = _mm512_unpackhi_epi16(low, none);
    v[2] = _mm512_unpacklo_epi16(high, none);
    v[3] = _mm512_unpackhi_epi16(high, none);
}

/* Codes of four positions from their sums: parameters are loaded once for all of them. */
static NW_INLINE void outputs(__m512i y[POSITIONS], const nw_block_epilogue *e, __m512i acc[POSITIONS][4])
{
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m512 multiplier = e->multiplier[j];
        const __m512 bias = e->bias[j];
#pragma GCC unroll 4
        for (int p = 0; p < POSITIONS; p++) {
            const __m512 product = _mm512_mul_ps(multiplier, _mm512_cvtepi32_ps(acc[p][j]));
            acc[p][j] = _mm512_cvtps_epi32(_mm512_add_ps(bias, product));
        }
    }
    const __m512i zero16 = e->zero16;
    const __m512i lo = e->lo;
    const __m512i hi = e->hi;
#pragma GCC unroll 4
    for (int p = 0; p < POSITIONS; p++) {
        const __m512i codes = narrow(acc[p][0], acc[p][1], acc[p][2], acc[p][3], zero16);
        y[p] = _mm512_min_epu8(_mm512_max_epu8(codes, lo), hi);
    }
}

static NW_INLINE void store_parts(uint8_t *c, const ptrdiff_t part[4], __m512i y, int q, int32_t width)
{
    if (q == 4) {
        store_codes(c, y, width);
    } else if (width < 16 * q) {
        for (int p = 0; p < 4 / q; p++)
            _mm512_mask_storeu_epi8(c + part[p], low_bits(width), from_lane(y, q * p));
    } else {
        uint8_t *const pixels[4] = {c, c + part[1], c + part[2], c + part[3]};
        store_pixels(pixels, y, q, 4 / q, width);
    }
}

/* The sums of all positions that see column x, from one group of its rows; `weights` are those of the group's taps. */
static NW_INLINE void add_column(__m512i acc[POSITIONS][4], const __m512i v[4], const int8_t *weights, int x, int side,
                                 int stride)
{
    const int groups = (side + 3) / 4;
#pragma GCC unroll 4
    for (int p = 0; p < POSITIONS; p++) {
        const int tap = x - p * stride;
        if (tap < 0 || tap >= side)
            continue;
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            acc[p][j] = _mm512_dpbusd_epi32(acc[p][j], v[j], _mm512_loadu_si512(weights + 256 * groups * tap + 64 * j));
    }
}

/* Positions i .. i + 3 of every part. */
static NW_INLINE void four_positions(const walk *w, int32_t i, int q, int side, int stride)
{
    const nw_columns *shape = w->shape;
    const uint8_t *a = w->a + i * w->a_step;
    __m512i acc[POSITIONS][4];
#pragma GCC unroll 4
    for (int p = 0; p < POSITIONS; p++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            acc[p][j] = w->block->init[j];
#pragma GCC unroll 11
    for (int x = 0; x < (POSITIONS - 1) * stride + side; x++, a += shape->column) {
        __m512i v[4];
        const __m512i r0 = in_register(block_load(a + shape->row[0], q, false, w->a_part));
        const __m512i r1 = in_register(block_load(a + shape->row[1], q, false, w->a_part));
        const __m512i r2 = in_register(block_load(a + shape->row[2], q, false, w->a_part));
        if (side == 3) {
            interleave(v, r0, r1, r2, _mm512_setzero_si512());
            add_column(acc, v, w->weights, x, side, stride);
            continue;
        }
        interleave(v, r0, r1, r2, in_register(block_load(a + shape->row[3], q, false, w->a_part)));
        add_column(acc, v, w->weights, x, side, stride);
        interleave_one(v, in_register(block_load(a + shape->row[4], q, false, w->a_part)));
        add_column(acc, v, w->weights + 256, x, side, stride);
    }
    __m512i y[POSITIONS];
    outputs(y, &w->block->epilogue, acc);
    uint8_t *c = w->c + i * w->c_step;
#pragma GCC unroll 4
    for (int p = 0; p < POSITIONS; p++, c += w->c_step)
        store_parts(c, w->c_part, y[p], q, w->block->width);
}

/* n >= 4 positions; always called with constant q, side and stride. */
static NW_INLINE void run_walk(walk *w, int32_t n, int q, int side, int stride)
{
    const int32_t parts = 4 / q;
    const int32_t length = nw_max32(POSITIONS, (n + parts - 1) / parts);
    for (int32_t p = 0; p < 4; p++) {
        const ptrdiff_t start = p && p < parts ? p * (n - length) / (parts - 1) : 0;
        w->a_part[p] = start * w->a_step;
        w->c_part[p] = start * w->c_step;
    }
    for (int32_t i = 0; i < length; i += POSITIONS)
        four_positions(w, nw_min32(i, length - POSITIONS), q, side, stride);
}

/* One function for each shape of a vector: GCC 12 gives the loops of one that has them all fewer registers. */
static NW_NOINLINE void run_3x3_64(walk *w, int32_t n, int stride)
{
    if (stride == 1)
        run_walk(w, n, 4, 3, 1);
    else
        run_walk(w, n, 4, 3, 2);
}

static NW_NOINLINE void run_3x3_32(walk *w, int32_t n, int stride)
{
    if (stride == 1)
        run_walk(w, n, 2, 3, 1);
    else
        run_walk(w, n, 2, 3, 2);
}

static NW_NOINLINE void run_3x3_16(walk *w, int32_t n, int stride)
{
    if (stride == 1)
        run_walk(w, n, 1, 3, 1);
    else
        run_walk(w, n, 1, 3, 2);
}

static NW_NOINLINE void run_5x5_64(walk *w, int32_t n, int stride)
{
    if (stride == 1)
        run_walk(w, n, 4, 5, 1);
    else
        run_walk(w, n, 4, 5, 2);
}

static NW_NOINLINE void run_5x5_32(walk *w, int32_t n, int stride)
{
    if (stride == 1)
        run_walk(w, n, 2, 5, 1);
    else
        run_walk(w, n, 2, 5, 2);
}

static NW_NOINLINE void run_5x5_16(walk *w, int32_t n, int stride)
{
    if (stride == 1)
        run_walk(w, n, 1, 5, 1);
    else
        run_walk(w, n, 1, 5, 2);
}

static void run_positions(walk *w, int32_t n, int stride)
{
    static void (*const run[2][3])(walk *, int32_t, int) = {{run_3x3_16, run_3x3_32, run_3x3_64},
                                                            {run_5x5_16, run_5x5_32, run_5x5_64}};
    const int32_t width = w->block->width;
    run[w->shape->side == 5][width > 32 ? 2 : width > 16 ? 1 : 0](w, n, stride);
}

/* Pixels from one that sees a column to the next that does, for a stride of 1; else 0. */
static int32_t dilation_of(const nw_columns *shape, const nw_depthwise_call *call)
{
    return shape->column > 0 && call->a_step > 0 && shape->column % call->a_step == 0 ? shape->column / call->a_step
                                                                                      : 0;
}

static bool has_stride_2(const nw_columns *shape, const nw_depthwise_call *call)
{
    return call->a_step == 2 * shape->column;
}

bool nw_columns_serve(const nw_columns *shape, const nw_depthwise_call *call, int32_t q)
{
    if (!shape->side)
        return false;
    if (has_stride_2(shape, call))
        return call->n >= POSITIONS && q > 1; /* with 16 channels nine columns take more inserts than they save */
    const int32_t dilation = dilation_of(shape, call);
    return dilation && call->n / dilation >= POSITIONS;
}

void nw_columns_run(const nw_block *block, const nw_columns *shape, const int8_t *weights)
{
    const nw_depthwise_call *call = block->call;
    const int stride = has_stride_2(shape, call) ? 2 : 1;
    const int32_t n_walks = stride == 2 ? 1 : dilation_of(shape, call);
    for (int32_t first = 0; first < n_walks; first++) {
        walk w = {.block = block,
                  .weights = weights,
                  .shape = shape,
                  .a = call->a + (ptrdiff_t)first * call->a_step + block->channel,
                  .c = (uint8_t *)call->c + (ptrdiff_t)first * call->c_step + block->channel,
                  .a_step = (ptrdiff_t)n_walks * call->a_step,
                  .c_step = (ptrdiff_t)n_walks * call->c_step};
        run_positions(&w, (call->n - first + n_walks - 1) / n_walks, stride);
    }
}

bool nw_columns_can_pair(const nw_columns *shape, const nw_depthwise_call *call)
{
    return shape->side && shape->n_channels == PAIRED && shape->column == PAIRED && call->a_step == PAIRED &&
           call->c_step == PAIRED && call->n % 2 == 0 && call->n >= 2 * POSITIONS && call->requant->lo_code &&
           !call->requant->residual_multiplier;
}

static void twice(void *to, const void *from, size_t size)
{
    memcpy(to, from, PAIRED * size);
    memcpy((uint8_t *)to + PAIRED * size, from, PAIRED * size);
}

void nw_columns_run_paired(const nw_depthwise_call *call, const nw_columns *shape, const int8_t *weights)
{
    float bias[64] = {0}, multiplier[64] = {0};
    int32_t offset[64] = {0};
    uint8_t lo[64] = {0}, hi[64] = {0};
    nw_requant requant = *call->requant;
    twice(bias, requant.bias, sizeof(*bias));
    twice(multiplier, requant.multiplier, sizeof(*multiplier));
    twice(lo, requant.lo_code, sizeof(*lo));
    twice(hi, requant.hi_code, sizeof(*hi));
    twice(offset, requant.offset, sizeof(*offset));
    requant.bias = bias;
    requant.multiplier = multiplier;
    requant.lo_code = lo;
    requant.hi_code = hi;
    requant.offset = offset;
    nw_depthwise_call paired = *call;
    paired.requant = &requant;
    paired.a_step = paired.c_step = 2 * PAIRED;
    paired.n = call->n / 2;
    const nw_block block = block_of(&paired, 0, 2 * PAIRED, 1);
    for (int32_t i = 0; i < call->rows; i++) {
        nw_columns_run(&block, shape, weights);
        paired.a += call->a_row;
        paired.c = (uint8_t *)paired.c + call->c_row;
    }
}

nw_columns nw_columns_of(const nw_depthwise_source *source)
{
    nw_columns shape = {.n_channels = source->n_channels};
    const int32_t side = source->n_taps == 9 ? 3 : source->n_taps == 25 ? 5 : 0;
    if (!side)
        return shape;
    const int32_t *tap = source->tap_offset;
    shape.column = tap[1] - tap[0];
    for (int32_t t = 0; t < source->n_taps; t++) {
        shape.row[t / side] = tap[t / side * side];
        if (tap[t] != shape.row[t / side] + t % side * shape.column)
            return shape;
    }
    shape.side = shape.column > 0 ? side : 0;
    return shape;
}

/* Bytes of the block of 16 q channels from `first` on. */
static void pack_block(int8_t *to, const nw_depthwise_source *source, const nw_columns *shape, int32_t first, int32_t q)
{
    const int32_t n = source->n_channels;
    const int32_t side = shape->side;
    const int32_t groups = (side + 3) / 4;
    for (int32_t i = 0; i < nw_columns_block(shape); i++) {
        const int32_t tap = i / (256 * groups);
        const int32_t row = i / 256 % groups * 4 + i % 4;
        const int32_t place = first + i / 16 % 4 % q * 16 + i / 64 % 4 * 4 + i / 4 % 4;
        const int32_t channel = n == PAIRED ? place % PAIRED : place;
        const bool some = row < side && channel < n;
        to[i] = some ? source->weights[channel * side * side + row * side + tap] : 0;
    }
}

size_t nw_columns_pack(void *packed, const nw_depthwise_source *source, const nw_columns *shape)
{
    size_t size = 0;
    for (int32_t c = 0, q; c < source->n_channels; c += 16 * q, size += (size_t)nw_columns_block(shape)) {
        q = nw_depthwise_groups(source->n_channels - c, 4, 1);
        if (packed)
            pack_block((int8_t *)packed + size, source, shape, c, q);
    }
    return size;
}
