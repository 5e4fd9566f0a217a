/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See npy.h: arrays out of an .npz, which is a zip. Only the central directory at the end of the file is believed, and
 * only as far as the bytes bear it out:
 *
 *     | local header, name, extra | data | ... | directory: one entry per file | end record: offset, size, count |
 */
#include "data/npy.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#define END_SIZE 22   /* end record, without its comment of at most 65535 bytes */
#define ENTRY_SIZE 46 /* directory entry, without name, extra and comment */
#define LOCAL_SIZE 30 /* local header, without name and extra */

typedef struct entry {
    const uint8_t *name;
    size_t name_size, offset, packed, unpacked;
    unsigned flags, method;
    uint32_t crc;
} entry;

static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] | (unsigned)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16;
}

static const uint8_t *find_end(const uint8_t *data, size_t size)
{
    for (size_t comment = 0; comment <= 65535 && size >= END_SIZE + comment; comment++) {
        const uint8_t *p = data + size - END_SIZE - comment;
        if (get32(p) == 0x06054b50u && get16(p + 20) == comment)
            return p;
    }
    return NULL;
}

/* Reads the directory entry at *at and moves on. */
static bool next_entry(entry *out, const uint8_t *data, size_t size, size_t *at)
{
    const uint8_t *p = data + *at;
    if (size - *at < ENTRY_SIZE || get32(p) != 0x02014b50u)
        return false;
    const size_t total = (size_t)ENTRY_SIZE + get16(p + 28) + get16(p + 30) + get16(p + 32);
    if (size - *at < total)
        return false;
    *out = (entry){.name = p + ENTRY_SIZE, .name_size = get16(p + 28), .offset = get32(p + 42), .packed = get32(p + 20),
                   .unpacked = get32(p + 24), .flags = get16(p + 8), .method = get16(p + 10), .crc = get32(p + 16)};
    *at += total;
    return true;
}

static bool is_array(const entry *e, const char *array)
{
    if (e->name_size < 4 || memcmp(e->name + e->name_size - 4, ".npy", 4))
        return false;
    return !array || (strlen(array) == e->name_size - 4 && !memcmp(array, e->name, e->name_size - 4));
}

static bool inflate_all(uint8_t *out, size_t out_size, const uint8_t *in, size_t in_size)
{
    z_stream stream = {0};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return false;
    stream.next_in = (z_const Bytef *)in; /* sizes are below 4 GiB: uInt holds them */
    stream.avail_in = (uInt)in_size;
    stream.next_out = out;
    stream.avail_out = (uInt)out_size;
    const int result = inflate(&stream, Z_FINISH);
    const bool complete = result == Z_STREAM_END && stream.avail_out == 0;
    inflateEnd(&stream);
    return complete;
}

static nw_status unpack(nw_bytes *out, const entry *e, const uint8_t *data, size_t size, const char *name,
                        nw_error *error)
{
    if (e->flags & 1 || (e->method != 0 && e->method != 8))
        return nw_fail(error, NW_ERROR_DATA, "%s: is encrypted or packed in an unknown way", name);
    if (e->packed == UINT32_MAX || e->unpacked == UINT32_MAX || e->offset == UINT32_MAX)
        return nw_fail(error, NW_ERROR_DATA, "%s: holds an array of 4 GiB or more; save it as .npy", name);
    if (e->offset > size || size - e->offset < LOCAL_SIZE || get32(data + e->offset) != 0x04034b50u)
        return nw_fail(error, NW_ERROR_DATA, "%s: is a damaged npz file", name);
    const size_t skip = (size_t)LOCAL_SIZE + get16(data + e->offset + 26) + get16(data + e->offset + 28);
    /* deflate makes at most about 1032 bytes of one, so a size beyond that is a lie not worth allocating for */
    if (size - e->offset < skip || size - e->offset - skip < e->packed || e->unpacked / 1040 > e->packed ||
        (e->method == 0 && e->packed != e->unpacked))
        return nw_fail(error, NW_ERROR_DATA, "%s: is a damaged or truncated npz file", name);
    uint8_t *bytes = malloc(e->unpacked ? e->unpacked : 1);
    if (!bytes)
        return nw_fail_memory(error, "unpacking an npz file");
    const uint8_t *packed = data + e->offset + skip;
    bool good = true;
    if (e->method == 8)
        good = inflate_all(bytes, e->unpacked, packed, e->packed);
    else
        memcpy(bytes, packed, e->unpacked);
    if (!good || crc32_z(0, bytes, e->unpacked) != e->crc) {
        free(bytes);
        return nw_fail(error, NW_ERROR_DATA, "%s: is a damaged npz file: the checksum is wrong", name);
    }
    *out = (nw_bytes){bytes, e->unpacked};
    return NW_OK;
}

nw_status nw_npz_read(nw_bytes *out, const uint8_t *data, size_t size, const char *array, const char *name,
                      nw_error *error)
{
    const uint8_t *end = find_end(data, size);
    if (!end)
        return nw_fail(error, NW_ERROR_DATA, "%s: is not an npz file, or truncated", name);
    const size_t n = get16(end + 10);
    size_t at = get32(end + 16);
    const size_t directory_end = (size_t)(end - data);
    if (at > directory_end || directory_end - at != get32(end + 12))
        return nw_fail(error, NW_ERROR_DATA, "%s: is a damaged npz file, or one of 4 GiB or more", name);
    for (size_t i = 0; i < n; i++) {
        entry e;
        if (!next_entry(&e, data, directory_end, &at))
            return nw_fail(error, NW_ERROR_DATA, "%s: is a damaged npz file", name);
        if (is_array(&e, array))
            return unpack(out, &e, data, size, name, error);
    }
    *out = (nw_bytes){0};
    return NW_OK;
}
