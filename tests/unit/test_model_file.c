/* SPDX-License-Identifier: Apache-2.0 */
/* .nw files: bit packing, round trips of random models, damaged bytes, damaged headers, files on disk. */
#define _XOPEN_SOURCE 700 /* mkdtemp, strdup */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "model/file.h"
#include "model/safetensors.h"
#include "model/weight_code.h"
#include "model/weight_storage.h"
#include "models/nw_random.h"

#define N_MODELS 400

static nw_model *make_model(uint64_t seed)
{
    nw_model *model = nw_random_model(seed, (int32_t)(seed % 7));
    assert_non_null(model);
    if (seed % 4 == 1)
        nw_random_sparsify(model, seed);
    if (seed % 3 == 0)
        model->plan = strdup("{\"layers\": [{\"name\": \"a\\\"\\u00e9\", \"bits\": 8}]}");
    if (seed % 2 == 0) {
        nw_error error;
        model->has_preprocess = true;
        assert_int_equal(nw_preprocess_parse(&model->preprocess,
                                             "{\"size\": [8, 8], \"mean\": [0.1, 127.5, 3], \"std\": 58.395}", "test",
                                             &error),
                         NW_OK);
    }
    return model;
}

static nw_bytes bytes_of(const nw_model *model)
{
    nw_bytes bytes = {0};
    nw_error error = {{0}};
    if (nw_model_serialize(&bytes, model, &error))
        fail_msg("%s", error.message);
    return bytes;
}

static void test_bits(void **state)
{
    (void)state;
    nw_rng rng = {7};
    for (int bits = 1; bits <= 8; bits++)
        for (size_t n = 1; n <= 40; n++) {
            int8_t values[40], back[40];
            uint8_t row[41];
            const size_t size = nw_bits_row_size(n, bits);
            const int32_t largest = bits == 1 ? 1 : (1 << (bits - 1)) - 1;
            assert_int_equal(size, (n * (size_t)bits + 7) / 8);
            for (size_t i = 0; i < n; i++)
                values[i] =
                    (int8_t)(bits == 1 ? 1 - 2 * nw_rng_range(&rng, 0, 1) : nw_rng_range(&rng, -largest, largest));
            row[size] = 0xa5;
            nw_bits_pack(row, values, n, bits);
            assert_int_equal(row[size], 0xa5);
            assert_true(nw_bits_unpack(back, row, n, bits));
            assert_memory_equal(values, back, n);
            if (n * (size_t)bits % 8) { /* a bit behind the end */
                row[size - 1] |= 0x80;
                assert_false(nw_bits_unpack(back, row, n, bits));
            }
        }
    uint8_t lowest[3] = {0x34, 0x00, 0x00}; /* 4, 6 of 3 bits: 4 is -2^(3-1) */
    int8_t values[2];
    assert_false(nw_bits_unpack(values, lowest, 2, 3));
    const int8_t known[3] = {1, -1, 3};
    nw_bits_pack(lowest, known, 3, 3);
    assert_int_equal(lowest[0], 0xf9); /* 1 | 7 << 3 | (3 & 3) << 6 */
    assert_int_equal(lowest[1], 0x00);
}

static void compare_quant(const nw_tensor *a, const nw_tensor *b)
{
    assert_int_equal(a->type, b->type);
    if (a->type != NW_TYPE_U8)
        return;
    assert_int_equal(a->quant.bits, b->quant.bits);
    assert_int_equal(a->quant.zero_point, b->quant.zero_point);
    assert_memory_equal(&a->quant.scale, &b->quant.scale, sizeof(float));
    for (int32_t c = 0; c < nw_tensor_channels(a); c++) { /* 0 and -0 are one limit */
        assert_int_equal((int)a->quant.lo[c], (int)b->quant.lo[c]);
        assert_int_equal((int)a->quant.hi[c], (int)b->quant.hi[c]);
        assert_int_equal(a->quant.shift[c], b->quant.shift[c]);
    }
    assert_int_equal(a->quant.code, b->quant.code);
    assert_int_equal(a->quant.low_code, b->quant.low_code);
}

/** A layer read is coded exactly where that is shorter, and by as much as the settled model says. */
static void compare_storage(nw_model *model, const nw_node *node, const nw_linear *back, size_t file_size)
{
    nw_error error;
    assert_int_equal(nw_weight_storage_settle(model, &error), NW_OK);
    assert_int_equal(node->linear->coded_size, back->coded_size);
    const size_t packed = nw_weight_packed_bytes(back);
    assert_true(nw_weight_bytes(back) <= packed && nw_weight_bytes(back) < file_size);
    if (back->coded_size)
        assert_true(back->coded_size + NW_CODED_LEAST_GAIN < packed);
}

