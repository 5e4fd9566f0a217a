/* SPDX-License-Identifier: Apache-2.0 */
/* See file.h: a model becomes bytes. The model is valid when it gets here; only memory can run out. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "model/file.h"
#include "model/file_graph.h"
#include "model/json.h"
#include "model/levels.h"
#include "model/safetensors.h"

#define PLAN_DEPTH 32

static void store_f32(uint8_t *to, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, &values[i], 4);
        nw_store_le32(to + 4 * i, word);
    }
}

static void store_i32(uint8_t *to, const int32_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        nw_store_le32(to + 4 * i, (uint32_t)values[i]);
}

/** Limits are integers of at most 8 bits and sign. */
static void store_limits(uint8_t *to, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        nw_store_le16(to + 2 * i, (uint16_t)(int16_t)values[i]);
}

static uint8_t *add(nw_safetensors *file, char kind, int32_t index, const char *part, nw_array_type type, size_t n)
{
    nw_file_name name;
    nw_file_name_format(name, kind, index, part);
    return nw_safetensors_add(file, name, type, 1, &n);
}

static bool add_f32(nw_safetensors *file, char kind, int32_t index, const char *part, const float *values, size_t n)
{
    uint8_t *to = add(file, kind, index, part, NW_ARRAY_F32, n);
    if (to)
        store_f32(to, values, n);
    return to != NULL;
}

static bool add_i32(nw_safetensors *file, char kind, int32_t index, const char *part, const int32_t *values, size_t n)
{
    uint8_t *to = add(file, kind, index, part, NW_ARRAY_I32, n);
    if (to)
        store_i32(to, values, n);
    return to != NULL;
}

static bool add_constant(nw_safetensors *file, int32_t index, const nw_tensor *tensor)
{
    nw_file_name name;
    size_t dims[NW_MAX_RANK];
    for (int32_t i = 0; i < tensor->rank; i++)
        dims[i] = (size_t)tensor->dims[i];
    nw_file_name_format(name, 't', index, "data");
    uint8_t *to = nw_safetensors_add(file, name, NW_ARRAY_F32, tensor->rank, dims);
    if (to)
        store_f32(to, tensor->data, nw_tensor_elements(tensor));
    return to != NULL;
}

static bool add_quant(nw_safetensors *file, int32_t index, const nw_tensor *tensor)
{
    const nw_quant *quant = &tensor->quant;
    const size_t channels = (size_t)nw_tensor_channels(tensor);
    bool shifted = false;
    for (size_t c = 0; c < channels; c++)
        shifted |= quant->shift[c] != 0;
    uint8_t *lo = add(file, 't', index, "lo", NW_ARRAY_I16, channels);
    uint8_t *hi = add(file, 't', index, "hi", NW_ARRAY_I16, channels);
    uint8_t *shift = shifted ? add(file, 't', index, "shift", NW_ARRAY_U8, channels) : NULL;
    if (!lo || !hi || (shifted && !shift))
        return false;
    store_limits(lo, quant->lo, channels);
    store_limits(hi, quant->hi, channels);
    if (shifted)
        memcpy(shift, quant->shift, channels);
    return true;
}

/** Packs the rows; false without memory. */
static bool pack_rows(uint8_t *to, const nw_linear *linear, size_t row_size)
{
    const size_t k = (size_t)linear->k;
    int8_t *codes = linear->levels ? malloc(k) : NULL;
    bool done = codes || !linear->levels;
    for (size_t row = 0; done && row < (size_t)linear->n_rows; row++) {
        const int8_t *weights = linear->weights + row * k;
        if (linear->levels) /* validated: every weight is in the book */
            done = nw_levels_encode(codes, weights, k, linear->levels, linear->weight_bits);
        nw_bits_pack(to + row * row_size, codes ? codes : weights, k, linear->weight_bits);
    }
    free(codes);
    return done;
}

static bool add_levels(nw_safetensors *file, int32_t index, const nw_linear *linear)
{
    uint8_t *to = add(file, 'n', index, "levels", NW_ARRAY_U8, nw_levels_count(linear->weight_bits));
    if (to)
        memcpy(to, linear->levels, nw_levels_count(linear->weight_bits));
    return to != NULL;
}

