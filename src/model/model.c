/* SPDX-License-Identifier: Apache-2.0 */
/* See model.h: building, copying and asking an nw_model. Checking is in validate.c, reading and writing in file*.c. */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/levels.h"

static void *copy_of(const void *data, size_t size)
{
    void *copy = malloc(size ? size : 1);
    if (copy && size)
        memcpy(copy, data, size);
    return copy;
}

static char *copy_of_text(const char *text)
{
    return copy_of(text, strlen(text) + 1);
}

/** Grows *items so that one more element fits; false without memory. */
static bool reserve_one(void **items, int32_t n, int32_t *capacity, size_t item_size)
{
    if (n < *capacity)
        return true;
    const int32_t wanted = *capacity ? *capacity * 2 : 16;
    void *grown = realloc(*items, (size_t)wanted * item_size);
    if (!grown)
        return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

nw_model *nw_model_create(void)
{
    nw_model *model = calloc(1, sizeof(*model));
    if (model)
        nw_preprocess_init(&model->preprocess);
    return model;
}

static void free_quant(nw_quant *quant)
{
    free(quant->lo);
    free(quant->hi);
    free(quant->shift);
}

void nw_linear_free(nw_linear *linear)
{
    if (!linear)
        return;
    free(linear->weights);
    free(linear->levels);
    free(linear->row_channel);
    free(linear->multiplier);
    free(linear->offset);
    free(linear->bias);
    free(linear->residual_multiplier);
    free(linear);
}

void nw_model_free(nw_model *model)
{
    if (!model)
        return;
    for (int32_t i = 0; i < model->n_tensors; i++) {
        free(model->tensors[i].name);
        free(model->tensors[i].data);
        free_quant(&model->tensors[i].quant);
    }
    for (int32_t i = 0; i < model->n_nodes; i++) {
        nw_node *node = &model->nodes[i];
        free(node->name);
        free(node->inputs);
        free(node->table);
        free(node->multipliers[0]);
        free(node->multipliers[1]);
        nw_linear_free(node->linear);
    }
    free(model->tensors);
    free(model->nodes);
    free(model->inputs);
    free(model->outputs);
    free(model->plan);
    free(model->symbol_codes);
    free(model);
}

int32_t nw_model_add_tensor(nw_model *model, const char *name, nw_type type, int32_t rank, const int32_t *dims)
{
    void *items = model->tensors;
    const bool fits = reserve_one(&items, model->n_tensors, &model->tensor_capacity, sizeof(nw_tensor));
    model->tensors = items;
    char *copy = fits ? copy_of_text(name) : NULL;
    if (!copy)
        return NW_NONE;
    nw_tensor *tensor = &model->tensors[model->n_tensors];
    *tensor = (nw_tensor){.name = copy, .type = type, .rank = (uint8_t)rank};
    memcpy(tensor->dims, dims, (size_t)rank * sizeof(*dims));
    return model->n_tensors++;
}

nw_status nw_tensor_alloc_quant(nw_tensor *tensor)
{
    const size_t channels = (size_t)nw_tensor_channels(tensor);
    nw_quant *quant = &tensor->quant;
    quant->lo = calloc(channels, sizeof(float));
    quant->hi = calloc(channels, sizeof(float));
    quant->shift = calloc(channels, 1);
    if (quant->lo && quant->hi && quant->shift)
        return NW_OK;
    free_quant(quant);
    *quant = (nw_quant){0};
    return NW_ERROR_MEMORY;
}

nw_node *nw_model_add_node(nw_model *model, nw_op op, const char *name, int32_t n_inputs)
{
    void *items = model->nodes;
    const bool fits = reserve_one(&items, model->n_nodes, &model->node_capacity, sizeof(nw_node));
    model->nodes = items;
    char *copy = fits ? copy_of_text(name) : NULL;
    int32_t *inputs = copy ? malloc((size_t)(n_inputs ? n_inputs : 1) * sizeof(*inputs)) : NULL;
    if (!inputs) {
        free(copy);
        return NULL;
    }
    for (int32_t i = 0; i < n_inputs; i++)
        inputs[i] = NW_NONE;
    nw_node *node = &model->nodes[model->n_nodes++];
    *node = (nw_node){
        .op = op,
        .name = copy,
        .n_inputs = n_inputs,
        .inputs = inputs,
        .output = NW_NONE,
        .window = {{1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
        .groups = 1,
        .lo = -INFINITY,
        .hi = INFINITY,
    };
    for (int32_t i = 0; i < NW_MAX_RANK; i++)
        node->steps[i] = 1;
    return node;
}

nw_linear *nw_linear_create(int32_t n_channels, int32_t n_rows, int32_t k, bool residual)
{
    nw_linear *linear = calloc(1, sizeof(*linear));
    size_t weights_size;
    if (!linear || !nw_size_mul(&weights_size, (size_t)n_rows, (size_t)k)) {
        free(linear);
        return NULL;
    }
    linear->n_channels = n_channels;
    linear->n_rows = n_rows;
    linear->k = k;
    linear->weight_bits = 8;
    linear->weights = calloc(weights_size, 1);
    linear->row_channel = calloc((size_t)n_rows, sizeof(int32_t));
    linear->multiplier = calloc((size_t)n_rows, sizeof(float));
    linear->offset = calloc((size_t)n_rows, sizeof(int32_t));
    linear->bias = calloc((size_t)n_channels, sizeof(float));
    linear->residual_multiplier = residual ? calloc((size_t)n_channels, sizeof(float)) : NULL;
    if (!linear->weights || !linear->row_channel || !linear->multiplier || !linear->offset || !linear->bias ||
        (residual && !linear->residual_multiplier)) {
        nw_linear_free(linear);
        return NULL;
    }
    for (int32_t o = 0; o < n_channels && o < n_rows; o++)
        linear->row_channel[o] = o;
    return linear;
}

bool nw_linear_set_offset(nw_linear *linear, int32_t row, int32_t zero_point)
{
    const int8_t *weights = linear->weights + (size_t)row * (size_t)linear->k;
    int64_t sum = 0;
    for (int32_t k = 0; k < linear->k; k++)
        sum += weights[k];
    const int64_t offset = -(int64_t)zero_point * sum;
    if (offset > INT32_MAX || offset < -INT32_MAX)
        return false;
    linear->offset[row] = (int32_t)offset;
    return true;
}

static nw_linear *copy_of_linear(const nw_linear *from)
{
    nw_linear *to = nw_linear_create(from->n_channels, from->n_rows, from->k, from->residual_multiplier != NULL);
    if (!to)
        return NULL;
    const size_t rows = (size_t)from->n_rows;
    const size_t channels = (size_t)from->n_channels;
    to->weight_bits = from->weight_bits;
    to->accumulator = from->accumulator;
    to->coded_size = from->coded_size;
    to->levels = from->levels ? copy_of(from->levels, nw_levels_count(from->weight_bits)) : NULL;
    if (from->levels && !to->levels) {
        nw_linear_free(to);
        return NULL;
    }
    memcpy(to->weights, from->weights, rows * (size_t)from->k);
    memcpy(to->row_channel, from->row_channel, rows * sizeof(int32_t));
    memcpy(to->multiplier, from->multiplier, rows * sizeof(float));
    memcpy(to->offset, from->offset, rows * sizeof(int32_t));
    memcpy(to->bias, from->bias, channels * sizeof(float));
    if (from->residual_multiplier)
        memcpy(to->residual_multiplier, from->residual_multiplier, channels * sizeof(float));
    return to;
}

static bool copy_tensor(nw_model *to, const nw_tensor *from)
{
    const int32_t t = nw_model_add_tensor(to, from->name, from->type, from->rank, from->dims);
    if (t == NW_NONE)
        return false;
    nw_tensor *tensor = &to->tensors[t];
    if (from->data) {
        tensor->data = copy_of(from->data, nw_tensor_elements(from) * sizeof(float));
        if (!tensor->data)
            return false;
    }
    if (from->quant.lo) {
        if (nw_tensor_alloc_quant(tensor))
            return false;
        const size_t channels = (size_t)nw_tensor_channels(from);
        tensor->quant.bits = from->quant.bits;
        tensor->quant.zero_point = from->quant.zero_point;
        tensor->quant.scale = from->quant.scale;
        memcpy(tensor->quant.lo, from->quant.lo, channels * sizeof(float));
        memcpy(tensor->quant.hi, from->quant.hi, channels * sizeof(float));
        memcpy(tensor->quant.shift, from->quant.shift, channels);
        tensor->quant.code = from->quant.code;
        tensor->quant.low_code = from->quant.low_code;
    }
    return true;
}

static bool copy_node(nw_model *to, const nw_model *from_model, const nw_node *from)
{
    nw_node *node = nw_model_add_node(to, from->op, from->name, from->n_inputs);
    if (!node)
        return false;
    char *name = node->name;
    int32_t *inputs = node->inputs;
    memcpy(inputs, from->inputs, (size_t)from->n_inputs * sizeof(*inputs));
    *node = *from;
    node->name = name;
    node->inputs = inputs;
    node->table = NULL;
    node->linear = NULL;
    node->multipliers[0] = node->multipliers[1] = NULL;
    if (from->table && !(node->table = copy_of(from->table, (size_t)from->n_tables * 256)))
        return false;
    if (from->linear && !(node->linear = copy_of_linear(from->linear)))
        return false;
    const size_t channels = (size_t)nw_tensor_channels(&from_model->tensors[from->output]);
    for (int i = 0; i < 2; i++)
        if (from->multipliers[i] && !(node->multipliers[i] = copy_of(from->multipliers[i], channels * sizeof(float))))
            return false;
    return true;
}

static bool copy_indices(int32_t **to, int32_t *n_to, const int32_t *from, int32_t n)
{
    *to = copy_of(from, (size_t)n * sizeof(*from));
    *n_to = *to ? n : 0;
    return *to != NULL;
}

nw_model *nw_model_copy(const nw_model *model)
{
    nw_model *copy = nw_model_create();
    bool done = copy != NULL;
    for (int32_t i = 0; done && i < model->n_tensors; i++)
        done = copy_tensor(copy, &model->tensors[i]);
    for (int32_t i = 0; done && i < model->n_nodes; i++)
        done = copy_node(copy, model, &model->nodes[i]);
    done = done && copy_indices(&copy->inputs, &copy->n_inputs, model->inputs, model->n_inputs) &&
           copy_indices(&copy->outputs, &copy->n_outputs, model->outputs, model->n_outputs);
    if (done && model->n_symbol_codes) {
        copy->symbol_codes = copy_of(model->symbol_codes, (size_t)model->n_symbol_codes * sizeof(*model->symbol_codes));
        done = copy->symbol_codes != NULL;
        copy->n_symbol_codes = done ? model->n_symbol_codes : 0;
    }
    if (done && model->plan)
        done = (copy->plan = copy_of_text(model->plan)) != NULL;
    if (!done) {
        nw_model_free(copy);
        return NULL;
    }
    copy->preprocess = model->preprocess;
    copy->has_preprocess = model->has_preprocess;
    copy->source_size = model->source_size;
    copy->weight_storage = model->weight_storage;
    return copy;
}

int32_t nw_tensor_channels(const nw_tensor *tensor)
{
    return tensor->rank > 1 ? tensor->dims[1] : tensor->rank == 1 ? tensor->dims[0] : 1;
}

int32_t nw_tensor_height(const nw_tensor *tensor)
{
    return tensor->rank >= 4 ? tensor->dims[2] : 1;
}

int32_t nw_tensor_width(const nw_tensor *tensor)
{
    return tensor->rank >= 4 ? tensor->dims[3] : tensor->rank == 3 ? tensor->dims[2] : 1;
}

size_t nw_tensor_elements(const nw_tensor *tensor)
{
    size_t n = 1;
    for (int32_t i = 0; i < tensor->rank; i++)
        n *= (size_t)tensor->dims[i];
    return n;
}

int32_t nw_quant_extra_bits(const nw_quant *quant, int32_t n_channels, int32_t *n_fine)
{
    int32_t most = 0;
    int32_t n = 0;
    for (int32_t c = 0; c < n_channels; c++)
        most = quant->shift[c] > most ? quant->shift[c] : most;
    for (int32_t c = 0; c < n_channels; c++)
        n += quant->shift[c] < most;
    if (n_fine)
        *n_fine = n;
    return n ? most : 0;
}

void nw_quant_code_range(const nw_quant *quant, int32_t c, int32_t *lowest, int32_t *highest)
{
    const int32_t step = 1 << quant->shift[c];
    *lowest = quant->zero_point + (int32_t)quant->lo[c] * step;
    *highest = quant->zero_point + (int32_t)quant->hi[c] * step;
}

static const char *const op_names[NW_OP_COUNT] = {
    [NW_OP_CONV] = "conv",
    [NW_OP_CONV_TRANSPOSE] = "conv_transpose",
    [NW_OP_QUANTIZE] = "quantize",
    [NW_OP_DEQUANTIZE] = "dequantize",
    [NW_OP_ADD] = "add",
    [NW_OP_MAX_POOL] = "max_pool",
    [NW_OP_AVERAGE_POOL] = "average_pool",
    [NW_OP_CONCAT] = "concat",
    [NW_OP_SLICE] = "slice",
    [NW_OP_PAD] = "pad",
    [NW_OP_RESHAPE] = "reshape",
    [NW_OP_TRANSPOSE] = "transpose",
    [NW_OP_RESIZE] = "resize",
    [NW_OP_TABLE] = "table",
    [NW_OP_RELU] = "relu",
    [NW_OP_CLIP] = "clip",
    [NW_OP_BATCH_NORM] = "batch_norm",
    [NW_OP_GEMM] = "gemm",
    [NW_OP_SUB] = "sub",
    [NW_OP_MUL] = "mul",
    [NW_OP_DIV] = "div",
    [NW_OP_SIGMOID] = "sigmoid",
    [NW_OP_TANH] = "tanh",
    [NW_OP_EXP] = "exp",
    [NW_OP_HARD_SIGMOID] = "hard_sigmoid",
    [NW_OP_HARD_SWISH] = "hard_swish",
    [NW_OP_SILU] = "silu",
    [NW_OP_LEAKY_RELU] = "leaky_relu",
    [NW_OP_SOFTMAX] = "softmax",
};

const char *nw_op_name(nw_op op)
{
    return op < NW_OP_COUNT ? op_names[op] : "unknown";
}

nw_op nw_op_from_name(const char *name)
{
    for (int op = 0; op < NW_OP_COUNT; op++)
        if (strcmp(op_names[op], name) == 0)
            return (nw_op)op;
    return NW_OP_COUNT;
}

uint64_t nw_node_macs(const nw_model *model, const nw_node *node)
{
    if (node->op != NW_OP_CONV && node->op != NW_OP_CONV_TRANSPOSE && node->op != NW_OP_GEMM)
        return 0;
    const nw_tensor *x = &model->tensors[node->inputs[0]];
    const nw_tensor *y = &model->tensors[node->output];
    const nw_tensor *at = node->op == NW_OP_CONV_TRANSPOSE ? x : y;
    const uint64_t positions = (uint64_t)nw_tensor_height(at) * (uint64_t)nw_tensor_width(at);
    if (node->linear)
        return positions * (uint64_t)node->linear->n_rows * (uint64_t)node->linear->k;
    const nw_tensor *w = &model->tensors[node->inputs[1]];
    return positions * (uint64_t)nw_tensor_elements(w);
}

int32_t nw_model_producer(const nw_model *model, int32_t tensor)
{
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (model->nodes[i].output == tensor)
            return i;
    return NW_NONE;
}

int32_t nw_model_uses(const nw_model *model, int32_t tensor)
{
    int32_t uses = 0;
    for (int32_t i = 0; i < model->n_nodes; i++)
        for (int32_t j = 0; j < model->nodes[i].n_inputs; j++)
            uses += model->nodes[i].inputs[j] == tensor;
    for (int32_t i = 0; i < model->n_outputs; i++)
        uses += model->outputs[i] == tensor;
    return uses;
}
