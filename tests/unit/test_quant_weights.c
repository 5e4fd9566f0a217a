/* SPDX-License-Identifier: Apache-2.0 */
/* Weight rows: codes in range, nearest, steps at least as good as a search over many; order of the entries. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/weights.h"
#include "quant_graphs.h"

#define K 72

static double error_of(const double *w, const int8_t *q, double step, const double *importance)
{
    double error = 0.0;
    for (int j = 0; j < K; j++)
        error += (importance ? importance[j] : 1.0) * (w[j] - step * q[j]) * (w[j] - step * q[j]);
    return error;
}

static void random_row(double *w, double *importance, uint64_t seed)
{
    graph_random random = {seed};
    for (int j = 0; j < K; j++) {
        w[j] = (double)graph_normal(&random) * (seed % 3 == 0 && j == 5 ? 4.0 : 0.1);
        importance[j] = fabs((double)graph_normal(&random));
    }
}

static void test_codes(void **state)
{
    (void)state;
    double w[K], importance[K];
    int8_t q[K];
    for (uint64_t seed = 1; seed < 30; seed++)
        for (int32_t bits = 1; bits <= 8; bits++)
            for (int method = 0; method < 3; method++) {
                random_row(w, importance, seed);
                const int32_t limit = bits == 1 ? 1 : (1 << (bits - 1)) - 1;
                const double step =
                    nw_weights_quantize_row(q, w, K, uniform_book(bits), (nw_weight_method)method, importance);
                assert_true(step > 0.0);
                for (int j = 0; j < K; j++) {
                    assert_true(q[j] >= -limit && q[j] <= limit && (bits > 1 || q[j] != 0));
                    for (int code = -limit; code <= limit; code++) /* no other code is nearer */
                        if (bits > 1 || code != 0)
                            assert_true(fabs(w[j] - step * q[j]) <= fabs(w[j] - step * code) + 1e-12);
                }
            }
}

static void test_steps(void **state)
{
    (void)state;
    double w[K], importance[K];
    int8_t q[K], other[K];
    for (uint64_t seed = 1; seed < 30; seed++)
        for (int32_t bits = 2; bits <= 8; bits += 2) {
            random_row(w, importance, seed);
            double largest = 0.0;
            for (int j = 0; j < K; j++)
                largest = fmax(largest, fabs(w[j]));
            const double plain = nw_weights_quantize_row(q, w, K, uniform_book(bits), NW_WEIGHTS_MIN_MAX, NULL);
            assert_true(fabs(plain * uniform_book(bits)->limit - largest) < 1e-12);
            for (int weighted = 0; weighted < 2; weighted++) {
                const double *by = weighted ? importance : NULL;
                const double step = nw_weights_quantize_row(
                    q, w, K, uniform_book(bits), weighted ? NW_WEIGHTS_OUTPUT : NW_WEIGHTS_MSE, importance);
                const double error = error_of(w, q, step, by);
                for (int i = 1; i <= 500; i++) {
                    const double trial = plain * i / 500.0;
                    nw_code_book_round(other, w, K, uniform_book(bits), trial);
                    const double other_error = error_of(w, other, trial, by);
                    if (error > other_error * (1.0 + 1e-9))
                        fail_msg("row %d, %d bits, step %d/500: error %g, found %g", (int)seed, bits, i, error,
                                 other_error);
                }
            }
        }
}

/* Non-uniform books: no other level is nearer, and no step on a fine grid does better than the one that was found. */
static void test_books(void **state)
{
    (void)state;
    static const struct {
        nw_book_kind kind;
        int32_t bits;
    } books[] = {{NW_BOOK_POWER_OF_TWO, 3}, {NW_BOOK_POWER_OF_TWO, 4}, {NW_BOOK_FLINT, 4}, {NW_BOOK_FLINT, 5}};
    double w[K], importance[K];
    int8_t q[K], other[K];
    for (size_t b = 0; b < sizeof(books) / sizeof(books[0]); b++)
        for (uint64_t seed = 1; seed < 20; seed++) {
            const nw_code_book book = nw_code_book_make(books[b].kind, books[b].bits);
            assert_true(book.levels != NULL && nw_code_book_exists(books[b].kind, books[b].bits));
            random_row(w, importance, seed);
            const double step = nw_weights_quantize_row(q, w, K, &book, NW_WEIGHTS_OUTPUT, importance);
            for (int j = 0; j < K; j++)
                for (int32_t i = 0; i < book.n_levels; i++) {
                    const double level = book.levels[i];
                    assert_true(fabs(w[j] - step * q[j]) <= fabs(fabs(w[j]) - step * level) + 1e-12);
                }
            for (int i = 1; i <= 1000; i++) {
                const double trial = step * i / 300.0;
                nw_code_book_round(other, w, K, &book, trial);
                assert_true(error_of(w, q, step, importance) <=
                            error_of(w, other, trial, importance) * (1.0 + 1e-9));
            }
        }
    assert_false(nw_code_book_exists(NW_BOOK_FLINT, 3));
    assert_int_equal(nw_code_book_make(NW_BOOK_FLINT, 3).kind, NW_BOOK_UNIFORM);
}

static void test_zero_rows(void **state)
{
    (void)state;
    double w[K] = {0};
    int8_t q[K];
    for (int32_t bits = 1; bits <= 8; bits++) {
        assert_true(nw_weights_quantize_row(q, w, K, uniform_book(bits), NW_WEIGHTS_MSE, NULL) == 0.0);
        for (int j = 0; j < K; j++)
            assert_int_equal(q[j], bits == 1 ? 1 : 0);
    }
}

/* Entry (o; kh, kw, c) of a row is weights[o][c][kh][kw], or weights[input][o in group][kh][kw] transposed. */
static void test_order(void **state)
{
    (void)state;
    for (int transpose = 0; transpose < 2; transpose++) {
        const int32_t groups = 2, in = 6, out = 4, kh = 2, kw = 3;
        nw_node node = {.op = transpose ? NW_OP_CONV_TRANSPOSE : NW_OP_CONV, .groups = groups};
        nw_tensor weights = {.rank = 4, .dims = {transpose ? in : out, (transpose ? out : in) / groups, kh, kw}};
        float data[72];
        for (int i = 0; i < 72; i++)
            data[i] = (float)i;
        weights.data = data;
        const nw_linear_shape shape = nw_linear_shape_of(&node, &weights);
        assert_int_equal(shape.n_channels, out);
        assert_int_equal(shape.k, kh * kw * in / groups);
        double row[18];
        for (int32_t o = 0; o < out; o++) {
            nw_weights_row(row, &node, &weights, o);
            for (int32_t y = 0; y < kh; y++)
                for (int32_t x = 0; x < kw; x++)
                    for (int32_t c = 0; c < in / groups; c++) {
                        const int32_t group = o / (out / groups);
                        const int32_t at = (y * kw + x) * (in / groups) + c;
                        const int32_t input = group * (in / groups) + c;
                        const int32_t wanted = transpose
                                                   ? ((input * (out / groups) + o % (out / groups)) * kh + y) * kw + x
                                                   : ((o * (in / groups) + c) * kh + y) * kw + x;
                        assert_true(row[at] == (double)wanted);
                        assert_int_equal(nw_linear_input_channel(&shape, o, at), input);
                    }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_books),
        cmocka_unit_test(test_zero_rows),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
