/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The elementary functions against the C library's in long double: millions of arguments of every exponent, the special
 * values, and the error that elementary.h and docs/numerics.md promise. And golden bits: the same on every machine.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/elementary.h"

#define PER_EXPONENT 8192 /* arguments of one sign */

typedef long double exact_function(long double x);

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/** Distance in units of the last place of the exact result (those of the smallest normal number below it). */
static long double error_of(float got, long double exact)
{
    int exponent;
    if (!isfinite(got) || isnan(exact))
        return INFINITY;
    frexpl(exact, &exponent);
    exponent = exponent < -125 ? -125 : exponent;
    return fabsl((long double)got - exact) / ldexpl(1.0L, exponent - 24);
}

typedef struct worst {
    long double error;
    float at;
    uint32_t n;
} worst;

static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 40);
}

/** Arguments lo <= x <= hi: every exponent, both signs, the ends of each binade among them. */
static worst measure(float function(float), exact_function *exact, float lo, float hi)
{
    worst w = {0.0L, 0.0f, 0};
    uint64_t state = 1;
    for (uint32_t exponent = 0; exponent < 255; exponent++)
        for (uint32_t i = 0; i < 2 * PER_EXPONENT; i++) {
            uint32_t fraction = next(&state) & 0x7fffffu;
            fraction = i < 4 ? 0 : i < 8 ? 0x7fffffu : fraction;
            const float x = float_of((i & 1u) << 31 | exponent << 23 | fraction);
            if (!(x >= lo && x <= hi))
                continue;
            const long double error = error_of(function(x), exact((long double)x));
            w.n++;
            if (error > w.error) {
                w.error = error;
                w.at = x;
            }
        }
    return w;
}

static void check(const char *name, worst w, double bound)
{
    print_message("%s: %.3f units in the last place at %a, of %u arguments\n", name, (double)w.error, (double)w.at,
                  w.n);
    assert_true(w.n > 1000000);
    assert_true(w.error < (long double)bound);
}

static long double exact_sigmoid(long double x)
{
    return 1.0L / (1.0L + expl(-x));
}

static void test_exp(void **state)
{
    (void)state;
    check("exp", measure(nw_exp, expl, -87.33654f, 88.72283f), 1.0);
    assert_true(nw_exp(0.0f) == 1.0f && nw_exp(-0.0f) == 1.0f);
    assert_true(nw_exp(-87.33654f) >= 0x1p-126f && isfinite(nw_exp(88.72283f)));
    assert_true(bits_of(nw_exp(nextafterf(-87.33654f, -INFINITY))) == 0);
    assert_true(nw_exp(nextafterf(88.72283f, INFINITY)) == INFINITY);
    assert_true(bits_of(nw_exp(-INFINITY)) == 0 && nw_exp(INFINITY) == INFINITY);
    assert_true(isnan(nw_exp(NAN)));
}

static void test_log(void **state)
{
    (void)state;
    check("log", measure(nw_log, logl, 0x1p-126f, 3.40282347e+38f), 1.0);
    assert_true(bits_of(nw_log(1.0f)) == 0);
    assert_true(nw_log(0.0f) == -INFINITY && nw_log(-0.0f) == -INFINITY && nw_log(0x1p-127f) == -INFINITY);
    assert_true(nw_log(INFINITY) == INFINITY);
    assert_true(isnan(nw_log(-0x1p-126f)) && isnan(nw_log(-INFINITY)) && isnan(nw_log(NAN)));
}

static void test_sigmoid(void **state)
{
    (void)state;
    check("sigmoid", measure(nw_sigmoid, exact_sigmoid, -87.33654f, 3.4e38f), 2.5);
    assert_true(nw_sigmoid(0.0f) == 0.5f && nw_sigmoid(-0.0f) == 0.5f);
    assert_true(nw_sigmoid(INFINITY) == 1.0f && bits_of(nw_sigmoid(-INFINITY)) == 0);
    assert_true(bits_of(nw_sigmoid(-87.4f)) == 0);
    assert_true(isnan(nw_sigmoid(NAN)));
}

static void test_tanh(void **state)
{
    (void)state;
    check("tanh", measure(nw_tanh, tanhl, -3.4e38f, 3.4e38f), 1.5);
    assert_true(bits_of(nw_tanh(0.0f)) == 0 && bits_of(nw_tanh(-0.0f)) == 0);
    assert_true(nw_tanh(INFINITY) == 1.0f && nw_tanh(-INFINITY) == -1.0f);
    assert_true(isnan(nw_tanh(NAN)));
    for (float x = 0x1p-120f; x < 100.0f; x *= 1.0009765625f)
        assert_true(nw_tanh(-x) == -nw_tanh(x));
}

/** FNV-1a over the results' bits for 2^20 arguments spread over all bit patterns; every NaN counts as one. */
static uint64_t hash_of(float function(float))
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < 1u << 20; i++) {
        const float y = function(float_of(i * 4093u));
        const uint32_t bits = isnan(y) ? 0x7fc00000u : bits_of(y);
        for (int b = 0; b < 4; b++)
            hash = (hash ^ (bits >> 8 * b & 0xffu)) * 0x100000001b3u;
    }
    return hash;
}

static void test_golden(void **state)
{
    (void)state;
    assert_true(hash_of(nw_exp) == 0x1dd010de3b105b16u);
    assert_true(hash_of(nw_log) == 0x95ed230905275830u);
    assert_true(hash_of(nw_sigmoid) == 0x20f323aac18871cau);
    assert_true(hash_of(nw_tanh) == 0x8be04cf4a673d172u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_sigmoid),
        cmocka_unit_test(test_tanh),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
