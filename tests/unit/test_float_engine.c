/* SPDX-License-Identifier: Apache-2.0 */
/* What the float engine promises: observers, editors, partial runs, replaced weights, shared memory, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "float/engine.h"
#include "float_graphs.h"
#include "float_reference.h"

enum { X, W1, H1, W2, H2, H3, Y, N_TENSORS };

/* x -> conv1 -> h1 -> conv2 (+ h1, relu) -> h2 -> reshape -> h3 -> gemm -> y */
static nw_model *small_network(void)
{
    nw_model *model = nw_model_create();
    add_tensor(model, "x", 4, DIMS(1, 3, 6, 6));
    add_constant(model, "w1", 4, DIMS(16, 3, 3, 3));
    add_tensor(model, "h1", 4, DIMS(1, 16, 6, 6));
    add_constant(model, "w2", 4, DIMS(16, 16, 3, 3));
    add_tensor(model, "h2", 4, DIMS(1, 16, 6, 6));
    add_tensor(model, "h3", 2, DIMS(1, 576));
    add_tensor(model, "y", 2, DIMS(1, 10));
    const int32_t w3 = add_constant(model, "w3", 2, DIMS(10, 576));
    const nw_window window = WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1});
    add_node(model, NW_OP_CONV, "conv1", 2, DIMS(X, W1), H1)->window = window;
    nw_node *second = add_node(model, NW_OP_CONV, "conv2", 4, DIMS(H1, W2, NW_NONE, H1), H2);
    second->window = window;
    second->lo = 0.0f;
    add_node(model, NW_OP_RESHAPE, "flatten", 1, DIMS(H2), H3);
    add_node(model, NW_OP_GEMM, "gemm", 2, DIMS(H3, w3), Y);
    set_ends(model, X, Y);
    return model;
}

typedef struct seen {
    int32_t tensors[16];
    int32_t n;
    float *copies[N_TENSORS];
    size_t counts[N_TENSORS];
} seen;

static void see(void *context, int32_t tensor, const float *data, size_t n)
{
    seen *s = context;
    s->tensors[s->n++] = tensor;
    s->counts[tensor] = n;
    free(s->copies[tensor]);
    s->copies[tensor] = malloc(n * sizeof(float));
    memcpy(s->copies[tensor], data, n * sizeof(float));
}

static void forget(seen *s)
{
    for (int i = 0; i < N_TENSORS; i++)
        free(s->copies[i]);
}

static void test_observer(void **state)
{
    (void)state;
    nw_model *model = small_network();
    nw_float_engine *engine;
    seen s = {{0}, 0, {0}, {0}};
    float *input = random_data(2 * 108), output[20];
    assert_int_equal(nw_float_create(&engine, model, 2, NULL), NW_OK);
    nw_float_observe(engine, see, &s);
    assert_int_equal(nw_float_run(engine, (const float *const[]){input}, (float *const[]){output}, NULL), NW_OK);
    const int32_t order[] = {X, H1, H2, H3, Y};
    assert_int_equal(s.n, 5);
    assert_memory_equal(s.tensors, order, sizeof(order));
    assert_int_equal(s.counts[H1], 2 * 16 * 36);
    assert_memory_equal(s.copies[X], input, 2 * 108 * sizeof(float));
    assert_memory_equal(s.copies[Y], output, sizeof(output));
    assert_memory_equal(s.copies[H2], s.copies[H3], 2 * 576 * sizeof(float));
    const plane4 plane = {2, 3, 6, 6, input};
    for (int32_t e = 0; e < 2 * 576; e++)
        assert_close(s.copies[H1][e],
                     reference_conv(&model->nodes[0], plane, model->tensors[W1].data, 16, e / 576, e / 36 % 16,
                                    e / 6 % 6, e % 6),
                     "observed");
    nw_float_free(engine);
    nw_model_free(model);
    forget(&s);
    free(input);
}

static void halve(void *context, int32_t tensor, float *data, size_t n)
{
    (void)context;
    (void)tensor;
    for (size_t i = 0; i < n; i++)
        data[i] *= 0.5f;
}

