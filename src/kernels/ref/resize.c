/* SPDX-License-Identifier: Apache-2.0 */
/* One row of a linear Resize, on codes and on reals. */
#include "base/arith.h"
#include "base/reals.h"
#include "kernels/ref/ref.h"

void nw_resize_codes_ref(const nw_resize_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const nw_tap *t = &call->taps[i];
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step;
        for (int32_t c = 0; c < call->channels; c++) {
            const int32_t left = call->top[t->low + c] * (NW_TAP_ONE - call->down.weight) +
                                 call->bottom[t->low + c] * call->down.weight;
            const int32_t right = call->top[t->high + c] * (NW_TAP_ONE - call->down.weight) +
                                  call->bottom[t->high + c] * call->down.weight;
            const int32_t sum = left * (NW_TAP_ONE - t->weight) + right * t->weight;
            const int32_t bits = 2 * NW_TAP_BITS + (call->shift ? call->shift[c] : 0);
            const int32_t centred = sum - call->zero_point * (NW_TAP_ONE * NW_TAP_ONE);
            const int32_t level = nw_shift_floor(centred + (1 << (bits - 1)), bits);
            y[c] = (uint8_t)(call->zero_point + level * (1 << (bits - 2 * NW_TAP_BITS)));
        }
    }
}

void nw_resize_reals_ref(const nw_resize_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const nw_tap *t = &call->taps[i];
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_step;
        for (int32_t c = 0; c < call->channels; c++) {
            const int32_t low = t->low + 4 * c;
            const int32_t high = t->high + 4 * c;
            float left = nw_load_f32(call->top + low);
            float right = nw_load_f32(call->top + high);
            if (call->bottom) {
                left = left + (nw_load_f32(call->bottom + low) - left) * call->down.fraction;
                right = right + (nw_load_f32(call->bottom + high) - right) * call->down.fraction;
            }
            nw_store_f32(y + 4 * c, left + (right - left) * t->fraction);
        }
    }
}
