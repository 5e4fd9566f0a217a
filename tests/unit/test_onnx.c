/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ONNX reader on small graphs: what nodes come out, what is refused and how, what damaged files end in. Numbers are
 * compared with ONNX Runtime in test_onnx_operators.py and tests/models.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onnx/onnx.h"
#include "onnx/scan.h"
#include "onnx_graphs.h"

static const int64_t picture[4] = {-1, 3, 9, 10};

static onnx_file *begin_picture(int64_t opset)
{
    onnx_file *file = onnx_begin(opset);
    onnx_input(file, "x", 4, picture);
    onnx_output(file, "y");
    return file;
}

static void test_conv(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13);
    onnx_floats(file, "w", 4, (int64_t[]){4, 3, 3, 2}, NULL);
    onnx_floats(file, "b", 1, (int64_t[]){4}, NULL);
    onnx_node(file, "Conv", "x w b", "y");
    onnx_ints(file, "pads", 4, (int64_t[]){0, 1, 1, 0});
    onnx_ints(file, "strides", 2, (int64_t[]){2, 1});
    nw_model *model = onnx_import(file);
    const nw_node *conv = only_node(model, NW_OP_CONV);
    assert_int_equal(conv->n_inputs, 4);
    assert_int_equal(conv->inputs[3], NW_NONE);
    assert_dims(model, model->inputs[0], 4, (int32_t[]){1, 3, 9, 10}); /* the symbolic batch became 1 */
    assert_dims(model, conv->inputs[1], 4, (int32_t[]){4, 3, 3, 2});
    assert_dims(model, conv->output, 4, (int32_t[]){1, 4, 4, 10});
    assert_memory_equal(conv->window.pad, ((int32_t[]){0, 1, 1, 0}), sizeof(conv->window.pad));
    assert_int_equal(nw_node_macs(model, conv), 4 * 4 * 10 * 3 * 3 * 2);
    assert_string_equal(model->tensors[model->outputs[0]].name, "y");
    assert_true(model->tensors[conv->inputs[1]].data[1] == 0.25f * 7 - 1.25f);
    nw_model_free(model);
}

static void test_auto_pad(void **state)
{
    (void)state;
    const char *const modes[3] = {"SAME_UPPER", "SAME_LOWER", "VALID"};
    const int32_t pads[3][4] = {{1, 0, 1, 1}, {1, 1, 1, 0}, {0, 0, 0, 0}};
    for (int i = 0; i < 3; i++) {
        onnx_file *file = begin_picture(13);
        onnx_floats(file, "w", 4, (int64_t[]){4, 3, 5, 3}, NULL);
        onnx_node(file, "Conv", "x w", "y");
        onnx_string(file, "auto_pad", modes[i]);
        onnx_ints(file, "strides", 2, (int64_t[]){3, 2});
        nw_model *model = onnx_import(file);
        assert_memory_equal(only_node(model, NW_OP_CONV)->window.pad, pads[i], sizeof(pads[i]));
        nw_model_free(model);
    }
}

static void test_conv_transpose(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13);
    onnx_floats(file, "w", 4, (int64_t[]){3, 2, 3, 3}, NULL);
    onnx_node(file, "ConvTranspose", "x w", "y");
    onnx_ints(file, "strides", 2, (int64_t[]){2, 2});
    onnx_ints(file, "pads", 4, (int64_t[]){1, 1, 1, 1});
    onnx_ints(file, "output_padding", 2, (int64_t[]){1, 0});
    nw_model *model = onnx_import(file);
    const nw_node *node = only_node(model, NW_OP_CONV_TRANSPOSE);
    assert_dims(model, node->output, 4, (int32_t[]){1, 2, 18, 19});
    assert_memory_equal(node->window.pad, ((int32_t[]){1, 1, 0, 1}), sizeof(node->window.pad));
    nw_model_free(model);
}