static void test_round_trips(void **state)
{
    (void)state;
    int n_coded = 0, n_packed_beside = 0, n_codes = 0;
    for (uint64_t seed = 0; seed < N_MODELS; seed++) {
        nw_model *model = make_model(seed), *back = NULL;
        if (seed % 4 == 1)
            assert_true(nw_random_codes(model, seed));
        const nw_bytes first = bytes_of(model), same = bytes_of(model);
        assert_int_equal(first.size, same.size);
        assert_memory_equal(first.data, same.data, first.size);
        nw_error error;
        assert_int_equal(nw_model_parse(&back, first.data, first.size, "a.nw", &error), NW_OK);
        const nw_bytes second = bytes_of(back);
        assert_int_equal(first.size, second.size);
        assert_memory_equal(first.data, second.data, first.size);
        for (int32_t i = 0; i < model->n_nodes; i++) { /* not only the writer's view of it */
            const nw_linear *a = model->nodes[i].linear, *b = back->nodes[i].linear;
            assert_int_equal(model->nodes[i].op, back->nodes[i].op);
            assert_int_equal(a == NULL, b == NULL);
            if (!a)
                continue;
            assert_memory_equal(a->weights, b->weights, (size_t)a->n_rows * (size_t)a->k);
            assert_memory_equal(a->multiplier, b->multiplier, (size_t)a->n_rows * sizeof(float));
            assert_memory_equal(a->row_channel, b->row_channel, (size_t)a->n_rows * sizeof(int32_t));
            assert_memory_equal(a->offset, b->offset, (size_t)a->n_rows * sizeof(int32_t)); /* derived */
            assert_memory_equal(a->bias, b->bias, (size_t)a->n_channels * sizeof(float));
            assert_memory_equal(&model->nodes[i].window, &back->nodes[i].window, sizeof(nw_window));
            assert_int_equal(model->nodes[i].groups, back->nodes[i].groups);
            assert_int_equal(nw_node_residual(&model->nodes[i]), nw_node_residual(&back->nodes[i]));
            assert_int_equal(a->weight_bits, b->weight_bits);
            assert_int_equal(a->accumulator, b->accumulator);
            compare_storage(model, &model->nodes[i], b, first.size);
            n_coded += b->coded_size != 0;
            n_packed_beside += !b->coded_size && model->weight_storage == NW_STORED_CODED;
        }
        for (int32_t i = 0; i < model->n_tensors; i++) {
            compare_quant(&model->tensors[i], &back->tensors[i]);
            n_codes += model->tensors[i].quant.code && model->tensors[i].quant.low_code;
        }
        assert_int_equal(model->n_symbol_codes, back->n_symbol_codes);
        for (int32_t i = 0; i < model->n_symbol_codes; i++)
            assert_memory_equal(&model->symbol_codes[i], &back->symbol_codes[i], sizeof(nw_symbol_code));
        assert_int_equal(model->has_preprocess, back->has_preprocess);
        assert_int_equal(model->plan == NULL, back->plan == NULL);
        if (model->plan)
            assert_string_equal(model->plan, back->plan);
        nw_model_free(model);
        nw_model_free(back);
        free(first.data);
        free(same.data);
        free(second.data);
    }
    assert_true(n_coded > 20 && n_packed_beside > 20 && n_codes > 5);
}

/** The same model in both ways: the same integers, and coded never more bytes. */
static void test_coded_is_smaller(void **state)
{
    (void)state;
    int smaller = 0, same = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        nw_model *model = nw_random_model(seed, (int32_t)(seed % 7)), *back = NULL;
        nw_error error;
        assert_non_null(model);
        if (seed % 2)
            nw_random_sparsify(model, seed);
        model->weight_storage = NW_STORED_PACKED;
        const nw_bytes packed = bytes_of(model);
        model->weight_storage = NW_STORED_CODED;
        const nw_bytes coded = bytes_of(model);
        assert_true(coded.size <= packed.size);
        smaller += coded.size < packed.size;
        same += coded.size == packed.size;
        assert_int_equal(nw_model_parse(&back, coded.data, coded.size, "a.nw", &error), NW_OK);
        back->weight_storage = NW_STORED_PACKED;
        const nw_bytes again = bytes_of(back);
        assert_int_equal(again.size, packed.size);
        assert_memory_equal(again.data, packed.data, packed.size);
        nw_model_free(model);
        nw_model_free(back);
        free(packed.data);
        free(coded.data);
        free(again.data);
    }
    assert_true(smaller > 10 && same > 10);
}

