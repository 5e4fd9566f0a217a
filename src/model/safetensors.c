/* SPDX-License-Identifier: Apache-2.0 */
/* See safetensors.h: building and writing. safetensors_read.c reads. */
#include "model/safetensors.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bits.h"
#include "model/json.h"

#define DATA_ALIGNMENT 64

size_t nw_array_element_size(nw_array_type type)
{
    static const uint8_t sizes[NW_ARRAY_TYPE_COUNT] = {4, 4, 2, 1};
    return sizes[type];
}

const char *nw_array_type_name(nw_array_type type)
{
    static const char *const names[NW_ARRAY_TYPE_COUNT] = {"F32", "I32", "I16", "U8"};
    return names[type];
}

/** Makes room for one more item; false without memory. */
static bool reserve_one(void **items, size_t n, size_t *capacity, size_t item_size)
{
    if (n < *capacity)
        return true;
    const size_t wanted = *capacity ? *capacity * 2 : 32;
    void *grown = realloc(*items, wanted * item_size);
    if (!grown)
        return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

uint8_t *nw_safetensors_add(nw_safetensors *file, const char *name, nw_array_type type, int32_t rank,
                            const size_t *dims)
{
    nw_array array = {.type = type, .rank = rank, .size = nw_array_element_size(type)};
    void *items = file->arrays;
    const bool fits = reserve_one(&items, file->n_arrays, &file->array_capacity, sizeof(nw_array));
    file->arrays = items;
    assert(rank <= NW_ARRAY_MAX_RANK);
    for (int32_t i = 0; i < rank; i++) {
        array.dims[i] = dims[i];
        if (!nw_size_mul(&array.size, array.size, dims[i]))
            return NULL;
    }
    array.name = fits ? nw_text_copy(name) : NULL;
    array.owned = array.name ? calloc(array.size ? array.size : 1, 1) : NULL;
    array.data = array.owned;
    if (!array.owned) {
        free(array.name);
        return NULL;
    }
    file->arrays[file->n_arrays++] = array;
    return array.owned;
}

bool nw_safetensors_add_text(nw_safetensors *file, const char *key, const char *value)
{
    void *items = file->texts;
    const bool fits = reserve_one(&items, file->n_texts, &file->text_capacity, sizeof(nw_text));
    file->texts = items;
    nw_text text = {.key = fits ? nw_text_copy(key) : NULL, .value = fits ? nw_text_copy(value) : NULL};
    if (!text.key || !text.value) {
        free(text.key);
        free(text.value);
        return false;
    }
    file->texts[file->n_texts++] = text;
    return true;
}

void nw_safetensors_free(nw_safetensors *file)
{
    for (size_t i = 0; i < file->n_arrays; i++) {
        free(file->arrays[i].name);
        free(file->arrays[i].owned);
    }
    for (size_t i = 0; i < file->n_texts; i++) {
        free(file->texts[i].key);
        free(file->texts[i].value);
    }
    free(file->arrays);
    free(file->texts);
    *file = (nw_safetensors){0};
}

/** Appends a number; false without memory (cJSON would lose the item if the array is missing). */
static bool append_size(cJSON *array, size_t size)
{
    cJSON *item = array ? cJSON_CreateNumber((double)size) : NULL;
    return item && cJSON_AddItemToArray(array, item);
}

static cJSON *describe(const nw_array *array, size_t begin)
{
    cJSON *object = cJSON_CreateObject();
    bool done = cJSON_AddStringToObject(object, "dtype", nw_array_type_name(array->type)) != NULL;
    cJSON *shape = done ? cJSON_AddArrayToObject(object, "shape") : NULL;
    done = shape != NULL;
    for (int32_t i = 0; done && i < array->rank; i++)
        done = append_size(shape, array->dims[i]);
    cJSON *offsets = done ? cJSON_AddArrayToObject(object, "data_offsets") : NULL;
    if (append_size(offsets, begin) && append_size(offsets, begin + array->size))
        return object;
    cJSON_Delete(object);
    return NULL;
}

/** The header's JSON, to be freed with cJSON_free; NULL without memory. *data_size becomes the bytes of all arrays. */
static char *format_header(const nw_safetensors *file, const nw_array *const *order, size_t *data_size)
{
    cJSON *header = cJSON_CreateObject();
    cJSON *metadata = cJSON_AddObjectToObject(header, "__metadata__");
    bool done = metadata != NULL;
    for (size_t i = 0; done && i < file->n_texts; i++)
        done = cJSON_AddStringToObject(metadata, file->texts[i].key, file->texts[i].value) != NULL;
    size_t at = 0;
    for (size_t i = 0; done && i < file->n_arrays; i++) {
        cJSON *object = describe(order[i], at);
        done = object && cJSON_AddItemToObject(header, order[i]->name, object);
        if (!done)
            cJSON_Delete(object);
        done = done && nw_size_add(&at, at, order[i]->size);
    }
    char *text = done ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    *data_size = at;
    return text;
}

/** The arrays by falling element size, stable. */
static void sort_by_alignment(const nw_array **order, const nw_safetensors *file)
{
    size_t n = 0;
    for (size_t element = 4; element >= 1; element /= 2)
        for (size_t i = 0; i < file->n_arrays; i++)
            if (nw_array_element_size(file->arrays[i].type) == element)
                order[n++] = &file->arrays[i];
}

nw_status nw_safetensors_serialize(nw_bytes *out, const nw_safetensors *file, nw_error *error)
{
    nw_status status = NW_OK;
    char *text = NULL;
    uint8_t *bytes = NULL;
    size_t data_size = 0;
    const nw_array **order = malloc((file->n_arrays + 1) * sizeof(*order));
    if (order) {
        sort_by_alignment(order, file);
        text = format_header(file, order, &data_size);
    }
    if (!text) {
        status = nw_fail_memory(error, "writing the header of a model");
        goto cleanup;
    }
    const size_t text_size = strlen(text);
    const size_t data_at = nw_align(8 + text_size, DATA_ALIGNMENT);
    if (data_at - 8 > NW_HEADER_LIMIT || data_size > NW_BYTES_LIMIT - data_at) {
        status = nw_fail(error, NW_ERROR_DATA, "the model is too large for a file: header %zu bytes, data %zu bytes",
                         text_size, data_size);
        goto cleanup;
    }
    bytes = malloc(data_at + data_size);
    if (!bytes) {
        status = nw_fail_memory(error, "writing a model");
        goto cleanup;
    }
    nw_store_le64(bytes, data_at - 8);
    memcpy(bytes + 8, text, text_size);
    memset(bytes + 8 + text_size, ' ', data_at - 8 - text_size);
    for (size_t i = 0, at = data_at; i < file->n_arrays; at += order[i]->size, i++)
        memcpy(bytes + at, order[i]->data, order[i]->size);
    *out = (nw_bytes){.data = bytes, .size = data_at + data_size};

cleanup:
    cJSON_free(text);
    free(order);
    return status;
}
