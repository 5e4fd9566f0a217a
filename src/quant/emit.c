/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer network out of the finished scheme: last step of quantize.c, in front of nw_model_validate. Every float
 * tensor has up to two forms here, codes and reals; a QUANTIZE or DEQUANTIZE node makes the missing one when first
 * asked.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "quant/scheme.h"

typedef struct emitter {
    const nw_scheme *scheme;
    nw_model *model; /* what is built */
    int32_t *codes;  /* [n_tensors of the float model] index of the form, or NW_NONE */
    int32_t *reals;
    nw_error *error;
} emitter;

/* tensors */

static int32_t add_tensor(emitter *e, int32_t t, nw_type type, const char *suffix)
{
    const nw_tensor *from = &e->scheme->model->tensors[t];
    const size_t size = strlen(from->name) + strlen(suffix) + 1;
    char *name = malloc(size);
    if (!name)
        return NW_NONE;
    snprintf(name, size, "%s%s", from->name, suffix);
    const int32_t index = nw_model_add_tensor(e->model, name, type, from->rank, from->dims);
    free(name);
    return index;
}

static bool is_graph_border(const nw_model *model, int32_t t)
{
    for (int32_t i = 0; i < model->n_inputs; i++)
        if (model->inputs[i] == t)
            return true;
    for (int32_t i = 0; i < model->n_outputs; i++)
        if (model->outputs[i] == t)
            return true;
    return false;
}

/** The name stays with the form that people know: reals at the graph's borders, codes inside. */
static int32_t add_codes(emitter *e, int32_t t)
{
    const nw_tensor_scheme *scheme = &e->scheme->tensors[t];
    const int32_t index = add_tensor(e, t, NW_TYPE_U8, is_graph_border(e->scheme->model, t) ? ".codes" : "");
    if (index == NW_NONE || nw_tensor_alloc_quant(&e->model->tensors[index]))
        return NW_NONE;
    nw_quant *quant = &e->model->tensors[index].quant;
    quant->bits = scheme->grid.bits;
    quant->zero_point = scheme->grid.zero_point;
    quant->scale = scheme->grid.scale;
    memcpy(quant->lo, scheme->lo, (size_t)scheme->n_channels * sizeof(*quant->lo));
    memcpy(quant->hi, scheme->hi, (size_t)scheme->n_channels * sizeof(*quant->hi));
    memcpy(quant->shift, scheme->shift, (size_t)scheme->n_channels);
    e->codes[t] = index;
    return index;
}

static int32_t add_reals(emitter *e, int32_t t)
{
    const bool border = is_graph_border(e->scheme->model, t) || !e->scheme->tensors[t].code;
    e->reals[t] = add_tensor(e, t, NW_TYPE_F32, border ? "" : ".reals");
    return e->reals[t];
}

/** Appends a node with a name derived from a tensor's. NULL without memory. */
static nw_node *add_border(emitter *e, nw_op op, const char *tensor)
{
    const char *suffix = op == NW_OP_QUANTIZE ? ".quantize" : ".dequantize";
    const size_t size = strlen(tensor) + strlen(suffix) + 1;
    char *name = malloc(size);
    if (!name)
        return NULL;
    snprintf(name, size, "%s%s", tensor, suffix);
    nw_node *node = nw_model_add_node(e->model, op, name, 1);
    free(name);
    return node;
}

/* input */

