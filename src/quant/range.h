/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a tensor held to the grid that stands for it: real = scale * (code - zero_point), codes of b bits.
 *
 *     nw_profile *profile = nw_profile_create(lowest, highest);         all channels that share the grid
 *     nw_profile_add(profile, &channel_stats, n_values, factor);        once per channel
 *     nw_grid grid = nw_range_choose(profile, 8, NW_RANGE_MSE, 0.0);
 *     nw_profile_free(profile);
 *
 * Zero is always a code (padding, ReLU). Data without negative values get zero_point 0.
 */
#ifndef NARROW_QUANT_RANGE_H
#define NARROW_QUANT_RANGE_H

#include "base/error.h"
#include "quant/observe.h"

/** How the ends of a grid are chosen. */
typedef enum nw_range_method {
    NW_RANGE_MIN_MAX,    /* the extremes that were seen */
    NW_RANGE_PERCENTILE, /* leaves out the share 1 - p of the values at either end */
    NW_RANGE_MSE,        /* least mean squared error of rounding and clipping together */
    NW_RANGE_OUTPUT      /* below 8 bits least error behind the nodes that read the tensor (narrow.h); else as MSE */
} nw_range_method;

typedef struct nw_grid {
    uint8_t bits;       /* 1 to 8 */
    uint8_t zero_point; /* below 1 << bits */
    float scale;        /* > 0, finite */
} nw_grid;

#define NW_PROFILE_BINS 4096

/** Density of the values of all channels of a tensor, after every channel's factor. */
typedef struct nw_profile {
    double lo, hi;      /* lo <= 0 <= hi: the extremes */
    double width;       /* of a bin; bin i spans [(first + i) * width, (first + i + 1) * width) */
    int32_t first;      /* <= 0 */
    double total;       /* values, zeros included */
    double inner_squares; /* sum of x^2 over the two bins beside 0 */
    double mass[NW_PROFILE_BINS]; /* values other than 0 */
} nw_profile;

/** An empty profile over [lo, hi], widened to hold 0. NULL without memory. */
nw_profile *nw_profile_create(double lo, double hi);
void nw_profile_free(nw_profile *profile);

/** Adds a channel whose values are multiplied by factor > 0; they must lie within the profile's range. */
void nw_profile_add(nw_profile *profile, const nw_channel_stats *channel, uint64_t n_values, double factor);

/**
 * The grid of `bits` bits that reaches from lo <= 0 to hi >= 0 with the least scale for which zero is a code and both
 * ends lie within half a step of the codes' range. lo = hi = 0 gives scale 1.
 */
nw_grid nw_grid_make(double lo, double hi, int32_t bits);

/** Real of the lowest and highest code. */
double nw_grid_lowest(const nw_grid *grid);
double nw_grid_highest(const nw_grid *grid);

/**
 * Sum over all values of (x - rounded and clipped x)^2, each bin taken as uniform; exact zeros cost nothing, and of the
 * bins beside 0 the true sum of squares is known, which is their error when they round to 0.
 */
double nw_profile_error(const nw_profile *profile, const nw_grid *grid);

/** Integral of (x - Q(x))^2 and of Q(x) - x over [a, b], Q: round to the grid and clip to its ends. */
double nw_grid_error_integral(double step, double lowest, double highest, double a, double b);
double nw_grid_shift_integral(double step, double lowest, double highest, double a, double b);

/**
 * Chooses the grid of a tensor.
 *
 * @param percentile  NW_RANGE_PERCENTILE only: 0.5 < p <= 1, for example 0.9999
 */
nw_grid nw_range_choose(const nw_profile *profile, int32_t bits, nw_range_method method, double percentile);

#endif
