/* SPDX-License-Identifier: Apache-2.0 */
/* See range.h. Reads what observe.c gathered; scheme.c asks for one grid per group of tensors. */
#include "quant/range.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define SEARCH_STEPS 100 /* candidates of one pass of the MSE search */
#define SEARCH_LOWEST 0.1 /* least share of the range that is tried; narrower would clip nine tenths */

nw_profile *nw_profile_create(double lo, double hi)
{
    nw_profile *profile = calloc(1, sizeof(*profile));
    if (!profile)
        return NULL;
    profile->lo = fmin(lo, 0.0);
    profile->hi = fmax(hi, 0.0);
    const double span = profile->hi - profile->lo;
    profile->width = span > 0.0 ? span / (NW_PROFILE_BINS - 4) : 1.0; /* the spare bins absorb rounding at the ends */
    profile->first = (int32_t)floor(profile->lo / profile->width) - 1;
    return profile;
}

void nw_profile_free(nw_profile *profile)
{
    free(profile);
}

/** Spreads `mass` evenly over [a, b]. */
static void spread(nw_profile *profile, double a, double b, double mass)
{
    int32_t i = (int32_t)floor(a / profile->width) - profile->first;
    int32_t last = (int32_t)floor(b / profile->width) - profile->first;
    i = i < 0 ? 0 : i >= NW_PROFILE_BINS ? NW_PROFILE_BINS - 1 : i;
    last = last < i ? i : last >= NW_PROFILE_BINS ? NW_PROFILE_BINS - 1 : last;
    for (int32_t j = i; j <= last; j++) {
        const double from = last == i ? a : fmax(a, (double)(profile->first + j) * profile->width);
        const double to = last == i ? b : fmin(b, (double)(profile->first + j + 1) * profile->width);
        const double part = last == i || !(b > a) ? mass : mass * fmax(0.0, to - from) / (b - a);
        profile->mass[j] += part;
        if (profile->first + j == 0 || profile->first + j == -1)
            profile->inner_squares += part * (from * from + from * to + to * to) / 3.0;
        if (!(b > a))
            break;
    }
}

/** Count of bin i without the exact zeros. */
static double count_of(const nw_channel_stats *channel, int32_t i)
{
    const nw_histogram *histogram = &channel->histogram;
    return fmax(0.0, (double)histogram->counts[i - histogram->first] - (i == 0 ? (double)channel->zeros : 0.0));
}

/**
 * How far from 0 the values of the two innermost bins reach: the sum of squares that the other bins do not explain says
 * it. Long tails put nearly everything into these two bins, mostly near 0.
 */
static double inner_reach(const nw_channel_stats *channel)
{
    const nw_histogram *histogram = &channel->histogram;
    const double width = nw_histogram_width(histogram);
    double squares = channel->sum_squares;
    double inner = 0.0;
    for (int32_t i = histogram->first; i <= histogram->last; i++) {
        const double a = fmax((double)i * width, (double)channel->min);
        const double b = fmin((double)(i + 1) * width, (double)channel->max);
        if (i == 0 || i == -1)
            inner += count_of(channel, i);
        else
            squares -= count_of(channel, i) * (a * a + a * b + b * b) / 3.0;
    }
    if (!(inner > 0.0) || !(squares > 0.0))
        return width;
    return fmin(width, sqrt(3.0 * squares / inner));
}

static double within(const nw_channel_stats *channel, double x)
{
    return fmin(fmax(x, (double)channel->min), (double)channel->max);
}

void nw_profile_add(nw_profile *profile, const nw_channel_stats *channel, uint64_t n_values, double factor)
{
    const nw_histogram *histogram = &channel->histogram;
    const double width = nw_histogram_width(histogram);
    const double reach = inner_reach(channel);
    for (int32_t i = histogram->first; i <= histogram->last; i++) {
        const double count = count_of(channel, i);
        if (count <= 0.0)
            continue;
        const double a = i == -1 ? -reach : (double)i * width;
        const double b = i == 0 ? reach : (double)(i + 1) * width;
        spread(profile, within(channel, a) * factor, within(channel, b) * factor, count);
    }
    profile->total += (double)n_values;
}

double nw_grid_lowest(const nw_grid *grid)
{
    return -(double)grid->scale * grid->zero_point;
}

double nw_grid_highest(const nw_grid *grid)
{
    return (double)grid->scale * ((1 << grid->bits) - 1 - grid->zero_point);
}

nw_grid nw_grid_make(double lo, double hi, int32_t bits)
{
    assert(bits >= 1 && bits <= 8 && lo <= 0.0 && hi >= 0.0);
    const int32_t top = (1 << bits) - 1;
    nw_grid grid = {.bits = (uint8_t)bits, .zero_point = 0, .scale = 1.0f};
    double scale = (hi - lo) / top;
    if (!(scale >= (double)FLT_MIN)) /* nothing but zeros: any scale will do, but values far below 1 are noise too */
        return grid;
    int32_t zero_point = (int32_t)rint(-lo / scale);
    if (lo < 0.0 && hi > 0.0 && bits > 1)
        zero_point = zero_point < 1 ? 1 : zero_point >= top ? top - 1 : zero_point; /* neither side is lost whole */
    grid.zero_point = (uint8_t)zero_point;
    grid.scale = (float)scale;
    return grid;
}

/** Integral of (x - s rint(x / s))^2 from 0 to x. */
static double error_to(double step, double x)
{
    const double n = rint(x / step);
    const double rest = x - n * step;
    return n * step * step * step / 12.0 + rest * rest * rest / 3.0;
}

