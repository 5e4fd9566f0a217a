/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefix codes: complete, no word begins another, as short as Huffman's where that is short enough, never longer than
 * 11.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/prefix_code.h"

static uint64_t state = 1;

static uint64_t draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

/**
 * Bits of Huffman's code without a bound, by adding up the two smallest: the sum of all inner nodes; *deepest its
 * depth.
 */
static uint64_t huffman_bits(const uint64_t *counts, size_t n, int *deepest)
{
    uint64_t weight[256];
    int depth[256];
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        weight[i] = counts[i] ? counts[i] : 1;
        depth[i] = 0;
    }
    for (; n > 1; n--) {
        for (size_t k = 0; k < 2; k++) /* the smallest, of equal ones the shallowest, to the end */
            for (size_t i = 0; i < n - 1 - k; i++) {
                const size_t last = n - 1 - k;
                if (weight[i] > weight[last] || (weight[i] == weight[last] && depth[i] >= depth[last]))
                    continue;
                const uint64_t w = weight[i];
                const int d = depth[i];
                weight[i] = weight[last];
                depth[i] = depth[last];
                weight[last] = w;
                depth[last] = d;
            }
        weight[n - 2] += weight[n - 1];
        depth[n - 2] = 1 + (depth[n - 1] > depth[n - 2] ? depth[n - 1] : depth[n - 2]);
        bits += weight[n - 2];
    }
    *deepest = depth[0];
    return bits;
}

static uint64_t bits_of(const uint8_t *lengths, const uint64_t *counts, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++)
        bits += lengths[i] * (counts[i] ? counts[i] : 1);
    return bits;
}

static void check_words(const uint8_t *lengths, size_t n)
{
    uint16_t words[256];
    nw_prefix_code_words(words, lengths, n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const unsigned mask = (1u << lengths[i]) - 1u;
            assert_true(i == j || lengths[j] < lengths[i] || (words[j] & mask) != words[i]);
            assert_true(words[i] <= mask);
        }
}

static void test_make(void **unused)
{
    (void)unused;
    int n_bound = 0;
    int n_free = 0;
    for (int round = 0; round < 400; round++) {
        const size_t n = (size_t)2 << draw() % 8;
        const uint64_t skew = draw() % 40;
        uint64_t counts[256];
        uint8_t lengths[256];
        int deepest;
        for (size_t i = 0; i < n; i++)
            counts[i] = skew ? draw() % 1000 >> draw() % skew << draw() % skew : draw() % 3;
        nw_prefix_code_make(lengths, counts, n);
        assert_true(nw_prefix_code_complete(lengths, n));
        check_words(lengths, n);
        const uint64_t least = huffman_bits(counts, n, &deepest);
        const uint64_t bits = bits_of(lengths, counts, n);
        assert_true(bits >= least);
        if (deepest <= NW_PREFIX_LONGEST)
            assert_int_equal(bits, least);
        n_free += deepest <= NW_PREFIX_LONGEST;
        n_bound += deepest > NW_PREFIX_LONGEST && bits > least;
    }
    assert_true(n_free > 50 && n_bound > 20);
}

/** Twelve counts that double: the bound costs one bit of the two rarest and gives it back nowhere else. */
static void test_bound(void **unused)
{
    (void)unused;
    uint64_t counts[16] = {0};
    uint8_t lengths[16];
    for (int i = 0; i < 16; i++)
        counts[i] = (uint64_t)1 << i;
    nw_prefix_code_make(lengths, counts, 16);
    assert_true(nw_prefix_code_complete(lengths, 16));
    for (int i = 1; i < 16; i++)
        assert_true(lengths[i] <= lengths[i - 1]);
    assert_int_equal(lengths[0], NW_PREFIX_LONGEST);
    assert_int_equal(lengths[15], 1);
}

static void test_incomplete(void **unused)
{
    (void)unused;
    uint8_t lengths[256];
    memset(lengths, 8, sizeof(lengths));
    assert_true(nw_prefix_code_complete(lengths, 256));
    assert_false(nw_prefix_code_complete(lengths, 128));
    for (int bad = 0; bad < 16; bad++) {
        lengths[77] = (uint8_t)bad;
        assert_int_equal(nw_prefix_code_complete(lengths, 256), bad == 8);
    }
    const uint8_t two[2] = {1, 1};
    const uint8_t too_full[4] = {1, 1, 1, 1};
    assert_true(nw_prefix_code_complete(two, 2));
    assert_false(nw_prefix_code_complete(too_full, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_incomplete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
