/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files in and out. Reading is bounded; writing goes to a temporary file beside the target that is renamed into
 * place, so a reader never sees half a file and a failed write leaves the old one.
 *
 *     nw_bytes file = {0};
 *     NW_TRY(nw_bytes_read(&file, path, NW_BYTES_LIMIT, error));
 *     ...
 *     nw_bytes_free(&file);
 */
#ifndef NARROW_BASE_BYTES_H
#define NARROW_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** Largest file any reader accepts by default: 4 GiB. */
#define NW_BYTES_LIMIT ((size_t)1 << 32)

/** A heap block that its holder owns. {0} is a valid empty one. */
typedef struct nw_bytes {
    uint8_t *data;
    size_t size;
} nw_bytes;

/**
 * Reads a regular file whole.
 *
 * @param limit  largest accepted size in bytes
 * @return NW_ERROR_DATA if it is missing, unreadable, a folder or larger than `limit`; NW_ERROR_MEMORY
 */
nw_status nw_bytes_read(nw_bytes *out, const char *path, size_t limit, nw_error *error);

/** Frees the block and empties the struct; fine on an empty one. */
void nw_bytes_free(nw_bytes *bytes);

/** One piece of a file to be written; borrowed. */
typedef struct nw_piece {
    const void *data;
    size_t size;
} nw_piece;

/**
 * Writes `n` pieces one after the other as the file `path`, atomically: beside it first, then renamed into place.
 * @return NW_ERROR_DATA if it cannot, or if `path` is a folder or a device; an old file is then as it was
 */
nw_status nw_file_write(const char *path, const nw_piece *pieces, size_t n, nw_error *error);

/** NW_ERROR_DATA if nw_file_write would fail for `path` now: to be asked before long work. Leaves nothing behind. */
nw_status nw_file_check_writable(const char *path, nw_error *error);

/** a * b into *product; false on overflow, *product untouched. */
static inline bool nw_size_mul(size_t *product, size_t a, size_t b)
{
    if (b && a > SIZE_MAX / b)
        return false;
    *product = a * b;
    return true;
}

/** a + b into *sum; false on overflow, *sum untouched. */
static inline bool nw_size_add(size_t *sum, size_t a, size_t b)
{
    if (a > SIZE_MAX - b)
        return false;
    *sum = a + b;
    return true;
}

#endif
