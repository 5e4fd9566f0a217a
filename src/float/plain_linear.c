/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution, transposed convolution, fully connected and pooling as plain loops: the fallback for shapes that oneDNN
 * declines. Every index into the source is checked against its plane, so no window can read outside.
 */
#include "float/plain_window.h"

#include <math.h>

#include "base/arith.h"

static int64_t dim(const nw_plain_view *view, int i)
{
    return i < view->rank ? view->dims[i] : 1;
}

static float clamp(float v, float lo, float hi)
{
    return nw_minf(nw_maxf(v, lo), hi);
}

/* ---- convolution ---- */

/* Sum over one window of one input plane. */
static float correlate(const nw_window *w, const float *plane, int64_t height, int64_t width, const float *weights,
                       int64_t y0, int64_t x0)
{
    float sum = 0.0f;
    for (int32_t i = 0; i < w->kernel[0]; i++) {
        const int64_t y = y0 + (int64_t)i * w->dilation[0];
        if (y < 0 || y >= height)
            continue;
        for (int32_t j = 0; j < w->kernel[1]; j++) {
            const int64_t x = x0 + (int64_t)j * w->dilation[1];
            if (x >= 0 && x < width)
                sum += plane[y * width + x] * weights[i * w->kernel[1] + j];
        }
    }
    return sum;
}

void nw_plain_conv(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    const nw_window *w = &node->window;
    const int64_t c_in = dim(&in[0], 1) / node->groups, height = dim(&in[0], 2), width = dim(&in[0], 3);
    const int64_t c_out = dim(out, 1), rows = dim(out, 2), columns = dim(out, 3);
    const int64_t taps = (int64_t)w->kernel[0] * w->kernel[1], plane = height * width;
    const float *residual = n_inputs > 3 ? in[3].data : NULL;
    float *to = out->data;
    for (int64_t n = 0; n < dim(out, 0); n++)
        for (int64_t o = 0; o < c_out; o++) {
            const int64_t group = o / (c_out / node->groups);
            const float *from = in[0].data + (n * c_in * node->groups + group * c_in) * plane;
            for (int64_t y = 0; y < rows; y++)
                for (int64_t x = 0; x < columns; x++) {
                    float sum = in[2].data[o];
                    for (int64_t c = 0; c < c_in; c++)
                        sum += correlate(w, from + c * plane, height, width, in[1].data + (o * c_in + c) * taps,
                                         y * w->stride[0] - w->pad[0], x * w->stride[1] - w->pad[1]);
                    *to = clamp(residual ? sum + *residual++ : sum, node->lo, node->hi);
                    to++;
                }
        }
}

/* ---- transposed convolution ---- */

/* One value of the result: every source pixel whose window covers it. */
static float gather(const nw_window *w, const float *plane, int64_t height, int64_t width, const float *weights,
                    int64_t y, int64_t x)
{
    float sum = 0.0f;
    for (int32_t i = 0; i < w->kernel[0]; i++) {
        const int64_t v = y + w->pad[0] - (int64_t)i * w->dilation[0];
        if (v < 0 || v % w->stride[0] || v / w->stride[0] >= height)
            continue;
        for (int32_t j = 0; j < w->kernel[1]; j++) {
            const int64_t u = x + w->pad[1] - (int64_t)j * w->dilation[1];
            if (u >= 0 && u % w->stride[1] == 0 && u / w->stride[1] < width)
                sum += plane[v / w->stride[0] * width + u / w->stride[1]] * weights[i * w->kernel[1] + j];
        }
    }
    return sum;
}

void nw_plain_conv_transpose(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    const nw_window *w = &node->window;
    const int64_t c_in = dim(&in[0], 1) / node->groups, height = dim(&in[0], 2), width = dim(&in[0], 3);
    const int64_t c_out = dim(out, 1) / node->groups, rows = dim(out, 2), columns = dim(out, 3);
    const int64_t taps = (int64_t)w->kernel[0] * w->kernel[1], plane = height * width;
    const float *residual = n_inputs > 3 ? in[3].data : NULL;
    float *to = out->data;
    for (int64_t n = 0; n < dim(out, 0); n++)
        for (int64_t o = 0; o < c_out * node->groups; o++) {
            const int64_t first = o / c_out * c_in; /* first input channel of the group */
            const float *from = in[0].data + (n * c_in * node->groups + first) * plane;
            const float *weights = in[1].data + (first * c_out + o % c_out) * taps;
            for (int64_t y = 0; y < rows; y++)
                for (int64_t x = 0; x < columns; x++) {
                    float sum = in[2].data[o];
                    for (int64_t c = 0; c < c_in; c++)
                        sum += gather(w, from + c * plane, height, width, weights + c * c_out * taps, y, x);
                    *to = clamp(residual ? sum + *residual++ : sum, node->lo, node->hi);
                    to++;
                }
        }
}

/* ---- fully connected ---- */

void nw_plain_gemm(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    (void)n_inputs;
    const int64_t k = dim(&in[0], 1), c_out = dim(out, 1);
    for (int64_t n = 0; n < dim(out, 0); n++)
        for (int64_t o = 0; o < c_out; o++) {
            float sum = in[2].data[o];
            for (int64_t i = 0; i < k; i++)
                sum += in[0].data[n * k + i] * in[1].data[o * k + i];
            out->data[n * c_out + o] = clamp(sum, node->lo, node->hi);
        }
}

/* ---- pooling ---- */

/* Part of a window that lies in the plane, and how many taps lie in the plane with its pads. */
static float pool_window(const nw_node *node, const float *plane, int64_t height, int64_t width, int64_t y0, int64_t x0)
{
    const nw_window *w = &node->window;
    const bool max = node->op == NW_OP_MAX_POOL;
    float value = max ? -INFINITY : 0.0f;
    int64_t inside = 0, padded = 0;
    for (int32_t i = 0; i < w->kernel[0]; i++)
        for (int32_t j = 0; j < w->kernel[1]; j++) {
            const int64_t y = y0 + (int64_t)i * w->dilation[0], x = x0 + (int64_t)j * w->dilation[1];
            padded += y < height + w->pad[2] && x < width + w->pad[3];
            if (y < 0 || y >= height || x < 0 || x >= width)
                continue;
            const float v = plane[y * width + x];
            value = max ? nw_maxf(value, v) : value + v;
            inside++;
        }
    const int64_t count = node->count_include_pad ? padded : inside;
    return max || count == 0 ? value : value / (float)count;
}

void nw_plain_pool(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    (void)n_inputs;
    const nw_window *w = &node->window;
    const int64_t height = in->dims[2], width = in->dims[3];
    float *to = out->data;
    for (int64_t p = 0; p < out->dims[0] * out->dims[1]; p++)
        for (int64_t y = 0; y < out->dims[2]; y++)
            for (int64_t x = 0; x < out->dims[3]; x++)
                *to++ = pool_window(node, in->data + p * height * width, height, width, y * w->stride[0] - w->pad[0],
                                    x * w->stride[1] - w->pad[1]);
}
