/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzing of the .nw reader. Whatever the bytes, nw_model_parse must end with one sentence or with a model that
 *     - is written, read and written again as the same bytes;
 *     - the engine builds and runs without touching foreign memory, if it is small enough to try.
 *
 *     make_nw corpus/ 200 && fuzz_nw -max_len=20000 corpus/
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/file.h"
#include "model/safetensors.h"
#include "narrow/narrow.h"

#define MAX_ELEMENTS 200000 /* of all activations and sums together, so that one input takes milliseconds */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static void demand(int good, const char *what, const nw_error *error)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, error->message);
    abort();
}

/** Elements and multiply-accumulates; more than the limit as soon as it is passed. */
static uint64_t work_of(const nw_model *model)
{
    uint64_t work = 0;
    for (int32_t i = 0; i < model->n_tensors; i++)
        work += nw_tensor_elements(&model->tensors[i]);
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        const nw_window *w = &node->window;
        const uint64_t phases = (uint64_t)w->stride[0] * (uint64_t)w->stride[1];
        work += node->linear ? nw_node_macs(model, node) / 8 : 0;
        if (node->op == NW_OP_CONV_TRANSPOSE) /* each packed on its own */
            work += phases * (uint64_t)node->groups * ((uint64_t)w->kernel[0] * (uint64_t)w->kernel[1] + 64);
        if (node->op == NW_OP_MAX_POOL || node->op == NW_OP_AVERAGE_POOL)
            work += (uint64_t)w->kernel[0] * (uint64_t)w->kernel[1] * nw_tensor_elements(&model->tensors[node->output]);
    }
    return work;
}

static void run_once(const nw_model *model, nw_engine *engine, bool pixels)
{
    nw_input *inputs = calloc((size_t)model->n_inputs, sizeof(*inputs));
    float **outputs = calloc((size_t)model->n_outputs, sizeof(*outputs));
    void **blocks = calloc((size_t)model->n_inputs, sizeof(*blocks));
    for (int32_t i = 0; inputs && blocks && i < model->n_inputs; i++) {
        const size_t n = nw_tensor_elements(&model->tensors[model->inputs[i]]);
        float *values = malloc(n * sizeof(*values));
        blocks[i] = values;
        for (size_t j = 0; values && j < n; j++)
            values[j] = j % 3 ? (float)j * 0.37f - 5.0f : j % 2 ? 1e30f : -1e30f;
        if (pixels)
            inputs[i].pixels = blocks[i];
        else
            inputs[i].values = blocks[i];
    }
    for (int32_t i = 0; outputs && i < model->n_outputs; i++)
        outputs[i] = malloc(nw_tensor_elements(&model->tensors[model->outputs[i]]) * sizeof(float));
    (void)nw_engine_run(engine, inputs, outputs, NULL);
    for (int32_t i = 0; i < model->n_inputs; i++)
        free(blocks[i]);
    for (int32_t i = 0; i < model->n_outputs; i++)
        free(outputs[i]);
    free(inputs);
    free(outputs);
    free(blocks);
}

static void try_engine(const nw_model *model)
{
    static const nw_engine_options engines[] = {
        {.isa = "ref"}, {.isa = NULL}, {.storage = NW_STORAGE_PACKED, .threads = 2},
        {.storage = NW_STORAGE_CODED, .threads = 3}, {.storage = NW_STORAGE_HUFFMAN},
        {.fusion = NW_FUSION_SMALL, .threads = 2},
        {.storage = NW_STORAGE_PACKED, .fusion = NW_FUSION_SMALL}};
    nw_error error = {{0}};
    if (work_of(model) > MAX_ELEMENTS)
        return;
    for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
        size_t size = 0;
        nw_engine *engine = NULL;
        if (nw_engine_size_with(&size, model, &engines[i], &error) || size > (size_t)1 << 26 ||
            nw_engine_create_with(&engine, model, &engines[i], &error))
            continue;
        run_once(model, engine, false);
        run_once(model, engine, true);
        nw_engine_free(engine);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nw_error error = {{0}};
    nw_model *model = NULL, *again = NULL;
    nw_bytes first = {0}, second = {0};
    if (nw_model_parse(&model, data, size, "fuzzed.nw", &error)) {
        demand(error.message[0] != '\0', "failed without a sentence", &error);
        return 0;
    }
    demand(nw_model_serialize(&first, model, &error) == NW_OK, "was read, cannot be written", &error);
    demand(nw_model_parse(&again, first.data, first.size, "again.nw", &error) == NW_OK, "was written, cannot be read",
           &error);
    demand(nw_model_serialize(&second, again, &error) == NW_OK, "cannot be written again", &error);
    demand(first.size == second.size && !memcmp(first.data, second.data, first.size), "differs when written again",
           &error);
    try_engine(model);
    nw_bytes_free(&first);
    nw_bytes_free(&second);
    nw_model_free(model);
    nw_model_free(again);
    return 0;
}

