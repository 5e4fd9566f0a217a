/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See file.h: bytes become a model. Three readers in a row check them: safetensors_read.c the container, this file that
 * graph and tensors belong together, validate*.c that the network makes sense. Memory is taken only after the file has
 * shown that it holds the bytes to fill it with.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "model/file.h"
#include "model/file_graph.h"
#include "model/json.h"
#include "model/levels.h"
#include "model/safetensors.h"
#include "model/validate.h"

#define GRAPH_DEPTH 4 /* graph { tensors [ { dims [ */
#define PLAN_DEPTH 32

typedef struct reader {
    nw_safetensors file;
    size_t n_taken; /* arrays that the graph has asked for; each is asked for once */
    nw_model *model;
    const char *name;
    nw_error *error;
} reader;

static nw_status out_of_memory(reader *r)
{
    return nw_fail_memory(r->error, "reading a model");
}

/** An array that must be there with this type and these dims. */
static nw_status take(const uint8_t **data, reader *r, const char *name, nw_array_type type, int32_t rank,
                      const size_t *dims)
{
    const nw_array *array = nw_safetensors_find(&r->file, name);
    if (!array)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%s\" is missing", r->name, name);
    bool same = array->type == type && array->rank == rank;
    for (int32_t i = 0; same && i < rank; i++)
        same = array->dims[i] == dims[i];
    if (!same)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%s\" has another type or shape than the graph says",
                       r->name, name);
    r->n_taken++;
    *data = array->data;
    return NW_OK;
}

static nw_status take_part(const uint8_t **data, reader *r, char kind, int32_t index, const char *part,
                           nw_array_type type, size_t n)
{
    nw_file_name name;
    nw_file_name_format(name, kind, index, part);
    return take(data, r, name, type, 1, &n);
}

static bool has_part(const reader *r, char kind, int32_t index, const char *part)
{
    nw_file_name name;
    nw_file_name_format(name, kind, index, part);
    return nw_safetensors_find(&r->file, name) != NULL;
}

static void load_f32(float *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t word = nw_load_le32(from + 4 * i);
        memcpy(&to[i], &word, 4);
    }
}

static void load_i32(int32_t *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (int32_t)nw_load_le32(from + 4 * i);
}

static void load_limits(float *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)(int16_t)nw_load_le16(from + 2 * i);
}

/** A heap copy of `n` floats of the file. */
static nw_status read_f32(float **out, reader *r, char kind, int32_t index, const char *part, size_t n)
{
    const uint8_t *data = NULL;
    NW_TRY(take_part(&data, r, kind, index, part, NW_ARRAY_F32, n));
    float *values = malloc(n * sizeof(*values));
    if (!values)
        return out_of_memory(r);
    load_f32(values, data, n);
    *out = values;
    return NW_OK;
}

static nw_status read_quant(reader *r, int32_t index, const cJSON *bits, const cJSON *zero_point)
{
    nw_tensor *tensor = &r->model->tensors[index];
    const size_t channels = (size_t)nw_tensor_channels(tensor);
    const uint8_t *lo = NULL, *hi = NULL, *shift = NULL;
    int32_t n_bits, zero;
    if (!nw_json_int(&n_bits, bits, 1, 8) || !nw_json_int(&zero, zero_point, 0, 255))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: tensor %d: bits must be 1 to 8, zero_point 0 to 255",
                       r->name, (int)index);
    NW_TRY(take_part(&lo, r, 't', index, "lo", NW_ARRAY_I16, channels));
    NW_TRY(take_part(&hi, r, 't', index, "hi", NW_ARRAY_I16, channels));
    if (has_part(r, 't', index, "shift"))
        NW_TRY(take_part(&shift, r, 't', index, "shift", NW_ARRAY_U8, channels));
    if (nw_tensor_alloc_quant(tensor))
        return out_of_memory(r);
    tensor->quant.bits = (uint8_t)n_bits;
    tensor->quant.zero_point = (uint8_t)zero;
    load_limits(tensor->quant.lo, lo, channels);
    load_limits(tensor->quant.hi, hi, channels);
    if (shift)
        memcpy(tensor->quant.shift, shift, channels);
    return NW_OK;
}

