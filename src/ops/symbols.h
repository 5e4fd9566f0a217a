/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of narrow codes as words of a prefix code (base/prefix_code.h). A symbol is a pair of codes of the same channel
 * in two pixels that lie side by side, which are often alike: first + second * 2^bits, where that has at most 8 bits;
 * else a single code. The symbols of a row in the order of the pixels (pairs of pixels), channel by channel; of an odd
 * number of pixels the last one is paired with zero points.
 *
 * A block of n symbols is cut into four streams, symbols n q / 4 to n (q + 1) / 4 each, so that a decoder has four
 * words to look up at any time; two of them are read backwards, so that only one place has to be stored:
 *
 *     | u16: bytes of streams 0 and 1 | stream 0 ->  <- stream 1 | stream 2 ->  <- stream 3 |
 *
 * A stream is its words one behind the other, from bit 0 of its first byte on, up to a whole byte; the arrow says where
 * its first byte is and which way the next one lies.
 */
#ifndef NARROW_OPS_SYMBOLS_H
#define NARROW_OPS_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/pixel.h"
#include "base/prefix_code.h"

/** A code, ready to be used: 4.6 kB. */
typedef struct nw_symbols {
    uint16_t word[NW_PREFIX_SYMBOLS];            /* of a symbol, and its length << 12 */
    uint16_t symbol[1 << NW_PREFIX_LONGEST];     /* << 8, of the bits that come next, and its length */
} nw_symbols;

/** Symbols of a row. */
static inline size_t nw_symbol_count(int32_t width, int32_t channels, int32_t bits)
{
    return (size_t)(nw_symbol_bits(bits) > bits ? (width + 1) / 2 : width) * (size_t)channels;
}

/** Of a complete code for 1 << bits symbols. */
void nw_symbols_init(nw_symbols *symbols, const uint8_t *lengths, int32_t bits);

/** Bytes of scratch that encode and decode need for a row. */
size_t nw_symbols_temporary(int32_t width, int32_t channels);

/**
 * A row of codes: code c of pixel i is from[i * channels + c] >> shift, of which the low `bits` bits count.
 * @param zero   the code that stands for the zero point, shifted
 * @param most   bytes of `to` that may be used
 * @return bytes, or 0: they would be more than `most`, or the first two streams more than 65535
 */
size_t nw_symbols_encode(const nw_symbols *symbols, uint8_t *to, size_t most, const uint8_t *from, int32_t width,
                         int32_t channels, int32_t bits, int32_t shift, uint8_t zero, uint8_t *temporary);

/** The way back: to[i * channels + c] = code << shift. */
void nw_symbols_decode(const nw_symbols *symbols, uint8_t *to, int32_t width, int32_t channels, int32_t bits,
                       int32_t shift, const uint8_t *from, size_t size, uint8_t *temporary);

#endif
