/* SPDX-License-Identifier: Apache-2.0 */
/* src/data/resize.c against checksums of what Pillow makes; picture.c's geometry and arithmetic. */
#include "data_support.h"

#include <zlib.h>

#include "data/picture.h"
#include "data/resize.h"

static nw_error error;

/* Printed by `compare_pillow.py --golden`: height, width, new height, new width, crc32 per filter. */
static const struct {
    size_t height, width, new_height, new_width;
    uint32_t crc[NW_INTERPOLATION_COUNT];
} GOLDEN[] = {
    {1, 1, 3, 2, {0x5c887b27, 0x5c887b27, 0x5c887b27, 0x5c887b27, 0x5c887b27, 0x5c887b27}},
    {2, 3, 7, 5, {0xce18b098, 0x0f79c4a6, 0xcc452ebc, 0x0da9fcd0, 0x6dcb844e, 0x04a7dfdb}},
    {5, 4, 1, 1, {0x5e648db5, 0x2f1437ff, 0xb9fa7f34, 0x8c21cbcf, 0xbbbcc16d, 0xba7eab5a}},
    {16, 9, 16, 4, {0xf722d4be, 0x888a7ee9, 0x3924af89, 0xaec8f745, 0x629c5e40, 0x72d9e25a}},
    {9, 16, 4, 16, {0x2a4d8e9b, 0xe7a73496, 0x5717c1ef, 0x82c8037a, 0x4e2ea34e, 0x2d5987c0}},
    {37, 53, 24, 31, {0x161709aa, 0xaffc2c99, 0xeb3bb35b, 0x0101822f, 0xb90c1a95, 0xc01e350e}},
    {24, 31, 53, 37, {0x0985a34c, 0xea45b992, 0xdbecfb5d, 0x99734efa, 0x0f831cf3, 0x9fe773c6}},
    {100, 3, 11, 40, {0x4a579837, 0x4f0d3a7f, 0x7802a146, 0xae59acd0, 0xe1ab563c, 0x0f3aed52}},
    {64, 64, 63, 65, {0x0ea635a3, 0xdf4517bc, 0x0f5ad329, 0x0fd8c0c4, 0xb9c63f98, 0xc8402606}},
};

static nw_image make(size_t height, size_t width, uint32_t seed)
{
    nw_image image = {0};
    assert_ok(nw_image_create(&image, height, width, 3, &error), error);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            for (size_t c = 0; c < 3; c++)
                image.pixels[(y * width + x) * 3 + c] = pattern_at(y, x, c, seed);
    return image;
}

static void resize_equals_pillow(void **state)
{
    (void)state;
    for (size_t i = 0; i < NW_COUNT(GOLDEN); i++) {
        nw_image in = make(GOLDEN[i].height, GOLDEN[i].width, (uint32_t)(GOLDEN[i].height * 1000 + GOLDEN[i].width));
        for (int f = 0; f < NW_INTERPOLATION_COUNT; f++) {
            nw_image out = {0};
            assert_ok(
                nw_image_resize(&out, &in, GOLDEN[i].new_height, GOLDEN[i].new_width, (nw_interpolation)f, &error),
                error);
            assert_int_equal(out.height, GOLDEN[i].new_height);
            assert_int_equal(out.width, GOLDEN[i].new_width);
            const uint32_t crc = (uint32_t)crc32(0, out.pixels, (uInt)(out.height * out.width * 3));
            if (crc != GOLDEN[i].crc[f])
                fail_msg("row %zu, %s: 0x%08x instead of 0x%08x", i, nw_interpolation_name((nw_interpolation)f), crc,
                         GOLDEN[i].crc[f]);
            nw_image_free(&out);
        }
        nw_image_free(&in);
    }
}

