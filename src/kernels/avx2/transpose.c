/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A matrix of 4-byte elements turned over, 8 x 8 at a time: 24 shuffles, 8 loads and 8 stores for 64 elements, where
 * one by one it is 64 loads and stores. Columns are walked in pieces so that the lines that are written stay in the
 * first-level cache until they are full. Expected: 4 times as fast; measured on one Zen 5, against loops over elements:
 * 2 to 5 times (9 and 85 channels of 50000 and 2700 pixels).
 */
#include <immintrin.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/store.h"

#define SIDE 8
#define PIECE 64 /* rows of y */

static NW_INLINE void turn(__m256 r[SIDE])
{
    __m256 a[SIDE];
    __m256 b[SIDE];
#pragma GCC unroll 4
    for (int i = 0; i < SIDE; i += 2) {
        a[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < SIDE; i += 4) {
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < SIDE / 2; i++) {
        r[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

/* y[i][j] = x[j][i] for i < n <= 8, j < m <= 8; constants where they are 8. */
static NW_INLINE void block(uint8_t *y, ptrdiff_t y_step, const uint8_t *x, ptrdiff_t x_step, int32_t n, int32_t m)
{
    const __m256i columns = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), columns);
    __m256 r[SIDE];
#pragma GCC unroll 8
    for (int32_t j = 0; j < SIDE; j++) {
        const float *row = (const float *)(const void *)(x + (m == SIDE ? j : nw_min32(j, m - 1)) * x_step);
        r[j] = n == SIDE ? _mm256_loadu_ps(row) : _mm256_maskload_ps(row, mask);
    }
    turn(r);
#pragma GCC unroll 8
    for (int32_t i = 0; i < SIDE; i++)
        if (i < n)
            store_reals((float *)(void *)(y + i * y_step), r[i], m);
}

/* Columns [0, m) of the rows [begin, end) of y, m <= 8. */
static NW_INLINE void run_columns(const nw_transpose_call *call, int32_t begin, int32_t end, int32_t j, int32_t m)
{
    uint8_t *y = call->y + 4 * (ptrdiff_t)j;
    const uint8_t *x = call->x + j * call->x_step;
    int32_t i = begin;
    for (; i + SIDE <= end; i += SIDE)
        block(y + i * call->y_step, call->y_step, x + 4 * (ptrdiff_t)i, call->x_step, SIDE, m);
    if (i < end)
        block(y + i * call->y_step, call->y_step, x + 4 * (ptrdiff_t)i, call->x_step, end - i, m);
}

void nw_transpose_avx2(const nw_transpose_call *call)
{
    for (int32_t begin = 0; begin < call->n; begin += PIECE) {
        const int32_t end = nw_min32(begin + PIECE, call->n);
        int32_t j = 0;
        for (; j + SIDE <= call->m; j += SIDE)
            run_columns(call, begin, end, j, SIDE);
        if (j < call->m)
            run_columns(call, begin, end, j, call->m - j);
    }
}
