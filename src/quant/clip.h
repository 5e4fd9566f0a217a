/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a channel loses on a grid, from its histogram alone: rounding, clipping and an offset together, for many steps
 * at once. Where few codes are left the best step of every channel is another one, and clipping pays.
 *
 *     const nw_clip clip = {lo, hi, 0.0};                      a channel of the codes lo .. hi around the real 0
 *     nw_clip_curve curve;
 *     nw_clip_curve_make(&curve, &stats, n_values, &clip);
 *     double step = nw_clip_best(&curve);
 *     double error = nw_clip_at(&curve, 1.1 * step);
 */
#ifndef NARROW_QUANT_CLIP_H
#define NARROW_QUANT_CLIP_H

#include "quant/observe.h"

#define NW_CLIP_STEPS 61     /* ten octaves of steps, six to an octave */

/** x becomes step * min(max(rint((x + offset) / step), lo), hi) - offset. */
typedef struct nw_clip {
    double lo, hi; /* integers, lo <= 0 <= hi */
    double offset;
} nw_clip;

/** Mean squared error of a channel's values; bins of the histogram count with their centres. */
double nw_clip_error(const nw_channel_stats *stats, uint64_t n_values, const nw_clip *clip, double step);

/** Error by step: step i is top * 2^(-i / 6), and the largest rounds everything to 0. */
typedef struct nw_clip_curve {
    double top; /* 0: the channel holds nothing but zeros */
    double error[NW_CLIP_STEPS];
} nw_clip_curve;

void nw_clip_curve_make(nw_clip_curve *curve, const nw_channel_stats *stats, uint64_t n_values, const nw_clip *clip);

/** The step of the curve with the least error; 0 for zeros. */
double nw_clip_best(const nw_clip_curve *curve);

/** Error at a step > 0, between the curve's steps by interpolation. */
double nw_clip_at(const nw_clip_curve *curve, double step);

#endif
