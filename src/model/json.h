/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON that nobody vouches for: cJSON behind the checks it leaves out. Used by the .nw reader for the file's
 * header (safetensors_read.c) and for the graph inside it (file_read.c).
 *
 *     cJSON *graph = NULL;
 *     NW_TRY(nw_json_parse(&graph, text, size, 8, "net.nw: graph", error));
 *     static const char *const keys[] = {"inputs", "outputs"};
 *     const cJSON *items[2];
 *     status = nw_json_match(items, graph, keys, 2, "net.nw: graph", error);
 *     cJSON_Delete(graph);
 */
#ifndef NARROW_MODEL_JSON_H
#define NARROW_MODEL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/error.h"

/** Whether the bytes are UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool nw_text_is_utf8(const char *text, size_t size);

/** A heap copy, or NULL without memory. */
char *nw_text_copy(const char *text);

/**
 * Parses `size` bytes that must be one JSON value and white space.
 *
 * @param out    the tree; the caller frees it with cJSON_Delete
 * @param depth  deepest nesting of objects and arrays that is accepted
 * @param what   opens the sentence of an error: the file and the part of it
 * @return NW_ERROR_DATA for text that is not JSON, not UTF-8, nested too deeply, or that holds a NUL (written as a byte
 *         or as an escape: a string would end there unnoticed). cJSON reports lack of memory in the same way.
 */
nw_status nw_json_parse(cJSON **out, const char *text, size_t size, int depth, const char *what, nw_error *error);

/**
 * Finds the members of an object: items[i] becomes the one called keys[i], or NULL. Compares case.
 *
 * @return NW_ERROR_DATA if `object` is no object or has a member that is not in `keys` or is there twice
 */
nw_status nw_json_match(const cJSON **items, const cJSON *object, const char *const *keys, size_t n, const char *what,
                        nw_error *error);

/** An integer from `lo` to `hi`; false for anything else (also for NULL), *out untouched. */
bool nw_json_int(int32_t *out, const cJSON *item, int32_t lo, int32_t hi);

/** An array of exactly `n` integers from `lo` to `hi`; false for anything else (also for NULL). */
bool nw_json_ints(int32_t *out, const cJSON *item, int32_t n, int32_t lo, int32_t hi);

/** Entries of an array, at most `limit`; -1 if it is none or longer. */
int32_t nw_json_length(const cJSON *item, int32_t limit);

#endif
