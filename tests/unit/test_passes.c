/* SPDX-License-Identifier: Apache-2.0 */
/* The graph passes on small graphs: what is folded, what is fused, and what must be left alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onnx_graphs.h"
#include "passes/passes.h"

/* A file with input x [1, 4, 6, 6], weights k [4, 4, 3, 3] and l [4, 4, 1, 1], factors f [4, 1, 1]. */
static onnx_file *begin(void)
{
    onnx_file *file = onnx_begin(13);
    onnx_input(file, "x", 4, (int64_t[]){-1, 4, 6, 6});
    onnx_output(file, "y");
    onnx_floats(file, "k", 4, (int64_t[]){4, 4, 3, 3}, NULL);
    onnx_floats(file, "l", 4, (int64_t[]){4, 4, 1, 1}, NULL);
    onnx_floats(file, "f", 3, (int64_t[]){4, 1, 1}, (float[]){2, -3, 0.5f, 0.1f});
    return file;
}

static void conv(onnx_file *file, const char *inputs, const char *output)
{
    onnx_node(file, "Conv", inputs, output);
    if (strchr(inputs, 'k'))
        onnx_ints(file, "pads", 4, (int64_t[]){1, 1, 1, 1});
}

static void norm(onnx_file *file, const char *input, const char *output)
{
    char inputs[32];
    if (file->graph.n_initializer == 3) {
        onnx_floats(file, "s", 1, (int64_t[]){4}, (float[]){1, 2, 3, 0.3f});
        onnx_floats(file, "o", 1, (int64_t[]){4}, (float[]){0, 0.1f, 0.2f, 5});
        onnx_floats(file, "m", 1, (int64_t[]){4}, (float[]){-1, 0.7f, 2, 0});
        onnx_floats(file, "v", 1, (int64_t[]){4}, (float[]){1, 0.25f, 3, 7});
    }
    strcpy(inputs, input);
    strcat(inputs, " s o m v");
    onnx_node(file, "BatchNormalization", inputs, output);
    onnx_float(file, "epsilon", 0.5f);
}

static const float *data_of(const nw_model *model, const nw_node *node, int32_t input)
{
    assert_int_not_equal(node->inputs[input], NW_NONE);
    return model->tensors[node->inputs[input]].data;
}

static float pattern(size_t i)
{
    return 0.25f * (float)(i * 7 % 13) - 1.25f;
}

/* conv + BatchNormalization: W' and b' are the formula of the docstring, in binary64, rounded once. */
static void test_batch_norm_folds(void **state)
{
    (void)state;
    onnx_file *file = begin();
    conv(file, "x k", "a");
    norm(file, "a", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 1);
    const nw_node *node = only_node(model, NW_OP_CONV);
    const double s[4] = {1, 2, 3, (double)0.3f}, o[4] = {0, (double)0.1f, (double)0.2f, 5};
    const double m[4] = {-1, (double)0.7f, 2, 0}, v[4] = {1, 0.25, 3, 7};
    for (size_t c = 0; c < 4; c++) {
        const double scale = s[c] / sqrt(v[c] + 0.5);
        assert_true(data_of(model, node, 2)[c] == (float)(o[c] - scale * m[c]));
        for (size_t i = 0; i < 36; i++)
            assert_true(data_of(model, node, 1)[c * 36 + i] == (float)(scale * (double)pattern(c * 36 + i)));
    }
    assert_string_equal(model->tensors[node->output].name, "y");
    nw_model_free(model);
}

/* In a transposed convolution with groups the output channel of a weight is found across the first two axes. */
static void test_factor_folds_into_conv_transpose(void **state)
{
    (void)state;
    onnx_file *file = begin();
    onnx_floats(file, "w", 4, (int64_t[]){4, 2, 1, 1}, (float[]){1, 2, 3, 4, 5, 6, 7, 8});
    onnx_node(file, "ConvTranspose", "x w", "a");
    onnx_int(file, "group", 2);
    onnx_node(file, "Mul", "f a", "b");
    onnx_node(file, "Sub", "b f", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 1);
    const nw_node *node = only_node(model, NW_OP_CONV_TRANSPOSE);
    const float weights[8] = {2, -6, 6, -12, 2.5f, 0.1f * 6, 3.5f, 0.1f * 8}, bias[4] = {-2, 3, -0.5f, -0.1f};
    for (int i = 0; i < 8; i++)
        assert_float_equal(data_of(model, node, 1)[i], weights[i], 1e-6);
    assert_memory_equal(data_of(model, node, 2), bias, sizeof(bias));
    nw_model_free(model);
}

