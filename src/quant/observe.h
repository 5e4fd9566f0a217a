/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What calibration remembers of a network's tensors: per channel range, moments and a histogram, in memory that does
 * not grow with the number of samples. calibrate.c fills it from the float engine; range.c, equalize.c and
 * bias_correction.c read it.
 *
 *     nw_tensor_stats stats = {0};
 *     NW_TRY(nw_tensor_stats_init(&stats, n_channels));
 *     NW_TRY(nw_tensor_stats_add(&stats, values, n_samples, plane));       any number of times
 *     nw_tensor_stats_clear(&stats);
 */
#ifndef NARROW_QUANT_OBSERVE_H
#define NARROW_QUANT_OBSERVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "quant/histogram.h"

typedef struct nw_channel_stats {
    float min, max;            /* 0 until something was added */
    double sum, sum_squares;   /* planes are added in the order of the samples, so batches do not change the sums */
    uint64_t zeros;            /* values equal to 0 */
    nw_histogram histogram;
} nw_channel_stats;

typedef struct nw_tensor_stats {
    int32_t n_channels;
    uint64_t n_values;          /* per channel, below 2^32 */
    nw_channel_stats *channels; /* [n_channels] owned */
} nw_tensor_stats;

/** NW_ERROR_MEMORY without memory. */
nw_status nw_tensor_stats_init(nw_tensor_stats *stats, int32_t n_channels);
void nw_tensor_stats_clear(nw_tensor_stats *stats);

/**
 * Adds samples.
 *
 * @param values  [n_samples, n_channels, plane]
 * @return NW_ERROR_DATA if a value is not finite or a channel would have seen 2^32 values; the statistics are then
 *         good for nothing but nw_tensor_stats_clear
 */
nw_status nw_tensor_stats_add(nw_tensor_stats *stats, const float *values, size_t n_samples, size_t plane);

/** Mean and variance of a channel; 0 before anything was added. */
double nw_channel_mean(const nw_tensor_stats *stats, int32_t channel);
double nw_channel_variance(const nw_tensor_stats *stats, int32_t channel);

#endif
