/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators with a window over H and W, except the convolutions: MaxPool, AveragePool, GlobalAveragePool, ReduceMean
 * over the plane, Pad. Windows are read by window.c.
 */
#include <string.h>

#include "onnx/importer.h"
#include "onnx/window.h"

/** True when every window along the axis covers at least one element of the input. */
static bool windows_touch(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad, int64_t out)
{
    for (int64_t o = 0; o < out && o * stride < pad; o++) {
        const int64_t missing = pad - o * stride, k = (missing + dilation - 1) / dilation; /* first tap past the pad */
        if (k >= kernel || k * dilation - missing >= in)
            return false;
    }
    return (out - 1) * stride - pad < in;
}

/**
 * Size of a pooled axis. With ceil_mode the end pad grows until rounding down gives the size that rounding up did,
 * except that no window may start behind the input and its begin pad.
 */
static int64_t pooled_size(nw_window *window, int axis, int64_t in, bool ceil_mode)
{
    const int64_t stride = window->stride[axis], pads = (int64_t)window->pad[axis] + window->pad[axis + 2];
    const int64_t span = (int64_t)(window->kernel[axis] - 1) * window->dilation[axis] + 1;
    const int64_t room = in + pads - span;
    if (room < 0)
        return 0;
    int64_t out = room / stride + 1;
    if (ceil_mode && room % stride && out * stride < in + window->pad[axis]) {
        window->pad[axis + 2] += (int32_t)(stride - room % stride);
        out++;
    }
    return out;
}

static nw_status pool(nw_call *call, nw_op op)
{
    const nw_shape in = nw_input_shape(call, 0);
    nw_window window;
    bool ok = false;
    NW_TRY(nw_window_read(&window, &ok, call, &in, NULL));
    if (!ok)
        return NW_OK;
    if (call->n_outputs > 1 && call->node->output[1][0])
        NW_TRY(nw_define(call->im, call->node->output[1],
                         &(nw_value){.kind = NW_VALUE_REFUSED, .tensor = NW_NONE, .unsupported_output = true}));
    const bool ceil_mode = nw_attribute_int(call, "ceil_mode", 0) != 0;
    const bool include_pad = nw_attribute_int(call, "count_include_pad", 0) != 0;
    if (op == NW_OP_MAX_POOL && nw_attribute_int(call, "storage_order", 0) != 0)
        return nw_refuse(call, "storage_order=1 is not supported");
    nw_shape out = in;
    const nw_window stated = window;
    for (int axis = 0; axis < 2; axis++) {
        const int64_t size = in.dims[2 + axis];
        out.dims[2 + axis] = pooled_size(&window, axis, size, ceil_mode);
        if (out.dims[2 + axis] < 1 || !windows_touch(size, window.kernel[axis], window.stride[axis],
                                                     window.dilation[axis], window.pad[axis], out.dims[2 + axis]))
            return nw_damaged(call, "a window lies outside its input");
    }
    if (op == NW_OP_AVERAGE_POOL && include_pad && memcmp(stated.pad, window.pad, sizeof(stated.pad)) != 0)
        return nw_refuse(call, "ceil_mode=1 with count_include_pad=1 is not supported where the last window is cut");
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, op, 1, &out, 0));
    node->inputs[0] = call->inputs[0].tensor;
    node->window = window;
    node->count_include_pad = op == NW_OP_AVERAGE_POOL && include_pad;
    return NW_OK;
}

nw_status nw_node_max_pool(nw_call *call)
{
    return pool(call, NW_OP_MAX_POOL);
}

nw_status nw_node_average_pool(nw_call *call)
{
    return pool(call, NW_OP_AVERAGE_POOL);
}

/** Average over the whole plane; `keep` leaves [N, C, 1, 1], otherwise [N, C]. */
static nw_status plane_average(nw_call *call, bool keep)
{
    const nw_shape in = nw_input_shape(call, 0);
    if (in.rank != 4)
        return nw_refuse(call, "an input with %d dimensions is not supported, only N x C x H x W", in.rank);
    nw_shape out = in;
    out.dims[2] = out.dims[3] = 1;
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_AVERAGE_POOL, 1, &out, keep ? 0 : -1));
    node->inputs[0] = call->inputs[0].tensor;
    for (int axis = 0; axis < 2; axis++) {
        node->window.kernel[axis] = (int32_t)in.dims[2 + axis];
        node->window.stride[axis] = node->window.dilation[axis] = 1;
    }
    if (keep)
        return NW_OK;
    const int32_t pooled = node->output;
    out.rank = 2;
    NW_TRY(nw_emit(&node, call, NW_OP_RESHAPE, 1, &out, 0));
    node->inputs[0] = pooled;
    return NW_OK;
}

