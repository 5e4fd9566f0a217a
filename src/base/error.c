/* SPDX-License-Identifier: Apache-2.0 */
/* See error.h. The only place that writes an nw_error. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int nw_status_exit_code(nw_status status)
{
    return status == NW_ERROR_INTERNAL ? NW_ERROR_MEMORY : (int)status;
}

nw_status nw_fail(nw_error *error, nw_status status, const char *format, ...)
{
    if (!error)
        return status;
    nw_error written; /* arguments may point into *error, so the sentence is built beside it */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(written.message, sizeof(written.message), format, arguments);
    va_end(arguments);
    for (char *c = written.message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    memcpy(error, &written, sizeof(written));
    return status;
}

nw_status nw_fail_memory(nw_error *error, const char *doing)
{
    return nw_fail(error, NW_ERROR_MEMORY, "out of memory while %s", doing);
}
