/* SPDX-License-Identifier: Apache-2.0 */
/* See picture.h. Called by dataset.c; resize.c does the filtering. */
#include "data/picture.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/resize.h"

static nw_status resize(nw_image *image, size_t height, size_t width, nw_interpolation filter, nw_error *error)
{
    nw_image resized = {0};
    if (height == image->height && width == image->width)
        return NW_OK;
    NW_TRY(nw_image_resize(&resized, image, height, width, filter, error));
    nw_image_free(image);
    *image = resized;
    return NW_OK;
}

static nw_status shorter_side(nw_image *image, int32_t side, nw_interpolation filter, const char *name, nw_error *error)
{
    const size_t shorter = image->height < image->width ? image->height : image->width;
    if (shorter == (size_t)side)
        return NW_OK;
    const double s = (double)side / (double)shorter;
    const double height = rint((double)image->height * s), width = rint((double)image->width * s);
    if (height > NW_IMAGE_MAX_SIZE || width > NW_IMAGE_MAX_SIZE)
        return nw_fail(error, NW_ERROR_DATA, "%s: is too long and thin (%zu x %zu) for a shorter side of %d", name,
                       image->width, image->height, (int)side);
    return resize(image, (size_t)height, (size_t)width, filter, error);
}

/* Top left, the rest padded; the sizes are cut, not rounded, as detectors trained this way do it. */
static nw_status letterbox(nw_image *image, const nw_preprocess *p, nw_interpolation filter, uint8_t pad,
                           nw_error *error)
{
    nw_image canvas = {0};
    const size_t height = (size_t)p->height, width = (size_t)p->width, n = image->channels;
    const double by_height = (double)height / (double)image->height, by_width = (double)width / (double)image->width;
    const double r = by_height < by_width ? by_height : by_width;
    const size_t h = (size_t)((double)image->height * r), w = (size_t)((double)image->width * r);
    NW_TRY(resize(image, h ? h : 1, w ? w : 1, filter, error));
    NW_TRY(nw_image_create(&canvas, height, width, n, error));
    memset(canvas.pixels, pad, height * width * n);
    assert(image->height <= height && image->width <= width);
    for (size_t y = 0; y < image->height; y++)
        memcpy(canvas.pixels + y * width * n, image->pixels + y * image->width * n, image->width * n);
    nw_image_free(image);
    *image = canvas;
    return NW_OK;
}

static nw_status crop_center(nw_image *image, size_t height, size_t width, const char *name, nw_error *error)
{
    const size_t n = image->channels;
    if (image->height < height || image->width < width)
        return nw_fail(error, NW_ERROR_DATA,
                       "%s: %zu x %zu pixels are less than the crop of %zu x %zu; add a resize rule", name,
                       image->width, image->height, width, height);
    const size_t top = (image->height - height) / 2, left = (image->width - width) / 2;
    for (size_t y = 0; y < height; y++)
        memmove(image->pixels + y * width * n, image->pixels + ((y + top) * image->width + left) * n, width * n);
    image->height = height;
    image->width = width;
    return NW_OK;
}

/* Resize and crop, for pictures and maps alike. */
static nw_status fit(nw_image *image, const nw_preprocess *p, nw_interpolation filter, uint8_t pad, const char *name,
                     nw_error *error)
{
    const size_t height = (size_t)p->height, width = (size_t)p->width;
    switch (p->resize) {
    case NW_RESIZE_EXACT:
        NW_TRY(resize(image, (size_t)p->resize_height, (size_t)p->resize_width, filter, error));
        break;
    case NW_RESIZE_SHORTER_SIDE:
        NW_TRY(shorter_side(image, p->shorter_side, filter, name, error));
        break;
    case NW_RESIZE_LETTERBOX:
        NW_TRY(letterbox(image, p, filter, pad, error));
        break;
    case NW_RESIZE_NONE:
        break;
    }
    if (p->crop == NW_CROP_CENTER)
        return crop_center(image, height, width, name, error);
    if (image->height != height || image->width != width)
        return nw_fail(error, NW_ERROR_DATA, "%s: is %zu x %zu pixels instead of %zu x %zu; add a resize or crop rule",
                       name, image->width, image->height, width, height);
    return NW_OK;
}

/* round(64 * 0.299 v) and so on, the tables of Pillow's ConvertYCbCr.c; no product ends in one half. */
static uint8_t luma_y(const uint8_t *rgb)
{
    const int r = (19136 * rgb[0] + 500) / 1000, g = (37568 * rgb[1] + 500) / 1000, b = (7296 * rgb[2] + 500) / 1000;
    return (uint8_t)((r + g + b) >> 6);
}

static uint8_t luma_l(const uint8_t *rgb)
{
    return (uint8_t)((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 0x8000) >> 16);
}

/* In place: one pixel in, at most as many bytes out. */
static void reorder(nw_image *image, nw_channel_order order)
{
    const size_t n = image->height * image->width;
    uint8_t *pixels = image->pixels;
    for (size_t i = 0; order == NW_CHANNELS_BGR && i < n; i++) {
        const uint8_t red = pixels[3 * i];
        pixels[3 * i] = pixels[3 * i + 2];
        pixels[3 * i + 2] = red;
    }
    for (size_t i = 0; (order == NW_CHANNELS_Y || order == NW_CHANNELS_L) && i < n; i++)
        pixels[i] = order == NW_CHANNELS_Y ? luma_y(pixels + 3 * i) : luma_l(pixels + 3 * i);
    image->channels = order == NW_CHANNELS_Y || order == NW_CHANNELS_L ? 1 : 3;
}

nw_status nw_picture_prepare(nw_image *picture, const nw_preprocess *p, const char *name, nw_error *error)
{
    assert(picture->channels == 3 && nw_preprocess_channels(p) != 0);
    NW_TRY(fit(picture, p, p->interpolation, (uint8_t)p->pad_value, name, error));
    reorder(picture, p->channel_order);
    return NW_OK;
}

nw_status nw_picture_prepare_map(nw_image *map, const nw_preprocess *p, const char *name, nw_error *error)
{
    assert(map->channels == 1 && nw_preprocess_channels(p) != 0);
    if (map->height == (size_t)p->height && map->width == (size_t)p->width)
        return NW_OK;
    return fit(map, p, NW_INTERPOLATION_NEAREST, NW_MAP_VOID, name, error);
}

void nw_picture_normalize(float *values, const nw_image *picture, const nw_preprocess *p)
{
    const size_t n = picture->height * picture->width, channels = picture->channels;
    for (size_t c = 0; c < channels; c++) {
        const float mean = nw_preprocess_mean(p, (int32_t)c), std = nw_preprocess_std(p, (int32_t)c);
        float table[256]; /* a pixel has 256 values: one division each, not one per pixel */
        for (int v = 0; v < 256; v++)
            table[v] = ((float)v - mean) / std;
        for (size_t i = 0; i < n; i++)
            values[c * n + i] = table[picture->pixels[i * channels + c]];
    }
}
