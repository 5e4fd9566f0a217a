/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a pooling window that lies inside the picture, shared by the pooling kernels of every family. */
#ifndef NARROW_KERNELS_WINDOW_H
#define NARROW_KERNELS_WINDOW_H

#include "base/arith.h"
#include "kernels/kernels.h"

/** A box of rows x columns taps. */
typedef struct nw_taps {
    const uint8_t *x; /* the first tap, channel 0; the picture's start if there is none */
    int32_t rows, columns;
    ptrdiff_t row_step, column_step; /* bytes from tap to tap */
} nw_taps;

/** Taps start + t * dilation, 0 <= t < kernel, in [0, size): *first is the first such t, *n how many there are. */
static inline void nw_taps_cut(int32_t start, int32_t dilation, int32_t kernel, int32_t size, int32_t *first,
                               int32_t *n)
{
    const int32_t begin = start < 0 ? (-start + dilation - 1) / dilation : 0;
    const int32_t end = start >= size ? 0 : nw_min32((size - start + dilation - 1) / dilation, kernel);
    *first = begin;
    *n = nw_max32(end - begin, 0);
}

/** The taps of output pixel i; rows is 0 where none is inside. */
static inline nw_taps nw_taps_of(const nw_pool_call *call, int32_t i)
{
    nw_taps t;
    int32_t ky;
    int32_t kx;
    const int32_t ix = call->ix + i * call->stride_w;
    nw_taps_cut(call->iy, call->dilation_h, call->kernel_h, call->height, &ky, &t.rows);
    nw_taps_cut(ix, call->dilation_w, call->kernel_w, call->width, &kx, &t.columns);
    t.row_step = (ptrdiff_t)call->dilation_h * call->x_row_stride;
    t.column_step = (ptrdiff_t)call->dilation_w * call->x_pixel_stride;
    t.x = call->x;
    if (t.rows && t.columns)
        t.x += (ptrdiff_t)(call->iy + ky * call->dilation_h) * call->x_row_stride +
               (ptrdiff_t)(ix + kx * call->dilation_w) * call->x_pixel_stride;
    else
        t.rows = 0;
    return t;
}

#endif
