/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pixel of narrow codes in two parts: of every channel's code what lies above bit m, and the m low bits of those
 * channels that have any there, the *fine* ones (DQA's important channels). Whoever stores pictures (ops/stored.h) and
 * whoever describes what is stored (model/) must agree on m.
 */
#ifndef NARROW_BASE_PIXEL_H
#define NARROW_BASE_PIXEL_H

#include <stdint.h>

/** Channels with something below bit `m`: those with shift[c] < m. */
static inline int32_t nw_pixel_fine(int32_t channels, const uint8_t *shift, int32_t m)
{
    int32_t n = 0;
    for (int32_t c = 0; c < channels; c++)
        n += shift[c] < m;
    return n;
}

/** The m that makes a pixel shortest, the smallest of those; *pixel_bits is then C (bits - m) + m * fine channels. */
static inline int32_t nw_pixel_shift(int32_t channels, int32_t bits, const uint8_t *shift, int64_t *pixel_bits)
{
    int32_t best = 0;
    *pixel_bits = (int64_t)channels * bits;
    for (int32_t m = 1; m < bits; m++) {
        const int64_t size = (int64_t)channels * (bits - m) + (int64_t)nw_pixel_fine(channels, shift, m) * m;
        if (size >= *pixel_bits)
            continue;
        best = m;
        *pixel_bits = size;
    }
    return best;
}

/** Bits of the symbols of prefix-coded codes of `bits` (1 to 7) bits: pairs of codes as long as they fit a byte. */
static inline int32_t nw_symbol_bits(int32_t bits)
{
    return bits <= 4 ? 2 * bits : bits;
}

#endif
