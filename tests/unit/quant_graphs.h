/* SPDX-License-Identifier: Apache-2.0 */
/* Small float networks with random weights, made by hand, for the tests of src/quant. */
#ifndef NARROW_TESTS_QUANT_GRAPHS_H
#define NARROW_TESTS_QUANT_GRAPHS_H

#include "model/model.h"
#include "quant/calibrate.h"
#include "quant/code_book.h"

/** Deterministic randomness: uniform in [-1, 1), roughly normal. */
typedef struct graph_random {
    uint64_t state;
} graph_random;

float graph_uniform(graph_random *random);
float graph_normal(graph_random *random);

/** What a linear node of a test network looks like. */
typedef struct graph_layer {
    int32_t outputs, kernel, stride, pad, groups;
    float lo, hi;
    int32_t residual; /* tensor or NW_NONE */
    bool transpose;
} graph_layer;

/** Appends tensors and node with He-scaled random weights and small biases; returns the output tensor. */
int32_t graph_linear(nw_model *model, graph_random *random, int32_t x, const char *name, graph_layer layer);

/** The uniform code book of 1 to 8 bits. */
const nw_code_book *uniform_book(int32_t bits);

/** Appends a node of one input. `dims` of the output (4 numbers). */
int32_t graph_unary(nw_model *model, nw_op op, int32_t x, const char *name, int32_t rank, const int32_t *dims);

/** A model with one input [1, channels, size, size], its tensor index 0. */
nw_model *graph_create(int32_t channels, int32_t size);

/**
 * Everything the first networks hold: ReLU, ReLU6 behind a depthwise layer, residual, pools, transposed convolution,
 * Concat, an elementwise function. Input [1, 3, 16, 16], output [1, 10].
 */
nw_model *graph_zoo(uint64_t seed);

/** Declares the only output. */
void graph_finish(nw_model *model, int32_t output);

/** Samples of standard normal values, the same for the same index. */
nw_status graph_read(void *model, int64_t index, float *const *inputs, nw_error *error);

/** Calibrates on `n` samples of graph_read. */
nw_calibration *graph_calibrate(nw_model *model, int64_t n, int32_t batch);

/** Runs sample `index` through the float and the integer engine. `out` have room for the first output. */
void graph_run_float(const nw_model *model, int64_t index, float *out);
void graph_run_integer(const nw_model *integer, const nw_model *model, int64_t index, float *out);

/** 10 log10 of signal to noise over the outputs of `n` samples that calibration did not see. */
double graph_sqnr(const nw_model *integer, const nw_model *model, int32_t n);

#endif
