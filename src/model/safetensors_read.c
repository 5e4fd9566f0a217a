/* SPDX-License-Identifier: Apache-2.0 */
/* See safetensors.h: reading. Every byte here comes from a file that nobody vouches for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "model/json.h"
#include "model/safetensors.h"

#define HEADER_DEPTH 3 /* header { array { shape [ */

typedef struct reader {
    const uint8_t *data; /* behind the header */
    size_t size;
    const char *name;
    nw_error *error;
    nw_safetensors file; /* under construction */
} reader;

/** A whole number from 0 to 2^53, exact in cJSON's doubles. */
static bool read_size(size_t *out, const cJSON *item)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 9007199254740992.0))
        return false;
    const uint64_t value = (uint64_t)item->valuedouble;
    if ((double)value != item->valuedouble || value > SIZE_MAX)
        return false;
    *out = (size_t)value;
    return true;
}

static nw_status read_type(reader *r, nw_array *array, const cJSON *dtype)
{
    for (int type = 0; cJSON_IsString(dtype) && type < NW_ARRAY_TYPE_COUNT; type++)
        if (strcmp(dtype->valuestring, nw_array_type_name((nw_array_type)type)) == 0) {
            array->type = (nw_array_type)type;
            return NW_OK;
        }
    return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%.80s\": dtype must be F32, I32, I16 or U8", r->name,
                   array->name);
}

/** Shape and place; the size that the shape asks for must be the size that the offsets give. */
static nw_status read_extent(reader *r, nw_array *array, const cJSON *shape, const cJSON *offsets)
{
    array->rank = nw_json_length(shape, NW_ARRAY_MAX_RANK);
    if (array->rank < 0)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%.80s\": shape must be a list of at most %d sizes",
                       r->name, array->name, NW_ARRAY_MAX_RANK);
    size_t size = nw_array_element_size(array->type);
    const cJSON *entry = shape->child;
    for (int32_t i = 0; i < array->rank; i++, entry = entry->next)
        if (!read_size(&array->dims[i], entry) || !array->dims[i] || !nw_size_mul(&size, size, array->dims[i]))
            return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%.80s\": size %d of its shape is out of range",
                           r->name, array->name, (int)i);
    size_t begin, end;
    if (nw_json_length(offsets, 2) != 2 || !read_size(&begin, offsets->child) ||
        !read_size(&end, offsets->child->next) || begin > end || end > r->size)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%.80s\": data_offsets lie outside the %zu bytes of data",
                       r->name, array->name, r->size);
    if (end - begin != size)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%.80s\": has %zu bytes of data, its shape needs %zu",
                       r->name, array->name, end - begin, size);
    array->data = r->data + begin;
    array->size = size;
    return NW_OK;
}

static nw_status read_array(reader *r, const cJSON *item)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    const cJSON *items[NW_COUNT(keys)];
    nw_array *array = &r->file.arrays[r->file.n_arrays];
    *array = (nw_array){.name = nw_text_copy(item->string)};
    if (!array->name)
        return nw_fail_memory(r->error, "reading a model");
    r->file.n_arrays++;
    char what[160];
    snprintf(what, sizeof(what), "%.40s: tensor \"%.80s\"", r->name, array->name);
    NW_TRY(nw_json_match(items, item, keys, NW_COUNT(keys), what, r->error));
    NW_TRY(read_type(r, array, items[0]));
    return read_extent(r, array, items[1], items[2]);
}

static nw_status read_metadata(reader *r, const cJSON *object)
{
    size_t n = 0;
    if (!cJSON_IsObject(object))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: __metadata__ must be a JSON object", r->name);
    if (r->file.texts)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: __metadata__ is there twice", r->name);
    for (const cJSON *item = object->child; item; item = item->next)
        n++;
    r->file.texts = calloc(n + 1, sizeof(*r->file.texts));
    if (!r->file.texts)
        return nw_fail_memory(r->error, "reading a model");
    for (const cJSON *item = object->child; item; item = item->next) {
        if (!cJSON_IsString(item))
            return nw_fail(r->error, NW_ERROR_DATA, "%s: __metadata__: \"%.80s\" is no string", r->name, item->string);
        nw_text *text = &r->file.texts[r->file.n_texts++];
        text->key = nw_text_copy(item->string);
        text->value = nw_text_copy(item->valuestring);
        if (!text->key || !text->value)
            return nw_fail_memory(r->error, "reading a model");
    }
    return NW_OK;
}

