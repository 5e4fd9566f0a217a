/* SPDX-License-Identifier: Apache-2.0 */
/* What multipoint is measured against (src/quant/rivals.h). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quant/rivals.h"
#include "quant/weights.h"
#include "quant_graphs.h"

#define K 48
#define CHANNELS 8 /* six taps each */

static void random_row(double *w, uint64_t seed)
{
    graph_random random = {seed};
    for (int j = 0; j < K; j++) { /* long tails: few large weights */
        const double x = (double)graph_normal(&random);
        w[j] = x * x * x * 0.05;
    }
}

static double error_of(const double *w, const int8_t *codes, const double *steps)
{
    double error = 0.0;
    for (int j = 0; j < K; j++) {
        const double rest = w[j] - steps[0] * codes[j] - steps[1] * codes[K + j];
        error += rest * rest;
    }
    return error;
}

/* Two grids of disjoint support err less than one that reaches as far. */
static void test_piecewise(void **state)
{
    (void)state;
    double w[K], steps[2];
    int8_t codes[2 * K], one[2 * K] = {0};
    for (int32_t bits = 2; bits <= 5; bits++)
        for (uint64_t seed = 1; seed < 30; seed++) {
            random_row(w, seed);
            assert_int_equal(nw_piecewise_row(codes, steps, w, K, uniform_book(bits), NULL), NW_OK);
            for (int j = 0; j < K; j++)
                assert_true(codes[j] == 0 || codes[K + j] == 0);
            const double step[2] = {nw_weights_quantize_row(one, w, K, uniform_book(bits), NW_WEIGHTS_MIN_MAX, NULL)};
            assert_true(error_of(w, codes, steps) <= error_of(w, one, step) * (1.0 + 1e-12));
        }
}

/* Split channels are those with the largest weights; their halves add up to no more than half a step beside w. */
static void test_split(void **state)
{
    (void)state;
    double w[2 * K], steps[2];
    bool split[K];
    int8_t codes[2 * K];
    for (uint64_t seed = 1; seed < 30; seed++) {
        random_row(w, seed);
        random_row(w + K, seed + 100);
        assert_int_equal(nw_split_columns(split, w, 2, K, CHANNELS, 0.25), NW_OK);
        double least_split = INFINITY, most_whole = 0.0;
        int n_split = 0;
        for (int c = 0; c < CHANNELS; c++) {
            double largest = 0.0;
            for (int j = c; j < K; j += CHANNELS) {
                assert_int_equal(split[j], split[c]);
                largest = fmax(largest, fmax(fabs(w[j]), fabs(w[K + j])));
            }
            n_split += split[c];
            if (split[c])
                least_split = fmin(least_split, largest);
            else
                most_whole = fmax(most_whole, largest);
        }
        assert_int_equal(n_split, 2);
        assert_true(least_split >= most_whole);
        assert_int_equal(nw_split_row(codes, steps, w, K, uniform_book(8), split, NULL), NW_OK);
        assert_true(steps[0] > 0.0 && steps[0] == steps[1]);
        for (int j = 0; j < K; j++) {
            assert_true(split[j] || codes[K + j] == 0);
            const double reach = steps[0] * 127.0 * (split[j] ? 2.0 : 1.0);
            if (fabs(w[j]) < reach - steps[0]) /* not clipped */
                assert_true(fabs(w[j] - steps[0] * (codes[j] + codes[K + j])) <= 0.5 * steps[0] * (1.0 + 1e-9));
        }
    }
}

/* The same seed draws the same channels, within the budget; another one others. */
static void test_draw(void **state)
{
    (void)state;
    enum { N = 200 };
    nw_multipoint_channel channels[N] = {{.cost = 0.0}};
    uint8_t a[N], b[N], c[N];
    for (int i = 0; i < N; i++)
        channels[i].cost = 1.0 + i % 3;
    const double cost = nw_points_draw(a, channels, N, 60.0, 7);
    double sum = 0.0;
    for (int i = 0; i < N; i++)
        sum += (a[i] - 1) * channels[i].cost;
    assert_true(cost <= 60.0 && cost >= 57.0 && sum == cost);
    nw_points_draw(b, channels, N, 60.0, 7);
    nw_points_draw(c, channels, N, 60.0, 8);
    assert_memory_equal(a, b, N);
    assert_true(memcmp(a, c, N) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_piecewise),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
