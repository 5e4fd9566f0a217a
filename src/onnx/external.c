/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors whose bytes lie in a file beside the model, as exporters write them for large networks. See importer.h.
 *
 *     external_data: "location" = "net.onnx.data", "offset" = "4096", "length" = "36864"
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "onnx/importer.h"

/** Where the bytes are said to lie. */
typedef struct place {
    const char *location;
    uint64_t offset, length;
    bool has_length;
} place;

/** Decimal digits and nothing else, below 2^63. */
static bool parse_count(uint64_t *out, const char *text)
{
    uint64_t value = 0;
    if (!*text || strlen(text) > 18)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = 10 * value + (uint64_t)(*text - '0');
    }
    *out = value;
    return true;
}

static bool read_place(place *out, const Onnx__TensorProto *proto)
{
    *out = (place){0};
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = proto->external_data[i];
        if (!entry->key || !entry->value)
            return false;
        if (strcmp(entry->key, "location") == 0)
            out->location = entry->value;
        else if (strcmp(entry->key, "offset") == 0 && !parse_count(&out->offset, entry->value))
            return false;
        else if (strcmp(entry->key, "length") == 0 && !(out->has_length = parse_count(&out->length, entry->value)))
            return false;
    }
    return out->location != NULL;
}

/** Relative, in the model's folder or below it: no root, no empty part, no "." and no "..". */
static bool is_beside(const char *location)
{
    for (const char *part = location;; part++) {
        const size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += length;
        if (!*part)
            return true;
    }
}

static bool read_all(int descriptor, uint8_t *to, size_t size, uint64_t offset)
{
    while (size) {
        const ssize_t n = pread(descriptor, to, size, (off_t)offset);
        if (n <= 0)
            return false;
        to += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

/** Reads `size` bytes at `offset` of an open file into a new block. */
static nw_status read_bytes(uint8_t **out, nw_importer *im, int descriptor, uint64_t offset, size_t size,
                            const char *path)
{
    struct stat info;
    if (fstat(descriptor, &info) || !S_ISREG(info.st_mode))
        return nw_fail(im->error, NW_ERROR_DATA, "%s: is not a regular file", path);
    if ((uint64_t)info.st_size < offset || (uint64_t)info.st_size - offset < size)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: is too short for the weights that %s says it holds", path,
                       im->file);
    uint8_t *data = malloc(size ? size : 1);
    if (!data)
        return nw_fail_memory(im->error, "reading weights");
    if (!read_all(descriptor, data, size, offset)) {
        free(data);
        return nw_fail(im->error, NW_ERROR_DATA, "%s: cannot be read to its end", path);
    }
    *out = data;
    return NW_OK;
}

/** The path of `location` in the folder of the model, or NULL without memory. */
static char *path_beside(const char *file, const char *location)
{
    const char *slash = strrchr(file, '/');
    const size_t folder = slash ? (size_t)(slash - file) + 1 : 0;
    const size_t length = strlen(location);
    char *path = malloc(folder + length + 1);
    if (!path)
        return NULL;
    memcpy(path, file, folder);
    memcpy(path + folder, location, length + 1);
    return path;
}

nw_status nw_external_read(nw_importer *im, Onnx__TensorProto *proto, size_t size, const char *what)
{
    place at;
    if (!read_place(&at, proto) || (at.has_length && at.length != size))
        return nw_fail(im->error, NW_ERROR_DATA, "%s: tensor \"%.200s\": its entry for another file is damaged",
                       im->file, what);
    if (!is_beside(at.location))
        return nw_fail(im->error, NW_ERROR_DATA,
                       "%s: tensor \"%.200s\": its data may not lie outside the model's folder", im->file, what);
    if (size > NW_BYTES_LIMIT - im->external)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: its weights in other files take more than %zu bytes", im->file,
                       NW_BYTES_LIMIT);
    char *path = path_beside(im->file, at.location);
    if (!path)
        return nw_fail_memory(im->error, "reading weights");
    nw_status status = NW_OK;
    uint8_t *data = NULL;
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make it wait */
    if (descriptor < 0) {
        status = nw_fail(im->error, NW_ERROR_DATA, "%s: cannot be opened: %s; the weights of %s lie in it", path,
                         strerror(errno), im->file);
    } else {
        status = read_bytes(&data, im, descriptor, at.offset, size, path);
        close(descriptor);
    }
    free(path);
    if (status)
        return status;
    free(proto->raw_data.data); /* as protobuf-c does */
    proto->raw_data = (ProtobufCBinaryData){.len = size, .data = data};
    proto->has_raw_data = true;
    proto->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
    im->external += size;
    im->emit_limit += (int64_t)size;
    return NW_OK;
}