/* Editing h1 equals a network with half the first weights, exactly: powers of two commute with rounding. */
static void test_editor_and_weights(void **state)
{
    (void)state;
    nw_model *model = small_network();
    nw_float_engine *engine;
    float *input = random_data(2 * 108), edited[20], reweighted[20], restored[20], before[20];
    const float *const inputs[] = {input};
    assert_int_equal(nw_float_create(&engine, model, 2, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){before}, NULL), NW_OK);
    assert_int_equal(nw_float_edit(engine, H1, halve, NULL, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){edited}, NULL), NW_OK);
    assert_int_equal(nw_float_edit(engine, H1, NULL, NULL, NULL), NW_OK);
    assert_memory_not_equal(before, edited, sizeof(before));
    float half[16 * 27];
    for (int i = 0; i < 16 * 27; i++)
        half[i] = 0.5f * model->tensors[W1].data[i];
    assert_int_equal(nw_float_set_weights(engine, 0, half, NULL, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){reweighted}, NULL), NW_OK);
    assert_memory_equal(edited, reweighted, sizeof(edited));
    assert_int_equal(nw_float_set_weights(engine, 0, model->tensors[W1].data, NULL, NULL), NW_OK);
    /* the gemm's weights lie in the model until they are replaced; the model stays as it was */
    const int32_t w3 = model->nodes[3].inputs[1];
    float bias[10] = {0}, zeros[5760] = {0};
    const float kept = model->tensors[w3].data[0];
    bias[3] = 4.0f;
    assert_int_equal(nw_float_set_weights(engine, 3, zeros, bias, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){restored}, NULL), NW_OK);
    for (int i = 0; i < 20; i++)
        assert_true(restored[i] == (i % 10 == 3 ? 4.0f : 0.0f));
    assert_true(model->tensors[w3].data[0] == kept);
    bias[3] = 0.0f;
    assert_int_equal(nw_float_set_weights(engine, 3, model->tensors[w3].data, bias, NULL), NW_OK);
    assert_int_equal(nw_float_run(engine, inputs, (float *const[]){restored}, NULL), NW_OK);
    assert_memory_equal(before, restored, sizeof(before));
    assert_int_equal(nw_float_set_weights(engine, 2, zeros, NULL, NULL), NW_ERROR_USAGE);
    nw_float_free(engine);
    nw_model_free(model);
    free(input);
}

/* Every tail gives the bytes of the whole run, whatever ran before. */
static void test_run_from(void **state)
{
    (void)state;
    nw_model *model = small_network();
    nw_float_engine *engine;
    nw_error error;
    seen s = {{0}, 0, {0}, {0}};
    float *input = random_data(2 * 108), *other = random_data(2 * 108), output[20], tail[20];
    assert_int_equal(nw_float_create(&engine, model, 2, NULL), NW_OK);
    nw_float_observe(engine, see, &s);
    assert_int_equal(nw_float_run(engine, (const float *const[]){input}, (float *const[]){output}, NULL), NW_OK);
    nw_float_observe(engine, NULL, NULL);
    const int32_t needed[] = {X, H1, H2, H3};
    for (int32_t first = 0; first < 4; first++) {
        assert_int_equal(nw_float_run(engine, (const float *const[]){other}, (float *const[]){tail}, NULL), NW_OK);
        const nw_float_override override = {needed[first], s.copies[needed[first]]};
        assert_true(nw_float_needs(engine, first, 4, needed[first]));
        assert_int_equal(nw_float_run_from(engine, first, 4, &override, 1, (float *const[]){tail}, NULL), NW_OK);
        assert_memory_equal(tail, output, sizeof(output));
        assert_int_equal(nw_float_run_from(engine, first, 4, NULL, 0, (float *const[]){tail}, &error), NW_ERROR_USAGE);
    }
    /* a block in the middle, seen by the observer */
    const nw_float_override override = {H1, s.copies[H1]};
    seen block = {{0}, 0, {0}, {0}};
    nw_float_observe(engine, see, &block);
    assert_int_equal(nw_float_run_from(engine, 1, 2, &override, 1, NULL, NULL), NW_OK);
    assert_int_equal(block.n, 1);
    assert_memory_equal(block.copies[H2], s.copies[H2], 2 * 576 * sizeof(float));
    assert_int_equal(nw_float_run_from(engine, 1, 2, &override, 1, (float *const[]){tail}, &error), NW_ERROR_USAGE);
    nw_float_free(engine);
    nw_model_free(model);
    forget(&s);
    forget(&block);
    free(input);
    free(other);
}

