/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See float_reference.h.
 */
#include "float_reference.h"

#include <math.h>

/* Zero outside. */
static double at(plane4 x, int32_t n, int32_t c, int32_t y, int32_t i)
{
    if (y < 0 || y >= x.h || i < 0 || i >= x.w)
        return 0.0;
    return x.data[((n * x.c + c) * x.h + y) * x.w + i];
}

double reference_conv(const nw_node *node, plane4 x, const float *weights, int32_t channels_out, int32_t n, int32_t o,
                      int32_t y, int32_t x_out)
{
    const nw_window *w = &node->window;
    const int32_t per_group = x.c / node->groups, first = o / (channels_out / node->groups) * per_group;
    double sum = 0.0;
    for (int32_t c = 0; c < per_group; c++)
        for (int32_t i = 0; i < w->kernel[0]; i++)
            for (int32_t j = 0; j < w->kernel[1]; j++)
                sum += at(x, n, first + c, y * w->stride[0] - w->pad[0] + i * w->dilation[0],
                          x_out * w->stride[1] - w->pad[1] + j * w->dilation[1]) *
                       weights[((o * per_group + c) * w->kernel[0] + i) * w->kernel[1] + j];
    return sum;
}

double reference_conv_transpose(const nw_node *node, plane4 x, const float *weights, int32_t channels_out, int32_t n,
                                int32_t o, int32_t y, int32_t x_out)
{
    const nw_window *w = &node->window;
    const int32_t in_group = x.c / node->groups, out_group = channels_out / node->groups;
    double sum = 0.0;
    for (int32_t c = o / out_group * in_group; c < (o / out_group + 1) * in_group; c++)
        for (int32_t sy = 0; sy < x.h; sy++)
            for (int32_t sx = 0; sx < x.w; sx++)
                for (int32_t i = 0; i < w->kernel[0]; i++)
                    for (int32_t j = 0; j < w->kernel[1]; j++)
                        if (sy * w->stride[0] + i * w->dilation[0] - w->pad[0] == y &&
                            sx * w->stride[1] + j * w->dilation[1] - w->pad[1] == x_out)
                            sum += at(x, n, c, sy, sx) *
                                   weights[((c * out_group + o % out_group) * w->kernel[0] + i) * w->kernel[1] + j];
    return sum;
}

double reference_pool(const nw_node *node, plane4 x, int32_t n, int32_t c, int32_t y, int32_t x_out)
{
    const nw_window *w = &node->window;
    double largest = -INFINITY, sum = 0.0, inside = 0.0, padded = 0.0;
    for (int32_t i = 0; i < w->kernel[0]; i++)
        for (int32_t j = 0; j < w->kernel[1]; j++) {
            const int32_t sy = y * w->stride[0] - w->pad[0] + i * w->dilation[0];
            const int32_t sx = x_out * w->stride[1] - w->pad[1] + j * w->dilation[1];
            if (sy < x.h + w->pad[2] && sx < x.w + w->pad[3])
                padded += 1.0;
            if (sy < 0 || sy >= x.h || sx < 0 || sx >= x.w)
                continue;
            inside += 1.0;
            sum += at(x, n, c, sy, sx);
            largest = fmax(largest, at(x, n, c, sy, sx));
        }
    if (node->op == NW_OP_MAX_POOL)
        return largest;
    return sum / (node->count_include_pad ? padded : inside);
}
