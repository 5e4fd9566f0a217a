/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a node of the graph to steps of the float engine: one function per kind of operator. Each asks oneDNN first and
 * takes the loop in plain.c when oneDNN declines. Inputs come from plan.c in whatever layout the operator wants.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "float/plan.h"

static const nw_node *node_at(const nw_float_engine *engine, int32_t index)
{
    return &engine->model->nodes[index];
}

static int32_t input_of(const nw_node *node, int32_t i)
{
    return i < node->n_inputs ? node->inputs[i] : NW_NONE;
}

static int32_t rank_of(const nw_float_engine *engine, int32_t tensor)
{
    return engine->model->tensors[tensor].rank;
}

static bool same_dims(const int64_t a[4], const int64_t b[4])
{
    return memcmp(a, b, 4 * sizeof(*a)) == 0;
}

/* The result of an operator that may write over `source`: the same memory if nobody reads it afterwards. */
static nw_status result_over(nw_float_engine *engine, int32_t tensor, int32_t source, const nw_dnn_layout *layout,
                             int32_t *out)
{
    const bool over = nw_plan_may_overwrite(engine, source);
    const nw_dnn_layout copy = *layout; /* it may lie in the array that grows */
    return nw_plan_buffer(engine, tensor, &copy, over ? engine->buffers[source].storage : NW_NONE, out);
}

/* ---- plain.c ---- */

/* Every input and the result dense. */
static nw_status lower_plain(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    nw_plain_fn *fn = nw_plain_find(node->op);
    if (!fn)
        return NW_ERROR_UNSUPPORTED;
    int64_t dims[4];
    nw_dnn_layout layout;
    int32_t result;
    nw_status status = NW_ERROR_MEMORY;
    int32_t *inputs = calloc((size_t)node->n_inputs + 1, sizeof(*inputs));
    if (!inputs)
        return status;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        inputs[i] = NW_NONE;
        if (node->inputs[i] == NW_NONE)
            continue;
        status = nw_plan_want_dense(engine, index, node->inputs[i], &inputs[i]);
        if (status)
            goto cleanup;
    }
    nw_plan_dims(engine, node->output, dims);
    nw_dnn_layout_plain(&layout, dims);
    status = nw_plan_buffer(engine, node->output, &layout, NW_NONE, &result);
    if (!status)
        status = nw_plan_plain(engine, index, fn, inputs, node->n_inputs, result, 1);
    if (!status)
        nw_plan_produce(engine, result);

cleanup:
    free(inputs);
    return status;
}

/* ---- linear ---- */

static bool linear_shape(const nw_float_engine *engine, const nw_node *node, nw_dnn_linear_shape *shape)
{
    const bool gemm = node->op == NW_OP_GEMM;
    const int32_t x = input_of(node, 0), w = input_of(node, 1), bias = input_of(node, 2);
    if (x == NW_NONE || w == NW_NONE || !engine->model->tensors[w].data)
        return false;
    nw_plan_dims(engine, x, shape->source);
    nw_plan_dims(engine, node->output, shape->result);
    shape->groups = gemm ? 1 : node->groups;
    shape->window = gemm ? (nw_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}} : node->window;
    shape->add_to_result = !gemm && input_of(node, 3) != NW_NONE;
    shape->lo = node->lo;
    shape->hi = node->hi;
    if (shape->groups < 1 || shape->source[1] % shape->groups || shape->result[1] % shape->groups ||
        shape->source[0] != shape->result[0])
        return false;
    const int64_t weights = shape->source[1] / shape->groups * shape->result[1] * shape->window.kernel[0] *
                            (int64_t)shape->window.kernel[1];
    return weights == (int64_t)nw_tensor_elements(&engine->model->tensors[w]) &&
           (bias == NW_NONE || (engine->model->tensors[bias].data && nw_plan_elements(engine, bias) ==
                                                                         (size_t)shape->result[1]));
}

