/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of an engine: aligned as promised, writable to the last byte, whatever its size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "runtime/block.h"

static void check(size_t size, size_t alignment)
{
    uint8_t *block = nw_block_create(size);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % alignment, 0);
    memset(block, 0x5a, size);
    assert_int_equal(block[size - 1], 0x5a);
    free(block);
}

static void test_small(void **state)
{
    (void)state;
    check(1, NW_ARENA_ALIGNMENT);
    check(1000, NW_ARENA_ALIGNMENT);
    check(NW_HUGE_FROM - 1, NW_ARENA_ALIGNMENT);
}

static void test_huge(void **state)
{
    (void)state;
    check(NW_HUGE_FROM, NW_HUGE_PAGE);
    check(NW_HUGE_FROM + 12345, NW_HUGE_PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_huge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
