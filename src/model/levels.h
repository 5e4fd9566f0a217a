/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code books of weights in a file: a code v of b bits stands for sign(v) * levels[|v|]. In memory weights are always
 * decoded; file_read.c decodes, file_write.c encodes.
 */
#ifndef NARROW_MODEL_LEVELS_H
#define NARROW_MODEL_LEVELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Magnitudes of a book for weights of 2 to 8 bits. */
static inline size_t nw_levels_count(int weight_bits)
{
    return (size_t)1 << (weight_bits - 1);
}

/** Whether the levels ascend strictly from 0 to at most 127. */
bool nw_levels_valid(const uint8_t *levels, int weight_bits);

/** allowed[w + 128]: whether w is a weight of that many bits, with levels (NULL: uniform). */
void nw_levels_allow(bool allowed[256], const uint8_t *levels, int weight_bits);

/** codes[i] becomes the weight it stands for; |codes[i]| < nw_levels_count. */
void nw_levels_decode(int8_t *codes, size_t n, const uint8_t *levels);

/** codes[i] for weights[i]; false, with codes unspecified, if a weight is not in the book. */
bool nw_levels_encode(int8_t *codes, const int8_t *weights, size_t n, const uint8_t *levels, int weight_bits);

#endif
