/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Float operators as plain C loops on dense tensors: what oneDNN does not have (data movement, resize, broadcasting in
 * all directions) and what it declines. Correct first; only the ones networks spend time in are written for speed.
 * Called by engine.c through the function that nw_plain_find names; shapes were checked by lower.c.
 */
#ifndef NARROW_FLOAT_PLAIN_H
#define NARROW_FLOAT_PLAIN_H

#include "model/model.h"

/** A dense tensor, outermost dimension first; dims[0] counts the batch. */
typedef struct nw_plain_view {
    int32_t rank;
    int64_t dims[NW_MAX_RANK];
    int64_t inner; /* RESIZE: elements that lie together at one pixel (channels of a block); 1 in plain NCHW */
    float *data;
} nw_plain_view;

/** @param inputs  [n_inputs] in the order of the node; absent ones have data == NULL */
typedef void nw_plain_fn(const nw_node *node, const nw_plain_view *inputs, int32_t n_inputs, const nw_plain_view *out);

/** The loop of an operator, or NULL. */
nw_plain_fn *nw_plain_find(nw_op op);

#endif
