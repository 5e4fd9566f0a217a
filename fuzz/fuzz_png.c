/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: bytes as a PNG, as a picture and as a map of classes. The checksum of every chunk is set right
 * first, so that damage gets past libpng's own door.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "data/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t MAGIC[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static void repair(uint8_t *data, size_t size)
{
    memcpy(data, MAGIC, sizeof(MAGIC));
    for (size_t at = 8; size - at >= 12;) {
        const uint8_t *p = data + at;
        const size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (length > size - at - 12)
            return;
        const uint32_t crc = (uint32_t)crc32(0, p + 4, (uInt)length + 4);
        for (size_t i = 0; i < 4; i++)
            data[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nw_image image = {0}, map = {0};
    nw_error error;
    if (size < 8)
        return 0;
    uint8_t *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    repair(copy, size);
    if (nw_image_decode(&image, copy, size, "fuzz", &error) && image.pixels)
        abort();
    if (nw_image_decode_map(&map, copy, size, "fuzz", &error) && map.pixels)
        abort();
    nw_image_free(&image);
    nw_image_free(&map);
    free(copy);
    return 0;
}
