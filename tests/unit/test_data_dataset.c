/* SPDX-License-Identifier: Apache-2.0 */
/* src/data/dataset*.c, array.c, folder.c: everything a path may hold. */
#define _POSIX_C_SOURCE 200809L
#include "data_support.h"

#include <sys/stat.h>
#include <unistd.h>

#include "data/dataset.h"

static nw_error error;
static nw_dataset *data;

static nw_bytes picture(uint8_t value)
{
    uint8_t rgb[12];
    memset(rgb, value, sizeof(rgb));
    return make_png(2, 8, 2, 2, rgb, 6, NULL, 0);
}

static nw_bytes map(uint8_t value)
{
    uint8_t values[4];
    memset(values, value, sizeof(values));
    return make_png(0, 8, 2, 2, values, 2, NULL, 0);
}

static nw_preprocess parse(const char *text)
{
    nw_preprocess p;
    assert_ok(nw_preprocess_parse(&p, text, "test", &error), error);
    return p;
}

static void open_with(const char *text, const char *path, const char *labels)
{
    const nw_preprocess p = parse(text);
    char full[512];
    snprintf(full, sizeof(full), "%s", labels ? scratch_path(labels) : "");
    assert_ok(nw_dataset_open(&data, scratch_path(path), labels ? full : NULL, &p, &error), error);
}

#define PICTURES "{\"size\": [2, 2], \"mean\": 1, \"std\": 2}"

static void open_pictures(const char *path, const char *labels)
{
    open_with(PICTURES, path, labels);
}

static void refuse_with(const char *text, const char *path, const char *labels, const char *sentence)
{
    const nw_preprocess p = parse(text);
    nw_dataset *none = NULL;
    char full[512];
    snprintf(full, sizeof(full), "%s", labels ? scratch_path(labels) : "");
    assert_refused(nw_dataset_open(&none, scratch_path(path), labels ? full : NULL, &p, &error), error, sentence);
    assert_null(none);
}

/* The sample's name, class, and the value that fills its picture. */
static void expect(size_t index, const char *name, int label, uint8_t value)
{
    float tensor[12];
    uint8_t image[12];
    assert_string_equal(nw_dataset_name(data, index), name);
    assert_int_equal(nw_dataset_label(data, index), label);
    assert_ok(nw_dataset_tensor(data, index, tensor, &error), error);
    assert_ok(nw_dataset_image(data, index, image, &error), error);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(image[i], value);
        assert_true(tensor[i] == ((float)value - 1.0f) / 2.0f);
    }
}

static int setup(void **state)
{
    (void)state;
    scratch_folder();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nw_dataset_free(data);
    data = NULL;
    scratch_remove();
    return 0;
}

static void class_folders(void **state)
{
    (void)state;
    scratch_file("d/dog/b.png", picture(4));
    scratch_file("d/dog/a.PNG", picture(3));
    scratch_file("d/cat/z.png", picture(2));
    scratch_file("d/Zebra/1.png", picture(1));
    scratch_text("d/dog/notes.txt", "x");
    scratch_text("d/dog/.hidden.png", "x");
    open_pictures("d", NULL);
    assert_int_equal(nw_dataset_count(data), 4);
    assert_int_equal(nw_dataset_n_classes(data), 3);
    assert_string_equal(nw_dataset_class_name(data, 0), "Zebra");
    assert_string_equal(nw_dataset_class_name(data, 2), "dog");
    assert_true(nw_dataset_has_labels(data) && nw_dataset_has_images(data) && !nw_dataset_has_maps(data));
    expect(0, "Zebra/1.png", 0, 1);
    expect(1, "cat/z.png", 1, 2);
    expect(2, "dog/a.PNG", 2, 3);
    expect(3, "dog/b.png", 2, 4);
    size_t shape[NW_NPY_MAX_RANK];
    assert_int_equal(nw_dataset_shape(data, shape), 3);
    assert_memory_equal(shape, ((size_t[]){3, 2, 2}), 3 * sizeof(size_t));
}

static void flat_folder_and_lists(void **state)
{
    (void)state;
    scratch_file("f/b.png", picture(4));
    scratch_file("f/a.png", picture(3));
    open_pictures("f", NULL);
    assert_false(nw_dataset_has_labels(data));
    expect(0, "a.png", -1, 3);
    nw_dataset_free(data);
    scratch_text("all.csv", "file,class\nz.png,9\nb.png,1\na.png,0\n");
    open_pictures("f", "all.csv");
    expect(0, "a.png", 0, 3);
    expect(1, "b.png", 1, 4);
    assert_int_equal(nw_dataset_n_classes(data), 2);
    nw_dataset_free(data);
    scratch_text("part.csv", "a.png,0\n");
    data = NULL;
    refuse_with(PICTURES, "f", "part.csv", "no line for b.png");
    scratch_text("f.csv",
                 "b.png,5\na.png,2\nb.png,5\n"); /* files in the folder f; order of the list, repeats allowed */
    open_pictures("f.csv", NULL);
    assert_int_equal(nw_dataset_count(data), 3);
    expect(0, "b.png", 5, 4);
    expect(1, "a.png", 2, 3);
    assert_int_equal(nw_dataset_n_classes(data), 6);
    nw_dataset_free(data);
    scratch_text("beside.csv", "f/b.png\n");
    open_pictures("beside.csv", NULL);
    expect(0, "f/b.png", -1, 4);
    nw_dataset_free(data);
    open_pictures("f/a.png", NULL);
    assert_int_equal(nw_dataset_count(data), 1);
    expect(0, "a.png", -1, 3);
}