static void test_output_padding_refused(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13);
    onnx_floats(file, "w", 4, (int64_t[]){3, 2, 2, 2}, NULL);
    onnx_node(file, "ConvTranspose", "x w", "y");
    onnx_ints(file, "strides", 2, (int64_t[]){2, 2});
    onnx_ints(file, "output_padding", 2, (int64_t[]){1, 1});
    onnx_assert_fails(file, NW_ERROR_UNSUPPORTED,
                      "node \"ConvTranspose_0\" (ConvTranspose, opset 13): output_padding larger than the end pad");
}

static void test_gemm(void **state)
{
    (void)state;
    onnx_file *file = onnx_begin(13);
    onnx_input(file, "x", 2, (int64_t[]){-1, 2});
    onnx_output(file, "y");
    onnx_floats(file, "w", 2, (int64_t[]){2, 3}, (float[]){1, 2, 3, 4, 5, 6});
    onnx_floats(file, "c", 2, (int64_t[]){1, 3}, (float[]){10, 20, 30});
    onnx_node(file, "Gemm", "x w c", "y");
    onnx_float(file, "alpha", 2.0f);
    onnx_float(file, "beta", 0.5f);
    nw_model *model = onnx_import(file);
    const nw_node *gemm = only_node(model, NW_OP_GEMM);
    const float weights[6] = {2, 8, 4, 10, 6, 12}, bias[3] = {5, 10, 15};
    assert_dims(model, gemm->inputs[1], 2, (int32_t[]){3, 2});
    assert_memory_equal(model->tensors[gemm->inputs[1]].data, weights, sizeof(weights));
    assert_memory_equal(model->tensors[gemm->inputs[2]].data, bias, sizeof(bias));
    nw_model_free(model);
}

/* Bounds of Clip as inputs, one of them absent, and as attributes with opset 6's way to say "none". */
static void test_clip_forms(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13);
    onnx_floats(file, "six", 0, NULL, (float[]){6});
    onnx_node(file, "Clip", "x - six", "y");
    nw_model *model = onnx_import(file);
    assert_true(only_node(model, NW_OP_CLIP)->lo == -INFINITY && only_node(model, NW_OP_CLIP)->hi == 6.0f);
    nw_model_free(model);

    file = begin_picture(7);
    onnx_node(file, "Clip", "x", "y");
    onnx_float(file, "min", 0.0f);
    onnx_float(file, "max", 3.4028234663852886e38f);
    model = onnx_import(file);
    assert_true(only_node(model, NW_OP_CLIP)->lo == 0.0f && only_node(model, NW_OP_CLIP)->hi == INFINITY);
    nw_model_free(model);
}

/* The pads of an option-A shortcut the way exporters write them: a chain of constants that ends in Slice backwards. */
static void test_constant_chain(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13);
    onnx_longs(file, "torch_pads", 8, (int64_t[]){0, 0, 0, 0, 1, 2, 0, 0}); /* last axis first, (begin, end) pairs */
    onnx_longs(file, "pairs", 2, (int64_t[]){-1, 2});
    onnx_longs(file, "from", 1, (int64_t[]){-1});
    onnx_longs(file, "to", 1, (int64_t[]){INT64_MIN});
    onnx_longs(file, "axis", 1, (int64_t[]){0});
    onnx_longs(file, "back", 1, (int64_t[]){-1});
    onnx_longs(file, "flat", 1, (int64_t[]){-1});
    onnx_node(file, "Reshape", "torch_pads pairs", "a");
    onnx_node(file, "Slice", "a from to axis back", "b");
    onnx_node(file, "Transpose", "b", "c");
    onnx_ints(file, "perm", 2, (int64_t[]){1, 0});
    onnx_node(file, "Reshape", "c flat", "d");
    onnx_node(file, "Cast", "d", "pads");
    onnx_int(file, "to", 7);
    onnx_node(file, "Pad", "x pads", "y");
    nw_model *model = onnx_import(file);
    assert_int_equal(model->n_nodes, 1);
    assert_dims(model, model->outputs[0], 4, (int32_t[]){1, 6, 9, 10});
    assert_memory_equal(only_node(model, NW_OP_PAD)->pads, ((int32_t[]){0, 1, 0, 0, 0, 2, 0, 0}), 8 * sizeof(int32_t));
    nw_model_free(model);
}

