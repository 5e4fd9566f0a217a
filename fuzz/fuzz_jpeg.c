/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: bytes as a JPEG. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nw_image image = {0};
    nw_error error;
    if (size < 3)
        return 0;
    uint8_t *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    memcpy(copy, "\xff\xd8\xff", 3);
    if (nw_image_decode(&image, copy, size, "fuzz", &error) && image.pixels)
        abort();
    nw_image_free(&image);
    free(copy);
    return 0;
}
