/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JPEG for image.c, through libjpeg-turbo. Its errors come back by longjmp, so everything that must survive one lives
 * in a `decoder` of the calling frame, and nothing is printed.
 *
 * The source of bytes suspends at the end of the data instead of inventing an end marker: a file that stops early gives
 * no row rather than grey ones. Damaged but complete data (a libjpeg warning) decodes to something, as in Pillow.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "data/image_codec.h"

/* A progressive file of 1 KB may ask for thousands of passes over a huge picture; cameras and encoders use about ten.
 */
#define MAX_SCANS 200

typedef struct decoder {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct jpeg_source_mgr source;
    jmp_buf jump;
    const char *reason; /* set before a jump of our own */
    bool memory;        /* libjpeg could not allocate */
    nw_image image;
    uint8_t *row; /* one CMYK row, or NULL */
} decoder;

static void on_error(j_common_ptr info)
{
    decoder *d = info->client_data;
    d->memory = info->err->msg_code == JERR_OUT_OF_MEMORY;
    longjmp(d->jump, 1);
}

static void on_message(j_common_ptr info)
{
    (void)info;
}

static void on_warning(j_common_ptr info, int level)
{
    (void)info;
    (void)level;
}

static void on_progress(j_common_ptr info)
{
    decoder *d = info->client_data;
    if (d->info.input_scan_number > MAX_SCANS) {
        d->reason = "has more scans than any picture needs";
        longjmp(d->jump, 1);
    }
}

static void source_begin(j_decompress_ptr info)
{
    (void)info;
}

static boolean source_more(j_decompress_ptr info)
{
    (void)info;
    return FALSE;
}

static void source_skip(j_decompress_ptr info, long n)
{
    if (n <= 0)
        return;
    const size_t left = info->src->bytes_in_buffer;
    const size_t skip = (size_t)n < left ? (size_t)n : left;
    info->src->next_input_byte += skip;
    info->src->bytes_in_buffer -= skip;
}

static void fail(decoder *d, const char *reason)
{
    d->reason = reason;
    longjmp(d->jump, 1);
}

static void start(decoder *d, const uint8_t *data, size_t size)
{
    jpeg_create_decompress(&d->info);
    d->info.client_data = d;
    d->progress.progress_monitor = on_progress;
    d->info.progress = &d->progress;
    d->source.next_input_byte = data;
    d->source.bytes_in_buffer = size;
    d->source.init_source = source_begin;
    d->source.fill_input_buffer = source_more;
    d->source.skip_input_data = source_skip;
    d->source.resync_to_restart = jpeg_resync_to_restart;
    d->source.term_source = source_begin;
    d->info.src = &d->source;
}

/* Pillow takes every four-channel JPEG for inverted, as Adobe writes them: a stored byte is 255 - ink. */
static void cmyk_to_rgb(uint8_t *out, const uint8_t *in, size_t width)
{
    for (size_t x = 0; x < width; x++, in += 4, out += 3) {
        const int light = in[3]; /* 255 - k */
        for (int c = 0; c < 3; c++) {
            const int product = (255 - in[c]) * light + 128;
            const int value = light - (((product >> 8) + product) >> 8);
            out[c] = (uint8_t)(value < 0 ? 0 : value);
        }
    }
}

static void read_rows(decoder *d)
{
    const size_t width = d->image.width;
    const bool cmyk = d->info.out_color_space == JCS_CMYK;
    while (d->info.output_scanline < d->info.output_height) {
        uint8_t *target = d->image.pixels + (size_t)d->info.output_scanline * width * 3;
        JSAMPROW row = cmyk ? d->row : target;
        if (jpeg_read_scanlines(&d->info, &row, 1) != 1)
            fail(d, "is truncated");
        if (cmyk)
            cmyk_to_rgb(target, d->row, width);
    }
}

/* Everything that may jump. Returns a status of our own checks; a jump arrives in nw_jpeg_decode. */
static nw_status decode(decoder *d, const uint8_t *data, size_t size, const char *name, nw_error *error)
{
    start(d, data, size);
    if (jpeg_read_header(&d->info, TRUE) != JPEG_HEADER_OK)
        fail(d, "is truncated");
    NW_TRY(nw_image_check_size(d->info.image_height, d->info.image_width, name, error));
    const int n = d->info.num_components;
    if (n != 1 && n != 3 && n != 4)
        return nw_fail(error, NW_ERROR_DATA, "%s: is a JPEG of %d channels; 1, 3 or 4 are supported", name, n);
    d->info.out_color_space = n == 4 ? JCS_CMYK : JCS_RGB;
    if (!jpeg_start_decompress(&d->info))
        fail(d, "is truncated");
    NW_TRY(nw_image_create(&d->image, d->info.output_height, d->info.output_width, 3, error));
    if (n == 4) {
        d->row = malloc((size_t)d->info.output_width * 4);
        if (!d->row)
            return nw_fail_memory(error, "decoding a JPEG");
    }
    read_rows(d);
    if (!jpeg_finish_decompress(&d->info))
        fail(d, "is truncated");
    return NW_OK;
}

nw_status nw_jpeg_decode(nw_image *out, const uint8_t *data, size_t size, const char *name, nw_error *error)
{
    nw_status status;
    decoder *d = calloc(1, sizeof(*d));
    if (!d)
        return nw_fail_memory(error, "decoding a JPEG");
    d->info.err = jpeg_std_error(&d->errors);
    d->info.client_data = d;
    d->errors.error_exit = on_error;
    d->errors.output_message = on_message;
    d->errors.emit_message = on_warning;
    if (setjmp(d->jump)) {
        char text[JMSG_LENGTH_MAX];
        if (!d->reason)
            d->errors.format_message((j_common_ptr)&d->info, text);
        status = d->memory   ? nw_fail_memory(error, "decoding a JPEG")
                 : d->reason ? nw_fail(error, NW_ERROR_DATA, "%s: the JPEG %s", name, d->reason)
                             : nw_fail(error, NW_ERROR_DATA, "%s: is a damaged JPEG: %s", name, text);
    } else {
        status = decode(d, data, size, name, error);
    }
    if (!status) {
        *out = d->image;
        d->image = (nw_image){0};
    }
    jpeg_destroy_decompress(&d->info);
    free(d->row);
    nw_image_free(&d->image);
    free(d);
    return status;
}
