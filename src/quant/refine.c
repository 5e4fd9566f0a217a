/* SPDX-License-Identifier: Apache-2.0 */
/* See refine.h. Called by reconstruct.c for every row of every layer. */
#include "quant/refine.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/multipoint.h"

#define MAX_ROUNDS 30 /* codes and steps in turn; nearly all rows are at rest after five */

/* Multiples of the step of nearest rounding that error feedback starts from: with feedback more clipping pays. */
static const double STARTS[NW_MAX_STARTS] = {1.0, 0.92, 1.08, 0.84, 1.16, 0.76};

/** gradient = gram v - cross: half the derivative of the error. */
static void set_gradient(double *gradient, const nw_row_target *target, const double *v)
{
    const size_t k = (size_t)target->k;
    for (size_t i = 0; i < k; i++)
        gradient[i] = -target->cross[i];
    for (size_t j = 0; j < k; j++) {
        const double *row = target->gram + j * k; /* symmetric: row j is column j */
        for (size_t i = 0; v[j] != 0.0 && i < k; i++)
            gradient[i] += row[i] * v[j];
    }
}

/**
 * One sweep over all codes of point p; returns by how much the error fell.
 *
 * @param products  [n_points, k] gram * codes of every point, kept up to date: half the derivative of the error by v_j
 * is sum_p step_p products_p[j] - cross_j
 */
static double sweep(int8_t *q, double *products, const double *steps, int32_t n_points, int32_t p,
                    const nw_code_book *book, const nw_row_target *target)
{
    const size_t k = (size_t)target->k;
    const double step = steps[p];
    double *own = products + (size_t)p * k;
    double fallen = 0.0;
    for (size_t j = 0; j < k; j++) {
        const double *row = target->gram + j * k;
        const double curvature = step * step * row[j];
        if (!(curvature > 0.0))
            continue;
        double slope = -target->cross[j];
        for (int32_t r = 0; r < n_points; r++)
            slope += steps[r] * products[(size_t)r * k + j];
        const int32_t change = nw_code_book_nearest(book, q[j] - step * slope / curvature) - q[j];
        const double gain = -(2.0 * change * step * slope + change * change * curvature);
        if (!change || !(gain > 1e-12 * target->energy))
            continue;
        q[j] = (int8_t)(q[j] + change);
        fallen += gain;
        for (size_t i = 0; i < k; i++)
            own[i] += change * row[i];
    }
    return fallen;
}

static void sum_points(double *v, const int8_t *codes, const double *steps, int32_t n_points, int32_t k)
{
    for (int32_t j = 0; j < k; j++) {
        v[j] = 0.0;
        for (int32_t p = 0; p < n_points; p++)
            v[j] += steps[p] * codes[(size_t)p * (size_t)k + (size_t)j];
    }
}

/** Solves the n x n system a x = b in place by elimination; false if it is singular. */
static bool solve(double a[NW_MAX_POINTS][NW_MAX_POINTS], double *b, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (!(a[i][i] > 1e-30))
            return false;
        for (int32_t l = i + 1; l < n; l++) {
            const double share = a[l][i] / a[i][i];
            for (int32_t j = i; j < n; j++)
                a[l][j] -= share * a[i][j];
            b[l] -= share * b[i];
        }
    }
    for (int32_t i = n; i-- > 0;) {
        for (int32_t j = i + 1; j < n; j++)
            b[i] -= a[i][j] * b[j];
        b[i] /= a[i][i];
    }
    return true;
}

static void set_products(double *products, const int8_t *codes, int32_t n_points, const nw_row_target *target)
{
    const size_t k = (size_t)target->k;
    memset(products, 0, (size_t)n_points * k * sizeof(*products));
    for (int32_t p = 0; p < n_points; p++)
        for (size_t j = 0; j < k; j++) {
            const double code = codes[(size_t)p * k + j];
            const double *row = target->gram + j * k; /* symmetric: row j is column j */
            for (size_t i = 0; code != 0.0 && i < k; i++)
                products[(size_t)p * k + i] += row[i] * code;
        }
}