/* Weights that two layers share are copied for the one that changes them. */
static void test_shared_weights_survive(void **state)
{
    (void)state;
    onnx_file *file = begin();
    conv(file, "x l", "a");
    onnx_node(file, "Mul", "a f", "b");
    conv(file, "b l", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 2);
    assert_int_not_equal(model->nodes[0].inputs[1], model->nodes[1].inputs[1]);
    assert_true(data_of(model, &model->nodes[0], 1)[5] == -3.0f * pattern(5));
    assert_true(data_of(model, &model->nodes[1], 1)[5] == pattern(5));
    nw_model_free(model);
}

/* Behind something else, or behind a result that others need, a normalisation is a depthwise layer. */
static void test_standalone_norm(void **state)
{
    (void)state;
    onnx_file *file = begin();
    conv(file, "x k", "a");
    norm(file, "a", "b");
    onnx_node(file, "Sigmoid", "a", "c");
    onnx_node(file, "Mul", "b c", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(count_nodes(model, NW_OP_CONV), 2);
    assert_int_equal(count_nodes(model, NW_OP_BATCH_NORM), 0);
    const nw_node *depthwise = &model->nodes[1];
    assert_int_equal(depthwise->groups, 4);
    assert_dims(model, depthwise->inputs[1], 4, (int32_t[]){4, 1, 1, 1});
    assert_true(data_of(model, depthwise, 1)[1] == (float)(2.0 / sqrt(0.75)));
    nw_model_free(model);
}

static void test_gemm_behind_flatten(void **state)
{
    (void)state;
    onnx_file *file = begin();
    onnx_floats(file, "w", 2, (int64_t[]){144, 5}, NULL);
    onnx_floats(file, "u", 2, (int64_t[]){5, 3}, NULL);
    onnx_floats(file, "b", 1, (int64_t[]){3}, (float[]){1, 2, 3});
    onnx_node(file, "Flatten", "x", "a");
    onnx_node(file, "MatMul", "a w", "c");
    onnx_node(file, "Relu", "c", "d");
    onnx_node(file, "MatMul", "d u", "e");
    onnx_node(file, "Add", "e b", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 2);
    const nw_node *first = &model->nodes[0], *second = &model->nodes[1];
    assert_int_equal(first->op, NW_OP_CONV);
    assert_memory_equal(first->window.kernel, ((int32_t[]){6, 6}), sizeof(first->window.kernel));
    assert_dims(model, first->inputs[1], 4, (int32_t[]){5, 4, 6, 6});
    assert_true(data_of(model, first, 1)[144 + 7] == pattern(7 * 5 + 1));
    assert_true(first->lo == 0.0f && first->hi == INFINITY);
    assert_dims(model, second->inputs[0], 2, (int32_t[]){1, 5});
    assert_dims(model, second->inputs[1], 4, (int32_t[]){3, 5, 1, 1});
    assert_true(data_of(model, second, 2)[2] == 3.0f);
    assert_dims(model, model->outputs[0], 2, (int32_t[]){1, 3});
    nw_model_free(model);
}

/* Several clamps are one, also through a pool; a clamp of a result that others need stays a node. */
static void test_clamps(void **state)
{
    (void)state;
    onnx_file *file = begin();
    onnx_floats(file, "lo", 0, NULL, (float[]){-1});
    onnx_floats(file, "hi", 0, NULL, (float[]){4});
    conv(file, "x k", "a");
    onnx_node(file, "Clip", "a lo hi", "b");
    onnx_node(file, "MaxPool", "b", "c");
    onnx_ints(file, "kernel_shape", 2, (int64_t[]){2, 2});
    onnx_node(file, "Relu", "c", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 2);
    assert_true(model->nodes[0].lo == 0.0f && model->nodes[0].hi == 4.0f);
    assert_string_equal(model->tensors[model->nodes[1].output].name, "y");
    nw_model_free(model);

    file = begin();
    onnx_output(file, "a");
    conv(file, "x k", "a");
    onnx_node(file, "Relu", "a", "y");
    model = onnx_import_simplified(file);
    assert_int_equal(count_nodes(model, NW_OP_RELU), 1);
    assert_true(model->nodes[0].lo == -INFINITY);
    nw_model_free(model);
}

/* Writes one spelling of an activation of `a` to `y`. */
static void spell(onnx_file *file, int spelling)
{
    onnx_floats(file, "three", 0, NULL, (float[]){3});
    onnx_floats(file, "six", 0, NULL, (float[]){6});
    onnx_floats(file, "sixth", 1, (int64_t[]){1}, (float[]){1.0f / 6.0f});
    onnx_floats(file, "zero", 0, NULL, (float[]){0});
    switch (spelling) {
    case 0: case 1:
        onnx_node(file, "Sigmoid", "a", "s");
        onnx_node(file, "Mul", spelling ? "s a" : "a s", "y");
        return;
    case 2: case 3:
        onnx_node(file, "HardSigmoid", "a", "s");
        onnx_float(file, "alpha", spelling == 2 ? 1.0f / 6.0f : 0.2f);
        onnx_node(file, "Mul", "a s", "y");
        return;
    default:
        onnx_node(file, "Add", "three a", "b");
        onnx_node(file, "Clip", "b zero six", "c");
    }
    switch (spelling) {
    case 4:
        onnx_node(file, "Mul", "c a", "d");
        onnx_node(file, "Div", "d six", "y");
        return;
    case 5:
        onnx_node(file, "Mul", "c sixth", "d");
        onnx_node(file, "Mul", "a d", "y");
        return;
    case 6:
        onnx_node(file, "Div", "c six", "y");
        return;
    default: /* of something else */
        onnx_node(file, "Mul", "c x", "d");
        onnx_node(file, "Div", "d six", "y");
    }
}

static void test_activations(void **state)
{
    (void)state;
    static const nw_op expected[] = {NW_OP_SILU,       NW_OP_SILU,       NW_OP_HARD_SWISH,   NW_OP_COUNT,
                                     NW_OP_HARD_SWISH, NW_OP_HARD_SWISH, NW_OP_HARD_SIGMOID, NW_OP_COUNT};
    for (int i = 0; i < 8; i++) {
        onnx_file *file = begin();
        conv(file, "x k", "a");
        spell(file, i);
        nw_model *model = onnx_import_simplified(file);
        if (expected[i] == NW_OP_COUNT) {
            assert_true(model->n_nodes > 2);
            assert_int_equal(count_nodes(model, NW_OP_HARD_SWISH) + count_nodes(model, NW_OP_SILU), 0);
        } else {
            assert_int_equal(model->n_nodes, 2);
            assert_int_equal(only_node(model, expected[i])->inputs[0], model->nodes[0].output);
            assert_true(expected[i] != NW_OP_HARD_SIGMOID || model->nodes[1].beta == 0.5f);
        }
        nw_model_free(model);
    }
}

/* conv, relu, conv, + x, relu: the sum and its clamp go into the second convolution. */
static void test_residual(void **state)
{
    (void)state;
    onnx_file *file = begin();
    conv(file, "x k", "a");
    onnx_node(file, "Relu", "a", "b");
    conv(file, "b k", "c");
    onnx_node(file, "Add", "c x", "d");
    onnx_node(file, "Relu", "d", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 2);
    assert_int_equal(model->nodes[1].inputs[3], model->inputs[0]);
    assert_true(model->nodes[1].lo == 0.0f && model->nodes[0].lo == 0.0f);
    nw_model_free(model);
}

/* Of two convolutions the later takes the earlier's result; if only the earlier is free it moves behind the other. */
static void test_residual_choice(void **state)
{
    (void)state;
    onnx_file *file = begin();
    conv(file, "x k", "a");
    conv(file, "x l", "b");
    onnx_node(file, "Add", "a b", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 2);
    assert_int_equal(model->nodes[1].window.kernel[0], 1);
    assert_int_equal(model->nodes[1].inputs[3], model->nodes[0].output);
    nw_model_free(model);

    file = begin();
    conv(file, "x k", "a");
    conv(file, "x l", "b");
    onnx_node(file, "Relu", "b", "c"); /* clamped before the sum: cannot take a residual */
    onnx_node(file, "Add", "a c", "y");
    model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 2);
    assert_int_equal(model->nodes[1].window.kernel[0], 3);
    assert_int_equal(model->nodes[1].inputs[3], model->nodes[0].output);
    nw_model_free(model);
}

