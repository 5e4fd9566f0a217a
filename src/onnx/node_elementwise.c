/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise operators: activations, Clip, Add and its kin, Softmax; Identity and Dropout, which disappear. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "onnx/importer.h"

nw_status nw_node_identity(nw_call *call)
{
    if (call->n_outputs > 1 && call->node->output[1][0]) /* Dropout's mask */
        NW_TRY(nw_define(call->im, call->node->output[1],
                         &(nw_value){.kind = NW_VALUE_REFUSED, .tensor = NW_NONE, .unsupported_output = true}));
    if (nw_call_input(call, 2)->kind != NW_VALUE_ABSENT) {
        const nw_constant *training = nw_input_ints(call, 2);
        if (!training || training->n != 1 || training->ints[0])
            return nw_refuse(call, "training mode is not supported; export the model in evaluation mode");
    }
    return nw_bind_tensor(call, 0, call->inputs[0].tensor);
}

typedef struct unary {
    const char *name;
    nw_op op;
    float alpha, beta; /* defaults of ONNX */
} unary;

static const unary unaries[] = {
    {"Relu", NW_OP_RELU, 0, 0},
    {"Sigmoid", NW_OP_SIGMOID, 0, 0},
    {"Tanh", NW_OP_TANH, 0, 0},
    {"Exp", NW_OP_EXP, 0, 0},
    {"HardSigmoid", NW_OP_HARD_SIGMOID, 0.2f, 0.5f},
    {"HardSwish", NW_OP_HARD_SWISH, 0, 0},
    {"LeakyRelu", NW_OP_LEAKY_RELU, 0.01f, 0},
};

nw_status nw_node_unary(nw_call *call)
{
    const unary *found = unaries;
    while (strcmp(found->name, call->op) != 0)
        found++;
    const float alpha = nw_attribute_float(call, "alpha", found->alpha);
    const float beta = nw_attribute_float(call, "beta", found->beta);
    if (!isfinite(alpha) || !isfinite(beta))
        return nw_damaged(call, "alpha or beta is not finite");
    const nw_shape shape = nw_input_shape(call, 0);
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, found->op, 1, &shape, 0));
    node->inputs[0] = call->inputs[0].tensor;
    node->alpha = alpha;
    node->beta = beta;
    return NW_OK;
}

/** One bound of Clip: input `i` since opset 11, attribute `name` before. */
static nw_status read_bound(float *bound, bool *ok, nw_call *call, int32_t i, const char *name, float missing)
{
    *bound = nw_attribute_float(call, name, missing);
    if (nw_call_input(call, i)->kind != NW_VALUE_ABSENT) {
        const nw_constant *constant = nw_input_floats(call, i);
        if (!constant || constant->n != 1) {
            *ok = false;
            return nw_refuse(call, "its %s is not a constant float", name);
        }
        *bound = constant->floats[0];
    }
    if (fabsf(*bound) >= FLT_MAX) /* how opset 6 writes "no bound" */
        *bound = copysignf(INFINITY, *bound);
    return NW_OK;
}

nw_status nw_node_clip(nw_call *call)
{
    float lo = 0, hi = 0;
    bool ok = true;
    if (nw_call_input(call, 0)->kind != NW_VALUE_ACTIVATION)
        return nw_refuse(call, "a constant cannot be clipped by computed bounds");
    NW_TRY(read_bound(&lo, &ok, call, 1, "min", -INFINITY));
    NW_TRY(read_bound(&hi, &ok, call, 2, "max", INFINITY));
    if (!ok)
        return NW_OK;
    if (!(lo <= hi) || lo == INFINITY || hi == -INFINITY)
        return nw_damaged(call, "its bounds %g and %g are no range", (double)lo, (double)hi);
    const nw_shape shape = nw_input_shape(call, 0);
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_CLIP, 1, &shape, 0));
    node->inputs[0] = call->inputs[0].tensor;
    node->lo = lo;
    node->hi = hi;
    return NW_OK;
}

