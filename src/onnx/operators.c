/* SPDX-License-Identifier: Apache-2.0 */
/* The operators of ONNX's default domain that the import knows: accepted attributes, inputs, translations. */
#include <string.h>

#include "onnx/importer.h"

#define WINDOW "auto_pad kernel_shape pads strides dilations "
#define POOL WINDOW "ceil_mode count_include_pad "

/* name, attributes, inputs from .. to, translation to nodes, constant interpreter */
static const nw_operator operators[] = {
    {"Abs", "", 1, 1, NULL, nw_fold_unary},
    {"Add", "", 2, 2, nw_node_binary, nw_fold_binary},
    {"AveragePool", POOL, 1, 1, nw_node_average_pool, NULL},
    {"BatchNormalization", "epsilon momentum spatial training_mode ", 5, 5, nw_node_batch_norm, NULL},
    {"Cast", "to saturate ", 1, 1, NULL, nw_fold_cast},
    {"Ceil", "", 1, 1, NULL, nw_fold_unary},
    {"Clip", "min max ", 1, 3, nw_node_clip, NULL},
    {"Concat", "axis ", 1, NW_VARIADIC, nw_node_concat, nw_fold_concat},
    {"Constant", "value value_float value_floats value_int value_ints ", 0, 0, NULL, nw_fold_constant},
    {"ConstantOfShape", "value ", 1, 1, NULL, nw_fold_constant_of_shape},
    {"Conv", WINDOW "group ", 2, 3, nw_node_conv, NULL},
    {"ConvTranspose", WINDOW "group output_padding output_shape ", 2, 3, nw_node_conv_transpose, NULL},
    {"Div", "", 2, 2, nw_node_binary, nw_fold_binary},
    {"Dropout", "ratio seed ", 1, 3, nw_node_identity, NULL},
    {"Equal", "", 2, 2, NULL, nw_fold_binary},
    {"Exp", "", 1, 1, nw_node_unary, nw_fold_unary},
    {"Expand", "", 2, 2, NULL, nw_fold_expand},
    {"Flatten", "axis ", 1, 1, nw_node_reshape, nw_fold_reshape},
    {"Floor", "", 1, 1, NULL, nw_fold_unary},
    {"Gather", "axis ", 2, 2, nw_node_gather, nw_fold_gather},
    {"Gemm", "alpha beta transA transB ", 2, 3, nw_node_gemm, NULL},
    {"GlobalAveragePool", "", 1, 1, nw_node_global_average_pool, NULL},
    {"Greater", "", 2, 2, NULL, nw_fold_binary},
    {"HardSigmoid", "alpha beta ", 1, 1, nw_node_unary, NULL},
    {"HardSwish", "", 1, 1, nw_node_unary, NULL},
    {"Identity", "", 1, 1, nw_node_identity, nw_fold_identity},
    {"LeakyRelu", "alpha ", 1, 1, nw_node_unary, NULL},
    {"Less", "", 2, 2, NULL, nw_fold_binary},
    {"MatMul", "", 2, 2, nw_node_matmul, NULL},
    {"Max", "", 2, 2, NULL, nw_fold_binary},
    {"MaxPool", POOL "storage_order ", 1, 1, nw_node_max_pool, NULL},
    {"Min", "", 2, 2, NULL, nw_fold_binary},
    {"Mul", "", 2, 2, nw_node_binary, nw_fold_binary},
    {"Neg", "", 1, 1, NULL, nw_fold_unary},
    {"Pad", "mode pads value ", 1, 4, nw_node_pad, NULL},
    {"Pow", "", 2, 2, NULL, nw_fold_binary},
    {"Range", "", 3, 3, NULL, nw_fold_range},
    {"ReduceMean", "axes keepdims noop_with_empty_axes ", 1, 2, nw_node_reduce_mean, NULL},
    {"Relu", "", 1, 1, nw_node_unary, NULL},
    {"Reshape", "allowzero ", 2, 2, nw_node_reshape, nw_fold_reshape},
    {"Resize",
     "mode coordinate_transformation_mode nearest_mode cubic_coeff_a exclude_outside extrapolation_value antialias "
     "axes keep_aspect_ratio_policy scales ",
     1, 4, nw_node_resize, NULL},
    {"Shape", "start end ", 1, 1, nw_fold_shape, nw_fold_shape},
    {"Sigmoid", "", 1, 1, nw_node_unary, NULL},
    {"Slice", "starts ends axes ", 1, 5, nw_node_slice, nw_fold_slice},
    {"Softmax", "axis ", 1, 1, nw_node_softmax, NULL},
    {"Split", "axis split num_outputs ", 1, 2, nw_node_split, NULL},
    {"Sqrt", "", 1, 1, NULL, nw_fold_unary},
    {"Squeeze", "axes ", 1, 2, nw_node_reshape, nw_fold_reshape},
    {"Sub", "", 2, 2, nw_node_binary, nw_fold_binary},
    {"Tanh", "", 1, 1, nw_node_unary, NULL},
    {"Transpose", "perm ", 1, 1, nw_node_transpose, nw_fold_transpose},
    {"Unsqueeze", "axes ", 1, 2, nw_node_reshape, nw_fold_reshape},
    {"Upsample", "mode scales ", 1, 2, nw_node_resize, NULL},
    {"Where", "", 3, 3, NULL, nw_fold_where},
};

const nw_operator *nw_operator_find(const char *name)
{
    for (size_t i = 0; i < NW_COUNT(operators); i++)
        if (strcmp(operators[i].name, name) == 0)
            return &operators[i];
    return NULL;
}
