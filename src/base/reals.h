/* SPDX-License-Identifier: Apache-2.0 */
/* Reals in pictures' memory, which is bytes: how the float operators read and write them. */
#ifndef NARROW_BASE_REALS_H
#define NARROW_BASE_REALS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float nw_load_f32(const uint8_t *at)
{
    float x;
    memcpy(&x, at, sizeof(x));
    return x;
}

/** Stores one NaN for all: which one an operation makes differs between CPUs. */
static inline void nw_store_f32(uint8_t *at, float x)
{
    if (x != x)
        x = NAN;
    memcpy(at, &x, sizeof(x));
}

#endif
