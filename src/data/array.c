/* SPDX-License-Identifier: Apache-2.0 */
/* See array.h. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "data/array.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* pread until `size` bytes are there. False at the end of the file or on an error. */
static bool read_at(int file, uint8_t *out, size_t size, uint64_t offset)
{
    while (size) {
        const ssize_t n = pread(file, out, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        out += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

static nw_status open_npy(nw_array *a, const char *path, uintmax_t file_size, nw_error *error)
{
    const size_t size = file_size < NW_NPY_MAX_HEADER ? (size_t)file_size : NW_NPY_MAX_HEADER;
    uint8_t *head = malloc(size ? size : 1);
    nw_status status;
    if (!head)
        return nw_fail_memory(error, "reading an array");
    if (read_at(a->file, head, size, 0))
        status = nw_npy_parse(&a->npy, head, size, file_size, path, error);
    else
        status = nw_fail(error, NW_ERROR_DATA, "%s: cannot be read", path);
    free(head);
    return status;
}

static nw_status open_npz(nw_array *a, const char *path, const char *array, nw_error *error)
{
    nw_bytes zip = {0};
    NW_TRY(nw_bytes_read(&zip, path, NW_BYTES_LIMIT, error));
    nw_status status = nw_npz_read(&a->memory, zip.data, zip.size, array ? array : "x", path, error);
    if (!status && !a->memory.data && !array)
        status = nw_npz_read(&a->memory, zip.data, zip.size, NULL, path, error);
    nw_bytes_free(&zip);
    NW_TRY(status);
    return a->memory.data ? nw_npy_parse(&a->npy, a->memory.data, a->memory.size, a->memory.size, path, error) : NW_OK;
}

static nw_status open_file(nw_array *a, const char *path, const char *array, bool *is_missing, nw_error *error)
{
    struct stat info;
    uint8_t magic[2] = {0};
    *is_missing = false;
    a->file = open(path, O_RDONLY | O_CLOEXEC);
    if (a->file < 0 || fstat(a->file, &info) || !S_ISREG(info.st_mode))
        return nw_fail(error, NW_ERROR_DATA, "%s: cannot be opened as a file", path);
    if (!read_at(a->file, magic, 2, 0))
        return nw_fail(error, NW_ERROR_DATA, "%s: is empty", path);
    if (memcmp(magic, "PK", 2))
        return open_npy(a, path, (uintmax_t)info.st_size, error);
    close(a->file);
    a->file = -1;
    NW_TRY(open_npz(a, path, array, error));
    *is_missing = !a->memory.data;
    return NW_OK;
}

nw_status nw_array_open(nw_array *out, const char *path, const char *array, bool *found, nw_error *error)
{
    nw_array a = NW_ARRAY_EMPTY;
    bool is_missing;
    nw_status status = open_file(&a, path, array, &is_missing, error);
    if (status)
        goto cleanup;
    if (found)
        *found = !is_missing;
    if (is_missing) {
        if (!found)
            status = nw_fail(error, NW_ERROR_DATA, "%s: holds no array%s%s", path, array ? " named " : "",
                             array ? array : "");
        goto cleanup;
    }
    if (!a.npy.rank || !a.npy.n_values) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: holds no samples; the first axis of the array counts them", path);
        goto cleanup;
    }
    a.n_samples = a.npy.shape[0];
    a.sample_values = a.npy.n_values / a.n_samples;
    a.path = malloc(strlen(path) + 1);
    if (!a.path) {
        status = nw_fail_memory(error, "opening an array");
        goto cleanup;
    }
    memcpy(a.path, path, strlen(path) + 1);
    *out = a;
    return NW_OK;

cleanup:
    nw_array_close(&a);
    return status;
}

nw_status nw_array_read(const nw_array *a, size_t sample, uint8_t *bytes, nw_error *error)
{
    const size_t size = a->sample_values * a->npy.item_size;
    const size_t offset = a->npy.data_offset + sample * size; /* inside the file's size: nw_npy_parse has checked */
    if (a->memory.data)
        memcpy(bytes, a->memory.data + offset, size);
    else if (!read_at(a->file, bytes, size, offset))
        return nw_fail(error, NW_ERROR_DATA, "%s: sample %zu cannot be read", a->path, sample);
    return NW_OK;
}

void nw_array_close(nw_array *array)
{
    if (array->file >= 0)
        close(array->file);
    nw_bytes_free(&array->memory);
    free(array->path);
    *array = NW_ARRAY_EMPTY;
}
