/* SPDX-License-Identifier: Apache-2.0 */
/* See weights.h. Called by scheme.c for every linear node. */
#include "quant/weights.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define SEARCH_STEPS 40    /* candidates of the step search */
#define EXACT_LEVELS 7     /* magnitudes up to which the step is always searched exactly: 4 bits */
#define EXACT_POINTS 10000 /* break points up to which it is too: short rows gain most, and cost least */

/** Weighted squared error of a row for one step; *fit is the step that suits the codes best. */
static double row_error(const double *w, int32_t k, const nw_code_book *book, double step, const double *importance,
                        double *fit)
{
    double error = 0.0;
    double cross = 0.0;
    double square = 0.0;
    for (int32_t j = 0; j < k; j++) {
        const double code = nw_code_book_nearest(book, w[j] / step);
        const double weight = importance ? importance[j] : 1.0;
        const double rest = w[j] - step * code;
        error += weight * rest * rest;
        cross += weight * w[j] * code;
        square += weight * code * code;
    }
    *fit = square > 0.0 ? cross / square : step;
    return error;
}

/** Many codes: tries steps down to a share of the largest, and for each the best fit to the codes it gives. */
static double search_grid(const double *w, int32_t k, const nw_code_book *book, double largest,
                          const double *importance)
{
    const double lowest = book->limit > 31 ? 0.5 : 0.3; /* the more codes, the less clipping pays */
    double best_step = largest;
    double fit;
    double best_error = row_error(w, k, book, largest, importance, &fit);
    for (int32_t i = SEARCH_STEPS; i >= 0; i--) {
        double step = largest * (lowest + (1.0 - lowest) * i / SEARCH_STEPS);
        for (int32_t refine = 0; refine < 2; refine++) {
            const double error = row_error(w, k, book, step, importance, &fit);
            if (error < best_error) {
                best_error = error;
                best_step = step;
            }
            if (!(fit > 0.0))
                break;
            step = fit;
        }
    }
    return best_step;
}

static double search_step(const double *w, int32_t k, const nw_code_book *book, double largest,
                          const double *importance)
{
    const bool few =
        book->n_levels - 1 <= EXACT_LEVELS || (int64_t)k * (book->n_levels - 1) <= EXACT_POINTS || book->levels;
    const double exact = few ? nw_code_book_step(w, k, book, importance) : 0.0;
    return exact > 0.0 ? exact : search_grid(w, k, book, largest, importance);
}

double nw_weights_quantize_row(int8_t *q, const double *w, int32_t k, const nw_code_book *book, nw_weight_method method,
                               const double *importance)
{
    double largest = 0.0;
    for (int32_t j = 0; j < k; j++)
        largest = fmax(largest, fabs(w[j]));
    double total = 0.0;
    for (int32_t j = 0; importance && j < k; j++)
        total += importance[j];
    if (method != NW_WEIGHTS_OUTPUT || !(total > 0.0))
        importance = NULL;
    double step = largest / book->limit;
    if (!(step >= 0x1p-120)) { /* zeros, or so near to zero that no multiplier could tell */
        for (int32_t j = 0; j < k; j++)
            q[j] = book->bits == 1 ? 1 : 0;
        return 0.0;
    }
    if (book->step > 0.0)
        step = book->kind == NW_BOOK_PER_TENSOR ? book->step : fmax(step, book->step);
    else if (book->bits == 1)
        step = nw_code_book_step(w, k, book, importance);
    else if (method != NW_WEIGHTS_MIN_MAX)
        step = search_step(w, k, book, step, importance);
    nw_code_book_round(q, w, k, book, step);
    return step;
}

int32_t nw_weights_least_bits(const int8_t *q, size_t n)
{
    int32_t largest = 1;
    int32_t bits = 2;
    for (size_t i = 0; i < n; i++)
        largest = abs(q[i]) > largest ? abs(q[i]) : largest;
    while (largest > (1 << (bits - 1)) - 1)
        bits++;
    return bits;
}

nw_linear_shape nw_linear_shape_of(const nw_node *node, const nw_tensor *weights)
{
    const bool transpose = node->op == NW_OP_CONV_TRANSPOSE;
    nw_linear_shape shape;
    shape.taps = weights->rank == 4 ? weights->dims[2] * weights->dims[3] : 1;
    if (transpose) {
        shape.group_outputs = weights->dims[1];
        shape.n_channels = weights->dims[1] * node->groups;
        shape.group_inputs = weights->dims[0] / node->groups;
    } else {
        shape.n_channels = weights->dims[0];
        shape.group_outputs = weights->dims[0] / node->groups;
        shape.group_inputs = weights->dims[1];
    }
    shape.k = shape.taps * shape.group_inputs;
    return shape;
}

int32_t nw_linear_input_channel(const nw_linear_shape *shape, int32_t o, int32_t index)
{
    return o / shape->group_outputs * shape->group_inputs + index % shape->group_inputs;
}

size_t nw_weights_index(const nw_linear_shape *shape, bool transpose, int32_t o, int32_t index)
{
    const size_t tap = (size_t)(index / shape->group_inputs);
    const size_t taps = (size_t)shape->taps;
    if (transpose) {
        const size_t input = (size_t)nw_linear_input_channel(shape, o, index);
        return (input * (size_t)shape->group_outputs + (size_t)(o % shape->group_outputs)) * taps + tap;
    }
    const size_t c = (size_t)(index % shape->group_inputs);
    return ((size_t)o * (size_t)shape->group_inputs + c) * taps + tap;
}

void nw_weights_row(double *row, const nw_node *node, const nw_tensor *weights, int32_t o)
{
    const nw_linear_shape shape = nw_linear_shape_of(node, weights);
    for (int32_t index = 0; index < shape.k; index++)
        row[index] = (double)weights->data[nw_weights_index(&shape, node->op == NW_OP_CONV_TRANSPOSE, o, index)];
}
