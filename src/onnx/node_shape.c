/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that move elements: the reshaping family, Transpose, Concat, Slice, Split, Gather. Resize is apart. */
#include <string.h>

#include "onnx/importer.h"

static nw_status emit_reshape(nw_call *call, int32_t input, const nw_shape *shape, int32_t output)
{
    const nw_shape in = nw_tensor_shape(call->im->model, input);
    if (nw_shape_equal(&in, shape))
        return nw_bind_tensor(call, output, input);
    if (shape->rank == 0)
        return nw_refuse(call, "a scalar result is not supported");
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_RESHAPE, 1, shape, output));
    node->inputs[0] = input;
    return NW_OK;
}

nw_status nw_node_reshape(nw_call *call)
{
    if (nw_call_input(call, 0)->kind != NW_VALUE_ACTIVATION)
        return nw_refuse(call, "a shape that is computed while the network runs is not supported");
    const nw_shape in = nw_input_shape(call, 0);
    nw_shape out;
    bool ok = false;
    NW_TRY(nw_rule_reshape(&out, &ok, call, &in));
    return ok ? emit_reshape(call, call->inputs[0].tensor, &out, 0) : NW_OK;
}

nw_status nw_node_transpose(nw_call *call)
{
    const nw_shape in = nw_input_shape(call, 0);
    int32_t perm[NW_MAX_RANK];
    nw_shape out;
    NW_TRY(nw_rule_transpose(perm, &out, call, &in));
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_TRANSPOSE, 1, &out, 0));
    node->inputs[0] = call->inputs[0].tensor;
    memcpy(node->perm, perm, (size_t)in.rank * sizeof(*perm));
    return NW_OK;
}

nw_status nw_node_concat(nw_call *call)
{
    nw_shape out = {0};
    int64_t axis = nw_attribute_int(call, "axis", 1), total = 0;
    for (int32_t i = 0; i < call->n_inputs; i++) {
        if (call->inputs[i].kind != NW_VALUE_ACTIVATION)
            return nw_refuse(call, "a constant input is not supported");
        nw_shape shape = nw_input_shape(call, i);
        if (i == 0) {
            out = shape;
            if (!nw_axis(&axis, out.rank))
                return nw_damaged(call, "axis %lld is outside its inputs' dimensions", (long long)axis);
        }
        if (shape.rank == out.rank) {
            total += shape.dims[axis];
            shape.dims[axis] = out.dims[axis];
        }
        if (!nw_shape_equal(&shape, &out))
            return nw_damaged(call, "its inputs do not fit each other");
    }
    if (axis == 0 && call->n_inputs > 1)
        return nw_refuse(call, "axis=0 would mix the samples of a batch");
    out.dims[axis] = total;
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_CONCAT, call->n_inputs, &out, 0));
    for (int32_t i = 0; i < call->n_inputs; i++)
        node->inputs[i] = call->inputs[i].tensor;
    node->axis = (int32_t)axis;
    return NW_OK;
}

/** A SLICE with the given ranges; the input itself when they take everything. */
static nw_status emit_slice(int32_t *result, nw_call *call, const nw_range ranges[NW_MAX_RANK], int32_t output)
{
    const nw_shape in = nw_input_shape(call, 0);
    nw_shape out = in;
    for (int32_t i = 0; i < in.rank; i++)
        out.dims[i] = ranges[i].n;
    *result = call->inputs[0].tensor;
    if (nw_shape_equal(&in, &out)) /* n elements out of n with a positive step are all of them */
        return output >= 0 ? nw_bind_tensor(call, output, *result) : NW_OK;
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_SLICE, 1, &out, output));
    node->inputs[0] = *result;
    for (int32_t i = 0; i < in.rank; i++) {
        node->starts[i] = (int32_t)ranges[i].start;
        node->steps[i] = (int32_t)(ranges[i].n > 1 ? ranges[i].step : 1);
    }
    *result = node->output;
    return NW_OK;
}

nw_status nw_node_slice(nw_call *call)
{
    if (nw_call_input(call, 0)->kind != NW_VALUE_ACTIVATION)
        return nw_refuse(call, "bounds that are computed while the network runs are not supported");
    const nw_shape in = nw_input_shape(call, 0);
    nw_range ranges[NW_MAX_RANK];
    bool ok = false;
    NW_TRY(nw_rule_slice(ranges, &ok, call, &in));
    if (!ok)
        return NW_OK;
    for (int32_t i = 0; i < in.rank; i++)
        if (ranges[i].step < 0 && in.dims[i] > 1)
            return nw_refuse(call, "a negative step on axis %d is not supported", i);
    int32_t result = NW_NONE;
    return emit_slice(&result, call, ranges, 0);
}

nw_status nw_node_split(nw_call *call)
{
    const nw_shape in = nw_input_shape(call, 0);
    const int64_t *sizes = NULL;
    const int64_t n = nw_list(call, "split", 1, &sizes);
    int64_t axis = nw_attribute_int(call, "axis", 0), at = 0;
    if (nw_call_input(call, 0)->kind != NW_VALUE_ACTIVATION || n == -2)
        return nw_refuse(call, "sizes that are computed while the network runs are not supported");
    if (!nw_axis(&axis, in.rank) || call->n_outputs < 1 || (n >= 0 && n != call->n_outputs))
        return nw_damaged(call, "its axis or its sizes are wrong");
    const int64_t even = (in.dims[axis] + call->n_outputs - 1) / call->n_outputs; /* the last part may be smaller */
    nw_range ranges[NW_MAX_RANK];
    for (int32_t i = 0; i < in.rank; i++)
        ranges[i] = (nw_range){0, 1, in.dims[i]};
    for (int32_t i = 0; i < call->n_outputs; i++) {
        const int64_t left = in.dims[axis] - at, size = n >= 0 ? sizes[i] : left < even ? left : even;
        if (size < 1 || size > left)
            return nw_damaged(call, "its parts do not fit its input");
        ranges[axis] = (nw_range){at, 1, size};
        int32_t result = NW_NONE;
        NW_TRY(emit_slice(&result, call, ranges, i));
        at += size;
    }
    return at == in.dims[axis] ? NW_OK : nw_damaged(call, "its parts do not make up its input");
}

/** Gather of one constant index: a slice of one element, and its axis removed. */
nw_status nw_node_gather(nw_call *call)
{
    const nw_constant *indices = nw_input_ints(call, 1);
    if (nw_call_input(call, 0)->kind != NW_VALUE_ACTIVATION || !indices || indices->n != 1 || indices->shape.rank > 1)
        return nw_refuse(call, "only one constant index is supported");
    const nw_shape in = nw_input_shape(call, 0);
    int64_t axis = nw_attribute_int(call, "axis", 0), index = indices->ints[0];
    if (!nw_axis(&axis, in.rank) || index < -in.dims[axis] || index >= in.dims[axis])
        return nw_damaged(call, "its axis or its index is out of range");
    nw_range ranges[NW_MAX_RANK];
    for (int32_t i = 0; i < in.rank; i++)
        ranges[i] = (nw_range){0, 1, in.dims[i]};
    ranges[axis] = (nw_range){index < 0 ? index + in.dims[axis] : index, 1, 1};
    int32_t slice = NW_NONE;
    if (indices->shape.rank == 1)
        return emit_slice(&slice, call, ranges, 0);
    NW_TRY(emit_slice(&slice, call, ranges, -1));
    nw_shape out = {0};
    for (int32_t i = 0; i < in.rank; i++)
        if (i != axis)
            out.dims[out.rank++] = in.dims[i];
    return emit_reshape(call, slice, &out, 0);
}
