/* SPDX-License-Identifier: Apache-2.0 */
/* Between image.c, image_png.c and image_jpeg.c; the limit of sizes also for resize.c and dataset.c. */
#ifndef NARROW_DATA_IMAGE_CODEC_H
#define NARROW_DATA_IMAGE_CODEC_H

#include <stdbool.h>

#include "data/image.h"

/** Checks a picture's size against NW_IMAGE_MAX_SIZE and NW_IMAGE_MAX_BYTES before anything is allocated for it. */
nw_status nw_image_check_size(uintmax_t height, uintmax_t width, const char *name, nw_error *error);

/** `map`: see nw_image_decode_map. The first bytes are those of a PNG. */
nw_status nw_png_decode(nw_image *out, const uint8_t *data, size_t size, bool map, const char *name, nw_error *error);

/** The first bytes are those of a JPEG. */
nw_status nw_jpeg_decode(nw_image *out, const uint8_t *data, size_t size, const char *name, nw_error *error);

#endif