/**
 * Sets the steps of least error for the codes, but for the first n_fixed (0 or 1): the normal equations of the points.
 * Steps stay as they are where these are singular or ask for one that is not positive. Returns the error.
 */
static double fit_steps(const int8_t *codes, double *steps, int32_t n_fixed, int32_t n_points,
                        const nw_row_target *target, const double *products)
{
    const size_t k = (size_t)target->k;
    double a[NW_MAX_POINTS][NW_MAX_POINTS] = {{0}};
    double solved[NW_MAX_POINTS][NW_MAX_POINTS] = {{0}};
    double b[NW_MAX_POINTS] = {0};
    double x[NW_MAX_POINTS] = {0};
    const int32_t n_free = n_points - n_fixed;
    for (int32_t p = 0; p < n_points; p++)
        for (size_t j = 0; j < k; j++) {
            const double code = codes[(size_t)p * k + j];
            b[p] += code * target->cross[j];
            for (int32_t r = 0; r < n_points; r++)
                a[p][r] += code * products[(size_t)r * k + j];
        }
    for (int32_t p = 0; p < n_free; p++) {
        memcpy(solved[p], a[n_fixed + p] + n_fixed, (size_t)n_free * sizeof(**solved));
        x[p] = b[n_fixed + p] - (n_fixed ? steps[0] * a[n_fixed + p][0] : 0.0);
    }
    bool good = solve(solved, x, n_free);
    for (int32_t p = 0; good && p < n_free; p++)
        good = x[p] > 0.0;
    if (good)
        memcpy(steps + n_fixed, x, (size_t)n_free * sizeof(*steps));
    double error = target->energy;
    for (int32_t p = 0; p < n_points; p++) {
        double product = -2.0 * b[p];
        for (int32_t r = 0; r < n_points; r++)
            product += a[p][r] * steps[r];
        error += steps[p] * product;
    }
    return error;
}

double nw_refine_row(int8_t *codes, double *steps, int32_t n_fixed, int32_t n_points, const nw_code_book *book,
                     const nw_row_target *target, double *work)
{
    const size_t k = (size_t)target->k;
    set_products(work, codes, n_points, target);
    for (int round = 0; round < MAX_ROUNDS; round++) {
        fit_steps(codes, steps, n_fixed, n_points, target, work);
        double fallen = 0.0;
        for (int32_t p = n_points; p-- > 0;) /* the finest point first */
            fallen += sweep(codes + (size_t)p * k, work, steps, n_points, p, book, target);
        if (!(fallen > 1e-5 * target->energy))
            break;
    }
    return fit_steps(codes, steps, n_fixed, n_points, target, work);
}

nw_row_solver *nw_row_solver_create(const double *gram, int32_t k, const nw_code_book *book, nw_rounding rounding,
                                    nw_weight_method range, int32_t n_starts)
{
    nw_row_solver *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    const size_t n = (size_t)k;
    *s = (nw_row_solver){.k = k, .book = *book, .rounding = rounding, .range = range, .n_starts = n_starts};
    s->importance = malloc(n * sizeof(double));
    s->wanted = malloc(n * sizeof(double));
    s->rest = malloc(n * sizeof(double));
    s->cross = malloc(n * sizeof(double));
    s->work = malloc((NW_MAX_POINTS + 1) * n * sizeof(double));
    s->trial = malloc(n);
    bool done = s->importance && s->wanted && s->rest && s->cross && s->work && s->trial;
    for (size_t j = 0; done && j < n; j++)
        s->importance[j] = gram[j * n + j];
    if (done && rounding != NW_ROUND_PLAIN) {
        s->feedback = nw_feedback_create(gram, k);
        done = s->feedback != NULL;
    }
    if (done)
        return s;
    nw_row_solver_free(s);
    return NULL;
}

void nw_row_solver_free(nw_row_solver *solver)
{
    if (!solver)
        return;
    nw_feedback_free(solver->feedback);
    free(solver->importance);
    free(solver->wanted);
    free(solver->rest);
    free(solver->cross);
    free(solver->work);
    free(solver->trial);
    free(solver);
}

