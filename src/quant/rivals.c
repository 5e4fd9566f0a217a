/* SPDX-License-Identifier: Apache-2.0 */
/* See rivals.h. */
#include "quant/rivals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/weights.h"

#define BREAK_POINTS 32

/* further points by chance */

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double nw_points_draw(uint8_t *points, const nw_multipoint_channel *channels, size_t n, double budget, uint64_t seed)
{
    double cost = 0.0;
    memset(points, 1, n);
    for (size_t tries = 0; n > 0 && tries < 20 * n; tries++) {
        const size_t i = (size_t)(next_random(&seed) % n);
        if (points[i] > 1 || cost + channels[i].cost > budget)
            continue;
        points[i] = 2;
        cost += channels[i].cost;
    }
    return cost;
}

/* piecewise linear */

/** Rounds the weights on one side of the break point and sets the others to 0; returns their weighted squared error. */
static double round_piece(int8_t *codes, const double *w, int32_t k, const nw_code_book *book, double step, double at,
                          bool above, const double *importance)
{
    double error = 0.0;
    for (int32_t j = 0; j < k; j++) {
        codes[j] = 0;
        if ((fabs(w[j]) > at) != above)
            continue;
        if (step > 0.0)
            codes[j] = (int8_t)nw_code_book_nearest(book, w[j] / step);
        const double rest = w[j] - step * codes[j];
        error += (importance ? importance[j] : 1.0) * rest * rest;
    }
    return error;
}

nw_status nw_piecewise_row(int8_t *codes, double *steps, const double *w, int32_t k, const nw_code_book *book,
                           const double *importance)
{
    int8_t *trial = malloc(2 * (size_t)k);
    if (!trial)
        return NW_ERROR_MEMORY;
    double largest = 0.0;
    for (int32_t j = 0; j < k; j++)
        largest = fmax(largest, fabs(w[j]));
    const double coarse = largest / book->limit;
    double best = INFINITY;
    for (int32_t i = 1; i <= BREAK_POINTS; i++) {
        const double at = largest * i / BREAK_POINTS;
        const double fine = at / book->limit;
        const double error = round_piece(trial, w, k, book, fine, at, false, importance) +
                             round_piece(trial + k, w, k, book, coarse, at, true, importance);
        if (!(error < best))
            continue;
        best = error;
        steps[0] = fine;
        steps[1] = coarse;
        memcpy(codes, trial, 2 * (size_t)k);
    }
    free(trial);
    return NW_OK;
}

/* outlier channel splitting */

typedef struct column {
    double largest;
    int32_t channel;
} column;

static int descending(const void *a, const void *b)
{
    const column *x = a;
    const column *y = b;
    if (x->largest != y->largest)
        return x->largest < y->largest ? 1 : -1;
    return x->channel - y->channel;
}

nw_status nw_split_columns(bool *split, const double *w, int32_t n_rows, int32_t k, int32_t group_inputs, double share)
{
    column *columns = malloc((size_t)group_inputs * sizeof(*columns));
    if (!columns)
        return NW_ERROR_MEMORY;
    for (int32_t c = 0; c < group_inputs; c++)
        columns[c] = (column){0.0, c};
    for (int32_t row = 0; row < n_rows; row++)
        for (int32_t j = 0; j < k; j++) {
            column *of = &columns[j % group_inputs];
            of->largest = fmax(of->largest, fabs(w[(size_t)row * (size_t)k + (size_t)j]));
        }
    qsort(columns, (size_t)group_inputs, sizeof(*columns), descending);
    const int32_t n = (int32_t)ceil(share * group_inputs);
    memset(split, 0, (size_t)k * sizeof(*split));
    for (int32_t i = 0; i < n && i < group_inputs; i++)
        for (int32_t j = columns[i].channel; j < k; j += group_inputs)
            split[j] = true;
    free(columns);
    return NW_OK;
}

nw_status nw_split_row(int8_t *codes, double *steps, const double *w, int32_t k, const nw_code_book *book,
                       const bool *split, const double *importance)
{
    const size_t n = (size_t)k;
    double *halves = calloc(2 * n, sizeof(*halves));
    double *weight = calloc(2 * n, sizeof(*weight));
    int8_t *scratch = malloc(2 * n);
    nw_status status = halves && weight && scratch ? NW_OK : NW_ERROR_MEMORY;
    int32_t m = k;
    for (int32_t j = 0; !status && j < k; j++) { /* the row as the splitting leaves it: its grid is found on it */
        halves[j] = split[j] ? w[j] / 2.0 : w[j];
        weight[j] = importance ? importance[j] : 1.0;
        if (!split[j])
            continue;
        halves[m] = halves[j];
        weight[m++] = weight[j];
    }
    if (!status) {
        const double step = nw_weights_quantize_row(scratch, halves, m, book, NW_WEIGHTS_OUTPUT, weight);
        steps[0] = steps[1] = step;
        memset(codes, 0, 2 * n);
        for (int32_t j = 0; step > 0.0 && j < k; j++) {
            const double shift = split[j] ? 0.25 : 0.0;
            codes[j] = (int8_t)nw_code_book_nearest(book, halves[j] / step - shift);
            if (split[j])
                codes[n + (size_t)j] = (int8_t)nw_code_book_nearest(book, halves[j] / step + shift);
        }
    }
    free(halves);
    free(weight);
    free(scratch);
    return status;
}
