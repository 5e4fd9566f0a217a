/* SPDX-License-Identifier: Apache-2.0 */
/* See expected.h. Used by judge.c. */
#include "cli/expected.h"

#include <math.h>
#include <stdlib.h>

#define SHARPEST 64.0
#define STEPS 24
#define MOST_RIGHT 0.99 /* a share that no finite sharpness exceeds by much */

static size_t largest(const float *z, size_t n)
{
    size_t best = 0;
    for (size_t c = 1; c < n; c++)
        best = z[c] > z[best] ? c : best;
    return best;
}

static double logit(float z, bool is_probability)
{
    return is_probability ? log(fmax((double)z, 1e-30)) : (double)z;
}

/** Probability of class c. */
static double probability(const float *z, size_t n, bool is_probability, double sharpness, size_t c)
{
    const double at = logit(z[c], is_probability);
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += exp(sharpness * (logit(z[i], is_probability) - at));
    return 1.0 / sum;
}

double nw_sharpness_confidence(const float *answers, size_t n, size_t size, bool is_probability, double sharpness)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += probability(answers + i * size, size, is_probability, sharpness, largest(answers + i * size, size));
    return n ? sum / (double)n : 0.0;
}

double nw_sharpness_find(const float *answers, size_t n, size_t size, bool is_probability, double right)
{
    const double wanted = fmin(right, MOST_RIGHT);
    double lo = 1.0 / SHARPEST;
    double hi = SHARPEST;
    for (int step = 0; step < STEPS; step++) {
        const double middle = sqrt(lo * hi);
        if (nw_sharpness_confidence(answers, n, size, is_probability, middle) <= wanted)
            lo = middle;
        else
            hi = middle;
    }
    return sqrt(lo * hi);
}

double nw_expected_loss(const float *answer, size_t size, bool is_probability, double sharpness, const float *other)
{
    const size_t a = largest(answer, size);
    const size_t b = largest(other, size);
    return a == b ? 0.0
                  : probability(answer, size, is_probability, sharpness, a) -
                        probability(answer, size, is_probability, sharpness, b);
}

double nw_margin_change(const float *answer, size_t size, bool is_probability, const float *other)
{
    const size_t a = largest(answer, size);
    size_t b = a ? 0 : 1;
    for (size_t c = 0; c < size; c++)
        b = c != a && answer[c] > answer[b] ? c : b;
    const double before = logit(answer[a], is_probability) - logit(answer[b], is_probability);
    return before - (logit(other[a], is_probability) - logit(other[b], is_probability));
}

nw_status nw_expected_init(nw_expected *expected, size_t n_pictures)
{
    *expected = (nw_expected){calloc(n_pictures + 1, sizeof(*expected->sums)),
                              calloc(n_pictures + 1, sizeof(*expected->counts)), n_pictures, 0.0};
    if (expected->sums && expected->counts)
        return NW_OK;
    nw_expected_free(expected);
    return NW_ERROR_MEMORY;
}

void nw_expected_free(nw_expected *expected)
{
    free(expected->sums);
    free(expected->counts);
    *expected = (nw_expected){0};
}

void nw_expected_add(nw_expected *expected, size_t picture, double loss, double margin_change)
{
    expected->sums[picture] += loss;
    expected->counts[picture]++;
    expected->squares += margin_change * margin_change;
}

static double n_samples(const nw_expected *expected)
{
    double count = 0.0;
    for (size_t i = 0; i < expected->n; i++)
        count += (double)expected->counts[i];
    return count;
}

double nw_expected_mean(const nw_expected *expected)
{
    const double count = n_samples(expected);
    double sum = 0.0;
    for (size_t i = 0; i < expected->n; i++)
        sum += expected->sums[i];
    return count > 0.0 ? sum / count : 0.0;
}

double nw_expected_unseen(const nw_expected *expected, double sharpness)
{
    const double count = n_samples(expected);
    return count > 0.0 ? tanh(0.5 * sharpness * sqrt(expected->squares / count)) : 0.0;
}

double nw_expected_error(const nw_expected *expected, double unseen)
{
    const double n = (double)expected->n;
    const double mean = (n * nw_expected_mean(expected) + unseen) / (n + 1.0);
    double squares = (unseen - mean) * (unseen - mean);
    for (size_t i = 0; i < expected->n; i++) {
        const double one = expected->counts[i] ? expected->sums[i] / (double)expected->counts[i] : mean;
        squares += (one - mean) * (one - mean);
    }
    return n > 0.0 ? sqrt(squares / n / (n + 1.0)) : 0.0;
}