/** Parsing either gives a model that can be written, or one sentence that starts with the file. True for a model. */
static bool parses(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1); /* so that the address sanitizer sees every byte too many */
    nw_error error = {{0}};
    nw_model *model = NULL;
    memcpy(exact, data, size);
    const nw_status status = nw_model_parse(&model, exact, size, "small.nw", &error);
    free(exact);
    if (status) {
        assert_true(status == NW_ERROR_DATA || status == NW_ERROR_UNSUPPORTED);
        assert_null(model);
        assert_int_equal(strncmp(error.message, "small.nw: ", 10), 0);
        assert_true(strlen(error.message) > 20);
        return false;
    }
    const nw_bytes bytes = bytes_of(model);
    free(bytes.data);
    nw_model_free(model);
    return true;
}

static void test_truncation(void **state)
{
    (void)state;
    nw_model *model = make_model(6);
    const nw_bytes bytes = bytes_of(model);
    for (size_t size = 0; size < bytes.size; size++)
        assert_false(parses(bytes.data, size));
    assert_true(parses(bytes.data, bytes.size));
    nw_model_free(model);
    free(bytes.data);
}

static void test_bit_flips(void **state)
{
    (void)state;
    int good = 0, bad = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        nw_model *model = make_model(seed);
        const nw_bytes bytes = bytes_of(model);
        for (size_t i = 0; i < bytes.size; i += 1 + bytes.size / 1500)
            for (int bit = 0; bit < 8; bit++) {
                bytes.data[i] ^= (uint8_t)(1 << bit);
                const bool parsed = parses(bytes.data, bytes.size);
                bytes.data[i] ^= (uint8_t)(1 << bit);
                good += parsed;
                bad += !parsed;
            }
        nw_model_free(model);
        free(bytes.data);
    }
    assert_true(good > 100 && bad > 5000); /* weights and names may change, most of the rest may not */
}

/** A container from a header; `data` bytes of zeros behind it. The sentence must hold `part`. */
static void refuse(nw_status wanted, const char *part, const char *header, size_t data)
{
    const size_t length = strlen(header);
    uint8_t *bytes = calloc(8 + length + data, 1);
    nw_error error = {{0}};
    nw_model *model = NULL;
    nw_store_le64(bytes, length);
    memcpy(bytes + 8, header, length);
    const nw_status status = nw_model_parse(&model, bytes, 8 + length + data, "bad.nw", &error);
    if (status != wanted || !strstr(error.message, part))
        fail_msg("status %d, \"%s\", wanted %d, \"%s\"", status, error.message, wanted, part);
    free(bytes);
}

#define ARRAY(name, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"
#define METADATA(graph) "{\"__metadata__\":{\"narrow.version\":\"1\",\"narrow.graph\":\"" graph "\"}}"

/** A graph with one tensor of very many channels and these further keys. */
#define CODES(keys) \
    "{\\\"tensors\\\":[{\\\"name\\\":\\\"x\\\",\\\"dims\\\":[1,2147483647]" keys "}],\\\"nodes\\\":[0]}"