static void maps(void **state)
{
    (void)state;
    uint8_t values[4];
    scratch_file("i/a.jpg", picture(3)); /* the content decides, not the name */
    scratch_file("i/b.png", picture(4));
    scratch_file("l/a.png", map(255));
    scratch_file("l/b.png", map(7));
    open_pictures("i", "l");
    assert_true(nw_dataset_has_maps(data) && !nw_dataset_has_labels(data));
    assert_ok(nw_dataset_map(data, 0, values, &error), error);
    assert_memory_equal(values, ((uint8_t[]){255, 255, 255, 255}), 4);
    assert_ok(nw_dataset_map(data, 1, values, &error), error);
    assert_int_equal(values[3], 7);
    nw_dataset_free(data);
    scratch_file("t/city/a.png", picture(3)); /* sub-folders with maps are not classes */
    scratch_file("u/city/a.png", map(5));
    open_pictures("t", "u");
    assert_int_equal(nw_dataset_n_classes(data), 0);
    assert_ok(nw_dataset_map(data, 0, values, &error), error);
    assert_int_equal(values[0], 5);
    nw_dataset_free(data);
    open_pictures("i/b.png", "u/city/a.png");
    assert_ok(nw_dataset_map(data, 0, values, &error), error);
    assert_int_equal(values[0], 5);
    nw_dataset_free(data);
    data = NULL;
    remove(scratch_path("l/b.png"));
    refuse_with(PICTURES, "i", "l", "l/b.png: is missing");
}

