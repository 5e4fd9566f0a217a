/* SPDX-License-Identifier: Apache-2.0 */
/* See moments.h. Called by reconstruct.c. */
#include "quant/moments.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 8 /* patches whose products are summed in binary32 before they go to the double sums */

double nw_moments_size(const nw_linear_shape *shape)
{
    const double groups = shape->n_channels / shape->group_outputs;
    return sizeof(double) * (double)shape->k * (groups * (double)shape->k + (double)shape->n_channels);
}

nw_moments *nw_moments_create(const nw_linear_shape *shape)
{
    nw_moments *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->k = shape->k;
    m->group_outputs = shape->group_outputs;
    m->n_groups = shape->n_channels / shape->group_outputs;
    const size_t k = (size_t)shape->k;
    const size_t n = (size_t)shape->n_channels;
    m->input = calloc((size_t)m->n_groups * k, sizeof(*m->input));
    m->gram = calloc((size_t)m->n_groups * k * k, sizeof(*m->gram));
    m->output = calloc(n, sizeof(*m->output));
    m->cross = calloc(n * k, sizeof(*m->cross));
    m->energy = calloc(n, sizeof(*m->energy));
    if (m->input && m->gram && m->output && m->cross && m->energy)
        return m;
    nw_moments_free(m);
    return NULL;
}

void nw_moments_free(nw_moments *moments)
{
    if (!moments)
        return;
    free(moments->input);
    free(moments->gram);
    free(moments->output);
    free(moments->cross);
    free(moments->energy);
    free(moments);
}

/** to[j] += sum over the block of a[b] * x[b, j], j < n. */
static void add_products(double *to, const float *a, const float *x, int32_t k, int32_t n)
{
    for (int32_t j = 0; j < n; j++) {
        float sum = 0.0f;
        for (int32_t b = 0; b < BLOCK; b++)
            sum += a[b] * x[b * k + j];
        to[j] += (double)sum;
    }
}

/** One block; missing patches are zeros. */
static void add_block(nw_moments *m, int32_t group, const float *x, const float *y)
{
    const int32_t k = m->k;
    float a[BLOCK];
    double *gram = m->gram + (size_t)group * (size_t)k * (size_t)k;
    for (int32_t i = 0; i < k; i++) {
        bool some = false;
        for (int32_t b = 0; b < BLOCK; b++) {
            a[b] = x[b * k + i];
            some = some || a[b] != 0.0f;
            m->input[(size_t)group * (size_t)k + (size_t)i] += (double)a[b];
        }
        if (some) /* activations are full of zeros */
            add_products(gram + (size_t)i * (size_t)k, a, x, k, i + 1);
    }
    for (int32_t i = 0; i < m->group_outputs; i++) {
        const size_t o = (size_t)group * (size_t)m->group_outputs + (size_t)i;
        for (int32_t b = 0; b < BLOCK; b++) {
            a[b] = y[b * m->group_outputs + i];
            m->output[o] += (double)a[b];
            m->energy[o] += (double)a[b] * (double)a[b];
        }
        add_products(m->cross + o * (size_t)k, a, x, k, k);
    }
}

void nw_moments_add(nw_moments *moments, int32_t group, const float *x, const float *y, int32_t n)
{
    const size_t k = (size_t)moments->k;
    const size_t outputs = (size_t)moments->group_outputs;
    int32_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        add_block(moments, group, x + (size_t)i * k, y + (size_t)i * outputs);
    for (; i < n; i++) { /* the rest one by one: plain sums */
        const float *row = x + (size_t)i * k;
        const float *out = y + (size_t)i * outputs;
        for (size_t j = 0; j < k; j++) {
            moments->input[(size_t)group * k + j] += (double)row[j];
            for (size_t l = 0; l <= j; l++)
                moments->gram[((size_t)group * k + j) * k + l] += (double)row[j] * (double)row[l];
        }
        for (size_t j = 0; j < outputs; j++) {
            const size_t o = (size_t)group * outputs + j;
            moments->output[o] += (double)out[j];
            moments->energy[o] += (double)out[j] * (double)out[j];
            for (size_t l = 0; l < k; l++)
                moments->cross[o * k + l] += (double)out[j] * (double)row[l];
        }
    }
}

static void finish_group(nw_moments *m, int32_t group, double scale, bool centred)
{
    const size_t k = (size_t)m->k;
    double *mean = m->input + (size_t)group * k;
    double *gram = m->gram + (size_t)group * k * k;
    for (size_t j = 0; j < k; j++)
        mean[j] *= scale;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j <= i; j++) {
            const double moment = gram[i * k + j] * scale - (centred ? mean[i] * mean[j] : 0.0);
            gram[i * k + j] = gram[j * k + i] = moment;
        }
    for (int32_t i = 0; i < m->group_outputs; i++) {
        const size_t o = (size_t)group * (size_t)m->group_outputs + (size_t)i;
        m->output[o] *= scale;
        const double y = centred ? m->output[o] : 0.0;
        const double energy = m->energy[o] * scale - y * y;
        m->energy[o] = energy > 0.0 ? energy : 0.0;
        for (size_t j = 0; j < k; j++)
            m->cross[o * k + j] = m->cross[o * k + j] * scale - y * mean[j];
    }
}