static nw_status make_linear(nw_float_engine *engine, const nw_node *node, const nw_dnn_linear_shape *shape,
                             nw_dnn_linear *out)
{
    const nw_window *w = &shape->window;
    const int32_t *pad = w->pad;
    const bool one_pixel = shape->source[2] * shape->source[3] * shape->result[2] * shape->result[3] == 1 &&
                           w->kernel[0] * w->kernel[1] == 1 && pad[0] + pad[1] + pad[2] + pad[3] == 0;
    if (one_pixel && shape->groups == 1 && node->op != NW_OP_CONV_TRANSPOSE)
        return nw_dnn_inner_product(engine->dnn, shape, out);
    if (node->op == NW_OP_GEMM)
        return NW_ERROR_DATA;
    return node->op == NW_OP_CONV ? nw_dnn_convolution(engine->dnn, shape, out)
                                  : nw_dnn_deconvolution(engine->dnn, shape, out);
}

/* Weights and bias of a node, in the layouts its operator wants; without bias: zeros. */
static nw_status plan_weights(nw_float_engine *engine, int32_t index, const nw_dnn_linear *linear)
{
    const nw_node *node = node_at(engine, index);
    const int32_t bias = input_of(node, 2);
    nw_float_weights *weights = &engine->weights[index];
    weights->model_weights = linear->model_weights;
    NW_TRY(nw_plan_constant(engine, engine->model->tensors[node->inputs[1]].data, &linear->model_weights,
                            &linear->weights, &weights->weights));
    return nw_plan_constant(engine, bias == NW_NONE ? NULL : engine->model->tensors[bias].data, &linear->bias,
                            &linear->bias, &weights->bias);
}

/*
 * Memory for the result of a linear node. With a residual the operator adds to what is there: the residual itself if
 * nobody needs it any more, else a copy of it.
 */
static nw_status linear_result(nw_float_engine *engine, int32_t index, const nw_dnn_layout *layout, int32_t source,
                               int32_t *out)
{
    const nw_node *node = node_at(engine, index);
    const int32_t residual = input_of(node, 3);
    if (node->op == NW_OP_GEMM || residual == NW_NONE)
        return nw_plan_buffer(engine, node->output, layout, NW_NONE, out);
    int32_t from;
    NW_TRY(nw_plan_canonical(engine, residual, &from));
    const nw_float_buffer *r = &engine->buffers[from];
    if (r->storage != engine->buffers[source].storage && nw_dnn_layout_equal(&r->layout, layout) &&
        nw_plan_may_overwrite(engine, from)) {
        nw_plan_reads(engine, from);
        return nw_plan_buffer(engine, node->output, layout, r->storage, out);
    }
    nw_dnn_op *op;
    NW_TRY(nw_plan_buffer(engine, node->output, layout, NW_NONE, out));
    NW_TRY(nw_dnn_reorder(engine->dnn, &engine->buffers[from].layout, layout, &op));
    return nw_plan_take_op(engine, index, op, &from, 1, *out);
}

/* A linear node without oneDNN: its weights stay as the model has them. */
static nw_status lower_plain_linear(nw_float_engine *engine, int32_t index, const nw_dnn_linear_shape *shape)
{
    const nw_node *node = node_at(engine, index);
    nw_dnn_linear flat;
    memset(&flat, 0, sizeof(flat));
    const int64_t weights[4] = {1, (int64_t)nw_tensor_elements(&engine->model->tensors[node->inputs[1]]), 1, 1};
    const int64_t bias[4] = {1, shape->result[1], 1, 1};
    nw_dnn_layout_plain(&flat.model_weights, weights);
    nw_dnn_layout_plain(&flat.bias, bias);
    flat.weights = flat.model_weights;
    NW_TRY(plan_weights(engine, index, &flat));
    int32_t inputs[4] = {NW_NONE, engine->weights[index].weights, engine->weights[index].bias, NW_NONE}, result;
    NW_TRY(nw_plan_want_dense(engine, index, node->inputs[0], &inputs[0]));
    if (shape->add_to_result)
        NW_TRY(nw_plan_want_dense(engine, index, node->inputs[3], &inputs[3]));
    nw_dnn_layout layout;
    nw_dnn_layout_plain(&layout, shape->result);
    NW_TRY(nw_plan_buffer(engine, node->output, &layout, NW_NONE, &result));
    NW_TRY(nw_plan_plain(engine, index, nw_plain_find(node->op), inputs, 4, result, 1));
    nw_plan_produce(engine, result);
    return NW_OK;
}