static nw_status read_constant(reader *r, int32_t index)
{
    nw_tensor *tensor = &r->model->tensors[index];
    size_t dims[NW_MAX_RANK], n = 1;
    for (int32_t i = 0; i < tensor->rank; i++) {
        dims[i] = (size_t)tensor->dims[i];
        if (!nw_size_mul(&n, n, dims[i]))
            return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: tensor %d: dims are too large", r->name, (int)index);
    }
    nw_file_name name;
    const uint8_t *data = NULL;
    nw_file_name_format(name, 't', index, "data");
    NW_TRY(take(&data, r, name, NW_ARRAY_F32, tensor->rank, dims));
    tensor->data = malloc(n * sizeof(float));
    if (!tensor->data)
        return out_of_memory(r);
    load_f32(tensor->data, data, n);
    return NW_OK;
}

static nw_status read_tensor(reader *r, const cJSON *object)
{
    static const char *const keys[] = {"name", "type", "dims", "constant", "bits", "zero_point"};
    const cJSON *items[NW_COUNT(keys)];
    int32_t dims[NW_MAX_RANK];
    NW_TRY(nw_json_match(items, object, keys, NW_COUNT(keys), "graph: tensor", r->error));
    const int32_t rank = nw_json_length(items[2], NW_MAX_RANK);
    const bool quantized = cJSON_IsString(items[1]) && strcmp(items[1]->valuestring, "u8") == 0;
    const bool real = cJSON_IsString(items[1]) && strcmp(items[1]->valuestring, "f32") == 0;
    if (!cJSON_IsString(items[0]) || (!quantized && !real) || (items[3] && !(real && cJSON_IsTrue(items[3]))) ||
        (real && (items[4] || items[5])))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: tensor %d: name, type or constant is missing or wrong",
                       r->name, (int)r->model->n_tensors);
    if (rank < 0 || !nw_json_ints(dims, items[2], rank, 1, INT32_MAX))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: tensor %d: dims must be at most %d integers above 0",
                       r->name, (int)r->model->n_tensors, NW_MAX_RANK);
    const int32_t index =
        nw_model_add_tensor(r->model, items[0]->valuestring, quantized ? NW_TYPE_U8 : NW_TYPE_F32, rank, dims);
    if (index == NW_NONE)
        return out_of_memory(r);
    if (quantized)
        return read_quant(r, index, items[4], items[5]);
    return items[3] ? read_constant(r, index) : NW_OK;
}

static nw_status read_scales(reader *r)
{
    const size_t n = (size_t)r->model->n_tensors;
    const uint8_t *data = NULL;
    NW_TRY(take(&data, r, "scale", NW_ARRAY_F32, 1, &n));
    for (size_t i = 0; i < n; i++) {
        float scale;
        load_f32(&scale, data + 4 * i, 1);
        if (r->model->tensors[i].type == NW_TYPE_U8)
            r->model->tensors[i].quant.scale = scale;
        else if (nw_load_le32(data + 4 * i))
            return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"scale\": entry %zu must be 0, its tensor is f32",
                           r->name, i);
    }
    return NW_OK;
}

/** Weights and what belongs to their rows. */
/** Weights of a code book: what was unpacked are codes. */
static nw_status decode_rows(reader *r, nw_linear *linear, int32_t index)
{
    const uint8_t *levels = NULL;
    const size_t n = nw_levels_count(linear->weight_bits);
    NW_TRY(take_part(&levels, r, 'n', index, "levels", NW_ARRAY_U8, n));
    if (!nw_levels_valid(levels, linear->weight_bits))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"n%d.levels\": must ascend from 0 to at most 127, for 2 bits or more",
                       r->name, (int)index);
    linear->levels = malloc(n);
    if (!linear->levels)
        return out_of_memory(r);
    memcpy(linear->levels, levels, n);
    nw_levels_decode(linear->weights, (size_t)linear->n_rows * (size_t)linear->k, levels);
    return NW_OK;
}

