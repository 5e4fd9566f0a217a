/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of strings in one block: the files of a folder, the rows of a list, the names of classes. Used by folder.h,
 * csv.h and dataset.h.
 *
 *     nw_names names = {0};
 *     NW_TRY(nw_names_add(&names, "cat.jpg", strlen("cat.jpg"), error));
 *     puts(nw_names_at(&names, 0));
 *     nw_names_free(&names);
 */
#ifndef NARROW_DATA_NAMES_H
#define NARROW_DATA_NAMES_H

#include <assert.h>
#include <stddef.h>

#include "base/error.h"

/** Most strings in a list, and most bytes of all of them. */
#define NW_NAMES_MAX ((size_t)1 << 24)
#define NW_NAMES_MAX_BYTES ((size_t)1 << 30)

/** {0} is a valid empty list. The holder owns the blocks. */
typedef struct nw_names {
    char *text;      /* strings one after the other, each with its NUL */
    size_t *offsets; /* [n] into text */
    size_t n;
    size_t text_size, text_capacity, capacity;
} nw_names;

/**
 * Appends the first `length` bytes of `text`, which hold no NUL.
 *
 * @return NW_ERROR_DATA if the list is full, NW_ERROR_MEMORY
 */
nw_status nw_names_add(nw_names *names, const char *text, size_t length, nw_error *error);

/** Sorts by bytes: what strcmp says, which is also Python's order of UTF-8 names. */
void nw_names_sort(nw_names *names);

/** Frees the list and empties the struct; fine on an empty one. */
void nw_names_free(nw_names *names);

/** The string at `index` < n; valid until the next nw_names_add. */
static inline const char *nw_names_at(const nw_names *names, size_t index)
{
    assert(index < names->n);
    return names->text + names->offsets[index];
}

/**
 * Reads the names of classes, for people: one name per line (line number = class), or lines of "index name", or of
 * "id index name" as ImageNet lists have it. Classes that no line names get an empty string.
 *
 * @return NW_ERROR_DATA if the file is unreadable, empty, names a class twice or one over 2^20
 */
nw_status nw_class_names_read(nw_names *out, const char *path, nw_error *error);

/** nw_class_names_read of the bytes of a file; `name` is named in errors. */
nw_status nw_class_names_parse(nw_names *out, const char *data, size_t size, const char *name, nw_error *error);

#endif
