/* SPDX-License-Identifier: Apache-2.0 */
/* See bits.h. */
#include "base/bits.h"

#include <assert.h>

size_t nw_bits_row_size(size_t n, int bits)
{
    return n / 8 * (size_t)bits + (n % 8 * (size_t)bits + 7) / 8;
}

void nw_bits_pack(uint8_t *row, const int8_t *values, size_t n, int bits)
{
    const unsigned mask = (1u << bits) - 1u;
    unsigned pending = 0; /* bits not yet written, lowest first; fewer than 8 + 8 of them */
    int n_pending = 0;
    assert(bits >= 1 && bits <= 8);
    for (size_t j = 0; j < n; j++) {
        const unsigned code = bits == 1 ? values[j] < 0 : (unsigned)values[j] & mask;
        pending |= code << n_pending;
        n_pending += bits;
        if (n_pending >= 8) {
            *row++ = (uint8_t)pending;
            pending >>= 8;
            n_pending -= 8;
        }
    }
    if (n_pending)
        *row = (uint8_t)pending;
}

bool nw_bits_unpack(int8_t *values, const uint8_t *row, size_t n, int bits)
{
    const unsigned mask = (1u << bits) - 1u;
    const unsigned sign = 1u << (bits - 1);
    unsigned pending = 0;
    int n_pending = 0;
    assert(bits >= 1 && bits <= 8);
    for (size_t j = 0; j < n; j++) {
        if (n_pending < bits) {
            pending |= (unsigned)*row++ << n_pending;
            n_pending += 8;
        }
        const unsigned code = pending & mask;
        pending >>= bits;
        n_pending -= bits;
        if (bits > 1 && code == sign)
            return false;
        const int value = bits == 1 ? 1 - 2 * (int)code : (int)(code ^ sign) - (int)sign;
        values[j] = (int8_t)value;
    }
    return pending == 0;
}
