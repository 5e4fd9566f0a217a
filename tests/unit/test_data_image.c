/* SPDX-License-Identifier: Apache-2.0 */
/* src/data/image*.c on pictures made here; tests/data/compare_pillow.py compares with Pillow. */
#include "data_support.h"

#include <zlib.h>

#include "data/image.h"

static nw_error error;

static void fill(uint8_t *pixels, size_t height, size_t width, size_t channels, uint32_t seed)
{
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            for (size_t c = 0; c < channels; c++)
                *pixels++ = pattern_at(y, x, c, seed);
}

static nw_image decode(nw_bytes file)
{
    nw_image image = {0};
    assert_ok(nw_image_decode(&image, file.data, file.size, "test", &error), error);
    free(file.data);
    return image;
}

static void png_rgb_and_rgba(void **state)
{
    (void)state;
    uint8_t rgb[5 * 7 * 3], rgba[5 * 7 * 4];
    fill(rgb, 5, 7, 3, 1);
    for (size_t i = 0; i < 35; i++) {
        memcpy(rgba + 4 * i, rgb + 3 * i, 3);
        rgba[4 * i + 3] = (uint8_t)(7 * i); /* must neither blend nor matter */
    }
    nw_image a = decode(make_png(2, 8, 5, 7, rgb, 21, NULL, 0));
    nw_image b = decode(make_png(6, 8, 5, 7, rgba, 28, NULL, 0));
    assert_int_equal(a.height, 5);
    assert_int_equal(a.width, 7);
    assert_int_equal(a.channels, 3);
    assert_memory_equal(a.pixels, rgb, sizeof(rgb));
    assert_memory_equal(b.pixels, rgb, sizeof(rgb));
    nw_image_free(&a);
    nw_image_free(&b);
}

static void png_16_bit(void **state)
{
    (void)state;
    const uint8_t rgb[6] = {0x12, 0xff, 0x80, 0x00, 0xff, 0x01}, grey[8] = {0, 200, 0, 255, 1, 0, 0xff, 0xff};
    nw_image a = decode(make_png(2, 16, 1, 1, rgb, 6, NULL, 0)), b = decode(make_png(0, 16, 1, 4, grey, 8, NULL, 0));
    assert_memory_equal(a.pixels, ((uint8_t[]){0x12, 0x80, 0xff}), 3);
    assert_memory_equal(b.pixels, ((uint8_t[]){200, 200, 200, 255, 255, 255, 255, 255, 255, 255, 255, 255}), 12);
    nw_image_free(&a);
    nw_image_free(&b);
}

static void png_small_greys_and_palettes(void **state)
{
    (void)state;
    const uint8_t bits[1] = {0xa0}, twos[1] = {0x1b}, indices[3] = {1, 0, 5}, palette[6] = {9, 8, 7, 6, 5, 4};
    nw_image image = decode(make_png(0, 1, 1, 3, bits, 1, NULL, 0));
    assert_memory_equal(image.pixels, ((uint8_t[]){255, 255, 255, 0, 0, 0, 255, 255, 255}), 9);
    nw_image_free(&image);
    image = decode(make_png(0, 2, 1, 4, twos, 1, NULL, 0));
    assert_memory_equal(image.pixels, ((uint8_t[]){0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255}), 12);
    nw_image_free(&image);
    image = decode(make_png(3, 8, 1, 3, indices, 3, palette, 2));
    assert_memory_equal(image.pixels, ((uint8_t[]){6, 5, 4, 9, 8, 7, 0, 0, 0}), 9);
    nw_image_free(&image);
}

