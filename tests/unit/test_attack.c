/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on sums (src/runtime/attack.c): honest kernels pass, planted ones that believe a false certificate do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/attack.h"

#define K 512

/* A layer whose weights and codes fill their ranges: runs must be short. */
static nw_model *layer(int32_t channels, int8_t weight, nw_accumulator accumulator)
{
    nw_model *model = nw_model_create();
    assert_non_null(model);
    const int32_t x = nw_model_add_tensor(model, "x", NW_TYPE_U8, 4, (int32_t[]){1, K, 1, 1});
    const int32_t y = nw_model_add_tensor(model, "y", NW_TYPE_F32, 4, (int32_t[]){1, channels, 1, 1});
    assert_int_equal(nw_tensor_alloc_quant(&model->tensors[x]), NW_OK);
    nw_quant *quant = &model->tensors[x].quant;
    quant->bits = 8;
    quant->zero_point = 3;
    quant->scale = 1.0f;
    for (int32_t c = 0; c < K; c++) {
        quant->lo[c] = c % 3 ? -3.0f : 0.0f;
        quant->hi[c] = c % 5 ? 252.0f : 90.0f;
    }
    nw_node *node = nw_model_add_node(model, NW_OP_CONV, "conv", 1);
    node->inputs[0] = x;
    node->output = y;
    node->groups = 1;
    node->window = (nw_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    node->linear = nw_linear_create(channels, channels, K, false);
    assert_non_null(node->linear);
    node->linear->weight_bits = 8;
    node->linear->accumulator = (uint8_t)accumulator;
    for (int32_t o = 0; o < channels; o++) {
        int32_t sum = 0;
        for (int32_t j = 0; j < K; j++) {
            const int8_t w = (int8_t)((o + j) % 4 ? weight : -weight);
            node->linear->weights[o * K + j] = w;
            sum += w;
        }
        node->linear->offset[o] = -3 * sum;
        node->linear->multiplier[o] = 1.0f;
        node->linear->row_channel[o] = o;
    }
    return model;
}

static void expect(const nw_model *model, const nw_kernels *kernels, nw_status wanted)
{
    nw_error error = {0};
    const nw_status status = nw_attack_node(model, 0, kernels, &error);
    if (status != wanted)
        fail_msg("%s: status %d, not %d: %s", kernels->gemm.name, status, wanted, error.message);
    if (wanted)
        assert_non_null(strstr(error.message, "node \"conv\", channel "));
}

static void test_honest(void **state)
{
    (void)state;
    for (int i = 0; i < NW_ISA_COUNT; i++) {
        if (!nw_isa_available((nw_isa)i))
            continue;
        nw_kernels kernels;
        nw_kernels_init(&kernels, (nw_isa)i);
        for (int32_t accumulator = 0; accumulator < NW_ACCUMULATOR_COUNT; accumulator++)
            for (int8_t weight = 7; weight > 0; weight = (int8_t)(weight == 7 ? 60 : weight == 60 ? 127 : 0)) {
                nw_model *model = layer(70, weight, (nw_accumulator)accumulator);
                expect(model, &kernels, NW_OK);
                nw_model_free(model);
            }
    }
}

/* Doubles: the pack function of AVX2 or NEON, told that codes are fewer, or weights smaller, than they are. */
static nw_kernels real;
static uint8_t *few_codes;

static size_t pack_few_codes(void *packed, const nw_gemm_source *source)
{
    nw_gemm_source lie = *source;
    lie.x_lo = few_codes;
    lie.x_hi = few_codes + K;
    return real.gemm.pack(packed, &lie);
}

static size_t narrow_few_codes(void *packed, const nw_gemm_source *source)
{
    nw_gemm_source lie = *source;
    lie.x_lo = few_codes;
    lie.x_hi = few_codes + K;
    return real.gemm_narrow.pack(packed, &lie);
}

/** What pack makes of weights of which the last is another, one of the values that there are anyway. */
static size_t pack_changed(size_t (*pack)(void *, const nw_gemm_source *), void *packed, const nw_gemm_source *source)
{
    nw_gemm_source lie = *source;
    const size_t n = (size_t)source->n_rows * (size_t)source->k;
    int8_t *weights = malloc(n);
    memcpy(weights, source->weights, n);
    weights[n - 1] = (int8_t)-weights[n - 1];
    lie.weights = weights;
    const size_t size = pack(packed, &lie);
    free(weights);
    return size;
}

static size_t pack_other_weights(void *packed, const nw_gemm_source *source)
{
    return pack_changed(real.gemm.pack, packed, source);
}

static size_t narrow_other_weights(void *packed, const nw_gemm_source *source)
{
    return pack_changed(real.gemm_narrow.pack, packed, source);
}

static void test_false_certificates(void **state)
{
    (void)state;
    few_codes = calloc(2 * K, 1);
    memset(few_codes + K, 20, K);
    for (int i = 0; i < NW_ISA_COUNT; i++) {
        if (!nw_isa_available((nw_isa)i))
            continue;
        nw_kernels_init(&real, (nw_isa)i);
        nw_kernels lying = real;
        lying.gemm_narrow.pack = NULL;
        nw_model *model = layer(33, 100, NW_ACCUMULATOR_AUTO);
        lying.gemm.pack = pack_other_weights;
        expect(model, &lying, NW_GOAL_MISSED);
        lying.gemm.pack = pack_few_codes;
        if (i == NW_ISA_AVX2 || i == NW_ISA_NEON) /* the others prove nothing, so a lie does no harm */
            expect(model, &lying, NW_GOAL_MISSED);
        nw_model_free(model);
    }
    free(few_codes);
}

/* The same where weights of few values stay packed: 33 rows of one pixel. */
static void test_narrow(void **state)
{
    (void)state;
    few_codes = calloc(2 * K, 1);
    memset(few_codes + K, 20, K);
    for (int i = 0; i < NW_ISA_COUNT; i++) {
        nw_kernels_init(&real, nw_isa_available((nw_isa)i) ? (nw_isa)i : NW_ISA_REF);
        real.gemm_narrow.least = 0;
        if (!real.gemm_narrow.pack)
            continue;
        nw_model *model = layer(33, 30, NW_ACCUMULATOR_AUTO);
        expect(model, &real, NW_OK);
        nw_kernels lying = real;
        lying.gemm_narrow.pack = narrow_other_weights;
        expect(model, &lying, NW_GOAL_MISSED);
        lying.gemm_narrow.pack = narrow_few_codes;
        expect(model, &lying, i == NW_ISA_AVX2 || i == NW_ISA_AVX512 ? NW_GOAL_MISSED : NW_OK);
        nw_model_free(model);
    }
    free(few_codes);
}

/* Facts that do not fit together, as after an edit that kept every hash right. */
static void test_bounds(void **state)
{
    (void)state;
    nw_model *model = layer(5, 100, NW_ACCUMULATOR_16);
    nw_error error = {0};
    assert_int_equal(nw_attack_bounds(model, 0, &error), NW_OK);
    model->nodes[0].linear->weights[2 * K + 7]++;
    assert_int_equal(nw_attack_bounds(model, 0, &error), NW_GOAL_MISSED);
    assert_non_null(strstr(error.message, "node \"conv\", channel 2:"));
    model->nodes[0].linear->weights[2 * K + 7]--;
    model->tensors[0].quant.zero_point++;
    assert_int_equal(nw_attack_bounds(model, 0, &error), NW_GOAL_MISSED);
    model->tensors[0].quant.zero_point--;
    assert_int_equal(nw_attack_bounds(model, 0, &error), NW_OK);
    model->tensors[0].quant.hi[9] = 1e6f; /* a limit no code can have, but a sum that would not fit */
    assert_int_equal(nw_attack_bounds(model, 0, &error), NW_OK);
    for (int32_t c = 0; c < K; c++)
        model->tensors[0].quant.hi[c] = 1e6f;
    assert_int_equal(nw_attack_bounds(model, 0, &error), NW_GOAL_MISSED);
    nw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),
        cmocka_unit_test(test_false_certificates),
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