static bool begins_number(const char *at)
{
    return *at >= '0' && *at <= '9' && strchr("[,:-", at[-1]);
}

/** Replaces one of the numbers of the graph's text by another, mostly small one; false if there is no room. */
static bool change_number(char *text, size_t room, uint64_t random)
{
    static const char *const odd[] = {"-1", "255", "256", "65536", "1048576", "2147483647", "1e9", "0.5"};
    size_t n_numbers = 0, chosen = 0;
    for (size_t i = 1; text[i]; i++)
        n_numbers += begins_number(text + i);
    if (!n_numbers)
        return false;
    for (size_t i = 1, left = random % n_numbers + 1; left; i++)
        if (begins_number(text + i) && !--left)
            chosen = i;
    char digits[16];
    const unsigned kind = (unsigned)(random >> 40 & 15);
    snprintf(digits, sizeof(digits), "%u", (unsigned)(random >> 32 & 7) + (kind == 9));
    const char *number = kind < 8 ? digits : kind == 8 ? odd[random >> 48 & 7] : digits;
    const size_t old = strspn(text + chosen, "0123456789.e"), length = strlen(number),
                 tail = strlen(text + chosen + old);
    if (chosen + length + tail + 1 > room)
        return false;
    memmove(text + chosen + length, text + chosen + old, tail + 1);
    memcpy(text + chosen, number, length);
    return true;
}

/** The file with one number of its graph or one array changed, laid out anew; false where that is not possible. */
static bool mutate_inside(nw_bytes *out, const nw_safetensors *file, uint64_t random)
{
    nw_safetensors changed = {0};
    bool done = true;
    for (size_t i = 0; done && i < file->n_texts; i++) {
        const size_t room = strlen(file->texts[i].value) + 16;
        char *value = malloc(room);
        strcpy(value, file->texts[i].value);
        if (random % 3 && !strcmp(file->texts[i].key, "narrow.graph"))
            done = change_number(value, room, random / 3);
        done = done && nw_safetensors_add_text(&changed, file->texts[i].key, value);
        free(value);
    }
    for (size_t i = 0; done && i < file->n_arrays; i++) {
        const nw_array *array = &file->arrays[i];
        uint8_t *to = nw_safetensors_add(&changed, array->name, array->type, array->rank, array->dims);
        memcpy(to, array->data, array->size);
        if (random % 3 != 1 && i == random / 3 % file->n_arrays)
            LLVMFuzzerMutate(to, array->size, array->size);
    }
    done = done && nw_safetensors_serialize(out, &changed, NULL) == NW_OK;
    nw_safetensors_free(&changed);
    return done;
}

/** Half of the time bytes are changed blindly, half of the time inside a container that stays whole. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    const uint64_t random = (seed + 1u) * 0x9e3779b97f4a7c15u ^ (uint64_t)seed << 29;
    nw_safetensors file = {0};
    nw_bytes changed = {0};
    bool done = false;
    if (random >> 63 && nw_safetensors_parse(&file, data, size, "fuzzed.nw", NULL) == NW_OK)
        done = mutate_inside(&changed, &file, random & INT64_MAX) && changed.size <= max_size;
    if (done)
        memcpy(data, changed.data, changed.size);
    const size_t new_size = done ? changed.size : LLVMFuzzerMutate(data, size, max_size);
    nw_safetensors_free(&file);
    nw_bytes_free(&changed);
    return new_size;
}
