/* SPDX-License-Identifier: Apache-2.0 */
/* See window.h. */
#include "onnx/window.h"

#include <string.h>

/** Two integers of a list attribute within [lowest, highest], or `missing` for both. */
static nw_status read_pair(int32_t pair[2], nw_call *call, const char *name, int32_t missing)
{
    const int64_t *values = NULL;
    const int64_t n = nw_attribute_ints(call, name, &values);
    pair[0] = pair[1] = missing;
    if (n < 0)
        return NW_OK;
    if (n != 2)
        return nw_damaged(call, "%s has %lld entries, not 2", name, (long long)n);
    for (int i = 0; i < 2; i++) {
        if (values[i] < 1 || values[i] > NW_MAX_WINDOW)
            return nw_damaged(call, "%s of %lld is outside 1 to %d", name, (long long)values[i], NW_MAX_WINDOW);
        pair[i] = (int32_t)values[i];
    }
    return NW_OK;
}

static nw_status read_kernel(nw_window *window, nw_call *call, const int64_t kernel[2])
{
    NW_TRY(read_pair(window->kernel, call, "kernel_shape", 0));
    for (int i = 0; i < 2; i++) {
        if (kernel && window->kernel[i] == 0 && kernel[i] <= NW_MAX_WINDOW)
            window->kernel[i] = (int32_t)kernel[i];
        if (window->kernel[i] == 0 || (kernel && window->kernel[i] != kernel[i]))
            return nw_damaged(call, "kernel_shape is missing or differs from its weights");
    }
    return NW_OK;
}

/** SAME: the output has ceil(in / stride) elements; an odd pad goes to the end (upper) or the begin (lower). */
static void resolve_same(nw_window *window, const nw_shape *in, bool upper)
{
    for (int i = 0; i < 2; i++) {
        const int64_t stride = window->stride[i], size = in->dims[2 + i];
        const int64_t span = (int64_t)(window->kernel[i] - 1) * window->dilation[i] + 1;
        int64_t total = ((size + stride - 1) / stride - 1) * stride + span - size;
        total = total < 0 ? 0 : total;
        window->pad[i] = (int32_t)(upper ? total / 2 : total - total / 2);
        window->pad[i + 2] = (int32_t)(total - window->pad[i]);
    }
}

static nw_status read_pads(nw_window *window, bool *ok, nw_call *call, const nw_shape *in)
{
    char buffer[64];
    const char *auto_pad = nw_attribute_text(call, "auto_pad", "NOTSET", buffer);
    const int64_t *values = NULL;
    const int64_t n = nw_attribute_ints(call, "pads", &values);
    memset(window->pad, 0, sizeof(window->pad));
    *ok = true;
    if (strcmp(auto_pad, "VALID") == 0)
        return NW_OK;
    if (strcmp(auto_pad, "SAME_UPPER") == 0 || strcmp(auto_pad, "SAME_LOWER") == 0) {
        resolve_same(window, in, strcmp(auto_pad, "SAME_UPPER") == 0);
        return NW_OK;
    }
    if (strcmp(auto_pad, "NOTSET") != 0 && auto_pad[0]) {
        *ok = false;
        return nw_refuse(call, "auto_pad=%s is not supported", auto_pad);
    }
    if (n >= 0 && n != 4)
        return nw_damaged(call, "pads has %lld entries, not 4", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        if (values[i] < 0 || values[i] > NW_MAX_WINDOW) {
            *ok = false;
            return nw_refuse(call, "a pad of %lld is not supported", (long long)values[i]);
        }
        window->pad[i] = (int32_t)values[i];
    }
    return NW_OK;
}

nw_status nw_window_read(nw_window *window, bool *ok, nw_call *call, const nw_shape *in, const int64_t kernel[2])
{
    *ok = false;
    if (in->rank != 4)
        return nw_refuse(call, "an input with %d dimensions is not supported, only N x C x H x W", in->rank);
    memset(window, 0, sizeof(*window));
    NW_TRY(read_kernel(window, call, kernel));
    NW_TRY(read_pair(window->stride, call, "strides", 1));
    NW_TRY(read_pair(window->dilation, call, "dilations", 1));
    return read_pads(window, ok, call, in);
}