/** Tables from pixel to code, by the same operations a float input goes through: ((p - mean) / std) * (1 / scale). */
static nw_status add_pixel_tables(const emitter *e, nw_node *node, int32_t t)
{
    const nw_preprocess *preprocess = &e->scheme->model->preprocess;
    const nw_tensor_scheme *tensor = &e->scheme->tensors[t];
    if (!e->scheme->model->has_preprocess || t != e->scheme->model->inputs[0] ||
        nw_preprocess_channels(preprocess) != tensor->n_channels)
        return NW_OK;
    node->table = malloc((size_t)tensor->n_channels * 256);
    if (!node->table)
        return NW_ERROR_MEMORY;
    node->n_tables = tensor->n_channels;
    const float inverse_scale = 1.0f / tensor->grid.scale;
    for (int32_t c = 0; c < tensor->n_channels; c++)
        for (int32_t pixel = 0; pixel < 256; pixel++) {
            const float centred = (float)pixel - nw_preprocess_mean(preprocess, c);
            const float x = centred / nw_preprocess_std(preprocess, c);
            node->table[c * 256 + pixel] =
                nw_clamp_round(x * inverse_scale, tensor->lo[c], tensor->hi[c], 0, tensor->grid.zero_point);
        }
    return NW_OK;
}

/** Index of the tensor's codes, made from its reals if need be; NW_NONE without memory. */
static int32_t codes_of(emitter *e, int32_t t)
{
    if (t == NW_NONE || e->codes[t] != NW_NONE)
        return t == NW_NONE ? NW_NONE : e->codes[t];
    const int32_t from = e->reals[t];
    const int32_t to = add_codes(e, t);
    nw_node *node = to == NW_NONE ? NULL : add_border(e, NW_OP_QUANTIZE, e->model->tensors[from].name);
    if (!node)
        return NW_NONE;
    node->inputs[0] = from;
    node->output = to;
    return add_pixel_tables(e, node, t) ? NW_NONE : to;
}

static int32_t add_constant(emitter *e, int32_t t)
{
    const nw_tensor *from = &e->scheme->model->tensors[t];
    const size_t n = nw_tensor_elements(from);
    float *data = malloc((n + 1) * sizeof(*data));
    e->reals[t] = data ? add_tensor(e, t, NW_TYPE_F32, "") : NW_NONE;
    if (e->reals[t] == NW_NONE) {
        free(data);
        return NW_NONE;
    }
    memcpy(data, from->data, n * sizeof(*data));
    e->model->tensors[e->reals[t]].data = data;
    return e->reals[t];
}

/** Index of the tensor's reals, made from its codes if need be; NW_NONE without memory. */
static int32_t reals_of(emitter *e, int32_t t)
{
    if (t == NW_NONE || e->reals[t] != NW_NONE)
        return t == NW_NONE ? NW_NONE : e->reals[t];
    if (e->scheme->model->tensors[t].data)
        return add_constant(e, t);
    const int32_t from = e->codes[t];
    const int32_t to = add_reals(e, t);
    nw_node *node = to == NW_NONE ? NULL : add_border(e, NW_OP_DEQUANTIZE, e->scheme->model->tensors[t].name);
    if (!node)
        return NW_NONE;
    node->inputs[0] = from;
    node->output = to;
    return to;
}

/* numbers */

/** Rounds a multiplier once; below 2^-40 it moves nothing and becomes 0. False above 2^20. */
static bool set_multiplier(float *to, double m)
{
    const float rounded = (float)m;
    *to = rounded < 0x1p-40f ? 0.0f : rounded;
    return rounded <= 0x1p20f;
}

static nw_status refuse_multiplier(const emitter *e, const nw_node *node, int32_t c)
{
    return nw_fail(e->error, NW_ERROR_UNSUPPORTED,
                   "node \"%s\": the step of its input is more than 2^20 times that of its output in channel %d",
                   node->name, c);
}

/** Codes of output channel c per real, in the channel's own steps; 1 where the output is reals. */
static double codes_per_real(const nw_tensor_scheme *tensor, int32_t c)
{
    return tensor->code ? tensor->factor[c] / ((double)tensor->grid.scale * (1 << tensor->shift[c])) : 1.0;
}

static double reals_per_code(const nw_tensor_scheme *tensor, int32_t c)
{
    return (double)tensor->grid.scale / tensor->factor[c];
}

