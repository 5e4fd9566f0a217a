/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multipoint quantization (Liu et al. 2021, arXiv:2002.09049): a weight row as a sum of few vectors of small integers,
 *
 *     w ~ a_1 z_1 + a_2 z_2 + ... + a_n z_n,      z_p in {-L .. L}^k, a_p > 0, n <= NW_MAX_POINTS
 *
 * found greedily, each point the best for what the points before left. How many points a channel gets is decided by the
 * error of its output over the whole network at once, under a budget of extra multiply-accumulates.
 *
 *     double a = nw_multipoint_step(z, r, k, &book, NULL);            least |r - a z| over all a > 0 and z
 *     nw_multipoint_allocate(points, channels, n_channels, 0.05 * macs);
 */
#ifndef NARROW_QUANT_MULTIPOINT_H
#define NARROW_QUANT_MULTIPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "model/model.h"
#include "quant/code_book.h"

/**
 * One greedy step, exactly: the a > 0 and z that make sum_j importance[j] (r_j - a z_j)^2 least (nw_code_book_step).
 *
 * @param z           [k] out
 * @param r           [k] finite
 * @param importance  [k] >= 0, or NULL: all alike
 * @return a; 0 with z = 0 (one bit: z = 1) for a row of zeros; -1 without memory
 */
double nw_multipoint_step(int8_t *z, const double *r, int32_t k, const nw_code_book *book, const double *importance);

/** An output channel that could have more points. */
typedef struct nw_multipoint_channel {
    double error[NW_MAX_POINTS]; /* of the output with 1, 2, ... points, relative to its power: falling */
    double cost;                 /* multiply-accumulates of a further point, > 0 */
} nw_multipoint_channel;

/**
 * Points per channel: the fewest with an error of at most tau, with the smallest tau (found by bisection) whose extra
 * multiply-accumulates stay within the budget.
 *
 * @param points  [n] out, 1 to NW_MAX_POINTS
 * @return extra multiply-accumulates spent
 */
double nw_multipoint_allocate(uint8_t *points, const nw_multipoint_channel *channels, size_t n, double budget);

#endif
