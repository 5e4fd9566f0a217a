/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer weights as a string of bits that is about as long as their entropy: how a .nw file stores coded layers. The
 * same integers come back; only the file is smaller.
 *
 *     size_t size = nw_weight_code_encode(NULL, weights, n_rows, k, period);      counts
 *     nw_weight_code_encode(bytes, weights, n_rows, k, period);
 *     if (!nw_weight_code_decode(weights, n_rows, k, period, bytes, size)) ...    damaged
 *
 * An adaptive binary range coder (Martin 1979, with the carry of LZMA), row by row. The magnitude m of a weight is its
 * length in binary e = 0 to 7 in unary, then the e - 1 bits behind its first one, then a sign bit unless m = 0. Every
 * bit of the length has the contexts
 *
 *     g  the running mean of magnitudes, a = (15 a + 16 m + 8) >> 4 from a = 16 on, as class of (2 a + 8) >> 4
 *     t  m of the same column one row up plus m of the column `period` to the left: 0, 1 or 2, more
 *
 * the first two bits behind the one have e and what came before of them, all others and the sign are as likely 0 as 1.
 * The probability of a one is the mean of two counters of 16 bits that move by 1/16 and by 1/128 of the way, from
 * 1/2 on. All in integers, so the bytes are the same everywhere.
 */
#ifndef NARROW_MODEL_WEIGHT_CODE_H
#define NARROW_MODEL_WEIGHT_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Codes n_rows rows of k weights, row by row, each from -127 to 127.
 *
 * @param to      room for what the function returns, or NULL: only counts
 * @param period  columns from a tap of a kernel to the next: its input channels. 0: there is one tap
 * @return bytes, at least 4
 */
size_t nw_weight_code_encode(uint8_t *to, const int8_t *weights, size_t n_rows, size_t k, size_t period);

/**
 * The way back.
 *
 * @param weights  [n_rows, k] out; undefined on failure
 * @return false unless `size` bytes are exactly what the weights need. Any bytes may be given.
 */
bool nw_weight_code_decode(int8_t *weights, size_t n_rows, size_t k, size_t period, const uint8_t *from, size_t size);

#endif
