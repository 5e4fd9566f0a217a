/* SPDX-License-Identifier: Apache-2.0 */
/* src/data/npy.c, npz.c: headers, types, damaged files. */
#include "data_support.h"

#include <math.h>

#include "data/npy.h"

static nw_error error;

static const float VALUES[6] = {1.5f, -2.0f, 0.0f, 1e30f, -1e-30f, 3.25f};

static void plain_array(void **state)
{
    (void)state;
    nw_npy array;
    float values[6];
    nw_bytes file = make_npy("<f4", "(2, 3)", VALUES, sizeof(VALUES));
    assert_ok(nw_npy_parse(&array, file.data, file.size, file.size, "a", &error), error);
    assert_int_equal(array.rank, 2);
    assert_int_equal(array.shape[0], 2);
    assert_int_equal(array.shape[1], 3);
    assert_int_equal(array.n_values, 6);
    nw_npy_to_float(values, file.data + array.data_offset, 6, &array);
    assert_memory_equal(values, VALUES, sizeof(values));
    free(file.data);
}

static float one(const char *descr, const void *bytes, size_t size)
{
    nw_npy array;
    float value;
    nw_bytes file = make_npy(descr, "()", bytes, size);
    assert_ok(nw_npy_parse(&array, file.data, file.size, file.size, descr, &error), error);
    assert_int_equal(array.rank, 0);
    nw_npy_to_float(&value, file.data + array.data_offset, 1, &array);
    free(file.data);
    return value;
}

static void types(void **state)
{
    (void)state;
    assert_true(one("|u1", "\xff", 1) == 255.0f);
    assert_true(one("|i1", "\xff", 1) == -1.0f);
    assert_true(one("|b1", "\x01", 1) == 1.0f);
    assert_true(one("<u2", "\x01\x80", 2) == 32769.0f);
    assert_true(one("<i2", "\x01\x80", 2) == -32767.0f);
    assert_true(one(">i2", "\xff\xfe", 2) == -2.0f);
    assert_true(one("<u4", "\xff\xff\xff\xff", 4) == 4294967296.0f); /* nearest binary32 */
    assert_true(one("<i4", "\xff\xff\xff\xff", 4) == -1.0f);
    assert_true(one("<i8", "\xff\xff\xff\xff\xff\xff\xff\xff", 8) == -1.0f);
    assert_true(one("<u8", "\xff\xff\xff\xff\xff\xff\xff\xff", 8) == 18446744073709551616.0f);
    assert_true(one(">f4", "\xbf\x80\x00\x00", 4) == -1.0f);
    assert_true(one("<f8", "\x00\x00\x00\x00\x00\x00\xf8\xbf", 8) == -1.5f);
    assert_true(one("<f2", "\x00\x3c", 2) == 1.0f);
    assert_true(one("<f2", "\x01\x80", 2) == -ldexpf(1.0f, -24));
    assert_true(isinf(one("<f2", "\x00\x7c", 2)) && isnan(one("<f2", "\x01\x7c", 2)));
}

static void integers(void **state)
{
    (void)state;
    const int64_t labels[3] = {0, 7, 2147483647}, large[1] = {2147483648};
    int32_t values[3];
    nw_npy array;
    nw_bytes file = make_npy("<i8", "(3,)", labels, sizeof(labels)), big = make_npy("<i8", "(1,)", large, 8);
    assert_ok(nw_npy_parse(&array, file.data, file.size, file.size, "y", &error), error);
    assert_true(nw_npy_to_int(values, file.data + array.data_offset, 3, &array));
    assert_int_equal(values[1], 7);
    assert_int_equal(values[2], INT32_MAX);
    assert_ok(nw_npy_parse(&array, big.data, big.size, big.size, "y", &error), error);
    assert_false(nw_npy_to_int(values, big.data + array.data_offset, 1, &array));
    array.kind = NW_NPY_FLOAT;
    assert_false(nw_npy_to_int(values, big.data + array.data_offset, 1, &array));
    free(file.data);
    free(big.data);
}

/* A version 1 file with this header text and 64 bytes of values. */
static nw_bytes with_header(const char *header)
{
    const size_t n = strlen(header);
    nw_bytes out = {calloc(1, 10 + n + 64), 10 + n + 64};
    memcpy(out.data, "\x93NUMPY\x01\x00", 8);
    out.data[8] = (uint8_t)n;
    out.data[9] = (uint8_t)(n >> 8);
    memcpy(out.data + 10, header, n);
    return out;
}