static nw_status lower_linear(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    nw_dnn_linear_shape shape;
    nw_dnn_linear linear;
    int32_t inputs[3], result;
    if (!linear_shape(engine, node, &shape))
        return NW_ERROR_DATA;
    if (shape.add_to_result) {
        int64_t residual[4];
        nw_plan_dims(engine, node->inputs[3], residual);
        if (!same_dims(residual, shape.result))
            return NW_ERROR_DATA;
    }
    nw_status status = make_linear(engine, node, &shape, &linear);
    if (status == NW_ERROR_UNSUPPORTED)
        return lower_plain_linear(engine, index, &shape);
    if (status)
        return status;
    status = nw_plan_want(engine, index, node->inputs[0], &linear.source, &inputs[0]);
    if (!status)
        status = plan_weights(engine, index, &linear);
    if (!status)
        status = linear_result(engine, index, &linear.result, inputs[0], &result);
    if (status) {
        nw_dnn_op_free(linear.op);
        return status;
    }
    inputs[1] = engine->weights[index].weights;
    inputs[2] = engine->weights[index].bias;
    NW_TRY(nw_plan_take_op(engine, index, linear.op, inputs, 3, result));
    nw_plan_produce(engine, result);
    return NW_OK;
}

/* ---- pooling, elementwise ---- */

static nw_status lower_pool(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    int32_t source, result;
    int64_t dims[4];
    nw_dnn_layout layout;
    nw_dnn_op *op;
    if (rank_of(engine, node->inputs[0]) != 4)
        return NW_ERROR_UNSUPPORTED;
    NW_TRY(nw_plan_canonical(engine, node->inputs[0], &source));
    nw_plan_dims(engine, node->output, dims);
    const nw_status status = nw_dnn_pool(engine->dnn, node, &engine->buffers[source].layout, dims, &op, &layout);
    if (status == NW_ERROR_UNSUPPORTED)
        return lower_plain(engine, index);
    NW_TRY(status);
    const nw_status made = nw_plan_buffer(engine, node->output, &layout, NW_NONE, &result);
    if (made) {
        nw_dnn_op_free(op);
        return made;
    }
    NW_TRY(nw_plan_take_op(engine, index, op, &source, 1, result));
    nw_plan_produce(engine, result);
    return NW_OK;
}

/* Plans an operator whose result has the layout of its first input and may lie in its place. */
static nw_status take_in_place(nw_float_engine *engine, int32_t index, nw_dnn_op *op, const int32_t *inputs,
                               int32_t n_inputs)
{
    int32_t result;
    const nw_status status =
        result_over(engine, node_at(engine, index)->output, inputs[0], &engine->buffers[inputs[0]].layout, &result);
    if (status) {
        nw_dnn_op_free(op);
        return status;
    }
    NW_TRY(nw_plan_take_op(engine, index, op, inputs, n_inputs, result));
    nw_plan_produce(engine, result);
    return NW_OK;
}

static nw_status lower_eltwise(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    int32_t source;
    nw_dnn_op *op;
    NW_TRY(nw_plan_canonical(engine, node->inputs[0], &source));
    const nw_status status = nw_dnn_eltwise(engine->dnn, node, &engine->buffers[source].layout, &op);
    if (status == NW_ERROR_UNSUPPORTED)
        return lower_plain(engine, index);
    NW_TRY(status);
    return take_in_place(engine, index, op, &source, 1);
}

/* The shape of an operand seen with the rank of the result: ones in front, then as nw_plan_dims. */
static bool aligned_dims(const nw_float_engine *engine, int32_t tensor, int32_t rank, int64_t dims[4])
{
    const nw_tensor *t = &engine->model->tensors[tensor];
    if (rank > 4 || t->rank > rank)
        return false;
    const int32_t missing = rank - t->rank;
    if (missing && engine->batched[tensor])
        return false; /* its batch would not come first */
    for (int i = 0; i < 4; i++)
        dims[i] = i >= missing && i < rank ? t->dims[i - missing] : 1;
    if (engine->batched[tensor])
        dims[0] *= engine->batch;
    return true;
}

