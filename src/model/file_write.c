/* SPDX-License-Identifier: Apache-2.0 */
/* See file.h: a model becomes bytes. The model is valid when it gets here; only memory can run out. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "model/file.h"
#include "model/file_graph.h"
#include "model/file_shared.h"
#include "model/json.h"
#include "model/levels.h"
#include "model/safetensors.h"
#include "model/weight_code.h"
#include "model/weight_storage.h"

#define PLAN_DEPTH 32

/** What is built: the container, and the arrays that tensors and nodes share. */
typedef struct writer {
    nw_safetensors file;
    nw_shared_writer shared;
    bool coding; /* weights, where it is worth it */
    bool *coded; /* [nodes] owned: where it was */
} writer;

static void store_f32(uint8_t *to, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, &values[i], 4);
        nw_store_le32(to + 4 * i, word);
    }
}

static bool share_f32(writer *w, nw_shared which, const float *values, size_t n)
{
    uint8_t *to = nw_shared_grow(&w->shared, which, n);
    if (to)
        store_f32(to, values, n);
    return to != NULL;
}

static bool share_i32(writer *w, nw_shared which, const int32_t *values, size_t n)
{
    uint8_t *to = nw_shared_grow(&w->shared, which, n);
    for (size_t i = 0; to && i < n; i++)
        nw_store_le32(to + 4 * i, (uint32_t)values[i]);
    return to != NULL;
}

/** Limits are integers from -255 to 255: their magnitudes. */
static bool share_limits(writer *w, nw_shared which, const float *values, size_t n)
{
    uint8_t *to = nw_shared_grow(&w->shared, which, n);
    for (size_t i = 0; to && i < n; i++)
        to[i] = (uint8_t)(values[i] < 0 ? -values[i] : values[i]);
    return to != NULL;
}

static bool share_u8(writer *w, nw_shared which, const uint8_t *values, size_t n)
{
    uint8_t *to = nw_shared_grow(&w->shared, which, n);
    if (to)
        memcpy(to, values, n);
    return to != NULL;
}

/** An array of one tensor or node. */
static uint8_t *add(writer *w, char kind, int32_t index, const char *part, nw_array_type type, int32_t rank,
                    const size_t *dims)
{
    nw_file_name name;
    nw_file_name_format(name, kind, index, part);
    return nw_safetensors_add(&w->file, name, type, rank, dims);
}

static bool add_constant(writer *w, int32_t index, const nw_tensor *tensor)
{
    size_t dims[NW_MAX_RANK];
    for (int32_t i = 0; i < tensor->rank; i++)
        dims[i] = (size_t)tensor->dims[i];
    uint8_t *to = add(w, 't', index, "data", NW_ARRAY_F32, tensor->rank, dims);
    if (to)
        store_f32(to, tensor->data, nw_tensor_elements(tensor));
    return to != NULL;
}

static bool add_quant(writer *w, const nw_tensor *tensor)
{
    const nw_quant *quant = &tensor->quant;
    const size_t channels = (size_t)nw_tensor_channels(tensor);
    return share_f32(w, NW_SHARED_SCALE, &quant->scale, 1) &&
           (!quant->zero_point || share_limits(w, NW_SHARED_LO, quant->lo, channels)) &&
           share_limits(w, NW_SHARED_HI, quant->hi, channels) &&
           share_u8(w, NW_SHARED_SHIFT, quant->shift, channels);
}

/** Lengths of the words, the even symbol's in the low half of a byte. */
static bool add_code(writer *w, const nw_symbol_code *code)
{
    const size_t n = (size_t)1 << code->bits >> 1;
    uint8_t *to = nw_shared_grow(&w->shared, NW_SHARED_CODE_LENGTH, n);
    for (size_t i = 0; to && i < n; i++)
        to[i] = (uint8_t)(code->lengths[2 * i] | code->lengths[2 * i + 1] << 4);
    return to != NULL;
}

static void pack_rows(uint8_t *to, const nw_linear *linear, const int8_t *values)
{
    const size_t k = (size_t)linear->k, row_size = nw_bits_row_size(k, linear->weight_bits);
    for (size_t row = 0; row < (size_t)linear->n_rows; row++)
        nw_bits_pack(to + row * row_size, values + row * k, k, linear->weight_bits);
}