static void test_containers(void **state)
{
    (void)state;
    refuse(NW_ERROR_DATA, "no .nw file", "", 0);
    refuse(NW_ERROR_DATA, "no .nw file", "[]", 0);
    refuse(NW_ERROR_DATA, "not JSON", "{", 0);
    refuse(NW_ERROR_DATA, "behind the end", "{} x", 0);
    refuse(NW_ERROR_DATA, "behind its last", "{}", 1);
    refuse(NW_ERROR_DATA, "nested too deeply", "{\"a\":{\"b\":{\"c\":{}}}}", 0);
    refuse(NW_ERROR_DATA, "NUL character", "{\"a\\u0000\":{}}", 0);
    refuse(NW_ERROR_DATA, "not UTF-8", "{\"a\xff\":{}}", 0);
    refuse(NW_ERROR_DATA, "hole", "{" ARRAY("a", "[2]", 1, 3) "}", 3);
    refuse(NW_ERROR_DATA, "overlaps", "{" ARRAY("a", "[2]", 0, 2) "," ARRAY("b", "[2]", 1, 3) "}", 3);
    refuse(NW_ERROR_DATA, "there twice", "{" ARRAY("a", "[2]", 0, 2) "," ARRAY("a", "[2]", 2, 4) "}", 4);
    refuse(NW_ERROR_DATA, "its shape needs", "{" ARRAY("a", "[3]", 0, 2) "}", 2);
    refuse(NW_ERROR_DATA, "out of range", "{" ARRAY("a", "[0]", 0, 0) "}", 0);
    refuse(NW_ERROR_DATA, "out of range", "{" ARRAY("a", "[9007199254740992,9007199254740992]", 0, 2) "}", 2);
    refuse(NW_ERROR_DATA, "outside the", "{" ARRAY("a", "[2]", 1, 9) "}", 2);
    refuse(NW_ERROR_DATA, "outside the", "{" ARRAY("a", "[2]", 2, 0) "}", 2);
    refuse(NW_ERROR_DATA, "unknown key", "{\"a\":{\"dtype\":\"U8\",\"size\":1}}", 0);
    refuse(NW_ERROR_DATA, "dtype", "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2);
    refuse(NW_ERROR_DATA, "without \"narrow.version\"", "{}", 0);
    refuse(NW_ERROR_DATA, "is no string", "{\"__metadata__\":{\"narrow.version\":1}}", 0);
    refuse(NW_ERROR_UNSUPPORTED, "version 2", "{\"__metadata__\":{\"narrow.version\":\"2\"}}", 0);
    refuse(NW_ERROR_DATA, "no \"narrow.graph\"", "{\"__metadata__\":{\"narrow.version\":\"1\"}}", 0);
    refuse(NW_ERROR_DATA, "unknown key \"narrow.x\"", "{\"__metadata__\":{\"narrow.version\":\"1\",\"narrow.x\":\"\"}}",
           0);
    refuse(NW_ERROR_DATA, "twice", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", 0);
    refuse(NW_ERROR_DATA, "graph", METADATA("{}"), 0);
    refuse(NW_ERROR_DATA, "\"tensors\" is there twice", METADATA("{\\\"tensors\\\":[],\\\"tensors\\\":[]}"), 0);
    refuse(NW_ERROR_DATA, "\"lo\" is missing", METADATA(CODES(",\\\"zero_point\\\":1")), 0);
    refuse(NW_ERROR_DATA, "\"hi\" is missing", METADATA(CODES("")), 0);
    refuse(NW_ERROR_DATA, "1 to 7 or absent", METADATA(CODES(",\\\"bits\\\":8")), 0);
    refuse(NW_ERROR_DATA, "1 to 255 or absent", METADATA(CODES(",\\\"zero_point\\\":0")), 0);
    refuse(NW_ERROR_DATA, "name, type or constant", METADATA(CODES(",\\\"type\\\":\\\"u8\\\"")), 0);
    refuse(NW_ERROR_DATA, "\"t0.data\" is missing",
           METADATA("{\\\"tensors\\\":[{\\\"name\\\":\\\"x\\\",\\\"type\\\":\\\"f32\\\",\\\"dims\\\":[1,2147483647],"
                    "\\\"constant\\\":true}],\\\"nodes\\\":[0]}"),
           0);
}

/** A file to be changed: its texts and copies of its arrays. */
static nw_safetensors unfold(const nw_model *model)
{
    const nw_bytes bytes = bytes_of(model);
    nw_safetensors file = {0}, copy = {0};
    nw_error error;
    assert_int_equal(nw_safetensors_parse(&file, bytes.data, bytes.size, "a", &error), NW_OK);
    for (size_t i = 0; i < file.n_texts; i++)
        assert_true(nw_safetensors_add_text(&copy, file.texts[i].key, file.texts[i].value));
    for (size_t i = 0; i < file.n_arrays; i++) {
        const nw_array *array = &file.arrays[i];
        memcpy(nw_safetensors_add(&copy, array->name, array->type, array->rank, array->dims), array->data, array->size);
    }
    nw_safetensors_free(&file);
    free(bytes.data);
    return copy;
}

/** Reads what the changed file says; the sentence of an error must hold `part`, NULL: there is none. Frees it. */
static void expect(nw_safetensors *file, const char *part)
{
    nw_bytes bytes = {0};
    nw_model *back = NULL;
    nw_error error = {{0}};
    assert_int_equal(nw_safetensors_serialize(&bytes, file, &error), NW_OK);
    const nw_status status = nw_model_parse(&back, bytes.data, bytes.size, "changed.nw", &error);
    if (part ? status != NW_ERROR_DATA || !strstr(error.message, part) : status != NW_OK)
        fail_msg("status %d, \"%s\", wanted \"%s\"", status, error.message, part ? part : "");
    nw_model_free(back);
    nw_bytes_free(&bytes);
    nw_safetensors_free(file);
}

/** One more tensor than the graph asks for. */
static void test_unused_tensor(void **state)
{
    (void)state;
    nw_model *model = make_model(1);
    nw_safetensors file = unfold(model);
    assert_true(nw_safetensors_add_text(&file, "author", "somebody else's keys are fine"));
    expect(&file, NULL);
    file = unfold(model);
    assert_non_null(nw_safetensors_add(&file, "n0.unused", NW_ARRAY_U8, 1, (size_t[]){3}));
    expect(&file, "does not use");
    nw_model_free(model);
}

static nw_array *array_of(nw_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->n_arrays; i++)
        if (!strcmp(file->arrays[i].name, name))
            return &file->arrays[i];
    fail_msg("no tensor \"%s\"", name);
    return NULL;
}

/** A file whose array has `more` entries more (the last ones are 0) or less. */
static nw_safetensors resized(const nw_model *model, const char *name, int more)
{
    nw_safetensors file = unfold(model);
    nw_array *array = array_of(&file, name);
    const size_t element = nw_array_element_size(array->type);
    array->dims[0] = (size_t)((int64_t)array->dims[0] + more);
    uint8_t *data = calloc(array->dims[0], element);
    memcpy(data, array->owned, array->dims[0] * element < array->size ? array->dims[0] * element : array->size);
    free(array->owned);
    array->size = array->dims[0] * element;
    array->data = array->owned = data;
    return file;
}

/** Arrays that tensors and nodes share have exactly the entries that the graph asks for. */
static void test_shared_arrays(void **state)
{
    (void)state;
    static const char *const names[] = {"scale", "multiplier", "bias", "row_channel", "lo", "hi", "shift"};
    int seen[7] = {0};
    for (uint64_t seed = 0; seed < 60; seed++) {
        nw_model *model = make_model(seed);
        nw_safetensors file = unfold(model);
        for (int i = 0; i < 7; i++) {
            bool there = false;
            for (size_t j = 0; j < file.n_arrays; j++)
                there |= !strcmp(file.arrays[j].name, names[i]);
            if (!there)
                continue;
            seen[i]++;
            nw_safetensors changed = resized(model, names[i], 1);
            expect(&changed, "more than the graph uses");
            if (array_of(&file, names[i])->dims[0] > 1) {
                changed = resized(model, names[i], -1);
                expect(&changed, "too few entries");
            }
            if (i > 3) /* no other type has elements of this size */
                continue;
            changed = unfold(model);
            array_of(&changed, names[i])->type = i < 3 ? NW_ARRAY_I32 : NW_ARRAY_F32;
            expect(&changed, "must be one row of");
        }
        nw_safetensors_free(&file);
        nw_model_free(model);
    }
    for (int i = 0; i < 7; i++)
        assert_true(seen[i] > 3);
    nw_model *model = NULL;
    for (uint64_t seed = 0; !model; seed++) { /* one without shifts */
        model = make_model(seed);
        for (int32_t i = 0; model && i < model->n_tensors; i++)
            for (int32_t c = 0;
                 model && model->tensors[i].type == NW_TYPE_U8 && c < nw_tensor_channels(&model->tensors[i]); c++)
                if (model->tensors[i].quant.shift[c]) {
                    nw_model_free(model);
                    model = NULL;
                }
    }
    nw_safetensors file = unfold(model);
    assert_non_null(nw_safetensors_add(&file, "shift", NW_ARRAY_U8, 1, &array_of(&file, "hi")->dims[0]));
    expect(&file, "0 throughout");
    nw_model_free(model);
}

/** The file with `from` replaced by `to` in its graph. */
static nw_safetensors rewritten(const nw_model *model, const char *from, const char *to)
{
    nw_safetensors file = unfold(model);
    for (size_t i = 0; i < file.n_texts; i++) {
        char *text = file.texts[i].value, *at = strstr(text, from);
        if (strcmp(file.texts[i].key, "narrow.graph"))
            continue;
        assert_non_null(at);
        char *changed = malloc(strlen(text) + strlen(to) + 1);
        sprintf(changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
        free(text);
        file.texts[i].value = changed;
    }
    return file;
}

/** x -> codes -> 1 x 1 convolution with everything as usual -> mean over the picture, to reals. */
static nw_model *usual_model(void)
{
    nw_model *model = nw_model_create();
    const int32_t picture[4] = {1, 2, 1, 1};
    nw_model_add_tensor(model, "x", NW_TYPE_F32, 4, picture);
    for (int i = 0; i < 3; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        nw_tensor *tensor = &model->tensors[nw_model_add_tensor(model, name, NW_TYPE_U8, 4, picture)];
        assert_int_equal(nw_tensor_alloc_quant(tensor), NW_OK);
        tensor->quant.bits = 8;
        tensor->quant.scale = 0.5f;
    }
    nw_model_add_tensor(model, "y", NW_TYPE_F32, 4, picture);
    const nw_op ops[] = {NW_OP_QUANTIZE, NW_OP_CONV, NW_OP_AVERAGE_POOL, NW_OP_DEQUANTIZE};
    for (int i = 0; i < 4; i++) {
        nw_node *node = nw_model_add_node(model, ops[i], "", 1);
        node->inputs[0] = i;
        node->output = i + 1;
    }
    nw_node *conv = &model->nodes[1], *pool = &model->nodes[2];
    conv->linear = nw_linear_create(2, 2, 2, false);
    pool->multipliers[0] = calloc(2, sizeof(float));
    for (int i = 0; i < 2; i++)
        pool->multipliers[0][i] = conv->linear->multiplier[i] = 1.0f;
    for (int i = 0; i < 2; i++) {
        nw_window *window = &model->nodes[1 + i].window;
        *window = (nw_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    }
    int32_t **ends[] = {&model->inputs, &model->outputs};
    for (int i = 0; i < 2; i++) {
        *ends[i] = malloc(sizeof(int32_t));
        **ends[i] = 4 * i;
    }
    model->n_inputs = model->n_outputs = 1;
    return model;
}

/** A key that says what holds without it would give one model two files. */
static void test_usual_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"\"kernel\":[1,1]",         "\"stride\":[1,1]", "\"dilation\":[1,1]",
                                       "\"pad\":[0,0,0,0]",        "\"groups\":1",     "\"weight_bits\":8",
                                       "\"accumulator\":\"auto\"", "\"inputs\":[1]",   "\"output\":2"};
    nw_model *model = usual_model();
    nw_safetensors file = unfold(model);
    expect(&file, NULL);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char node[128];
        snprintf(node, sizeof(node), "{\"op\":\"conv\",\"name\":\"\",%s}", keys[i]);
        file = rewritten(model, "{\"op\":\"conv\",\"name\":\"\"}", node);
        expect(&file, strstr(keys[i], "bits") || strstr(keys[i], "acc") ? "or absent" : "what holds without it");
    }
    file = rewritten(model, "{\"op\":\"average_pool\",\"name\":\"\"}",
                     "{\"op\":\"average_pool\",\"name\":\"\",\"count_include_pad\":false}");
    expect(&file, "true or absent");
    file = rewritten(model, "{\"op\":\"conv\",\"name\":\"\"}", "{\"op\":\"conv\",\"name\":\"\",\"groups\":3}");
    expect(&file, "whose channels its groups divide");
    file = rewritten(model, "{\"op\":\"conv\",\"name\":\"\"}", "{\"op\":\"conv\",\"name\":\"\",\"inputs\":[0]}");
    expect(&file, "needs a u8 input");
    file = rewritten(model, "{\"op\":\"conv\",\"name\":\"\"}",
                     "{\"op\":\"conv\",\"name\":\"\",\"kernel\":[2147483647,2147483647]}");
    expect(&file, "at most 2^23");
    file = rewritten(model, "{\"op\":\"conv\",\"name\":\"\"}", "{\"op\":\"conv\",\"name\":\"\",\"output\":5}");
    expect(&file, "output is missing, wrong");
    nw_model_free(model);
}

