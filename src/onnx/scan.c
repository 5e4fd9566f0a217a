/* SPDX-License-Identifier: Apache-2.0 */
/* See scan.h. Wire format: a varint of field number << 3 | type, then a varint, 8 bytes, a sized block or 4 bytes. */
#include "onnx/scan.h"

#define MAX_DEPTH 32
#define MAX_MESSAGES 8000000

typedef struct reader {
    const uint8_t *data, *end;
} reader;

static bool read_varint(reader *r, uint64_t *value)
{
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (r->data == r->end)
            return false;
        const uint8_t byte = *r->data++;
        if (shift < 64)
            result |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *value = result;
            return true;
        }
    }
    return false;
}

static bool skip(reader *r, uint64_t size)
{
    if (size > (uint64_t)(r->end - r->data))
        return false;
    r->data += size;
    return true;
}

static bool scan(const ProtobufCMessageDescriptor *descriptor, reader r, int depth, size_t *messages)
{
    if (depth > MAX_DEPTH || ++*messages > MAX_MESSAGES)
        return false;
    while (r.data < r.end) {
        uint64_t key = 0, size = 0;
        if (!read_varint(&r, &key) || key >> 3 == 0 || key >> 3 > 0x1fffffff)
            return false;
        switch (key & 7) {
        case 0:
            if (!read_varint(&r, &size))
                return false;
            break;
        case 1:
            if (!skip(&r, 8))
                return false;
            break;
        case 2: {
            if (!read_varint(&r, &size))
                return false;
            const reader inner = {r.data, r.data + (size <= (uint64_t)(r.end - r.data) ? size : 0)};
            if (!skip(&r, size))
                return false;
            const ProtobufCFieldDescriptor *field =
                protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(key >> 3));
            if (field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
                !scan((const ProtobufCMessageDescriptor *)field->descriptor, inner, depth + 1, messages))
                return false;
            break;
        }
        case 5:
            if (!skip(&r, 4))
                return false;
            break;
        default:
            return false;
        }
    }
    return true;
}

bool nw_scan_message(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t size)
{
    size_t messages = 0;
    return scan(descriptor, (reader){data, data + size}, 0, &messages);
}