static bool add_linear(nw_safetensors *file, int32_t index, const nw_linear *linear)
{
    const size_t rows = (size_t)linear->n_rows, channels = (size_t)linear->n_channels, k = (size_t)linear->k;
    const size_t row_size = nw_bits_row_size(k, linear->weight_bits);
    nw_file_name name;
    nw_file_name_format(name, 'n', index, "weights");
    uint8_t *weights = nw_safetensors_add(file, name, NW_ARRAY_U8, 2, (size_t[]){rows, row_size});
    return weights && pack_rows(weights, linear, row_size) && (!linear->levels || add_levels(file, index, linear)) &&
           add_f32(file, 'n', index, "multiplier", linear->multiplier, rows) &&
           add_i32(file, 'n', index, "offset", linear->offset, rows) &&
           add_f32(file, 'n', index, "bias", linear->bias, channels) &&
           (rows == channels ||
            add_i32(file, 'n', index, "row_channel", linear->row_channel + channels, rows - channels)) &&
           (!linear->residual_multiplier ||
            add_f32(file, 'n', index, "residual_multiplier", linear->residual_multiplier, channels));
}

static bool add_table(nw_safetensors *file, int32_t index, const nw_node *node)
{
    nw_file_name name;
    nw_file_name_format(name, 'n', index, "table");
    uint8_t *to = nw_safetensors_add(file, name, NW_ARRAY_U8, 2, (size_t[]){(size_t)node->n_tables, 256});
    if (to)
        memcpy(to, node->table, (size_t)node->n_tables * 256);
    return to != NULL;
}

static bool add_node_arrays(nw_safetensors *file, const nw_model *model, int32_t index)
{
    const nw_node *node = &model->nodes[index];
    const nw_tensor *y = &model->tensors[node->output];
    const size_t channels = (size_t)nw_tensor_channels(y);
    switch (node->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
        return add_linear(file, index, node->linear);
    case NW_OP_QUANTIZE:
        return !node->table || add_table(file, index, node);
    case NW_OP_TABLE:
        return add_table(file, index, node);
    case NW_OP_MUL:
        return y->type != NW_TYPE_U8 || add_f32(file, 'n', index, "multiplier", node->multipliers[0], channels);
    case NW_OP_AVERAGE_POOL:
        return add_f32(file, 'n', index, "multiplier", node->multipliers[0], channels);
    case NW_OP_ADD:
        return y->type != NW_TYPE_U8 || (add_f32(file, 'n', index, "multiplier_a", node->multipliers[0], channels) &&
                                         add_f32(file, 'n', index, "multiplier_b", node->multipliers[1], channels));
    default:
        return true;
    }
}

/** All numbers of the model that are not in its JSON. */
static bool add_arrays(nw_safetensors *file, const nw_model *model)
{
    const size_t n_tensors = (size_t)model->n_tensors;
    uint8_t *scale = nw_safetensors_add(file, "scale", NW_ARRAY_F32, 1, &n_tensors);
    bool done = scale != NULL;
    for (int32_t i = 0; done && i < model->n_tensors; i++) {
        const nw_tensor *tensor = &model->tensors[i];
        if (tensor->data)
            done = add_constant(file, i, tensor);
        if (tensor->type != NW_TYPE_U8)
            continue;
        store_f32(scale + 4 * (size_t)i, &tensor->quant.scale, 1);
        done = add_quant(file, i, tensor);
    }
    for (int32_t i = 0; done && i < model->n_nodes; i++)
        done = add_node_arrays(file, model, i);
    return done;
}

