/* SPDX-License-Identifier: Apache-2.0 */
/* Writing part of a vector, and nothing behind it. */
#ifndef NARROW_KERNELS_NEON_STORE_H
#define NARROW_KERNELS_NEON_STORE_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

/** Writes the first n of 16 bytes. */
static NW_INLINE void store_bytes(uint8_t *y, uint8x16_t codes, int32_t n)
{
    if (n >= 16) {
        vst1q_u8(y, codes);
        return;
    }
    uint64_t bytes = vgetq_lane_u64(vreinterpretq_u64_u8(codes), 0);
    if (n & 8) {
        memcpy(y, &bytes, 8);
        bytes = vgetq_lane_u64(vreinterpretq_u64_u8(codes), 1);
        y += 8;
    }
    if (n & 4) {
        memcpy(y, &bytes, 4);
        bytes >>= 32;
        y += 4;
    }
    for (int32_t i = 0; i < (n & 3); i++, bytes >>= 8)
        y[i] = (uint8_t)bytes;
}

#endif
