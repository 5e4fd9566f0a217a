/* SPDX-License-Identifier: Apache-2.0 */
/* Multipoint: the greedy step is exact, residuals fall exponentially, the budget is kept and shared by error. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/multipoint.h"
#include "quant/weights.h"
#include "quant_graphs.h"

#define K 144

static void random_row(double *w, uint64_t seed)
{
    graph_random random = {seed * 77 + 5};
    for (int j = 0; j < K; j++)
        w[j] = (double)graph_normal(&random) * (seed % 4 == 3 && j % 31 == 0 ? 5.0 : 1.0);
}

static double error_of(const double *r, const int8_t *z, double a, const double *importance)
{
    double error = 0.0;
    for (int j = 0; j < K; j++)
        error += (importance ? importance[j] : 1.0) * (r[j] - a * z[j]) * (r[j] - a * z[j]);
    return error;
}

/** Least error over a grid of `n` coefficients, each with nearest codes. */
static double grid_error(const double *r, int32_t bits, int n, const double *importance)
{
    int8_t z[K];
    double largest = 0.0;
    for (int j = 0; j < K; j++)
        largest = fmax(largest, fabs(r[j]));
    double best = INFINITY;
    for (int i = 1; i <= n; i++) {
        const double a = 1.2 * largest / uniform_book(bits)->limit * i / n;
        nw_code_book_round(z, r, K, uniform_book(bits), a);
        best = fmin(best, error_of(r, z, a, importance));
    }
    return best;
}

static void test_step_beats_grid(void **state)
{
    (void)state;
    double w[K], importance[K];
    int8_t z[K];
    for (uint64_t seed = 0; seed < 12; seed++)
        for (int32_t bits = 1; bits <= 8; bits++)
            for (int weighted = 0; weighted < 2; weighted++) {
                random_row(w, seed);
                for (int j = 0; j < K; j++)
                    importance[j] = weighted ? 0.1 + (double)(j % 7) : 1.0;
                const double *by = weighted ? importance : NULL;
                const double a = nw_multipoint_step(z, w, K, uniform_book(bits), by);
                const int32_t limit = uniform_book(bits)->limit;
                for (int j = 0; j < K; j++)
                    assert_true(z[j] >= -limit && z[j] <= limit && (bits > 1 || z[j] != 0));
                const double error = error_of(w, z, a, by);
                const double grid = grid_error(w, bits, 1000, by);
                if (!(error <= grid * (1.0 + 1e-9)))
                    fail_msg("row %d, %d bits: error %.9g, the grid has %.9g", (int)seed, bits, error, grid);
                if (!weighted) { /* the elementary bound in the mean: a = max / L leaves at most max / (2 L) everywhere
                                  */
                    double largest = 0.0;
                    for (int j = 0; j < K; j++)
                        largest = fmax(largest, fabs(w[j]));
                    if (bits > 1)
                        assert_true(error <= K * pow(largest / (2.0 * limit), 2.0));
                }
            }
}

static void test_elementary_bound(void **state)
{
    (void)state;
    double r[K];
    int8_t z[K];
    for (uint64_t seed = 0; seed < 12; seed++)
        for (int32_t bits = 2; bits <= 8; bits++) {
            random_row(r, seed);
            for (int point = 0; point < NW_MAX_POINTS; point++) {
                double before = 0.0, after = 0.0;
                for (int j = 0; j < K; j++)
                    before = fmax(before, fabs(r[j]));
                const double a = before / uniform_book(bits)->limit;
                nw_code_book_round(z, r, K, uniform_book(bits), a);
                for (int j = 0; j < K; j++) {
                    r[j] -= a * z[j];
                    after = fmax(after, fabs(r[j]));
                }
                assert_true(after <= before / (2.0 * uniform_book(bits)->limit) * (1.0 + 1e-9));
            }
        }
}

/** Claim C1: the mean logarithm of the residual is a straight line in the number of points. */
static void test_exponential_decay(void **state)
{
    (void)state;
    for (int32_t bits = 1; bits <= 8; bits++) {
        double y[NW_MAX_POINTS + 1] = {0};
        for (uint64_t seed = 0; seed < 20; seed++) {
            double r[K];
            int8_t z[K];
            random_row(r, 4 * seed);
            const int8_t none[K] = {0};
            const double start = error_of(r, none, 0.0, NULL);
            for (int n = 1; n <= NW_MAX_POINTS; n++) {
                const double a = nw_multipoint_step(z, r, K, uniform_book(bits), NULL);
                for (int j = 0; j < K; j++)
                    r[j] -= a * z[j];
                y[n] += 0.5 * log(error_of(r, none, 0.0, NULL) / start) / 20.0;
            }
        }
        double xy = 0.0, yy = 0.0, mean = 0.0;
        const double centre = NW_MAX_POINTS / 2.0;
        for (int n = 0; n <= NW_MAX_POINTS; n++)
            mean += y[n] / (NW_MAX_POINTS + 1);
        double xx = 0.0;
        for (int n = 0; n <= NW_MAX_POINTS; n++) {
            xy += (n - centre) * (y[n] - mean);
            xx += (n - centre) * (n - centre);
            yy += (y[n] - mean) * (y[n] - mean);
        }
        const double r2 = xy * xy / (xx * yy);
        printf("%d bits: residual times %.3f per point, R^2 %.4f\n", bits, exp(xy / xx), r2);
        assert_true(xy < 0.0 && r2 > 0.95);
    }
}

static void test_zeros(void **state)
{
    (void)state;
    const double r[K] = {0};
    int8_t z[K];
    for (int32_t bits = 1; bits <= 8; bits++) {
        assert_true(nw_multipoint_step(z, r, K, uniform_book(bits), NULL) == 0.0);
        for (int j = 0; j < K; j++)
            assert_int_equal(z[j], bits == 1 ? 1 : 0);
    }
}

#define CHANNELS 200

static void test_budget(void **state)
{
    (void)state;
    nw_multipoint_channel channels[CHANNELS];
    uint8_t points[CHANNELS];
    graph_random random = {9};
    double total = 0.0;
    for (int i = 0; i < CHANNELS; i++) {
        double error = i == 7 ? 0.0 : exp(3.0 * (double)graph_normal(&random));
        for (int p = 0; p < NW_MAX_POINTS; p++, error *= 0.2)
            channels[i].error[p] = error;
        channels[i].cost = 100.0 * (1 + i % 5);
        total += channels[i].cost;
    }
    double before = -1.0;
    for (double share = 0.0; share < 3.5; share = share * 1.5 + 0.02) {
        const double spent = nw_multipoint_allocate(points, channels, CHANNELS, share * total);
        double sum = 0.0;
        double worst_alone = 0.0, best_helped = INFINITY;
        for (int i = 0; i < CHANNELS; i++) {
            assert_in_range(points[i], 1, NW_MAX_POINTS);
            sum += (points[i] - 1) * channels[i].cost;
            if (points[i] == 1)
                worst_alone = fmax(worst_alone, channels[i].error[0]);
            else
                best_helped = fmin(best_helped, channels[i].error[0]);
        }
        assert_true(spent == sum && spent <= share * total && spent >= before);
        assert_true(worst_alone <= best_helped); /* one threshold for all */
        assert_true(share < 0.1 || spent > 0.0);
        assert_int_equal(points[7], 1); /* nothing to gain */
        before = spent;
    }
    assert_true(before >= 2.9 * total - 3.0 * channels[7].cost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step_beats_grid),
        cmocka_unit_test(test_elementary_bound),
        cmocka_unit_test(test_exponential_decay),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
