/* SPDX-License-Identifier: Apache-2.0 */
/* See names.h. */
#include "data/names.h"

#include <stdlib.h>
#include <string.h>

nw_status nw_names_add(nw_names *names, const char *text, size_t length, nw_error *error)
{
    if (names->n >= NW_NAMES_MAX || length >= NW_NAMES_MAX_BYTES - names->text_size)
        return nw_fail(error, NW_ERROR_DATA, "more than %zu names in one list", NW_NAMES_MAX);
    if (names->n == names->capacity) {
        const size_t capacity = names->capacity ? 2 * names->capacity : 64;
        size_t *offsets = realloc(names->offsets, capacity * sizeof(*offsets));
        if (!offsets)
            return nw_fail_memory(error, "listing files");
        names->offsets = offsets;
        names->capacity = capacity;
    }
    if (names->text_capacity - names->text_size < length + 1) {
        const size_t capacity = 2 * names->text_capacity + length + 1024;
        char *block = realloc(names->text, capacity);
        if (!block)
            return nw_fail_memory(error, "listing files");
        names->text = block;
        names->text_capacity = capacity;
    }
    names->offsets[names->n++] = names->text_size;
    if (length)
        memcpy(names->text + names->text_size, text, length);
    names->text[names->text_size + length] = 0;
    names->text_size += length + 1;
    return NW_OK;
}

/* Heap sort: no recursion, no worst case, and the text to compare with needs no global as in qsort. */
static void sift_down(nw_names *names, size_t root, size_t n)
{
    size_t *o = names->offsets;
    for (size_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        if (child + 1 < n && strcmp(names->text + o[child], names->text + o[child + 1]) < 0)
            child++;
        if (strcmp(names->text + o[root], names->text + o[child]) >= 0)
            return;
        const size_t swap = o[root];
        o[root] = o[child];
        o[child] = swap;
        root = child;
    }
}

void nw_names_sort(nw_names *names)
{
    for (size_t i = names->n / 2; i-- > 0;)
        sift_down(names, i, names->n);
    for (size_t n = names->n; n-- > 1;) {
        const size_t largest = names->offsets[0];
        names->offsets[0] = names->offsets[n];
        names->offsets[n] = largest;
        sift_down(names, 0, n);
    }
}

void nw_names_free(nw_names *names)
{
    free(names->text);
    free(names->offsets);
    *names = (nw_names){0};
}
