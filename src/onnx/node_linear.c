/* SPDX-License-Identifier: Apache-2.0 */
/* Linear operators: Conv, ConvTranspose, Gemm, MatMul, and BatchNormalization. Weights have to be constants. */
#include <math.h>
#include <string.h>

#include "onnx/importer.h"
#include "onnx/window.h"

/** Each BATCH_NORM may become a layer with weights of its own; this bounds what a small file can make of them. */
#define MAX_NORM_CHANNELS 65536

/** Weights and bias of a convolution as model tensors. `channels`: how many the bias must have. */
static nw_status attach_weights(int32_t tensors[2], nw_call *call, int64_t channels)
{
    tensors[1] = NW_NONE;
    NW_TRY(nw_constant_tensor(&tensors[0], call, nw_input_floats(call, 1), call->node->input[1]));
    if (nw_call_input(call, 2)->kind == NW_VALUE_ABSENT)
        return NW_OK;
    nw_constant *bias = nw_input_floats(call, 2);
    if (bias->shape.rank != 1 || bias->n != channels)
        return nw_damaged(call, "its bias does not have %lld elements", (long long)channels);
    return nw_constant_tensor(&tensors[1], call, bias, call->node->input[2]);
}

/** What Conv and ConvTranspose have in common before anything is emitted. */
static nw_status read_conv(nw_window *window, int64_t *groups, bool *ok, nw_call *call)
{
    const nw_constant *weights = nw_input_floats(call, 1);
    *ok = false;
    if (nw_call_input(call, 0)->kind != NW_VALUE_ACTIVATION || !weights)
        return nw_refuse(call, "weights that are computed while the network runs are not supported");
    if (nw_call_input(call, 2)->kind != NW_VALUE_ABSENT && !nw_input_floats(call, 2))
        return nw_refuse(call, "a bias that is computed while the network runs is not supported");
    const nw_shape in = nw_input_shape(call, 0), *w = &weights->shape;
    if (in.rank != 4)
        return nw_refuse(call, "an input with %d dimensions is not supported, only N x C x H x W", in.rank);
    *groups = nw_attribute_int(call, "group", 1);
    if (w->rank != 4 || weights->n == 0 || *groups < 1 || *groups > in.dims[1])
        return nw_damaged(call, "its weights or its groups are wrong");
    return nw_window_read(window, ok, call, &in, &w->dims[2]);
}

static nw_status emit_conv(nw_call *call, nw_op op, const nw_window *window, int64_t groups, const nw_shape *out)
{
    int32_t tensors[2];
    NW_TRY(attach_weights(tensors, call, out->dims[1]));
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, op, 4, out, 0));
    node->inputs[0] = call->inputs[0].tensor;
    node->inputs[1] = tensors[0];
    node->inputs[2] = tensors[1];
    node->window = *window;
    node->groups = (int32_t)groups;
    return NW_OK;
}

nw_status nw_node_conv(nw_call *call)
{
    nw_window window;
    int64_t groups = 0;
    bool ok = false;
    NW_TRY(read_conv(&window, &groups, &ok, call));
    if (!ok)
        return NW_OK;
    const nw_shape in = nw_input_shape(call, 0), w = nw_input_shape(call, 1);
    if (w.dims[1] * groups != in.dims[1] || w.dims[0] % groups)
        return nw_damaged(call, "weights of %lld x %lld channels in %lld groups do not fit %lld input channels",
                          (long long)w.dims[0], (long long)w.dims[1], (long long)groups, (long long)in.dims[1]);
    nw_shape out = {.rank = 4, .dims = {in.dims[0], w.dims[0]}};
    for (int i = 0; i < 2; i++) {
        const int64_t span = (int64_t)(window.kernel[i] - 1) * window.dilation[i] + 1;
        const int64_t room = in.dims[2 + i] + window.pad[i] + window.pad[i + 2] - span;
        if (room < 0)
            return nw_damaged(call, "its kernel is larger than its padded input");
        out.dims[2 + i] = room / window.stride[i] + 1;
    }
    return emit_conv(call, NW_OP_CONV, &window, groups, &out);
}

/**
 * Output size of a transposed convolution: (in - 1) stride + span - pads + output_padding. The nw_window has no
 * output_padding, but a smaller end pad yields the same elements; only one that would become negative is refused.
 */
