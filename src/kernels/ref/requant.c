/* SPDX-License-Identifier: Apache-2.0 */
/* From sums to outputs. See nw_requant in kernels.h. */
#include "base/arith.h"
#include "kernels/ref/ref.h"

static float term(float multiplier, int32_t acc, int32_t offset, bool wrap16)
{
    const int32_t sum = wrap16 ? nw_wrap16(acc) : acc;
    return multiplier * (float)(sum + offset);
}

void nw_requant_store_ref(const nw_requant *requant, int32_t o, int32_t acc, const int32_t *extra, uint8_t residual,
                          void *c)
{
    float v = requant->bias[o] + term(requant->multiplier[o], acc, requant->offset[o], requant->wrap16);
    for (int32_t e = 0; e < requant->n_extra; e++)
        if (requant->extra_channel[e] == o)
            v = v + term(requant->extra_multiplier[e], extra[e], requant->extra_offset[e], requant->wrap16);
    if (requant->residual_multiplier)
        v = v + requant->residual_multiplier[o] * (float)(residual - requant->residual_zero_point);
    if (requant->float_output)
        ((float *)c)[o] = v;
    else
        ((uint8_t *)c)[o] = nw_clamp_round(v, requant->lo[o], requant->hi[o], requant->shift ? requant->shift[o] : 0,
                                           requant->zero_point);
}
