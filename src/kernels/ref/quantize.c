/* SPDX-License-Identifier: Apache-2.0 */
/* The borders between reals and codes. A NaN compares false with everything and so becomes lo. */
#include "base/arith.h"
#include "kernels/ref/ref.h"

void nw_quantize_ref(const nw_quantize_call *call)
{
    const nw_requant *r = call->requant;
    for (int32_t c = 0; c < call->channels; c++) {
        const float *x = call->x + c * call->x_plane;
        const int32_t shift = r->shift ? r->shift[c] : 0;
        for (int32_t i = 0; i < call->n; i++)
            call->y[(ptrdiff_t)i * call->y_step + c] =
                nw_clamp_round(x[i] * r->multiplier[c], r->lo[c], r->hi[c], shift, r->zero_point);
    }
}

void nw_dequantize_ref(float *y, const uint8_t *x, size_t n, float scale, int32_t zero_point)
{
    for (size_t i = 0; i < n; i++)
        y[i] = scale * (float)(x[i] - zero_point);
}