static nw_status fill_linear(reader *r, nw_linear *linear, int32_t index, const uint8_t *weights, size_t row_size)
{
    const size_t rows = (size_t)linear->n_rows, channels = (size_t)linear->n_channels, k = (size_t)linear->k;
    const uint8_t *multiplier = NULL, *offset = NULL, *bias = NULL, *extra = NULL, *residual = NULL;
    NW_TRY(take_part(&multiplier, r, 'n', index, "multiplier", NW_ARRAY_F32, rows));
    NW_TRY(take_part(&offset, r, 'n', index, "offset", NW_ARRAY_I32, rows));
    NW_TRY(take_part(&bias, r, 'n', index, "bias", NW_ARRAY_F32, channels));
    load_f32(linear->multiplier, multiplier, rows);
    load_i32(linear->offset, offset, rows);
    load_f32(linear->bias, bias, channels);
    if (rows > channels) {
        NW_TRY(take_part(&extra, r, 'n', index, "row_channel", NW_ARRAY_I32, rows - channels));
        load_i32(linear->row_channel + channels, extra, rows - channels);
    }
    if (linear->residual_multiplier) {
        NW_TRY(take_part(&residual, r, 'n', index, "residual_multiplier", NW_ARRAY_F32, channels));
        load_f32(linear->residual_multiplier, residual, channels);
    }
    for (size_t row = 0; row < rows; row++)
        if (!nw_bits_unpack(linear->weights + row * k, weights + row * row_size, k, linear->weight_bits))
            return nw_fail(r->error, NW_ERROR_DATA,
                           "%s: tensor \"n%d.weights\": row %zu holds the value -2^(bits-1), or bits behind its end",
                           r->name, (int)index, row);
    return has_part(r, 'n', index, "levels") ? decode_rows(r, linear, index) : NW_OK;
}

/** Index of the text among `n` words; n if the item is none of them. */
static int word_of(const cJSON *item, const char *const *words, int n)
{
    int i = 0;
    while (i < n && !(cJSON_IsString(item) && !strcmp(item->valuestring, words[i])))
        i++;
    return i;
}

static nw_status read_linear(reader *r, int32_t index, const cJSON *bits, const cJSON *k_item, const cJSON *accumulator)
{
    nw_node *node = &r->model->nodes[index];
    int32_t weight_bits, k;
    const int wanted = word_of(accumulator, nw_file_accumulators, NW_ACCUMULATOR_COUNT);
    if (!nw_json_int(&weight_bits, bits, 1, 8) || !nw_json_int(&k, k_item, 1, INT32_MAX) || wanted == NW_ACCUMULATOR_COUNT)
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: graph: node %d: weight_bits must be 1 to 8, k above 0, accumulator auto, 32, 16 or "
                       "16-wrap",
                       r->name, (int)index);
    const int32_t channels = nw_tensor_channels(&r->model->tensors[node->output]);
    const size_t row_size = nw_bits_row_size((size_t)k, weight_bits);
    nw_file_name name;
    nw_file_name_format(name, 'n', index, "weights");
    const nw_array *weights = nw_safetensors_find(&r->file, name);
    if (!weights || weights->type != NW_ARRAY_U8 || weights->rank != 2 || weights->dims[1] != row_size ||
        weights->dims[0] < (size_t)channels || weights->dims[0] > NW_MAX_POINTS * (size_t)channels ||
        weights->dims[0] > INT32_MAX)
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: tensor \"%s\" is missing, or is not U8 [rows, %zu] with 1 to %d "
                       "rows per output channel",
                       r->name, name, row_size, NW_MAX_POINTS);
    r->n_taken++;
    const bool residual = has_part(r, 'n', index, "residual_multiplier");
    node->linear = nw_linear_create(channels, (int32_t)weights->dims[0], k, residual);
    if (!node->linear)
        return out_of_memory(r);
    node->linear->weight_bits = (uint8_t)weight_bits;
    node->linear->accumulator = (uint8_t)wanted;
    return fill_linear(r, node->linear, index, weights->data, row_size);
}

static nw_status read_table(reader *r, int32_t index)
{
    nw_node *node = &r->model->nodes[index];
    const size_t channels = (size_t)nw_tensor_channels(&r->model->tensors[node->output]);
    nw_file_name name;
    const uint8_t *data = NULL;
    nw_file_name_format(name, 'n', index, "table");
    const nw_array *table = nw_safetensors_find(&r->file, name);
    const size_t n = table && table->rank == 2 && table->dims[0] == 1 ? 1 : channels;
    NW_TRY(take(&data, r, name, NW_ARRAY_U8, 2, (size_t[]){n, 256}));
    node->table = malloc(n * 256);
    if (!node->table)
        return out_of_memory(r);
    memcpy(node->table, data, n * 256);
    node->n_tables = (int32_t)n;
    return NW_OK;
}

