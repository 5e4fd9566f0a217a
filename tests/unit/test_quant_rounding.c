/* SPDX-License-Identifier: Apache-2.0 */
/* Moments, error feedback, refining, and whole small networks: each step must leave less error than the one before. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/quantize.h"
#include "quant/refine.h"
#include "quant_graphs.h"

#define K 36
#define O 4
#define N 501

typedef struct data {
    float x[N * K], y[N * O];
    double w[O * K];
} data;

/** Correlated, partly zero inputs; y = W x plus noise. */
static data *make_data(uint64_t seed)
{
    data *d = malloc(sizeof(*d));
    graph_random random = {seed};
    assert_non_null(d);
    for (int j = 0; j < O * K; j++)
        d->w[j] = (double)graph_normal(&random);
    for (int i = 0; i < N; i++) {
        const float common = graph_normal(&random);
        for (int j = 0; j < K; j++)
            d->x[i * K + j] = fmaxf(0.0f, common + 0.7f * graph_normal(&random) + 0.05f * (float)j);
        for (int o = 0; o < O; o++) {
            double sum = 0.1 * (double)graph_normal(&random);
            for (int j = 0; j < K; j++)
                sum += d->w[o * K + j] * (double)d->x[i * K + j];
            d->y[i * O + o] = (float)sum;
        }
    }
    return d;
}

static const nw_linear_shape SHAPE = {.n_channels = O, .k = K, .group_inputs = K, .group_outputs = O, .taps = 1};

static nw_moments *make_moments(const data *d, bool centred)
{
    nw_moments *m = nw_moments_create(&SHAPE);
    assert_non_null(m);
    nw_moments_add(m, 0, d->x, d->y, 100); /* in uneven portions */
    nw_moments_add(m, 0, d->x + 100 * K, d->y + 100 * O, N - 100);
    nw_moments_finish(m, N, centred);
    return m;
}

static double direct_error(const data *d, int o, const double *v, bool centred)
{
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < N; i++) {
        double error = (double)d->y[i * O + o];
        for (int j = 0; j < K; j++)
            error -= v[j] * (double)d->x[i * K + j];
        sum += error;
        squares += error * error;
    }
    return squares / N - (centred ? sum / N * (sum / N) : 0.0);
}

static void test_moments(void **state)
{
    (void)state;
    data *d = make_data(3);
    graph_random random = {8};
    for (int centred = 0; centred < 2; centred++) {
        nw_moments *m = make_moments(d, centred);
        for (int o = 0; o < O; o++) {
            double v[K];
            for (int j = 0; j < K; j++)
                v[j] = d->w[o * K + j] + 0.1 * (double)graph_normal(&random);
            const nw_row_target target = nw_moments_row(m, o);
            const double expected = direct_error(d, o, v, centred);
            assert_true(fabs(nw_row_error(&target, v) - expected) < 1e-4 * (expected + target.energy));
        }
        nw_moments_free(m);
    }
    free(d);
}

static void test_damping(void **state)
{
    (void)state;
    data *d = make_data(4);
    nw_moments *m = make_moments(d, true);
    double lambda = 0.0, off = 0.0;
    for (int j = 0; j < K; j++)
        lambda += 0.01 * m->gram[j * K + j] / K;
    double v[K] = {0};
    nw_row_target target = nw_moments_row(m, 1);
    for (int j = 0; j < K; j++) {
        v[j] = d->w[K + j] + (j % 3 - 1) * 0.2;
        off += (v[j] - d->w[K + j]) * (v[j] - d->w[K + j]);
    }
    const double before = nw_row_error(&target, v);
    nw_moments_damp(m, d->w, 0.01);
    target = nw_moments_row(m, 1);
    assert_true(fabs(nw_row_error(&target, v) - before - lambda * off) < 1e-6 * target.energy);
    nw_moments_free(m);
    free(d);
}

