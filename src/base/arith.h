/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic every integer kernel shares: docs/numerics.md as code. Each operation is one IEEE-754 binary32
 * operation, to nearest, ties to even, in the written order; hence -ffp-contract=off, and no fast-math anywhere.
 */
#ifndef NARROW_BASE_ARITH_H
#define NARROW_BASE_ARITH_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if FLT_EVAL_METHOD != 0
#error "binary32 operations must be rounded to binary32, one by one; on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

static inline float nw_minf(float a, float b)
{
    return a < b ? a : b;
}

static inline float nw_maxf(float a, float b)
{
    return a > b ? a : b;
}

static inline int32_t nw_min32(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static inline int32_t nw_max32(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/** Smallest multiple of `step` that is >= n. */
static inline int32_t nw_round_up(int32_t n, int32_t step)
{
    return (n + step - 1) / step * step;
}

/** Smallest multiple of `step` that is >= n. */
static inline size_t nw_align(size_t n, size_t step)
{
    return (n + step - 1) / step * step;
}

/**
 * rint(v) for |v| <= 2^22: adding 1.5 * 2^23 leaves no fraction bits, so the addition itself rounds, to nearest even.
 * Unlike a call of rintf it costs two additions on any CPU and vectorizes.
 */
static inline float nw_rint_small(float v)
{
    return (v + 12582912.0f) - 12582912.0f;
}

/**
 * Clamp before conversion, then round, shift and offset:
 *
 *     y = z_y + (rint(min(max(v, lo), hi)) << s)
 *
 * The clamp comes first because converting 2^31 differs between CPUs. rint follows the current rounding mode, which a
 * run sets to nearest-even on entry.
 *
 * @param v   finite
 * @param lo  lo <= hi: integers held in binary32, with z_y + (lo << s) >= 0 and z_y + (hi << s) <= 255
 */
static inline uint8_t nw_clamp_round(float v, float lo, float hi, int32_t s, int32_t z_y)
{
    const float clamped = nw_minf(nw_maxf(v, lo), hi);
    return (uint8_t)(z_y + (int32_t)nw_rint_small(clamped) * (1 << s));
}

/** floor(v / 2^bits); >> of a negative number is the compiler's choice in C. */
static inline int32_t nw_shift_floor(int32_t v, int32_t bits)
{
    return v >= 0 ? v >> bits : ~(~v >> bits);
}

/** The exact sum reduced modulo 2^16 to [-2^15, 2^15): what `acc: 16-wrap` means. */
static inline int32_t nw_wrap16(int32_t sum)
{
    const uint32_t low = (uint32_t)sum & 0xffffu;
    return (int32_t)(low ^ 0x8000u) - 0x8000;
}

#endif
