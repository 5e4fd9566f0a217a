/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Float weight rows to small signed integers: w ~ step * q, q from a code book (code_book.h), one step per row.
 *
 *     double step = nw_weights_quantize_row(q, w, k, &book, NW_WEIGHTS_MSE, NULL);
 *
 * A row of zeros has step 0.
 */
#ifndef NARROW_QUANT_WEIGHTS_H
#define NARROW_QUANT_WEIGHTS_H

#include <stdint.h>

#include "model/model.h"
#include "quant/code_book.h"

/** How the step of a row is chosen. */
typedef enum nw_weight_method {
    NW_WEIGHTS_MIN_MAX, /* the largest magnitude becomes the largest code */
    NW_WEIGHTS_MSE,     /* least sum of (w - step q)^2 */
    NW_WEIGHTS_OUTPUT   /* least sum of importance[k] (w - step q)^2: of the output, if inputs do not correlate */
} nw_weight_method;

/**
 * Quantizes one row.
 *
 * @param q           [k] out
 * @param w           [k] finite
 * @param importance  [k] >= 0, NW_WEIGHTS_OUTPUT only: variance of the input that meets the weight; NULL: all alike
 * @return the step, >= 0: of the book if that gives one and, but for books per tensor, it is large enough for every
 *         code to fit
 */
double nw_weights_quantize_row(int8_t *q, const double *w, int32_t k, const nw_code_book *book, nw_weight_method method,
                               const double *importance);

/** The least width, 2 to 8, that holds all of n codes. */
int32_t nw_weights_least_bits(const int8_t *q, size_t n);

/**
 * Row of output channel o of a linear node (CONV, CONV_TRANSPOSE, GEMM) in the order kh, kw, c (c: within the group).
 *
 * @param weights  the node's weight constant: [O, C/groups, kh, kw], CONV_TRANSPOSE [C, O/groups, kh, kw], GEMM [O, K]
 * @param row      [k] out
 */
void nw_weights_row(double *row, const nw_node *node, const nw_tensor *weights, int32_t o);

/** Output channels, row length, input channels of a group, output channels of a group. */
typedef struct nw_linear_shape {
    int32_t n_channels, k, group_inputs, group_outputs, taps;
} nw_linear_shape;

nw_linear_shape nw_linear_shape_of(const nw_node *node, const nw_tensor *weights);

/** Input channel that meets entry `index` of the row of output channel o. */
int32_t nw_linear_input_channel(const nw_linear_shape *shape, int32_t o, int32_t index);

/** Where that entry lies in the node's weight constant. */
size_t nw_weights_index(const nw_linear_shape *shape, bool transpose, int32_t o, int32_t index);

#endif
