/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution along one output row. kernels/depthwise_quads.h draws the packed weights.
 *
 * Four taps of 64 codes are interleaved so that four bytes of one channel lie together (8 shuffles), then 4 vpdpbusd
 * add them. With three columns and a stride of one, the four columns x[i] .. x[i + 3] serve two pixels: weights (w0
 * w1 w2 0) for pixel i, (0 w0 w1 w2) for pixel i + 1. What follows the sums is in avx512/depthwise_block.h.
 *
 * Instructions on the vector ports for 64 outputs of a 3 x 3 kernel (counted): in pairs 12 shuffles + 12 vpdpbusd +
 * 24 of the epilogue, else 24 + 12 + 24.
 */
#include <assert.h>

#include "base/arith.h"
#include "kernels/avx512/depthwise_block.h"
#include "kernels/avx512vnni/avx512vnni.h"
#include "kernels/avx512vnni/depthwise_columns.h"
#include "kernels/avx512vnni/interleave.h"
#include "kernels/depthwise_quads.h"

#define LANES 4

/* A block with its packed weights. */
typedef struct block {
    nw_block base;
    const int32_t *taps;
    const int8_t *weights;
    int32_t n_groups, column; /* column in bytes */
    size_t shifted;
} block;

static NW_INLINE void multiply_add(__m512i acc[4], const __m512i v[4], const int8_t *weights)
{
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        acc[j] = _mm512_dpbusd_epi32(acc[j], v[j], _mm512_loadu_si512(weights + 64 * j));
}

/* Pixels i .. i + n - 1, n <= 4 / q, with any taps. Places of a vector past n repeat the last pixel. */
static NW_INLINE void run_vector(const block *b, const nw_block_epilogue *e, int q, bool together, int32_t i, int32_t n)
{
    ptrdiff_t pixel[4];
    const uint8_t *a = block_pixels(&b->base, i, n, pixel);
    const int32_t *tap = b->taps;
    const int8_t *weights = b->weights;
    __m512i acc[4] = {b->base.init[0], b->base.init[1], b->base.init[2], b->base.init[3]};
    for (int32_t g = 0; g < b->n_groups; g++, tap += 4, weights += 256) {
        __m512i v[4];
        interleave(v, block_load(a + tap[0], q, together, pixel), block_load(a + tap[1], q, together, pixel),
                   block_load(a + tap[2], q, together, pixel), block_load(a + tap[3], q, together, pixel));
        multiply_add(acc, v, weights);
    }
    block_finish(&b->base, e, q, acc, i, n);
}

/* Pixels i and i + 1 of a kernel three wide whose columns are one pixel apart; 64 channels. */
static NW_INLINE void run_pair(const block *b, const nw_block_epilogue *e, int32_t i)
{
    const uint8_t *a = b->base.call->a + (ptrdiff_t)i * b->base.call->a_step + b->base.channel;
    const int32_t *tap = b->taps;
    const int8_t *weights = b->weights;
    const ptrdiff_t column = b->column;
    __m512i left[4] = {b->base.init[0], b->base.init[1], b->base.init[2], b->base.init[3]};
    __m512i right[4] = {b->base.init[0], b->base.init[1], b->base.init[2], b->base.init[3]};
    for (int32_t g = 0; g < b->n_groups; g++, tap += 4, weights += 256) {
        const uint8_t *x = a + tap[0];
        __m512i v[4];
        interleave(v, _mm512_loadu_si512(x), _mm512_loadu_si512(x + column), _mm512_loadu_si512(x + 2 * column),
                   _mm512_loadu_si512(x + 3 * column));
        multiply_add(left, v, weights);
        multiply_add(right, v, weights + b->shifted);
    }
    block_finish(&b->base, e, 4, left, i, 1);
    block_finish(&b->base, e, 4, right, i + 1, 1);
}

static NW_NOINLINE void run_pairs(const block *b)
{
    const nw_block_epilogue e = b->base.epilogue;
    int32_t i = 0;
    for (; i + 2 <= b->base.call->n; i += 2)
        run_pair(b, &e, i);
    if (i < b->base.call->n)
        run_vector(b, &e, 4, true, i, 1);
}

