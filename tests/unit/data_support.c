/* SPDX-License-Identifier: Apache-2.0 */
/* See data_support.h. */
#define _XOPEN_SOURCE 700
#include "data_support.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

static char folder[64];

uint8_t pattern_at(size_t y, size_t x, size_t c, uint32_t seed)
{
    uint32_t v = (uint32_t)x * 2654435761u + (uint32_t)y * 2246822519u + (uint32_t)c * 3266489917u + seed * 668265263u;
    v = ((v ^ v >> 15) * 2246822519u) >> 24;
    const size_t kind = (x / 3 + y / 2) % 3;
    return (uint8_t)(kind == 0 ? v : kind == 1 ? (x * 7 + y * 5 + c * 40) & 255 : 255 * (x & 1));
}

static void append(png_structp png, png_bytep data, size_t size)
{
    nw_bytes *out = png_get_io_ptr(png);
    out->data = realloc(out->data, out->size + size);
    assert_non_null(out->data);
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void flush(png_structp png)
{
    (void)png;
}

nw_bytes make_png(int color_type, int depth, size_t height, size_t width, const uint8_t *rows, size_t row_bytes,
                  const uint8_t *palette, int n_palette)
{
    nw_bytes out = {0};
    png_color colors[256];
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    assert_non_null(info);
    png_set_write_fn(png, &out, append, flush);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, color_type, 0, 0, 0);
    for (int i = 0; i < n_palette; i++)
        colors[i] = (png_color){palette[3 * i], palette[3 * i + 1], palette[3 * i + 2]};
    png_set_check_for_invalid_index(png, 0);
    if (n_palette)
        png_set_PLTE(png, info, colors, n_palette);
    png_write_info(png, info);
    for (size_t y = 0; y < height; y++)
        png_write_row(png, rows + y * row_bytes);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return out;
}

nw_bytes make_jpeg(const uint8_t *pixels, size_t height, size_t width, int channels, int progressive)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long size = 0;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &data, &size);
    info.image_width = (JDIMENSION)width;
    info.image_height = (JDIMENSION)height;
    info.input_components = channels;
    info.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 90, TRUE);
    if (progressive)
        jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + info.next_scanline * width * (size_t)channels);
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return (nw_bytes){data, size};
}

nw_bytes make_npy(const char *descr, const char *shape, const void *values, size_t size)
{
    char header[256];
    const int n =
        snprintf(header, sizeof(header), "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n", descr, shape);
    nw_bytes out = {malloc(10 + (size_t)n + size), 10 + (size_t)n + size};
    assert_non_null(out.data);
    memcpy(out.data, "\x93NUMPY\x01\x00", 8);
    out.data[8] = (uint8_t)n;
    out.data[9] = (uint8_t)(n >> 8);
    memcpy(out.data + 10, header, (size_t)n);
    if (size)
        memcpy(out.data + 10 + n, values, size);
    return out;
}

static void put(uint8_t **at, uint32_t value, int n)
{
    for (int i = 0; i < n; i++)
        *(*at)++ = (uint8_t)(value >> (8 * i));
}

static void put_common(uint8_t **at, const nw_bytes *file, const char *name, uint32_t packed, int deflated)
{
    put(at, 20, 2);
    put(at, 0, 2);
    put(at, deflated ? 8 : 0, 2);
    put(at, 0, 4);
    put(at, (uint32_t)crc32(0, file->data, (uInt)file->size), 4);
    put(at, packed, 4);
    put(at, (uint32_t)file->size, 4);
    put(at, (uint32_t)strlen(name), 2);
}

nw_bytes make_zip(const char *const *names, const nw_bytes *files, size_t n, int deflated)
{
    size_t capacity = 100;
    uint32_t offsets[8], packed[8];
    for (size_t i = 0; i < n; i++)
        capacity += 2 * files[i].size + 200 + 2 * strlen(names[i]);
    nw_bytes out = {malloc(capacity), 0};
    assert_non_null(out.data);
    uint8_t *at = out.data;
    for (size_t i = 0; i < n; i++) {
        z_stream stream = {0};
        uint8_t *bytes = malloc(files[i].size + 100);
        assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
        stream.next_in = files[i].data;
        stream.avail_in = (uInt)files[i].size;
        stream.next_out = bytes;
        stream.avail_out = (uInt)files[i].size + 100;
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        packed[i] = (uint32_t)(deflated ? stream.total_out : files[i].size);
        offsets[i] = (uint32_t)(at - out.data);
        deflateEnd(&stream);
        put(&at, 0x04034b50, 4);
        put_common(&at, &files[i], names[i], packed[i], deflated);
        put(&at, 0, 2);
        memcpy(at, names[i], strlen(names[i]));
        at += strlen(names[i]);
        memcpy(at, deflated ? bytes : files[i].data, packed[i]);
        at += packed[i];
        free(bytes);
    }
    const uint32_t directory = (uint32_t)(at - out.data);
    for (size_t i = 0; i < n; i++) {
        put(&at, 0x02014b50, 4);
        put(&at, 20, 2);
        put_common(&at, &files[i], names[i], packed[i], deflated);
        put(&at, 0, 4);
        put(&at, 0, 4);
        put(&at, 0, 4);
        put(&at, offsets[i], 4);
        memcpy(at, names[i], strlen(names[i]));
        at += strlen(names[i]);
    }
    const uint32_t size = (uint32_t)(at - out.data) - directory;
    put(&at, 0x06054b50, 4);
    put(&at, 0, 4);
    put(&at, (uint32_t)n, 2);
    put(&at, (uint32_t)n, 2);
    put(&at, size, 4);
    put(&at, directory, 4);
    put(&at, 0, 2);
    out.size = (size_t)(at - out.data);
    return out;
}

const char *scratch_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%.40s/narrow-XXXXXX", base && strlen(base) <= 40 ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    return folder;
}

const char *scratch_path(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

void scratch_make_folder(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s/", folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
}

void scratch_file(const char *name, nw_bytes take)
{
    char parent[256];
    const char *slash = strrchr(name, '/');
    if (slash) {
        snprintf(parent, sizeof(parent), "%.*s", (int)(slash - name), name);
        scratch_make_folder(parent);
    }
    FILE *file = fopen(scratch_path(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(take.data, 1, take.size, file), take.size);
    fclose(file);
    free(take.data);
}

void scratch_text(const char *name, const char *text)
{
    nw_bytes bytes = {malloc(strlen(text) + 1), strlen(text)};
    assert_non_null(bytes.data);
    memcpy(bytes.data, text, bytes.size);
    scratch_file(name, bytes);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

void scratch_remove(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
