/* SPDX-License-Identifier: Apache-2.0 */
/* src/data/csv.c, names.c, class_names.c: lists in text. */
#include "data_support.h"

#include "data/csv.h"

static nw_error error;

static nw_csv parse(const char *text)
{
    nw_csv csv = {0};
    assert_ok(nw_csv_parse(&csv, text, strlen(text), "list.csv", &error), error);
    return csv;
}

static void rows(void **state)
{
    (void)state;
    static const char *const same[] = {
        "file,class\nb.jpg,4\na.jpg,0\n",
        "b.jpg,4\na.jpg,0",
        "\xef\xbb\xbfname,label\r\nb.jpg,4\r\n\r\na.jpg,0\r\n",
        "\"b.jpg\",\"4\"\n\n\n\"a.jpg\", 0 ,ignored,\"too, \"\n",
    };
    for (size_t i = 0; i < NW_COUNT(same); i++) {
        nw_csv csv = parse(same[i]);
        assert_int_equal(csv.files.n, 2);
        assert_string_equal(nw_names_at(&csv.files, 0), "b.jpg");
        assert_string_equal(nw_names_at(&csv.files, 1), "a.jpg");
        assert_int_equal(csv.classes[0], 4);
        assert_int_equal(csv.classes[1], 0);
        nw_csv_free(&csv);
    }
    nw_csv csv = parse("\"a, \"\"b\"\".jpg\",1\n");
    assert_string_equal(nw_names_at(&csv.files, 0), "a, \"b\".jpg");
    nw_csv_free(&csv);
    csv = parse("file\nx.png\ny.png\n");
    assert_int_equal(csv.files.n, 2);
    assert_null(csv.classes);
    nw_csv_free(&csv);
}

static void refused_rows(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "lists no files"},         {"file,class\n", "lists no files"},   {"a,1\nb,x\n", "line 2: class \"x\""},
        {"a,1\nb,-1\n", "line 2"},      {"a,1\nb,1048577\n", "line 2"},       {"a,1\nb\n", "either all lines"},
        {"a\nb,1\n", "either all"},     {"a,1\n,2\n", "no file name"},        {"a,1\n\"b,2\n", "quoted"},
        {"a,99999999999999\n", "line 1"},
    };
    nw_csv csv = {0};
    for (size_t i = 0; i < NW_COUNT(bad); i++) {
        assert_refused(nw_csv_parse(&csv, bad[i][0], strlen(bad[i][0]), "list.csv", &error), error, bad[i][1]);
        assert_null(csv.files.text);
    }
    assert_refused(nw_csv_parse(&csv, "a\0b,1", 5, "list.csv", &error), error, "zero byte");
    char *large = malloc(5000);
    memset(large, 'a', 5000);
    assert_refused(nw_csv_parse(&csv, large, 5000, "list.csv", &error), error, "too long");
    free(large);
}

/* 20,000 names in a bad order, so that blocks grow and the sort has work. */
static void sorted_names(void **state)
{
    (void)state;
    nw_names names = {0};
    for (uint32_t i = 0; i < 20000; i++) {
        char text[16];
        const int n = snprintf(text, sizeof(text), "%u", i * 2654435761u);
        assert_ok(nw_names_add(&names, text, (size_t)n, &error), error);
    }
    nw_names_sort(&names);
    assert_int_equal(names.n, 20000);
    for (size_t i = 1; i < names.n; i++)
        assert_true(strcmp(nw_names_at(&names, i - 1), nw_names_at(&names, i)) < 0);
    nw_names_free(&names);
    assert_ok(nw_names_add(&names, "b\xc3\xa9", 3, &error), error);
    assert_ok(nw_names_add(&names, "ba", 2, &error), error);
    assert_ok(nw_names_add(&names, "B", 1, &error), error);
    nw_names_sort(&names);
    assert_string_equal(nw_names_at(&names, 0), "B");
    assert_string_equal(nw_names_at(&names, 1), "ba"); /* bytes are unsigned */
    nw_names_free(&names);
}

static void class_names(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "tench\ngold fish\n\nshark",
        "0 tench\n2, shark\n1 gold fish\n",
        "n01 0 tench\r\nn02 1 gold fish\r\nn04 2 shark\r\n",
    };
    nw_names names = {0};
    for (size_t i = 0; i < NW_COUNT(texts); i++) {
        assert_ok(nw_class_names_parse(&names, texts[i], strlen(texts[i]), "labels.txt", &error), error);
        assert_int_equal(names.n, 3);
        assert_string_equal(nw_names_at(&names, 0), "tench");
        assert_string_equal(nw_names_at(&names, 1), "gold fish");
        assert_string_equal(nw_names_at(&names, 2), "shark");
        nw_names_free(&names);
    }
    assert_ok(nw_class_names_parse(&names, "3 a\n", 4, "labels.txt", &error), error);
    assert_int_equal(names.n, 4);
    assert_string_equal(nw_names_at(&names, 0), "");
    nw_names_free(&names);
    assert_refused(nw_class_names_parse(&names, "", 0, "labels.txt", &error), error, "no names");
    assert_refused(nw_class_names_parse(&names, "1 a\n1 b\n", 8, "labels.txt", &error), error, "twice");
    assert_refused(nw_class_names_parse(&names, "1048577 a\n", 10, "labels.txt", &error), error, "larger");
    assert_refused(nw_class_names_parse(&names, "a\0b", 3, "labels.txt", &error), error, "text");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),
        cmocka_unit_test(refused_rows),
        cmocka_unit_test(sorted_names),
        cmocka_unit_test(class_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
