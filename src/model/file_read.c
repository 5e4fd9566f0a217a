/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See file.h: bytes become a model. Three readers in a row check them: safetensors_read.c the container, this file and
 * file_read_arrays.c that graph and tensors belong together, validate*.c that the network makes sense. One model has
 * one sequence of bytes, so a key that says what holds without it is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "model/file.h"
#include "model/file_graph.h"
#include "model/file_reader.h"
#include "model/json.h"
#include "model/validate.h"

#define GRAPH_DEPTH 4 /* graph { tensors [ { dims [ */
#define PLAN_DEPTH 32

typedef nw_file_reader reader;

/**
 * An integer from lo to hi, or the usual one where the key is absent; false for anything else, the usual one included.
 */
static bool read_unless_usual(int32_t *out, const cJSON *item, int32_t lo, int32_t hi, int32_t usual)
{
    *out = usual;
    return !item || (nw_json_int(out, item, lo, hi) && *out != usual);
}

static nw_status read_tensor(reader *r, const cJSON *object)
{
    static const char *const keys[] = {"name", "type", "dims", "constant", "bits", "zero_point", "code", "low_code"};
    const cJSON *items[NW_COUNT(keys)];
    int32_t dims[NW_MAX_RANK], bits, zero_point, code, low_code;
    const int32_t last_code = r->model->n_symbol_codes - 1;
    NW_TRY(nw_json_match(items, object, keys, NW_COUNT(keys), "graph: tensor", r->error));
    const int32_t rank = nw_json_length(items[2], NW_MAX_RANK);
    const bool real = cJSON_IsString(items[1]) && strcmp(items[1]->valuestring, "f32") == 0;
    if (!cJSON_IsString(items[0]) || (items[1] && !real) || (items[3] && !(real && cJSON_IsTrue(items[3]))) ||
        (real && (items[4] || items[5] || items[6] || items[7])))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: tensor %d: name, type or constant is missing or wrong",
                       r->name, (int)r->model->n_tensors);
    if (rank < 0 || !nw_json_ints(dims, items[2], rank, 1, INT32_MAX))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: tensor %d: dims must be at most %d integers above 0",
                       r->name, (int)r->model->n_tensors, NW_MAX_RANK);
    if (!read_unless_usual(&bits, items[4], 1, 8, 8) || !read_unless_usual(&zero_point, items[5], 0, 255, 0))
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: graph: tensor %d: bits must be 1 to 7 or absent, zero_point 1 to 255 or absent", r->name,
                       (int)r->model->n_tensors);
    if (!read_unless_usual(&code, items[6], 0, last_code, NW_NONE) ||
        !read_unless_usual(&low_code, items[7], 0, last_code, NW_NONE))
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: graph: tensor %d: code and low_code must be codes of the graph or absent", r->name,
                       (int)r->model->n_tensors);
    const int32_t index =
        nw_model_add_tensor(r->model, items[0]->valuestring, real ? NW_TYPE_F32 : NW_TYPE_U8, rank, dims);
    if (index == NW_NONE)
        return nw_file_out_of_memory(r);
    if (!real) {
        NW_TRY(nw_file_read_quant(r, index, bits, zero_point));
        r->model->tensors[index].quant.code = (uint16_t)(code + 1);
        r->model->tensors[index].quant.low_code = (uint16_t)(low_code + 1);
        return NW_OK;
    }
    return items[3] ? nw_file_read_constant(r, index) : NW_OK;
}

/** Index of the text among `n` words; n if the item is none of them. */
static int word_of(const cJSON *item, const char *const *words, int n)
{
    int i = 0;
    while (i < n && !(cJSON_IsString(item) && !strcmp(item->valuestring, words[i])))
        i++;
    return i;
}

static bool is_linear(nw_op op)
{
    return op == NW_OP_CONV || op == NW_OP_CONV_TRANSPOSE;
}

enum {
    KEY_OP,
    KEY_NAME,
    KEY_INPUTS,
    KEY_OUTPUT,
    KEY_COUNT_PAD,
    KEY_WEIGHT_BITS,
    KEY_ACCUMULATOR,
    KEY_MODE,
    KEY_COORDINATES,
    KEY_ROWS,
    KEY_STORAGE,
    N_KEYS
};

