/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out an nw_preprocess on a decoded picture. Between image.h (pixels as stored) and the engines.
 *
 *     nw_image picture = {0};
 *     NW_TRY(nw_image_read(&picture, path, error));
 *     NW_TRY(nw_picture_prepare(&picture, &preprocess, path, error));      [h, w, c] bytes for the integer engine
 *     nw_picture_normalize(values, &picture, &preprocess);                 [c, h, w] floats for the float engine
 *
 * All functions expect a valid preprocessing (nw_preprocess_validate) of pictures, not of arrays.
 */
#ifndef NARROW_DATA_PICTURE_H
#define NARROW_DATA_PICTURE_H

#include "data/image.h"
#include "model/preprocess.h"

/**
 * Resizes, crops and reorders the channels of an RGB picture in place.
 *
 * @param picture  in: any size, 3 channels; out: [height, width, nw_preprocess_channels]
 * @param name     named in errors
 * @return NW_ERROR_DATA if the result is not of the wanted size (no resize rule, or smaller than the crop);
 *         NW_ERROR_MEMORY. The picture is still the caller's to free, whatever it holds then
 */
nw_status nw_picture_prepare(nw_image *picture, const nw_preprocess *preprocess, const char *name, nw_error *error);

/** The class of pixels outside a letterboxed map, and of those that no class was given to ("void"). */
#define NW_MAP_VOID 255

/**
 * Takes a map of classes through the same resize and crop as its picture, with the filter `nearest`; letterboxing pads
 * with NW_MAP_VOID. A map that has the wanted size already stays as it is.
 *
 * @param map  1 channel, replaced in place by [height, width, 1]
 * @return as nw_picture_prepare
 */
nw_status nw_picture_prepare_map(nw_image *map, const nw_preprocess *preprocess, const char *name, nw_error *error);

/**
 * values[c][y][x] = (float(pixel[y][x][c]) - mean[c]) / std[c], each a binary32 operation.
 *
 * @param values   [c, h, w]
 * @param picture  as nw_picture_prepare leaves it
 */
void nw_picture_normalize(float *values, const nw_image *picture, const nw_preprocess *preprocess);

#endif
