/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of codes most of which are one value: a bit for each code, and the others one behind the other. */
#include "kernels/ref/ref.h"

size_t nw_squeeze_ref(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (i % 8 == 0)
            map[i / 8] = 0;
        if (from[i] == zero)
            continue;
        map[i / 8] |= (uint8_t)(1u << (i % 8));
        to[count++] = from[i];
    }
    return count;
}

void nw_expand_ref(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    for (size_t i = 0; i < n; i++)
        to[i] = map[i / 8] >> (i % 8) & 1 ? *from++ : zero;
}