nw_status nw_node_binary(nw_call *call)
{
    static const struct {
        const char *name;
        nw_op op;
    } binaries[] = {{"Add", NW_OP_ADD}, {"Sub", NW_OP_SUB}, {"Mul", NW_OP_MUL}, {"Div", NW_OP_DIV}};
    nw_op op = NW_OP_ADD;
    for (size_t i = 0; i < NW_COUNT(binaries); i++)
        if (strcmp(binaries[i].name, call->op) == 0)
            op = binaries[i].op;
    const nw_shape a = nw_input_shape(call, 0), b = nw_input_shape(call, 1);
    nw_shape out;
    if (!nw_shape_broadcast(&out, &a, &b))
        return nw_damaged(call, "its two inputs do not fit each other");
    int32_t tensors[2];
    for (int32_t i = 0; i < 2; i++) {
        tensors[i] = call->inputs[i].tensor;
        if (call->inputs[i].kind == NW_VALUE_ACTIVATION)
            continue;
        nw_constant *constant = nw_input_floats(call, i);
        if (!constant)
            return nw_refuse(call, "an integer input is not supported");
        NW_TRY(nw_constant_tensor(&tensors[i], call, constant, call->node->input[i]));
    }
    const bool swap = call->inputs[0].kind == NW_VALUE_CONSTANT && (op == NW_OP_ADD || op == NW_OP_MUL);
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, op, 2, &out, 0));
    node->inputs[0] = tensors[swap]; /* a constant operand stands second wherever the order is free */
    node->inputs[1] = tensors[!swap];
    return NW_OK;
}

static nw_status emit_softmax(nw_call *call, int32_t input, const nw_shape *shape, int64_t axis, int32_t output,
                              int32_t *result)
{
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_SOFTMAX, 1, shape, output));
    node->inputs[0] = input;
    node->axis = (int32_t)axis;
    *result = node->output;
    return NW_OK;
}

/** Opsets before 13 take everything from the axis on as one long axis. */
static nw_status flat_softmax(nw_call *call, const nw_shape *shape, int64_t axis)
{
    nw_shape flat = {.rank = (int32_t)axis + 1};
    int64_t longest = axis;
    int32_t n_long = 0;
    memcpy(flat.dims, shape->dims, sizeof(flat.dims));
    for (int32_t i = (int32_t)axis + 1; i < shape->rank; i++)
        flat.dims[axis] *= shape->dims[i];
    for (int32_t i = (int32_t)axis; i < shape->rank; i++)
        if (shape->dims[i] > 1) {
            n_long++;
            longest = i;
        }
    int32_t tensor = call->inputs[0].tensor;
    if (n_long <= 1)
        return emit_softmax(call, tensor, shape, longest, 0, &tensor);
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_RESHAPE, 1, &flat, -1));
    node->inputs[0] = tensor;
    NW_TRY(emit_softmax(call, node->output, &flat, axis, -1, &tensor));
    NW_TRY(nw_emit(&node, call, NW_OP_RESHAPE, 1, shape, 0));
    node->inputs[0] = tensor;
    return NW_OK;
}

nw_status nw_node_softmax(nw_call *call)
{
    const bool flattens = call->im->opset < 13;
    const nw_shape shape = nw_input_shape(call, 0);
    int64_t axis = nw_attribute_int(call, "axis", flattens ? 1 : -1);
    if (!nw_axis(&axis, shape.rank))
        return nw_damaged(call, "axis %lld is outside its input's dimensions", (long long)axis);
    if (axis == 0)
        return nw_refuse(call, "axis=0 would mix the samples of a batch");
    int32_t result = NW_NONE;
    return flattens ? flat_softmax(call, &shape, axis)
                    : emit_softmax(call, call->inputs[0].tensor, &shape, axis, 0, &result);
}