/** Adds `item` unless it could not be made; false without memory. */
static bool put(cJSON *object, const char *key, cJSON *item)
{
    if (item && cJSON_AddItemToObject(object, key, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *describe_tensor(const nw_tensor *tensor)
{
    cJSON *object = cJSON_CreateObject();
    bool done = put(object, "name", cJSON_CreateString(tensor->name)) &&
                put(object, "type", cJSON_CreateString(tensor->type == NW_TYPE_U8 ? "u8" : "f32")) &&
                put(object, "dims", cJSON_CreateIntArray(tensor->dims, tensor->rank));
    if (tensor->data)
        done = done && put(object, "constant", cJSON_CreateTrue());
    if (tensor->type == NW_TYPE_U8)
        done = done && put(object, "bits", cJSON_CreateNumber(tensor->quant.bits)) &&
               put(object, "zero_point", cJSON_CreateNumber(tensor->quant.zero_point));
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
        if (nw_attribute_applies(attribute, node->op))
            done = put(object, attribute->key,
                       attribute->length ? cJSON_CreateIntArray(values, nw_attribute_count(attribute, rank))
                                         : cJSON_CreateNumber(*values));
    }
    return done;
}

static cJSON *describe_node(const nw_model *model, const nw_node *node)
{
    cJSON *object = cJSON_CreateObject();
    bool done = put(object, "op", cJSON_CreateString(nw_op_name(node->op))) &&
                put(object, "name", cJSON_CreateString(node->name)) &&
                put(object, "inputs", cJSON_CreateIntArray(node->inputs, node->n_inputs)) &&
                put(object, "output", cJSON_CreateNumber(node->output)) &&
                put_attributes(object, node, model->tensors[node->output].rank);
    if (node->op == NW_OP_AVERAGE_POOL)
        done = done && put(object, "count_include_pad", cJSON_CreateBool(node->count_include_pad));
    if (node->op == NW_OP_RESIZE)
        done = done && put(object, "mode", cJSON_CreateString(nw_file_resize_modes[node->resize_mode]));
    if (node->op == NW_OP_RESIZE && node->resize_mode == NW_RESIZE_LINEAR)
        done = done && put(object, "coordinates", cJSON_CreateString(nw_file_coordinates[node->resize_coordinates]));
    if (node->linear)
        done = done && put(object, "weight_bits", cJSON_CreateNumber(node->linear->weight_bits)) &&
               put(object, "k", cJSON_CreateNumber(node->linear->k)) &&
               put(object, "accumulator", cJSON_CreateString(nw_file_accumulators[node->linear->accumulator]));
    if (done)
        return object;
    cJSON_Delete(object);
    return NULL;
}

/** The graph as JSON text, to be freed with cJSON_free; NULL without memory. */
static char *format_graph(const nw_model *model)
{
    cJSON *graph = cJSON_CreateObject();
    bool done = put(graph, "inputs", cJSON_CreateIntArray(model->inputs, model->n_inputs)) &&
                put(graph, "outputs", cJSON_CreateIntArray(model->outputs, model->n_outputs));
    cJSON *tensors = done ? cJSON_AddArrayToObject(graph, "tensors") : NULL;
    cJSON *nodes = tensors ? cJSON_AddArrayToObject(graph, "nodes") : NULL;
    done = nodes != NULL;
    for (int32_t i = 0; done && i < model->n_tensors; i++)
        done = cJSON_AddItemToArray(tensors, describe_tensor(&model->tensors[i]));
    for (int32_t i = 0; done && i < model->n_nodes; i++)
        done = cJSON_AddItemToArray(nodes, describe_node(model, &model->nodes[i]));
    char *text = done ? cJSON_PrintUnformatted(graph) : NULL;
    cJSON_Delete(graph);
    return text;
}

static bool add_preprocess(nw_safetensors *file, nw_preprocess preprocess)
{
    if (nw_preprocess_validate(&preprocess, NULL)) /* also spreads the means, so that reading and writing agree */
        return false;
    char *text = nw_preprocess_format(&preprocess);
    const bool done = text && nw_safetensors_add_text(file, NW_FILE_KEY_PREPROCESS, text);
    free(text);
    const size_t n_mean = (size_t)preprocess.n_mean, n_std = (size_t)preprocess.n_std;
    uint8_t *mean = done ? nw_safetensors_add(file, "preprocess.mean", NW_ARRAY_F32, 1, &n_mean) : NULL;
    uint8_t *std = done ? nw_safetensors_add(file, "preprocess.std", NW_ARRAY_F32, 1, &n_std) : NULL;
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

nw_status nw_model_serialize(nw_bytes *out, const nw_model *model, nw_error *error)
{
    nw_safetensors file = {0};
    char *graph = NULL;
    nw_status status = nw_model_validate(model, error);
    if (status)
        return status;
    if (model->plan) {
        status = check_plan(model->plan, error);
        if (status)
            return status;
    }
    graph = format_graph(model);
    if (!graph || !nw_safetensors_add_text(&file, NW_FILE_KEY_VERSION, "1") ||
        !nw_safetensors_add_text(&file, NW_FILE_KEY_GRAPH, graph) ||
        (model->plan && !nw_safetensors_add_text(&file, NW_FILE_KEY_PLAN, model->plan)) ||
        (model->has_preprocess && !add_preprocess(&file, model->preprocess)) || !add_arrays(&file, model)) {
        status = nw_fail_memory(error, "writing a model");
        goto cleanup;
    }
    status = nw_safetensors_serialize(out, &file, error);

cleanup:
    cJSON_free(graph);
    nw_safetensors_free(&file);
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