static int compare_arrays(const void *a, const void *b)
{
    return strcmp(((const nw_array *)a)->name, ((const nw_array *)b)->name);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(((const nw_text *)a)->key, ((const nw_text *)b)->key);
}

static int compare_places(const void *a, const void *b)
{
    const uint8_t *x = ((const nw_array *)a)->data, *y = ((const nw_array *)b)->data;
    return (x > y) - (x < y);
}

/** The arrays must lie one behind the other from the first byte of the data to the last. */
static nw_status check_places(reader *r)
{
    nw_safetensors *file = &r->file;
    qsort(file->arrays, file->n_arrays, sizeof(*file->arrays), compare_places);
    const uint8_t *at = r->data;
    for (size_t i = 0; i < file->n_arrays; i++) {
        if (file->arrays[i].data != at)
            return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%.80s\": %s before its data", r->name,
                           file->arrays[i].name,
                           file->arrays[i].data > at ? "there is a hole" : "another one overlaps");
        at += file->arrays[i].size;
    }
    if (at != r->data + r->size)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: %zu bytes behind its last tensor", r->name,
                       (size_t)(r->data + r->size - at));
    return NW_OK;
}

static nw_status check_names(reader *r)
{
    nw_safetensors *file = &r->file;
    qsort(file->arrays, file->n_arrays, sizeof(*file->arrays), compare_arrays);
    for (size_t i = 1; i < file->n_arrays; i++)
        if (compare_arrays(&file->arrays[i - 1], &file->arrays[i]) == 0)
            return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%.80s\" is there twice", r->name,
                           file->arrays[i].name);
    if (file->n_texts)
        qsort(file->texts, file->n_texts, sizeof(*file->texts), compare_texts);
    for (size_t i = 1; i < file->n_texts; i++)
        if (compare_texts(&file->texts[i - 1], &file->texts[i]) == 0)
            return nw_fail(r->error, NW_ERROR_DATA, "%s: __metadata__: \"%.80s\" is there twice", r->name,
                           file->texts[i].key);
    return NW_OK;
}

static nw_status read_header(reader *r, const cJSON *header)
{
    size_t n = 0;
    if (!cJSON_IsObject(header))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: header must be a JSON object", r->name);
    for (const cJSON *item = header->child; item; item = item->next)
        n++;
    r->file.arrays = calloc(n + 1, sizeof(*r->file.arrays));
    if (!r->file.arrays)
        return nw_fail_memory(r->error, "reading a model");
    for (const cJSON *item = header->child; item; item = item->next)
        NW_TRY(strcmp(item->string, "__metadata__") == 0 ? read_metadata(r, item) : read_array(r, item));
    NW_TRY(check_places(r));
    return check_names(r);
}

nw_status nw_safetensors_parse(nw_safetensors *out, const uint8_t *data, size_t size, const char *name, nw_error *error)
{
    if (size < 8)
        return nw_fail(error, NW_ERROR_DATA, "%s: is too short for a .nw file: %zu bytes", name, size);
    const uint64_t header_size = nw_load_le64(data);
    if (header_size > size - 8 || header_size > NW_HEADER_LIMIT || header_size == 0 || data[8] != '{')
        return nw_fail(error, NW_ERROR_DATA, "%s: is no .nw file, or its end is missing: header of %llu bytes in %zu",
                       name, (unsigned long long)header_size, size);
    cJSON *header = NULL;
    char what[160];
    snprintf(what, sizeof(what), "%.120s: header", name);
    NW_TRY(nw_json_parse(&header, (const char *)data + 8, (size_t)header_size, HEADER_DEPTH, what, error));
    reader r = {.data = data + 8 + header_size, .size = size - 8 - (size_t)header_size, .name = name, .error = error};
    const nw_status status = read_header(&r, header);
    cJSON_Delete(header);
    if (status)
        nw_safetensors_free(&r.file);
    else
        *out = r.file;
    return status;
}

const nw_array *nw_safetensors_find(const nw_safetensors *file, const char *name)
{
    size_t low = 0, high = file->n_arrays;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, file->arrays[middle].name);
        if (order == 0)
            return &file->arrays[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *nw_safetensors_text(const nw_safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->n_texts; i++)
        if (strcmp(file->texts[i].key, key) == 0)
            return file->texts[i].value;
    return NULL;
}
