/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes run on integers. Seen from the outputs backwards: an output is real; a node whose result is wanted as
 * reals only may stay float if the engine has it in float; everything in front of a linear node is codes. First step of
 * quantize.c, before groups.c.
 */
#include <math.h>
#include <string.h>

#include "quant/scheme.h"

/** Float operators the engine has for a network's tail. */
static bool runs_as_real(nw_op op)
{
    return op == NW_OP_SIGMOID || op == NW_OP_EXP || op == NW_OP_SUB || op == NW_OP_MUL || op == NW_OP_DIV ||
           op == NW_OP_SOFTMAX;
}

static bool is_unary(nw_op op)
{
    return op == NW_OP_RELU || op == NW_OP_CLIP || op == NW_OP_SIGMOID || op == NW_OP_TANH || op == NW_OP_EXP ||
           op == NW_OP_HARD_SIGMOID || op == NW_OP_HARD_SWISH || op == NW_OP_SILU || op == NW_OP_LEAKY_RELU;
}

static bool moves_data(nw_op op)
{
    return op == NW_OP_CONCAT || op == NW_OP_SLICE || op == NW_OP_PAD || op == NW_OP_RESHAPE || op == NW_OP_TRANSPOSE;
}

static bool is_clamped(const nw_node *node)
{
    return node->lo > -INFINITY || node->hi < INFINITY;
}

static bool is_constant(const nw_scheme *scheme, int32_t tensor)
{
    return tensor != NW_NONE && scheme->model->tensors[tensor].data != NULL;
}

/** Operators that may run on codes or on reals, as their inputs come. A sum of reals has no clamp. */
static bool runs_as_either(const nw_node *node)
{
    return (moves_data(node->op) && node->op != NW_OP_PAD) || node->op == NW_OP_RESIZE ||
           (node->op == NW_OP_ADD && !is_clamped(node));
}

/**
 * Marks what can be had as reals without going through codes. One walk forwards; a constant counts, an input of the
 * network does not, because nothing but QUANTIZE reads it.
 */
static void mark_may_be_real(nw_scheme *scheme)
{
    const nw_model *model = scheme->model;
    for (int32_t t = 0; t < model->n_tensors; t++)
        scheme->tensors[t].may_be_real = model->tensors[t].data != NULL;
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        bool good = nw_is_linear(node) ? !is_clamped(node) : runs_as_real(node->op) || runs_as_either(node);
        for (int32_t j = 0; j < node->n_inputs && runs_as_either(node); j++)
            good = good && (node->inputs[j] == NW_NONE || scheme->tensors[node->inputs[j]].may_be_real);
        scheme->tensors[node->output].may_be_real = good;
    }
}

/** Whether the inputs can be had as reals and nobody wants them as codes. */
static bool inputs_come_as_real(const nw_scheme *scheme, const nw_node *node)
{
    for (int32_t j = 0; j < node->n_inputs; j++)
        if (node->inputs[j] != NW_NONE &&
            (!scheme->tensors[node->inputs[j]].may_be_real || scheme->tensors[node->inputs[j]].code))
            return false;
    return true;
}

static void want_inputs(nw_scheme *scheme, const nw_node *node, bool as_real)
{
    for (int32_t j = 0; j < node->n_inputs; j++) {
        if (node->inputs[j] == NW_NONE || is_constant(scheme, node->inputs[j]))
            continue;
        nw_tensor_scheme *tensor = &scheme->tensors[node->inputs[j]];
        if (as_real)
            tensor->real = true;
        else
            tensor->code = true;
    }
}

static nw_status refuse_constants(const nw_scheme *scheme, const nw_node *node, nw_error *error)
{
    for (int32_t j = 0; j < node->n_inputs; j++)
        if (is_constant(scheme, node->inputs[j]))
            return nw_fail(error, NW_ERROR_UNSUPPORTED,
                           "node \"%s\": %s with a constant operand cannot be quantized yet", node->name,
                           nw_op_name(node->op));
    return NW_OK;
}

