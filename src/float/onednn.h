/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only door to oneDNN: engine.c and lower.c see layouts and operators, never a dnnl type.
 *
 * A layout says how a tensor of logical shape [N, C, H, W] lies in memory (plain NCHW, channels in blocks of 8, ...).
 * An operator is one oneDNN primitive with numbered slots: inputs first, the output last. Operators are made and bound
 * to memory once; executing one allocates nothing.
 *
 *     nw_dnn_linear conv;
 *     nw_dnn_convolution(dnn, &shape, &conv);         oneDNN picks the layouts it is fastest with
 *     nw_dnn_bind(conv.op, NW_DNN_SOURCE, x);         memory in the layout conv.source; likewise weights, bias, result
 *     nw_dnn_execute(dnn, conv.op, scratch);
 *
 * Every function that makes an operator returns NW_ERROR_UNSUPPORTED when oneDNN has no implementation of it (the
 * caller then runs plain.c), NW_ERROR_MEMORY, or NW_ERROR_INTERNAL.
 */
#ifndef NARROW_FLOAT_ONEDNN_H
#define NARROW_FLOAT_ONEDNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

/** A layout by value; 696 bytes is what oneDNN 2.x needs (onednn.c asserts it). */
typedef struct nw_dnn_layout {
    uint64_t bytes[87];
} nw_dnn_layout;

typedef struct nw_dnn nw_dnn;       /* engine and stream of the CPU */
typedef struct nw_dnn_op nw_dnn_op; /* a primitive, its memory objects */

nw_status nw_dnn_create(nw_dnn **out);
void nw_dnn_free(nw_dnn *dnn);

/** Threads the operators made from now on by this thread use; nw_dnn_threads() says how many. */
void nw_dnn_set_threads(int32_t threads);
int32_t nw_dnn_threads(void);

/** Ends the idle OpenMP threads, so that they do not spin beside another thread pool. The next run starts new ones. */
void nw_dnn_release_threads(void);

/* Layouts */

/** Dense NCHW. */
void nw_dnn_layout_plain(nw_dnn_layout *layout, const int64_t dims[4]);

bool nw_dnn_layout_equal(const nw_dnn_layout *a, const nw_dnn_layout *b);

/** Whether it is dense NCHW in memory (blocked layouts of one pixel may be). */
bool nw_dnn_layout_is_plain(const nw_dnn_layout *layout);

/** Bytes, padding of the last channel block included. */
size_t nw_dnn_layout_size(const nw_dnn_layout *layout);

/** The same memory seen with another shape of as many elements; false if its order does not allow that. */
bool nw_dnn_layout_reshape(nw_dnn_layout *out, const nw_dnn_layout *in, const int64_t dims[4]);

/**
 * Whether the memory is dense [outer, H, W, inner]: NCHW (outer = N * C, inner = 1), blocks of channels
 * (outer = N * blocks, inner = block), NHWC (outer = N, inner = C).
 */
bool nw_dnn_layout_planes(const nw_dnn_layout *layout, size_t *outer, size_t *inner);

/** The same order of elements for a tensor of another height and width. False where nw_dnn_layout_planes is false. */
bool nw_dnn_layout_resize(nw_dnn_layout *out, const nw_dnn_layout *in, int64_t height, int64_t width);

/**
 * The layout of a concatenation along the channels whose memory is, sample by sample, the memory of the sources one
 * after the other. False if they do not fit together like that: different orders, a source with a padded last block.
 */
bool nw_dnn_layout_concat(nw_dnn_layout *out, const nw_dnn_layout *sources, int32_t n_sources);

/* Operators */

enum { NW_DNN_SOURCE = 0, NW_DNN_WEIGHTS = 1, NW_DNN_BIAS = 2, NW_DNN_RESULT = 3 }; /* slots of a linear operator */

/** clamp(conv(x) + bias [+ what the result held before], lo, hi); infinite bounds mean no clamp. */
typedef struct nw_dnn_linear_shape {
    int64_t source[4], result[4];
    int64_t groups;
    nw_window window;
    bool add_to_result;
    float lo, hi;
} nw_dnn_linear_shape;