void nw_moments_finish(nw_moments *moments, int64_t n_patches, bool centred)
{
    moments->n = n_patches;
    for (int32_t group = 0; group < moments->n_groups; group++)
        finish_group(moments, group, n_patches > 0 ? 1.0 / (double)n_patches : 0.0, centred);
}

void nw_moments_damp(nw_moments *moments, const double *w, double share)
{
    const size_t k = (size_t)moments->k;
    for (int32_t group = 0; group < moments->n_groups; group++) {
        double *gram = moments->gram + (size_t)group * k * k;
        double lambda = 0.0;
        for (size_t j = 0; j < k; j++)
            lambda += gram[j * k + j];
        lambda = lambda > 0.0 ? share * lambda / (double)k : 1e-12; /* an input that never moves: any weights do */
        for (size_t j = 0; j < k; j++)
            gram[j * k + j] += lambda;
        for (int32_t i = 0; i < moments->group_outputs; i++) {
            const size_t o = (size_t)group * (size_t)moments->group_outputs + (size_t)i;
            for (size_t j = 0; j < k; j++) {
                moments->cross[o * k + j] += lambda * w[o * k + j];
                moments->energy[o] += lambda * w[o * k + j] * w[o * k + j];
            }
        }
    }
}

nw_row_target nw_moments_row(const nw_moments *moments, int32_t o)
{
    const size_t k = (size_t)moments->k;
    const size_t group = (size_t)(o / moments->group_outputs);
    return (nw_row_target){.k = moments->k,
                           .gram = moments->gram + group * k * k,
                           .cross = moments->cross + (size_t)o * k,
                           .energy = moments->energy[o]};
}

double nw_row_error(const nw_row_target *target, const double *v)
{
    double error = target->energy;
    for (int32_t i = 0; i < target->k; i++) {
        const double *row = target->gram + (size_t)i * (size_t)target->k;
        double sums[4] = {-2.0 * target->cross[i], 0.0, 0.0, 0.0}; /* a single sum would wait for itself */
        int32_t j = 0;
        if (v[i] == 0.0)
            continue;
        for (; j + 4 <= target->k; j += 4)
            for (int32_t part = 0; part < 4; part++)
                sums[part] += row[j + part] * v[j + part];
        for (; j < target->k; j++)
            sums[0] += row[j] * v[j];
        error += v[i] * (sums[0] + sums[1] + sums[2] + sums[3]);
    }
    return error;
}

int64_t nw_patch_positions(const nw_model *model, const nw_node *node)
{
    const nw_tensor *y = &model->tensors[node->output];
    return (int64_t)nw_tensor_height(y) * nw_tensor_width(y);
}

/** Input coordinate that tap k brings to output coordinate y, or -1. */
static int32_t input_of(const nw_node *node, int32_t axis, int32_t y, int32_t k, int32_t n_x)
{
    const nw_window *window = &node->window;
    if (node->op == NW_OP_GEMM)
        return y;
    int32_t x = y * window->stride[axis] + k * window->dilation[axis] - window->pad[axis];
    if (node->op == NW_OP_CONV_TRANSPOSE) {
        const int32_t at = y + window->pad[axis] - k * window->dilation[axis];
        x = at >= 0 && at % window->stride[axis] == 0 ? at / window->stride[axis] : -1;
    }
    return x >= 0 && x < n_x ? x : -1;
}

void nw_patch_gather(float *patch, const nw_model *model, const nw_node *node, const nw_linear_shape *shape,
                     const double *factor, const float *x, int64_t position, int32_t group)
{
    const nw_tensor *input = &model->tensors[node->inputs[0]];
    const int32_t height = nw_tensor_height(input);
    const int32_t width = nw_tensor_width(input);
    const int32_t out_width = nw_tensor_width(&model->tensors[node->output]);
    const int64_t positions = nw_patch_positions(model, node);
    const int32_t y_row = (int32_t)(position % positions / out_width);
    const int32_t y_column = (int32_t)(position % positions % out_width);
    const int32_t kw = node->op == NW_OP_GEMM ? 1 : node->window.kernel[1];
    const size_t plane = (size_t)height * (size_t)width;
    const int32_t first = group * shape->group_inputs;
    const float *sample = x + (size_t)(position / positions) * (size_t)nw_tensor_channels(input) * plane;
    for (int32_t tap = 0; tap < shape->taps; tap++) {
        const int32_t row = input_of(node, 0, y_row, tap / kw, height);
        const int32_t column = input_of(node, 1, y_column, tap % kw, width);
        float *to = patch + (size_t)tap * (size_t)shape->group_inputs;
        if (row < 0 || column < 0) {
            memset(to, 0, (size_t)shape->group_inputs * sizeof(*to));
            continue;
        }
        const float *from = sample + (size_t)first * plane + (size_t)row * (size_t)width + (size_t)column;
        for (int32_t c = 0; c < shape->group_inputs; c++)
            to[c] = from[(size_t)c * plane] * (float)factor[first + c];
    }
}
