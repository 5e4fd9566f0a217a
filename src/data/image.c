/* SPDX-License-Identifier: Apache-2.0 */
/* See image.h. Tells the formats apart and holds the limits; image_png.c and image_jpeg.c decode. */
#include "data/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "data/image_codec.h"

static const uint8_t PNG_MAGIC[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
static const uint8_t JPEG_MAGIC[] = {0xff, 0xd8, 0xff};

static bool starts_with(const uint8_t *data, size_t size, const uint8_t *magic, size_t magic_size)
{
    return size >= magic_size && !memcmp(data, magic, magic_size);
}

static nw_status decode(nw_image *out, const uint8_t *data, size_t size, bool map, const char *name, nw_error *error)
{
    if (starts_with(data, size, PNG_MAGIC, sizeof(PNG_MAGIC)))
        return nw_png_decode(out, data, size, map, name, error);
    if (starts_with(data, size, JPEG_MAGIC, sizeof(JPEG_MAGIC))) {
        if (map)
            return nw_fail(error, NW_ERROR_DATA, "%s: is a JPEG, which cannot hold a map of classes; use PNG", name);
        return nw_jpeg_decode(out, data, size, name, error);
    }
    return nw_fail(error, NW_ERROR_DATA, "%s: is %s", name, size ? "neither a JPEG nor a PNG" : "empty");
}

nw_status nw_image_decode(nw_image *out, const uint8_t *data, size_t size, const char *name, nw_error *error)
{
    return decode(out, data, size, false, name, error);
}

nw_status nw_image_decode_map(nw_image *out, const uint8_t *data, size_t size, const char *name, nw_error *error)
{
    return decode(out, data, size, true, name, error);
}

static nw_status read_file(nw_image *out, const char *path, bool map, nw_error *error)
{
    nw_bytes file = {0};
    NW_TRY(nw_bytes_read(&file, path, NW_IMAGE_MAX_FILE, error));
    const nw_status status = decode(out, file.data, file.size, map, path, error);
    nw_bytes_free(&file);
    return status;
}

nw_status nw_image_read(nw_image *out, const char *path, nw_error *error)
{
    return read_file(out, path, false, error);
}

nw_status nw_image_read_map(nw_image *out, const char *path, nw_error *error)
{
    return read_file(out, path, true, error);
}

nw_status nw_image_check_size(uintmax_t height, uintmax_t width, const char *name, nw_error *error)
{
    if (!height || !width)
        return nw_fail(error, NW_ERROR_DATA, "%s: has no pixels", name);
    if (height > NW_IMAGE_MAX_SIZE || width > NW_IMAGE_MAX_SIZE || height * width > NW_IMAGE_MAX_BYTES / 3)
        return nw_fail(error, NW_ERROR_DATA,
                       "%s: %ju x %ju pixels are more than the %d per side and %zu in all allowed", name, width, height,
                       NW_IMAGE_MAX_SIZE, NW_IMAGE_MAX_BYTES / 3);
    return NW_OK;
}

nw_status nw_image_create(nw_image *out, size_t height, size_t width, size_t channels, nw_error *error)
{
    size_t size;
    uint8_t *pixels = NULL;
    if (nw_size_mul(&size, height, width) && nw_size_mul(&size, size, channels))
        pixels = malloc(size ? size : 1);
    if (!pixels)
        return nw_fail_memory(error, "decoding a picture");
    *out = (nw_image){pixels, height, width, channels};
    return NW_OK;
}

void nw_image_free(nw_image *image)
{
    free(image->pixels);
    *image = (nw_image){0};
}
