/* SPDX-License-Identifier: Apache-2.0 */
/* See yardstick.h. Used by measure.c. */
#include "plan/yardstick.h"

#include <math.h>
#include <stdlib.h>

#define CONFIDENCE 0.8 /* of the float network, at most */

nw_status nw_yardstick_init(nw_yardstick *yardstick, const nw_tensor *z, int32_t n_samples)
{
    const size_t classes = (size_t)nw_tensor_channels(z);
    const size_t positions = nw_tensor_elements(z) / classes;
    const size_t stride = (positions + NW_YARDSTICK_POSITIONS - 1) / NW_YARDSTICK_POSITIONS;
    const size_t taken = (positions + stride - 1) / stride;
    const size_t n = (size_t)n_samples * taken;
    *yardstick = (nw_yardstick){
        .n_classes = (int32_t)classes,
        .positions = positions,
        .taken = taken,
        .stride = stride,
        .n_samples = n_samples,
        .z = malloc(n * classes * sizeof(float) + 1),
        .log_sum = malloc(n * sizeof(double) + 1),
        .answer = malloc(n * sizeof(int32_t) + 1),
    };
    if (yardstick->z && yardstick->log_sum && yardstick->answer)
        return NW_OK;
    nw_yardstick_clear(yardstick);
    return NW_ERROR_MEMORY;
}

void nw_yardstick_clear(nw_yardstick *yardstick)
{
    free(yardstick->z);
    free(yardstick->log_sum);
    free(yardstick->answer);
    *yardstick = (nw_yardstick){0};
}

/** Index of the first of the largest of n values, `step` apart. */
static int32_t largest(const float *z, int32_t n, size_t step)
{
    int32_t best = 0;
    for (int32_t c = 1; c < n; c++)
        if (z[(size_t)c * step] > z[(size_t)best * step])
            best = c;
    return best;
}

/** log sum exp (sharpness z). */
static double log_sum(const float *z, int32_t n, size_t step, int32_t best, double sharpness)
{
    const double top = (double)z[(size_t)best * step];
    double sum = 0.0;
    for (int32_t c = 0; c < n; c++)
        sum += exp(sharpness * ((double)z[(size_t)c * step] - top));
    return sharpness * top + log(sum);
}

void nw_yardstick_set(nw_yardstick *yardstick, int32_t first, int32_t n, const float *z)
{
    const size_t classes = (size_t)yardstick->n_classes;
    for (int32_t s = 0; s < n; s++)
        for (size_t p = 0; p < yardstick->taken; p++) {
            const size_t at = (size_t)(first + s) * yardstick->taken + p;
            const float *from = z + (size_t)s * classes * yardstick->positions + p * yardstick->stride;
            for (size_t c = 0; c < classes; c++)
                yardstick->z[at * classes + c] = from[c * yardstick->positions];
            yardstick->answer[at] = largest(from, yardstick->n_classes, yardstick->positions);
        }
}

/** Sets log_sum for one sharpness; returns the mean of the largest probabilities. */
static double sharpen(nw_yardstick *yardstick, double sharpness)
{
    const size_t n = (size_t)yardstick->n_samples * yardstick->taken;
    double confidence = 0.0;
    yardstick->sharpness = sharpness;
    for (size_t at = 0; at < n; at++) {
        const float *z = yardstick->z + at * (size_t)yardstick->n_classes;
        const int32_t best = yardstick->answer[at];
        yardstick->log_sum[at] = log_sum(z, yardstick->n_classes, 1, best, sharpness);
        confidence += exp(sharpness * (double)z[best] - yardstick->log_sum[at]);
    }
    return n ? confidence / (double)n : 0.0;
}

void nw_yardstick_settle(nw_yardstick *yardstick)
{
    double lo = 1.0 / 1024.0;
    double hi = 1.0;
    if (yardstick->n_classes < 2 || sharpen(yardstick, hi) <= CONFIDENCE)
        return;
    for (int32_t step = 0; step < 20; step++) {
        const double middle = sqrt(lo * hi);
        if (sharpen(yardstick, middle) <= CONFIDENCE)
            lo = middle;
        else
            hi = middle;
    }
    sharpen(yardstick, lo);
}

static void add_position(const nw_yardstick *yardstick, nw_damage *sums, size_t at, const float *z)
{
    const float *reference = yardstick->z + at * (size_t)yardstick->n_classes;
    const int32_t best = largest(z, yardstick->n_classes, yardstick->positions);
    const double total = log_sum(z, yardstick->n_classes, yardstick->positions, best, yardstick->sharpness);
    const double shift = total - yardstick->log_sum[at];
    double divergence = 0.0;
    for (int32_t c = 0; c < yardstick->n_classes; c++) {
        const double difference = (double)z[(size_t)c * yardstick->positions] - (double)reference[c];
        sums->noise += difference * difference;
        divergence += exp(yardstick->sharpness * (double)reference[c] - yardstick->log_sum[at]) *
                      (shift - yardstick->sharpness * difference);
    }
    sums->divergence += fmax(divergence, 0.0);
    sums->changed += best != yardstick->answer[at] ? 1.0 : 0.0;
    sums->n++;
}

void nw_yardstick_add(const nw_yardstick *yardstick, nw_damage *sums, int32_t first, int32_t n, const float *z)
{
    for (int32_t s = 0; s < n; s++)
        for (size_t p = 0; p < yardstick->taken; p++)
            add_position(yardstick, sums, (size_t)(first + s) * yardstick->taken + p,
                         z + (size_t)s * (size_t)yardstick->n_classes * yardstick->positions + p * yardstick->stride);
}

nw_damage nw_damage_mean(const nw_damage *sums)
{
    const double n = sums->n > 0 ? (double)sums->n : 1.0;
    return (nw_damage){sums->n, sums->noise / n, sums->divergence / n, sums->changed / n};
}

double nw_yardstick_margin(const nw_yardstick *yardstick)
{
    double sum = 0.0;
    const size_t n = (size_t)yardstick->n_samples * yardstick->taken;
    for (size_t at = 0; at < n; at++) {
        const float *z = yardstick->z + at * (size_t)yardstick->n_classes;
        const int32_t best = largest(z, yardstick->n_classes, 1);
        float second = -INFINITY;
        for (int32_t c = 0; c < yardstick->n_classes; c++)
            if (c != best && z[c] > second)
                second = z[c];
        const double distance = yardstick->n_classes > 1 ? (double)z[best] - (double)second : 0.0;
        sum += 0.5 * distance * distance;
    }
    return n ? sum / (double)n : 0.0;
}

double nw_yardstick_signal(const nw_yardstick *yardstick)
{
    double sum = 0.0;
    const size_t n = (size_t)yardstick->n_samples * yardstick->taken;
    for (size_t i = 0; i < n * (size_t)yardstick->n_classes; i++)
        sum += (double)yardstick->z[i] * (double)yardstick->z[i];
    return n ? sum / (double)n : 0.0;
}