nw_status nw_node_global_average_pool(nw_call *call)
{
    return plane_average(call, true);
}

nw_status nw_node_reduce_mean(nw_call *call)
{
    const nw_shape in = nw_input_shape(call, 0);
    const int64_t *axes = NULL;
    const int64_t n = nw_list(call, "axes", 1, &axes);
    int64_t a = n == 2 ? axes[0] : 0, b = n == 2 ? axes[1] : 0;
    if (in.rank != 4 || !nw_axis(&a, 4) || !nw_axis(&b, 4) || a + b != 5 || (a != 2 && b != 2))
        return nw_refuse(call, "only the mean over H and W of N x C x H x W is supported");
    return plane_average(call, nw_attribute_int(call, "keepdims", 1) != 0);
}

/** Pad amounts of `in`'s axes, from opset 2's attribute, opset 11's input or opset 18's input with axes. */
static nw_status read_pads(int64_t pads[2 * NW_MAX_RANK], bool *ok, nw_call *call, const nw_shape *in)
{
    const int64_t *given = NULL, *axes = NULL;
    const int64_t n = nw_list(call, "pads", 1, &given), n_axes = nw_list(call, NULL, 3, &axes);
    *ok = false;
    if (n < 0 || n_axes == -2)
        return nw_refuse(call, "its pads are not constant");
    const int64_t listed = n_axes >= 0 ? n_axes : in->rank;
    if (n != 2 * listed || listed > in->rank)
        return nw_damaged(call, "it has %lld pads for %d dimensions", (long long)n, in->rank);
    memset(pads, 0, 2 * NW_MAX_RANK * sizeof(*pads));
    for (int64_t i = 0; i < listed; i++) {
        int64_t axis = n_axes >= 0 ? axes[i] : i;
        if (!nw_axis(&axis, in->rank))
            return nw_damaged(call, "axis %lld is outside its input's dimensions", (long long)axis);
        pads[axis] = given[i];
        pads[in->rank + axis] = given[listed + i];
    }
    *ok = true;
    return NW_OK;
}

static nw_status read_pad_value(float *value, bool *ok, nw_call *call)
{
    char buffer[64];
    const char *mode = nw_attribute_text(call, "mode", "constant", buffer);
    *ok = false;
    if (strcmp(mode, "constant") != 0)
        return nw_refuse(call, "mode=%s is not supported, only constant", mode);
    *value = nw_attribute_float(call, "value", 0.0f);
    if (nw_call_input(call, 2)->kind != NW_VALUE_ABSENT) {
        const nw_constant *constant = nw_input_floats(call, 2);
        if (!constant || constant->n != 1)
            return nw_refuse(call, "its value is not a constant float");
        *value = constant->floats[0];
    }
    *ok = true;
    return NW_OK;
}

nw_status nw_node_pad(nw_call *call)
{
    const nw_shape in = nw_input_shape(call, 0);
    int64_t pads[2 * NW_MAX_RANK];
    float value = 0;
    bool ok = false;
    NW_TRY(read_pad_value(&value, &ok, call));
    if (ok)
        NW_TRY(read_pads(pads, &ok, call, &in));
    if (!ok)
        return NW_OK;
    nw_shape out = in;
    for (int32_t i = 0; i < in.rank; i++) {
        const int64_t before = pads[i], after = pads[in.rank + i];
        if (before < 0 || after < 0)
            return nw_refuse(call, "negative pads are not supported");
        if (before > NW_MAX_DIMENSION || after > NW_MAX_DIMENSION)
            return nw_damaged(call, "a pad is larger than %lld", (long long)NW_MAX_DIMENSION);
        out.dims[i] += before + after;
    }
    if (nw_shape_equal(&in, &out))
        return nw_bind_tensor(call, 0, call->inputs[0].tensor);
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_PAD, 1, &out, 0));
    node->inputs[0] = call->inputs[0].tensor;
    node->alpha = value;
    for (int32_t i = 0; i < 2 * in.rank; i++)
        node->pads[i] = (int32_t)pads[i];
    return NW_OK;
}