/** Packed or coded; notes which. */
static bool add_weights(writer *w, int32_t index, const nw_node *node)
{
    const nw_linear *linear = node->linear;
    const size_t rows = (size_t)linear->n_rows, k = (size_t)linear->k;
    int8_t *values = nw_weight_values(linear);
    if (!values)
        return false;
    const size_t coded = w->coding ? nw_weight_coded_size(node, values) : 0;
    uint8_t *to = coded ? add(w, 'n', index, "weights", NW_ARRAY_U8, 1, &coded)
                        : add(w, 'n', index, "weights", NW_ARRAY_U8, 2,
                              (size_t[]){rows, nw_bits_row_size(k, linear->weight_bits)});
    if (to && coded)
        nw_weight_code_encode(to, values, rows, k, nw_weight_period(node));
    else if (to)
        pack_rows(to, linear, values);
    w->coded[index] = coded != 0;
    if (values != linear->weights)
        free(values);
    return to != NULL;
}

static bool add_levels(writer *w, int32_t index, const nw_linear *linear)
{
    const size_t n = nw_levels_count(linear->weight_bits);
    uint8_t *to = add(w, 'n', index, "levels", NW_ARRAY_U8, 1, &n);
    if (to)
        memcpy(to, linear->levels, n);
    return to != NULL;
}

static bool add_linear(writer *w, int32_t index, const nw_node *node)
{
    const nw_linear *linear = node->linear;
    const size_t rows = (size_t)linear->n_rows, channels = (size_t)linear->n_channels;
    return add_weights(w, index, node) && (!linear->levels || add_levels(w, index, linear)) &&
           share_f32(w, NW_SHARED_MULTIPLIER, linear->multiplier, rows) &&
           (!linear->residual_multiplier ||
            share_f32(w, NW_SHARED_MULTIPLIER, linear->residual_multiplier, channels)) &&
           share_f32(w, NW_SHARED_BIAS, linear->bias, channels) &&
           (rows == channels ||
            share_i32(w, NW_SHARED_ROW_CHANNEL, linear->row_channel + channels, rows - channels));
}

static bool add_table(writer *w, int32_t index, const nw_node *node)
{
    uint8_t *to = add(w, 'n', index, "table", NW_ARRAY_U8, 2, (size_t[]){(size_t)node->n_tables, 256});
    if (to)
        memcpy(to, node->table, (size_t)node->n_tables * 256);
    return to != NULL;
}

static bool add_node_arrays(writer *w, const nw_model *model, int32_t index)
{
    const nw_node *node = &model->nodes[index];
    const nw_tensor *y = &model->tensors[node->output];
    const size_t channels = (size_t)nw_tensor_channels(y);
    switch (node->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
        return add_linear(w, index, node);
    case NW_OP_QUANTIZE:
        return !node->table || add_table(w, index, node);
    case NW_OP_TABLE:
        return add_table(w, index, node);
    case NW_OP_MUL:
        return y->type != NW_TYPE_U8 || share_f32(w, NW_SHARED_MULTIPLIER, node->multipliers[0], channels);
    case NW_OP_AVERAGE_POOL:
        return share_f32(w, NW_SHARED_MULTIPLIER, node->multipliers[0], channels);
    case NW_OP_ADD:
        return y->type != NW_TYPE_U8 || (share_f32(w, NW_SHARED_MULTIPLIER, node->multipliers[0], channels) &&
                                         share_f32(w, NW_SHARED_MULTIPLIER, node->multipliers[1], channels));
    default:
        return true;
    }
}

/** All numbers of the model that are not in its JSON. */
static bool add_arrays(writer *w, const nw_model *model)
{
    bool done = true;
    for (int32_t i = 0; done && i < model->n_tensors; i++) {
        const nw_tensor *tensor = &model->tensors[i];
        if (tensor->data)
            done = add_constant(w, i, tensor);
        if (tensor->type == NW_TYPE_U8)
            done = add_quant(w, tensor);
    }
    for (int32_t i = 0; done && i < model->n_symbol_codes; i++)
        done = add_code(w, &model->symbol_codes[i]);
    for (int32_t i = 0; done && i < model->n_nodes; i++)
        done = add_node_arrays(w, model, i);
    return done && nw_shared_write(&w->file, &w->shared);
}

/** Adds `item` unless it could not be made; false without memory. */
static bool put(cJSON *object, const char *key, cJSON *item)
{
    if (item && cJSON_AddItemToObject(object, key, item))
        return true;
    cJSON_Delete(item);
    return false;
}

/** Adds a number unless it is the usual one. */
static bool put_unusual(cJSON *object, const char *key, int32_t value, int32_t usual)
{
    return value == usual || put(object, key, cJSON_CreateNumber(value));
}

