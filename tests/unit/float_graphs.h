/* SPDX-License-Identifier: Apache-2.0 */
/* Small float networks with random weights, piece by piece, for the tests of src/float. */
#ifndef NARROW_TESTS_FLOAT_GRAPHS_H
#define NARROW_TESTS_FLOAT_GRAPHS_H

#include "model/model.h"

#define DIMS(...) ((const int32_t[]){__VA_ARGS__})

/** kernel, stride, dilation, pads {top, left, bottom, right}. */
#define WINDOW(kh, kw, sh, sw, dh, dw, ...)     \
    {                                           \
        {kh, kw}, {sh, sw}, {dh, dw}, __VA_ARGS__ \
    }

/** The next of a sequence in [-1, 1), the same in every run; and n of them, the caller's to free. */
float random_float(void);
float *random_data(size_t n);

/** Appends a tensor of reals, without or with random values; returns its index. */
int32_t add_tensor(nw_model *model, const char *name, int32_t rank, const int32_t *dims);
int32_t add_constant(nw_model *model, const char *name, int32_t rank, const int32_t *dims);

/** Appends a node of n inputs; valid until the next one. */
nw_node *add_node(nw_model *model, nw_op op, const char *name, int32_t n, const int32_t *inputs, int32_t output);

/** Declares the only input and the only output. */
void set_ends(nw_model *model, int32_t input, int32_t output);

/** Fails unless got is expected within the rounding of binary32 sums. */
void assert_close(double got, double expected, const char *what);

#endif