/** Integral of s rint(x / s) - x from 0 to x: zero over whole periods. */
static double shift_to(double step, double x)
{
    const double rest = x - rint(x / step) * step;
    return -rest * rest / 2.0;
}

static double clip(double x, double lo, double hi)
{
    return fmin(fmax(x, lo), hi);
}

double nw_grid_error_integral(double step, double lowest, double highest, double a, double b)
{
    const double inside = error_to(step, clip(b, lowest, highest)) - error_to(step, clip(a, lowest, highest));
    const double above_a = fmax(a, highest) - highest;
    const double above_b = fmax(b, highest) - highest;
    const double below_a = lowest - fmin(a, lowest);
    const double below_b = lowest - fmin(b, lowest);
    return inside + (above_b * above_b * above_b - above_a * above_a * above_a) / 3.0 +
           (below_a * below_a * below_a - below_b * below_b * below_b) / 3.0;
}

double nw_grid_shift_integral(double step, double lowest, double highest, double a, double b)
{
    const double inside = shift_to(step, clip(b, lowest, highest)) - shift_to(step, clip(a, lowest, highest));
    const double above_a = fmax(a, highest) - highest;
    const double above_b = fmax(b, highest) - highest;
    const double below_a = lowest - fmin(a, lowest);
    const double below_b = lowest - fmin(b, lowest);
    return inside - (above_b * above_b - above_a * above_a) / 2.0 + (below_a * below_a - below_b * below_b) / 2.0;
}

double nw_profile_error(const nw_profile *profile, const nw_grid *grid)
{
    const double lowest = nw_grid_lowest(grid);
    const double highest = nw_grid_highest(grid);
    const bool inner_known = (double)grid->scale >= 2.0 * profile->width;
    double error = inner_known ? profile->inner_squares : 0.0;
    for (int32_t i = 0; i < NW_PROFILE_BINS; i++) {
        const bool inner = profile->first + i == 0 || profile->first + i == -1;
        if (profile->mass[i] == 0.0 || (inner && inner_known))
            continue;
        const double a = (double)(profile->first + i) * profile->width;
        error += profile->mass[i] *
                 nw_grid_error_integral((double)grid->scale, lowest, highest, a, a + profile->width) / profile->width;
    }
    return error;
}

/** The value below which the share `p` of all values lies; zeros sit at 0. */
static double quantile(const nw_profile *profile, double p)
{
    double below = 0.0;
    double nonzero = 0.0;
    for (int32_t i = 0; i < NW_PROFILE_BINS; i++)
        nonzero += profile->mass[i];
    const double zeros = profile->total - nonzero;
    const double wanted = p * profile->total;
    for (int32_t i = 0; i < NW_PROFILE_BINS; i++) {
        if (profile->first + i == 0) {
            if (below + zeros >= wanted)
                return 0.0;
            below += zeros;
        }
        if (profile->mass[i] > 0.0 && below + profile->mass[i] >= wanted)
            return ((double)(profile->first + i) + (wanted - below) / profile->mass[i]) * profile->width;
        below += profile->mass[i];
    }
    return profile->hi;
}

typedef struct choice {
    nw_grid grid;
    double lo, hi, error;
} choice;

static void try_range(choice *best, const nw_profile *profile, double lo, double hi, int32_t bits)
{
    const nw_grid grid = nw_grid_make(lo, hi, bits);
    const double error = nw_profile_error(profile, &grid);
    if (error < best->error)
        *best = (choice){grid, lo, hi, error};
}

/** Shrinks both ends together, then each alone around the best found, twice. */
static nw_grid search_mse(const nw_profile *profile, int32_t bits)
{
    choice best = {.error = INFINITY};
    try_range(&best, profile, profile->lo, profile->hi, bits);
    for (int32_t i = SEARCH_STEPS - 1; i >= 0; i--) {
        const double share = SEARCH_LOWEST + (1.0 - SEARCH_LOWEST) * i / SEARCH_STEPS;
        try_range(&best, profile, share * profile->lo, share * profile->hi, bits);
    }
    if (profile->lo == 0.0 || profile->hi == 0.0)
        return best.grid;
    for (int32_t pass = 0; pass < 2; pass++) {
        for (int32_t i = SEARCH_STEPS; i >= 0; i--)
            try_range(&best, profile, profile->lo * i / SEARCH_STEPS, best.hi, bits);
        for (int32_t i = SEARCH_STEPS; i >= 0; i--)
            try_range(&best, profile, best.lo, profile->hi * i / SEARCH_STEPS, bits);
    }
    return best.grid;
}

nw_grid nw_range_choose(const nw_profile *profile, int32_t bits, nw_range_method method, double percentile)
{
    if ((method == NW_RANGE_MSE || method == NW_RANGE_OUTPUT) && profile->hi > profile->lo)
        return search_mse(profile, bits);
    double lo = profile->lo;
    double hi = profile->hi;
    if (method == NW_RANGE_PERCENTILE && profile->total > 0.0) {
        lo = fmin(0.0, fmax(lo, quantile(profile, 1.0 - percentile)));
        hi = fmax(0.0, fmin(hi, quantile(profile, percentile)));
        if (lo == 0.0 && hi == 0.0) { /* more zeros than the percentile leaves room for */
            lo = profile->lo;
            hi = profile->hi;
        }
    }
    return nw_grid_make(lo, hi, bits);
}