static void arrays(void **state)
{
    (void)state;
    const float values[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    static const char *const text = "{\"size\": [2, 3], \"channel_order\": null, \"mean\": 1, \"std\": 2}";
    float tensor[6];
    scratch_file("a.npy", make_npy("<f4", "(2, 1, 2, 3)", values, sizeof(values)));
    open_with(text, "a.npy", NULL);
    assert_int_equal(nw_dataset_count(data), 2);
    assert_false(nw_dataset_has_labels(data) || nw_dataset_has_images(data));
    assert_null(nw_dataset_name(data, 1));
    assert_ok(nw_dataset_tensor(data, 1, tensor, &error), error);
    assert_true(tensor[5] == 5.0f);
    nw_dataset_free(data);
    scratch_text("a.csv", "file,class\nx.bin,3\ny.bin,1\n");
    for (int i = 0; i < 2; i++) { /* the list beside it is found, and leads to it */
        open_with(text, i ? "a.csv" : "a.npy", NULL);
        assert_int_equal(nw_dataset_label(data, 0), 3);
        assert_int_equal(nw_dataset_n_classes(data), 4);
        assert_string_equal(nw_dataset_name(data, 1), "y.bin");
        nw_dataset_free(data);
    }
    scratch_file("y.npy", make_npy("|u1", "(2, 1)", "\x02\x05", 2));
    open_with(text, "a.npy", "y.npy");
    assert_int_equal(nw_dataset_label(data, 1), 5);
    nw_dataset_free(data);
    data = NULL;
    scratch_file("three.npy", make_npy("|u1", "(3,)", "\x02\x05\x01", 3));
    refuse_with(text, "a.npy", "three.npy", "has 3 labels for 2 samples");
    scratch_text("b.csv", "x,1\n");
    refuse_with(text, "a.npy", "b.csv", "has 1 rows for the 2 samples");
    refuse_with("{\"size\": [3, 2], \"channel_order\": null}", "a.npy", NULL, "size 3, 2");
    refuse_with("{\"channel_order\": null, \"mean\": [1, 2]}", "a.npy", NULL, "2 channels");
    refuse_with("{\"size\": [7], \"channel_order\": null}", "a.npy", NULL, "size 7");
    scratch_file("nan.npy", make_npy("<f4", "(1, 1)", "\x00\x00\xc0\x7f", 4));
    open_with("{\"channel_order\": null}", "nan.npy", NULL);
    assert_refused(nw_dataset_tensor(data, 0, tensor, &error), error, "not finite");
    nw_dataset_free(data);
    data = NULL;
    scratch_file("none.npy", make_npy("<f4", "(0, 3)", "", 0));
    refuse_with("{\"channel_order\": null}", "none.npy", NULL, "holds no samples");
    scratch_text("empty.npy", "");
    refuse_with("{\"channel_order\": null}", "empty.npy", NULL, "is empty");
}

/* A file that shrinks after it was opened is an error, not a crash. */
static void array_that_shrinks(void **state)
{
    (void)state;
    const float values[4] = {1, 2, 3, 4};
    float tensor[2];
    scratch_file("a.npy", make_npy("<f4", "(2, 2)", values, sizeof(values)));
    open_with("{\"channel_order\": null}", "a.npy", NULL);
    assert_int_equal(truncate(scratch_path("a.npy"), 70), 0);
    assert_refused(nw_dataset_tensor(data, 1, tensor, &error), error, "sample 1 cannot be read");
}

static void arrays_of_pictures(void **state)
{
    (void)state;
    const uint8_t hwc[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, chw[12] = {1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12};
    uint8_t image[12];
    scratch_file("hwc.npy", make_npy("|u1", "(1, 2, 2, 3)", hwc, 12));
    scratch_file("chw.npy", make_npy("|u1", "(1, 3, 2, 2)", chw, 12));
    for (int i = 0; i < 2; i++) {
        open_pictures(i ? "chw.npy" : "hwc.npy", NULL);
        assert_ok(nw_dataset_image(data, 0, image, &error), error);
        assert_memory_equal(image, hwc, 12);
        nw_dataset_free(data);
    }
    const char *const names[] = {"x.npy", "y.npy"};
    nw_bytes files[2] = {make_npy("|u1", "(3, 2, 2)", hwc, 12),
                         make_npy("<i4", "(3,)", "\1\0\0\0\0\0\0\0\2\0\0\0", 12)};
    scratch_file("set.npz", make_zip(names, files, 2, 1));
    free(files[0].data);
    free(files[1].data);
    open_with("{\"size\": [2, 2], \"channel_order\": \"L\"}", "set.npz", NULL);
    assert_int_equal(nw_dataset_count(data), 3);
    assert_int_equal(nw_dataset_label(data, 2), 2);
    assert_ok(nw_dataset_image(data, 2, image, &error), error);
    assert_memory_equal(image, hwc + 8, 4);
}

static void refused(void **state)
{
    (void)state;
    scratch_make_folder("empty");
    refuse_with(PICTURES, "empty", NULL, "empty: holds neither pictures");
    refuse_with(PICTURES, "absent", NULL, "absent: there is no such");
    scratch_make_folder("c/hollow");
    scratch_file("c/full/a.png", picture(1));
    refuse_with(PICTURES, "c", NULL, "c/hollow: this folder of a class holds no pictures");
    scratch_make_folder("c/hollow/deeper");
    refuse_with(PICTURES, "c", NULL, "only folders");
    scratch_file("m/a.png", picture(1));
    scratch_make_folder("m/sub");
    refuse_with(PICTURES, "m", NULL, "both pictures (a.png) and folders (sub)");
    scratch_file("p/a.png", picture(1));
    refuse_with("{\"size\": [2, 2], \"channel_order\": null}", "p", NULL, "channel_order");
    refuse_with(PICTURES, "p", "absent", "absent: there is no such");
    scratch_file("p/b.png", picture(1));
    refuse_with(PICTURES, "p", "c/full/a.png", "labels must be a folder of PNGs");
    refuse_with(PICTURES, "c/full", "c", "c/a.png: is missing");
}

static void damaged_samples(void **state)
{
    (void)state;
    uint8_t image[12];
    scratch_text("d/a.png", "not a picture");
    scratch_text("d/b.jpg", "");
    scratch_file("d/c.png", map(1));
    open_with("{\"size\": [3, 3]}", "d", NULL);
    assert_refused(nw_dataset_image(data, 0, image, &error), error, "d/a.png: is neither a JPEG nor a PNG");
    assert_refused(nw_dataset_image(data, 1, image, &error), error, "d/b.jpg: is empty");
    assert_refused(nw_dataset_image(data, 2, image, &error), error, "d/c.png: is 2 x 2 pixels instead of 3 x 3");
    nw_dataset_free(data);
    data = NULL;
    scratch_text("missing.csv", "d/a.png,0\nd/z.png,1\n");
    refuse_with(PICTURES, "missing.csv", NULL, "no file d/z.png");
    scratch_text("nowhere.csv", "q.png,0\n");
    refuse_with(PICTURES, "nowhere.csv", NULL, "first file q.png is neither");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(class_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(flat_folder_and_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(maps, setup, teardown),
        cmocka_unit_test_setup_teardown(arrays, setup, teardown),
        cmocka_unit_test_setup_teardown(array_that_shrinks, setup, teardown),
        cmocka_unit_test_setup_teardown(arrays_of_pictures, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_samples, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
