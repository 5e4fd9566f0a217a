/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution along one output row, 16 channels at a time. Reads what depthwise_pack.c packed (layout:
 * neon.h; the reason why sums are exact stands there). A tap is smlal and smlal2 into 16-bit sums; at the end of a run
 * they are widened into 32 bits. Four pixels share the loads of offsets and weights.
 */
#include <assert.h>

#include "base/arith.h"
#include "kernels/neon/epilogue.h"
#include "kernels/neon/neon.h"

#define NR NW_NEON_DEPTHWISE_NR
#define MR 4

typedef struct panel {
    const int32_t *start, *runs, *offsets;
    const int8_t *weights;
    int32_t n_runs;
    int32_t channel, n; /* first channel and how many of the 16 there are */
} panel;

typedef struct sums16 {
    int16x8_t half[2];
} sums16;

/* One tap of one pixel. */
static NW_INLINE int8x16_t load_codes(const uint8_t *a, bool shifted)
{
    const uint8x16_t x = vld1q_u8(a);
    return vreinterpretq_s8_u8(shifted ? veorq_u8(x, vdupq_n_u8(128)) : x);
}

static NW_INLINE void fold(nw_s32x16 *acc, sums16 sum)
{
#pragma GCC unroll 2
    for (int32_t h = 0; h < 2; h++) {
        acc->part[2 * h] = vaddw_s16(acc->part[2 * h], vget_low_s16(sum.half[h]));
        acc->part[2 * h + 1] = vaddw_high_s16(acc->part[2 * h + 1], sum.half[h]);
    }
}

/* acc[j] += the exact sums of the pixel at a[j]. mr and shifted are constants in each caller. */
static NW_INLINE void pixel_sums(nw_s32x16 acc[MR], const panel *p, const uint8_t *const a[MR], int32_t mr,
                                 bool shifted)
{
    const int32_t *offset = p->offsets;
    const int8_t *weights = p->weights;
    for (int32_t r = 0; r < p->n_runs; r++) {
        sums16 sum[MR];
        const ptrdiff_t first = *offset++;
        int8x16_t w = vld1q_s8(weights);
        weights += NR;
#pragma GCC unroll 4
        for (int32_t j = 0; j < mr; j++) {
            const int8x16_t x = load_codes(a[j] + first, shifted);
            sum[j].half[0] = vmull_s8(vget_low_s8(x), vget_low_s8(w));
            sum[j].half[1] = vmull_high_s8(x, w);
        }
        for (int32_t n = p->runs[r] - 1; n > 0; n--, weights += NR) {
            const ptrdiff_t tap = *offset++;
            w = vld1q_s8(weights);
#pragma GCC unroll 4
            for (int32_t j = 0; j < mr; j++) {
                const int8x16_t x = load_codes(a[j] + tap, shifted);
                sum[j].half[0] = vmlal_s8(sum[j].half[0], vget_low_s8(x), vget_low_s8(w));
                sum[j].half[1] = vmlal_high_s8(sum[j].half[1], x, w);
            }
        }
#pragma GCC unroll 4
        for (int32_t j = 0; j < mr; j++)
            fold(&acc[j], sum[j]);
    }
}

/* The pixels [i, i + mr). */
static NW_INLINE void pixels(const nw_depthwise_call *call, const panel *p, int32_t i, int32_t mr, bool shifted)
{
    const nw_requant *requant = call->requant;
    const uint8_t *a[MR];
    nw_s32x16 acc[MR];
#pragma GCC unroll 4
    for (int32_t j = 0; j < mr; j++) {
        a[j] = call->a + (ptrdiff_t)(i + j) * call->a_step + p->channel;
#pragma GCC unroll 4
        for (int32_t q = 0; q < 4; q++)
            acc[j].part[q] = vld1q_s32(p->start + 4 * q);
    }
    pixel_sums(acc, p, a, mr, shifted);
#pragma GCC unroll 4
    for (int32_t j = 0; j < mr; j++) {
        nw_f32x16 v = first_point(requant, p->channel, acc[j]);
        if (requant->residual_multiplier)
            v = add_residual(requant, p->channel, v,
                             call->residual + (ptrdiff_t)(i + j) * call->residual_step + p->channel);
        store_outputs(requant, p->channel, p->n, v, (uint8_t *)call->c + (ptrdiff_t)(i + j) * call->c_step);
    }
}

static NW_NOINLINE void row(const nw_depthwise_call *call, const panel *p)
{
    int32_t i = 0;
    for (; i + MR <= call->n; i += MR)
        pixels(call, p, i, MR, false);
    for (; i < call->n; i++)
        pixels(call, p, i, 1, false);
}

static NW_NOINLINE void row_shifted(const nw_depthwise_call *call, const panel *p)
{
    int32_t i = 0;
    for (; i + MR <= call->n; i += MR)
        pixels(call, p, i, MR, true);
    for (; i < call->n; i++)
        pixels(call, p, i, 1, true);
}

void nw_depthwise_run_neon(const nw_depthwise_call *call)
{
    const nw_neon_depthwise *header = call->packed;
    const uint8_t *base = call->packed;
    const nw_neon_depthwise_panel *panels = (const nw_neon_depthwise_panel *)(const void *)(base + sizeof(*header));
    assert(call->n >= 1 && call->requant->n_extra == 0);
    for (int32_t i = 0; i < header->n_panels; i++) {
        const panel p = {.start = (const int32_t *)(const void *)(base + panels[i].start),
                         .runs = (const int32_t *)(const void *)(base + panels[i].runs),
                         .offsets = (const int32_t *)(const void *)(base + panels[i].offsets),
                         .weights = (const int8_t *)(base + panels[i].weights),
                         .n_runs = panels[i].n_runs,
                         .channel = i * NR,
                         .n = nw_min32(header->n_channels - i * NR, NR)};
        if (panels[i].shifted)
            row_shifted(call, &p);
        else
            row(call, &p);
    }
}