static cJSON *describe_tensor(const nw_tensor *tensor)
{
    cJSON *object = cJSON_CreateObject();
    bool done = put(object, "name", cJSON_CreateString(tensor->name));
    if (tensor->type == NW_TYPE_F32)
        done = done && put(object, "type", cJSON_CreateString("f32"));
    done = done && put(object, "dims", cJSON_CreateIntArray(tensor->dims, tensor->rank));
    if (tensor->data)
        done = done && put(object, "constant", cJSON_CreateTrue());
    if (tensor->type == NW_TYPE_U8)
        done = done && put_unusual(object, "bits", tensor->quant.bits, 8) &&
               put_unusual(object, "zero_point", tensor->quant.zero_point, 0) &&
               put_unusual(object, "code", tensor->quant.code - 1, NW_NONE) &&
               put_unusual(object, "low_code", tensor->quant.low_code - 1, NW_NONE);
    if (done)
        return object;
    cJSON_Delete(object);
    return NULL;
}

static bool put_attributes(cJSON *object, const nw_node *node, int32_t rank)
{
    bool done = true;
    for (int a = 0; done && a < NW_N_ATTRIBUTES; a++) {
        const nw_attribute *attribute = &nw_file_attributes[a];
        const int32_t *values = (const int32_t *)(const void *)((const char *)node + attribute->offset);
        const int32_t n = nw_attribute_count(attribute, rank);
        if (nw_attribute_applies(attribute, node->op) && !nw_attribute_is_usual(attribute, values, n))
            done = put(object, attribute->key,
                       attribute->length ? cJSON_CreateIntArray(values, n) : cJSON_CreateNumber(*values));
    }
    return done;
}

/** Inputs and output, unless the node reads the output of the one before and writes the tensor behind that. */
static bool put_links(cJSON *object, const nw_node *node, int32_t before)
{
    const int32_t residual = node->linear ? nw_node_residual(node) : NW_NONE;
    const int32_t linear[2] = {node->inputs[0], residual};
    const int32_t *inputs = node->linear ? linear : node->inputs;
    const int32_t n = node->linear ? 1 + (residual != NW_NONE) : node->n_inputs;
    return ((n == 1 && inputs[0] == before) || put(object, "inputs", cJSON_CreateIntArray(inputs, n))) &&
           put_unusual(object, "output", node->output, before + 1);
}

static bool put_linear(cJSON *object, const nw_linear *linear, bool coded)
{
    return put_unusual(object, "weight_bits", linear->weight_bits, 8) &&
           put_unusual(object, "rows", linear->n_rows, linear->n_channels) &&
           (!coded || put(object, "storage", cJSON_CreateString("coded"))) &&
           (linear->accumulator == NW_ACCUMULATOR_AUTO ||
            put(object, "accumulator", cJSON_CreateString(nw_file_accumulators[linear->accumulator])));
}

static cJSON *describe_node(const nw_model *model, int32_t index, bool coded)
{
    const nw_node *node = &model->nodes[index];
    const int32_t before = index ? model->nodes[index - 1].output : 0;
    cJSON *object = cJSON_CreateObject();
    bool done = put(object, "op", cJSON_CreateString(nw_op_name(node->op))) &&
                put(object, "name", cJSON_CreateString(node->name)) && put_links(object, node, before) &&
                put_attributes(object, node, model->tensors[node->output].rank);
    if (node->op == NW_OP_AVERAGE_POOL && node->count_include_pad)
        done = done && put(object, "count_include_pad", cJSON_CreateTrue());
    if (node->op == NW_OP_RESIZE)
        done = done && put(object, "mode", cJSON_CreateString(nw_file_resize_modes[node->resize_mode]));
    if (node->op == NW_OP_RESIZE && node->resize_mode == NW_RESIZE_LINEAR)
        done = done && put(object, "coordinates", cJSON_CreateString(nw_file_coordinates[node->resize_coordinates]));
    if (node->linear)
        done = done && put_linear(object, node->linear, coded);
    if (done)
        return object;
    cJSON_Delete(object);
    return NULL;
}

/** Bits of the symbols of all codes, if there are any. */
static bool put_codes(cJSON *graph, const nw_model *model)
{
    cJSON *codes = model->n_symbol_codes ? cJSON_AddArrayToObject(graph, "codes") : NULL;
    bool done = codes || !model->n_symbol_codes;
    for (int32_t i = 0; done && i < model->n_symbol_codes; i++)
        done = cJSON_AddItemToArray(codes, cJSON_CreateNumber(model->symbol_codes[i].bits));
    return done;
}

