/* SPDX-License-Identifier: Apache-2.0 */
/* Part of nw_model_validate: each operator's rule of shapes. */
#include <string.h>

#include "model/validate.h"

static bool same_dims(const nw_tensor *a, const nw_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

static nw_status demand(const nw_check *check, bool good, const char *what)
{
    return good ? NW_OK : nw_check_fail(check, "%s", what);
}

/** Size along one axis of a window over `size`: floor((size + pads - extent) / stride) + 1, 0 if the window is larger.
 */
static int64_t window_size(const nw_window *window, int axis, int64_t size)
{
    const int64_t extent = (int64_t)window->dilation[axis] * (window->kernel[axis] - 1) + 1;
    const int64_t room = size + window->pad[axis] + window->pad[axis + 2] - extent;
    return room < 0 ? 0 : room / window->stride[axis] + 1;
}

/** The same for the transposed window: stride * (size - 1) + extent - pads. */
static int64_t transposed_size(const nw_window *window, int axis, int64_t size)
{
    const int64_t extent = (int64_t)window->dilation[axis] * (window->kernel[axis] - 1) + 1;
    return window->stride[axis] * (size - 1) + extent - window->pad[axis] - window->pad[axis + 2];
}

/**
 * Whether each of the windows along an axis has a tap inside [0, size). Window i starts at i * stride - pad; its first
 * tap at or above 0 must exist and be below `size`. Where the start is not negative that is the start itself, and the
 * last window is the worst. Where it is, the tap lies in [0, dilation).
 */
static bool windows_touch(const nw_window *window, int axis, int64_t size, int64_t n)
{
    const int64_t stride = window->stride[axis], pad = window->pad[axis], dilation = window->dilation[axis];
    if ((n - 1) * stride - pad >= size)
        return false;
    for (int64_t i = 0; i < n && i * stride < pad; i++) {
        const int64_t start = i * stride - pad;
        const int64_t k = (-start + dilation - 1) / dilation;
        if (k >= window->kernel[axis] || start + k * dilation >= size)
            return false;
    }
    return true;
}

static nw_status check_window(const nw_check *check, bool transposed)
{
    const nw_window *window = &check->node->window;
    const int64_t in[2] = {nw_tensor_height(check->x), nw_tensor_width(check->x)};
    const int64_t out[2] = {nw_tensor_height(check->y), nw_tensor_width(check->y)};
    for (int i = 0; i < 2; i++)
        if (window->kernel[i] < 1 || window->kernel[i] > NW_MAX_WINDOW || window->stride[i] < 1 ||
            window->stride[i] > NW_MAX_WINDOW || window->dilation[i] < 1 || window->dilation[i] > NW_MAX_WINDOW)
            return nw_check_fail(check, "kernel, stride and dilation must be 1 to %d", NW_MAX_WINDOW);
    for (int i = 0; i < 4; i++)
        if (window->pad[i] < 0 || window->pad[i] > NW_MAX_WINDOW)
            return nw_check_fail(check, "pads must be 0 to %d", NW_MAX_WINDOW);
    for (int i = 0; i < 2; i++) {
        const int64_t size = transposed ? transposed_size(window, i, in[i]) : window_size(window, i, in[i]);
        if (size != out[i])
            return nw_check_fail(check, "%s of the output is %lld, window and input give %lld", i ? "width" : "height",
                                 (long long)out[i], (long long)size);
    }
    const int64_t height = in[0] + window->pad[0] + window->pad[2], width = in[1] + window->pad[1] + window->pad[3];
    if (height * width > NW_MAX_ELEMENTS / nw_tensor_channels(check->x))
        return nw_check_fail(check, "its padded input has more than 2^30 elements");
    if (check->x->rank != check->y->rank && check->y->rank != 2) /* [N, C] stands for one pixel */
        return nw_check_fail(check, "the output must have as many axes as the input, or two");
    const nw_window *w = window;
    const bool plain = w->kernel[0] == 1 && w->kernel[1] == 1 && !w->pad[0] && !w->pad[1] && !w->pad[2] && !w->pad[3];
    return demand(check, check->x->rank == 4 || plain, "without height and width the kernel must be 1 x 1, unpadded");
}

static nw_status check_linear(const nw_check *check)
{
    const nw_node *node = check->node;
    const nw_linear *linear = node->linear;
    const int64_t in = nw_tensor_channels(check->x), out = nw_tensor_channels(check->y);
    NW_TRY(demand(check, check->y->rank == 2 || check->y->rank == 4, "the output must have 2 or 4 axes"));
    NW_TRY(check_window(check, node->op == NW_OP_CONV_TRANSPOSE));
    NW_TRY(demand(check, node->groups >= 1 && in % node->groups == 0 && out % node->groups == 0,
                  "groups must divide the channels of input and output"));
    const int64_t taps = (int64_t)node->window.kernel[0] * node->window.kernel[1];
    const int64_t channels = in / node->groups;
    if (linear->n_channels != out || taps > INT32_MAX / channels || linear->k != taps * channels)
        return nw_check_fail(check, "weights are [%d, %d], the shapes need [%lld, %lld]", (int)linear->n_channels,
                             (int)linear->k, (long long)out, (long long)(taps * channels));
    NW_TRY(demand(check, linear->k <= NW_MAX_K, "more than 2^23 weights in a row"));
    const int64_t phases = (int64_t)node->groups * node->window.stride[0] * node->window.stride[1];
    NW_TRY(demand(check, node->op == NW_OP_CONV || phases <= NW_MAX_PHASES, "groups and strides give too many phases"));
    const int32_t residual = nw_node_residual(node);
    return demand(check, residual == NW_NONE || same_dims(&check->model->tensors[residual], check->y),
                  "the residual must have the shape of the output");
}

static nw_status check_pool(const nw_check *check)
{
    const nw_window *window = &check->node->window;
    NW_TRY(check_window(check, false));
    NW_TRY(demand(check, nw_tensor_channels(check->x) == nw_tensor_channels(check->y),
                  "input and output must have the same channels"));
    NW_TRY(demand(check,
                  windows_touch(window, 0, nw_tensor_height(check->x), nw_tensor_height(check->y)) &&
                      windows_touch(window, 1, nw_tensor_width(check->x), nw_tensor_width(check->y)),
                  "a window lies outside the picture altogether"));
    const int64_t area = (int64_t)window->kernel[0] * window->kernel[1];
    return demand(check, check->node->op == NW_OP_MAX_POOL || area <= 1 << 23, "a window of more than 2^23 elements");
}

static nw_status check_concat(const nw_check *check)
{
    const nw_node *node = check->node;
    const nw_tensor *y = check->y;
    const int32_t axis = node->axis;
    int64_t sum = 0;
    NW_TRY(demand(check, y->type == NW_TYPE_U8 ? axis == 1 : axis >= 1 && axis < y->rank, "axis is out of range"));
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const nw_tensor *x = &check->model->tensors[node->inputs[i]];
        bool same = x->rank == y->rank;
        for (int32_t d = 0; same && d < y->rank; d++)
            same = d == axis || x->dims[d] == y->dims[d];
        if (!same)
            return nw_check_fail(check, "input \"%.80s\" differs from the output in more than the joined axis",
                                 x->name);
        sum += x->dims[axis];
    }
    return demand(check, sum == y->dims[axis], "the joined axis is not the sum of the inputs'");
}