/* A result that something else needs too, a sum with itself, and shapes that are stretched stay an ADD. */
static void test_residual_refused(void **state)
{
    (void)state;
    onnx_file *file = begin();
    conv(file, "x k", "a");
    onnx_node(file, "Add", "a x", "b");
    onnx_node(file, "Sigmoid", "a", "c");
    onnx_node(file, "Mul", "b c", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(count_nodes(model, NW_OP_ADD), 1);
    nw_model_free(model);

    file = begin();
    conv(file, "x k", "a");
    onnx_node(file, "Add", "a a", "y");
    model = onnx_import_simplified(file);
    assert_int_equal(count_nodes(model, NW_OP_ADD), 1);
    nw_model_free(model);

    file = begin();
    onnx_node(file, "GlobalAveragePool", "x", "p");
    conv(file, "p l", "a");
    onnx_node(file, "Add", "a x", "y");
    model = onnx_import_simplified(file);
    assert_int_equal(count_nodes(model, NW_OP_ADD), 1);
    nw_model_free(model);
}

static void test_pad(void **state)
{
    (void)state;
    onnx_file *file = begin();
    onnx_longs(file, "p", 8, (int64_t[]){0, 0, 0, 1, 0, 0, 1, 2});
    onnx_node(file, "Pad", "x p", "a");
    onnx_node(file, "Conv", "a k", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 1);
    assert_memory_equal(model->nodes[0].window.pad, ((int32_t[]){0, 1, 1, 2}), 4 * sizeof(int32_t));
    nw_model_free(model);

    file = begin(); /* padded with something else than zero */
    onnx_longs(file, "p", 8, (int64_t[]){0, 0, 0, 1, 0, 0, 1, 2});
    onnx_floats(file, "one", 0, NULL, (float[]){1});
    onnx_node(file, "Pad", "x p one", "a");
    onnx_node(file, "Conv", "a k", "y");
    model = onnx_import_simplified(file);
    assert_int_equal(count_nodes(model, NW_OP_PAD), 1);
    nw_model_free(model);
}

/* Reshape, Transpose, Reshape, Gather of a channel shuffle: channels 1, 3. */
static void test_shuffle_is_a_slice(void **state)
{
    (void)state;
    onnx_file *file = begin();
    onnx_longs(file, "r", 3, (int64_t[]){2, 2, 36});
    onnx_longs(file, "t", 5, (int64_t[]){2, 1, 2, 6, 6});
    onnx_longs(file, "one", 1, (int64_t[]){1});
    onnx_longs(file, "axis", 1, (int64_t[]){0});
    onnx_node(file, "Reshape", "x r", "a");
    onnx_node(file, "Transpose", "a", "b");
    onnx_ints(file, "perm", 3, (int64_t[]){1, 0, 2});
    onnx_node(file, "Reshape", "b t", "c");
    onnx_node(file, "Gather", "c one", "d");
    onnx_node(file, "Squeeze", "d axis", "y");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 1);
    const nw_node *slice = only_node(model, NW_OP_SLICE);
    assert_memory_equal(slice->starts, ((int32_t[]){0, 1, 0, 0}), 4 * sizeof(int32_t));
    assert_memory_equal(slice->steps, ((int32_t[]){1, 2, 1, 1}), 4 * sizeof(int32_t));
    assert_int_equal(slice->inputs[0], model->inputs[0]);
    nw_model_free(model);
}

