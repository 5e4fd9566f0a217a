/* SPDX-License-Identifier: Apache-2.0 */
/* Operators around the linear layers: smooth activations, squeeze and excite, resizes, sums in the float tail. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/quantize.h"
#include "quant_graphs.h"

static graph_layer plain(int32_t outputs, int32_t kernel, int32_t groups)
{
    return (graph_layer){outputs, kernel, 1, kernel / 2, groups, -INFINITY, INFINITY, NW_NONE, false};
}

static int32_t same_shape(nw_model *m, nw_op op, int32_t x, const char *name)
{
    const nw_tensor *t = &m->tensors[x];
    int32_t dims[NW_MAX_RANK];
    memcpy(dims, t->dims, sizeof(dims));
    return graph_unary(m, op, x, name, t->rank, dims);
}

static int32_t binary(nw_model *m, nw_op op, int32_t a, int32_t b, const char *name, int32_t like)
{
    const int32_t y = same_shape(m, op, like, name);
    nw_node *node = &m->nodes[m->n_nodes - 1];
    free(node->inputs);
    node->inputs = calloc(2, sizeof(*node->inputs));
    assert_non_null(node->inputs);
    node->inputs[0] = a;
    node->inputs[1] = b;
    node->n_inputs = 2;
    return y;
}

/** x * sigmoid(conv(silu(conv(mean(x))))); the number per channel stands first if `swapped`. */
static int32_t excite(nw_model *m, graph_random *random, int32_t x, bool swapped)
{
    const int32_t channels = m->tensors[x].dims[1], size = m->tensors[x].dims[2];
    int32_t s = graph_unary(m, NW_OP_AVERAGE_POOL, x, "mean", 4, (int32_t[]){1, channels, 1, 1});
    m->nodes[m->n_nodes - 1].window = (nw_window){{size, size}, {1, 1}, {1, 1}, {0, 0, 0, 0}};
    s = graph_linear(m, random, s, "squeeze", plain(4, 1, 1));
    s = same_shape(m, NW_OP_SILU, s, "squeezed");
    s = graph_linear(m, random, s, "excite", plain(channels, 1, 1));
    s = same_shape(m, NW_OP_SIGMOID, s, "gate");
    return binary(m, NW_OP_MUL, swapped ? s : x, swapped ? x : s, "scaled", x);
}

static int32_t resize(nw_model *m, int32_t x, nw_resize_mode mode, const char *name)
{
    const nw_tensor t = m->tensors[x];
    const int32_t y = graph_unary(m, NW_OP_RESIZE, x, name, 4,
                                  (int32_t[]){1, t.dims[1], 2 * t.dims[2], 2 * t.dims[3]});
    nw_node *node = &m->nodes[m->n_nodes - 1];
    node->resize_mode = mode;
    node->resize_coordinates = mode == NW_RESIZE_LINEAR ? NW_COORDINATES_HALF_PIXEL : NW_COORDINATES_ASYMMETRIC;
    return y;
}

/** Channels of very different size in front of an activation, as networks without clamps have them. */
static void spread_channels(nw_model *m, const char *node)
{
    for (int32_t t = 0; t < m->n_tensors; t++)
        if (strncmp(m->tensors[t].name, node, strlen(node)) == 0 && m->tensors[t].data) {
            const int32_t channels = m->tensors[t].dims[0];
            const size_t row = nw_tensor_elements(&m->tensors[t]) / (size_t)channels;
            for (size_t i = 0; i < row * (size_t)channels; i++)
                m->tensors[t].data[i] *= i / row % 4 == 0 ? 12.0f : 0.5f;
        }
}

static nw_model *network(uint64_t seed)
{
    graph_random random = {seed};
    nw_model *m = graph_create(3, 8);
    int32_t x = graph_linear(m, &random, 0, "stem", plain(12, 3, 1));
    spread_channels(m, "stem");
    x = same_shape(m, NW_OP_SILU, x, "silu");
    const int32_t skip = x;
    x = graph_linear(m, &random, x, "depthwise", plain(12, 3, 12));
    x = same_shape(m, NW_OP_HARD_SWISH, x, "swish");
    x = excite(m, &random, x, seed % 2 != 0);
    x = binary(m, NW_OP_ADD, x, skip, "sum", x);
    x = resize(m, x, NW_RESIZE_LINEAR, "up");
    x = graph_linear(m, &random, x, "smooth", plain(10, 3, 1));
    x = same_shape(m, NW_OP_SILU, x, "smoothed");
    x = resize(m, x, NW_RESIZE_NEAREST, "upper");
    const int32_t a = graph_linear(m, &random, x, "a", plain(5, 1, 1));
    const int32_t b = graph_linear(m, &random, x, "b", plain(5, 1, 1));
    x = binary(m, NW_OP_ADD, a, b, "tail", a);
    graph_finish(m, resize(m, x, NW_RESIZE_LINEAR, "maps"));
    return m;
}

