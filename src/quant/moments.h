/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second moments of what a linear layer reads: all that rounding its weights well needs to know about the data.
 *
 * For output channel o with real weights w, the real output y = <w, x> of the float network and the input x^ of the
 * quantized one, weights v in place of w leave the error
 *
 *     E |y - <v, x^>|^2 = energy - 2 <v, cross> + v' gram v
 *
 * with gram = E x^ x^', cross = E y x^, energy = E y^2. Centred moments (covariances) leave out the error's mean, which
 * a bias takes back for free. reconstruct.c gathers them; error_feedback.c, refine.c and multipoint.c work on one row.
 *
 *     nw_moments *moments = nw_moments_create(&shape);
 *     nw_patch_gather(x, model, node, &shape, factor, data, position, group);       n of them
 *     nw_moments_add(moments, group, x, y, n);
 *     nw_moments_finish(moments, true);
 *     nw_moments_damp(moments, w, 0.01);
 *     nw_row_target target = nw_moments_row(moments, o);
 */
#ifndef NARROW_QUANT_MOMENTS_H
#define NARROW_QUANT_MOMENTS_H

#include <stdbool.h>

#include "quant/weights.h"

typedef struct nw_moments {
    int32_t k, n_groups, group_outputs;
    int64_t n;      /* patches per group */
    double *input;  /* [n_groups, k] owned; sums, then means */
    double *gram;   /* [n_groups, k, k] owned; symmetric once finished */
    double *output; /* [O] owned; sums, then means */
    double *cross;  /* [O, k] owned */
    double *energy; /* [O] owned */
} nw_moments;

/** What one output channel's weights are judged by; borrowed from an nw_moments. */
typedef struct nw_row_target {
    int32_t k;
    const double *gram;  /* [k, k] symmetric, positive definite after damping */
    const double *cross; /* [k] */
    double energy;
    const double *wanted; /* [k] gram^-1 cross, if it is known; or NULL */
} nw_row_target;

/** Zeroed moments, or NULL without memory. */
nw_moments *nw_moments_create(const nw_linear_shape *shape);
void nw_moments_free(nw_moments *moments);

/** Bytes nw_moments_create would take. */
double nw_moments_size(const nw_linear_shape *shape);

/**
 * Adds patches of one group.
 *
 * @param x  [n, k] inputs
 * @param y  [n, group_outputs] outputs
 */
void nw_moments_add(nw_moments *moments, int32_t group, const float *x, const float *y, int32_t n);

/** Turns sums over `n_patches` per group into moments; centred: into covariances. */
void nw_moments_finish(nw_moments *moments, int64_t n_patches, bool centred);

/**
 * Adds lambda |w - v|^2 to every row's error, lambda = share * mean diagonal of its gram (or a tiny number where that
 * is 0): what the data do not determine stays near the float weights.
 *
 * @param w  [O, k] real weights
 */
void nw_moments_damp(nw_moments *moments, const double *w, double share);

nw_row_target nw_moments_row(const nw_moments *moments, int32_t o);

/** Error of real weights v: energy - 2 <v, cross> + v' gram v. */
double nw_row_error(const nw_row_target *target, const double *v);

/** Output positions of one sample. */
int64_t nw_patch_positions(const nw_model *model, const nw_node *node);

/**
 * The inputs that meet the weight row of one group at one output position, in the order kh, kw, c; 0 where a tap falls
 * outside or, in a CONV_TRANSPOSE, between pixels.
 *
 * @param patch     [k] out
 * @param factor    [C] every value is multiplied by its channel's
 * @param x         [batch, C, H, W]
 * @param position  0 .. batch * nw_patch_positions - 1
 */
void nw_patch_gather(float *patch, const nw_model *model, const nw_node *node, const nw_linear_shape *shape,
                     const double *factor, const float *x, int64_t position, int32_t group);

#endif