/* One channel goes through its own loop; it must give what that channel of three gives. */
static void one_channel_equals_three(void **state)
{
    (void)state;
    nw_image in = make(19, 33, 3), grey = {0};
    assert_ok(nw_image_create(&grey, 19, 33, 1, &error), error);
    for (size_t i = 0; i < 19 * 33; i++)
        grey.pixels[i] = in.pixels[3 * i + 1];
    for (int f = 0; f < NW_INTERPOLATION_COUNT; f++) {
        nw_image a = {0}, b = {0};
        assert_ok(nw_image_resize(&a, &in, 40, 14, (nw_interpolation)f, &error), error);
        assert_ok(nw_image_resize(&b, &grey, 40, 14, (nw_interpolation)f, &error), error);
        for (size_t i = 0; i < 40 * 14; i++)
            assert_int_equal(a.pixels[3 * i + 1], b.pixels[i]);
        nw_image_free(&a);
        nw_image_free(&b);
    }
    nw_image_free(&in);
    nw_image_free(&grey);
}

static void resize_refuses_sizes(void **state)
{
    (void)state;
    nw_image in = make(2, 2, 1), out = {0};
    assert_refused(nw_image_resize(&out, &in, 0, 5, NW_INTERPOLATION_BOX, &error), error, "no pixels");
    assert_refused(nw_image_resize(&out, &in, 16385, 5, NW_INTERPOLATION_BOX, &error), error, "16385");
    assert_null(out.pixels);
    nw_image_free(&in);
}

static nw_preprocess parse(const char *text)
{
    nw_preprocess p;
    assert_ok(nw_preprocess_parse(&p, text, "test", &error), error);
    return p;
}

/* A picture of height x width prepared; checks the pixel at (y, x) against that of the source at (from_y, from_x). */
static void letterbox_pads_and_cuts(void **state)
{
    (void)state;
    const nw_preprocess p = parse("{\"size\": [10, 20], \"resize\": {\"letterbox\": 114}}");
    nw_image image = make(7, 7, 1), expected = {0};
    /* r = 10 / 7: 10 x 10, and never 9 for want of a rounded product */
    nw_image source = make(7, 7, 1);
    assert_ok(nw_image_resize(&expected, &source, 10, 10, NW_INTERPOLATION_BILINEAR, &error), error);
    assert_ok(nw_picture_prepare(&image, &p, "test", &error), error);
    assert_int_equal(image.height, 10);
    assert_int_equal(image.width, 20);
    for (size_t y = 0; y < 10; y++) {
        assert_memory_equal(image.pixels + y * 60, expected.pixels + y * 30, 30);
        for (size_t i = 30; i < 60; i++)
            assert_int_equal(image.pixels[y * 60 + i], 114);
    }
    nw_image_free(&image);
    nw_image_free(&source);
    nw_image_free(&expected);
}

static void crop_takes_the_middle(void **state)
{
    (void)state;
    const nw_preprocess p = parse("{\"size\": [4, 3], \"crop\": \"center\", \"channel_order\": \"BGR\"}");
    nw_image image = make(9, 8, 2), source = make(9, 8, 2);
    assert_ok(nw_picture_prepare(&image, &p, "test", &error), error);
    for (size_t y = 0; y < 4; y++)
        for (size_t x = 0; x < 3; x++)
            for (size_t c = 0; c < 3; c++)
                assert_int_equal(image.pixels[(y * 3 + x) * 3 + c], source.pixels[((y + 2) * 8 + x + 2) * 3 + 2 - c]);
    nw_image_free(&image);
    nw_image_free(&source);
}

/* rint, not "plus a half": 5 * (3 / 2) = 7.5 goes to 8, 3 * (3 / 2) = 4.5 to 4. */
static void shorter_side_rounds_to_even(void **state)
{
    (void)state;
    const nw_preprocess a = parse("{\"size\": [8, 3], \"resize\": {\"shorter_side\": 3}}");
    const nw_preprocess b = parse("{\"size\": [3, 4], \"resize\": {\"shorter_side\": 3}}");
    nw_image image = make(5, 2, 1);
    assert_ok(nw_picture_prepare(&image, &a, "test", &error), error);
    nw_image_free(&image);
    image = make(2, 3, 1);
    assert_ok(nw_picture_prepare(&image, &b, "test", &error), error);
    nw_image_free(&image);
}

