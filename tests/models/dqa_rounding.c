/* SPDX-License-Identifier: Apache-2.0 */
/* See dqa_rounding.h. */
#include "dqa_rounding.h"

#include <math.h>

double dqa_huffman_bits(const dqa_extra *extra)
{
    double weight[2 << EXTRA_BITS];
    int32_t parent[2 << EXTRA_BITS], alive[2 << EXTRA_BITS], n_nodes = 0, n_alive = 0, leaves = 0;
    for (int32_t i = 0; i < 1 << EXTRA_BITS; i++)
        if (extra->counts[i]) {
            weight[n_nodes] = (double)extra->counts[i];
            parent[n_nodes] = -1;
            alive[n_alive++] = n_nodes++;
        }
    leaves = n_nodes;
    if (leaves < 2)
        return 1.0 + EXTRA_BITS;
    while (n_alive > 1) {
        for (int32_t k = 0; k < 2; k++) /* the two lightest go to the end of the list */
            for (int32_t i = 0; i < n_alive - 1 - k; i++)
                if (weight[alive[i]] < weight[alive[n_alive - 1 - k]]) {
                    const int32_t swapped = alive[i];
                    alive[i] = alive[n_alive - 1 - k];
                    alive[n_alive - 1 - k] = swapped;
                }
        const int32_t a = alive[n_alive - 1], b = alive[n_alive - 2];
        weight[n_nodes] = weight[a] + weight[b];
        parent[n_nodes] = -1;
        parent[a] = parent[b] = n_nodes;
        n_alive -= 2;
        alive[n_alive++] = n_nodes++;
    }
    double bits = 0.0;
    for (int32_t i = 0; i < leaves; i++) {
        int32_t length = 0;
        for (int32_t at = i; parent[at] >= 0; at = parent[at])
            length++;
        bits += weight[i] * length + 2 * EXTRA_BITS + length;
    }
    return bits;
}

/** The code q of n + m bits through the paper's two parts: h = q >> m of n bits, and the m low bits. */
static float restore(int32_t q, float step, dqa_extra *extra)
{
    const int32_t low = q & ((1 << EXTRA_BITS) - 1), high = (q - low) / (1 << EXTRA_BITS);
    const float coarse = step * (float)(1 << EXTRA_BITS);
    const float value = coarse * ((float)high + (float)low / (float)(1 << EXTRA_BITS));
    extra->counts[low]++;
    extra->restored++;
    extra->otherwise += value != step * (float)q;
    return value;
}

void dqa_round_channel(float *x, size_t n_samples, size_t stride, size_t plane, int32_t bits, dqa_extra *extra)
{
    float largest = 0.0f;
    for (size_t s = 0; s < n_samples; s++)
        for (size_t i = 0; i < plane; i++)
            largest = fmaxf(largest, fabsf(x[s * stride + i]));
    const float top = (float)(1 << (bits - 1)), step = largest / top;
    for (size_t s = 0; s < n_samples; s++)
        for (size_t i = 0; i < plane; i++) {
            float *value = &x[s * stride + i];
            const float q = largest > 0.0f ? fminf(fmaxf(rintf(*value / step), -top), top - 1.0f) : 0.0f;
            *value = extra ? restore((int32_t)q, step, extra) : q * step;
        }
}

static double tensor_error(const float *x, size_t n, float step, float top, float shift)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i += 1 + n / 20000) { /* a sample of the values is enough to choose by */
        const float q = fminf(fmaxf(rintf((x[i] + shift) / step), -top), top - 1.0f);
        const double rest = (double)(q * step - shift - x[i]);
        sum += rest * rest;
    }
    return sum;
}

void dqa_round_noisy(float *x, size_t n, int32_t bits)
{
    const float top = (float)(1 << (bits - 1));
    float largest = 0.0f;
    for (size_t i = 0; i < n; i++)
        largest = fmaxf(largest, fabsf(x[i]));
    if (!(largest > 0.0f))
        return;
    double least = INFINITY;
    float step = largest / top, shift = 0.0f;
    for (int32_t i = 100; i >= 1; i--) {
        const float trial = largest * (float)i / 100.0f / top;
        const double e = tensor_error(x, n, trial, top, 0.0f);
        if (e < least) {
            least = e;
            step = trial;
        }
    }
    for (int32_t i = 0; i < 100; i++) {
        const float trial = step * ((float)i / 50.0f - 1.0f);
        const double e = tensor_error(x, n, step, top, trial);
        if (e < least) {
            least = e;
            shift = trial;
        }
    }
    for (size_t i = 0; i < n; i++)
        x[i] = fminf(fmaxf(rintf((x[i] + shift) / step), -top), top - 1.0f) * step - shift;
}
