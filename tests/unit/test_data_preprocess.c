/* SPDX-License-Identifier: Apache-2.0 */
/* src/model/preprocess*.c: JSON in and out, flags, ranges. */
#include "data_support.h"

#include "model/preprocess.h"

static nw_error error;

static const char *const GOOD[] = {
    "{\"size\":[224,224],\"resize\":{\"shorter_side\":256},\"crop\":\"center\",\"mean\":[127.5,127.5,127.5],"
    "\"std\":[127.5,127.5,127.5],\"layout\":\"NCHW\",\"channel_order\":\"RGB\",\"class_offset\":1}",
    "{\"size\":[352,352],\"resize\":{\"exact\":[352,352]},\"crop\":null,\"mean\":[0,0,0],\"std\":[255,255,255],"
    "\"layout\":\"NCHW\",\"channel_order\":\"BGR\"}",
    "{\"size\":[416,416],\"resize\":{\"letterbox\":114},\"interpolation\":\"lanczos\",\"mean\":[123.675,116.28,103.53],"
    "\"std\":[58.395,57.12,57.375],\"channel_order\":\"RGB\"}",
    "{\"size\":[49,10],\"resize\":null,\"crop\":null,\"mean\":[0],\"std\":[1],\"layout\":\"NCHW\",\"channel_order\":"
    "null}",
    "{\"size\":[640],\"resize\":null,\"crop\":null,\"mean\":[0],\"std\":[1],\"layout\":\"NC\",\"channel_order\":null}",
    "{\"size\":[224,224],\"crop\":\"center\",\"mean\":[0],\"std\":[255],\"channel_order\":\"Y\",\"class_offset\":-1}",
    "{\"size\":[28,28],\"mean\":0.1307,\"std\":1e-3,\"channel_order\":\"L\"}",
    "{\"channel_order\":null,\"mean\":[0.1,0.2,0.3,0.4],\"std\":2}",
};

static void round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < NW_COUNT(GOOD); i++) {
        nw_preprocess a, b;
        assert_ok(nw_preprocess_parse(&a, GOOD[i], "good", &error), error);
        char *text = nw_preprocess_format(&a);
        assert_non_null(text);
        assert_ok(nw_preprocess_parse(&b, text, "again", &error), error);
        assert_memory_equal(&a, &b, sizeof(a));
        free(text);
    }
}

static void values_arrive(void **state)
{
    (void)state;
    nw_preprocess p;
    assert_ok(nw_preprocess_parse(&p, GOOD[0], "good", &error), error);
    assert_int_equal(p.height, 224);
    assert_int_equal(p.resize, NW_RESIZE_SHORTER_SIDE);
    assert_int_equal(p.shorter_side, 256);
    assert_int_equal(p.crop, NW_CROP_CENTER);
    assert_int_equal(p.class_offset, 1);
    assert_int_equal(p.n_mean, 3);
    assert_true(nw_preprocess_std(&p, 2) == 127.5f);
    assert_ok(nw_preprocess_parse(&p, GOOD[2], "good", &error), error);
    assert_true(p.mean[0] == 123.675f && p.std[2] == 57.375f);
    assert_int_equal(p.interpolation, NW_INTERPOLATION_LANCZOS);
    char *text = nw_preprocess_format(&p);
    assert_non_null(strstr(text, "123.675,116.28,103.53"));
    free(text);
    assert_ok(nw_preprocess_parse(&p, "{\"size\":[32,32]}", "good", &error), error);
    assert_int_equal(p.channel_order, NW_CHANNELS_RGB);
    assert_int_equal(p.n_std, 3);
    assert_true(p.std[2] == 1.0f);
    assert_ok(nw_preprocess_parse(&p, "{}", "good", &error), error);
    assert_int_equal(p.channel_order, NW_CHANNELS_NONE);
    assert_int_equal(p.n_size, 0);
}

