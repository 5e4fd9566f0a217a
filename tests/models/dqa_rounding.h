/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roundings of the DQA paper's setting (Hu et al. 2024 and its authors' code), simulated on floats: signed grids whose
 * scales are taken from the values themselves. See dqa_paper.c.
 */
#ifndef NARROW_TESTS_DQA_ROUNDING_H
#define NARROW_TESTS_DQA_ROUNDING_H

#include <stddef.h>
#include <stdint.h>

#define EXTRA_BITS 3 /* m: further bits of important channels */

/** What coding the extra bits of one channel costs, and whether they bring back what was taken. */
typedef struct dqa_extra {
    uint64_t counts[1 << EXTRA_BITS]; /* how often each value of the low bits occurs */
    uint64_t restored, otherwise;     /* values put together again; those that differ from the (n + m)-bit ones */
} dqa_extra;

/**
 * One channel of a batch to `bits` bits: q = clip(rint(x / d), -2^(bits-1), 2^(bits-1) - 1) d, d = max|x| / 2^(bits-1).
 *
 * @param x      sample s has its `plane` values at x + s stride
 * @param extra  with it, the EXTRA_BITS low bits of q are taken off, counted, and put back as the paper's decoder does:
 *               2^m d (q >> m + low / 2^m), which must be the same binary32; NULL without
 */
void dqa_round_channel(float *x, size_t n_samples, size_t stride, size_t plane, int32_t bits, dqa_extra *extra);

/** Bits of the channel's Huffman stream and of its book (per leaf: length, code, symbol). */
double dqa_huffman_bits(const dqa_extra *extra);

/**
 * NoisyQuant as the DQA paper's authors implement it: one scale for the tensor (of 100 clips), then one shift (of 100),
 * each by the tensor's own squared error, where they take that of the next block.
 */
void dqa_round_noisy(float *x, size_t n, int32_t bits);

#endif
