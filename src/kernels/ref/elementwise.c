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

/* One pixel. What is written is not read here, which the compiler has to be told. */
static void look_up(uint8_t *restrict y, const uint8_t *restrict x, const uint8_t *restrict tables, int32_t channels)
{
    int32_t c = 0;
    for (; c + 4 <= channels; c += 4, tables += 4 * 256) {
        y[c] = tables[x[c]];
        y[c + 1] = tables[256 + x[c + 1]];
        y[c + 2] = tables[512 + x[c + 2]];
        y[c + 3] = tables[768 + x[c + 3]];
    }
    for (; c < channels; c++, tables += 256)
        y[c] = tables[x[c]];
}

void nw_tables_ref(const nw_tables_call *call)
{
    for (int32_t row = 0; row < call->height; row++)
        for (int32_t i = 0; i < call->width; i++)
            look_up(call->y + row * call->y_row + i * call->y_step, call->x + row * call->x_row + i * call->x_step,
                    call->tables, call->channels);
}