static nw_status read_attributes(reader *r, int32_t index, const cJSON *const *items)
{
    nw_node *node = &r->model->nodes[index];
    const int32_t rank = r->model->tensors[node->output].rank;
    for (int a = 0; a < NW_N_ATTRIBUTES; a++) {
        const nw_attribute *attribute = &nw_file_attributes[a];
        int32_t *values = (int32_t *)(void *)((char *)node + attribute->offset);
        const int32_t n = nw_attribute_count(attribute, rank);
        bool good = nw_attribute_applies(attribute, node->op) ? items[a] || attribute->usual >= 0 : !items[a];
        if (good && items[a])
            good = (attribute->length ? nw_json_ints(values, items[a], n, attribute->lo, attribute->hi)
                                      : nw_json_int(values, items[a], attribute->lo, attribute->hi)) &&
                   !nw_attribute_is_usual(attribute, values, n);
        if (!good)
            return nw_fail(r->error, NW_ERROR_DATA,
                           "%s: graph: node %d: \"%s\" is missing, wrong, out of place, or says what holds without it",
                           r->name, (int)index, attribute->key);
        for (int32_t i = 0; !items[a] && nw_attribute_applies(attribute, node->op) && i < n; i++)
            values[i] = attribute->usual;
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

/** Keys of a linear node, then its arrays. */
static nw_status read_linear(reader *r, int32_t index, const cJSON *const *items)
{
    const cJSON *accumulator = items[KEY_ACCUMULATOR], *storage = items[KEY_STORAGE];
    const int32_t channels = nw_tensor_channels(&r->model->tensors[r->model->nodes[index].output]);
    const int32_t most_rows = channels > INT32_MAX / NW_MAX_POINTS ? INT32_MAX : NW_MAX_POINTS * channels;
    static const char *const storages[] = {"coded"};
    nw_linear_keys keys = {.accumulator = NW_ACCUMULATOR_AUTO, .coded = storage != NULL};
    if (accumulator)
        keys.accumulator = word_of(accumulator, nw_file_accumulators, NW_ACCUMULATOR_COUNT);
    if (!read_unless_usual(&keys.weight_bits, items[KEY_WEIGHT_BITS], 1, 8, 8) ||
        keys.accumulator == NW_ACCUMULATOR_COUNT || (accumulator && keys.accumulator == NW_ACCUMULATOR_AUTO) ||
        (storage && word_of(storage, storages, 1)))
        return nw_fail(
            r->error, NW_ERROR_DATA,
            "%s: graph: node %d: weight_bits must be 1 to 7 or absent, accumulator 32, 16, 16-wrap or absent, "
            "storage coded or absent",
            r->name, (int)index);
    if (!read_unless_usual(&keys.n_rows, items[KEY_ROWS], channels, most_rows, channels))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: node %d: rows must be more than channels, at most %d each",
                       r->name, (int)index, NW_MAX_POINTS);
    return nw_file_read_linear(r, index, &keys);
}

/** Keys that only some operators have, besides the attributes. */
static nw_status read_specific(reader *r, int32_t index, const cJSON *const *items)
{
    nw_node *node = &r->model->nodes[index];
    const cJSON *count_pad = items[KEY_COUNT_PAD];
    if (count_pad && (node->op != NW_OP_AVERAGE_POOL || !cJSON_IsTrue(count_pad)))
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: graph: node %d: \"count_include_pad\" must be true or absent, or is out of place", r->name,
                       (int)index);
    node->count_include_pad = count_pad != NULL;
    NW_TRY(read_resize(r, index, items[KEY_MODE], items[KEY_COORDINATES]));
    if (is_linear(node->op))
        return read_linear(r, index, items);
    if (items[KEY_WEIGHT_BITS] || items[KEY_ACCUMULATOR] || items[KEY_ROWS] || items[KEY_STORAGE])
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: node %d: has weights that its operator does not use",
                       r->name, (int)index);
    return nw_file_read_node_arrays(r, index);
}

/** Inputs and output. Without "inputs" a node reads `before`, without "output" it writes the tensor behind that. */
static nw_status add_node(reader *r, nw_op op, const cJSON *const *items, int32_t before)
{
    const int32_t index = r->model->n_nodes, last = r->model->n_tensors - 1;
    const cJSON *inputs = items[KEY_INPUTS];
    const int32_t n = inputs ? nw_json_length(inputs, is_linear(op) ? 2 : NW_MAX_ITEMS) : 1;
    int32_t output;
    if (!cJSON_IsString(items[KEY_NAME]) || n < 1 ||
        !read_unless_usual(&output, items[KEY_OUTPUT], 0, last, before + 1) || output > last)
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: graph: node %d: name, inputs or output is missing, wrong, or says what holds without it",
                       r->name, (int)index);
    nw_node *node = nw_model_add_node(r->model, op, items[KEY_NAME]->valuestring, is_linear(op) && n == 2 ? 4 : n);
    if (!node)
        return nw_file_out_of_memory(r);
    node->output = output;
    node->inputs[0] = before;
    if (inputs && (!nw_json_ints(node->inputs, inputs, n, 0, last) || (n == 1 && node->inputs[0] == before)))
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: graph: node %d: an input is no tensor of the graph, or says what holds without it", r->name,
                       (int)index);
    if (node->n_inputs == 4 && is_linear(op)) { /* x, residual */
        node->inputs[3] = node->inputs[1];
        node->inputs[1] = NW_NONE;
    }
    return NW_OK;
}

