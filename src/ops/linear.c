/* SPDX-License-Identifier: Apache-2.0 */
/* The one layer form (docs/numerics.md): gathers the parameters and hands them to the right executor. */
#include "ops/linear.h"

#include <math.h>

void nw_linear_input_range(const nw_linear_params *params, int32_t c, uint8_t *lowest, uint8_t *highest)
{
    const nw_codes *codes = &params->x_codes;
    const int32_t step = 1 << codes->shift[c];
    *lowest = (uint8_t)(codes->zero_point + (int32_t)codes->lo[c] * step);
    *highest = (uint8_t)(codes->zero_point + (int32_t)codes->hi[c] * step);
}

/** Whether |v| < 2^31 whatever the codes, with |acc + offset| <= k * 127 * 255: a wide margin covers the roundings. */
static bool is_bounded(const nw_linear_params *params)
{
    const double largest_sum = 127.0 * 255.0 * (double)params->k;
    const double limit = 1073741824.0;
    for (int32_t c = 0; c < params->n_channels; c++) {
        double v = fabs((double)params->bias[c]) + largest_sum * fabs((double)params->multiplier[c]);
        if (params->has_residual)
            v += 255.0 * fabs((double)params->residual_multiplier[c]);
        if (!(v < limit))
            return false;
    }
    return true;
}

/** zero_point + limit of every channel, padded; NULL while counting. */
static const uint8_t *limit_codes(const float *limits, int32_t zero_point, int32_t n_channels, nw_arena *arena)
{
    uint8_t *codes = nw_arena_take(arena, (size_t)n_channels + NW_PARAMETER_PAD);
    for (int32_t c = 0; codes && c < n_channels + NW_PARAMETER_PAD; c++)
        codes[c] = c < n_channels ? (uint8_t)(zero_point + (int32_t)limits[c]) : 0;
    return codes;
}

static bool has_shift(const nw_linear_params *params)
{
    uint8_t any = 0;
    for (int32_t c = 0; c < params->n_channels; c++)
        any |= params->y_codes.shift[c];
    return any;
}

nw_status nw_linear_make(nw_job *job, const nw_linear_params *params, const nw_kernels *kernels, nw_arena *arena)
{
    const bool float_output = params->y.element_size == sizeof(float);
    const int32_t n_extra = params->n_rows - params->n_channels;
    nw_requant from = {
        .bias = params->bias,
        .multiplier = params->multiplier,
        .offset = params->offset,
        .lo = float_output ? NULL : params->y_codes.lo,
        .hi = float_output ? NULL : params->y_codes.hi,
        .residual_multiplier = params->has_residual ? params->residual_multiplier : NULL,
        .residual_zero_point = params->residual_zero_point,
        .zero_point = float_output ? 0 : params->y_codes.zero_point,
        .wrap16 = params->wrap16,
        .float_output = float_output,
        .n_extra = n_extra,
        .extra_channel = n_extra ? params->row_channel + params->n_channels : NULL,
        .extra_multiplier = n_extra ? params->multiplier + params->n_channels : NULL,
        .extra_offset = n_extra ? params->offset + params->n_channels : NULL,
    };
    nw_requant requant;
    nw_requant_copy(&requant, &from, params->n_channels, arena);
    requant.shift = float_output ? NULL : nw_shift_copy(params->y_codes.shift, params->n_channels, arena);
    if (!float_output && !n_extra && !params->wrap16 && !has_shift(params) && is_bounded(params)) {
        const nw_codes *codes = &params->y_codes;
        requant.lo_code = limit_codes(codes->lo, codes->zero_point, params->n_channels, arena);
        requant.hi_code = limit_codes(codes->hi, codes->zero_point, params->n_channels, arena);
    }
    const bool depthwise = !params->transpose && n_extra == 0 && params->groups == params->n_channels &&
                           params->groups == nw_view_channels(&params->x) && params->groups > 1;
    if (depthwise)
        return nw_depthwise_make(job, params, &requant, kernels, arena);
    if (nw_winograd_make(job, params, &requant, kernels, arena))
        return NW_OK;
    return nw_dense_make(job, params, &requant, kernels, arena);
}