static nw_status fill_row(const emitter *e, const nw_node *node, const nw_node_scheme *from, nw_linear *to, int32_t row)
{
    const int32_t o = from->row_channel[row];
    const nw_tensor_scheme *x = &e->scheme->tensors[node->inputs[0]];
    const nw_tensor_scheme *y = &e->scheme->tensors[node->output];
    const double out = codes_per_real(y, o);
    if (!nw_linear_set_offset(to, row, x->grid.zero_point))
        return nw_fail(e->error, NW_ERROR_UNSUPPORTED, "node \"%s\": %d products per sum are too many for 32 bits",
                       node->name, to->k);
    to->row_channel[row] = o;
    if (!set_multiplier(&to->multiplier[row], (double)x->grid.scale * from->step[row] * out))
        return refuse_multiplier(e, node, o);
    if (row >= to->n_channels)
        return NW_OK;
    const double bias = nw_scheme_bias(e->scheme, (int32_t)(node - e->scheme->model->nodes), o);
    to->bias[o] = (float)((bias + (y->code ? y->offset[o] : 0.0)) * out);
    if (to->residual_multiplier &&
        !set_multiplier(&to->residual_multiplier[o], reals_per_code(&e->scheme->tensors[node->inputs[3]], o) * out))
        return refuse_multiplier(e, node, o);
    return NW_OK;
}

static nw_status fill_linear(const emitter *e, const nw_node *node, const nw_node_scheme *from, nw_linear *to)
{
    const size_t n_weights = (size_t)to->n_rows * (size_t)to->k;
    const bool shared = from->book.kind == NW_BOOK_SHARED; /* its bits say how fine the step is */
    to->weight_bits = (uint8_t)(shared ? nw_weights_least_bits(from->weights, n_weights) : from->weight_bits);
    to->accumulator = (uint8_t)from->accumulator;
    if (from->book.levels) {
        const size_t n = (size_t)from->book.n_levels;
        to->levels = malloc(n);
        if (!to->levels)
            return nw_fail_memory(e->error, "building the integer network");
        memcpy(to->levels, from->book.levels, n);
    }
    memcpy(to->weights, from->weights, n_weights);
    for (int32_t row = 0; row < to->n_rows; row++)
        NW_TRY(fill_row(e, node, from, to, row));
    return NW_OK;
}

/** [C] multipliers from the codes of x to those of y. */
static nw_status fill_multipliers(const emitter *e, const nw_node *node, int32_t input, float **out)
{
    const nw_tensor_scheme *x = &e->scheme->tensors[node->inputs[input]];
    const nw_tensor_scheme *y = &e->scheme->tensors[node->output];
    *out = malloc((size_t)y->n_channels * sizeof(**out));
    if (!*out)
        return nw_fail_memory(e->error, "building the integer network");
    for (int32_t c = 0; c < y->n_channels; c++) {
        if (!set_multiplier(&(*out)[c], reals_per_code(x, c) * codes_per_real(y, c)))
            return refuse_multiplier(e, node, c);
        /* the format has no 0 here, and 255 * 2^-40 rounds to 0 all the same */
        (*out)[c] = nw_maxf((*out)[c], 0x1p-40f);
    }
    return NW_OK;
}

static double function_of(const nw_node *node, double x)
{
    switch (node->op) {
    case NW_OP_RELU:
        return fmax(x, 0.0);
    case NW_OP_CLIP:
        return fmin(fmax(x, (double)node->lo), (double)node->hi);
    case NW_OP_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case NW_OP_TANH:
        return tanh(x);
    case NW_OP_EXP:
        return exp(x);
    case NW_OP_HARD_SIGMOID:
        return fmin(fmax((double)node->alpha * x + (double)node->beta, 0.0), 1.0);
    case NW_OP_HARD_SWISH:
        return x * fmin(fmax(x / 6.0 + 0.5, 0.0), 1.0);
    case NW_OP_SILU:
        return x / (1.0 + exp(-x));
    default: /* LEAKY_RELU */
        return x < 0.0 ? (double)node->alpha * x : x;
    }
}