/** The graph as JSON text, to be freed with cJSON_free; NULL without memory. @param coded  [nodes] */
static char *format_graph(const nw_model *model, const bool *coded)
{
    cJSON *graph = cJSON_CreateObject();
    bool done = put(graph, "inputs", cJSON_CreateIntArray(model->inputs, model->n_inputs)) &&
                put(graph, "outputs", cJSON_CreateIntArray(model->outputs, model->n_outputs)) &&
                put_codes(graph, model);
    cJSON *tensors = done ? cJSON_AddArrayToObject(graph, "tensors") : NULL;
    cJSON *nodes = tensors ? cJSON_AddArrayToObject(graph, "nodes") : NULL;
    done = nodes != NULL;
    for (int32_t i = 0; done && i < model->n_tensors; i++)
        done = cJSON_AddItemToArray(tensors, describe_tensor(&model->tensors[i]));
    for (int32_t i = 0; done && i < model->n_nodes; i++)
        done = cJSON_AddItemToArray(nodes, describe_node(model, i, coded[i]));
    char *text = done ? cJSON_PrintUnformatted(graph) : NULL;
    cJSON_Delete(graph);
    return text;
}

static bool add_preprocess(writer *w, nw_preprocess preprocess)
{
    if (nw_preprocess_validate(&preprocess, NULL)) /* also spreads the means, so that reading and writing agree */
        return false;
    char *text = nw_preprocess_format(&preprocess);
    const bool done = text && nw_safetensors_add_text(&w->file, NW_FILE_KEY_PREPROCESS, text);
    free(text);
    const size_t n_mean = (size_t)preprocess.n_mean, n_std = (size_t)preprocess.n_std;
    uint8_t *mean = done ? nw_safetensors_add(&w->file, "preprocess.mean", NW_ARRAY_F32, 1, &n_mean) : NULL;
    uint8_t *std = done ? nw_safetensors_add(&w->file, "preprocess.std", NW_ARRAY_F32, 1, &n_std) : NULL;
    if (!mean || !std)
        return false;
    store_f32(mean, preprocess.mean, n_mean);
    store_f32(std, preprocess.std, n_std);
    return true;
}

static nw_status check_plan(const char *plan, nw_error *error)
{
    cJSON *tree = NULL;
    NW_TRY(nw_json_parse(&tree, plan, strlen(plan), PLAN_DEPTH, "plan", error));
    const bool object = cJSON_IsObject(tree);
    cJSON_Delete(tree);
    return object ? NW_OK : nw_fail(error, NW_ERROR_DATA, "plan: must be a JSON object");
}

/** Arrays come first: only they tell which weights are coded. False without memory. */
static bool build(writer *w, const nw_model *model)
{
    w->coding = model->weight_storage == NW_STORED_CODED;
    w->coded = calloc((size_t)model->n_nodes, sizeof(*w->coded));
    if (!w->coded || (model->has_preprocess && !add_preprocess(w, model->preprocess)) || !add_arrays(w, model))
        return false;
    char *graph = format_graph(model, w->coded);
    const bool done = graph && nw_safetensors_add_text(&w->file, NW_FILE_KEY_VERSION, "1") &&
                      nw_safetensors_add_text(&w->file, NW_FILE_KEY_GRAPH, graph) &&
                      (!model->plan || nw_safetensors_add_text(&w->file, NW_FILE_KEY_PLAN, model->plan));
    cJSON_free(graph);
    return done;
}

nw_status nw_model_serialize(nw_bytes *out, const nw_model *model, nw_error *error)
{
    writer w = {0};
    NW_TRY(nw_model_validate(model, error));
    if (model->plan)
        NW_TRY(check_plan(model->plan, error));
    const nw_status status = build(&w, model) ? nw_safetensors_serialize(out, &w.file, error)
                                              : nw_fail_memory(error, "writing a model");
    free(w.coded);
    nw_shared_free(&w.shared);
    nw_safetensors_free(&w.file);
    return status;
}

nw_status nw_model_write(const nw_model *model, const char *path, nw_error *error)
{
    nw_bytes bytes = {0};
    NW_TRY(nw_model_serialize(&bytes, model, error));
    const nw_piece piece = {bytes.data, bytes.size};
    const nw_status status = nw_file_write(path, &piece, 1, error);
    nw_bytes_free(&bytes);
    return status;
}
