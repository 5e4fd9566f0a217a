/* SPDX-License-Identifier: Apache-2.0 */
/* Clamp and rounding of gradient.h, channels last. */
#include <math.h>

#include "base/arith.h"
#include "base/clones.h"
#include "quant/gradient.h"

/** before may be value. */
NW_CLONES static void clamp_all(float *value, const float *before, size_t n, float lo, float hi)
{
    for (size_t i = 0; i < n; i++)
        value[i] = nw_minf(nw_maxf(before[i], lo), hi);
}

/** One pixel. Codes are below 256, so that nw_rint_small is exact. */
static inline void round_pixel(float *restrict value, const float *restrict before, int32_t n,
                               const float *restrict step, const float *restrict lo, const float *restrict hi,
                               const float *restrict offset)
{
    for (int32_t c = 0; c < n; c++) {
        const float v = nw_minf(nw_maxf((before[c] + offset[c]) / step[c], lo[c]), hi[c]);
        value[c] = nw_rint_small(v) * step[c];
    }
}

NW_CLONES static void round_all(const nw_gradient_tensor *t, size_t first, size_t end)
{
    for (size_t i = first; i < end; i += (size_t)t->channels)
        round_pixel(t->value + i, t->before + i, t->channels, t->step, t->lo, t->hi, t->offset);
}

void nw_gradient_round(nw_gradient_tensor *t, size_t first, size_t pixels)
{
    const size_t begin = first * (size_t)t->channels;
    const size_t n = pixels * (size_t)t->channels;
    if (t->rounded)
        round_all(t, begin, begin + n);
    else if (t->before != t->value || t->clamp_lo > -INFINITY || t->clamp_hi < INFINITY)
        clamp_all(t->value + begin, t->before + begin, n, t->clamp_lo, t->clamp_hi);
}

/** One pixel: gradient becomes that of `before`; that of log step adds up. */
static inline void back_pixel(float *restrict gradient, float *restrict by_step, const float *restrict value,
                              const float *restrict before, int32_t n, const float *restrict low,
                              const float *restrict high, const float *restrict offset)
{
    for (int32_t c = 0; c < n; c++) {
        const float x = before[c] + offset[c];
        const float cut = nw_minf(nw_maxf(x, low[c]), high[c]);
        const float inside = cut == x ? gradient[c] : 0.0f;
        by_step[c] += gradient[c] * value[c] - inside * x;
        gradient[c] = inside;
    }
}

#define CHUNK 256 /* channels at a time */

NW_CLONES static void back_rounding(const nw_gradient_tensor *t, size_t begin, size_t end)
{
    for (int32_t first = 0; first < t->channels; first += CHUNK) {
        const int32_t width = nw_min32(CHUNK, t->channels - first);
        float by_step[CHUNK] = {0};
        float low[CHUNK], high[CHUNK];
        for (int32_t c = 0; c < width; c++) {
            low[c] = t->lo[first + c] * t->step[first + c];
            high[c] = t->hi[first + c] * t->step[first + c];
        }
        for (size_t i = begin + (size_t)first; i < end; i += (size_t)t->channels)
            back_pixel(t->gradient + i, by_step, t->value + i, t->before + i, width, low, high, t->offset + first);
        for (int32_t c = 0; c < width; c++)
            t->step_gradient[first + c] += (double)by_step[c];
    }
}

NW_CLONES static void back_clamp(float *restrict gradient, const float *restrict before, size_t n, float lo, float hi)
{
    for (size_t i = 0; i < n; i++) {
        const float cut = nw_minf(nw_maxf(before[i], lo), hi);
        gradient[i] = cut == before[i] ? gradient[i] : 0.0f;
    }
}

void nw_gradient_round_backward(nw_gradient_tensor *t, size_t first, size_t pixels)
{
    const size_t begin = first * (size_t)t->channels;
    const size_t n = pixels * (size_t)t->channels;
    if (t->before == t->value)
        return;
    if (t->rounded)
        back_rounding(t, begin, begin + n);
    else
        back_clamp(t->gradient + begin, t->before + begin, n, t->clamp_lo, t->clamp_hi);
}