static void wrong_sizes_are_named(void **state)
{
    (void)state;
    const nw_preprocess plain = parse("{\"size\": [8, 8]}"), crop = parse("{\"size\": [8, 8], \"crop\": \"center\"}");
    const nw_preprocess shorter =
        parse("{\"size\": [8, 8], \"crop\": \"center\", \"resize\": {\"shorter_side\": 9000}}");
    nw_image image = make(7, 9, 1);
    assert_refused(nw_picture_prepare(&image, &plain, "a.png", &error), error,
                   "a.png: is 9 x 7 pixels instead of 8 x 8");
    assert_refused(nw_picture_prepare(&image, &crop, "a.png", &error), error, "less than the crop");
    nw_image_free(&image);
    image = make(1, 2, 1);
    assert_refused(nw_picture_prepare(&image, &shorter, "a.png", &error), error, "too long and thin");
    nw_image_free(&image);
}

static void luma_of_primaries(void **state)
{
    (void)state;
    const uint8_t rgb[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255};
    const nw_preprocess y = parse("{\"size\": [1, 4], \"channel_order\": \"Y\"}");
    const nw_preprocess l = parse("{\"size\": [1, 4], \"channel_order\": \"L\"}");
    nw_image image = make(1, 4, 1);
    memcpy(image.pixels, rgb, 12);
    assert_ok(nw_picture_prepare(&image, &y, "test", &error), error);
    assert_int_equal(image.channels, 1);
    assert_memory_equal(image.pixels, ((uint8_t[]){76, 149, 29, 255}), 4); /* Pillow: convert("YCbCr") */
    nw_image_free(&image);
    image = make(1, 4, 1);
    memcpy(image.pixels, rgb, 12);
    assert_ok(nw_picture_prepare(&image, &l, "test", &error), error);
    assert_memory_equal(image.pixels, ((uint8_t[]){76, 150, 29, 255}), 4); /* Pillow: convert("L") */
    nw_image_free(&image);
}

static void normalize_is_binary32(void **state)
{
    (void)state;
    const nw_preprocess p =
        parse("{\"size\": [5, 6], \"mean\": [123.675, 116.28, 103.53], \"std\": [58.395, 57.12, 57.375]}");
    nw_image image = make(5, 6, 9);
    float values[90];
    nw_picture_normalize(values, &image, &p);
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < 30; i++) {
            const float mean = (float[]){123.675f, 116.28f, 103.53f}[c], std = (float[]){58.395f, 57.12f, 57.375f}[c];
            volatile float difference = (float)image.pixels[3 * i + c] - mean;
            volatile float quotient = difference / std;
            assert_true(values[c * 30 + i] == quotient);
        }
    nw_image_free(&image);
}

static void maps_use_nearest_and_void(void **state)
{
    (void)state;
    const nw_preprocess p = parse("{\"size\": [4, 8], \"resize\": {\"letterbox\": 0}}");
    nw_image map = {0};
    assert_ok(nw_image_create(&map, 2, 2, 1, &error), error);
    memcpy(map.pixels, (uint8_t[]){1, 9, 5, 3}, 4);
    assert_ok(nw_picture_prepare_map(&map, &p, "test", &error), error);
    const uint8_t top[8] = {1, 1, 9, 9, 255, 255, 255, 255}, bottom[8] = {5, 5, 3, 3, 255, 255, 255, 255};
    assert_memory_equal(map.pixels, top, 8);
    assert_memory_equal(map.pixels + 8, top, 8);
    assert_memory_equal(map.pixels + 24, bottom, 8);
    nw_image_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_equals_pillow),
        cmocka_unit_test(one_channel_equals_three),
        cmocka_unit_test(resize_refuses_sizes),
        cmocka_unit_test(letterbox_pads_and_cuts),
        cmocka_unit_test(crop_takes_the_middle),
        cmocka_unit_test(shorter_side_rounds_to_even),
        cmocka_unit_test(wrong_sizes_are_named),
        cmocka_unit_test(luma_of_primaries),
        cmocka_unit_test(normalize_is_binary32),
        cmocka_unit_test(maps_use_nearest_and_void),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
