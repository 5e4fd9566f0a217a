/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementary functions in binary32 that give the same bits on every CPU: only +, -, *, / and rint, in a fixed order
 * (docs/numerics.md). The C library's differ between versions and machines. Errors are in units of the last place of
 * the exact result, the largest over all arguments (tests/unit/test_elementary.c samples them).
 */
#ifndef NARROW_BASE_ELEMENTARY_H
#define NARROW_BASE_ELEMENTARY_H

/** e^x, error below 1. 0 below -87.33654 (no subnormal results), +infinity above 88.72283, NaN for NaN. */
float nw_exp(float x);

/**
 * Natural logarithm, error below 1. -infinity for 0 and subnormals, NaN below 0 and for NaN, +infinity for +infinity.
 */
float nw_log(float x);

/** 1 / (1 + e^-x), error below 2.5. 0 below -87.33654. */
float nw_sigmoid(float x);

/** Hyperbolic tangent, error below 1.5. +0 for both zeros. */
float nw_tanh(float x);

#endif