/** Prefix codes of stored activations: only such as every row can be written in and read again. */
static void test_codes(void **state)
{
    (void)state;
    nw_model *model = usual_model();
    nw_symbol_code code = {.bits = 6};
    memset(code.lengths, 6, 64);
    model->tensors[2].quant.bits = 3;
    model->tensors[2].quant.code = 1;
    model->tensors[3].quant.bits = 3;
    model->symbol_codes = malloc(sizeof(code));
    model->symbol_codes[0] = code;
    model->n_symbol_codes = 1;
    nw_safetensors file = unfold(model);
    expect(&file, NULL);
    file = rewritten(model, "\"codes\":[6]", "\"codes\":[9]");
    expect(&file, "integers from 1 to 8");
    file = rewritten(model, "\"codes\":[6]", "\"codes\":[]");
    expect(&file, "integers from 1 to 8");
    file = rewritten(model, "\"codes\":[6]", "\"codes\":[5]");
    expect(&file, "entries more than the graph uses");
    file = rewritten(model, "\"codes\":[6]", "\"codes\":[7]");
    expect(&file, "too few entries");
    file = rewritten(model, ",\"codes\":[6]", "");
    expect(&file, "must be codes of the graph or absent");
    file = rewritten(model, "\"code\":0", "\"code\":1");
    expect(&file, "must be codes of the graph or absent");
    file = rewritten(model, "\"code\":0", "\"code\":0,\"low_code\":0");
    expect(&file, "symbols that it does not have");
    file = rewritten(model, "\"bits\":3,\"code\":0", "\"code\":0");
    expect(&file, "symbols that it does not have");
    file = rewritten(model, "\"type\":\"f32\"", "\"type\":\"f32\",\"code\":0");
    expect(&file, "is missing or wrong");
    static const uint8_t wrong[][2] = {{5, 6}, {7, 6}, {0, 6}, {12, 6}, {5, 8}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        nw_safetensors changed = unfold(model);
        for (size_t a = 0; a < changed.n_arrays; a++)
            if (!strcmp(changed.arrays[a].name, "code_length"))
                ((uint8_t *)(uintptr_t)changed.arrays[a].data)[9] = (uint8_t)(wrong[i][0] | wrong[i][1] << 4);
        expect(&changed, "1 to 11 bits and leave none out");
    }
    nw_model_free(model);
}