/** Steps that are the layer's and stay as they are: that of the first point, if any. */
static int32_t fixed_steps(const nw_row_solver *s)
{
    return s->book.kind == NW_BOOK_PER_TENSOR && s->book.step > 0.0;
}

/** Nearest codes of what is left; the step, or -1 without memory. */
static double nearest(nw_row_solver *s, int8_t *q, int32_t point)
{
    const double *importance = s->range == NW_WEIGHTS_OUTPUT || s->rounding != NW_ROUND_PLAIN ? s->importance : NULL;
    if (point > 0)
        return nw_multipoint_step(q, s->rest, s->k, &s->book, importance);
    return nw_weights_quantize_row(q, s->rest, s->k, &s->book,
                                   s->rounding == NW_ROUND_PLAIN ? s->range : NW_WEIGHTS_OUTPUT, importance);
}

/** One more point for s->rest, judged by `target`: what earlier points left. */
static nw_status add_point(nw_row_solver *s, int8_t *q, double *step, int32_t point, const nw_row_target *target)
{
    const size_t k = (size_t)s->k;
    const double start = nearest(s, q, point);
    if (start < 0.0)
        return NW_ERROR_MEMORY;
    *step = start;
    if (s->rounding == NW_ROUND_PLAIN || !(start > 0.0))
        return NW_OK;
    const int32_t n_fixed = point == 0 ? fixed_steps(s) : 0;
    const int32_t n_starts = n_fixed ? 1 : s->n_starts;
    double best = INFINITY;
    for (int32_t i = 0; i < n_starts; i++) {
        double trial_step = start * STARTS[i];
        nw_feedback_round(s->feedback, s->trial, s->rest, &s->book, trial_step);
        double error;
        if (s->rounding == NW_ROUND_REFINE) {
            error = nw_refine_row(s->trial, &trial_step, n_fixed, 1, &s->book, target, s->work);
        } else {
            set_products(s->work, s->trial, 1, target);
            error = fit_steps(s->trial, &trial_step, n_fixed, 1, target, s->work);
        }
        if (error < best) {
            best = error;
            *step = trial_step;
            memcpy(q, s->trial, k);
        }
    }
    return NW_OK;
}

/** rest = wanted - points so far, and the target that belongs to it; v is scratch. */
static nw_row_target leave_rest(nw_row_solver *s, const int8_t *codes, const double *steps, int32_t n,
                                const nw_row_target *target, double *v)
{
    sum_points(v, codes, steps, n, s->k);
    set_gradient(s->cross, target, v);
    for (int32_t j = 0; j < s->k; j++) {
        s->rest[j] = s->wanted[j] - v[j];
        s->cross[j] = -s->cross[j];
    }
    return (nw_row_target){.k = s->k, .gram = target->gram, .cross = s->cross, .energy = nw_row_error(target, v)};
}

nw_status nw_row_solve(nw_row_solver *solver, int8_t *codes, double *steps, double *errors, int32_t n_points,
                       const double *w, const nw_row_target *target)
{
    const size_t k = (size_t)solver->k;
    assert(n_points >= 1 && n_points <= NW_MAX_POINTS);
    double *v = solver->work + NW_MAX_POINTS * k;
    if (solver->feedback && !target->wanted)
        nw_feedback_solve(solver->feedback, solver->wanted, target->cross);
    else
        memcpy(solver->wanted, solver->feedback ? target->wanted : w, k * sizeof(*w));
    double least = INFINITY;
    for (int32_t p = 0; p < n_points; p++) {
        const nw_row_target left = leave_rest(solver, codes, steps, p, target, v);
        NW_TRY(add_point(solver, codes + (size_t)p * k, &steps[p], p, &left));
        if (solver->rounding == NW_ROUND_REFINE && p > 0 && steps[p] > 0.0)
            nw_refine_row(codes, steps, fixed_steps(solver), p + 1, &solver->book, target, solver->work);
        if (!errors)
            continue;
        sum_points(v, codes, steps, p + 1, solver->k);
        least = fmin(least, fmax(nw_row_error(target, v), 0.0));
        errors[p] = least;
    }
    return NW_OK;
}