static nw_status check_slice(const nw_check *check)
{
    const nw_node *node = check->node;
    NW_TRY(demand(check, check->x->rank == check->y->rank, "input and output must have the same number of axes"));
    for (int32_t i = 0; i < check->y->rank; i++) {
        const int64_t last = node->starts[i] + (int64_t)node->steps[i] * (check->y->dims[i] - 1);
        if (node->starts[i] < 0 || node->steps[i] < 1 || last >= check->x->dims[i])
            return nw_check_fail(check, "axis %d reaches outside the input", (int)i);
    }
    return NW_OK;
}

static nw_status check_pad(const nw_check *check)
{
    const nw_node *node = check->node;
    const int32_t rank = check->y->rank;
    NW_TRY(demand(check, check->x->rank == rank, "input and output must have the same number of axes"));
    NW_TRY(demand(check, node->alpha == 0.0f, "only zero can be padded"));
    for (int32_t i = 0; i < rank; i++) {
        const int64_t begin = node->pads[i], end = node->pads[rank + i];
        if (begin < 0 || end < 0 || check->x->dims[i] + begin + end != check->y->dims[i])
            return nw_check_fail(check, "axis %d of the output is not the padded input", (int)i);
    }
    return NW_OK;
}

static nw_status check_transpose(const nw_check *check)
{
    const int32_t rank = check->y->rank;
    unsigned seen = 0;
    NW_TRY(demand(check, check->x->rank == rank && check->node->perm[0] == 0, "the batch must stay the first axis"));
    for (int32_t i = 0; i < rank; i++) {
        const int32_t from = check->node->perm[i];
        if (from < 0 || from >= rank || seen >> from & 1u || check->x->dims[from] != check->y->dims[i])
            return nw_check_fail(check, "perm is no permutation that gives the shape of the output");
        seen |= 1u << from;
    }
    return NW_OK;
}

