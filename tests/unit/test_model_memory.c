/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing .nw files while memory runs out: each allocation in turn fails, once. Linked with
 * -Wl,--wrap=malloc and the like, so that the failing happens here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "model/file.h"
#include "models/nw_random.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);

static long left = -1; /* allocations until one fails; negative: none does */

static int fails(void)
{
    return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

/** cJSON is a library of its own and has to be told; its allocations then fail too. */
static void *json_malloc(size_t size)
{
    return __wrap_malloc(size);
}

static void json_free(void *block)
{
    free(block);
}

/** Whether something failed since `left` was set: it then ended at -1. */
static bool ran_out(void)
{
    return left < 0;
}

static void try_write(const nw_model *model)
{
    for (long n = 0;; n++) {
        nw_bytes bytes = {0};
        nw_error error = {{0}};
        left = n;
        const nw_status status = nw_model_serialize(&bytes, model, &error);
        const bool failed = ran_out();
        left = -1;
        assert_int_equal(status != NW_OK, bytes.data == NULL);
        if (status) /* cJSON cannot say whether text is wrong or memory missing */
            assert_true(failed && error.message[0] && (status == NW_ERROR_MEMORY || status == NW_ERROR_DATA));
        nw_bytes_free(&bytes);
        if (!failed)
            return;
    }
}

static void try_read(const nw_bytes *bytes)
{
    for (long n = 0;; n++) {
        nw_model *model = NULL;
        nw_error error = {{0}};
        left = n;
        const nw_status status = nw_model_parse(&model, bytes->data, bytes->size, "a.nw", &error);
        const bool failed = ran_out();
        left = -1;
        assert_int_equal(status != NW_OK, model == NULL);
        if (status)
            assert_true(failed && error.message[0] && (status == NW_ERROR_MEMORY || status == NW_ERROR_DATA));
        nw_model_free(model);
        if (!failed) {
            assert_int_equal(status, NW_OK);
            return;
        }
    }
}

static void test_memory(void **state)
{
    (void)state;
    cJSON_Hooks hooks = {json_malloc, json_free};
    cJSON_InitHooks(&hooks);
    for (uint64_t seed = 0; seed < 6; seed++) {
        nw_model *model = nw_random_model(seed, 3);
        if (model && seed % 2)
            nw_random_sparsify(model, seed);
        nw_bytes bytes = {0};
        nw_error error;
        assert_non_null(model);
        model->has_preprocess = seed % 2;
        assert_int_equal(nw_model_serialize(&bytes, model, &error), NW_OK);
        try_read(&bytes);
        model->has_preprocess = false; /* TODO: once nw_preprocess_format checks every addition to its JSON */
        try_write(model);
        nw_bytes_free(&bytes);
        nw_model_free(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