static nw_status read_node(reader *r, const cJSON *object)
{
    const int32_t index = r->model->n_nodes;
    const char *keys[N_KEYS + NW_N_ATTRIBUTES] = {"op",          "name",        "inputs", "output", "count_include_pad",
                                                  "weight_bits", "accumulator", "mode",   "coordinates", "rows",
                                                  "storage"};
    const cJSON *items[N_KEYS + NW_N_ATTRIBUTES];
    for (int a = 0; a < NW_N_ATTRIBUTES; a++)
        keys[N_KEYS + a] = nw_file_attributes[a].key;
    NW_TRY(nw_json_match(items, object, keys, NW_COUNT(keys), "graph: node", r->error));
    const cJSON *op_name = items[KEY_OP];
    const nw_op op = cJSON_IsString(op_name) ? nw_op_from_name(op_name->valuestring) : NW_OP_COUNT;
    if (op == NW_OP_COUNT)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: node %d: unknown operator \"%.40s\"", r->name, (int)index,
                       cJSON_IsString(op_name) ? op_name->valuestring : "");
    NW_TRY(add_node(r, op, items, index ? r->model->nodes[index - 1].output : 0));
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
        return nw_file_out_of_memory(r);
    if (!nw_json_ints(indices, item, n, 0, r->model->n_tensors - 1)) {
        free(indices);
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: \"%s\" names a tensor that is not there", r->name, key);
    }
    *out = indices;
    *n_out = n;
    return NW_OK;
}

/** Prefix codes of stored activations: bits of their symbols here, lengths of their words in an array. */
static nw_status read_codes(reader *r, const cJSON *item)
{
    const int32_t n = item ? nw_json_length(item, NW_MAX_SYMBOL_CODES) : 0;
    int32_t bits[NW_MAX_SYMBOL_CODES];
    if (item && (n < 1 || !nw_json_ints(bits, item, n, 1, 8)))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: \"codes\" must be 1 to %d integers from 1 to 8, or absent",
                       r->name, NW_MAX_SYMBOL_CODES);
    if (!n)
        return NW_OK;
    r->model->symbol_codes = calloc((size_t)n, sizeof(*r->model->symbol_codes));
    if (!r->model->symbol_codes)
        return nw_file_out_of_memory(r);
    r->model->n_symbol_codes = n;
    for (int32_t i = 0; i < n; i++)
        NW_TRY(nw_file_read_code(r, i, bits[i]));
    return NW_OK;
}

static nw_status read_graph_tree(reader *r, const cJSON *graph)
{
    static const char *const keys[] = {"inputs", "outputs", "tensors", "nodes", "codes"};
    const cJSON *items[NW_COUNT(keys)];
    NW_TRY(nw_json_match(items, graph, keys, NW_COUNT(keys), "graph", r->error));
    if (nw_json_length(items[2], NW_MAX_ITEMS) < 1 || nw_json_length(items[3], NW_MAX_ITEMS) < 1)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: has no tensors, no nodes, or more than %d", r->name,
                       NW_MAX_ITEMS);
    NW_TRY(read_codes(r, items[4]));
    for (const cJSON *item = items[2]->child; item; item = item->next)
        NW_TRY(read_tensor(r, item));
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
    return r->model->plan ? NW_OK : nw_file_out_of_memory(r);
}

/** One list of the preprocessing: the tensor counts, the JSON beside it must say the same. */
static nw_status read_list(reader *r, float *values, int32_t n, const char *name)
{
    const uint8_t *data = NULL;
    float exact[NW_PREPROCESS_MAX_CHANNELS];
    NW_TRY(nw_file_take(&data, r, name, NW_ARRAY_F32, 1, &(size_t){(size_t)n}));
    nw_file_load_f32(exact, data, (size_t)n);
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
    NW_TRY(nw_shared_open(&r->shared, &r->file, r->name, r->error));
    NW_TRY(read_graph(r));
    NW_TRY(read_plan(r));
    NW_TRY(read_preprocess(r));
    NW_TRY(nw_shared_close(&r->shared));
    const size_t n_used = r->n_taken + r->shared.n_arrays;
    if (n_used != r->file.n_arrays)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: holds %zu tensors that its graph does not use", r->name,
                       r->file.n_arrays - n_used);
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
    status = r.model ? read_all(&r) : nw_file_out_of_memory(&r);
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