/*
 * x -> 1x1 -> a -> 3x3 -> b -> 3x3 (+ a, written over it) -> c -> 1x1 stride 2 -> d -> reshape -> gemm -> y, and a side
 * branch that keeps b alive: c2 = concat(c, b). Every range of nodes from any start to the end, on inputs taken from a
 * whole run, after a run on other data.
 */
static nw_model *residual_network(void)
{
    nw_model *model = nw_model_create();
    const int32_t x = add_tensor(model, "x", 4, DIMS(1, 5, 6, 6));
    const int32_t w1 = add_constant(model, "w1", 4, DIMS(16, 5, 1, 1));
    const int32_t w2 = add_constant(model, "w2", 4, DIMS(16, 16, 3, 3));
    const int32_t w4 = add_constant(model, "w4", 4, DIMS(9, 32, 1, 1)), w5 = add_constant(model, "w5", 2, DIMS(7, 81));
    const int32_t a = add_tensor(model, "a", 4, DIMS(1, 16, 6, 6)), b = add_tensor(model, "b", 4, DIMS(1, 16, 6, 6));
    const int32_t c = add_tensor(model, "c", 4, DIMS(1, 16, 6, 6)), c2 = add_tensor(model, "c2", 4, DIMS(1, 32, 6, 6));
    const int32_t d = add_tensor(model, "d", 4, DIMS(1, 9, 3, 3)), e = add_tensor(model, "e", 2, DIMS(1, 81));
    const int32_t y = add_tensor(model, "y", 2, DIMS(1, 7));
    const nw_window one = WINDOW(1, 1, 1, 1, 1, 1, {0}), three = WINDOW(3, 3, 1, 1, 1, 1, {1, 1, 1, 1});
    add_node(model, NW_OP_CONV, "conv1", 2, DIMS(x, w1), a)->window = one;
    add_node(model, NW_OP_CONV, "conv2", 2, DIMS(a, w2), b)->window = three;
    add_node(model, NW_OP_CONV, "conv3", 4, DIMS(b, w2, NW_NONE, a), c)->window = three;
    add_node(model, NW_OP_CONCAT, "concat", 2, DIMS(c, b), c2)->axis = 1;
    add_node(model, NW_OP_CONV, "conv4", 2, DIMS(c2, w4), d)->window = (nw_window)WINDOW(1, 1, 2, 2, 1, 1, {0});
    add_node(model, NW_OP_RESHAPE, "flatten", 1, DIMS(d), e);
    add_node(model, NW_OP_GEMM, "gemm", 2, DIMS(e, w5), y);
    set_ends(model, x, y);
    return model;
}

typedef struct recorded {
    float *copies[16];
} recorded;

static void record(void *context, int32_t tensor, const float *data, size_t n)
{
    recorded *r = context;
    free(r->copies[tensor]);
    r->copies[tensor] = malloc(n * sizeof(float));
    memcpy(r->copies[tensor], data, n * sizeof(float));
}

