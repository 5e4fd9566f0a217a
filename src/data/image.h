/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JPEG and PNG pictures to pixels. The result equals Pillow's Image.open(path).convert("RGB") byte for byte; files are
 * foreign bytes and may hold anything. Next on the path of the data: resize.h, picture.h.
 *
 *     nw_image image = {0};
 *     NW_TRY(nw_image_read(&image, "cat.jpg", error));
 *     uint8_t red = image.pixels[(y * image.width + x) * image.channels];
 *     nw_image_free(&image);
 */
#ifndef NARROW_DATA_IMAGE_H
#define NARROW_DATA_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** Largest height and width of a picture, in pixels. */
#define NW_IMAGE_MAX_SIZE 16384
/** Largest height * width * 3, in bytes. */
#define NW_IMAGE_MAX_BYTES ((size_t)1 << 28)
/** Largest file of one picture, in bytes. */
#define NW_IMAGE_MAX_FILE ((size_t)1 << 28)

/** 8-bit pixels [height, width, channels], without gaps between rows. The holder owns `pixels`; {0} is empty. */
typedef struct nw_image {
    uint8_t *pixels;
    size_t height, width; /* 1 to NW_IMAGE_MAX_SIZE */
    size_t channels;      /* 3: R, G, B. 1: a map of classes, or luma */
} nw_image;

/**
 * Decodes a JPEG or PNG, told apart by their first bytes, to RGB.
 *
 * JPEG: libjpeg-turbo's defaults (accurate integer DCT, smooth chroma upsampling), greys replicated, CMYK and YCCK
 * taken for inverted as Adobe writes them and turned into (255 - k) - c (255 - k) / 255. PNG: palettes looked up, alpha
 * and transparency dropped (not blended), 16-bit colours cut to their high byte, 16-bit greys limited to 255, 1-, 2-
 * and 4-bit greys stretched to 0..255; gamma and colour profiles are ignored. All of it is what Pillow does.
 *
 * @param name  named in errors, for example the path
 * @return NW_ERROR_DATA if it is neither, damaged, truncated or too large; NW_ERROR_MEMORY. `out` is untouched then
 */
nw_status nw_image_decode(nw_image *out, const uint8_t *data, size_t size, const char *name, nw_error *error);

/**
 * Decodes a PNG to the one value per pixel that it stores, for maps of classes: palette indices and 1-bit values as
 * stored, 2- and 4-bit greys stretched to 0..255, 8-bit greys. Equals numpy.asarray(Image.open(path)).
 *
 * @return as nw_image_decode; NW_ERROR_DATA as well for JPEG, colour, alpha and 16-bit pictures
 */
nw_status nw_image_decode_map(nw_image *out, const uint8_t *data, size_t size, const char *name, nw_error *error);

/** nw_image_decode of a file. */
nw_status nw_image_read(nw_image *out, const char *path, nw_error *error);

/** nw_image_decode_map of a file. */
nw_status nw_image_read_map(nw_image *out, const char *path, nw_error *error);

/** A picture of the given size with undefined pixels. NW_ERROR_MEMORY; the sizes are the caller's to check. */
nw_status nw_image_create(nw_image *out, size_t height, size_t width, size_t channels, nw_error *error);

/** Frees the pixels and empties the struct; fine on an empty one. */
void nw_image_free(nw_image *image);

#endif
