/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container of a .nw file: named arrays and a map from string to string, as the safetensors format lays them out.
 * Knows nothing of networks; file_write.c and file_read.c stand on it.
 *
 *     | 8 bytes: header size n, little-endian | n bytes: JSON header, spaces at its end | data, array behind array |
 *
 * Reading:
 *     nw_safetensors file = {0};
 *     NW_TRY(nw_safetensors_parse(&file, bytes.data, bytes.size, "net.nw", error));
 *     const nw_array *scale = nw_safetensors_find(&file, "scale");
 *     nw_safetensors_free(&file);
 *
 * Writing:
 *     nw_safetensors file = {0};
 *     uint8_t *data = nw_safetensors_add(&file, "scale", NW_ARRAY_F32, 1, (size_t[]){3});   NULL: out of memory
 *     ... fill data, little-endian ...
 *     status = nw_safetensors_serialize(&bytes, &file, error);
 *     nw_safetensors_free(&file);
 */
#ifndef NARROW_MODEL_SAFETENSORS_H
#define NARROW_MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

#define NW_ARRAY_MAX_RANK 8
/** Largest header that is read or written: 16 MiB. Bounds the memory that its JSON tree can take. */
#define NW_HEADER_LIMIT ((size_t)1 << 24)

typedef enum nw_array_type { NW_ARRAY_F32, NW_ARRAY_I32, NW_ARRAY_I16, NW_ARRAY_U8, NW_ARRAY_TYPE_COUNT } nw_array_type;

/** One named array. Its size is checked against type and dims: data[0 .. size) is there. */
typedef struct nw_array {
    char *name; /* owned */
    nw_array_type type;
    int32_t rank;
    size_t dims[NW_ARRAY_MAX_RANK]; /* all >= 1 */
    const uint8_t *data;            /* borrowed from the parsed bytes; little-endian, not aligned */
    uint8_t *owned;                 /* the same memory when the array was added, else NULL */
    size_t size;                    /* bytes */
} nw_array;

typedef struct nw_text {
    char *key, *value; /* owned */
} nw_text;

/** {0} is a valid empty one. */
typedef struct nw_safetensors {
    nw_array *arrays; /* owned; after parsing sorted by name */
    size_t n_arrays, array_capacity;
    nw_text *texts; /* owned; __metadata__, after parsing sorted by key */
    size_t n_texts, text_capacity;
} nw_safetensors;

/**
 * Checks and reads a whole file. The arrays point into `data`, which must outlive `out`.
 *
 * Everything is checked: the header's size and JSON, unknown keys, names that occur twice, types, dims of at least 1,
 * sizes, and that the arrays fill the data exactly, without holes, overlaps or bytes behind the last one.
 *
 * @param name  the file as sentences call it
 * @return NW_ERROR_DATA, NW_ERROR_MEMORY
 */
nw_status nw_safetensors_parse(nw_safetensors *out, const uint8_t *data, size_t size, const char *name,
                               nw_error *error);

/** The array or text of this name in a parsed file, or NULL. */
const nw_array *nw_safetensors_find(const nw_safetensors *file, const char *name);
const char *nw_safetensors_text(const nw_safetensors *file, const char *key);

/**
 * Adds an array of zeros. Names are the caller's affair: all different.
 * @return its bytes, to be filled in, or NULL without memory
 */
uint8_t *nw_safetensors_add(nw_safetensors *file, const char *name, nw_array_type type, int32_t rank,
                            const size_t *dims);

/** Adds an entry of __metadata__; false without memory. */
bool nw_safetensors_add_text(nw_safetensors *file, const char *key, const char *value);

/**
 * Lays the file out: arrays by falling element size, otherwise in the order they were added, so that each is aligned to
 * its element; the data starts at a multiple of 64. The same additions give the same bytes.
 *
 * @param out  heap block that the caller frees with nw_bytes_free
 * @return NW_ERROR_DATA if header or file exceed their limits, NW_ERROR_MEMORY
 */
nw_status nw_safetensors_serialize(nw_bytes *out, const nw_safetensors *file, nw_error *error);

void nw_safetensors_free(nw_safetensors *file);

/** Bytes of one element, and the name in the header ("F32"). */
size_t nw_array_element_size(nw_array_type type);
const char *nw_array_type_name(nw_array_type type);

#endif
