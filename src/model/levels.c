/* SPDX-License-Identifier: Apache-2.0 */
/* See levels.h. */
#include "model/levels.h"

#include <string.h>

bool nw_levels_valid(const uint8_t *levels, int weight_bits)
{
    if (weight_bits < 2 || weight_bits > 8 || levels[0] != 0)
        return false;
    for (size_t i = 1; i < nw_levels_count(weight_bits); i++)
        if (levels[i] <= levels[i - 1] || levels[i] > 127)
            return false;
    return true;
}

void nw_levels_allow(bool allowed[256], const uint8_t *levels, int weight_bits)
{
    const int least = weight_bits == 1 ? 1 : 0; /* one bit: -1 and 1 */
    const int most = weight_bits == 1 ? 1 : (int)nw_levels_count(weight_bits) - 1;
    memset(allowed, 0, 256 * sizeof(*allowed));
    for (int i = least; i <= most; i++) {
        const int magnitude = levels ? levels[i] : i;
        allowed[128 + magnitude] = allowed[128 - magnitude] = true;
    }
}

void nw_levels_decode(int8_t *codes, size_t n, const uint8_t *levels)
{
    for (size_t i = 0; i < n; i++)
        codes[i] = (int8_t)(codes[i] < 0 ? -levels[-codes[i]] : levels[codes[i]]);
}

bool nw_levels_encode(int8_t *codes, const int8_t *weights, size_t n, const uint8_t *levels, int weight_bits)
{
    int8_t code_of[128]; /* of a magnitude; -1: not in the book */
    memset(code_of, -1, sizeof(code_of));
    for (size_t i = 0; i < nw_levels_count(weight_bits); i++)
        code_of[levels[i]] = (int8_t)i;
    for (size_t i = 0; i < n; i++) {
        const int magnitude = weights[i] < 0 ? -weights[i] : weights[i];
        if (magnitude > 127 || code_of[magnitude] < 0)
            return false;
        codes[i] = (int8_t)(weights[i] < 0 ? -code_of[magnitude] : code_of[magnitude]);
    }
    return true;
}