static const nw_node *find(const nw_model *m, const char *name)
{
    for (int32_t i = 0; i < m->n_nodes; i++)
        if (strcmp(m->nodes[i].name, name) == 0)
            return &m->nodes[i];
    fail_msg("no node %s", name);
    return NULL;
}

static nw_type type_of(const nw_model *m, const char *name)
{
    return m->tensors[find(m, name)->output].type;
}

static void test_network(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 5; seed++) {
        nw_model *m = network(seed), *integer = NULL;
        nw_calibration *calibration = graph_calibrate(m, 40, 8);
        const nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
        nw_error error = {""};
        if (nw_quantize(&integer, m, calibration, &options, &error))
            fail_msg("%s", error.message);
        const nw_node *silu = find(integer, "silu"), *scaled = find(integer, "scaled");
        assert_int_equal(silu->op, NW_OP_TABLE);
        assert_int_equal(silu->n_tables, 12); /* one per channel: their sizes differ */
        assert_int_equal(scaled->op, NW_OP_MUL);
        assert_int_equal(integer->tensors[scaled->inputs[1]].dims[2], 1);
        assert_int_equal(type_of(integer, "up"), NW_TYPE_U8);
        assert_int_equal(type_of(integer, "upper"), NW_TYPE_U8);
        assert_int_equal(type_of(integer, "tail"), NW_TYPE_F32);
        assert_int_equal(type_of(integer, "maps"), NW_TYPE_F32);
        const double sqnr = graph_sqnr(integer, m, 8);
        if (sqnr < 28.0)
            fail_msg("seed %d: %.1f dB", (int)seed, sqnr);
        nw_model_free(integer);
        nw_calibration_free(calibration);
        nw_model_free(m);
    }
}

/** A tensor that only a SiLU reads ends where SiLU does: large negative values cost no steps. */
static void test_useful_range(void **state)
{
    (void)state;
    graph_random random = {9};
    nw_model *m = graph_create(3, 8);
    int32_t x = graph_linear(m, &random, 0, "stem", plain(8, 3, 1));
    float *bias = NULL;
    for (int32_t t = 0; t < m->n_tensors; t++)
        if (strcmp(m->tensors[t].name, "stem.bias") == 0)
            bias = m->tensors[t].data;
    assert_non_null(bias);
    for (int32_t o = 0; o < 8; o++)
        bias[o] = o % 2 ? -60.0f : 1.0f;
    x = same_shape(m, NW_OP_SILU, x, "silu");
    graph_finish(m, graph_linear(m, &random, x, "last", plain(4, 1, 1)));
    nw_calibration *calibration = graph_calibrate(m, 20, 4);
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.equalize = false; /* so that codes stand for reals */
    nw_model *integer = NULL;
    nw_error error = {""};
    assert_int_equal(nw_quantize(&integer, m, calibration, &options, &error), NW_OK);
    const nw_quant *quant = &integer->tensors[find(integer, "stem")->output].quant;
    assert_true((double)quant->scale * quant->zero_point < 8.6);
    assert_true(graph_sqnr(integer, m, 8) > 30.0);
    nw_model_free(integer);
    nw_calibration_free(calibration);
    nw_model_free(m);
}

static void test_stretching_is_refused(void **state)
{
    (void)state;
    graph_random random = {3};
    nw_model *m = graph_create(3, 8);
    const int32_t x = graph_linear(m, &random, 0, "stem", plain(6, 3, 1));
    const int32_t row = graph_linear(m, &random, x, "row", plain(1, 1, 1)); /* [1, 1, H, W]: one number per pixel */
    const int32_t y = binary(m, NW_OP_MUL, x, row, "attention", x);
    graph_finish(m, graph_linear(m, &random, y, "last", plain(4, 1, 1)));
    nw_calibration *calibration = graph_calibrate(m, 8, 4);
    const nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    nw_model *integer = NULL;
    nw_error error = {""};
    assert_int_equal(nw_quantize(&integer, m, calibration, &options, &error), NW_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "attention"));
    nw_calibration_free(calibration);
    nw_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_useful_range),
        cmocka_unit_test(test_stretching_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
