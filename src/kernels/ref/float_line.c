/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise functions of reals: one operation per element, in the float tail of a network. */
#include "base/elementary.h"
#include "base/reals.h"
#include "kernels/ref/ref.h"

static float apply(nw_float_function function, float a, float b)
{
    switch (function) {
    case NW_FLOAT_SIGMOID:
        return nw_sigmoid(a);
    case NW_FLOAT_TANH:
        return nw_tanh(a);
    case NW_FLOAT_EXP:
        return nw_exp(a);
    case NW_FLOAT_RELU:
        return a > 0.0f ? a : 0.0f;
    case NW_FLOAT_ADD:
        return a + b;
    case NW_FLOAT_SUB:
        return a - b;
    case NW_FLOAT_MUL:
        return a * b;
    default:
        return a / b;
    }
}

void nw_float_line_ref(const nw_float_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const float a = call->a[call->a_step * i];
        const float b = call->b ? call->b[call->b_step * i] : 0.0f;
        nw_store_f32((uint8_t *)(call->y + i), apply(call->function, a, b));
    }
}
