/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators written from their definitions, in double precision, one value at a time: what the tests hold the float
 * engine against. They share no code with src/float.
 */
#ifndef NARROW_TESTS_FLOAT_REFERENCE_H
#define NARROW_TESTS_FLOAT_REFERENCE_H

#include "model/model.h"

/* A dense [n, c, h, w]. */
typedef struct plane4 {
    int32_t n, c, h, w;
    const float *data;
} plane4;

/** One value of a convolution (before residual and clamp). */
double reference_conv(const nw_node *node, plane4 x, const float *weights, int32_t channels_out, int32_t n, int32_t o,
                      int32_t y, int32_t x_out);

/** One value of a transposed convolution. */
double reference_conv_transpose(const nw_node *node, plane4 x, const float *weights, int32_t channels_out, int32_t n,
                                int32_t o, int32_t y, int32_t x_out);

/** One value of a pool. */
double reference_pool(const nw_node *node, plane4 x, int32_t n, int32_t c, int32_t y, int32_t x_out);

#endif
