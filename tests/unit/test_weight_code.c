/* SPDX-License-Identifier: Apache-2.0 */
/* Coded weights: what goes in comes out, in about as many bits as the entropy says; damaged bytes never harm. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/weight_code.h"

static uint64_t state = 1;

static uint32_t draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

/** Normally distributed, as sum of twelve uniform ones; rounded, and cut off at 127. */
static int8_t normal(double spread)
{
    double sum = -6.0;
    for (int i = 0; i < 12; i++)
        sum += draw() * 0x1p-32;
    return (int8_t)fmin(fmax(rint(spread * sum), -127.0), 127.0);
}

static int8_t *filled(size_t n, double spread)
{
    int8_t *w = malloc(n);
    assert_non_null(w);
    for (size_t i = 0; i < n; i++)
        w[i] = normal(spread);
    return w;
}

/** Codes, checks that counting tells the size and that nothing behind is touched, decodes; returns the size. */
static size_t round_trip(const int8_t *w, size_t n_rows, size_t k, size_t period)
{
    const size_t size = nw_weight_code_encode(NULL, w, n_rows, k, period);
    uint8_t *bytes = malloc(size + 1);
    int8_t *back = malloc(n_rows * k);
    assert_non_null(bytes);
    assert_non_null(back);
    bytes[size] = 0xa5;
    assert_int_equal(nw_weight_code_encode(bytes, w, n_rows, k, period), size);
    assert_int_equal(bytes[size], 0xa5);
    assert_true(nw_weight_code_decode(back, n_rows, k, period, bytes, size));
    assert_memory_equal(back, w, n_rows * k);
    assert_false(nw_weight_code_decode(back, n_rows, k, period, bytes, size - 1));
    assert_false(nw_weight_code_decode(back, n_rows, k, period, bytes, size + 1));
    free(bytes);
    free(back);
    return size;
}

static void test_shapes(void **unused)
{
    (void)unused;
    for (int i = 0; i < 300; i++) {
        const size_t n_rows = 1 + draw() % 9;
        const size_t k = 1 + draw() % 50;
        int8_t *w = filled(n_rows * k, 0.1 * pow(1.5, i % 20));
        round_trip(w, n_rows, k, draw() % 3 ? draw() % (k + 3) : 0);
        free(w);
    }
}

static void test_extremes(void **unused)
{
    (void)unused;
    static const int8_t values[] = {0, 1, -1, 127, -127};
    int8_t w[64 * 33];
    for (size_t v = 0; v < sizeof(values); v++) {
        memset(w, values[v], sizeof(w));
        round_trip(w, 64, 33, 11);
        w[sizeof(w) - 1] = 127; /* what nobody expects any more */
        round_trip(w, 64, 33, 0);
    }
    for (size_t i = 0; i < sizeof(w); i++)
        w[i] = values[draw() % sizeof(values)];
    round_trip(w, 33, 64, 3);
}

/** Bits a weight of a normal distribution of this spread, rounded. */
static double entropy(double spread)
{
    double sum = 0.0;
    for (int v = -127; v <= 127; v++) {
        const double p = 0.5 * (erf((v + 0.5) / (spread * sqrt(2.0))) - erf((v - 0.5) / (spread * sqrt(2.0))));
        sum -= p > 0.0 ? p * log2(p) : 0.0;
    }
    return sum;
}

static void test_length(void **unused)
{
    (void)unused;
    static const double spreads[] = {0.3, 0.7, 1.5, 4.0, 12.0, 30.0};
    for (size_t i = 0; i < sizeof(spreads) / sizeof(*spreads); i++) {
        int8_t *w = filled(256 * 576, spreads[i]);
        const double bits = 8.0 * (double)round_trip(w, 256, 576, 64) / (256 * 576);
        assert_true(bits < 1.02 * entropy(spreads[i]) + 0.01);
        assert_true(bits > 0.98 * entropy(spreads[i]));
        free(w);
    }
}

/** Rows of different spreads: better than one table for all of them could be. */
static void test_rows_differ(void **unused)
{
    (void)unused;
    const size_t n = 128;
    const size_t k = 576;
    int8_t *w = malloc(n * k);
    double ideal = 0.0;
    assert_non_null(w);
    for (size_t r = 0; r < n; r++) {
        const double spread = pow(2.0, (double)(r * 37 % 6) - 1.0);
        ideal += (double)k * entropy(spread);
        for (size_t j = 0; j < k; j++)
            w[r * k + j] = normal(spread);
    }
    assert_true(8.0 * (double)round_trip(w, n, k, 64) < 1.04 * ideal);
    free(w);
}

static void test_damage(void **unused)
{
    (void)unused;
    int8_t *w = filled(40 * 90, 3.0);
    int8_t *back = malloc(40 * 90);
    const size_t size = nw_weight_code_encode(NULL, w, 40, 90, 10);
    uint8_t *bytes = malloc(size);
    assert_non_null(back);
    assert_non_null(bytes);
    for (int i = 0; i < 2000; i++) {
        nw_weight_code_encode(bytes, w, 40, 90, 10);
        for (uint32_t n = 1 + draw() % 3; n; n--)
            bytes[draw() % size] ^= (uint8_t)(1u << draw() % 8);
        nw_weight_code_decode(back, 40, 90, 10, bytes, size); /* anything may come out, within the array */
        for (int j = 0; j < 40 * 90; j++)
            assert_true(back[j] >= -127);
    }
    for (size_t n = 0; n < size; n++)
        bytes[n] = (uint8_t)draw();
    nw_weight_code_decode(back, 40, 90, 10, bytes, size);
    assert_false(nw_weight_code_decode(back, 40, 90, 10, bytes, 0));
    free(bytes);
    free(back);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes), cmocka_unit_test(test_extremes),    cmocka_unit_test(test_length),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_rows_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
