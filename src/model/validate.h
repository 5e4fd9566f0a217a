/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of nw_model_validate. Private to validate*.c: validate.c walks the graph and checks its tensors,
 * validate_shapes.c each operator's rule of shapes, validate_numbers.c what the arithmetic relies on.
 */
#ifndef NARROW_MODEL_VALIDATE_H
#define NARROW_MODEL_VALIDATE_H

#include "model/model.h"

/** Largest kernel, stride, dilation and pad of a window: keeps every position in int32. */
#define NW_MAX_WINDOW (1 << 20)
/** Most elements of a tensor, and of a picture with the pads of a consumer around it: keeps every offset in int32. */
#define NW_MAX_ELEMENTS ((int64_t)1 << 30)
/** Most tensors, nodes and inputs of a node. */
#define NW_MAX_ITEMS (1 << 16)
/** Most weights of one row: keeps products with the pixels of a tile in int32. */
#define NW_MAX_K (1 << 23)
/** Most groups times strides of a transposed convolution, each of which is a matrix product of its own. */
#define NW_MAX_PHASES (1 << 20)

/** Largest height and width of either side of a Resize. */
#define NW_MAX_RESIZE (1 << 16)

/** What most checks look at: a node with its first input and its output. */
typedef struct nw_check {
    const nw_model *model;
    const nw_node *node;
    const nw_tensor *x, *y;
    nw_error *error;
} nw_check;

/** NW_ERROR_DATA with the sentence `node "<name>" (<operator>): <what>`. */
nw_status nw_check_fail(const nw_check *check, const char *format, ...) NW_PRINTF(2, 3);

/** Number and types of inputs are right when these two are called; nw_check_shapes comes first. */
nw_status nw_check_shapes(const nw_check *check);
nw_status nw_check_numbers(const nw_check *check);

/** Codes of channel c with the pad code among them: lowest, highest. */
void nw_check_codes(const nw_tensor *tensor, int32_t c, int32_t *lowest, int32_t *highest);

/** validate_ranges.c: output channels hold every code that a node that moves codes brings into them. */
nw_status nw_check_moved_codes(const nw_check *check);

#endif
