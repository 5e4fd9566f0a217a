/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PNG for image.c, through libpng. As in image_jpeg.c, what must survive a longjmp lives in a `decoder` on the heap.
 *
 * libpng unpacks rows to one byte per sample (two for 16-bit greys); palettes and greys are turned into RGB here
 * because Pillow's rules are not libpng's: an index past the palette is black, a 16-bit grey is limited to 255.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "data/image_codec.h"

/* Bounds what a compressed ancillary chunk may grow to; those that libpng could inflate are skipped anyway. */
#define MAX_CHUNK ((size_t)1 << 23)

typedef struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *next;
    size_t left;
    bool truncated;
    bool map;
    char reason[96];
    jmp_buf jump;
    int color_type, bit_depth;
    uint8_t *raw; /* rows as libpng hands them out, [height, width, samples] */
    png_bytep *rows;
    nw_image image;
} decoder;

static void on_error(png_structp png, png_const_charp message)
{
    decoder *d = png_get_error_ptr(png);
    if (!d->reason[0])
        strncat(d->reason, message, sizeof(d->reason) - 1);
    longjmp(d->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void read_data(png_structp png, png_bytep out, size_t size)
{
    decoder *d = png_get_io_ptr(png);
    if (size > d->left) {
        d->truncated = true;
        png_error(png, "truncated");
    }
    memcpy(out, d->next, size);
    d->next += size;
    d->left -= size;
}

static void set_transforms(decoder *d)
{
    if (d->color_type == PNG_COLOR_TYPE_PALETTE || (d->map && d->bit_depth == 1))
        png_set_packing(d->png);
    else if (d->color_type == PNG_COLOR_TYPE_GRAY && d->bit_depth < 8)
        png_set_expand_gray_1_2_4_to_8(d->png);
    if (d->bit_depth == 16 && d->color_type != PNG_COLOR_TYPE_GRAY)
        png_set_strip_16(d->png);
    if (d->color_type & PNG_COLOR_MASK_ALPHA)
        png_set_strip_alpha(d->png);
    png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
}

static void palette_to_rgb(decoder *d, size_t n)
{
    png_colorp palette = NULL;
    int size = 0;
    uint8_t table[256][3];
    png_get_PLTE(d->png, d->info, &palette, &size);
    for (int i = 0; i < 256; i++) {
        table[i][0] = i < size ? palette[i].red : 0;
        table[i][1] = i < size ? palette[i].green : 0;
        table[i][2] = i < size ? palette[i].blue : 0;
    }
    for (size_t i = 0; i < n; i++)
        memcpy(d->image.pixels + 3 * i, table[d->raw[i]], 3);
}

static void gray_to_rgb(decoder *d, size_t n)
{
    const bool wide = d->bit_depth == 16 && d->color_type == PNG_COLOR_TYPE_GRAY;
    for (size_t i = 0; i < n; i++) {
        const uint8_t value = !wide ? d->raw[i] : d->raw[2 * i] ? 255 : d->raw[2 * i + 1];
        memset(d->image.pixels + 3 * i, value, 3);
    }
}

/* Reads all rows into d->raw. The caller has checked the size. */
static nw_status read_rows(decoder *d, size_t height, nw_error *error)
{
    const size_t row_bytes = png_get_rowbytes(d->png, d->info);
    d->raw = malloc(height * row_bytes);
    d->rows = malloc(height * sizeof(*d->rows));
    if (!d->raw || !d->rows)
        return nw_fail_memory(error, "decoding a PNG");
    for (size_t y = 0; y < height; y++)
        d->rows[y] = d->raw + y * row_bytes;
    png_read_image(d->png, d->rows);
    png_read_end(d->png, NULL);
    return NW_OK;
}

static nw_status decode(decoder *d, const char *name, nw_error *error)
{
    png_set_read_fn(d->png, d, read_data);
    png_set_user_limits(d->png, 0x7fffffff, 0x7fffffff); /* nw_image_check_size says it better */
    png_set_chunk_malloc_max(d->png, MAX_CHUNK);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(d->png, d->info);
    const size_t height = png_get_image_height(d->png, d->info), width = png_get_image_width(d->png, d->info);
    NW_TRY(nw_image_check_size(height, width, name, error));
    d->color_type = png_get_color_type(d->png, d->info);
    d->bit_depth = png_get_bit_depth(d->png, d->info);
    if (d->map &&
        (d->bit_depth > 8 || (d->color_type != PNG_COLOR_TYPE_GRAY && d->color_type != PNG_COLOR_TYPE_PALETTE)))
        return nw_fail(error, NW_ERROR_DATA, "%s: a map of classes must be a palette or grey PNG of at most 8 bits",
                       name);
    set_transforms(d);
    NW_TRY(read_rows(d, height, error));
    if (d->map || (d->color_type & PNG_COLOR_MASK_COLOR && d->color_type != PNG_COLOR_TYPE_PALETTE)) {
        d->image = (nw_image){d->raw, height, width, d->map ? 1 : 3};
        d->raw = NULL;
        return NW_OK;
    }
    NW_TRY(nw_image_create(&d->image, height, width, 3, error));
    if (d->color_type == PNG_COLOR_TYPE_PALETTE)
        palette_to_rgb(d, height * width);
    else
        gray_to_rgb(d, height * width);
    return NW_OK;
}

nw_status nw_png_decode(nw_image *out, const uint8_t *data, size_t size, bool map, const char *name, nw_error *error)
{
    nw_status status = NW_ERROR_MEMORY;
    decoder *d = calloc(1, sizeof(*d));
    if (!d)
        return nw_fail_memory(error, "decoding a PNG");
    d->next = data;
    d->left = size;
    d->map = map;
    if (setjmp(d->jump)) {
        status = d->truncated ? nw_fail(error, NW_ERROR_DATA, "%s: the PNG is truncated", name)
                              : nw_fail(error, NW_ERROR_DATA, "%s: is a damaged PNG: %s", name, d->reason);
    } else {
        d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, on_error, on_warning);
        d->info = d->png ? png_create_info_struct(d->png) : NULL;
        status = d->info ? decode(d, name, error) : nw_fail_memory(error, "decoding a PNG");
    }
    if (!status) {
        *out = d->image;
        d->image = (nw_image){0};
    }
    png_destroy_read_struct(&d->png, &d->info, NULL);
    free(d->raw);
    free(d->rows);
    nw_image_free(&d->image);
    free(d);
    return status;
}