/* Shape, Gather, Unsqueeze, Concat, Reshape: the flattening of a symbolic batch. */
static void test_flatten_by_shape(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13);
    onnx_longs(file, "zero", 1, (int64_t[]){0});
    onnx_longs(file, "rest", 1, (int64_t[]){-1});
    onnx_node(file, "Shape", "x", "s");
    onnx_node(file, "Gather", "s zero", "n");
    onnx_node(file, "Concat", "n rest", "t");
    onnx_int(file, "axis", 0);
    onnx_node(file, "Reshape", "x t", "y");
    nw_model *model = onnx_import(file);
    assert_int_equal(model->n_nodes, 1);
    assert_dims(model, model->outputs[0], 2, (int32_t[]){1, 270});
    nw_model_free(model);
}

/* With ceil_mode a cut last window becomes end padding, a window that would start in the padding does not exist. */
static void test_ceil_mode(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13);
    onnx_node(file, "MaxPool", "x", "y");
    onnx_ints(file, "kernel_shape", 2, (int64_t[]){2, 2});
    onnx_ints(file, "strides", 2, (int64_t[]){2, 3});
    onnx_ints(file, "pads", 4, (int64_t[]){0, 1, 0, 1});
    onnx_int(file, "ceil_mode", 1);
    nw_model *model = onnx_import(file);
    assert_dims(model, model->outputs[0], 4, (int32_t[]){1, 3, 5, 4});
    assert_memory_equal(only_node(model, NW_OP_MAX_POOL)->window.pad, ((int32_t[]){0, 1, 1, 1}), 4 * sizeof(int32_t));
    nw_model_free(model);
}

static void test_old_softmax(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(11);
    onnx_node(file, "Softmax", "x", "y"); /* over everything behind the batch */
    nw_model *model = onnx_import(file);
    assert_int_equal(count_nodes(model, NW_OP_RESHAPE), 2);
    const nw_node *softmax = only_node(model, NW_OP_SOFTMAX);
    assert_int_equal(softmax->axis, 1);
    assert_dims(model, softmax->output, 2, (int32_t[]){1, 270});
    assert_dims(model, model->outputs[0], 4, (int32_t[]){1, 3, 9, 10});
    nw_model_free(model);
}

static void test_initializer_listed_as_input(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(9);
    onnx_floats(file, "w", 4, (int64_t[]){2, 3, 1, 1}, NULL);
    onnx_input(file, "w", 4, (int64_t[]){2, 3, 1, 1});
    onnx_node(file, "Conv", "x w", "y");
    nw_model *model = onnx_import(file);
    assert_int_equal(model->n_inputs, 1);
    nw_model_free(model);
}

/* Dropout and Identity leave nothing behind, and the output keeps its name. */
static void test_identities_disappear(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(11);
    onnx_node(file, "Relu", "x", "a");
    onnx_node(file, "Dropout", "a", "b mask");
    onnx_node(file, "Identity", "b", "y");
    nw_model *model = onnx_import(file);
    assert_int_equal(model->n_nodes, 1);
    assert_string_equal(model->tensors[model->outputs[0]].name, "y");
    nw_model_free(model);
}

/* One listing names every problem; what hangs on an unsupported node is not listed again. */
static void test_listing(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13);
    onnx_floats(file, "w", 4, (int64_t[]){3, 3, 1, 1}, NULL);
    onnx_node(file, "Einsum", "x x", "a");
    onnx_node(file, "Relu", "a", "b");
    onnx_node(file, "Conv", "b w", "c");
    onnx_node(file, "MaxPool", "x", "d");
    onnx_ints(file, "kernel_shape", 2, (int64_t[]){2, 2});
    onnx_int(file, "surprise", 1);
    onnx_node(file, "Add", "c d", "y");
    onnx_domain(file, "com.example");
    size_t size = 0;
    uint8_t *bytes = onnx_bytes(file, &size);
    char *listing = NULL;
    assert_int_equal(nw_onnx_parse_problems(&listing, bytes, size, "test.onnx", NULL), NW_OK);
    assert_string_equal(listing,
                        "node \"Einsum_0\" (Einsum, opset 13): operator Einsum is not supported\n"
                        "node \"MaxPool_3\" (MaxPool, opset 13): attribute surprise is not supported\n"
                        "node \"Add_4\" (com.example::Add, opset 13): operators of the domain com.example are not "
                        "supported\n");
    free(listing);
    free(bytes);
    onnx_assert_fails(file, NW_ERROR_UNSUPPORTED, "operator Einsum is not supported; node \"MaxPool_3\"");
}

