/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as bytes of a file: little-endian words, and rows of narrow signed integers. Used by the .nw writer and
 * reader (src/model/file_write.c, file_read.c); docs/file-format.md shows the layout.
 *
 *     size_t row_size = nw_bits_row_size(k, bits);
 *     nw_bits_pack(packed + row * row_size, weights + row * k, k, bits);
 *
 * A row of n values of b bits: value j occupies bits j*b .. j*b + b-1 of the row, bit i of a row is bit i % 8 of its
 * byte i / 8, and the bits behind the last value up to the end of the byte are zero. Three values of 3 bits:
 *
 *     byte 0: | v2.1 v2.0 | v1.2 v1.1 v1.0 | v0.2 v0.1 v0.0 |      byte 1: | 0 0 0 0 0 0 0 v2.2 |
 *
 * b >= 2: two's complement, from -(2^(b-1) - 1) to 2^(b-1) - 1; -2^(b-1) does not occur.
 * b == 1: the values are +1 (bit 0) and -1 (bit 1): the bit is the sign.
 */
#ifndef NARROW_BASE_BITS_H
#define NARROW_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes of a row of `n` values of `bits` (1 to 8) bits: ceil(n * bits / 8), without overflow for every n. */
size_t nw_bits_row_size(size_t n, int bits);

/**
 * Packs `n` values into nw_bits_row_size(n, bits) bytes.
 * @param values  each in the range above
 */
void nw_bits_pack(uint8_t *row, const int8_t *values, size_t n, int bits);

/** The inverse. False if a value is -2^(bits-1) or a bit behind the last value is set; `values` is then undefined. */
bool nw_bits_unpack(int8_t *values, const uint8_t *row, size_t n, int bits);

static inline void nw_store_le16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static inline void nw_store_le32(uint8_t *to, uint32_t value)
{
    nw_store_le16(to, (uint16_t)value);
    nw_store_le16(to + 2, (uint16_t)(value >> 16));
}

static inline void nw_store_le64(uint8_t *to, uint64_t value)
{
    nw_store_le32(to, (uint32_t)value);
    nw_store_le32(to + 4, (uint32_t)(value >> 32));
}

static inline uint16_t nw_load_le16(const uint8_t *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

static inline uint32_t nw_load_le32(const uint8_t *from)
{
    return nw_load_le16(from) | (uint32_t)nw_load_le16(from + 2) << 16;
}

static inline uint64_t nw_load_le64(const uint8_t *from)
{
    return nw_load_le32(from) | (uint64_t)nw_load_le32(from + 4) << 32;
}

#endif
