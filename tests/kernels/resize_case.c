/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a linear Resize, on codes and on reals.
 *
 * slots: 0 and 1 input rows, 2 taps, 3 shifts, 6 and 7 outputs
 */
#include <math.h>
#include <string.h>

#include "check.h"

static nw_tap any_tap(check *c, int32_t width, int32_t step)
{
    const int32_t low = check_range(c, 0, width - 1);
    const int32_t high = low + (low + 1 < width && !check_one_in(c, 4));
    const bool end = check_one_in(c, 6);
    return (nw_tap){.low = low * step,
                    .high = high * step,
                    .weight = end ? check_one_in(c, 2) * NW_TAP_ONE : check_range(c, 0, NW_TAP_ONE),
                    .fraction = end ? 0.0f : check_float(c, 0.0f, 1.0f)};
}

/** Codes of channels with shifts are multiples of their step, z too. */
static void put_codes(check *c, uint8_t *row, size_t n, bool shifted)
{
    const bool extremes = check_one_in(c, 4);
    for (size_t i = 0; i < n; i++) {
        row[i] = (uint8_t)(extremes ? 255 * check_range(c, 0, 1) : check_range(c, 0, 255));
        if (shifted)
            row[i] &= 0x80u;
    }
}

static void put_reals(check *c, uint8_t *row, size_t n)
{
    static const float special[] = {INFINITY, -INFINITY, NAN, 0x1p-140f, 3e38f, -3e38f};
    for (size_t i = 0; i < n; i++) {
        float v = check_float(c, -20.0f, 20.0f);
        if (check_one_in(c, 50))
            v = special[check_range(c, 0, 5)];
        memcpy(row + 4 * i, &v, 4);
    }
}

static void one(check *c, const nw_kernels *ref, const nw_kernels *opt, bool codes, int32_t n, int32_t channels)
{
    check_case(c);
    const int32_t size = codes ? 1 : 4, width = check_range(c, 1, 6);
    const int32_t step = size * (channels + check_range(c, 0, 3));
    const bool shifted = codes && check_one_in(c, 3);
    const size_t row = (size_t)(step * width), behind = codes ? NW_OVERREAD : 0;
    uint8_t *rows[2];
    for (int i = 0; i < 2; i++) {
        rows[i] = check_alloc(c, i, row + behind, (size_t)size);
        if (codes)
            put_codes(c, rows[i], row, shifted);
        else
            put_reals(c, rows[i], row / 4);
    }
    nw_tap *taps = check_alloc(c, 2, (size_t)n * sizeof(*taps), sizeof(int32_t));
    for (int32_t i = 0; i < n; i++)
        taps[i] = any_tap(c, width, step);
    int32_t *shift = check_alloc(c, 3, ((size_t)channels + NW_PARAMETER_PAD) * 4, 4);
    memset(shift, 0, ((size_t)channels + NW_PARAMETER_PAD) * 4);
    for (int32_t i = 0; i < channels; i++)
        shift[i] = check_range(c, 0, 7);
    nw_resize_call call = {.top = rows[0],
                           .bottom = !codes && check_one_in(c, 4) ? NULL : rows[check_one_in(c, 5) ? 0 : 1],
                           .down = any_tap(c, 2, 0),
                           .taps = taps,
                           .y_step = size * (channels + (check_one_in(c, 2) ? check_range(c, 0, 9) : 0)),
                           .n = n,
                           .channels = channels,
                           .zero_point = shifted ? 128 * check_range(c, 0, 1) : check_range(c, 0, 255),
                           .shift = shifted ? shift : NULL};
    const size_t out = (size_t)call.y_step * (size_t)n + 32;
    uint8_t *out_ref = check_alloc(c, 6, out, 4), *out_opt = check_alloc(c, 7, out, 4);
    memcpy(out_opt, out_ref, out);
    check_describe(c, "n=%d channels=%d width=%d step=%d shifted=%d blended=%d", n, channels, width, step, shifted,
                   !call.bottom);
    call.y = out_ref + 16;
    (codes ? ref->resize_codes : ref->resize_reals)(&call);
    call.y = out_opt + 16;
    (codes ? opt->resize_codes : opt->resize_reals)(&call);
    check_equal(c, "output", out_ref, out_opt, out);
}

static void all(check *c, const nw_kernels *ref, const nw_kernels *opt, bool codes)
{
    static const int32_t channels[] = {1, 3, 7, 8, 15, 16, 17, 21, 32, 33, 100};
    for (size_t i = 0; i < NW_COUNT(channels); i++)
        for (int32_t n = 1; n <= 20; n++)
            one(c, ref, opt, codes, n, channels[i]);
}

void check_resize_codes(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (check_entry(c, "resize_codes"))
        all(c, ref, opt, true);
}

void check_resize_reals(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (check_entry(c, "resize_reals"))
        all(c, ref, opt, false);
}