static nw_status transposed_size(int64_t *out, bool *ok, nw_call *call, nw_window *window, int axis, int64_t in)
{
    const int64_t *extra = NULL, *wanted = NULL;
    const int64_t n_extra = nw_attribute_ints(call, "output_padding", &extra);
    const int64_t n_wanted = nw_attribute_ints(call, "output_shape", &wanted);
    const int64_t span = (int64_t)(window->kernel[axis] - 1) * window->dilation[axis] + 1;
    const int64_t full = (in - 1) * window->stride[axis] + span;
    if ((n_extra >= 0 && n_extra != 2) || (n_wanted >= 0 && n_wanted != 2 && n_wanted != 4))
        return nw_damaged(call, "output_padding or output_shape does not have 2 entries");
    const int64_t padding = n_extra == 2 ? extra[axis] : 0;
    if (padding < 0 || padding > NW_MAX_WINDOW)
        return nw_damaged(call, "output_padding of %lld is out of range", (long long)padding);
    int64_t end = window->pad[axis + 2] - padding;
    char buffer[64];
    const char *auto_pad = nw_attribute_text(call, "auto_pad", "NOTSET", buffer);
    const bool same = strncmp(auto_pad, "SAME_", 5) == 0;
    if (n_wanted > 0 || same) {
        const int64_t target = n_wanted > 0 ? wanted[n_wanted - 2 + axis] : in * window->stride[axis];
        if (target < 1 || target > full + padding)
            return nw_refuse(call, "output_shape of %lld is not supported", (long long)target);
        const int64_t total = full + padding - target; /* ONNX splits it; the odd one goes to the end for SAME_UPPER */
        const bool upper = strcmp(auto_pad, "SAME_UPPER") == 0;
        window->pad[axis] = (int32_t)(upper ? total / 2 : total - total / 2);
        end = total - window->pad[axis] - padding;
    }
    if (end < 0)
        return nw_refuse(call, "output_padding larger than the end pad is not supported");
    window->pad[axis + 2] = (int32_t)end;
    *out = full - window->pad[axis] - end;
    *ok = true;
    return *out >= 1 ? NW_OK : nw_damaged(call, "its result is empty");
}

nw_status nw_node_conv_transpose(nw_call *call)
{
    nw_window window;
    int64_t groups = 0;
    bool ok = false;
    NW_TRY(read_conv(&window, &groups, &ok, call));
    if (!ok)
        return NW_OK;
    const nw_shape in = nw_input_shape(call, 0), w = nw_input_shape(call, 1);
    if (w.dims[0] != in.dims[1] || w.dims[0] % groups)
        return nw_damaged(call, "weights of %lld input channels in %lld groups do not fit %lld input channels",
                          (long long)w.dims[0], (long long)groups, (long long)in.dims[1]);
    nw_shape out = {.rank = 4, .dims = {in.dims[0], w.dims[1] * groups}};
    for (int axis = 0; axis < 2; axis++) {
        ok = false;
        NW_TRY(transposed_size(&out.dims[2 + axis], &ok, call, &window, axis, in.dims[2 + axis]));
        if (!ok)
            return NW_OK;
    }
    return emit_conv(call, NW_OP_CONV_TRANSPOSE, &window, groups, &out);
}

/** The weights of a matrix product as [O, K], times `alpha`. `transposed`: they are stored that way already. */
static nw_status gemm_weights(int32_t *tensor, nw_call *call, bool transposed, double alpha)
{
    const nw_constant *b = nw_input_floats(call, 1);
    const int64_t k = b->shape.dims[transposed], o = b->shape.dims[!transposed];
    const nw_shape shape = {.rank = 2, .dims = {o, k}};
    float *data = NULL;
    if (!nw_all_finite(b->floats, b->n))
        return nw_damaged(call, "its weights hold NaN or infinity");
    NW_TRY(nw_emit_constant(tensor, &data, call, "weights", &shape));
    for (int64_t i = 0; i < o; i++)
        for (int64_t j = 0; j < k; j++)
            data[i * k + j] = (float)(alpha * (double)b->floats[transposed ? i * k + j : j * o + i]);
    return nw_all_finite(data, b->n) ? NW_OK : nw_damaged(call, "alpha makes its weights infinite");
}

/** beta * C as [O]: C may be a scalar, [1], [O] or [1, O]. */
static nw_status gemm_bias(int32_t *tensor, nw_call *call, const nw_constant *c, int64_t o, double beta)
{
    const nw_shape shape = {.rank = 1, .dims = {o}};
    float *data = NULL;
    if (!nw_all_finite(c->floats, c->n))
        return nw_damaged(call, "its bias holds NaN or infinity");
    NW_TRY(nw_emit_constant(tensor, &data, call, "bias", &shape));
    for (int64_t i = 0; i < o; i++)
        data[i] = (float)(beta * (double)c->floats[c->n == 1 ? 0 : i]);
    return nw_all_finite(data, o) ? NW_OK : nw_damaged(call, "beta makes its bias infinite");
}