static void maps_keep_stored_values(void **state)
{
    (void)state;
    const uint8_t bits[1] = {0xa0}, values[3] = {0, 11, 255}, palette[6] = {9, 8, 7, 6, 5, 4}, rgb[3] = {1, 2, 3};
    nw_bytes one = make_png(0, 1, 1, 3, bits, 1, NULL, 0), grey = make_png(0, 8, 1, 3, values, 3, NULL, 0);
    nw_bytes index = make_png(3, 8, 1, 3, values, 3, palette, 2), color = make_png(2, 8, 1, 1, rgb, 3, NULL, 0);
    nw_bytes jpeg = make_jpeg(rgb, 1, 1, 3, 0);
    nw_image image = {0};
    assert_ok(nw_image_decode_map(&image, one.data, one.size, "m", &error), error);
    assert_memory_equal(image.pixels, ((uint8_t[]){1, 0, 1}), 3);
    assert_int_equal(image.channels, 1);
    nw_image_free(&image);
    assert_ok(nw_image_decode_map(&image, grey.data, grey.size, "m", &error), error);
    assert_memory_equal(image.pixels, values, 3);
    nw_image_free(&image);
    assert_ok(nw_image_decode_map(&image, index.data, index.size, "m", &error), error);
    assert_memory_equal(image.pixels, values, 3);
    nw_image_free(&image);
    assert_refused(nw_image_decode_map(&image, color.data, color.size, "m.png", &error), error,
                   "m.png: a map of classes");
    assert_refused(nw_image_decode_map(&image, jpeg.data, jpeg.size, "m.jpg", &error), error, "m.jpg: is a JPEG");
    assert_null(image.pixels);
    free(one.data);
    free(grey.data);
    free(index.data);
    free(color.data);
    free(jpeg.data);
}

/* Flat colours pass through the cosine transform without loss of more than the colour conversion's rounding. */
static void jpeg_colours(void **state)
{
    (void)state;
    uint8_t grey[16 * 16], rgb[16 * 16 * 3], cmyk[16 * 16 * 4];
    for (size_t i = 0; i < 256; i++) {
        grey[i] = 77;
        memcpy(rgb + 3 * i, (uint8_t[]){200, 100, 50}, 3);
        memcpy(cmyk + 4 * i, (uint8_t[]){255, 128, 0, 200}, 4); /* inverted: c 0, m 127, y 255, k 55 */
    }
    nw_image a = decode(make_jpeg(grey, 16, 16, 1, 0)), b = decode(make_jpeg(rgb, 16, 16, 3, 1));
    nw_image c = decode(make_jpeg(cmyk, 16, 16, 4, 0));
    for (size_t i = 0; i < 256; i++) {
        assert_memory_equal(a.pixels + 3 * i, ((uint8_t[]){77, 77, 77}), 3);
        for (int k = 0; k < 3; k++) {
            assert_true(abs(b.pixels[3 * i + (size_t)k] - (int[]){200, 100, 50}[k]) <= 2);
            assert_true(abs(c.pixels[3 * i + (size_t)k] - (int[]){200, 100, 0}[k]) <= 2);
        }
    }
    nw_image_free(&a);
    nw_image_free(&b);
    nw_image_free(&c);
}

/* A file that stops anywhere is refused: no grey rest, no crash. */
static void every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t rgb[20 * 23 * 3];
    fill(rgb, 20, 23, 3, 4);
    nw_bytes files[] = {make_png(2, 8, 20, 23, rgb, 69, NULL, 0), make_jpeg(rgb, 20, 23, 3, 0),
                        make_jpeg(rgb, 20, 23, 3, 1), make_jpeg(rgb, 20, 23, 1, 0)};
    for (size_t f = 0; f < NW_COUNT(files); f++) {
        for (size_t size = 0; size < files[f].size; size++) {
            nw_image image = {0};
            uint8_t *part = malloc(size ? size : 1); /* a block of its own, so that a sanitizer sees reads past it */
            memcpy(part, files[f].data, size);
            error.message[0] = 0;
            assert_int_equal(nw_image_decode(&image, part, size, "part", &error), NW_ERROR_DATA);
            assert_ptr_equal(strstr(error.message, "part: "), error.message);
            assert_null(image.pixels);
            free(part);
        }
        free(files[f].data);
    }
}

/* Damaged files give an error or a picture of a bounded size. PNG checksums are repaired so that damage gets through.
 */
