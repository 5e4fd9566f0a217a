/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise kernels: sum and product of two pictures and functions of one code through a table. */
#include "base/arith.h"
#include "kernels/ref/ref.h"

void nw_add_ref(const nw_add_call *call)
{
    const nw_requant *requant = call->requant;
    for (int32_t i = 0; i < call->n; i++) {
        const uint8_t *a = call->a + (ptrdiff_t)i * call->a_step;
        const uint8_t *b = call->b + (ptrdiff_t)i * call->b_step;
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step;
        for (int32_t c = 0; c < call->channels; c++) {
            const float va = call->multiplier_a[c] * (float)(a[c] - call->zero_a);
            const float vb = call->multiplier_b[c] * (float)(b[c] - call->zero_b);
            y[c] = nw_clamp_round(va + vb, requant->lo[c], requant->hi[c], requant->shift ? requant->shift[c] : 0,
                                  requant->zero_point);
        }
    }
}

void nw_multiply_ref(const nw_multiply_call *call)
{
    const nw_requant *requant = call->requant;
    for (int32_t i = 0; i < call->n; i++) {
        const uint8_t *a = call->a + (ptrdiff_t)i * call->a_step;
        const uint8_t *b = call->b + (ptrdiff_t)i * call->b_step;
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step;
        for (int32_t c = 0; c < call->channels; c++) {
            const float v = requant->multiplier[c] * (float)((a[c] - call->zero_a) * (b[c] - call->zero_b));
            y[c] = nw_clamp_round(v, requant->lo[c], requant->hi[c], requant->shift ? requant->shift[c] : 0,
                                  requant->zero_point);
        }
    }
}

void nw_table_ref(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256])
{
    for (size_t i = 0; i < n; i++)
        y[i] = table[x[i]];
}