static bool broadcasts(const int64_t small[4], const int64_t large[4])
{
    for (int i = 0; i < 4; i++)
        if (small[i] != large[i] && small[i] != 1)
            return false;
    return true;
}

/* a op b where b is broadcast; the layouts of b to try are its own, then dense. */
static nw_status binary_broadcast(nw_float_engine *engine, int32_t index, int32_t a, int32_t b,
                                  const int64_t b_dims[4])
{
    const nw_node *node = node_at(engine, index);
    int32_t inputs[2];
    nw_dnn_layout layout;
    nw_dnn_op *op;
    NW_TRY(nw_plan_canonical(engine, a, &inputs[0]));
    NW_TRY(nw_plan_want_dense(engine, index, b, &inputs[1]));
    if (!nw_dnn_layout_reshape(&layout, &engine->buffers[inputs[1]].layout, b_dims))
        return NW_ERROR_UNSUPPORTED;
    NW_TRY(nw_dnn_binary(engine->dnn, node, &engine->buffers[inputs[0]].layout, &layout, &op));
    return take_in_place(engine, index, op, inputs, 2);
}

static nw_status lower_binary(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    const int32_t a = node->inputs[0], b = node->inputs[1], rank = rank_of(engine, node->output);
    int64_t a_dims[4], b_dims[4], dims[4], a_plain[4], b_plain[4];
    nw_plan_dims(engine, node->output, dims);
    nw_plan_dims(engine, a, a_plain);
    nw_plan_dims(engine, b, b_plain);
    nw_status status = NW_ERROR_UNSUPPORTED;
    if (same_dims(a_plain, dims) && same_dims(b_plain, dims)) {
        int32_t inputs[2];
        nw_dnn_op *op;
        NW_TRY(nw_plan_canonical(engine, a, &inputs[0]));
        NW_TRY(nw_plan_canonical(engine, b, &inputs[1]));
        if (nw_dnn_layout_is_plain(&engine->buffers[inputs[0]].layout)) {
            const nw_dnn_layout layout = engine->buffers[inputs[1]].layout;
            NW_TRY(nw_plan_want(engine, index, a, &layout, &inputs[0]));
        } else {
            const nw_dnn_layout layout = engine->buffers[inputs[0]].layout;
            NW_TRY(nw_plan_want(engine, index, b, &layout, &inputs[1]));
        }
        const nw_dnn_layout *layout = &engine->buffers[inputs[0]].layout;
        status = nw_dnn_binary(engine->dnn, node, layout, layout, &op);
        if (!status)
            return take_in_place(engine, index, op, inputs, 2);
    } else if (aligned_dims(engine, a, rank, a_dims) && aligned_dims(engine, b, rank, b_dims)) {
        const bool commutes = node->op == NW_OP_ADD || node->op == NW_OP_MUL;
        if (same_dims(a_dims, dims) && same_dims(a_plain, dims) && broadcasts(b_dims, dims))
            status = binary_broadcast(engine, index, a, b, b_dims);
        else if (commutes && same_dims(b_dims, dims) && same_dims(b_plain, dims) && broadcasts(a_dims, dims))
            status = binary_broadcast(engine, index, b, a, a_dims);
    }
    return status == NW_ERROR_UNSUPPORTED ? lower_plain(engine, index) : status;
}

static nw_status lower_batch_norm(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    static const int32_t order[5] = {0, 3, 4, 1, 2}; /* x, mean, variance, scale, shift */
    int32_t inputs[5];
    nw_dnn_op *op;
    int64_t dims[4];
    nw_plan_dims(engine, node->inputs[0], dims);
    for (int i = 0; i < 5; i++) {
        const int32_t tensor = node->inputs[order[i]];
        NW_TRY(nw_plan_canonical(engine, tensor, &inputs[i]));
        if (i && nw_plan_elements(engine, tensor) != (size_t)dims[1])
            return NW_ERROR_DATA;
    }
    const nw_status status = nw_dnn_batch_norm(engine->dnn, node->alpha, &engine->buffers[inputs[0]].layout, &op);
    if (status == NW_ERROR_UNSUPPORTED)
        return lower_plain(engine, index);
    NW_TRY(status);
    return take_in_place(engine, index, op, inputs, 5);
}

