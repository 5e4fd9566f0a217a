/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling of one output row. Taps outside the picture take no part, so padding never competes with a code. */
#include "base/arith.h"
#include "kernels/ref/ref.h"

static bool inside(const nw_pool_call *call, int32_t i, int32_t ky, int32_t kx)
{
    const int32_t y = call->iy + ky * call->dilation_h;
    const int32_t x = call->ix + i * call->stride_w + kx * call->dilation_w;
    return y >= 0 && y < call->height && x >= 0 && x < call->width;
}

static uint8_t tap(const nw_pool_call *call, int32_t i, int32_t ky, int32_t kx, int32_t c)
{
    const ptrdiff_t y = call->iy + ky * call->dilation_h;
    const ptrdiff_t x = call->ix + i * call->stride_w + kx * call->dilation_w;
    return call->x[y * call->x_row_stride + x * call->x_pixel_stride + c];
}

void nw_max_pool_ref(const nw_pool_call *call)
{
    for (int32_t i = 0; i < call->n; i++)
        for (int32_t c = 0; c < call->channels; c++) {
            uint8_t best = 0;
            for (int32_t ky = 0; ky < call->kernel_h; ky++)
                for (int32_t kx = 0; kx < call->kernel_w; kx++)
                    if (inside(call, i, ky, kx) && tap(call, i, ky, kx, c) > best)
                        best = tap(call, i, ky, kx, c);
            call->y[(ptrdiff_t)i * call->y_pixel_stride + c] = best;
        }
}

void nw_average_pool_ref(const nw_pool_call *call)
{
    const nw_requant *requant = call->requant;
    for (int32_t i = 0; i < call->n; i++)
        for (int32_t c = 0; c < call->channels; c++) {
            int32_t sum = 0;
            int32_t n_valid = 0;
            for (int32_t ky = 0; ky < call->kernel_h; ky++)
                for (int32_t kx = 0; kx < call->kernel_w; kx++)
                    if (inside(call, i, ky, kx)) {
                        sum += tap(call, i, ky, kx, c);
                        n_valid++;
                    }
            const int32_t count = call->count_include_pad ? call->kernel_h * call->kernel_w : n_valid;
            const float m = call->multiplier[c] / (float)count;
            const float v = m * (float)(sum - n_valid * call->zero_x);
            call->y[(ptrdiff_t)i * call->y_pixel_stride + c] =
                nw_clamp_round(v, requant->lo[c], requant->hi[c], requant->shift ? requant->shift[c] : 0,
                               requant->zero_point);
        }
}
