/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise kernels: the sum of two pictures, 16 channels at a time, and functions of one code through a table. */
#include "base/arith.h"
#include "kernels/neon/epilogue.h"
#include "kernels/neon/neon.h"

/* multiplier * f32(codes - zero) of 16 channels. */
static NW_INLINE nw_f32x16 term(const uint8_t *x, const float *multiplier, int32x4_t zero)
{
    const nw_s32x16 codes = widen_codes(vld1q_u8(x));
    nw_f32x16 v;
#pragma GCC unroll 4
    for (int32_t q = 0; q < 4; q++)
        v.part[q] = vmulq_f32(vld1q_f32(multiplier + 4 * q), vcvtq_f32_s32(vsubq_s32(codes.part[q], zero)));
    return v;
}

void nw_add_neon(const nw_add_call *call)
{
    const int32x4_t zero_a = vdupq_n_s32(call->zero_a);
    const int32x4_t zero_b = vdupq_n_s32(call->zero_b);
    for (int32_t i = 0; i < call->n; i++) {
        const uint8_t *a = call->a + (ptrdiff_t)i * call->a_step;
        const uint8_t *b = call->b + (ptrdiff_t)i * call->b_step;
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step;
        for (int32_t c = 0; c < call->channels; c += 16) {
            nw_f32x16 v = term(a + c, call->multiplier_a + c, zero_a);
            const nw_f32x16 w = term(b + c, call->multiplier_b + c, zero_b);
#pragma GCC unroll 4
            for (int32_t q = 0; q < 4; q++)
                v.part[q] = vaddq_f32(v.part[q], w.part[q]);
            store_bytes(y + c, clamp_round(call->requant, c, v), nw_min32(call->channels - c, 16));
        }
    }
}

void nw_table_neon(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256])
{
    size_t i = 0;
    if (n >= 32) {
        uint8x16x4_t rows[4]; /* the 256 entries: 16 registers */
        for (size_t r = 0; r < 16; r++)
            rows[r / 4].val[r % 4] = vld1q_u8(table + 16 * r);
        const uint8x16_t step = vdupq_n_u8(64);
        for (; i + 16 <= n; i += 16) {
            uint8x16_t index = vld1q_u8(x + i);
            uint8x16_t found = vqtbl4q_u8(rows[0], index); /* 0 where index >= 64; tbx keeps what was found */
            for (int32_t r = 1; r < 4; r++) {
                index = vsubq_u8(index, step);
                found = vqtbx4q_u8(found, rows[r], index);
            }
            vst1q_u8(y + i, found);
        }
    }
    for (; i < n; i++)
        y[i] = table[x[i]];
}
