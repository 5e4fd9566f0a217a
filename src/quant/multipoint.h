/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multipoint quantization (Liu et al. 2021, arXiv:2002.09049): a weight row as a sum of few vectors of small integers,
 *
 *     w ~ a_1 z_1 + a_2 z_2 + ... + a_n z_n,      z_p in {-L .. L}^k, a_p > 0, n <= NW_MAX_POINTS
 *
 * found greedily, each point the best for what the points before left. How many points a channel gets is decided by the
 * error of its output over the whole network at once, under a budget of extra multiply-accumulates.
 *
 *     double a = nw_multipoint_step(z, r, k, bits, NULL);             least |r - a z| over all a > 0 and z
 *     nw_multipoint_allocate(points, channels, n_channels, 0.05 * macs);
 */
#ifndef NARROW_QUANT_MULTIPOINT_H
#define NARROW_QUANT_MULTIPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

/**
 * One greedy step, exactly: the a > 0 and z that make sum_j importance[j] (r_j - a z_j)^2 least.
 *
 * For fixed a the best z is nearest rounding, and code j goes from c to c + 1 while a falls past |r_j| / (c + 1/2); for
 * fixed z the best a is A / B and takes A^2 / B off the error, with A = <|r|, |z|>, B = <z, z>. Walking all k L break
 * points in descending order with A and B at hand therefore meets the optimum. O(k L log(k L)).
 *
 * @param z           [k] out
 * @param r           [k] finite
 * @param bits        1 to 8; with one bit z is -1 or +1
 * @param importance  [k] >= 0, or NULL: all alike
 * @return a; 0 with z = 0 (one bit: z = 1) for a row of zeros; -1 without memory
 */
double nw_multipoint_step(int8_t *z, const double *r, int32_t k, int32_t bits, const double *importance);

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
