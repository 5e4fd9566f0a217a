/* SPDX-License-Identifier: Apache-2.0 */
/* Plans (src/quant/plan.h): rows and whom they speak of, JSON out and in again, text that is no plan. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "quant/plan.h"

static nw_status parse(nw_plan **plan, const char *text, nw_error *error)
{
    return nw_plan_parse(plan, text, strlen(text), "plan.json", error);
}

static nw_plan *plan_of(const char *text)
{
    nw_plan *plan = NULL;
    nw_error error = {0};
    if (parse(&plan, text, &error))
        fail_msg("%s", error.message);
    return plan;
}

#define PLAN                                                                                                          \
    "{\"version\": 1, \"about\": {\"for\": \"people\"}, \"layers\": ["                                                \
    "{\"node\": \"fc\", \"bits\": 8}, {\"match\": \".*\", \"bits\": 4, \"method\": \"plain\", \"book\": \"flint\"}, " \
    "{\"match\": \"layer3\\\\..*\", \"bits\": 3, \"accumulator\": \"16\", \"why\": {\"damage\": 0.25}}],"             \
    "\"tensors\": [{\"tensor\": \"relu\", \"bits\": 5}]}"

/* Names beat expressions, later expressions earlier ones, and what a row leaves out stays. */
static void test_precedence(void **state)
{
    (void)state;
    nw_plan *plan = plan_of(PLAN);
    const struct {
        const char *name;
        int32_t bits, method, accumulator;
    } wanted[] = {{"fc", 8, NW_ROUND_PLAIN, NW_ACCUMULATOR_32},
                  {"layer3.0", 3, NW_ROUND_PLAIN, NW_ACCUMULATOR_16},
                  {"layer31", 4, NW_ROUND_PLAIN, NW_ACCUMULATOR_32}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        nw_plan_layer row = {.bits = 1, .method = NW_ROUND_REFINE, .accumulator = NW_ACCUMULATOR_32};
        nw_plan_layer_of(&row, plan, wanted[i].name);
        assert_int_equal(row.bits, wanted[i].bits);
        assert_int_equal(row.method, wanted[i].method);
        assert_int_equal(row.accumulator, wanted[i].accumulator);
        assert_int_equal(row.book, NW_BOOK_FLINT);
    }
    nw_plan_tensor row = {.bits = 7};
    nw_plan_tensor_of(&row, plan, "relu6");
    assert_int_equal(row.bits, 7);
    nw_plan_tensor_of(&row, plan, "relu");
    assert_int_equal(row.bits, 5);
    nw_plan_tensor_of(&row, NULL, "relu");
    assert_int_equal(row.bits, 5);
    nw_plan_free(plan);
}

/* What is printed reads back to what prints the same. */
static void test_round_trip(void **state)
{
    (void)state;
    nw_plan *plan = plan_of(PLAN);
    char *text = nw_plan_print(plan);
    assert_non_null(text);
    nw_plan *again = plan_of(text);
    char *text_again = nw_plan_print(again);
    assert_string_equal(text, text_again);
    assert_int_equal(again->n_layers, 3);
    assert_string_equal(again->layers[2].why, "{\"damage\":0.25}");
    assert_true(again->layers[2].key.is_expression);
    free(text);
    free(text_again);
    nw_plan_free(plan);
    nw_plan_free(again);
}

static void test_no_plan(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"version\": 2}",
        "{\"version\": 1, \"rows\": []}",
        "{\"version\": 1, \"layers\": {}}",
        "{\"version\": 1, \"layers\": [1]}",
        "{\"version\": 1, \"layers\": [{\"bits\": 4}]}",
        "{\"version\": 1, \"layers\": [{\"node\": \"a\", \"match\": \"a\", \"bits\": 4}]}",
        "{\"version\": 1, \"layers\": [{\"node\": \"a\", \"bits\": 9}]}",
        "{\"version\": 1, \"layers\": [{\"node\": \"a\", \"bits\": 0}]}",
        "{\"version\": 1, \"layers\": [{\"node\": \"a\", \"bits\": 4.5}]}",
        "{\"version\": 1, \"layers\": [{\"node\": \"a\", \"method\": \"magic\"}]}",
        "{\"version\": 1, \"layers\": [{\"node\": \"a\", \"accumulator\": 16}]}",
        "{\"version\": 1, \"layers\": [{\"node\": \"a\", \"why\": 3}]}",
        "{\"version\": 1, \"layers\": [{\"node\": \"a\"}, {\"node\": \"a\"}]}",
        "{\"version\": 1, \"layers\": [{\"match\": \"(\"}]}",
        "{\"version\": 1, \"tensors\": [{\"tensor\": \"a\"}, {\"tensor\": \"a\"}]}",
        "{\"version\": 1, \"tensors\": [{\"node\": \"a\"}]}",
        "{\"version\": 1, \"tensors\": [{\"tensor\": \"a\", \"scheme\": \"direct\", \"channels\": [1]}]}",
        "{\"version\": 1, \"tensors\": [{\"tensor\": \"a\", \"scheme\": \"noisy\", \"share\": 0.4}]}",
        "{\"version\": 1, \"tensors\": [{\"match\": \"a\", \"scheme\": \"direct\", \"extra_bits\": 2}]}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        nw_plan *plan = NULL;
        nw_error error = {0};
        if (!parse(&plan, texts[i], &error))
            fail_msg("taken for a plan: %s", texts[i]);
        assert_null(plan);
        assert_true(error.message[0] != '\0');
    }
}

static void test_expression_size(void **state)
{
    (void)state;
    char text[NW_PLAN_EXPRESSION + 2];
    nw_plan *plan = nw_plan_create();
    nw_plan_layer *row = NULL;
    memset(text, 'a', sizeof(text));
    text[NW_PLAN_EXPRESSION + 1] = '\0';
    assert_int_equal(nw_plan_add_layer(&row, plan, text, true, NULL), NW_ERROR_USAGE);
    assert_int_equal(plan->n_layers, 0);
    text[NW_PLAN_EXPRESSION] = '\0';
    assert_int_equal(nw_plan_add_layer(&row, plan, text, true, NULL), NW_OK);
    assert_true(nw_plan_matches(&row->key, text));
    nw_plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_plan),
        cmocka_unit_test(test_expression_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