/* All pixels of a block of 16 q channels; always called with constant q and together. */
static NW_INLINE void run_block(const block *b, int q, bool together)
{
    const nw_block_epilogue e = b->base.epilogue;
    for (int32_t i = 0; i < b->base.call->n; i += 4 / q)
        run_vector(b, &e, q, together, i, nw_min32(4 / q, b->base.call->n - i));
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

/* Packed weights open with this, then what depthwise_quads.h draws, then those of depthwise_columns.h. */
typedef struct packed_weights {
    int64_t quads, columns; /* bytes from the start */
    nw_columns shape;
} packed_weights;
_Static_assert(sizeof(packed_weights) <= NW_ALIGNMENT, "the quads begin behind it");

size_t nw_depthwise_pack_avx512vnni(void *packed, const nw_depthwise_source *source)
{
    packed_weights whole = {.quads = NW_ALIGNMENT, .shape = nw_columns_of(source)};
    uint8_t *base = packed;
    size_t size = NW_ALIGNMENT + nw_depthwise_quads_pack(base ? base + whole.quads : NULL, source, LANES, 1);
    size = nw_align(size, NW_ALIGNMENT);
    whole.columns = (int64_t)size;
    if (whole.shape.side)
        size += nw_columns_pack(base ? base + whole.columns : NULL, source, &whole.shape);
    if (packed)
        memcpy(packed, &whole, sizeof(whole));
    return size;
}

/* A block by groups of rows or of any taps. */
static void run_quads(const block *b, int32_t q)
{
    const int32_t a_step = b->base.call->a_step;
    if (q == 4 && b->column && b->column == a_step)
        run_pairs(b);
    else if (q == 4)
        run_64(b);
    else if (q == 2)
        run_32(b, a_step == 32);
    else
        run_16(b, a_step == 16);
}

/* The rows of a block, whose parameters are brought into their order once for all. */
static void run_rows_of_block(block *b, const packed_weights *whole, const int8_t *columns, int32_t q)
{
    const nw_depthwise_call *call = b->base.call;
    nw_depthwise_call row = *call;
    b->base.call = &row;
    const bool by_columns = b->base.bounded && nw_columns_serve(&whole->shape, call, q);
    for (int32_t i = 0; i < call->rows; i++) {
        if (by_columns)
            nw_columns_run(&b->base, &whole->shape, columns);
        else
            run_quads(b, q);
        row.a += call->a_row;
        row.c = (uint8_t *)row.c + call->c_row;
        if (row.residual)
            row.residual += call->residual_row;
    }
    b->base.call = call;
}

void nw_depthwise_run_rows_avx512vnni(const nw_depthwise_call *call)
{
    const packed_weights *whole = call->packed;
    const uint8_t *quads = (const uint8_t *)call->packed + whole->quads;
    const nw_depthwise_quads *header = (const nw_depthwise_quads *)(const void *)quads;
    const int8_t *weights = (const int8_t *)quads + header->blocks;
    const int8_t *columns = (const int8_t *)call->packed + whole->columns;
    assert(call->n >= 1 && call->requant->n_extra == 0);
    if (nw_columns_can_pair(&whole->shape, call)) {
        nw_columns_run_paired(call, &whole->shape, columns);
        return;
    }
    block b = {.taps = (const int32_t *)(const void *)(quads + header->taps),
               .n_groups = header->n_groups,
               .column = header->column,
               .shifted = (size_t)header->shifted};
    for (int32_t c = 0, q; c < header->n_channels; c += 16 * q) {
        q = nw_depthwise_groups(header->n_channels - c, LANES, 1);
        b.base = block_of(call, c, header->n_channels, q);
        b.weights = weights;
        run_rows_of_block(&b, whole, columns, q);
        weights += header->block_size;
        columns += nw_columns_block(&whole->shape);
    }
}

void nw_depthwise_run_avx512vnni(const nw_depthwise_call *call)
{
    nw_depthwise_call one = *call;
    one.rows = 1;
    nw_depthwise_run_rows_avx512vnni(&one);
}