static void test_shapes_refused(void **state)
{
    (void)state;
    onnx_file *file = onnx_begin(13);
    onnx_input(file, "x", 4, (int64_t[]){-1, 3, -1, 8});
    onnx_output(file, "y");
    onnx_node(file, "Relu", "x", "y");
    onnx_assert_fails(file, NW_ERROR_UNSUPPORTED, "input \"x\": dimension 2 (N) is not fixed");

    file = onnx_begin(13);
    onnx_input(file, "x", 2, (int64_t[]){8, 3});
    onnx_output(file, "y");
    onnx_node(file, "Relu", "x", "y");
    onnx_assert_fails(file, NW_ERROR_UNSUPPORTED, "fixed batch of 8");

    onnx_assert_fails(begin_picture(3), NW_ERROR_DATA, "output \"y\" is made by no node");
}

static void test_damage(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13); /* fewer bytes than the dimensions say */
    onnx_floats(file, "w", 4, (int64_t[]){2, 3, 1, 1}, NULL)->raw_data.len = 23;
    onnx_node(file, "Conv", "x w", "y");
    onnx_assert_fails(file, NW_ERROR_DATA, "tensor \"w\" holds 23 bytes, its dimensions say 24");

    file = begin_picture(13); /* a product of dimensions that wraps around */
    Onnx__TensorProto *proto = onnx_floats(file, "w", 4, (int64_t[]){2, 3, 1, 1}, NULL);
    proto->dims[0] = (int64_t)1 << 62;
    proto->dims[1] = 4;
    onnx_node(file, "Conv", "x w", "y");
    onnx_assert_fails(file, NW_ERROR_DATA, "impossible dimensions");

    file = begin_picture(13); /* weights of another number of channels */
    onnx_floats(file, "w", 4, (int64_t[]){2, 4, 1, 1}, NULL);
    onnx_node(file, "Conv", "x w", "y");
    onnx_assert_fails(file, NW_ERROR_DATA, "do not fit 3 input channels");

    file = begin_picture(13);
    onnx_node(file, "Relu", "later", "y");
    onnx_assert_fails(file, NW_ERROR_DATA, "made by no earlier node");

    file = begin_picture(13);
    onnx_node(file, "Relu", "x", "y");
    onnx_node(file, "Relu", "x", "y");
    onnx_assert_fails(file, NW_ERROR_DATA, "defined twice");

    file = begin_picture(13);
    onnx_longs(file, "one", 1, (int64_t[]){1});
    onnx_node(file, "Concat", "one - one", "y");
    onnx_int(file, "axis", 0);
    onnx_assert_fails(file, NW_ERROR_DATA, "its input 1 is missing");

    file = begin_picture(13);
    onnx_node(file, "Relu", "x", "");
    onnx_assert_fails(file, NW_ERROR_DATA, "node 0 has no output");

    file = begin_picture(13);
    onnx_floats(file, "w", 4, (int64_t[]){1, 3, 1, 1}, (float[]){1, NAN, 1});
    onnx_node(file, "Conv", "x w", "y");
    onnx_assert_fails(file, NW_ERROR_DATA, "holds NaN or infinity");

    file = begin_picture(13);
    onnx_node(file, "Softmax", "x", "y");
    onnx_float(file, "axis", 1.0f);
    onnx_assert_fails(file, NW_ERROR_DATA, "attribute axis has the wrong type");

    file = begin_picture(13); /* a hundred bytes that ask for gigabytes */
    onnx_longs(file, "huge", 3, (int64_t[]){1024, 1024, 1024});
    onnx_node(file, "ConstantOfShape", "huge", "y");
    onnx_assert_fails(file, NW_ERROR_DATA, "constant subgraphs make more than");
}

