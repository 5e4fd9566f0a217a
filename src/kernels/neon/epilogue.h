/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From int32 sums to outputs, 16 channels at a time: nw_requant of kernels.h in vectors. Every operation is the one the
 * reference does, in its order, so results agree in every bit: products and sums are two instructions
 * (-ffp-contract=off keeps the compiler from joining them into fmla), fcvtns rounds to nearest even. Shared by all
 * kernels of this folder.
 */
#ifndef NARROW_KERNELS_NEON_EPILOGUE_H
#define NARROW_KERNELS_NEON_EPILOGUE_H

#include <arm_neon.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/neon/store.h"

/** 16 numbers: vector q holds channels 4 q .. 4 q + 3. */
typedef struct nw_s32x16 {
    int32x4_t part[4];
} nw_s32x16;

typedef struct nw_f32x16 {
    float32x4_t part[4];
} nw_f32x16;

/** a + b modulo 2^32: channels past the last one hold anything. */
static NW_INLINE int32x4_t add_s32(int32x4_t a, int32x4_t b)
{
    return vreinterpretq_s32_u32(vaddq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
}

static NW_INLINE int32x4_t wrap16(int32x4_t sum)
{
    return vshrq_n_s32(vshlq_n_s32(sum, 16), 16);
}

/** 16 codes as integers. */
static NW_INLINE nw_s32x16 widen_codes(uint8x16_t codes)
{
    const uint16x8_t low = vmovl_u8(vget_low_u8(codes));
    const uint16x8_t high = vmovl_high_u8(codes);
    return (nw_s32x16){{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))), vreinterpretq_s32_u32(vmovl_high_u16(low)),
                        vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
                        vreinterpretq_s32_u32(vmovl_high_u16(high))}};
}

/** bias + multiplier * f32(acc + offset) of channels o .. o + 15. */
static NW_INLINE nw_f32x16 first_point(const nw_requant *requant, int32_t o, nw_s32x16 acc)
{
    nw_f32x16 v;
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        const int32x4_t sum = requant->wrap16 ? wrap16(acc.part[q]) : acc.part[q];
        const float32x4_t x = vcvtq_f32_s32(add_s32(sum, vld1q_s32(requant->offset + o + 4 * q)));
        v.part[q] =
            vaddq_f32(vld1q_f32(requant->bias + o + 4 * q), vmulq_f32(vld1q_f32(requant->multiplier + o + 4 * q), x));
    }
    return v;
}

/** v + residual_multiplier * f32(residual - its zero point); `residual` is channel o of the pixel. */
static NW_INLINE nw_f32x16 add_residual(const nw_requant *requant, int32_t o, nw_f32x16 v, const uint8_t *residual)
{
    const nw_s32x16 codes = widen_codes(vld1q_u8(residual));
    const int32x4_t zero = vdupq_n_s32(requant->residual_zero_point);
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        const float32x4_t x = vcvtq_f32_s32(vsubq_s32(codes.part[q], zero));
        const float32x4_t m = vld1q_f32(requant->residual_multiplier + o + 4 * q);
        v.part[q] = vaddq_f32(v.part[q], vmulq_f32(m, x));
    }
    return v;
}

/** zero_point + (rint(clamp(v)) << shift) as 16 bytes. */
static NW_INLINE uint8x16_t clamp_round(const nw_requant *requant, int32_t o, nw_f32x16 v)
{
    const int32x4_t zero = vdupq_n_s32(requant->zero_point);
    int16x4_t words[4];
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++) {
        const float32x4_t above = vmaxq_f32(v.part[q], vld1q_f32(requant->lo + o + 4 * q));
        int32x4_t y = vcvtnq_s32_f32(vminq_f32(above, vld1q_f32(requant->hi + o + 4 * q)));
        if (requant->shift)
            y = vshlq_s32(y, vld1q_s32(requant->shift + o + 4 * q));
        words[q] = vmovn_s32(add_s32(y, zero));
    }
    return vcombine_u8(vqmovun_s16(vcombine_s16(words[0], words[1])), vqmovun_s16(vcombine_s16(words[2], words[3])));
}

/** Writes the first n of 16 outputs, to channel o of pixel c. */
static NW_INLINE void store_outputs(const nw_requant *requant, int32_t o, int32_t n, nw_f32x16 v, void *c)
{
    if (requant->float_output)
        memcpy((float *)c + o, &v, (size_t)n * sizeof(float));
    else
        store_bytes((uint8_t *)c + o, clamp_round(requant, o, v), n);
}

#endif
