/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learned rounding of one weight row. With the layer's moments (moments.h) the error of the output is a quadratic in
 * the codes, E = energy - 2 <v, cross> + v' gram v with v = sum_p step_p q_p, so no image has to be seen while
 * learning: codes move up or down as long as E falls (coordinate descent on the exact integer problem), steps are the
 * least-squares fit to the codes, in turn. AdaRound (Nagel et al. 2020) minimises the same quantity by a relaxation and
 * many gradient steps, and only between the two nearest codes.
 *
 *     nw_row_solver *solver =
 *         nw_row_solver_create(gram, k, &book, NW_ROUND_REFINE, NW_WEIGHTS_OUTPUT, 6);
 *     nw_row_solve(solver, codes, steps, errors, 2, w, &target);              two points
 *     nw_row_solver_free(solver);
 */
#ifndef NARROW_QUANT_REFINE_H
#define NARROW_QUANT_REFINE_H

#include "quant/error_feedback.h"
#include "quant/moments.h"

/** How codes are found once the data are known. */
typedef enum nw_rounding {
    NW_ROUND_PLAIN,    /* nearest codes; further points by nw_multipoint_step */
    NW_ROUND_FEEDBACK, /* error feedback */
    NW_ROUND_REFINE    /* error feedback, then refined */
} nw_rounding;

/**
 * Improves codes and steps until no single change helps.
 *
 * @param n_fixed  the first point's step stays as it is (1), or none does (0)
 * @param codes  [n_points, k] in and out
 * @param steps  [n_points] in and out, > 0; one that would become 0 or negative stays as it was
 * @param work   [n_points * k]
 * @return the error
 */
double nw_refine_row(int8_t *codes, double *steps, int32_t n_fixed, int32_t n_points, const nw_code_book *book,
                     const nw_row_target *target, double *work);

#define NW_MAX_STARTS 6

/** What the rows of one group of a layer share. */
typedef struct nw_row_solver {
    int32_t k, n_starts;
    nw_code_book book;
    nw_rounding rounding;
    nw_weight_method range;               /* NW_ROUND_PLAIN: how the first step is chosen */
    nw_feedback *feedback;                /* owned; NULL for NW_ROUND_PLAIN */
    double *importance;                   /* [k] owned; diagonal of the gram */
    double *wanted, *rest, *work, *cross; /* [k], [k], [(NW_MAX_POINTS + 1) * k], [k] owned */
    int8_t *trial;                        /* [k] owned */
} nw_row_solver;

/**
 * @param gram      [k, k] damped
 * @param n_starts  1 to NW_MAX_STARTS: steps that a row's first codes are tried with
 * @return NULL without memory
 */
nw_row_solver *nw_row_solver_create(const double *gram, int32_t k, const nw_code_book *book, nw_rounding rounding,
                                    nw_weight_method range, int32_t n_starts);
void nw_row_solver_free(nw_row_solver *solver);

/**
 * Finds up to n_points points of one row. The first one's step is that of the solver's book if this gives one: kept as
 * it is by books per tensor, else where its search begins. A point after which nothing is left has step 0 and code 0
 * (one bit: 1).
 *
 * @param codes   [n_points, k] out
 * @param steps   [n_points] out, >= 0
 * @param errors  [n_points] out: error with 1, 2, ... points, never rising; NULL if nobody asks. Later points change
 *                earlier ones under NW_ROUND_REFINE: codes and steps are those of all n_points together
 * @param w       [k] real weights
 * @return NW_ERROR_MEMORY
 */
nw_status nw_row_solve(nw_row_solver *solver, int8_t *codes, double *steps, double *errors, int32_t n_points,
                       const double *w, const nw_row_target *target);

#endif
