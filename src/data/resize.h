/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes the size of a picture exactly as Pillow's Image.resize does, byte for byte, for 1 or 3 channels of 8 bits.
 *
 *     nw_image small = {0};
 *     NW_TRY(nw_image_resize(&small, &image, 224, 224, NW_INTERPOLATION_BILINEAR, error));
 *     nw_image_free(&small);
 *
 * Filtering, first along rows, then along columns, each to 8 bits and only if that size changes. (So it is in Pillow up
 * to 12; Pillow 13 turns the order round where the height shrinks by more than twice the pixels that the width does,
 * which moves some pixels by one. Networks were trained with the older order.) With scale = in / out (binary64), f =
 * max(scale, 1), output i is centred at c = (i + 0.5) scale and reaches support * f to both sides:
 *
 *     first = max(0, int(c - support f + 0.5)), end = min(in, int(c + support f + 0.5))
 *     w_k   = filter((k - c + 0.5) / f) / sum of them, for first <= k < end      binary64
 *     W_k   = w_k 2^22 rounded to nearest, halves away from 0                    int32
 *     out   = clamp((2^21 + sum W_k in_k) >> 22, 0, 255)
 *
 * `nearest` takes in[int((i + 0.5) scale)], the position summed up step by step in binary64.
 */
#ifndef NARROW_DATA_RESIZE_H
#define NARROW_DATA_RESIZE_H

#include "data/image.h"
#include "model/preprocess.h"

/**
 * Makes `out` a new picture of height x width pixels from `in`; a copy if it has that size already.
 *
 * @param height, width  1 to NW_IMAGE_MAX_SIZE, with height * width <= NW_IMAGE_MAX_BYTES / 3
 * @return NW_ERROR_DATA for a size out of range, NW_ERROR_MEMORY; `out` is untouched then
 */
nw_status nw_image_resize(nw_image *out, const nw_image *in, size_t height, size_t width,
                          nw_interpolation interpolation, nw_error *error);

#endif
