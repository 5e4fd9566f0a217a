/* SPDX-License-Identifier: Apache-2.0 */
/* See observe.h. */
#include "quant/observe.h"

#include <math.h>
#include <stdlib.h>

nw_status nw_tensor_stats_init(nw_tensor_stats *stats, int32_t n_channels)
{
    nw_channel_stats *channels = calloc((size_t)n_channels, sizeof(*channels));
    if (!channels)
        return NW_ERROR_MEMORY;
    for (int32_t c = 0; c < n_channels; c++)
        channels[c].histogram = (nw_histogram)NW_HISTOGRAM_EMPTY;
    *stats = (nw_tensor_stats){.n_channels = n_channels, .channels = channels};
    return NW_OK;
}

void nw_tensor_stats_clear(nw_tensor_stats *stats)
{
    free(stats->channels);
    *stats = (nw_tensor_stats){0};
}

/** What one channel of one sample holds. */
typedef struct plane_stats {
    float min, max;
    double sum, sum_squares;
    uint64_t zeros;
} plane_stats;

static plane_stats plane_measure(const float *values, size_t n)
{
    plane_stats s = {.min = values[0], .max = values[0]};
    for (size_t i = 0; i < n; i++) {
        const float x = values[i];
        s.min = x < s.min ? x : s.min;
        s.max = x > s.max ? x : s.max;
        s.zeros += x == 0.0f;
        s.sum += (double)x;
        s.sum_squares += (double)x * (double)x;
    }
    return s;
}

nw_status nw_tensor_stats_add(nw_tensor_stats *stats, const float *values, size_t n_samples, size_t plane)
{
    if (plane == 0)
        return NW_OK;
    for (size_t i = 0; i < n_samples; i++) {
        const float *sample = values + i * (size_t)stats->n_channels * plane;
        if (stats->n_values + plane > UINT32_MAX)
            return NW_ERROR_DATA;
        for (int32_t c = 0; c < stats->n_channels; c++) {
            const float *x = sample + (size_t)c * plane;
            const plane_stats s = plane_measure(x, plane);
            if (!isfinite(s.sum)) /* a NaN or an infinity anywhere shows in the sum: floats cannot overflow a double */
                return NW_ERROR_DATA;
            nw_channel_stats *channel = &stats->channels[c];
            const int fresh = stats->n_values == 0;
            channel->min = fresh || s.min < channel->min ? s.min : channel->min;
            channel->max = fresh || s.max > channel->max ? s.max : channel->max;
            channel->sum += s.sum;
            channel->sum_squares += s.sum_squares;
            channel->zeros += s.zeros;
            nw_histogram_expand(&channel->histogram, s.min, s.max);
            nw_histogram_add(&channel->histogram, x, plane);
        }
        stats->n_values += plane;
    }
    return NW_OK;
}

double nw_channel_mean(const nw_tensor_stats *stats, int32_t channel)
{
    return stats->n_values ? stats->channels[channel].sum / (double)stats->n_values : 0.0;
}

double nw_channel_variance(const nw_tensor_stats *stats, int32_t channel)
{
    if (!stats->n_values)
        return 0.0;
    const double mean = nw_channel_mean(stats, channel);
    return fmax(0.0, stats->channels[channel].sum_squares / (double)stats->n_values - mean * mean);
}