static void test_layout(void **state)
{
    (void)state;
    nw_model *model = make_model(5);
    const nw_bytes bytes = bytes_of(model);
    nw_safetensors file = {0};
    nw_error error;
    assert_int_equal((8 + nw_load_le64(bytes.data)) % 64, 0);
    assert_int_equal(nw_safetensors_parse(&file, bytes.data, bytes.size, "a", &error), NW_OK);
    for (size_t i = 0; i < file.n_arrays; i++)
        assert_int_equal((size_t)(file.arrays[i].data - bytes.data) % nw_array_element_size(file.arrays[i].type), 0);
    nw_safetensors_free(&file);
    nw_model_free(model);
    free(bytes.data);
}

static void test_disk(void **state)
{
    (void)state;
    char folder[256], path[300];
    const char *temporary = getenv("TMPDIR");
    nw_model *model = make_model(2), *back = NULL;
    nw_error error = {{0}};
    snprintf(folder, sizeof(folder), "%s/test_nw_XXXXXX", temporary ? temporary : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/net.nw", folder);
    assert_int_equal(nw_model_read(&back, path, &error), NW_ERROR_DATA);
    assert_int_equal(nw_model_read(&back, folder, &error), NW_ERROR_DATA);
    assert_int_equal(nw_model_write(model, path, &error), NW_OK);
    assert_int_equal(nw_model_read(&back, path, &error), NW_OK);
    nw_model_free(back);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(nw_model_write(model, "/nowhere/at/all.nw", &error), NW_ERROR_DATA);
    free(model->plan);
    model->plan = strdup("[1]");
    assert_int_equal(nw_model_write(model, path, &error), NW_ERROR_DATA);
    assert_int_equal(rmdir(folder), 0); /* nothing half-written is left */
    nw_model_free(model);
}

/** usual_model with a row of k weights in each of its two channels, all 0 but a few, coded. */
static nw_model *coded_model(int32_t k, int bits)
{
    nw_model *model = usual_model();
    for (int i = 0; i < 2; i++) {
        nw_tensor *x = &model->tensors[i];
        x->dims[1] = k;
        if (i == 0)
            continue;
        free(x->quant.lo);
        free(x->quant.hi);
        free(x->quant.shift);
        assert_int_equal(nw_tensor_alloc_quant(x), NW_OK);
    }
    nw_linear_free(model->nodes[1].linear);
    nw_linear *linear = model->nodes[1].linear = nw_linear_create(2, 2, k, false);
    linear->weight_bits = (uint8_t)bits;
    for (int32_t i = 0; i < 2 * k; i += 3)
        linear->weights[i] = 1;
    model->weight_storage = NW_STORED_CODED;
    return model;
}

/** Replaces the bytes of an array of one row. */
static void replace(nw_array *array, const uint8_t *data, size_t size)
{
    free(array->owned);
    array->owned = malloc(size);
    memcpy(array->owned, data, size);
    array->data = array->owned;
    array->dims[0] = array->size = size;
}

/** Coded weights that are none: too short, too long, values beyond the width, more weights than the bytes allow. */
static void test_coded_damage(void **state)
{
    (void)state;
    enum { K = 3000 };
    nw_model *model = coded_model(K, 4);
    nw_safetensors file = unfold(model);
    nw_array *weights = array_of(&file, "n1.weights");
    assert_int_equal(weights->rank, 1);
    const size_t size = weights->size;
    uint8_t bytes[4 * K] = {0};
    memcpy(bytes, weights->data, size);
    expect(&file, NULL);
    for (size_t cut = size - 3; cut < size + 4; cut++) {
        file = unfold(model);
        replace(array_of(&file, "n1.weights"), bytes, cut);
        expect(&file, cut == size ? NULL : "are no code of 6000 weights of 4 bits");
    }
    int8_t values[2 * K] = {0};
    for (int value = 6; value <= 9; value++) { /* 4 bits reach from -7 to 7 */
        values[17] = (int8_t)-value;
        for (int i = 1000; i < 2 * K; i += 2)
            values[i] = 1;
        const size_t n = nw_weight_code_encode(NULL, values, 2, K, K);
        nw_weight_code_encode(bytes, values, 2, K, K);
        file = unfold(model);
        replace(array_of(&file, "n1.weights"), bytes, n);
        expect(&file, value <= 7 ? NULL : "are no code");
    }
    memset(values, 0, sizeof(values)); /* zeros alone code in less than a byte for 256 */
    const size_t n = nw_weight_code_encode(NULL, values, 2, K, K);
    nw_weight_code_encode(bytes, values, 2, K, K);
    assert_true(n * NW_CODED_MOST_WEIGHTS <= 2 * K);
    file = unfold(model);
    replace(array_of(&file, "n1.weights"), bytes, n);
    expect(&file, "more than a byte for 256 weights");
    memset(model->nodes[1].linear->weights, 0, 2 * K); /* so the writer leaves them packed */
    file = unfold(model);
    assert_int_equal(array_of(&file, "n1.weights")->rank, 2);
    expect(&file, NULL);
    nw_model_free(model);
    model = coded_model(K, 4);
    file = rewritten(model, ",\"storage\":\"coded\"", "");
    expect(&file, "is not U8 [2, 1500]");
    file = rewritten(model, "\"storage\":\"coded\"", "\"storage\":\"packed\"");
    expect(&file, "storage coded or absent");
    file = rewritten(model, "\"storage\":\"coded\"", "\"rows\":2,\"storage\":\"coded\"");
    expect(&file, "rows must be more than channels");
    file = rewritten(model, "\"storage\":\"coded\"", "\"rows\":9,\"storage\":\"coded\"");
    expect(&file, "rows must be more than channels");
    file = rewritten(model, "\"storage\":\"coded\"", "\"rows\":3,\"storage\":\"coded\"");
    expect(&file, "too few entries"); /* no multiplier for the third row */
    nw_model_free(model);
}

/** Nothing but the weights and the zero point say what the offset is, and together they can say too much. */
static void test_offset_overflow(void **state)
{
    (void)state;
    const int32_t k = 70000; /* 255 * 127 * k > 2^31 */
    nw_model *model = usual_model();
    for (int i = 0; i < 2; i++)
        model->tensors[i].dims[1] = k;
    nw_tensor *x = &model->tensors[1];
    free(x->quant.lo);
    free(x->quant.hi);
    free(x->quant.shift);
    assert_int_equal(nw_tensor_alloc_quant(x), NW_OK);
    x->quant.zero_point = 255;
    nw_linear_free(model->nodes[1].linear);
    model->nodes[1].linear = nw_linear_create(2, 2, k, false);
    nw_safetensors file = unfold(model);
    expect(&file, NULL);
    file = unfold(model);
    nw_array *weights = array_of(&file, "n1.weights");
    memset(weights->owned + k, 0x7f, (size_t)k);
    expect(&file, "the offset of row 1 leaves 32 bits");
    nw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_unused_tensor),
        cmocka_unit_test(test_shared_arrays),
        cmocka_unit_test(test_usual_keys),
        cmocka_unit_test(test_offset_overflow),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_coded_damage),
        cmocka_unit_test(test_coded_is_smaller),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