/* ---- data movement ---- */

/* Sources in their own layouts, or all dense. NW_ERROR_UNSUPPORTED leaves only reorders behind, which cost time. */
static nw_status concat_from(nw_float_engine *engine, int32_t index, bool dense, int32_t *inputs,
                             nw_dnn_layout *layouts)
{
    const nw_node *node = node_at(engine, index);
    for (int32_t i = 0; i < node->n_inputs; i++) {
        NW_TRY(dense ? nw_plan_want_dense(engine, index, node->inputs[i], &inputs[i])
                     : nw_plan_canonical(engine, node->inputs[i], &inputs[i]));
        layouts[i] = engine->buffers[inputs[i]].layout;
    }
    nw_dnn_layout layout;
    nw_dnn_op *op;
    int32_t result;
    if (node->axis == 1 && nw_dnn_layout_concat(&layout, layouts, node->n_inputs)) { /* faster than oneDNN's own */
        NW_TRY(nw_plan_buffer(engine, node->output, &layout, NW_NONE, &result));
        NW_TRY(nw_plan_plain(engine, index, nw_plain_find(NW_OP_CONCAT), inputs, node->n_inputs, result, 1));
        nw_plan_produce(engine, result);
        return NW_OK;
    }
    NW_TRY(nw_dnn_concat(engine->dnn, node->axis, layouts, node->n_inputs, &op, &layout));
    const nw_status status = nw_plan_buffer(engine, node->output, &layout, NW_NONE, &result);
    if (status) {
        nw_dnn_op_free(op);
        return status;
    }
    NW_TRY(nw_plan_take_op(engine, index, op, inputs, node->n_inputs, result));
    nw_plan_produce(engine, result);
    return NW_OK;
}

static nw_status lower_concat(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    if (rank_of(engine, node->output) > 4)
        return lower_plain(engine, index);
    if (node->axis == 0 && engine->batch > 1)
        return NW_ERROR_UNSUPPORTED;
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (engine->batched[node->inputs[i]] != engine->batched[node->output])
            return NW_ERROR_UNSUPPORTED; /* a constant beside activations: its batch is missing */
    const size_t n = (size_t)node->n_inputs;
    int32_t *inputs = calloc(n, sizeof(*inputs));
    nw_dnn_layout *layouts = calloc(n, sizeof(*layouts));
    nw_status status = inputs && layouts ? NW_OK : NW_ERROR_MEMORY;
    if (!status)
        status = concat_from(engine, index, false, inputs, layouts);
    if (status == NW_ERROR_UNSUPPORTED)
        status = concat_from(engine, index, true, inputs, layouts);
    free(inputs);
    free(layouts);
    return status == NW_ERROR_UNSUPPORTED ? lower_plain(engine, index) : status;
}

/* No copy where the order of elements allows it. */
static nw_status lower_reshape(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    int32_t source, result;
    int64_t dims[4];
    nw_dnn_layout layout;
    nw_plan_dims(engine, node->output, dims);
    if (nw_plan_elements(engine, node->output) != nw_plan_elements(engine, node->inputs[0]))
        return NW_ERROR_DATA;
    NW_TRY(nw_plan_canonical(engine, node->inputs[0], &source));
    if (!nw_dnn_layout_reshape(&layout, &engine->buffers[source].layout, dims)) {
        NW_TRY(nw_plan_want_dense(engine, index, node->inputs[0], &source));
        nw_dnn_layout_plain(&layout, dims);
    }
    nw_plan_reads(engine, source);
    NW_TRY(nw_plan_buffer(engine, node->output, &layout, engine->buffers[source].storage, &result));
    nw_plan_produce(engine, result);
    return NW_OK;
}

