/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pooling of one output row. The window of a pixel is first cut to the taps that lie inside the picture; then channels
 * go 16 at a time with the window's taps as the inner loop.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/neon/neon.h"
#include "kernels/neon/epilogue.h"
#include "kernels/window.h"

static NW_INLINE uint8x16_t window_max(const nw_taps *w, int32_t c)
{
    uint8x16_t best = vdupq_n_u8(0);
    const uint8_t *row = w->x + c;
    for (int32_t y = 0; y < w->rows; y++, row += w->row_step) {
        const uint8_t *x = row;
        for (int32_t k = 0; k < w->columns; k++, x += w->column_step)
            best = vmaxq_u8(best, vld1q_u8(x));
    }
    return best;
}

void nw_max_pool_neon(const nw_pool_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const nw_taps w = nw_taps_of(call, i);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_pixel_stride;
        for (int32_t c = 0; c < call->channels; c += 16)
            store_bytes(y + c, window_max(&w, c), nw_min32(call->channels - c, 16));
    }
}

static NW_INLINE void widen_sums(nw_s32x16 *sum, uint16x8_t low, uint16x8_t high)
{
    sum->part[0] = vreinterpretq_s32_u32(vaddw_u16(vreinterpretq_u32_s32(sum->part[0]), vget_low_u16(low)));
    sum->part[1] = vreinterpretq_s32_u32(vaddw_high_u16(vreinterpretq_u32_s32(sum->part[1]), low));
    sum->part[2] = vreinterpretq_s32_u32(vaddw_u16(vreinterpretq_u32_s32(sum->part[2]), vget_low_u16(high)));
    sum->part[3] = vreinterpretq_s32_u32(vaddw_high_u16(vreinterpretq_u32_s32(sum->part[3]), high));
}

/* Sums over the window: 16-bit sums of up to 256 taps, then into 32 bits. */
static NW_INLINE nw_s32x16 window_sum(const nw_taps *w, int32_t c)
{
    const uint16x8_t zero = vdupq_n_u16(0);
    nw_s32x16 sum = {{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}};
    uint16x8_t low = zero;
    uint16x8_t high = zero;
    int32_t left = 256; /* 256 * 255 < 2^16 */
    const uint8_t *row = w->x + c;
    for (int32_t y = 0; y < w->rows; y++, row += w->row_step) {
        const uint8_t *x = row;
        for (int32_t k = 0; k < w->columns; k++, x += w->column_step) {
            const uint8x16_t codes = vld1q_u8(x);
            low = vaddw_u8(low, vget_low_u8(codes));
            high = vaddw_high_u8(high, codes);
            if (--left > 0)
                continue;
            widen_sums(&sum, low, high);
            low = high = zero;
            left = 256;
        }
    }
    widen_sums(&sum, low, high);
    return sum;
}

void nw_average_pool_neon(const nw_pool_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const nw_taps w = nw_taps_of(call, i);
        const int32_t n_valid = w.rows * w.columns;
        const int32_t count = call->count_include_pad ? call->kernel_h * call->kernel_w : n_valid;
        const float32x4_t divisor = vdupq_n_f32((float)count);
        const int32x4_t zero = vdupq_n_s32(n_valid * call->zero_x);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_pixel_stride;
        for (int32_t c = 0; c < call->channels; c += 16) {
            const nw_s32x16 sum = window_sum(&w, c);
            nw_f32x16 v;
#pragma GCC unroll 4
            for (int32_t q = 0; q < 4; q++) {
                const float32x4_t m = vdivq_f32(vld1q_f32(call->multiplier + c + 4 * q), divisor);
                v.part[q] = vmulq_f32(m, vcvtq_f32_s32(vsubq_s32(sum.part[q], zero)));
            }
            store_bytes(y + c, clamp_round(call->requant, c, v), nw_min32(call->channels - c, 16));
        }
    }
}