static void headers(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{\"shape\":(2,3),\"descr\":\"<f4\",\"fortran_order\":False}",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (6L,), }  \n",
        "{'fortran_order': False, 'shape': (0, 5), 'descr': '=f8'}",
    };
    static const char *const bad[][2] = {
        {"", "malformed header"},
        {"{}", "incomplete"},
        {"{'descr': '<f4', 'shape': (2,3)}", "incomplete"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", "Fortran"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2, 3), }", "malformed"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }", "records"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }", "type"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", "type"},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (2, 3), }", "type"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", "dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 16), }", "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (17,), }", "truncated"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "repeated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", "unknown"},
    };
    nw_npy array;
    for (size_t i = 0; i < NW_COUNT(good); i++) {
        nw_bytes file = with_header(good[i]);
        assert_ok(nw_npy_parse(&array, file.data, file.size, file.size, "good", &error), error);
        free(file.data);
    }
    for (size_t i = 0; i < NW_COUNT(bad); i++) {
        nw_bytes file = with_header(bad[i][0]);
        assert_refused(nw_npy_parse(&array, file.data, file.size, file.size, "bad", &error), error, bad[i][1]);
        free(file.data);
    }
}

static void damaged_arrays(void **state)
{
    (void)state;
    nw_bytes file = make_npy("<f4", "(2, 3)", VALUES, sizeof(VALUES));
    nw_npy array;
    for (size_t size = 0; size < file.size; size++) {
        uint8_t *part = malloc(size ? size : 1);
        memcpy(part, file.data, size);
        assert_int_equal(nw_npy_parse(&array, part, size, size, "part", &error), NW_ERROR_DATA);
        free(part);
    }
    for (size_t bit = 0; bit < 8 * (file.size - sizeof(VALUES)); bit++) {
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (nw_npy_parse(&array, file.data, file.size, file.size, "flip", &error) == NW_OK) {
            float *values = malloc((array.n_values + 1) * sizeof(*values));
            nw_npy_to_float(values, file.data + array.data_offset, array.n_values, &array);
            free(values);
        }
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(file.data);
}

static void zips(void **state)
{
    (void)state;
    static const char *const names[] = {"readme.txt", "a.npy", "x.npy"};
    const uint8_t text[] = "hello";
    for (int deflated = 0; deflated < 2; deflated++) {
        nw_bytes files[3] = {{malloc(5), 5}, make_npy("<f4", "(6,)", VALUES, 24), make_npy("|u1", "(5,)", text, 5)};
        memcpy(files[0].data, text, 5);
        nw_bytes zip = make_zip(names, files, 3, deflated), out = {0};
        assert_ok(nw_npz_read(&out, zip.data, zip.size, "x", "z", &error), error);
        assert_int_equal(out.size, files[2].size);
        assert_memory_equal(out.data, files[2].data, out.size);
        nw_bytes_free(&out);
        assert_ok(nw_npz_read(&out, zip.data, zip.size, NULL, "z", &error), error);
        assert_int_equal(out.size, files[1].size);
        assert_memory_equal(out.data, files[1].data, out.size);
        nw_bytes_free(&out);
        assert_ok(nw_npz_read(&out, zip.data, zip.size, "y", "z", &error), error);
        assert_null(out.data);
        for (size_t size = 0; size < zip.size; size++) {
            uint8_t *part = malloc(size ? size : 1);
            memcpy(part, zip.data, size);
            assert_int_equal(nw_npz_read(&out, part, size, "x", "part", &error), NW_ERROR_DATA);
            free(part);
        }
        for (size_t bit = 0; bit < 8 * zip.size; bit++) {
            zip.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            out = (nw_bytes){0};
            const nw_status status = nw_npz_read(&out, zip.data, zip.size, "x", "flip", &error);
            assert_true(status == NW_OK || status == NW_ERROR_DATA);
            if (out.data) { /* whatever came through has the right checksum */
                assert_int_equal(out.size, files[2].size);
                assert_memory_equal(out.data, files[2].data, out.size);
            }
            nw_bytes_free(&out);
            zip.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(zip.data);
        for (int i = 0; i < 3; i++)
            free(files[i].data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_array), cmocka_unit_test(types),          cmocka_unit_test(integers),
        cmocka_unit_test(headers),     cmocka_unit_test(damaged_arrays), cmocka_unit_test(zips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
