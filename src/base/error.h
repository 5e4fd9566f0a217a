/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling in an nw_error, and handing a status upwards.
 *
 *     if (size > limit)
 *         return nw_fail(error, NW_ERROR_DATA, "%s: header of %zu bytes is larger than the file", path, size);
 *     NW_TRY(nw_bytes_read(&bytes, path, error));
 */
#ifndef NARROW_BASE_ERROR_H
#define NARROW_BASE_ERROR_H

#include "base/compiler.h"
#include "narrow/status.h"

/** Writes the sentence (truncated to fit, line breaks and control characters replaced) and returns `status`. */
nw_status nw_fail(nw_error *error, nw_status status, const char *format, ...) NW_PRINTF(3, 4);

/** NW_ERROR_MEMORY with its sentence: "out of memory while <doing>". */
nw_status nw_fail_memory(nw_error *error, const char *doing);

/** Returns a failed call's status from the calling function. Not for functions that own something: use cleanup. */
#define NW_TRY(call)                         \
    do {                                     \
        const nw_status nw_try_ = (call);    \
        if (nw_try_)                         \
            return nw_try_;                  \
    } while (0)

#endif
