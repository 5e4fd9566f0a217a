/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reals to codes, infinities, NaN and ties included, and codes to reals.
 *
 * slots: 0 input, 6 and 7 outputs, 12.. requant
 */
#include <math.h>
#include <string.h>

#include "check.h"

static float draw(check *c)
{
    static const float special[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-42f, 3e38f, -3e38f, 0.5f, 1.5f, -2.5f};
    return check_one_in(c, 6) ? special[check_range(c, 0, NW_COUNT(special) - 1)] : check_float(c, -200.0f, 300.0f);
}

static void one_quantize(check *c, const nw_kernels *ref, const nw_kernels *opt, int32_t n, int32_t channels)
{
    check_case(c);
    const check_requant_kind kind = {.shift = check_one_in(c, 3), .magnitude = 255.0f};
    nw_requant requant;
    check_requant(c, &requant, 12, channels, &kind);
    nw_quantize_call call = {.x_plane = n + (check_one_in(c, 2) ? check_range(c, 0, 40) : 0),
                             .y_step = channels + (check_one_in(c, 3) ? check_range(c, 0, 9) : 0),
                             .n = n,
                             .channels = channels,
                             .requant = &requant};
    const size_t reals = (size_t)call.x_plane * (size_t)(channels - 1) + (size_t)n;
    float *x = check_alloc(c, 0, reals * sizeof(float), sizeof(float));
    for (size_t i = 0; i < reals; i++)
        x[i] = draw(c);
    call.x = x;
    const size_t size = (size_t)call.y_step * (size_t)n + 32;
    uint8_t *out_ref = check_alloc(c, 6, size, 1);
    uint8_t *out_opt = check_alloc(c, 7, size, 1);
    memcpy(out_opt, out_ref, size);
    check_describe(c, "n=%d channels=%d plane=%d step=%d shift=%d", n, channels, (int)call.x_plane, call.y_step,
                   kind.shift);
    call.y = out_ref + 16;
    ref->quantize(&call);
    call.y = out_opt + 16;
    opt->quantize(&call);
    check_equal(c, "output", out_ref, out_opt, size);
}

void check_quantize(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "quantize"))
        return;
    static const int32_t channels[] = {1, 2, 3, 4, 7, 32, 65, 640};
    for (size_t i = 0; i < NW_COUNT(channels); i++)
        for (int32_t n = 1; n <= 100; n += channels[i] < 10 ? 1 : 33)
            one_quantize(c, ref, opt, n, channels[i]);
}

void check_dequantize(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "dequantize"))
        return;
    for (size_t n = 1; n <= 100; n++) {
        check_case(c);
        const uint8_t *x = check_alloc(c, 0, n, 1);
        const float scale = check_float(c, 0.001f, 3.0f);
        const int32_t zero_point = check_range(c, 0, 255);
        float *out_ref = check_alloc(c, 6, (n + 1) * sizeof(float), sizeof(float));
        float *out_opt = check_alloc(c, 7, (n + 1) * sizeof(float), sizeof(float));
        memcpy(out_opt, out_ref, (n + 1) * sizeof(float));
        check_describe(c, "n=%zu", n);
        ref->dequantize(out_ref, x, n, scale, zero_point);
        opt->dequantize(out_opt, x, n, scale, zero_point);
        check_equal(c, "output", out_ref, out_opt, (n + 1) * sizeof(float));
    }
}