/** One table for all channels if their factors and limits agree. */
static nw_status fill_table(const emitter *e, const nw_node *node, nw_node *to)
{
    const nw_tensor_scheme *x = &e->scheme->tensors[node->inputs[0]];
    const nw_tensor_scheme *y = &e->scheme->tensors[node->output];
    to->table = malloc((size_t)y->n_channels * 256);
    if (!to->table)
        return nw_fail_memory(e->error, "building the integer network");
    to->n_tables = y->n_channels;
    bool same = true;
    for (int32_t c = 0; c < y->n_channels; c++) {
        for (int32_t code = 0; code < 256; code++) {
            const double real = (code - x->grid.zero_point) * reals_per_code(x, c);
            const double v = function_of(node, real) * codes_per_real(y, c);
            const double clamped = fmin(fmax(v, (double)y->lo[c]), (double)y->hi[c]);
            to->table[(size_t)c * 256 + (size_t)code] =
                (uint8_t)(y->grid.zero_point + (int32_t)rint(clamped) * (1 << y->shift[c]));
        }
        same = same && memcmp(to->table, to->table + (size_t)c * 256, 256) == 0;
    }
    if (same)
        to->n_tables = 1;
    return NW_OK;
}

/* nodes */

/** A node like `from` in all attributes, without its inputs and what it owns. */
static nw_node *add_like(emitter *e, const nw_node *from, nw_op op, int32_t n_inputs)
{
    nw_node *node = nw_model_add_node(e->model, op, from->name, n_inputs);
    if (!node)
        return NULL;
    char *name = node->name;
    int32_t *inputs = node->inputs;
    *node = *from;
    node->op = op;
    node->name = name;
    node->inputs = inputs;
    node->n_inputs = n_inputs;
    node->lo = -INFINITY;
    node->hi = INFINITY;
    node->linear = NULL;
    node->table = NULL;
    node->n_tables = 0;
    node->multipliers[0] = node->multipliers[1] = NULL;
    return node;
}

/** [C] multipliers of a product; the operand with the shape of the result comes first. */
static nw_status fill_product(const emitter *e, const nw_node *from, nw_node *to)
{
    const nw_model *model = e->scheme->model;
    const nw_tensor_scheme *b = &e->scheme->tensors[from->inputs[1]];
    NW_TRY(fill_multipliers(e, from, 0, &to->multipliers[0]));
    for (int32_t c = 0; c < b->n_channels; c++) {
        if (!set_multiplier(&to->multipliers[0][c], (double)to->multipliers[0][c] * reals_per_code(b, c)))
            return refuse_multiplier(e, from, c);
        to->multipliers[0][c] = nw_maxf(to->multipliers[0][c], 0x1p-40f);
    }
    if (nw_tensor_elements(&model->tensors[from->inputs[0]]) < nw_tensor_elements(&model->tensors[from->output])) {
        const int32_t small = to->inputs[0];
        to->inputs[0] = to->inputs[1];
        to->inputs[1] = small;
    }
    return NW_OK;
}

static nw_status fill_node(emitter *e, const nw_node *from, nw_node *to, const nw_node_scheme *scheme)
{
    switch (scheme->mode) {
    case NW_MODE_LINEAR:
        to->linear = nw_linear_create(scheme->shape.n_channels, scheme->n_rows, scheme->shape.k,
                                      from->n_inputs > 3 && from->inputs[3] != NW_NONE);
        if (!to->linear)
            return nw_fail_memory(e->error, "building the integer network");
        return fill_linear(e, from, scheme, to->linear);
    case NW_MODE_INTEGER:
        if (from->op == NW_OP_MUL)
            return fill_product(e, from, to);
        NW_TRY(fill_multipliers(e, from, 0, &to->multipliers[0]));
        return from->op == NW_OP_ADD ? fill_multipliers(e, from, 1, &to->multipliers[1]) : NW_OK;
    case NW_MODE_TABLE:
        return fill_table(e, from, to);
    default:
        return NW_OK;
    }
}