static nw_status read_node_arrays(reader *r, int32_t index)
{
    nw_node *node = &r->model->nodes[index];
    const nw_tensor *y = &r->model->tensors[node->output];
    const size_t channels = (size_t)nw_tensor_channels(y);
    switch (node->op) {
    case NW_OP_QUANTIZE:
        return has_part(r, 'n', index, "table") ? read_table(r, index) : NW_OK;
    case NW_OP_TABLE:
        return read_table(r, index);
    case NW_OP_MUL:
        if (y->type != NW_TYPE_U8)
            return NW_OK;
        return read_f32(&node->multipliers[0], r, 'n', index, "multiplier", channels);
    case NW_OP_AVERAGE_POOL:
        return read_f32(&node->multipliers[0], r, 'n', index, "multiplier", channels);
    case NW_OP_ADD:
        if (y->type != NW_TYPE_U8)
            return NW_OK;
        NW_TRY(read_f32(&node->multipliers[0], r, 'n', index, "multiplier_a", channels));
        return read_f32(&node->multipliers[1], r, 'n', index, "multiplier_b", channels);
    default:
        return NW_OK;
    }
}

enum {
    KEY_OP,
    KEY_NAME,
    KEY_INPUTS,
    KEY_OUTPUT,
    KEY_COUNT_PAD,
    KEY_WEIGHT_BITS,
    KEY_K,
    KEY_ACCUMULATOR,
    KEY_MODE,
    KEY_COORDINATES,
    N_KEYS
};

static nw_status read_attributes(reader *r, int32_t index, const cJSON *const *items)
{
    nw_node *node = &r->model->nodes[index];
    const int32_t rank = r->model->tensors[node->output].rank;
    for (int a = 0; a < NW_N_ATTRIBUTES; a++) {
        const nw_attribute *attribute = &nw_file_attributes[a];
        int32_t *values = (int32_t *)(void *)((char *)node + attribute->offset);
        const bool wanted = nw_attribute_applies(attribute, node->op);
        const bool good = !wanted             ? !items[a]
                          : attribute->length ? nw_json_ints(values, items[a], nw_attribute_count(attribute, rank),
                                                             attribute->lo, attribute->hi)
                                              : nw_json_int(values, items[a], attribute->lo, attribute->hi);
        if (!good)
            return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: node %d: \"%s\" is missing, wrong or out of place",
                           r->name, (int)index, attribute->key);
    }
    return NW_OK;
}

static nw_status read_resize(reader *r, int32_t index, const cJSON *mode, const cJSON *coordinates)
{
    nw_node *node = &r->model->nodes[index];
    const int m = word_of(mode, nw_file_resize_modes, 2), c = word_of(coordinates, nw_file_coordinates, 4);
    const bool linear = m == NW_RESIZE_LINEAR;
    if (node->op != NW_OP_RESIZE ? mode || coordinates : m == 2 || (linear ? c == 4 : coordinates != NULL))
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: graph: node %d: \"mode\" or \"coordinates\" is missing, wrong or out of place", r->name,
                       (int)index);
    if (node->op != NW_OP_RESIZE)
        return NW_OK;
    node->resize_mode = (nw_resize_mode)m;
    node->resize_coordinates = linear ? (nw_resize_coordinates)c : NW_COORDINATES_ASYMMETRIC;
    return NW_OK;
}

/** Keys that only some operators have, besides the attributes. */
static nw_status read_specific(reader *r, int32_t index, const cJSON *const *items)
{
    nw_node *node = &r->model->nodes[index];
    const bool linear = node->op == NW_OP_CONV || node->op == NW_OP_CONV_TRANSPOSE;
    const bool pool = node->op == NW_OP_AVERAGE_POOL;
    if (pool ? !cJSON_IsBool(items[KEY_COUNT_PAD]) : items[KEY_COUNT_PAD] != NULL)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: node %d: \"count_include_pad\" is missing or out of place",
                       r->name, (int)index);
    node->count_include_pad = pool && cJSON_IsTrue(items[KEY_COUNT_PAD]);
    NW_TRY(read_resize(r, index, items[KEY_MODE], items[KEY_COORDINATES]));
    if (linear)
        return read_linear(r, index, items[KEY_WEIGHT_BITS], items[KEY_K], items[KEY_ACCUMULATOR]);
    if (items[KEY_WEIGHT_BITS] || items[KEY_K] || items[KEY_ACCUMULATOR])
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: node %d: has weights that its operator does not use",
                       r->name, (int)index);
    return read_node_arrays(r, index);
}

