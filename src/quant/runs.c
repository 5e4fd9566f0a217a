/* SPDX-License-Identifier: Apache-2.0 */
/* See runs.h. The AVX2 form stands for all: 16 channels by 4 columns a step, two products a lane. */
#include "quant/runs.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define ROWS 16
#define LANES (2 * ROWS)
#define FIRST_FIT 1.3 /* runs that choose among waiting steps are this much longer than runs in order */
#define WIDE_COST 1.3 /* of a step in 32-bit products: int32 sums reach 1.3 times its speed */

typedef struct lanes {
    double high[LANES], low[LANES];
} lanes;

static double narrowed(int32_t weight, const double *alpha, int32_t row)
{
    return alpha && alpha[row] > 1.0 ? rint(weight / alpha[row]) : weight;
}

/** Ranges of the lanes of the step at column `at`. */
static void bound_step(lanes *step, const nw_run_rows *rows, int32_t row, int32_t n, int32_t at, double scale)
{
    memset(step, 0, sizeof(*step));
    for (int32_t r = 0; r < n; r++)
        for (int32_t j = at; j < at + 4 && j < rows->k; j++) {
            const double w = narrowed(rows->weights[(size_t)(row + r) * (size_t)rows->k + (size_t)j], rows->alpha,
                                      row + r) * scale;
            const double a = w * rows->lo[j];
            const double b = w * rows->hi[j];
            const int32_t lane = 2 * r + (j - at) / 2;
            step->high[lane] += a > b ? a : b;
            step->low[lane] += a > b ? b : a;
        }
}

static bool joins(lanes *total, const lanes *step)
{
    bool fits = true;
    lanes sum;
    for (int32_t i = 0; i < LANES; i++) {
        sum.high[i] = total->high[i] + step->high[i];
        sum.low[i] = total->low[i] + step->low[i];
        fits &= sum.high[i] <= INT16_MAX && sum.low[i] >= INT16_MIN;
    }
    if (fits)
        *total = sum;
    return fits;
}

void nw_runs_forecast(nw_run_forecast *forecast, const nw_run_rows *rows, double scale)
{
    for (int32_t row = 0; row < rows->n_rows; row += ROWS) {
        const int32_t n = rows->n_rows - row < ROWS ? rows->n_rows - row : ROWS;
        lanes total = {0};
        bool open = false;
        double length = 0.0;
        for (int32_t at = 0; at < rows->k; at += 4) {
            lanes step;
            bound_step(&step, rows, row, n, at, scale);
            forecast->steps += 1.0;
            if (open && joins(&total, &step)) {
                forecast->longest = fmax(forecast->longest, ++length);
                continue;
            }
            total = (lanes){0};
            open = joins(&total, &step);
            length = open ? 1.0 : 0.0;
            forecast->longest = fmax(forecast->longest, length);
            forecast->runs += open;
            forecast->wide += !open;
        }
    }
}

double nw_runs_length(const nw_run_forecast *forecast)
{
    const double steps = forecast->steps - forecast->wide;
    return forecast->runs > 0.0 ? fmax(1.0, fmin(steps, FIRST_FIT * steps / forecast->runs)) : 0.0;
}

/** Speed of runs over int32 sums, measured with real weights: 1.05 at 3 steps, 1.32 at 8, 1.37 at 13, 1.42 at 36. */
static double speed_of(double run)
{
    static const double lengths[] = {1.0, 3.0, 8.0, 13.0, 36.0};
    static const double speeds[] = {0.95, 1.05, 1.32, 1.37, 1.42};
    for (int32_t i = 1; i < 5; i++)
        if (run < lengths[i]) {
            const double share = (run - lengths[i - 1]) / (lengths[i] - lengths[i - 1]);
            return speeds[i - 1] + share * (speeds[i] - speeds[i - 1]);
        }
    return speeds[4];
}

double nw_runs_cost(const nw_run_forecast *forecast)
{
    if (!(forecast->steps > 0.0))
        return 1.0;
    const double wide = forecast->wide / forecast->steps;
    const double run = nw_runs_length(forecast);
    return wide * WIDE_COST + (run > 0.0 ? (1.0 - wide) / speed_of(run) : 0.0);
}
