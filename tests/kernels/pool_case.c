/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random pooling rows, windows partly outside the picture included. An average's window holds at least one tap of the
 * picture unless padding counts.
 *
 * slots: 0 picture, 1 multiplier, 4 and 5 scratch, 6 and 7 outputs, 12.. requant
 */
#include <string.h>

#include "check.h"

static void draw_window(check *c, nw_pool_call *call, int32_t channels)
{
    static const int32_t kernels[][2] = {{2, 2}, {3, 3}, {1, 1}, {5, 5}, {1, 4}, {8, 8}, {7, 7}, {13, 13}, {18, 17}};
    const int32_t *kernel = kernels[check_range(c, 0, NW_COUNT(kernels) - 1)];
    call->channels = channels;
    call->kernel_h = kernel[0];
    call->kernel_w = kernel[1];
    call->stride_w = check_range(c, 1, 3);
    call->dilation_h = check_one_in(c, 5) ? 2 : 1;
    call->dilation_w = check_one_in(c, 5) ? 2 : 1;
    call->n = check_range(c, 1, 9);
    call->height = check_range(c, 1, 20);
    call->width = check_range(c, 1, 20);
    /* the window's first tap inside or before the picture, and the last pixel's window not wholly behind it */
    const int32_t reach_h = (call->kernel_h - 1) * call->dilation_h;
    const int32_t reach_w = (call->kernel_w - 1) * call->dilation_w;
    call->iy = check_range(c, -(reach_h < 3 ? reach_h : 3), call->height - 1);
    call->ix = -check_range(c, 0, reach_w < 3 ? reach_w : 3);
    if (check_one_in(c, 3)) { /* the first window wholly inside */
        call->height = reach_h + check_range(c, 1, 4);
        call->width = reach_w + check_range(c, 1, 4);
        call->iy = check_range(c, 0, call->height - 1 - reach_h);
        call->ix = 0;
    }
    while (call->n > 1 && call->ix + (call->n - 1) * call->stride_w >= call->width)
        call->n--;
    call->x_pixel_stride = channels + (check_one_in(c, 3) ? check_range(c, 1, 5) : 0);
    call->x_row_stride = call->width * call->x_pixel_stride + (check_one_in(c, 3) ? 11 : 0);
    call->y_pixel_stride = channels + (check_one_in(c, 2) ? check_range(c, 1, 20) : 0);
}

/* With dilation a window can straddle the picture without touching it. */
static bool every_window_touches(const nw_pool_call *call)
{
    int32_t rows = 0;
    for (int32_t ky = 0; ky < call->kernel_h; ky++) {
        const int32_t y = call->iy + ky * call->dilation_h;
        rows += y >= 0 && y < call->height;
    }
    for (int32_t i = 0; i < call->n; i++) {
        int32_t columns = 0;
        for (int32_t kx = 0; kx < call->kernel_w; kx++) {
            const int32_t x = call->ix + i * call->stride_w + kx * call->dilation_w;
            columns += x >= 0 && x < call->width;
        }
        if (rows * columns == 0)
            return false;
    }
    return true;
}

typedef void pool_fn(const nw_pool_call *call);

static void one_case(check *c, pool_fn *ref, pool_fn *opt, int32_t channels, bool average)
{
    check_case(c);
    nw_pool_call call = {0};
    do {
        draw_window(c, &call, channels);
    } while (!every_window_touches(&call));
    uint8_t *picture = check_alloc(c, 0, (size_t)call.x_row_stride * (size_t)call.height + NW_OVERREAD, 1);
    call.x = picture;
    if (check_one_in(c, 4))
        memset(picture, 255, (size_t)call.x_row_stride * (size_t)call.height);
    const check_requant_kind kind = {.shift = check_one_in(c, 3), .magnitude = 255.0f};
    nw_requant requant;
    if (average) {
        check_requant(c, &requant, 12, channels, &kind);
        call.requant = &requant;
        call.zero_x = check_range(c, 0, 255);
        call.count_include_pad = check_one_in(c, 3);
        float *multiplier = check_alloc(c, 1, ((size_t)channels + NW_PARAMETER_PAD) * 4, 4);
        for (int32_t i = 0; i < channels; i++)
            multiplier[i] = check_float(c, 0.2f, 3.0f);
        call.multiplier = multiplier;
    }
    const size_t size = (size_t)call.y_pixel_stride * (size_t)call.n + 32;
    const size_t scratch_size = ((size_t)channels + NW_PARAMETER_PAD) * 4;
    uint8_t *out_ref = check_alloc(c, 6, size, 1);
    uint8_t *out_opt = check_alloc(c, 7, size, 1);
    memcpy(out_opt, out_ref, size);
    check_describe(c, "n=%d channels=%d picture=%dx%d kernel=%dx%d stride=%d dilation=%dx%d first=%d,%d pad=%d", call.n,
                   channels, call.height, call.width, call.kernel_h, call.kernel_w, call.stride_w, call.dilation_h,
                   call.dilation_w, call.iy, call.ix, call.count_include_pad);
    call.y = out_ref + 16;
    call.scratch = check_alloc(c, 4, scratch_size, 64);
    ref(&call);
    call.y = out_opt + 16;
    call.scratch = check_alloc(c, 5, scratch_size, 64);
    opt(&call);
    check_equal(c, "output", out_ref, out_opt, size);
}

static void all_cases(check *c, pool_fn *ref, pool_fn *opt, bool average)
{
    static const int32_t channels[] = {1, 3, 8, 15, 16, 17, 31, 32, 33, 64, 65, 100};
    for (size_t i = 0; i < NW_COUNT(channels); i++)
        for (int32_t repeat = 0; repeat < 40; repeat++)
            one_case(c, ref, opt, channels[i], average);
}

void check_max_pool(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (check_entry(c, "max_pool"))
        all_cases(c, ref->max_pool, opt->max_pool, false);
}

void check_average_pool(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (check_entry(c, "average_pool"))
        all_cases(c, ref->average_pool, opt->average_pool, true);
}
