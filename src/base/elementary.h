/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementary functions in binary32 that give the same bits on every CPU: only +, -, *, / and rint, in a fixed order
 * (docs/numerics.md). The C library's differ between versions and machines. Error below 2 units in the last place of
 * the exact result over the whole range (tests/unit/test_elementary.c).
 */
#ifndef NARROW_BASE_ELEMENTARY_H
#define NARROW_BASE_ELEMENTARY_H

/** e^x. 0 below -87.33654 (no subnormal results), +infinity above 88.72283, NaN for NaN. */
float nw_exp(float x);

/** Natural logarithm. -infinity for 0 and subnormals, NaN below 0 and for NaN, +infinity for +infinity. */
float nw_log(float x);

/** 1 / (1 + e^-x). */
float nw_sigmoid(float x);

/** Hyperbolic tangent. */
float nw_tanh(float x);

#endif
