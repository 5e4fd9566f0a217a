/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of fixed size over a stream of reals, exact and independent of the order in which they come.
 *
 *     nw_histogram histogram = NW_HISTOGRAM_EMPTY;
 *     nw_histogram_expand(&histogram, min, max);     of the values about to be added
 *     nw_histogram_add(&histogram, values, n);
 *
 * Bin i counts the values x with floor(x / width) = first + i, where width is the smallest power of two for which the
 * whole span, zero included, fits into NW_HISTOGRAM_BINS bins. Because floor(floor(x / w) / 2) = floor(x / 2w), merging
 * pairs of bins gives exactly the counts a wider bin would have had from the start: the final state depends on the
 * multiset of values alone, not on their order or on batches.
 *
 *     width w:    | -2 | -1 |  0 |  1 |  2 |  3 |        width 2w:   |   -1   |    0    |    1    |
 */
#ifndef NARROW_QUANT_HISTOGRAM_H
#define NARROW_QUANT_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define NW_HISTOGRAM_BINS 512
#define NW_HISTOGRAM_MIN_EXPONENT (-100)
#define NW_HISTOGRAM_EMPTY {.exponent = NW_HISTOGRAM_MIN_EXPONENT}

typedef struct nw_histogram {
    int32_t exponent; /* width = 2^exponent, exponent >= NW_HISTOGRAM_MIN_EXPONENT */
    int32_t first;    /* floor(lowest / width), <= 0 */
    int32_t last;     /* floor(highest / width), >= 0, last - first < NW_HISTOGRAM_BINS */
    uint32_t counts[NW_HISTOGRAM_BINS];
} nw_histogram;

/** Widens the span to hold lo and hi (finite, lo <= hi). */
void nw_histogram_expand(nw_histogram *histogram, float lo, float hi);

/** Counts n values that lie within the span. The caller keeps the number of values below 2^32. */
void nw_histogram_add(nw_histogram *histogram, const float *values, size_t n);

/** Width of a bin. */
double nw_histogram_width(const nw_histogram *histogram);

#endif