typedef struct nw_dnn_linear {
    nw_dnn_op *op;
    nw_dnn_layout source, weights, bias, result; /* as the operator wants them */
    nw_dnn_layout model_weights;                 /* as the model stores them */
} nw_dnn_linear;

/** Weights in the model: [O, C / groups, kh, kw]. */
nw_status nw_dnn_convolution(nw_dnn *dnn, const nw_dnn_linear_shape *shape, nw_dnn_linear *out);

/** Weights in the model: [C, O / groups, kh, kw]. */
nw_status nw_dnn_deconvolution(nw_dnn *dnn, const nw_dnn_linear_shape *shape, nw_dnn_linear *out);

/** Fully connected: source [N, C, 1, 1], result [N, O, 1, 1], weights [O, C]; the window is not looked at. */
nw_status nw_dnn_inner_product(nw_dnn *dnn, const nw_dnn_linear_shape *shape, nw_dnn_linear *out);

/** Slots: source, result. Sets *result_layout. */
nw_status nw_dnn_pool(nw_dnn *dnn, const nw_node *node, const nw_dnn_layout *source, const int64_t result[4],
                      nw_dnn_op **out, nw_dnn_layout *result_layout);

/** clamp(a op b, lo, hi) for ADD, SUB, MUL, DIV; b may be 1 where a is not. Slots: a, b, result (layout of a). */
nw_status nw_dnn_binary(nw_dnn *dnn, const nw_node *node, const nw_dnn_layout *a, const nw_dnn_layout *b,
                        nw_dnn_op **out);

/** RELU, CLIP, SIGMOID, ... Slots: source, result (same layout; may be the same memory). */
nw_status nw_dnn_eltwise(nw_dnn *dnn, const nw_node *node, const nw_dnn_layout *source, nw_dnn_op **out);

/** Slots: source, mean, variance, scale, shift (all plain [C]), result (layout of the source; may be its memory). */
nw_status nw_dnn_batch_norm(nw_dnn *dnn, float epsilon, const nw_dnn_layout *source, nw_dnn_op **out);

/** Slots: sources in order, result. Sets *result_layout. */
nw_status nw_dnn_concat(nw_dnn *dnn, int32_t axis, const nw_dnn_layout *sources, int32_t n_sources, nw_dnn_op **out,
                        nw_dnn_layout *result_layout);

/** Copies between layouts. Slots: source, result. */
nw_status nw_dnn_reorder(nw_dnn *dnn, const nw_dnn_layout *source, const nw_dnn_layout *result, nw_dnn_op **out);

/**
 * c = a b + beta c for matrices row by row, beta 0 or 1; the same bits for the same number of threads.
 *
 * @param a, lda  [m, k] with rows of lda >= k floats; transpose_a: [k, m]. b likewise [k, n] or [n, k], c [m, n]
 */
typedef struct nw_dnn_matrix {
    const float *data;
    size_t stride; /* floats from one row to the next */
    bool transposed;
} nw_dnn_matrix;
nw_status nw_dnn_multiply(float *c, size_t stride, size_t m, size_t n, size_t k, const nw_dnn_matrix *a,
                          const nw_dnn_matrix *b, float beta);

void nw_dnn_op_free(nw_dnn_op *op);

/** Name of the implementation oneDNN chose ("jit:avx2", "ref:any"); lives as long as the operator. */
const char *nw_dnn_op_implementation(const nw_dnn_op *op);

/** Bytes of scratch memory (64-byte aligned) that nw_dnn_execute needs. */
size_t nw_dnn_op_scratch_size(const nw_dnn_op *op);

/** Says where a slot lies; the memory must outlive the executions. May write the padding of a blocked layout. */
nw_status nw_dnn_bind(nw_dnn_op *op, int32_t slot, void *data);

nw_status nw_dnn_execute(nw_dnn *dnn, nw_dnn_op *op, void *scratch);

#endif
