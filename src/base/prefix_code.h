/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefix codes of bounded length for up to 256 symbols (Huffman 1952; the bound by package-merge, Larmore and
 * Hirschberg 1990). A code is its lengths: words are canonical, so a file needs nothing else.
 *
 *     uint8_t lengths[256];
 *     nw_prefix_code_make(lengths, counts, 256);
 *     if (!nw_prefix_code_complete(lengths, 256)) ...            of lengths that come from elsewhere
 *     nw_prefix_code_words(words, lengths, 256);
 *
 * Words of one length are numbers that follow each other in the order of the symbols; shorter words come before longer
 * ones, the first word is all zeros (as in RFC 1951). Their first bit is the highest one of the number.
 */
#ifndef NARROW_BASE_PREFIX_CODE_H
#define NARROW_BASE_PREFIX_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NW_PREFIX_LONGEST 11  /* bits */
#define NW_PREFIX_SYMBOLS 256 /* at most */

/** Whether all lengths are 1 to 11 and the sum of 2^-length is exactly 1: whatever bits follow, they are symbols. */
bool nw_prefix_code_complete(const uint8_t *lengths, size_t n);

/**
 * The lengths with the fewest bits for n = 2 to 256 symbols that occur so often. A symbol that does not occur gets a
 * word too: it counts as one occurrence. Sums of counts must stay below 2^59.
 */
void nw_prefix_code_make(uint8_t *lengths, const uint64_t *counts, size_t n);

/** Words of a complete code, the first bit lowest: as they are written from bit 0 of a byte on. */
void nw_prefix_code_words(uint16_t *words, const uint8_t *lengths, size_t n);

#endif
