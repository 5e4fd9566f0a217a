/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rounding with error feedback (GPTQ, Frantar et al. 2022): what rounding one weight does to the output is taken up by
 * the weights not yet rounded. For symmetric positive definite G = R' R (R upper triangular) the error is
 *
 *     (w - v)' G (w - v) = sum_j ( R_jj (w_j - v_j) + sum_{l>j} R_jl (w_l - v_l) )^2
 *
 * so going from the last weight to the first, each is rounded to the code nearest to
 * w_j + sum_{l>j} R_jl (w_l - v_l) / R_jj, which makes its own term least: Babai's nearest plane, the same codes as
 * GPTQ gives on the columns in reverse order, without inverting G. Inputs of high energy go first, while feedback is
 * left.
 *
 *     nw_feedback *feedback = nw_feedback_create(gram, k);        one per group of a layer
 *     nw_feedback_solve(feedback, w, cross);                      the real weights that the data ask for
 *     nw_feedback_round(feedback, q, w, &book, step);
 *     nw_feedback_free(feedback);
 */
#ifndef NARROW_QUANT_ERROR_FEEDBACK_H
#define NARROW_QUANT_ERROR_FEEDBACK_H

#include <stdint.h>

#include "quant/code_book.h"

typedef struct nw_feedback {
    int32_t k;
    int32_t *order; /* [k] owned; order[i]: weight at place i, energy of its input ascending */
    double *factor; /* [k, k] owned; R' of the permuted gram, lower triangle */
    double *work;   /* [k] owned */
} nw_feedback;

/** @param gram  [k, k] symmetric, positive definite. NULL without memory; a pivot that vanishes is set to a tiny one.
 */
nw_feedback *nw_feedback_create(const double *gram, int32_t k);
void nw_feedback_free(nw_feedback *feedback);

/** w = gram^-1 cross. */
void nw_feedback_solve(nw_feedback *feedback, double *w, const double *cross);

/** q: codes of the book with small (w - step q)' gram (w - step q); step > 0. */
void nw_feedback_round(nw_feedback *feedback, int8_t *q, const double *w, const nw_code_book *book, double step);

#endif
