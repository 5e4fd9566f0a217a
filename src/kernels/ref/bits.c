/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of narrow codes to bytes and back, in the order of base/bits.h: eight codes are `bits` bytes. */
#include "kernels/ref/ref.h"

void nw_unpack_ref(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift)
{
    const unsigned mask = (1u << bits) - 1u;
    unsigned pending = 0; /* bits not yet handed out, lowest first; fewer than 8 + 8 of them */
    int32_t n_pending = 0;
    for (size_t i = 0; i < n; i++) {
        if (n_pending < bits) {
            pending |= (unsigned)*from++ << n_pending;
            n_pending += 8;
        }
        to[i] = (uint8_t)((pending & mask) << shift);
        pending >>= bits;
        n_pending -= bits;
    }
}

void nw_pack_ref(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift)
{
    const unsigned mask = (1u << bits) - 1u;
    unsigned pending = 0;
    int32_t n_pending = 0;
    for (size_t i = 0; i < n; i++) {
        pending |= ((unsigned)from[i] >> shift & mask) << n_pending;
        n_pending += bits;
        if (n_pending >= 8) {
            *to++ = (uint8_t)pending;
            pending >>= 8;
            n_pending -= 8;
        }
    }
    if (n_pending)
        *to = (uint8_t)pending;
}