static nw_status read_node(reader *r, const cJSON *object)
{
    const int32_t index = r->model->n_nodes;
    const char *keys[N_KEYS + NW_N_ATTRIBUTES] = {"op",          "name", "inputs",      "output", "count_include_pad",
                                                  "weight_bits", "k",    "accumulator", "mode",   "coordinates"};
    const cJSON *items[N_KEYS + NW_N_ATTRIBUTES];
    for (int a = 0; a < NW_N_ATTRIBUTES; a++)
        keys[N_KEYS + a] = nw_file_attributes[a].key;
    NW_TRY(nw_json_match(items, object, keys, NW_COUNT(keys), "graph: node", r->error));
    const cJSON *op_name = items[KEY_OP];
    const nw_op op = cJSON_IsString(op_name) ? nw_op_from_name(op_name->valuestring) : NW_OP_COUNT;
    if (op == NW_OP_COUNT)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: node %d: unknown operator \"%.40s\"", r->name, (int)index,
                       cJSON_IsString(op_name) ? op_name->valuestring : "");
    const int32_t n_inputs = nw_json_length(items[KEY_INPUTS], NW_MAX_ITEMS);
    int32_t output;
    if (!cJSON_IsString(items[KEY_NAME]) || n_inputs < 1 ||
        !nw_json_int(&output, items[KEY_OUTPUT], 0, r->model->n_tensors - 1))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: node %d: name, inputs or output is missing or wrong",
                       r->name, (int)index);
    nw_node *node = nw_model_add_node(r->model, op, items[KEY_NAME]->valuestring, n_inputs);
    if (!node)
        return out_of_memory(r);
    node->output = output;
    if (!nw_json_ints(node->inputs, items[KEY_INPUTS], n_inputs, NW_NONE, r->model->n_tensors - 1))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: node %d: an input is no tensor of the graph", r->name,
                       (int)index);
    NW_TRY(read_attributes(r, index, items + N_KEYS));
    return read_specific(r, index, items);
}

static nw_status read_indices(reader *r, int32_t **out, int32_t *n_out, const cJSON *item, const char *key)
{
    const int32_t n = nw_json_length(item, NW_MAX_ITEMS);
    if (n < 1)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: \"%s\" must be a list of tensors", r->name, key);
    int32_t *indices = malloc((size_t)n * sizeof(*indices));
    if (!indices)
        return out_of_memory(r);
    if (!nw_json_ints(indices, item, n, 0, r->model->n_tensors - 1)) {
        free(indices);
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: \"%s\" names a tensor that is not there", r->name, key);
    }
    *out = indices;
    *n_out = n;
    return NW_OK;
}

static nw_status read_graph_tree(reader *r, const cJSON *graph)
{
    static const char *const keys[] = {"inputs", "outputs", "tensors", "nodes"};
    const cJSON *items[NW_COUNT(keys)];
    NW_TRY(nw_json_match(items, graph, keys, NW_COUNT(keys), "graph", r->error));
    if (nw_json_length(items[2], NW_MAX_ITEMS) < 1 || nw_json_length(items[3], NW_MAX_ITEMS) < 1)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: has no tensors, no nodes, or more than %d", r->name,
                       NW_MAX_ITEMS);
    for (const cJSON *item = items[2]->child; item; item = item->next)
        NW_TRY(read_tensor(r, item));
    NW_TRY(read_scales(r));
    for (const cJSON *item = items[3]->child; item; item = item->next)
        NW_TRY(read_node(r, item));
    NW_TRY(read_indices(r, &r->model->inputs, &r->model->n_inputs, items[0], "inputs"));
    return read_indices(r, &r->model->outputs, &r->model->n_outputs, items[1], "outputs");
}

static nw_status read_graph(reader *r)
{
    const char *text = nw_safetensors_text(&r->file, NW_FILE_KEY_GRAPH);
    cJSON *graph = NULL;
    if (!text)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: has no \"" NW_FILE_KEY_GRAPH "\"", r->name);
    NW_TRY(nw_json_parse(&graph, text, strlen(text), GRAPH_DEPTH, "graph", r->error));
    const nw_status status = read_graph_tree(r, graph);
    cJSON_Delete(graph);
    return status;
}

static nw_status read_plan(reader *r)
{
    const char *text = nw_safetensors_text(&r->file, NW_FILE_KEY_PLAN);
    cJSON *plan = NULL;
    if (!text)
        return NW_OK;
    NW_TRY(nw_json_parse(&plan, text, strlen(text), PLAN_DEPTH, "plan", r->error));
    const bool object = cJSON_IsObject(plan);
    cJSON_Delete(plan);
    if (!object)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: plan: must be a JSON object", r->name);
    r->model->plan = nw_text_copy(text);
    return r->model->plan ? NW_OK : out_of_memory(r);
}