static void test_run_from_residual(void **state)
{
    (void)state;
    nw_model *model = residual_network();
    nw_float_engine *engine;
    recorded r = {{0}};
    float *input = random_data(2 * 180), *other = random_data(2 * 180), output[14], tail[14];
    assert_int_equal(nw_float_create(&engine, model, 2, NULL), NW_OK);
    nw_float_observe(engine, record, &r);
    assert_int_equal(nw_float_run(engine, (const float *const[]){input}, (float *const[]){output}, NULL), NW_OK);
    nw_float_observe(engine, NULL, NULL);
    for (int32_t first = 0; first < model->n_nodes; first++) {
        nw_float_override overrides[16];
        int32_t n = 0;
        for (int32_t t = 0; t < model->n_tensors; t++)
            if (nw_float_needs(engine, first, model->n_nodes, t))
                overrides[n++] = (nw_float_override){t, r.copies[t]};
        assert_int_equal(nw_float_run(engine, (const float *const[]){other}, (float *const[]){tail}, NULL), NW_OK);
        assert_memory_not_equal(tail, output, sizeof(output));
        assert_int_equal(
            nw_float_run_from(engine, first, model->n_nodes, overrides, n, (float *const[]){tail}, NULL), NW_OK);
        assert_memory_equal(tail, output, sizeof(output));
    }
    nw_float_free(engine);
    nw_model_free(model);
    for (int i = 0; i < 16; i++)
        free(r.copies[i]);
    free(input);
    free(other);
}

/* 40 convolutions in a row need the memory of a few, not of 40. */
static void test_memory_is_shared(void **state)
{
    (void)state;
    nw_model *model = nw_model_create();
    int32_t x = add_tensor(model, "t0", 4, DIMS(1, 16, 32, 32));
    const int32_t first = x;
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "w%d", i);
        const int32_t w = add_constant(model, name, 4, DIMS(16, 16, 1, 1));
        snprintf(name, sizeof(name), "t%d", i + 1);
        const int32_t y = add_tensor(model, name, 4, DIMS(1, 16, 32, 32));
        add_node(model, NW_OP_CONV, name, 2, DIMS(x, w), y)->window = (nw_window)WINDOW(1, 1, 1, 1, 1, 1, {0});
        x = y;
    }
    set_ends(model, first, x);
    nw_float_engine *engine;
    assert_int_equal(nw_float_create(&engine, model, 4, NULL), NW_OK);
    assert_true(nw_float_memory(engine) < 4 * 4 * 16 * 1024 * sizeof(float));
    nw_float_free(engine);
    nw_model_free(model);
}

/* Two threads, released between runs: the same bytes every time, and one thread's values within rounding. */
static void test_threads(void **state)
{
    (void)state;
    nw_model *model = small_network();
    float *input = random_data(2 * 108), one[20], two[20], again[20];
    const float *const inputs[] = {input};
    nw_float_engine *engines[2];
    for (int i = 0; i < 2; i++) {
        nw_float_set_threads(i + 1);
        assert_int_equal(nw_float_create(&engines[i], model, 2, NULL), NW_OK);
    }
    assert_int_equal(nw_float_run(engines[0], inputs, (float *const[]){one}, NULL), NW_OK);
    assert_int_equal(nw_float_run(engines[1], inputs, (float *const[]){two}, NULL), NW_OK);
    nw_float_release_threads();
    assert_int_equal(nw_float_run(engines[1], inputs, (float *const[]){again}, NULL), NW_OK);
    assert_memory_equal(two, again, sizeof(two));
    for (int i = 0; i < 20; i++)
        assert_close(two[i], one[i], "threads");
    nw_float_free(engines[0]);
    nw_float_free(engines[1]);
    nw_model_free(model);
    free(input);
    nw_float_set_threads(1);
}

static void test_refusals(void **state)
{
    (void)state;
    nw_float_engine *engine;
    nw_error error;
    nw_model *model = small_network();
    assert_int_equal(nw_float_create(&engine, model, 0, &error), NW_ERROR_USAGE);
    model->nodes[1].groups = 3; /* 16 channels do not divide */
    assert_int_equal(nw_float_create(&engine, model, 1, &error), NW_ERROR_DATA);
    assert_non_null(strstr(error.message, "conv2"));
    model->nodes[1].groups = 1;
    model->nodes[2].op = NW_OP_TABLE;
    assert_int_equal(nw_float_create(&engine, model, 1, &error), NW_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "flatten"));
    nw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_observer),
        cmocka_unit_test(test_editor_and_weights),
        cmocka_unit_test(test_run_from),
        cmocka_unit_test(test_run_from_residual),
        cmocka_unit_test(test_memory_is_shared),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
