/* SPDX-License-Identifier: Apache-2.0 */
/* See file_shared.h. */
#include "model/file_shared.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    nw_array_type type;
} kinds[NW_SHARED_COUNT] = {
    [NW_SHARED_SCALE] = {"scale", NW_ARRAY_F32},           [NW_SHARED_MULTIPLIER] = {"multiplier", NW_ARRAY_F32},
    [NW_SHARED_BIAS] = {"bias", NW_ARRAY_F32},             [NW_SHARED_ROW_CHANNEL] = {"row_channel", NW_ARRAY_I32},
    [NW_SHARED_LO] = {"lo", NW_ARRAY_U8},                  [NW_SHARED_HI] = {"hi", NW_ARRAY_U8},
    [NW_SHARED_SHIFT] = {"shift", NW_ARRAY_U8},            [NW_SHARED_CODE_LENGTH] = {"code_length", NW_ARRAY_U8},
};

uint8_t *nw_shared_grow(nw_shared_writer *writer, nw_shared which, size_t n)
{
    size_t size, wanted;
    if (!nw_size_mul(&size, n, nw_array_element_size(kinds[which].type)) ||
        !nw_size_add(&wanted, writer->size[which], size))
        return NULL;
    if (wanted > writer->capacity[which]) {
        const size_t capacity = wanted < SIZE_MAX / 2 ? 2 * wanted : wanted;
        uint8_t *data = realloc(writer->data[which], capacity);
        if (!data)
            return NULL;
        writer->data[which] = data;
        writer->capacity[which] = capacity;
    }
    uint8_t *place = writer->data[which] + writer->size[which];
    writer->size[which] = wanted;
    return place;
}

static bool all_zero(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i])
            return false;
    return true;
}

bool nw_shared_write(nw_safetensors *file, const nw_shared_writer *writer)
{
    for (int i = 0; i < NW_SHARED_COUNT; i++) {
        const size_t n = writer->size[i] / nw_array_element_size(kinds[i].type);
        if (!n || (i == NW_SHARED_SHIFT && all_zero(writer->data[i], n)))
            continue;
        uint8_t *to = nw_safetensors_add(file, kinds[i].name, kinds[i].type, 1, &n);
        if (!to)
            return false;
        memcpy(to, writer->data[i], writer->size[i]);
    }
    return true;
}

void nw_shared_free(nw_shared_writer *writer)
{
    for (int i = 0; i < NW_SHARED_COUNT; i++)
        free(writer->data[i]);
    *writer = (nw_shared_writer){0};
}

nw_status nw_shared_open(nw_shared_reader *reader, const nw_safetensors *file, const char *name, nw_error *error)
{
    *reader = (nw_shared_reader){.name = name, .error = error};
    for (int i = 0; i < NW_SHARED_COUNT; i++) {
        const nw_array *array = nw_safetensors_find(file, kinds[i].name);
        if (!array)
            continue;
        if (array->type != kinds[i].type || array->rank != 1)
            return nw_fail(error, NW_ERROR_DATA, "%s: tensor \"%s\" must be one row of %s", name, kinds[i].name,
                           nw_array_type_name(kinds[i].type));
        reader->at[i] = array->data;
        reader->left[i] = array->dims[0];
        reader->n_arrays++;
    }
    reader->has_shift = reader->at[NW_SHARED_SHIFT] != NULL;
    if (reader->has_shift && all_zero(reader->at[NW_SHARED_SHIFT], reader->left[NW_SHARED_SHIFT]))
        return nw_fail(error, NW_ERROR_DATA, "%s: tensor \"shift\" is 0 throughout and must be left out", name);
    return NW_OK;
}

nw_status nw_shared_take(const uint8_t **data, nw_shared_reader *reader, nw_shared which, size_t n)
{
    *data = NULL;
    if (!n || (which == NW_SHARED_SHIFT && !reader->has_shift))
        return NW_OK;
    if (n > reader->left[which])
        return nw_fail(reader->error, NW_ERROR_DATA,
                       "%s: tensor \"%s\" is missing or has too few entries for the graph", reader->name,
                       kinds[which].name);
    *data = reader->at[which];
    reader->at[which] += n * nw_array_element_size(kinds[which].type);
    reader->left[which] -= n;
    return NW_OK;
}

nw_status nw_shared_close(const nw_shared_reader *reader)
{
    for (int i = 0; i < NW_SHARED_COUNT; i++)
        if (reader->left[i])
            return nw_fail(reader->error, NW_ERROR_DATA, "%s: tensor \"%s\" has %zu entries more than the graph uses",
                           reader->name, kinds[i].name, reader->left[i]);
    return NW_OK;
}