/* Without the rest of a shuffle its first half has no batch to run on. */
static void test_lost_batch(void **state)
{
    (void)state;
    onnx_file *file = begin();
    onnx_longs(file, "r", 3, (int64_t[]){2, 2, 36});
    onnx_node(file, "Reshape", "x r", "y");
    nw_model *model = onnx_import(file);
    nw_error error = {{0}};
    assert_int_equal(nw_passes_run(model, &error), NW_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "has 2 as its first dimension"));
    nw_model_free(model);
}

/* Nodes that nobody uses leave with their weights, and what changes nothing leaves without a trace. */
static void test_dead_and_idle(void **state)
{
    (void)state;
    onnx_file *file = begin();
    onnx_longs(file, "same", 4, (int64_t[]){1, 4, 6, 6});
    onnx_longs(file, "flat", 2, (int64_t[]){0, -1});
    conv(file, "x k", "a");
    onnx_node(file, "Reshape", "a flat", "b");
    onnx_node(file, "Reshape", "b same", "c"); /* back again */
    onnx_node(file, "Transpose", "c", "d");
    onnx_ints(file, "perm", 4, (int64_t[]){0, 1, 2, 3});
    onnx_node(file, "Sigmoid", "d", "y");
    conv(file, "x l", "unused");
    nw_model *model = onnx_import_simplified(file);
    assert_int_equal(model->n_nodes, 2);
    assert_int_equal(model->n_tensors, 4);
    nw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_norm_folds),
        cmocka_unit_test(test_factor_folds_into_conv_transpose),
        cmocka_unit_test(test_shared_weights_survive),
        cmocka_unit_test(test_standalone_norm),
        cmocka_unit_test(test_gemm_behind_flatten),
        cmocka_unit_test(test_clamps),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_residual_choice),
        cmocka_unit_test(test_residual_refused),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_shuffle_is_a_slice),
        cmocka_unit_test(test_lost_batch),
        cmocka_unit_test(test_dead_and_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