/* Every prefix and every single flipped bit of a file ends in a model or in a status with a sentence. */
static void test_truncated_and_flipped(void **state)
{
    (void)state;
    onnx_file *file = begin_picture(13);
    onnx_floats(file, "w", 4, (int64_t[]){2, 3, 1, 1}, NULL);
    onnx_longs(file, "t", 2, (int64_t[]){0, -1});
    onnx_node(file, "Conv", "x w", "a");
    onnx_node(file, "Reshape", "a t", "y");
    size_t size = 0;
    uint8_t *bytes = onnx_bytes(file, &size);
    onnx_free(file);
    for (size_t i = 0; i < size + size * 8; i++) {
        const size_t length = i < size ? i : size, bit = i < size ? 0 : i - size;
        uint8_t *copy = malloc(length ? length : 1); /* of its own, so that a sanitizer sees a read past the end */
        assert_non_null(copy);
        memcpy(copy, bytes, length);
        if (i >= size)
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        nw_model *model = NULL;
        nw_error error = {{0}};
        const nw_status status = nw_onnx_parse(&model, copy, length, "test.onnx", &error);
        assert_true((status == NW_OK) == (model != NULL));
        assert_true(status == NW_OK || status == NW_ERROR_DATA || status == NW_ERROR_UNSUPPORTED);
        assert_true(status == NW_OK || strncmp(error.message, "test.onnx: ", 11) == 0);
        if (i < size)
            assert_int_not_equal(status, NW_OK);
        nw_model_free(model);
        free(copy);
    }
    free(bytes);
}

/* protobuf-c recurses once per nested message; the reader has to stop it before that. */
static void test_deep_nesting(void **state)
{
    (void)state;
    enum { LEVELS = 20000 };
    size_t size = 0, capacity = (size_t)LEVELS * 3 * 6;
    uint8_t *bytes = malloc(capacity), *at = bytes + capacity;
    assert_non_null(bytes);
    /* from the inside out: graph { node { attribute { g { node ... fields 7, 1, 5, 6 */
    for (int level = 0; level < LEVELS * 3; level++) {
        const int field = level == LEVELS * 3 - 1 ? 7 : level % 3 == 0 ? 5 : level % 3 == 1 ? 1 : 6;
        uint8_t header[6];
        size_t n = 0, rest = size;
        header[n++] = (uint8_t)(field << 3 | 2);
        do {
            header[n++] = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
            rest >>= 7;
        } while (rest);
        at -= n;
        memcpy(at, header, n);
        size += n;
    }
    nw_model *model = NULL;
    nw_error error = {{0}};
    assert_int_equal(nw_onnx_parse(&model, at, size, "deep.onnx", &error), NW_ERROR_DATA);
    assert_string_equal(error.message, "deep.onnx: is not an ONNX file, or is damaged");
    free(bytes);
}

static void test_missing_file(void **state)
{
    (void)state;
    nw_model *model = NULL;
    nw_error error = {{0}};
    assert_int_equal(nw_onnx_import(&model, "no/such/file.onnx", &error), NW_ERROR_DATA);
    assert_non_null(strstr(error.message, "no/such/file.onnx"));
    assert_int_equal(nw_onnx_parse(&model, (const uint8_t *)"", 0, "empty.onnx", &error), NW_ERROR_DATA);
    assert_string_equal(error.message, "empty.onnx: holds no graph");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_auto_pad),
        cmocka_unit_test(test_conv_transpose),
        cmocka_unit_test(test_output_padding_refused),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_clip_forms),
        cmocka_unit_test(test_constant_chain),
        cmocka_unit_test(test_flatten_by_shape),
        cmocka_unit_test(test_ceil_mode),
        cmocka_unit_test(test_old_softmax),
        cmocka_unit_test(test_initializer_listed_as_input),
        cmocka_unit_test(test_identities_disappear),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_shapes_refused),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_truncated_and_flipped),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