static nw_status emit_gemm(nw_call *call, bool transposed, double alpha, double beta)
{
    const nw_constant *b = nw_input_floats(call, 1);
    const nw_value *c = nw_call_input(call, 2);
    if (nw_call_input(call, 0)->kind != NW_VALUE_ACTIVATION || !b)
        return nw_refuse(call, "a product of two computed matrices is not supported");
    const nw_shape a = nw_input_shape(call, 0);
    if (a.rank != 2 || b->shape.rank != 2)
        return nw_refuse(call, "only a product of N x K with a constant matrix is supported");
    if (a.dims[1] != b->shape.dims[transposed] || b->n == 0)
        return nw_damaged(call, "its matrices do not fit each other");
    const nw_shape out = {.rank = 2, .dims = {a.dims[0], b->shape.dims[!transposed]}};
    const nw_constant *bias = nw_input_floats(call, 2);
    if (c->kind != NW_VALUE_ABSENT && !bias)
        return nw_refuse(call, "a bias that is computed while the network runs is not supported");
    if (bias && bias->n != 1 && (bias->n != out.dims[1] || bias->shape.dims[bias->shape.rank - 1] != bias->n))
        return nw_refuse(call, "a bias that is not one value per output is not supported");
    int32_t weights = NW_NONE, offsets = NW_NONE;
    NW_TRY(gemm_weights(&weights, call, transposed, alpha));
    if (bias)
        NW_TRY(gemm_bias(&offsets, call, bias, out.dims[1], beta));
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_GEMM, 3, &out, 0));
    node->inputs[0] = call->inputs[0].tensor;
    node->inputs[1] = weights;
    node->inputs[2] = offsets;
    return NW_OK;
}

nw_status nw_node_gemm(nw_call *call)
{
    if (nw_attribute_int(call, "transA", 0) != 0)
        return nw_refuse(call, "transA=1 is not supported");
    const bool transposed = nw_attribute_int(call, "transB", 0) != 0;
    return emit_gemm(call, transposed, (double)nw_attribute_float(call, "alpha", 1.0f),
                     (double)nw_attribute_float(call, "beta", 1.0f));
}

nw_status nw_node_matmul(nw_call *call)
{
    return emit_gemm(call, false, 1.0, 1.0);
}

nw_status nw_node_batch_norm(nw_call *call)
{
    const nw_shape in = nw_input_shape(call, 0);
    if (nw_call_input(call, 0)->kind != NW_VALUE_ACTIVATION || (in.rank != 4 && in.rank != 2))
        return nw_refuse(call, "only N x C x H x W and N x C inputs are supported");
    if (in.dims[1] > MAX_NORM_CHANNELS)
        return nw_refuse(call, "%lld channels are not supported", (long long)in.dims[1]);
    if (nw_attribute_int(call, "training_mode", 0) != 0 || nw_attribute_int(call, "spatial", 1) != 1)
        return nw_refuse(call, "only the inference form is supported; export the model in evaluation mode");
    int32_t tensors[4];
    for (int32_t i = 0; i < 4; i++) {
        nw_constant *constant = nw_input_floats(call, i + 1);
        if (!constant)
            return nw_refuse(call, "parameters that are not constant are not supported");
        if (constant->shape.rank != 1 || constant->n != in.dims[1])
            return nw_damaged(call, "its parameters do not have one value per channel");
        NW_TRY(nw_constant_tensor(&tensors[i], call, constant, call->node->input[i + 1]));
    }
    const float epsilon = nw_attribute_float(call, "epsilon", 1e-5f);
    const float *variance = call->im->model->tensors[tensors[3]].data;
    for (int64_t c = 0; c < in.dims[1]; c++)
        if (!(variance[c] + epsilon > 0.0f) || !isfinite(epsilon))
            return nw_damaged(call, "variance plus epsilon of channel %lld is not positive", (long long)c);
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_BATCH_NORM, 5, &in, 0));
    node->inputs[0] = call->inputs[0].tensor;
    memcpy(node->inputs + 1, tensors, sizeof(tensors));
    node->alpha = epsilon;
    return NW_OK;
}
