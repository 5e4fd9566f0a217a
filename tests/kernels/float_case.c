/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementwise functions of reals. Functions of one operand also see every exponent and the edges of their ranges.
 *
 * slots: 0 and 1 operands, 6 and 7 outputs
 */
#include <math.h>
#include <string.h>

#include "check.h"

static float any_real(check *c)
{
    static const float special[] = {0.0f,        -0.0f,           INFINITY,  -INFINITY,  NAN,
                                    0x1p-149f,   -0x1p-130f,      88.72283f, 88.722839f, -87.33654f,
                                    -87.336548f, 0x1.fffffep127f, 1.0f};
    if (check_one_in(c, 8))
        return special[check_range(c, 0, (int32_t)NW_COUNT(special) - 1)];
    if (check_one_in(c, 3)) { /* any bits */
        const uint32_t bits = (uint32_t)check_random(c);
        float v;
        memcpy(&v, &bits, 4);
        return v;
    }
    return check_float(c, -100.0f, 100.0f);
}

static float *operand(check *c, int32_t slot, int32_t n)
{
    float *x = check_alloc(c, slot, (size_t)n * 4, 4);
    for (int32_t i = 0; i < n; i++)
        x[i] = any_real(c);
    return x;
}

static void one(check *c, const nw_kernels *ref, const nw_kernels *opt, nw_float_function function, int32_t n)
{
    check_case(c);
    nw_float_call call = {.function = function, .n = n};
    call.a_step = !check_one_in(c, 5);
    call.b_step = !check_one_in(c, 3);
    call.a = operand(c, 0, call.a_step ? n : 1);
    call.b = function < NW_FLOAT_ADD ? NULL : operand(c, 1, call.b_step ? n : 1);
    const size_t size = (size_t)n * 4;
    float *out_ref = check_alloc(c, 6, size, 4), *out_opt = check_alloc(c, 7, size, 4);
    check_describe(c, "function=%d n=%d steps=%d,%d", (int)function, n, call.a_step, call.b_step);
    call.y = out_ref;
    ref->float_line(&call);
    call.y = out_opt;
    opt->float_line(&call);
    check_equal(c, "output", out_ref, out_opt, size);
    if (!call.a_step)
        return;
    memcpy(out_opt, call.a, size); /* in place */
    call.a = out_opt;
    opt->float_line(&call);
    check_equal(c, "output in place", out_ref, out_opt, size);
}

void check_float_line(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "float_line"))
        return;
    for (int function = NW_FLOAT_SIGMOID; function <= NW_FLOAT_DIV; function++)
        for (int32_t n = 1; n <= 40; n++)
            one(c, ref, opt, (nw_float_function)function, n);
    for (int function = NW_FLOAT_SIGMOID; function <= NW_FLOAT_RELU; function++)
        for (int i = 0; i < 20; i++)
            one(c, ref, opt, (nw_float_function)function, 5000);
}
