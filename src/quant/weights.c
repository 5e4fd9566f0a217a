/* SPDX-License-Identifier: Apache-2.0 */
/* See weights.h. Called by scheme.c for every linear node. */
#include "quant/weights.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define SEARCH_STEPS 40   /* candidates of the step search */
#define EXACT_LIMIT 7     /* codes up to which the step is always searched exactly: 4 bits */
#define EXACT_POINTS 10000 /* break points up to which it is too: short rows gain most, and cost least */

int32_t nw_weights_limit(int32_t bits)
{
    assert(bits >= 1 && bits <= 8);
    return bits == 1 ? 1 : (1 << (bits - 1)) - 1;
}

static int8_t code_of(double w, double inverse_step, int32_t limit)
{
    const double code = rint(w * inverse_step);
    return (int8_t)(code > limit ? limit : code < -limit ? -limit : code);
}

void nw_weights_round_row(int8_t *q, const double *w, int32_t k, int32_t bits, double step)
{
    const int32_t limit = nw_weights_limit(bits);
    for (int32_t j = 0; j < k; j++)
        q[j] = bits == 1 ? (int8_t)(w[j] < 0.0 ? -1 : 1) : code_of(w[j], 1.0 / step, limit);
}

/** Weighted squared error of a row for one step; *fit is the step that suits the codes best. */
static double row_error(const double *w, int32_t k, int32_t limit, double step, const double *importance, double *fit)
{
    double error = 0.0;
    double cross = 0.0;
    double square = 0.0;
    for (int32_t j = 0; j < k; j++) {
        const double code = code_of(w[j], 1.0 / step, limit);
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
static double search_grid(const double *w, int32_t k, int32_t limit, double largest, const double *importance)
{
    const double lowest = limit > 31 ? 0.5 : 0.3; /* the more codes, the less clipping pays */
    double best_step = largest;
    double fit;
    double best_error = row_error(w, k, limit, largest, importance, &fit);
    for (int32_t i = SEARCH_STEPS; i >= 0; i--) {
        double step = largest * (lowest + (1.0 - lowest) * i / SEARCH_STEPS);
        for (int32_t refine = 0; refine < 2; refine++) {
            const double error = row_error(w, k, limit, step, importance, &fit);
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

/** Where the code of one weight goes up by one as the step falls. */
typedef struct break_point {
    double step;
    int32_t index;
} break_point;

static int descending(const void *a, const void *b)
{
    const break_point *x = a;
    const break_point *y = b;
    if (x->step != y->step)
        return x->step < y->step ? 1 : -1;
    return x->index - y->index;
}

/**
 * Few codes or a short row: the best step exactly. While the step falls past |w_j| / (c + 1/2), code j goes from c to c
 * + 1; for fixed codes z the best step is <|w|, z> / <z, z> and its gain <|w|, z>^2 / <z, z>, so walking all k * limit
 * break points sees every candidate. Returns 0 without memory.
 */
static double search_break_points(const double *w, int32_t k, int32_t limit, const double *importance)
{
    const size_t n = (size_t)k * (size_t)limit;
    break_point *points = malloc((n + 1) * sizeof(*points));
    int32_t *code = calloc((size_t)k + 1, sizeof(*code));
    double best_step = 0.0;
    double best_gain = 0.0;
    double cross = 0.0;
    double square = 0.0;
    for (size_t i = 0; points && i < n; i++) {
        const int32_t j = (int32_t)(i / (size_t)limit);
        points[i] = (break_point){fabs(w[j]) / ((double)(i % (size_t)limit) + 0.5), j};
    }
    if (points)
        qsort(points, n, sizeof(*points), descending);
    for (size_t i = 0; points && code && i < n && points[i].step > 0.0; i++) {
        const int32_t j = points[i].index;
        const double weight = importance ? importance[j] : 1.0;
        cross += weight * fabs(w[j]);
        square += weight * (2.0 * code[j] + 1.0);
        code[j]++;
        if (square > 0.0 && cross * cross / square > best_gain) {
            best_gain = cross * cross / square;
            best_step = cross / square;
        }
    }
    free(points);
    free(code);
    return best_step;
}

static double search_step(const double *w, int32_t k, int32_t limit, double largest, const double *importance)
{
    const bool few = limit <= EXACT_LIMIT || (int64_t)k * limit <= EXACT_POINTS;
    const double exact = few ? search_break_points(w, k, limit, importance) : 0.0;
    return exact > 0.0 ? exact : search_grid(w, k, limit, largest, importance);
}

/** One bit: the best step for signs is the (weighted) mean magnitude. */
static double sign_step(const double *w, int32_t k, const double *importance)
{
    double sum = 0.0;
    double total = 0.0;
    for (int32_t j = 0; j < k; j++) {
        const double weight = importance ? importance[j] : 1.0;
        sum += weight * fabs(w[j]);
        total += weight;
    }
    return total > 0.0 ? sum / total : 0.0;
}

double nw_weights_quantize_row(int8_t *q, const double *w, int32_t k, int32_t bits, nw_weight_method method,
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
    const int32_t limit = nw_weights_limit(bits);
    double step = largest / limit;
    if (!(step >= 0x1p-120)) { /* zeros, or so near to zero that no multiplier could tell */
        for (int32_t j = 0; j < k; j++)
            q[j] = bits == 1 ? 1 : 0;
        return 0.0;
    }
    if (bits == 1)
        step = method == NW_WEIGHTS_MIN_MAX ? sign_step(w, k, NULL) : sign_step(w, k, importance);
    else if (method != NW_WEIGHTS_MIN_MAX)
        step = search_step(w, k, limit, step, importance);
    nw_weights_round_row(q, w, k, bits, step);
    return step;
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
