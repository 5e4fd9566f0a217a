/* SPDX-License-Identifier: Apache-2.0 */
/* See shared_step.h. Called by linear.c and trial.c. */
#include "quant/shared_step.h"

#include <math.h>
#include <stdlib.h>

#define MOST_WEIGHTS (1 << 20) /* that decide */
#define ROUNDS 16              /* of the search for d; error ~ d^2, so few are needed */
#define CLOSE 1e-4

/** Rows that decide: w and importance [n, k], unit[r] = 1 / sqrt(mean importance) or 0, scratch for codes. */
typedef struct sample {
    int32_t n, k;
    double *w, *importance, *unit;
    int8_t *q;
} sample;

/** Looks at importance, as the step of a row does; returns the row's unit. */
static double unit_of(double *importance, int32_t k, bool matters)
{
    double sum = 0.0;
    for (int32_t j = 0; j < k; j++) {
        importance[j] = matters ? importance[j] : 1.0;
        sum += importance[j];
    }
    return sum > 0.0 ? 1.0 / sqrt(sum / k) : 0.0;
}

static double error_of(const double *w, const double *importance, const int8_t *q, int32_t k, double step)
{
    double error = 0.0;
    for (int32_t j = 0; j < k; j++) {
        const double rest = w[j] - step * q[j];
        error += importance[j] * rest * rest;
    }
    return error;
}

/** Noise of all rows: with step d * unit, or, for d = 0, with the step that suits each. */
static double noise(const sample *s, const nw_code_book *book, nw_weight_method method, double d)
{
    double sum = 0.0;
    for (int32_t r = 0; r < s->n; r++) {
        const size_t at = (size_t)r * (size_t)s->k;
        nw_code_book given = *book;
        given.step = d * s->unit[r];
        if (!(s->unit[r] > 0.0))
            continue;
        const double step = nw_weights_quantize_row(s->q, s->w + at, s->k, &given, method, s->importance + at);
        sum += error_of(s->w + at, s->importance + at, s->q, s->k, step);
    }
    return sum;
}

/** The largest magnitude over all rows, in units: at this d nearly everything is 0. */
static double largest(const sample *s)
{
    double most = 0.0;
    for (int32_t r = 0; r < s->n; r++)
        for (int32_t j = 0; j < s->k && s->unit[r] > 0.0; j++)
            most = fmax(most, fabs(s->w[(size_t)r * (size_t)s->k + (size_t)j]) / s->unit[r]);
    return most;
}

static double find(const sample *s, const nw_code_book *book, nw_weight_method method)
{
    const nw_code_book uniform = nw_code_book_make(NW_BOOK_UNIFORM, book->bits);
    const double wanted = noise(s, &uniform, method, 0.0);
    const double most = largest(s);
    double d = most / uniform.limit;
    if (!(wanted > 0.0 && d > 0.0))
        return 0.0;
    for (int32_t i = 0; i < ROUNDS; i++) {
        const double found = noise(s, book, method, d);
        const double factor = found > 0.0 ? sqrt(wanted / found) : 2.0;
        d = fmin(d * fmin(fmax(factor, 0.25), 4.0), most);
        if (fabs(factor - 1.0) < CLOSE)
            break;
    }
    return d;
}

/** The largest magnitude of the layer. @param scratch  [2, k] */
static double largest_weight(const nw_scheme *scheme, int32_t node, const nw_linear_shape *shape, double *scratch)
{
    double most = 0.0;
    for (int32_t o = 0; o < shape->n_channels; o++) {
        nw_scheme_row(scratch, scratch + shape->k, scheme, node, o);
        for (int32_t j = 0; j < shape->k; j++)
            most = fmax(most, fabs(scratch[j]));
    }
    return most;
}

static void sample_free(sample *s)
{
    free(s->w);
    free(s->importance);
    free(s->unit);
    free(s->q);
}

static nw_status sample_take(sample *s, const nw_scheme *scheme, int32_t node, const nw_linear_shape *shape,
                             bool matters)
{
    const int64_t n_weights = (int64_t)shape->n_channels * shape->k;
    const int32_t stride = (int32_t)((n_weights + MOST_WEIGHTS - 1) / MOST_WEIGHTS);
    const size_t k = (size_t)shape->k;
    const size_t n = (size_t)((shape->n_channels + stride - 1) / stride);
    *s = (sample){.n = (int32_t)n, .k = shape->k};
    s->w = malloc(n * k * sizeof(*s->w));
    s->importance = malloc(n * k * sizeof(*s->importance));
    s->unit = malloc(n * sizeof(*s->unit));
    s->q = malloc(n * k);
    if (!s->w || !s->importance || !s->unit || !s->q)
        return NW_ERROR_MEMORY;
    for (int32_t r = 0; r < s->n; r++) {
        const size_t at = (size_t)r * k;
        nw_scheme_row(s->w + at, s->importance + at, scheme, node, r * stride);
        s->unit[r] = unit_of(s->importance + at, shape->k, matters);
    }
    return NW_OK;
}

/**
 * A step beyond which every rounding of the row gives zeros, whatever it carries from weight to weight: the input of a
 * channel that hardly ever varies says nothing of its weights' step, and an immense one is no factor between codes.
 */
static double widest(const double *row, int32_t k)
{
    double sum = 0.0;
    for (int32_t j = 0; j < k; j++)
        sum += fabs(row[j]);
    return 2.0 * sum;
}

nw_status nw_shared_steps(double *steps, const nw_scheme *scheme, int32_t node, const nw_code_book *book)
{
    const nw_node *from = &scheme->model->nodes[node];
    const nw_linear_shape shape = nw_linear_shape_of(from, &scheme->model->tensors[from->inputs[1]]);
    const nw_weight_method method = scheme->options->weight_range;
    const bool matters = method == NW_WEIGHTS_OUTPUT;
    const size_t k = (size_t)shape.k;
    double *scratch = malloc((2 * k + 1) * sizeof(*scratch));
    sample s = {0};
    nw_status status = scratch ? sample_take(&s, scheme, node, &shape, matters) : NW_ERROR_MEMORY;
    const bool per_tensor = book->kind == NW_BOOK_PER_TENSOR;
    const bool min_max = per_tensor && method == NW_WEIGHTS_MIN_MAX && book->bits > 1;
    double d = 0.0;
    if (!status)
        d = min_max      ? largest_weight(scheme, node, &shape, scratch) / book->limit
            : per_tensor ? nw_weights_quantize_row(s.q, s.w, s.n * s.k, book, method, s.importance)
                         : find(&s, book, method);
    for (int32_t o = 0; !status && o < shape.n_channels; o++) {
        nw_scheme_row(scratch, scratch + k, scheme, node, o);
        const double step = per_tensor ? d : d * unit_of(scratch + k, shape.k, matters);
        steps[o] = book->bits == 1 ? step : fmin(step, widest(scratch, shape.k));
    }
    sample_free(&s);
    free(scratch);
    return status;
}
