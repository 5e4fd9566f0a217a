/* SPDX-License-Identifier: Apache-2.0 */
/* See multipoint.h. Called by row.c and reconstruct.c. */
#include "quant/multipoint.h"

#include <math.h>
#include <stdlib.h>

#include "quant/weights.h"

/** Where code `index` goes up by one as the coefficient falls. */
typedef struct break_point {
    double at;
    int32_t index;
} break_point;

static int descending(const void *a, const void *b)
{
    const break_point *x = a;
    const break_point *y = b;
    if (x->at != y->at)
        return x->at < y->at ? 1 : -1;
    return x->index - y->index;
}

/** The coefficient of least error for the codes z. */
static double fit(const int8_t *z, const double *r, int32_t k, const double *importance)
{
    double cross = 0.0;
    double square = 0.0;
    for (int32_t j = 0; j < k; j++) {
        const double weight = importance ? importance[j] : 1.0;
        cross += weight * r[j] * z[j];
        square += weight * (double)z[j] * z[j];
    }
    return square > 0.0 && cross > 0.0 ? cross / square : 0.0;
}

/** The best coefficient among all that rounding can lead to; 0 if nothing has weight, -1 without memory. */
static double walk(const double *r, int32_t k, int32_t limit, const double *importance)
{
    const size_t n = (size_t)k * (size_t)limit;
    break_point *points = malloc((n + 1) * sizeof(*points));
    int32_t *code = calloc((size_t)k + 1, sizeof(*code));
    double best = points && code ? 0.0 : -1.0;
    double best_gain = 0.0;
    double cross = 0.0;
    double square = 0.0;
    for (size_t i = 0; best == 0.0 && i < n; i++) {
        const int32_t j = (int32_t)(i / (size_t)limit);
        points[i] = (break_point){fabs(r[j]) / ((double)(i % (size_t)limit) + 0.5), j};
    }
    if (best == 0.0)
        qsort(points, n, sizeof(*points), descending);
    for (size_t i = 0; best >= 0.0 && i < n && points[i].at > 0.0; i++) {
        const int32_t j = points[i].index;
        const double weight = importance ? importance[j] : 1.0;
        cross += weight * fabs(r[j]);
        square += weight * (2.0 * code[j] + 1.0);
        code[j]++;
        if (square > 0.0 && cross * cross / square > best_gain) {
            best_gain = cross * cross / square;
            best = cross / square;
        }
    }
    free(points);
    free(code);
    return best;
}

double nw_multipoint_step(int8_t *z, const double *r, int32_t k, int32_t bits, const double *importance)
{
    double a = 0.0;
    if (bits > 1)
        a = walk(r, k, nw_weights_limit(bits), importance);
    if (bits > 1 && !(a > 0.0)) {
        for (int32_t j = 0; j < k; j++)
            z[j] = 0;
        return a;
    }
    nw_weights_round_row(z, r, k, bits, a);
    return fit(z, r, k, importance);
}

static uint8_t points_of(const nw_multipoint_channel *channel, double threshold)
{
    for (int p = 0; p < NW_MAX_POINTS; p++)
        if (channel->error[p] <= threshold)
            return (uint8_t)(p + 1);
    return NW_MAX_POINTS;
}

static double spend(uint8_t *points, const nw_multipoint_channel *channels, size_t n, double threshold)
{
    double cost = 0.0;
    for (size_t i = 0; i < n; i++) {
        points[i] = points_of(&channels[i], threshold);
        cost += (points[i] - 1) * channels[i].cost;
    }
    return cost;
}

double nw_multipoint_allocate(uint8_t *points, const nw_multipoint_channel *channels, size_t n, double budget)
{
    double high = 1e-12;
    for (size_t i = 0; i < n; i++)
        high = fmax(high, channels[i].error[0]);
    double low = high * 1e-12;
    if (spend(points, channels, n, low) <= budget)
        return spend(points, channels, n, low);
    for (int i = 0; i < 60; i++) { /* the threshold's order of magnitude is unknown: bisect its logarithm */
        const double middle = sqrt(low * high);
        if (spend(points, channels, n, middle) <= budget)
            high = middle;
        else
            low = middle;
    }
    return spend(points, channels, n, high);
}
