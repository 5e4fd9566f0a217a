/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counted overflows (src/runtime/overflow.c): a layer whose counts are known by hand, one with a false certificate, and
 * random networks against sums formed from the tensors of tests/models/naive.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/naive.h"
#include "models/random_graph.h"
#include "runtime/overflow.h"

/* ---- by hand ---- */

#define K 4
#define ROWS 3

/* Rows: all +127; two up, two down; one small weight. */
static const int8_t planted[ROWS][K] = {{127, 127, 127, 127}, {127, 127, -127, -127}, {0, 1, 0, 0}};

static nw_model *layer(int32_t zero_point, int32_t highest, nw_accumulator accumulator)
{
    nw_model *model = nw_model_create();
    assert_non_null(model);
    const int32_t real = nw_model_add_tensor(model, "real", NW_TYPE_F32, 4, (int32_t[]){1, K, 1, 2});
    const int32_t x = nw_model_add_tensor(model, "x", NW_TYPE_U8, 4, (int32_t[]){1, K, 1, 2});
    const int32_t y = nw_model_add_tensor(model, "y", NW_TYPE_F32, 4, (int32_t[]){1, ROWS, 1, 2});
    assert_int_equal(nw_tensor_alloc_quant(&model->tensors[x]), NW_OK);
    nw_quant *quant = &model->tensors[x].quant;
    quant->bits = 8;
    quant->zero_point = (uint8_t)zero_point;
    quant->scale = 1.0f;
    for (int32_t c = 0; c < K; c++) {
        quant->lo[c] = (float)-zero_point;
        quant->hi[c] = (float)(highest - zero_point);
    }
    nw_node *quantize = nw_model_add_node(model, NW_OP_QUANTIZE, "quantize", 1);
    quantize->inputs[0] = real;
    quantize->output = x;
    nw_node *node = nw_model_add_node(model, NW_OP_CONV, "conv", 1);
    node->inputs[0] = x;
    node->output = y;
    node->groups = 1;
    node->window = (nw_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    node->linear = nw_linear_create(ROWS, ROWS, K, false);
    assert_non_null(node->linear);
    node->linear->weight_bits = 8;
    node->linear->accumulator = (uint8_t)accumulator;
    memcpy(node->linear->weights, planted, sizeof(planted));
    for (int32_t o = 0; o < ROWS; o++)
        node->linear->row_channel[o] = o;
    return model;
}

/* Two pixels: all 255 as the planted overflow, all 1. */
static nw_overflow_count observed(const nw_model *model)
{
    uint8_t codes[2 * K] = {255, 255, 255, 255, 1, 1, 1, 1};
    float sums[2 * ROWS] = {0.0f};
    const nw_view x = {.data = codes, .rank = 4, .dims = {1, K, 1, 2}, .strides = {2 * K, 1, 2 * K, K},
                       .element_size = 1};
    const nw_view y = {.data = (uint8_t *)sums, .rank = 4, .dims = {1, ROWS, 1, 2},
                       .strides = {8 * ROWS, 4, 8 * ROWS, 4 * ROWS}, .element_size = 4};
    nw_overflow *overflow;
    assert_int_equal(nw_overflow_create(&overflow, model, NULL), NW_OK);
    nw_overflow_observe(overflow, 0, &x);
    nw_overflow_observe(overflow, 1, &y);
    assert_null(nw_overflow_counts(overflow, 0));
    const nw_overflow_count count = *nw_overflow_counts(overflow, 1);
    nw_overflow_free(overflow);
    return count;
}

static void test_planted(void **state)
{
    (void)state;
    nw_model *model = layer(0, 255, NW_ACCUMULATOR_16_WRAP);
    nw_overflow_count c = observed(model);
    nw_model_free(model);
    /* 32385, 64770, 97155, 129540 and 32385, 64770, 32385, 0 */
    assert_true(c.sums == 6 && c.sums_outside == 1 && c.centred_outside == 1);
    assert_true(c.partial_sums == 6 * K && c.partial_sums_outside == 3 + 1);
    assert_true(c.lowest == 0 && c.highest == 4 * 127 * 255);
    assert_true(c.runs == 0 && c.runs_outside == 0); /* modulo 2^16: nothing is proven */
    model = layer(128, 255, NW_ACCUMULATOR_32); /* W (x - 128): 4 * 127 * 127 and 4 * 127 * -127 leave, 0 does not */
    c = observed(model);
    nw_model_free(model);
    assert_true(c.sums_outside == 1 && c.centred_outside == 2 && c.runs == 0);
}

/* Limits of 64 prove 2 * 127 * 64 = 16256 a lane; codes of 255 then break the proof in rows 0 and 1. */
static void test_certificate(void **state)
{
    (void)state;
    nw_model *model = layer(0, 64, NW_ACCUMULATOR_16);
    nw_overflow_count c = observed(model);
    nw_model_free(model);
    assert_true(c.runs == 2 * 2 * ROWS && c.runs_outside == 2 + 2);
    model = layer(0, 255, NW_ACCUMULATOR_16); /* honest limits: no pair of 127 fits, so nothing is summed in 16 bits */
    c = observed(model);
    nw_model_free(model);
    assert_true(c.runs == 0 && c.runs_outside == 0 && c.sums_outside == 1);
}

/* ---- random networks ---- */

typedef struct expectation {
    uint64_t sums, sums_outside, centred_outside, partial_sums, partial_sums_outside;
    int64_t lowest, highest;
} expectation;

static bool meets(const nw_node *node, int i, int32_t out, int32_t tap, int32_t *in)
{
    const nw_window *w = &node->window;
    if (node->op == NW_OP_CONV) {
        *in = out * w->stride[i] - w->pad[i] + tap * w->dilation[i];
        return true;
    }
    *in = (out + w->pad[i] - tap * w->dilation[i]) / w->stride[i];
    return (out + w->pad[i] - tap * w->dilation[i]) % w->stride[i] == 0;
}

static bool outside(int64_t sum)
{
    return sum > 32767 || sum < -32768;
}

static void expect_sum(expectation *e, const nw_naive *naive, const nw_node *node, int32_t row, int32_t y, int32_t x)
{
    const nw_tensor *input = &naive->model->tensors[node->inputs[0]];
    const uint8_t *codes = naive->tensors[node->inputs[0]].codes;
    const int32_t height = nw_tensor_height(input);
    const int32_t width = nw_tensor_width(input);
    const int32_t channels = nw_tensor_channels(input) / node->groups;
    const int32_t group = node->linear->row_channel[row] / (node->linear->n_channels / node->groups);
    int64_t sum = 0;
    int64_t centred = 0;
    for (int32_t j = 0; j < node->linear->k; j++) {
        int32_t iy, ix;
        const int32_t tap = j / channels;
        const bool in_y = meets(node, 0, y, tap / node->window.kernel[1], &iy);
        if (!meets(node, 1, x, tap % node->window.kernel[1], &ix) || !in_y)
            continue;
        const bool padding = iy < 0 || iy >= height || ix < 0 || ix >= width;
        const int32_t c = group * channels + j % channels;
        const int64_t code = padding ? input->quant.zero_point : codes[(c * height + iy) * width + ix];
        const int64_t w = node->linear->weights[row * node->linear->k + j];
        sum += w * code;
        centred += w * (code - input->quant.zero_point);
        e->partial_sums++;
        e->partial_sums_outside += outside(sum);
    }
    e->lowest = !e->sums || sum < e->lowest ? sum : e->lowest;
    e->highest = !e->sums || sum > e->highest ? sum : e->highest;
    e->sums++;
    e->sums_outside += outside(sum);
    e->centred_outside += outside(centred);
}

/** Runs two samples and compares every linear node; returns how many sums left 16 bits. */
static uint64_t check_network(uint64_t seed, const nw_graph_options *options)
{
    nw_model *model = nw_random_graph(seed, options);
    nw_naive *naive = nw_naive_create(model);
    nw_input *inputs = calloc((size_t)model->n_inputs, sizeof(*inputs));
    float *in = malloc(nw_elements_of(model, model->inputs, model->n_inputs) * sizeof(float));
    float *out = malloc(nw_elements_of(model, model->outputs, model->n_outputs) * sizeof(float));
    float **outputs = calloc((size_t)model->n_outputs, sizeof(*outputs));
    expectation *expected = calloc((size_t)model->n_nodes, sizeof(*expected));
    assert_true(inputs && in && out && outputs && expected);
    for (int32_t i = 0, at = 0; i < model->n_outputs; i++) {
        outputs[i] = out + at;
        at += (int32_t)nw_tensor_elements(&model->tensors[model->outputs[i]]);
    }
    nw_engine *engine;
    nw_overflow *overflow;
    const nw_engine_options stored = {.storage = seed % 2 ? NW_STORAGE_PACKED : NW_STORAGE_BYTES, .threads = 1};
    assert_int_equal(nw_engine_create_with(&engine, model, &stored, NULL), NW_OK);
    assert_int_equal(nw_overflow_create(&overflow, model, NULL), NW_OK);
    nw_rng rng = {seed};
    for (int sample = 0; sample < 2; sample++) {
        nw_random_inputs(&rng, model, false, inputs, in);
        nw_naive_run(naive, inputs);
        const nw_run_options observe = {.observer = nw_overflow_observe, .context = overflow};
        assert_int_equal(nw_engine_run_with(engine, inputs, outputs, &observe), NW_OK);
        for (int32_t n = 0; n < model->n_nodes; n++) {
            const nw_node *node = &model->nodes[n];
            const nw_tensor *y = &model->tensors[node->output];
            for (int32_t row = 0; node->linear && row < node->linear->n_rows; row++)
                for (int32_t i = 0; i < nw_tensor_height(y) * nw_tensor_width(y); i++)
                    expect_sum(&expected[n], naive, node, row, i / nw_tensor_width(y), i % nw_tensor_width(y));
        }
    }
    uint64_t n_outside = 0;
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_overflow_count *c = nw_overflow_counts(overflow, n);
        const expectation *e = &expected[n];
        assert_int_equal(c != NULL, model->nodes[n].linear != NULL);
        if (c &&
            (c->sums != e->sums || c->sums_outside != e->sums_outside || c->centred_outside != e->centred_outside ||
             c->partial_sums != e->partial_sums || c->partial_sums_outside != e->partial_sums_outside ||
             c->lowest != e->lowest || c->highest != e->highest || c->runs_outside))
            fail_msg("seed %llu, node \"%s\": counts differ", (unsigned long long)seed, model->nodes[n].name);
        n_outside += e->sums_outside;
    }
    nw_overflow_free(overflow);
    nw_engine_free(engine);
    nw_naive_free(naive);
    nw_model_free(model);
    free(inputs);
    free(in);
    free(out);
    free(outputs);
    free(expected);
    return n_outside;
}

static void test_random(void **state)
{
    (void)state;
    uint64_t n_outside = 0;
    for (uint64_t seed = 1; seed <= 60; seed++)
        n_outside += check_network(seed, &(nw_graph_options){.n_nodes = 24, .max_channels = 12, .max_size = 12});
    for (uint64_t seed = 100; seed < 110; seed++)
        n_outside += check_network(seed, &(nw_graph_options){.n_nodes = 16, .max_channels = 600, .max_size = 3});
    print_message("%llu sums outside\n", (unsigned long long)n_outside);
    assert_true(n_outside > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planted),
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