static nw_status check_resize(const nw_check *check)
{
    const nw_tensor *x = check->x, *y = check->y;
    const nw_node *node = check->node;
    NW_TRY(demand(check, x->rank == 4 && y->rank == 4 && x->dims[1] == y->dims[1],
                  "input and output must have four axes and the same channels"));
    for (int32_t i = 2; i < 4; i++)
        NW_TRY(demand(check, x->dims[i] <= NW_MAX_RESIZE && y->dims[i] <= NW_MAX_RESIZE,
                      "height and width must be at most 65536"));
    return demand(check, (node->resize_mode == NW_RESIZE_NEAREST || node->resize_mode == NW_RESIZE_LINEAR) &&
                             (unsigned)node->resize_coordinates <= NW_COORDINATES_ASYMMETRIC,
                  "has an unknown mode or coordinates");
}

/** One operand of an elementwise float operator: a constant broadcasts as in ONNX, an activation within its rank. */
static bool broadcasts(const nw_tensor *a, const nw_tensor *y)
{
    const int32_t missing = y->rank - a->rank;
    if (missing < 0 || (missing && !a->data) || (!missing && y->rank && a->dims[0] != 1))
        return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != 1 && a->dims[i] != y->dims[missing + i])
            return false;
    return true;
}

/** [1, C, 1, 1] for a picture of C channels. */
static bool one_pixel(const nw_tensor *b, const nw_tensor *y)
{
    return b->rank == 4 && y->rank == 4 && b->dims[1] == y->dims[1] && b->dims[2] == 1 && b->dims[3] == 1;
}

static nw_status check_binary(const nw_check *check)
{
    const nw_tensor *a = check->x, *b = &check->model->tensors[check->node->inputs[1]], *y = check->y;
    if (y->type == NW_TYPE_U8)
        return demand(check, same_dims(a, y) && (same_dims(b, y) || (check->node->op == NW_OP_MUL && one_pixel(b, y))),
                      "both inputs must have the shape of the output");
    bool good = broadcasts(a, y) && broadcasts(b, y);
    for (int32_t i = 1; good && i <= y->rank; i++) { /* from the last axis: the larger of the two operands' */
        const int32_t in_a = i <= a->rank ? a->dims[a->rank - i] : 1, in_b = i <= b->rank ? b->dims[b->rank - i] : 1;
        good = y->dims[y->rank - i] == (in_a > in_b ? in_a : in_b);
    }
    return demand(check, good, "the shapes of inputs and output do not fit");
}

nw_status nw_check_shapes(const nw_check *check)
{
    switch (check->node->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
        return check_linear(check);
    case NW_OP_MAX_POOL:
    case NW_OP_AVERAGE_POOL:
        return check_pool(check);
    case NW_OP_CONCAT:
        return check_concat(check);
    case NW_OP_SLICE:
        return check_slice(check);
    case NW_OP_PAD:
        return check_pad(check);
    case NW_OP_TRANSPOSE:
        return check_transpose(check);
    case NW_OP_RESIZE:
        return check_resize(check);
    case NW_OP_RESHAPE:
        return demand(check, nw_tensor_elements(check->x) == nw_tensor_elements(check->y),
                      "input and output must have as many elements");
    case NW_OP_ADD:
    case NW_OP_SUB:
    case NW_OP_MUL:
    case NW_OP_DIV:
        return check_binary(check);
    case NW_OP_SOFTMAX:
        NW_TRY(demand(check, check->node->axis >= 1 && check->node->axis < check->y->rank, "axis is out of range"));
        return demand(check, same_dims(check->x, check->y), "input and output must have the same shape");
    default: /* elementwise */
        return demand(check, same_dims(check->x, check->y), "input and output must have the same shape");
    }
}
