/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changed answers are expected to cost, from the float network's own doubts: where it gives class a the
 * probability p(a) and another network answers b, p(a) - p(b) of an answer is lost. Most answers that change were close
 * calls, which cost little either way; counting labels sees them as whole wins and losses, and needs hundreds of
 * pictures to tell half a point from none.
 *
 *     p = softmax(s z), s such that the mean of the largest p is the share of answers that are right
 *
 *     double s = nw_sharpness_find(answers, n, size, is_probability, right);
 *     nw_expected e;
 *     NW_TRY(nw_expected_init(&e, n_pictures));
 *     nw_expected_add(&e, picture, nw_expected_loss(answer, size, is_probability, s, other),
 *                     nw_margin_change(answer, size, is_probability, other));
 *     ... nw_expected_mean(&e), nw_expected_error(&e, nw_expected_unseen(&e, s)) ...
 *     nw_expected_free(&e);
 *
 * The mean is unbiased where s z is calibrated, and never below 0: what a network gains is not counted.
 */
#ifndef NARROW_CLI_EXPECTED_H
#define NARROW_CLI_EXPECTED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/** s of n answers. @param answers  [n, size] logits, or probabilities @param right  share of answers that are right */
double nw_sharpness_find(const float *answers, size_t n, size_t size, bool is_probability, double right);

/** Mean of the largest p at a sharpness. */
double nw_sharpness_confidence(const float *answers, size_t n, size_t size, bool is_probability, double sharpness);

/** p(a) - p(b): a the largest of the answer [size], b of `other` [size]. */
double nw_expected_loss(const float *answer, size_t size, bool is_probability, double sharpness, const float *other);

/** By how much `other` [size] has less margin between the two largest scores of the answer [size], in logits. */
double nw_margin_change(const float *answer, size_t size, bool is_probability, const float *other);

/** A mean over samples of which several come from one picture, and its standard error over pictures. */
typedef struct nw_expected {
    double *sums;  /* [n] owned */
    size_t *counts; /* [n] owned */
    size_t n;
    double squares; /* sum of the margins' changes, squared */
} nw_expected;

nw_status nw_expected_init(nw_expected *expected, size_t n_pictures); /* NW_ERROR_MEMORY */
void nw_expected_free(nw_expected *expected);
void nw_expected_add(nw_expected *expected, size_t picture, double loss, double margin_change);
double nw_expected_mean(const nw_expected *expected);

/**
 * What an answer costs that changes by a noise of the usual size: p(a) - p(b) = tanh(s d / 2) between two classes d
 * logits apart, d the root mean square of the margins' changes.
 */
double nw_expected_unseen(const nw_expected *expected, double sharpness);

/**
 * Standard error of the mean, as if one picture more had been seen, and had lost `unseen`. Few answers change, and
 * among few pictures perhaps none: their scatter alone would say that this is sure.
 */
double nw_expected_error(const nw_expected *expected, double unseen);

#endif