/** Patches against the definition of convolution and transposed convolution, with strides, padding, groups. */
static void test_patches(void **state)
{
    (void)state;
    const struct {
        graph_layer layer;
        int32_t channels, size;
    } cases[] = {
        {{.outputs = 4, .kernel = 3, .stride = 1, .pad = 1, .groups = 1, .residual = NW_NONE}, 4, 6},
        {{.outputs = 6, .kernel = 3, .stride = 2, .pad = 1, .groups = 2, .residual = NW_NONE}, 4, 7},
        {{.outputs = 4, .kernel = 3, .stride = 1, .pad = 1, .groups = 4, .residual = NW_NONE}, 4, 5},
        {{.outputs = 4, .kernel = 2, .stride = 2, .pad = 0, .groups = 1, .residual = NW_NONE, .transpose = true}, 4, 4},
        {{.outputs = 4, .kernel = 3, .stride = 2, .pad = 1, .groups = 2, .residual = NW_NONE, .transpose = true}, 4, 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        graph_random random = {i + 1};
        nw_model *model = graph_create(cases[i].channels, cases[i].size);
        graph_layer layer = cases[i].layer;
        layer.lo = -INFINITY;
        layer.hi = INFINITY;
        const int32_t y = graph_linear(model, &random, 0, "layer", layer);
        graph_finish(model, y);
        const nw_node *node = &model->nodes[0];
        const nw_tensor *weights = &model->tensors[node->inputs[1]];
        const nw_linear_shape shape = nw_linear_shape_of(node, weights);
        const size_t n_out = nw_tensor_elements(&model->tensors[y]);
        float *x = malloc(nw_tensor_elements(&model->tensors[0]) * sizeof(*x));
        float *out = malloc(n_out * sizeof(*out));
        float *patch = malloc((size_t)shape.k * sizeof(*patch));
        double *row = malloc((size_t)shape.k * sizeof(*row));
        double *factor = malloc((size_t)cases[i].channels * sizeof(*factor));
        assert_true(x && out && patch && row && factor);
        assert_int_equal(graph_read(model, 5, &x, NULL), NW_OK);
        graph_run_float(model, 5, out);
        for (int32_t c = 0; c < cases[i].channels; c++)
            factor[c] = 1.0 + c;
        const int64_t positions = nw_patch_positions(model, node);
        for (int32_t o = 0; o < shape.n_channels; o++) {
            nw_weights_row(row, node, weights, o);
            const int32_t bias = node->n_inputs > 2 ? node->inputs[2] : NW_NONE;
            for (int64_t at = 0; at < positions; at++) {
                nw_patch_gather(patch, model, node, &shape, factor, x, at, o / shape.group_outputs);
                double sum = bias == NW_NONE ? 0.0 : (double)model->tensors[bias].data[o];
                for (int32_t j = 0; j < shape.k; j++)
                    sum += row[j] * (double)patch[j] / factor[nw_linear_input_channel(&shape, o, j)];
                assert_true(fabs(sum - (double)out[(size_t)o * (size_t)positions + (size_t)at]) < 1e-3);
            }
        }
        free(x);
        free(out);
        free(patch);
        free(row);
        free(factor);
        nw_model_free(model);
    }
}

static void test_solve(void **state)
{
    (void)state;
    data *d = make_data(5);
    nw_moments *m = make_moments(d, true);
    nw_moments_damp(m, d->w, 0.01);
    nw_feedback *feedback = nw_feedback_create(m->gram, K);
    assert_non_null(feedback);
    for (int o = 0; o < O; o++) {
        double w[K];
        nw_feedback_solve(feedback, w, m->cross + o * K);
        for (int i = 0; i < K; i++) {
            double sum = 0.0;
            for (int j = 0; j < K; j++)
                sum += m->gram[i * K + j] * w[j];
            assert_true(fabs(sum - m->cross[o * K + i]) < 1e-6 * fabs(m->gram[i * K + i]) * 10.0);
        }
    }
    nw_feedback_free(feedback);
    nw_moments_free(m);
    free(d);
}

/** Plain > feedback > refined; a refined row has no single change of a code left that helps. */
static void test_rows(void **state)
{
    (void)state;
    double mean[3] = {0};
    for (uint64_t seed = 1; seed <= 8; seed++) {
        data *d = make_data(seed);
        nw_moments *m = make_moments(d, true);
        nw_moments_damp(m, d->w, 0.01);
        for (int32_t bits = 1; bits <= 6; bits++)
            for (int rounding = 0; rounding < 3; rounding++) {
                nw_row_solver *solver = nw_row_solver_create(m->gram, K, uniform_book(bits), (nw_rounding)rounding,
                                                             NW_WEIGHTS_OUTPUT, NW_MAX_STARTS);
                assert_non_null(solver);
                for (int o = 0; o < O; o++) {
                    int8_t codes[NW_MAX_POINTS * K];
                    double steps[NW_MAX_POINTS], errors[NW_MAX_POINTS], v[K];
                    const nw_row_target target = nw_moments_row(m, o);
                    assert_int_equal(nw_row_solve(solver, codes, steps, errors, 3, d->w + o * K, &target), NW_OK);
                    assert_true(errors[0] >= errors[1] && errors[1] >= errors[2] && errors[2] >= 0.0);
                    assert_int_equal(nw_row_solve(solver, codes, steps, errors, 1, d->w + o * K, &target), NW_OK);
                    const int32_t limit = uniform_book(bits)->limit;
                    for (int j = 0; j < K; j++) {
                        assert_true(abs(codes[j]) <= limit && (bits > 1 || codes[j] != 0));
                        v[j] = steps[0] * codes[j];
                    }
                    const double error = nw_row_error(&target, v);
                    assert_true(fabs(error - errors[0]) < 1e-9 * target.energy);
                    mean[rounding] += error / target.energy;
                    for (int j = 0; rounding == NW_ROUND_REFINE && j < K; j++)
                        for (int change = -2; change <= 2; change++) {
                            const int code = codes[j] + change;
                            if (abs(code) > limit || (bits == 1 && code == 0))
                                continue;
                            const double keep = v[j];
                            v[j] = steps[0] * code;
                            assert_true(nw_row_error(&target, v) > error - 2e-5 * target.energy);
                            v[j] = keep;
                        }
                }
                nw_row_solver_free(solver);
            }
        nw_moments_free(m);
        free(d);
    }
    printf("relative error: plain %.4f, feedback %.4f, refined %.4f\n", mean[0] / 192, mean[1] / 192, mean[2] / 192);
    assert_true(mean[1] < 0.5 * mean[0] && mean[2] < 0.99 * mean[1]);
}

/** conv, depthwise, conv with residual, transposed conv, global pooling left out: every linear form in one network. */
static nw_model *make_network(void)
{
    graph_random random = {21};
    nw_model *model = graph_create(4, 8);
    graph_layer layer = {.outputs = 16,
                         .kernel = 3,
                         .stride = 1,
                         .pad = 1,
                         .groups = 1,
                         .lo = 0.0f,
                         .hi = INFINITY,
                         .residual = NW_NONE};
    const int32_t a = graph_linear(model, &random, 0, "first", layer);
    layer.groups = 16;
    const int32_t b = graph_linear(model, &random, a, "depthwise", layer);
    layer.groups = 1;
    layer.residual = a;
    const int32_t c = graph_linear(model, &random, b, "residual", layer);
    layer.residual = NW_NONE;
    layer.kernel = 2;
    layer.stride = 2;
    layer.pad = 0;
    layer.outputs = 8;
    layer.transpose = true;
    const int32_t d = graph_linear(model, &random, c, "up", layer);
    layer.transpose = false;
    layer.kernel = 3;
    layer.stride = 1;
    layer.pad = 1;
    layer.outputs = 6;
    layer.lo = -INFINITY;
    graph_finish(model, graph_linear(model, &random, d, "last", layer));
    return model;
}

static uint64_t macs_of(const nw_model *model)
{
    uint64_t macs = 0;
    for (int32_t i = 0; i < model->n_nodes; i++)
        macs += nw_node_macs(model, &model->nodes[i]);
    return macs;
}

static double quantized_sqnr(const nw_model *model, const nw_calibration *calibration, int32_t bits,
                             nw_rounding rounding, double budget, uint64_t *macs)
{
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.weight_bits = bits;
    options.rounding = rounding;
    options.point_budget = budget;
    nw_model *integer = NULL;
    nw_error error = {""};
    if (nw_quantize(&integer, model, calibration, &options, &error))
        fail_msg("%s", error.message);
    const double sqnr = graph_sqnr(integer, model, 20);
    *macs = macs_of(integer);
    for (int32_t i = 0; i < integer->n_nodes; i++)
        if (integer->nodes[i].linear) {
            const bool border = !strcmp(integer->nodes[i].name, "first") || !strcmp(integer->nodes[i].name, "last");
            assert_int_equal(integer->nodes[i].linear->weight_bits, border ? 8 : bits);
        }
    nw_model_free(integer);
    return sqnr;
}

static void test_network(void **state)
{
    (void)state;
    nw_model *model = make_network();
    nw_calibration *calibration = graph_calibrate(model, 64, 8);
    uint64_t macs;
    const uint64_t base = macs_of(model);
    for (int32_t bits = 2; bits <= 4; bits++) {
        const double plain = quantized_sqnr(model, calibration, bits, NW_ROUND_PLAIN, 0.0, &macs);
        assert_true(macs == base);
        const double feedback = quantized_sqnr(model, calibration, bits, NW_ROUND_FEEDBACK, 0.0, &macs);
        const double refined = quantized_sqnr(model, calibration, bits, NW_ROUND_REFINE, 0.0, &macs);
        assert_true(macs == base);
        const double points = quantized_sqnr(model, calibration, bits, NW_ROUND_PLAIN, 0.3, &macs);
        assert_true(macs > base && (double)macs <= 1.3 * (double)base);
        const double both = quantized_sqnr(model, calibration, bits, NW_ROUND_REFINE, 0.3, &macs);
        assert_true(macs > base && (double)macs <= 1.3 * (double)base);
        const double full = quantized_sqnr(model, calibration, bits, NW_ROUND_REFINE, 3.0, &macs);
        printf("%d bits: plain %.1f dB, feedback %.1f, refined %.1f, points +30 %% %.1f, both %.1f, four points %.1f\n",
               bits, plain, feedback, refined, points, both, full);
        assert_true(feedback > plain + 0.8 && refined > plain + 0.8 && points > plain + 1.0 && both > refined + 0.5 &&
                    full > both + 3.0);
    }
    nw_calibration_free(calibration);
    nw_model_free(model);
}

/** Three convolutions, the middle one with weights spread evenly, or a few of them large. */
static nw_model *make_middle(bool tails)
{
    nw_model *model = graph_create(3, 12);
    graph_random random = {7};
    graph_layer layer = {.outputs = 16, .kernel = 3, .stride = 1, .pad = 1, .groups = 1, .hi = INFINITY,
                         .residual = NW_NONE};
    int32_t x = graph_linear(model, &random, 0, "first", layer);
    x = graph_linear(model, &random, x, "middle", layer);
    nw_tensor *weights = &model->tensors[model->nodes[model->n_nodes - 1].inputs[1]];
    for (size_t i = 0; i < nw_tensor_elements(weights); i++) {
        const float v = graph_normal(&random);
        weights->data[i] = 0.05f * (tails ? v * v * v : fmodf(v, 1.0f));
    }
    layer.outputs = 10;
    graph_finish(model, graph_linear(model, &random, x, "last", layer));
    return model;
}

static nw_model *quantized_with(const nw_model *model, const nw_calibration *calibration, nw_book_kind book,
                                int32_t bits, nw_rounding rounding)
{
    nw_error error = {""};
    nw_model *integer = NULL;
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.weight_bits = bits;
    options.book = book;
    options.rounding = rounding;
    if (nw_quantize(&integer, model, calibration, &options, &error))
        fail_msg("%s", error.message);
    return integer;
}

/** Whether all layers have the same levels and codes; *flint: whether any has levels. */
static bool same_codes(const nw_model *a, const nw_model *b, bool *flint)
{
    bool same = true;
    *flint = false;
    for (int32_t i = 0; i < a->n_nodes; i++) {
        const nw_linear *x = a->nodes[i].linear, *y = b->nodes[i].linear;
        if (!x)
            continue;
        *flint = *flint || x->levels;
        same = same && !x->levels == !y->levels &&
               memcmp(x->weights, y->weights, (size_t)x->n_rows * (size_t)x->k) == 0;
    }
    return same;
}

/* An open book ends as the one of the two that suits the weights, rounded as if it had been asked for. */
static void test_open_book(void **state)
{
    (void)state;
    for (int tails = 0; tails < 2; tails++) {
        nw_model *model = make_middle(tails);
        nw_calibration *calibration = graph_calibrate(model, 48, 8);
        for (int32_t bits = 3; bits <= 5; bits++)
            for (int how = 0; how < 2; how++) {
                const nw_rounding rounding = how ? NW_ROUND_REFINE : NW_ROUND_PLAIN;
                const bool wanted = tails && how && bits > 3;
                nw_model *open = quantized_with(model, calibration, NW_BOOK_AUTO, bits, rounding);
                nw_model *named =
                    quantized_with(model, calibration, wanted ? NW_BOOK_FLINT : NW_BOOK_UNIFORM, bits, rounding);
                bool flint;
                assert_true(same_codes(open, named, &flint));
                assert_true(flint == wanted);
                nw_model_free(open);
                nw_model_free(named);
            }
        nw_calibration_free(calibration);
        nw_model_free(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments), cmocka_unit_test(test_damping), cmocka_unit_test(test_patches),
        cmocka_unit_test(test_solve),   cmocka_unit_test(test_rows),    cmocka_unit_test(test_network),
        cmocka_unit_test(test_open_book),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