/* In blocks as they lie, if the layout keeps the plane together. */
static nw_status lower_resize(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    int32_t source, result;
    int64_t dims[4], from[4];
    size_t outer, inner;
    nw_dnn_layout layout;
    nw_plan_dims(engine, node->output, dims);
    nw_plan_dims(engine, node->inputs[0], from);
    if (rank_of(engine, node->output) != 4 || dims[0] != from[0] || dims[1] != from[1])
        return NW_ERROR_UNSUPPORTED;
    NW_TRY(nw_plan_canonical(engine, node->inputs[0], &source));
    if (!nw_dnn_layout_planes(&engine->buffers[source].layout, &outer, &inner) ||
        !nw_dnn_layout_resize(&layout, &engine->buffers[source].layout, dims[2], dims[3]))
        return lower_plain(engine, index);
    NW_TRY(nw_plan_buffer(engine, node->output, &layout, NW_NONE, &result));
    NW_TRY(nw_plan_plain(engine, index, nw_plain_find(NW_OP_RESIZE), &source, 1, result, (int64_t)inner));
    nw_plan_produce(engine, result);
    return NW_OK;
}

/* Dense loops that must leave the batch alone: with more than one sample it would have to be split from dims[0]. */
static nw_status lower_movement(nw_float_engine *engine, int32_t index)
{
    const nw_node *node = node_at(engine, index);
    const int32_t rank = rank_of(engine, node->output);
    const bool batch_moves = node->op == NW_OP_TRANSPOSE ? node->perm[0] != 0
                             : node->op == NW_OP_SLICE   ? node->starts[0] != 0 || node->steps[0] != 1
                             : node->op == NW_OP_PAD     ? node->pads[0] != 0 || node->pads[rank] != 0
                                                         : node->axis == 0;
    return batch_moves && engine->batch > 1 ? NW_ERROR_UNSUPPORTED : lower_plain(engine, index);
}

static nw_status lower(nw_float_engine *engine, int32_t index)
{
    switch (node_at(engine, index)->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
    case NW_OP_GEMM:
        return lower_linear(engine, index);
    case NW_OP_MAX_POOL:
    case NW_OP_AVERAGE_POOL:
        return lower_pool(engine, index);
    case NW_OP_RELU:
    case NW_OP_CLIP:
    case NW_OP_SIGMOID:
    case NW_OP_TANH:
    case NW_OP_EXP:
    case NW_OP_HARD_SIGMOID:
    case NW_OP_HARD_SWISH:
    case NW_OP_SILU:
    case NW_OP_LEAKY_RELU:
        return lower_eltwise(engine, index);
    case NW_OP_ADD:
    case NW_OP_SUB:
    case NW_OP_MUL:
    case NW_OP_DIV:
        return lower_binary(engine, index);
    case NW_OP_BATCH_NORM:
        return lower_batch_norm(engine, index);
    case NW_OP_CONCAT:
        return lower_concat(engine, index);
    case NW_OP_RESHAPE:
        return lower_reshape(engine, index);
    case NW_OP_RESIZE:
        return lower_resize(engine, index);
    case NW_OP_SLICE:
    case NW_OP_PAD:
    case NW_OP_TRANSPOSE:
    case NW_OP_SOFTMAX:
        return lower_movement(engine, index);
    default:
        return NW_ERROR_UNSUPPORTED;
    }
}

nw_status nw_lower_node(nw_float_engine *engine, int32_t index, nw_error *error)
{
    const nw_node *node = node_at(engine, index);
    const char *op = nw_op_name(node->op);
    const nw_status status = lower(engine, index);
    switch (status) {
    case NW_OK:
        return NW_OK;
    case NW_ERROR_UNSUPPORTED:
        return nw_fail(error, status, "node \"%s\" (%s): the float engine does not support this form of it", node->name,
                       op);
    case NW_ERROR_DATA:
        return nw_fail(error, status, "node \"%s\" (%s): shapes or weights contradict each other", node->name, op);
    case NW_ERROR_MEMORY:
        return nw_fail_memory(error, "preparing the float engine");
    default:
        return nw_fail(error, status, "node \"%s\" (%s): oneDNN failed to prepare it", node->name, op);
    }
}
