/* SPDX-License-Identifier: Apache-2.0 */
/* See bytes.h. */
#define _POSIX_C_SOURCE 200809L
#include "base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

nw_status nw_bytes_read(nw_bytes *out, const char *path, size_t limit, nw_error *error)
{
    nw_status status = NW_OK;
    uint8_t *data = NULL;
    FILE *file = fopen(path, "rb");
    if (!file)
        return nw_fail(error, NW_ERROR_DATA, "%s: cannot be opened: %s", path, strerror(errno));
    struct stat info;
    if (fstat(fileno(file), &info) || !S_ISREG(info.st_mode)) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: is not a regular file", path);
        goto cleanup;
    }
    if (info.st_size < 0 || (uintmax_t)info.st_size > limit) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: is larger than %zu bytes", path, limit);
        goto cleanup;
    }
    const size_t size = (size_t)info.st_size;
    data = malloc(size ? size : 1);
    if (!data) {
        status = nw_fail(error, NW_ERROR_MEMORY, "%s: no memory for its %zu bytes", path, size);
        goto cleanup;
    }
    if (fread(data, 1, size, file) != size) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: cannot be read to its end", path);
        goto cleanup;
    }
    out->data = data;
    out->size = size;
    data = NULL;

cleanup:
    free(data);
    fclose(file);
    return status;
}

void nw_bytes_free(nw_bytes *bytes)
{
    free(bytes->data);
    *bytes = (nw_bytes){0};
}

static bool write_pieces(FILE *file, const nw_piece *pieces, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pieces[i].size && fwrite(pieces[i].data, 1, pieces[i].size, file) != pieces[i].size)
            return false;
    return fflush(file) == 0;
}

/** Opens a new file beside `path`; *temporary is its name, which the caller frees. */
static nw_status open_beside(int *descriptor, char **temporary, const char *path, nw_error *error)
{
    struct stat info;
    if (!stat(path, &info) && !S_ISREG(info.st_mode)) /* renaming would replace a device such as /dev/null */
        return nw_fail(error, NW_ERROR_DATA, "%s: cannot be written: it exists and is not a regular file", path);
    const size_t length = strlen(path);
    char *name = malloc(length + 8);
    if (!name)
        return nw_fail_memory(error, "writing a file");
    memcpy(name, path, length);
    memcpy(name + length, ".XXXXXX", 8);
    *descriptor = mkstemp(name);
    if (*descriptor < 0) {
        free(name);
        return nw_fail(error, NW_ERROR_DATA, "%s: cannot be written: %s", path, strerror(errno));
    }
    *temporary = name;
    return NW_OK;
}

nw_status nw_file_check_writable(const char *path, nw_error *error)
{
    int descriptor = -1;
    char *temporary = NULL;
    NW_TRY(open_beside(&descriptor, &temporary, path, error));
    close(descriptor);
    unlink(temporary);
    free(temporary);
    return NW_OK;
}

nw_status nw_file_write(const char *path, const nw_piece *pieces, size_t n, nw_error *error)
{
    int descriptor = -1;
    char *temporary = NULL;
    NW_TRY(open_beside(&descriptor, &temporary, path, error));
    nw_status status = NW_OK;
    FILE *file = fdopen(descriptor, "wb");
    if (!file) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: cannot be written: %s", path, strerror(errno));
        close(descriptor);
        unlink(temporary);
        goto cleanup;
    }
    const mode_t mask = umask(0); /* mkstemp makes 0600; the target gets what fopen would have given it */
    umask(mask);
    bool written = write_pieces(file, pieces, n) && fchmod(descriptor, 0666 & ~mask) == 0;
    written = fclose(file) == 0 && written;
    if (!written || rename(temporary, path)) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: cannot be written: %s", path, strerror(errno));
        unlink(temporary);
    }

cleanup:
    free(temporary);
    return status;
}
