/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where every activation lies in the arena: pictures as [H, W, C] with a halo of zero points as wide as their widest
 * consumer's padding, inputs of a Concat directly inside its output, buffers whose lifetimes do not meet on the same
 * bytes.
 *
 *     nw_layout layout;
 *     NW_TRY(nw_layout_make(&layout, model, error));
 *     nw_view view = nw_layout_view(&layout, model, tensor, arena_base);
 *     nw_layout_free(&layout);
 *
 *     one picture in its buffer, halo (t, l, b, r):   row stride = (l + W + r) * pixel stride
 *
 *     | t rows of halo                      |
 *     | l pixels | W pixels of row 0 | r    |
 *     | ...                                 |
 *     | b rows of halo                      |
 */
#ifndef NARROW_RUNTIME_LAYOUT_H
#define NARROW_RUNTIME_LAYOUT_H

#include "base/geometry.h"
#include "model/model.h"

/** Place of one tensor. Fields after `channel_offset` count only for roots. */
typedef struct nw_place {
    int32_t root;           /* tensor whose buffer holds this one (itself, mostly); NW_NONE: none (network input, constant) */
    int32_t channel_offset; /* first channel inside the root */
    int32_t halo[4];        /* top, left, bottom, right, in pixels */
    int32_t first, last;    /* nodes between which the buffer is alive, both included */
    size_t offset, size;    /* bytes in the arena */
} nw_place;

typedef struct nw_layout {
    nw_place *places; /* [n_tensors] owned */
    size_t size;      /* bytes of the arena, over-read included */
} nw_layout;

/** NW_ERROR_MEMORY, or NW_ERROR_UNSUPPORTED if the activations would not fit into 2^31 bytes. */
nw_status nw_layout_make(nw_layout *layout, const nw_model *model, nw_error *error);
void nw_layout_free(nw_layout *layout);

/**
 * The tensor's view; with base NULL its data is NULL and only the geometry counts. Inputs of the network and constants
 * have no place: data NULL, row-major strides.
 */
nw_view nw_layout_view(const nw_layout *layout, const nw_model *model, int32_t tensor, uint8_t *base);

#endif