static bool has_shape(const nw_tensor *a, const nw_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

/** Sums take two pictures of one shape, products also one number per channel. */
static nw_status refuse_shapes(const nw_scheme *scheme, const nw_node *node, nw_error *error)
{
    const nw_tensor *y = &scheme->model->tensors[node->output];
    int32_t n_same = 0, n_pixels = 0;
    for (int32_t j = 0; j < node->n_inputs; j++) {
        const nw_tensor *x = &scheme->model->tensors[node->inputs[j]];
        const bool same = has_shape(x, y);
        n_same += same;
        n_pixels += !same && x->rank == 4 && y->rank == 4 && x->dims[1] == y->dims[1] && x->dims[2] == 1 &&
                    x->dims[3] == 1;
    }
    if (n_same == node->n_inputs || (node->op == NW_OP_MUL && n_same == 1 && n_pixels == 1))
        return NW_OK;
    return nw_fail(error, NW_ERROR_UNSUPPORTED, "node \"%s\": %s cannot stretch its operands on integers", node->name,
                   nw_op_name(node->op));
}

static nw_status mode_of_linear(nw_scheme *scheme, const nw_node *node, nw_tensor_scheme *output, nw_error *error)
{
    for (int32_t j = 0; j < node->n_inputs; j++) {
        const bool weights = j == 1 || j == 2;
        const bool constant = is_constant(scheme, node->inputs[j]);
        if (j == 1 ? !constant : node->inputs[j] != NW_NONE && weights != constant)
            return nw_fail(error, NW_ERROR_UNSUPPORTED, "node \"%s\": %s needs constant weights and a computed input",
                           node->name, nw_op_name(node->op));
    }
    if (is_clamped(node))
        output->code = true;
    want_inputs(scheme, node, false);
    return NW_OK;
}

static nw_status mode_of(nw_scheme *scheme, const nw_node *node, nw_mode *mode, nw_error *error)
{
    nw_tensor_scheme *output = &scheme->tensors[node->output];
    if (nw_is_linear(node)) {
        *mode = NW_MODE_LINEAR;
        return mode_of_linear(scheme, node, output, error);
    }
    const bool stays = runs_as_real(node->op) || (runs_as_either(node) && inputs_come_as_real(scheme, node));
    if (!output->code && stays) {
        *mode = NW_MODE_REAL;
        want_inputs(scheme, node, true);
        return NW_OK;
    }
    if (is_unary(node->op))
        *mode = NW_MODE_TABLE;
    else if (moves_data(node->op) || node->op == NW_OP_MAX_POOL || node->op == NW_OP_RESIZE)
        *mode = NW_MODE_PASS;
    else if (node->op == NW_OP_ADD || node->op == NW_OP_MUL || node->op == NW_OP_AVERAGE_POOL)
        *mode = NW_MODE_INTEGER;
    else
        return nw_fail(error, NW_ERROR_UNSUPPORTED,
                       "node \"%s\": %s cannot be quantized here: integer operators need its result", node->name,
                       nw_op_name(node->op));
    NW_TRY(refuse_constants(scheme, node, error));
    if (node->op == NW_OP_ADD || node->op == NW_OP_MUL)
        NW_TRY(refuse_shapes(scheme, node, error));
    output->code = true;
    want_inputs(scheme, node, false);
    return NW_OK;
}

nw_status nw_scheme_modes(nw_scheme *scheme, nw_error *error)
{
    const nw_model *model = scheme->model;
    mark_may_be_real(scheme);
    for (int32_t i = 0; i < model->n_outputs; i++)
        scheme->tensors[model->outputs[i]].real = true;
    for (int32_t i = model->n_nodes - 1; i >= 0; i--) {
        const nw_node *node = &model->nodes[i];
        const nw_tensor_scheme *output = &scheme->tensors[node->output];
        scheme->nodes[i].mode = NW_MODE_DEAD;
        if (output->code || output->real)
            NW_TRY(mode_of(scheme, node, &scheme->nodes[i].mode, error));
    }
    return NW_OK;
}
