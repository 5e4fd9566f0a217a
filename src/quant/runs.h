/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prediction: how long sums stay in 16 bits, and what that is worth. The kernels' own certificates (kernels/runs.h)
 * decide when the network is loaded; the quantizer only has to guess well enough to choose ranges (sums.c).
 *
 *     nw_run_forecast forecast = {0};
 *     nw_runs_forecast(&forecast, &rows, 1.0);
 *     nw_runs_cost(&forecast)                     // 1: int32 sums throughout
 */
#ifndef NARROW_QUANT_RUNS_H
#define NARROW_QUANT_RUNS_H

#include <stdint.h>

/** Rows of a layer that meet the same inputs: one group. */
typedef struct nw_run_rows {
    const int8_t *weights;   /* [n_rows, k] */
    const double *alpha;     /* [n_rows] weights are divided by it and rounded first; NULL: 1 */
    int32_t n_rows, k;
    const int32_t *lo, *hi;  /* [k] codes that can meet column k */
} nw_run_rows;

typedef struct nw_run_forecast {
    double steps;      /* of 4 columns by 16 rows, all of the layer */
    double wide;       /* of them: two products leave 16 bits, so they are formed in 32 */
    double runs;       /* that the others fall into */
    double longest;    /* steps of the longest */
} nw_run_forecast;

/**
 * Cuts the rows into runs in the order of k, greedily; a pair of products is a lane, 16 rows share the ends of runs.
 * Adds to *forecast.
 *
 * @param scale  products are this much larger than weights and codes say: other widths without rounding again
 */
void nw_runs_forecast(nw_run_forecast *forecast, const nw_run_rows *rows, double scale);

/** Mean length of a run as first fit makes them; 0 without runs. */
double nw_runs_length(const nw_run_forecast *forecast);

/** Time per step, 1: int32 sums. */
double nw_runs_cost(const nw_run_forecast *forecast);

#endif
