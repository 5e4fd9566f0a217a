/* SPDX-License-Identifier: Apache-2.0 */
/* See histogram.h. Fed by observe.c, read by range.c. */
#include "quant/histogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

double nw_histogram_width(const nw_histogram *histogram)
{
    return ldexp(1.0, histogram->exponent);
}

/** floor(i / 2) for negative i too. */
static int32_t half(int32_t i)
{
    return i >= 0 ? i / 2 : -((1 - i) / 2);
}

static void double_width(nw_histogram *histogram)
{
    uint32_t merged[NW_HISTOGRAM_BINS] = {0};
    const int32_t first = half(histogram->first);
    for (int32_t i = histogram->first; i <= histogram->last; i++)
        merged[half(i) - first] += histogram->counts[i - histogram->first];
    memcpy(histogram->counts, merged, sizeof(merged));
    histogram->first = first;
    histogram->last = half(histogram->last);
    histogram->exponent++;
}

void nw_histogram_expand(nw_histogram *histogram, float lo, float hi)
{
    assert(isfinite(lo) && isfinite(hi) && lo <= hi);
    double first, last;
    for (;;) {
        first = fmin(floor(ldexp((double)lo, -histogram->exponent)), histogram->first);
        last = fmax(floor(ldexp((double)hi, -histogram->exponent)), histogram->last);
        if (last - first < NW_HISTOGRAM_BINS)
            break;
        double_width(histogram);
    }
    const int32_t moved = histogram->first - (int32_t)first;
    if (moved > 0) {
        const size_t used = (size_t)(histogram->last - histogram->first + 1);
        memmove(histogram->counts + moved, histogram->counts, used * sizeof(*histogram->counts));
        memset(histogram->counts, 0, (size_t)moved * sizeof(*histogram->counts));
    }
    histogram->first = (int32_t)first;
    histogram->last = (int32_t)last;
}

void nw_histogram_add(nw_histogram *histogram, const float *values, size_t n)
{
    /* dividing by a power of two is exact unless the quotient is subnormal, and that lies in bin 0 or -1 anyhow */
    const float inverse = ldexpf(1.0f, -histogram->exponent);
    const int32_t first = histogram->first;
    for (size_t i = 0; i < n; i++) {
        const float scaled = values[i] * inverse;
        int32_t bin = (int32_t)scaled; /* towards zero, hence the correction for negative fractions */
        bin -= (float)bin > scaled;
        histogram->counts[bin - first]++;
    }
}
