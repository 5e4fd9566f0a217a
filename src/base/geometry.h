/* SPDX-License-Identifier: Apache-2.0 */
/* Plain descriptions of where elements lie, shared by the model, the operators and the kernels' callers. */
#ifndef NARROW_BASE_GEOMETRY_H
#define NARROW_BASE_GEOMETRY_H

#include <stddef.h>
#include <stdint.h>

#define NW_MAX_RANK 6

/** A sliding window over H and W. Pads in ONNX order: top, left, bottom, right. */
typedef struct nw_window {
    int32_t kernel[2], stride[2], dilation[2], pad[4];
} nw_window;

/** Resize: which pixels make an output pixel, and where its position lies between them (docs/numerics.md). */
typedef enum nw_resize_mode { NW_RESIZE_NEAREST, NW_RESIZE_LINEAR } nw_resize_mode;
typedef enum nw_resize_coordinates {
    NW_COORDINATES_HALF_PIXEL,
    NW_COORDINATES_PYTORCH_HALF_PIXEL,
    NW_COORDINATES_ALIGN_CORNERS,
    NW_COORDINATES_ASYMMETRIC
} nw_resize_coordinates;

/**
 * A tensor in memory: element [i0, .., ir] of the logical shape (N, C, H, W for pictures) lies at
 * data + sum_j i_j * strides[j]. Strides are in bytes, whatever the layout.
 */
typedef struct nw_view {
    uint8_t *data;
    int32_t rank;
    int32_t dims[NW_MAX_RANK];
    ptrdiff_t strides[NW_MAX_RANK];
    int32_t element_size; /* 1 (code) or 4 (binary32) */
} nw_view;

/* A picture's parts; vectors [N, C] count as pictures of one pixel. */
static inline int32_t nw_view_channels(const nw_view *view)
{
    return view->rank > 1 ? view->dims[1] : 1;
}

static inline int32_t nw_view_height(const nw_view *view)
{
    return view->rank >= 4 ? view->dims[2] : 1;
}

static inline int32_t nw_view_width(const nw_view *view)
{
    return view->rank >= 4 ? view->dims[3] : 1;
}

static inline ptrdiff_t nw_view_row_stride(const nw_view *view)
{
    return view->rank >= 4 ? view->strides[2] : 0;
}

static inline ptrdiff_t nw_view_pixel_stride(const nw_view *view)
{
    return view->rank >= 4 ? view->strides[3] : 0;
}

/** The axis along which an operator over every element is cut into tiles: the first one longer than 1, else 0. */
static inline int32_t nw_view_tile_axis(const nw_view *view)
{
    for (int32_t i = 0; i < view->rank; i++)
        if (view->dims[i] > 1)
            return i;
    return 0;
}

#endif
