/* SPDX-License-Identifier: Apache-2.0 */
/* See patches.h. Between the float engine's tensors and moments.c. */
#include "quant/patches.h"

#include <stdlib.h>
#include <string.h>

#define MAX_MOMENTS 268435456.0 /* bytes of one layer's moments */
#define CHUNK 64                /* patches gathered at a time */

bool nw_patches_fit(const nw_linear_shape *shape)
{
    return nw_moments_size(shape) < MAX_MOMENTS;
}

void nw_patches_weights(double *w, const nw_node *node, const nw_tensor *weights, const double *factor)
{
    const nw_linear_shape shape = nw_linear_shape_of(node, weights);
    const size_t k = (size_t)shape.k;
    for (int32_t o = 0; o < shape.n_channels; o++) {
        double *row = w + (size_t)o * k;
        nw_weights_row(row, node, weights, o);
        for (int32_t j = 0; j < shape.k; j++)
            row[j] /= factor[nw_linear_input_channel(&shape, o, j)];
    }
}

/** Position i of n out of `total`: one from each of n equal spans, not at a fixed distance, which could miss columns.
 */
static int64_t position_of(int32_t i, int32_t n, int64_t total)
{
    const int64_t first = i * total / n;
    const int64_t span = (i + 1) * total / n - first;
    const uint32_t hash = ((uint32_t)i + 1u) * 2654435761u;
    return first + (int64_t)(hash >> 8) % span;
}

/** y of a chunk of patches. */
static void outputs_of(float *y, const float *x, const float *w, int32_t k, int32_t outputs, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        float *to = y + (size_t)i * (size_t)outputs;
        memset(to, 0, (size_t)outputs * sizeof(*to));
        for (int32_t j = 0; j < k; j++) {
            const float value = x[(size_t)i * (size_t)k + (size_t)j];
            const float *column = w + (size_t)j * (size_t)outputs;
            for (int32_t o = 0; value != 0.0f && o < outputs; o++)
                to[o] += value * column[o];
        }
    }
}

/** [k, group_outputs] of one group's weights. */
static void transpose(float *to, const nw_patches *patches, int32_t group)
{
    const size_t n = (size_t)patches->shape->group_outputs;
    const size_t k = (size_t)patches->shape->k;
    for (size_t j = 0; j < k; j++)
        for (size_t o = 0; o < n; o++)
            to[j * n + o] = (float)patches->w[((size_t)group * n + o) * k + j];
}

/** to = from + sign * the residual of the group's outputs at positions first .. first + n - 1. */
static void add_residual(float *to, const float *from, const nw_patches *patches, float sign, int32_t group,
                         int32_t first, int32_t n)
{
    const size_t outputs = (size_t)patches->shape->group_outputs;
    const size_t channels = (size_t)patches->shape->n_channels;
    const int64_t positions = nw_patch_positions(patches->model, patches->node);
    memmove(to, from, (size_t)n * outputs * sizeof(*to));
    for (int32_t p = 0; patches->residual && p < n; p++) {
        const int64_t at = position_of(first + p, patches->n, positions * patches->batch);
        const float *sample = patches->residual + (size_t)(at / positions) * channels * (size_t)positions;
        const float *pixel = sample + (size_t)group * outputs * (size_t)positions + (size_t)(at % positions);
        for (size_t o = 0; o < outputs; o++)
            to[(size_t)p * outputs + o] += sign * pixel[o * (size_t)positions];
    }
}

nw_status nw_patches_see(const nw_patches *patches, const float *data, float *y, bool compute, nw_moments *moments)
{
    const nw_linear_shape *shape = patches->shape;
    const int64_t total = nw_patch_positions(patches->model, patches->node) * patches->batch;
    float *x = malloc(CHUNK * (size_t)shape->k * sizeof(*x));
    float *w = malloc((size_t)shape->group_outputs * (size_t)shape->k * sizeof(*w));
    float *left = malloc((size_t)shape->group_outputs * CHUNK * sizeof(*left));
    const int32_t groups = x && w && left ? shape->n_channels / shape->group_outputs : 0;
    for (int32_t group = 0; group < groups; group++) {
        transpose(w, patches, group);
        for (int32_t i = 0; i < patches->n; i += CHUNK) {
            const int32_t n = patches->n - i < CHUNK ? patches->n - i : CHUNK;
            float *to = y + ((size_t)group * (size_t)patches->n + (size_t)i) * (size_t)shape->group_outputs;
            for (int32_t p = 0; p < n; p++)
                nw_patch_gather(x + (size_t)p * (size_t)shape->k, patches->model, patches->node, shape,
                                patches->factor, data, position_of(i + p, patches->n, total), group);
            if (compute) {
                outputs_of(to, x, w, shape->k, shape->group_outputs, n);
                add_residual(to, to, patches, 1.0f, group, i, n);
            }
            if (!moments)
                continue;
            add_residual(left, to, patches, -1.0f, group, i, n);
            nw_moments_add(moments, group, x, left, n);
        }
    }
    free(x);
    free(w);
    free(left);
    return groups ? NW_OK : NW_ERROR_MEMORY;
}