static nw_status emit_node(emitter *e, int32_t i)
{
    const nw_node *from = &e->scheme->model->nodes[i];
    const nw_node_scheme *scheme = &e->scheme->nodes[i];
    if (scheme->mode == NW_MODE_DEAD)
        return NW_OK;
    const bool linear = scheme->mode == NW_MODE_LINEAR;
    const bool residual = linear && from->n_inputs > 3 && from->inputs[3] != NW_NONE;
    const int32_t n_inputs = linear ? (residual ? 4 : 1) : from->n_inputs;
    int32_t *inputs = malloc(((size_t)n_inputs + 1) * sizeof(*inputs));
    bool done = inputs != NULL;
    for (int32_t j = 0; done && j < n_inputs; j++) { /* before the node: borders they need come first */
        inputs[j] = NW_NONE;
        if (linear && (j == 1 || j == 2))
            continue;
        inputs[j] = scheme->mode == NW_MODE_REAL ? reals_of(e, from->inputs[j]) : codes_of(e, from->inputs[j]);
        done = inputs[j] != NW_NONE;
    }
    const bool code = e->scheme->tensors[from->output].code;
    const int32_t output = !done ? NW_NONE : code ? add_codes(e, from->output) : add_reals(e, from->output);
    const nw_op op = from->op == NW_OP_GEMM ? NW_OP_CONV : scheme->mode == NW_MODE_TABLE ? NW_OP_TABLE : from->op;
    nw_node *node = output == NW_NONE ? NULL : add_like(e, from, op, n_inputs);
    if (node) {
        memcpy(node->inputs, inputs, (size_t)n_inputs * sizeof(*inputs));
        node->output = output;
    }
    free(inputs);
    return node ? fill_node(e, from, node, scheme) : nw_fail_memory(e->error, "building the integer network");
}

static bool set_borders(emitter *e)
{
    const nw_model *from = e->scheme->model;
    nw_model *to = e->model;
    to->inputs = malloc(((size_t)from->n_inputs + 1) * sizeof(*to->inputs));
    to->outputs = malloc(((size_t)from->n_outputs + 1) * sizeof(*to->outputs));
    if (!to->inputs || !to->outputs)
        return false;
    for (int32_t i = 0; i < from->n_inputs; i++) {
        const int32_t index = add_tensor(e, from->inputs[i], NW_TYPE_F32, "");
        if (index == NW_NONE)
            return false;
        e->reals[from->inputs[i]] = to->inputs[to->n_inputs++] = index;
    }
    to->has_preprocess = from->has_preprocess;
    to->preprocess = from->preprocess;
    return true;
}

static nw_status emit_all(emitter *e)
{
    const nw_model *from = e->scheme->model;
    if (!set_borders(e))
        return nw_fail_memory(e->error, "building the integer network");
    for (int32_t i = 0; i < from->n_nodes; i++)
        NW_TRY(emit_node(e, i));
    for (int32_t i = 0; i < from->n_outputs; i++) {
        const int32_t index = reals_of(e, from->outputs[i]);
        if (index == NW_NONE)
            return nw_fail_memory(e->error, "building the integer network");
        e->model->outputs[e->model->n_outputs++] = index;
    }
    return nw_model_validate(e->model, e->error);
}

nw_status nw_scheme_emit(nw_model **out, const nw_scheme *scheme, nw_error *error)
{
    const size_t n = (size_t)scheme->model->n_tensors + 1;
    emitter e = {.scheme = scheme, .error = error};
    e.model = nw_model_create();
    e.codes = malloc(n * sizeof(*e.codes));
    e.reals = malloc(n * sizeof(*e.reals));
    nw_status status = NW_ERROR_MEMORY;
    if (!e.model || !e.codes || !e.reals) {
        nw_fail_memory(error, "building the integer network");
        goto cleanup;
    }
    for (size_t t = 0; t < n; t++)
        e.codes[t] = e.reals[t] = NW_NONE;
    status = emit_all(&e);
    if (status)
        goto cleanup;
    *out = e.model;
    e.model = NULL;

cleanup:
    nw_model_free(e.model);
    free(e.codes);
    free(e.reals);
    return status;
}
