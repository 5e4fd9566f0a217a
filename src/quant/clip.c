/* SPDX-License-Identifier: Apache-2.0 */
/* See clip.h. Reads what observe.c gathered; narrow.c asks for every channel of a narrow tensor. */
#include "quant/clip.h"

#include <math.h>

#define PER_OCTAVE 6.0

/**
 * rint of |x| < 2^51, and beyond it something as large: this loop is most of the time of narrow activations, and rint a
 * call.
 */
static double nearest(double x)
{
    const double big = 0x1.8p52;
    return (x + big) - big;
}

static double error_of(double x, const nw_clip *clip, double step)
{
    const double code = nearest((x + clip->offset) / step);
    const double most = code < clip->hi ? code : clip->hi;
    const double rest = x + clip->offset - (most > clip->lo ? most : clip->lo) * step;
    return rest * rest;
}

double nw_clip_error(const nw_channel_stats *stats, uint64_t n_values, const nw_clip *clip, double step)
{
    const nw_histogram *histogram = &stats->histogram;
    const double width = nw_histogram_width(histogram);
    double sum = (double)stats->zeros * error_of(0.0, clip, step);
    for (int32_t i = histogram->first; i <= histogram->last; i++) {
        const double count = (double)histogram->counts[i - histogram->first] - (i == 0 ? (double)stats->zeros : 0.0);
        if (!(count > 0.0))
            continue;
        const double a = i * width > (double)stats->min ? i * width : (double)stats->min;
        const double b = (i + 1) * width < (double)stats->max ? (i + 1) * width : (double)stats->max;
        sum += count * error_of((a + b) / 2.0, clip, step);
    }
    return n_values ? sum / (double)n_values : 0.0;
}

void nw_clip_curve_make(nw_clip_curve *curve, const nw_channel_stats *stats, uint64_t n_values, const nw_clip *clip)
{
    const double extent = fmax((double)stats->max, -(double)stats->min);
    curve->top = extent > 0x1p-100 ? 2.1 * extent : 0.0;
    for (int32_t i = 0; i < NW_CLIP_STEPS; i++)
        curve->error[i] =
            curve->top > 0.0 ? nw_clip_error(stats, n_values, clip, curve->top * exp2(-i / PER_OCTAVE)) : 0.0;
}

double nw_clip_best(const nw_clip_curve *curve)
{
    int32_t best = 0;
    for (int32_t i = 1; i < NW_CLIP_STEPS; i++)
        if (curve->error[i] < curve->error[best])
            best = i;
    return curve->top * exp2(-best / PER_OCTAVE);
}

double nw_clip_at(const nw_clip_curve *curve, double step)
{
    if (!(curve->top > 0.0))
        return 0.0;
    const double at = fmin(fmax(PER_OCTAVE * log2(curve->top / step), 0.0), NW_CLIP_STEPS - 1.0);
    const int32_t i = (int32_t)fmin(floor(at), NW_CLIP_STEPS - 2.0);
    return curve->error[i] + (at - i) * (curve->error[i + 1] - curve->error[i]);
}