static void refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "not JSON"},
        {"{\"size\":[32,32]", "not JSON"},
        {"{\"size\":[32,32]} x", "not JSON"},
        {"[1]", "JSON object"},
        {"{\"size\":[32,32],\"sise\":1}", "unknown key \"sise\""},
        {"{\"size\":[32,32],\"size\":[32,32]}", "appears twice"},
        {"{\"size\":[0,32]}", "size"},
        {"{\"size\":[32.5,32]}", "size"},
        {"{\"size\":[32,16385]}", "size"},
        {"{\"size\":[16384,16384]}", "size"},
        {"{\"size\":[32,32,3]}", "size"},
        {"{\"size\":\"32\"}", "size"},
        {"{\"size\":[640],\"channel_order\":\"RGB\"}", "size"},
        {"{\"size\":[32,32],\"std\":[1,0,1]}", "std"},
        {"{\"size\":[32,32],\"std\":1e-60}", "std"},
        {"{\"size\":[32,32],\"std\":1e60}", "std"},
        {"{\"size\":[32,32],\"mean\":[1,2]}", "mean"},
        {"{\"size\":[32,32],\"mean\":[]}", "mean"},
        {"{\"size\":[32,32],\"mean\":[1,2,\"3\"]}", "mean"},
        {"{\"size\":[32,32],\"mean\":1e999}", "mean"},
        {"{\"size\":[32,32],\"channel_order\":\"GBR\"}", "channel_order"},
        {"{\"size\":[32,32],\"layout\":\"NHWC\"}", "layout"},
        {"{\"size\":[32,32],\"layout\":\"NC\"}", "layout"},
        {"{\"size\":[32,32],\"crop\":\"left\"}", "crop"},
        {"{\"size\":[32,32],\"interpolation\":\"cubic\"}", "interpolation"},
        {"{\"size\":[32,32],\"resize\":{\"exact\":[32,31]}}", "exact"},
        {"{\"size\":[32,32],\"crop\":\"center\",\"resize\":{\"exact\":[32,31]}}", "smaller"},
        {"{\"size\":[32,32],\"resize\":{\"letterbox\":256}}", "resize"},
        {"{\"size\":[32,32],\"crop\":\"center\",\"resize\":{\"letterbox\":0}}", "crop"},
        {"{\"size\":[32,32],\"resize\":{\"shorter_side\":0}}", "resize"},
        {"{\"size\":[32,32],\"resize\":{\"exact\":[32,32],\"letterbox\":0}}", "resize"},
        {"{\"size\":[32,32],\"resize\":\"exact\"}", "resize"},
        {"{\"size\":[49,10],\"channel_order\":null,\"crop\":\"center\"}", "crop"},
        {"{\"channel_order\":null,\"mean\":[1,2],\"std\":[1,2,3]}", "std"},
        {"{\"size\":[32,32],\"class_offset\":0.5}", "class_offset"},
        {"{\"size\":[32,32],\"class_offset\":99999999}", "class_offset"},
    };
    for (size_t i = 0; i < NW_COUNT(bad); i++) {
        nw_preprocess p, before;
        memset(&p, 0x5a, sizeof(p));
        memset(&before, 0x5a, sizeof(p));
        assert_refused(nw_preprocess_parse(&p, bad[i][0], "net.json", &error), error, bad[i][1]);
        assert_ptr_equal(strstr(error.message, "net.json: "), error.message);
        assert_memory_equal(&p, &before, sizeof(p));
    }
}

/* Cutting a good text anywhere must give an error or a valid preprocessing, never a crash. */
static void truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < NW_COUNT(GOOD); i++)
        for (size_t n = 0; n < strlen(GOOD[i]); n++) {
            nw_preprocess p;
            char *text = malloc(n + 1);
            memcpy(text, GOOD[i], n);
            text[n] = 0;
            assert_int_equal(nw_preprocess_parse(&p, text, "cut", &error), NW_ERROR_DATA);
            free(text);
        }
}

static void flags(void **state)
{
    (void)state;
    nw_preprocess p;
    nw_preprocess_init(&p);
    static const char *const set[][2] = {
        {"size", "224x200"},     {"channel_order", "BGR"}, {"mean", "127.5"},         {"std", "58.395,57.12,57.375"},
        {"resize", "exact"},     {"interpolation", "box"}, {"class_offset", "1"},     {"layout", "NCHW"},
        {"crop", "none"},
    };
    for (size_t i = 0; i < NW_COUNT(set); i++)
        assert_ok(nw_preprocess_set(&p, set[i][0], set[i][1], &error), error);
    assert_ok(nw_preprocess_validate(&p, &error), error);
    assert_int_equal(p.height, 224);
    assert_int_equal(p.width, 200);
    assert_int_equal(p.resize_height, 224);
    assert_int_equal(p.resize_width, 200);
    assert_true(p.mean[2] == 127.5f && p.std[1] == 57.12f);
    assert_int_equal(p.class_offset, 1);
    assert_ok(nw_preprocess_set(&p, "resize", "shorter_side:256", &error), error);
    assert_int_equal(p.resize_height, 0);
    assert_ok(nw_preprocess_set(&p, "resize", "letterbox:114", &error), error);
    assert_int_equal(p.pad_value, 114);
    assert_ok(nw_preprocess_set(&p, "resize", "none", &error), error);
    static const char *const bad[][2] = {
        {"sizes", "1x1"},
        {"size", "224x"},
        {"size", "x"},
        {"size", "0x3"},
        {"size", ""},
        {"resize", "box"},
        {"resize", "shorter_side"},
        {"resize", "exact:1"},
        {"mean", "1,,2"},
        {"mean", "nan"},
        {"mean", "inf"},
        {"std", "0"},
        {"resize", "letterbox:"},
        {"class_offset", "x"},
        {"crop", "middle"},
        {"resize", "a_rule_with_a_very_long_name:3"},
    };
    for (size_t i = 0; i < NW_COUNT(bad); i++) {
        const nw_preprocess before = p;
        assert_int_equal(nw_preprocess_set(&p, bad[i][0], bad[i][1], &error), NW_ERROR_USAGE);
        assert_memory_equal(&p, &before, sizeof(p));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(values_arrive), cmocka_unit_test(refused),
        cmocka_unit_test(truncated),  cmocka_unit_test(flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
