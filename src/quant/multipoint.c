/* SPDX-License-Identifier: Apache-2.0 */
/* See multipoint.h. Called by row.c and reconstruct.c. */
#include "quant/multipoint.h"

#include <math.h>
#include <stdlib.h>

#include "quant/weights.h"

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

double nw_multipoint_step(int8_t *z, const double *r, int32_t k, const nw_code_book *book, const double *importance)
{
    const double a = nw_code_book_step(r, k, book, importance);
    if (book->bits > 1 && !(a > 0.0)) {
        for (int32_t j = 0; j < k; j++)
            z[j] = 0;
        return a;
    }
    nw_code_book_round(z, r, k, book, a);
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