static void repair_png(nw_bytes *png)
{
    for (size_t at = 8; at + 12 <= png->size;) {
        const uint8_t *p = png->data + at;
        const size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (length > png->size - at - 12)
            return;
        const uint32_t crc = (uint32_t)crc32(0, p + 4, (uInt)length + 4);
        for (size_t i = 0; i < 4; i++)
            png->data[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + length;
    }
}

static void every_bit_flip_is_survived(void **state)
{
    (void)state;
    uint8_t rgb[9 * 11 * 3];
    const uint8_t palette[6] = {9, 8, 7, 6, 5, 4};
    fill(rgb, 9, 11, 3, 5);
    nw_bytes files[] = {make_png(2, 8, 9, 11, rgb, 33, NULL, 0), make_png(3, 8, 9, 11, rgb, 11, palette, 2),
                        make_jpeg(rgb, 9, 11, 3, 0), make_jpeg(rgb, 9, 11, 3, 1)};
    size_t decoded = 0, refused = 0;
    for (size_t f = 0; f < NW_COUNT(files); f++) {
        for (size_t bit = 0; bit < 8 * files[f].size; bit++) {
            nw_bytes copy = {malloc(files[f].size), files[f].size};
            memcpy(copy.data, files[f].data, copy.size);
            copy.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (f < 2)
                repair_png(&copy);
            nw_image image = {0};
            const nw_status status = nw_image_decode(&image, copy.data, copy.size, "flipped", &error);
            assert_true(status == NW_OK || status == NW_ERROR_DATA);
            assert_true((status == NW_OK) == (image.pixels != NULL));
            *(status ? &refused : &decoded) += 1;
            nw_image_free(&image);
            free(copy.data);
        }
        free(files[f].data);
    }
    assert_true(decoded > 100 && refused > 100);
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    const uint8_t pixel[3] = {1, 2, 3};
    nw_image image = {0};
    nw_bytes png = make_png(2, 8, 1, 1, pixel, 3, NULL, 0);
    memcpy(png.data + 16, (uint8_t[]){0, 0, 0x40, 0, 0, 0, 0x40, 0}, 8); /* 16384 x 16384: each side is allowed */
    repair_png(&png);
    assert_refused(nw_image_decode(&image, png.data, png.size, "big.png", &error), error, "16384 x 16384");
    memcpy(png.data + 16, (uint8_t[]){0, 0, 0x40, 1, 0, 0, 0, 1}, 8);
    repair_png(&png);
    assert_refused(nw_image_decode(&image, png.data, png.size, "big.png", &error), error, "16385 x 1");
    free(png.data);
    nw_bytes jpeg = make_jpeg(pixel, 1, 1, 3, 0);
    for (size_t i = 0; i + 9 < jpeg.size; i++)
        if (jpeg.data[i] == 0xff && jpeg.data[i + 1] == 0xc0)
            memcpy(jpeg.data + i + 5, (uint8_t[]){0xff, 0, 0xff, 0}, 4);
    assert_refused(nw_image_decode(&image, jpeg.data, jpeg.size, "big.jpg", &error), error, "65280 x 65280");
    free(jpeg.data);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    nw_image image = {0};
    scratch_folder();
    assert_refused(nw_image_decode(&image, (const uint8_t *)"GIF89a", 6, "a.gif", &error), error,
                   "neither a JPEG nor a PNG");
    assert_refused(nw_image_decode(&image, (const uint8_t *)"", 0, "e.png", &error), error, "e.png: is empty");
    assert_refused(nw_image_read(&image, scratch_path("none.png"), &error), error, "none.png");
    assert_refused(nw_image_read(&image, scratch_path(""), &error), error, "regular file");
    scratch_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_rgb_and_rgba),
        cmocka_unit_test(png_16_bit),
        cmocka_unit_test(png_small_greys_and_palettes),
        cmocka_unit_test(maps_keep_stored_values),
        cmocka_unit_test(jpeg_colours),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_bit_flip_is_survived),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