/** One list of the preprocessing: the tensor counts, the JSON beside it must say the same. */
static nw_status read_list(reader *r, float *values, int32_t n, const char *name)
{
    const uint8_t *data = NULL;
    float exact[NW_PREPROCESS_MAX_CHANNELS];
    NW_TRY(take(&data, r, name, NW_ARRAY_F32, 1, &(size_t){(size_t)n}));
    load_f32(exact, data, (size_t)n);
    for (int32_t i = 0; i < n; i++) {
        if (exact[i] != values[i])
            return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%s\" differs from the JSON of the preprocessing",
                           r->name, name);
        values[i] = exact[i];
    }
    return NW_OK;
}

static nw_status read_preprocess(reader *r)
{
    const char *text = nw_safetensors_text(&r->file, NW_FILE_KEY_PREPROCESS);
    nw_preprocess *preprocess = &r->model->preprocess;
    if (!text)
        return NW_OK;
    NW_TRY(nw_preprocess_parse(preprocess, text, r->name, r->error));
    r->model->has_preprocess = true;
    NW_TRY(read_list(r, preprocess->mean, preprocess->n_mean, "preprocess.mean"));
    return read_list(r, preprocess->std, preprocess->n_std, "preprocess.std");
}

/** Keys of Narrow that this version does not know would change what the file means; keys of others do not. */
static nw_status check_texts(reader *r)
{
    static const char *const known[] = {NW_FILE_KEY_VERSION, NW_FILE_KEY_GRAPH, NW_FILE_KEY_PLAN,
                                        NW_FILE_KEY_PREPROCESS};
    const char *version = nw_safetensors_text(&r->file, NW_FILE_KEY_VERSION);
    if (!version)
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: is a safetensors file without \"" NW_FILE_KEY_VERSION "\": no .nw file", r->name);
    if (strcmp(version, "1"))
        return nw_fail(r->error, NW_ERROR_UNSUPPORTED, "%s: has format version %.20s, this program reads version %d",
                       r->name, version, NW_FILE_VERSION);
    for (size_t i = 0; i < r->file.n_texts; i++) {
        size_t k = 0;
        while (k < NW_COUNT(known) && strcmp(known[k], r->file.texts[i].key))
            k++;
        if (k == NW_COUNT(known) && strncmp(r->file.texts[i].key, "narrow.", 7) == 0)
            return nw_fail(r->error, NW_ERROR_DATA, "%s: __metadata__: unknown key \"%.80s\"", r->name,
                           r->file.texts[i].key);
    }
    return NW_OK;
}

static nw_status read_all(reader *r)
{
    NW_TRY(check_texts(r));
    NW_TRY(read_graph(r));
    NW_TRY(read_plan(r));
    NW_TRY(read_preprocess(r));
    if (r->n_taken != r->file.n_arrays)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: holds %zu tensors that its graph does not use", r->name,
                       r->file.n_arrays - r->n_taken);
    return nw_model_validate(r->model, r->error);
}

nw_status nw_model_parse(nw_model **out, const uint8_t *data, size_t size, const char *name, nw_error *error)
{
    nw_error inner = {{0}};
    reader r = {.name = name, .error = &inner};
    nw_status status = nw_safetensors_parse(&r.file, data, size, name, &inner);
    if (status)
        goto cleanup;
    r.model = nw_model_create();
    status = r.model ? read_all(&r) : out_of_memory(&r);
    if (status)
        goto cleanup;
    *out = r.model;
    r.model = NULL;

cleanup:
    if (status && strncmp(inner.message, name, strlen(name)) == 0)
        nw_fail(error, status, "%s", inner.message);
    else if (status) /* the sentences of validate*.c and json.c do not know the file */
        nw_fail(error, status, "%s: %s", name, inner.message);
    nw_model_free(r.model);
    nw_safetensors_free(&r.file);
    return status;
}

nw_status nw_model_read(nw_model **out, const char *path, nw_error *error)
{
    nw_bytes bytes = {0};
    NW_TRY(nw_bytes_read(&bytes, path, NW_BYTES_LIMIT, error));
    const nw_status status = nw_model_parse(out, bytes.data, bytes.size, path, error);
    nw_bytes_free(&bytes);
    return status;
}
