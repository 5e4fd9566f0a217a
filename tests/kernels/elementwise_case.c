/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums and products of two pictures, and tables.
 *
 * slots: 0 and 1 inputs, 2 and 3 multipliers, 6 and 7 outputs, 12.. requant
 */
#include <string.h>

#include "check.h"

static float *multipliers(check *c, int32_t slot, int32_t channels)
{
    float *m = check_alloc(c, slot, ((size_t)channels + NW_PARAMETER_PAD) * 4, 4);
    for (int32_t i = 0; i < channels; i++)
        m[i] = check_one_in(c, 5) ? 0.5f : check_float(c, -1.5f, 2.0f);
    return m;
}

static void one_add(check *c, const nw_kernels *ref, const nw_kernels *opt, int32_t n, int32_t channels)
{
    check_case(c);
    const check_requant_kind kind = {.shift = check_one_in(c, 3), .magnitude = 255.0f};
    nw_requant requant;
    check_requant(c, &requant, 12, channels, &kind);
    nw_add_call call = {.a_step = channels + check_range(c, 0, 3),
                        .b_step = channels + check_range(c, 0, 3),
                        .y_step = channels + (check_one_in(c, 2) ? check_range(c, 0, 9) : 0),
                        .n = n,
                        .channels = channels,
                        .zero_a = check_range(c, 0, 255),
                        .zero_b = check_range(c, 0, 255),
                        .requant = &requant};
    if (check_one_in(c, 2)) /* pixels that lie together */
        call.a_step = call.b_step = call.y_step = channels;
    call.a = check_alloc(c, 0, (size_t)call.a_step * (size_t)n + NW_OVERREAD, 1);
    call.b = check_alloc(c, 1, (size_t)call.b_step * (size_t)n + NW_OVERREAD, 1);
    call.multiplier_a = multipliers(c, 2, channels);
    call.multiplier_b = multipliers(c, 3, channels);
    const size_t size = (size_t)call.y_step * (size_t)n + 32;
    uint8_t *out_ref = check_alloc(c, 6, size, 1);
    uint8_t *out_opt = check_alloc(c, 7, size, 1);
    memcpy(out_opt, out_ref, size);
    check_describe(c, "n=%d channels=%d steps=%d,%d,%d shift=%d", n, channels, call.a_step, call.b_step, call.y_step,
                   kind.shift);
    call.y = out_ref + 16;
    ref->add(&call);
    call.y = out_opt + 16;
    opt->add(&call);
    check_equal(c, "output", out_ref, out_opt, size);
}

void check_add(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "add"))
        return;
    static const int32_t channels[] = {1, 3, 8, 15, 16, 17, 31, 32, 33, 64, 100};
    for (size_t i = 0; i < NW_COUNT(channels); i++)
        for (int32_t n = 1; n <= 20; n++)
            one_add(c, ref, opt, n, channels[i]);
}

static void one_product(check *c, const nw_kernels *ref, const nw_kernels *opt, int32_t n, int32_t channels)
{
    check_case(c);
    const check_requant_kind kind = {.shift = check_one_in(c, 3), .magnitude = 20000.0f};
    nw_requant requant;
    check_requant(c, &requant, 12, channels, &kind);
    nw_multiply_call call = {.a_step = channels + check_range(c, 0, 3),
                             .b_step = check_one_in(c, 3) ? 0 : channels + check_range(c, 0, 3),
                             .y_step = channels + (check_one_in(c, 2) ? check_range(c, 0, 9) : 0),
                             .n = n,
                             .channels = channels,
                             .zero_a = check_range(c, 0, 255),
                             .zero_b = check_range(c, 0, 255),
                             .requant = &requant};
    call.a = check_alloc(c, 0, (size_t)call.a_step * (size_t)n + NW_OVERREAD, 1);
    call.b = check_alloc(c, 1, (size_t)(call.b_step ? call.b_step * n : channels) + NW_OVERREAD, 1);
    const size_t size = (size_t)call.y_step * (size_t)n + 32;
    uint8_t *out_ref = check_alloc(c, 6, size, 1);
    uint8_t *out_opt = check_alloc(c, 7, size, 1);
    memcpy(out_opt, out_ref, size);
    check_describe(c, "n=%d channels=%d steps=%d,%d,%d shift=%d", n, channels, call.a_step, call.b_step, call.y_step,
                   kind.shift);
    call.y = out_ref + 16;
    ref->multiply(&call);
    call.y = out_opt + 16;
    opt->multiply(&call);
    check_equal(c, "output", out_ref, out_opt, size);
}

void check_multiply(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "multiply"))
        return;
    static const int32_t channels[] = {1, 3, 8, 15, 16, 17, 31, 32, 33, 64, 100};
    for (size_t i = 0; i < NW_COUNT(channels); i++)
        for (int32_t n = 1; n <= 20; n++)
            one_product(c, ref, opt, n, channels[i]);
}

static void one_table(check *c, const nw_kernels *ref, const nw_kernels *opt, size_t n)
{
    check_case(c);
    const uint8_t *table = check_alloc(c, 2, 256, 1);
    const uint8_t *x = check_alloc(c, 0, n + NW_OVERREAD, 1);
    uint8_t *out_ref = check_alloc(c, 6, n + 32, 1);
    uint8_t *out_opt = check_alloc(c, 7, n + 32, 1);
    memcpy(out_opt, out_ref, n + 32);
    check_describe(c, "n=%zu", n);
    ref->table(out_ref + 16, x, n, table);
    opt->table(out_opt + 16, x, n, table);
    check_equal(c, "output", out_ref, out_opt, n + 32);
    memcpy(out_ref + 16, x, n); /* in place */
    opt->table(out_ref + 16, out_ref + 16, n, table);
    check_equal(c, "output in place", out_opt + 16, out_ref + 16, n);
}

void check_table(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "table"))
        return;
    for (size_t n = 1; n <= 300; n++)
        one_table(c, ref, opt, n);
    one_table(c, ref, opt, 5000);
}

static void one_picture(check *c, const nw_kernels *ref, const nw_kernels *opt, int32_t width, int32_t channels)
{
    check_case(c);
    nw_tables_call call = {.width = width, .height = check_range(c, 1, 4), .channels = channels};
    call.x_step = channels + check_range(c, 0, 3);
    call.y_step = check_one_in(c, 3) ? call.x_step : channels + check_range(c, 0, 9);
    call.x_row = call.x_step * width + check_range(c, 0, 40);
    call.y_row = call.y_step * width + check_range(c, 0, 40);
    call.tables = check_alloc(c, 2, (size_t)channels * 256, 1);
    const size_t x_size = (size_t)call.x_row * (size_t)call.height;
    const size_t size = (size_t)call.y_row * (size_t)call.height + 32;
    uint8_t *x = check_alloc(c, 0, x_size + NW_OVERREAD, 1);
    uint8_t *out_ref = check_alloc(c, 6, size, 1);
    uint8_t *out_opt = check_alloc(c, 7, size, 1);
    memcpy(out_opt, out_ref, size);
    check_describe(c, "width=%d height=%d channels=%d steps=%d,%d", width, call.height, channels, (int)call.x_step,
                   (int)call.y_step);
    call.x = x;
    call.y = out_ref + 16;
    ref->tables(&call);
    call.y = out_opt + 16;
    opt->tables(&call);
    check_equal(c, "output", out_ref, out_opt, size);
    if (call.x_step != call.y_step)
        return;
    call.x_row = call.y_row;
    x = check_alloc(c, 0, (size_t)call.y_row * (size_t)call.height + NW_OVERREAD, 1);
    call.x = x;
    call.y = out_ref + 16;
    ref->tables(&call);
    call.y = x; /* in place */
    opt->tables(&call);
    for (int32_t row = 0; row < call.height; row++)
        for (int32_t i = 0; i < width; i++)
            check_equal(c, "output in place", out_ref + 16 + row * call.y_row + i * call.y_step,
                        x + row * call.y_row + i * call.y_step, (size_t)channels);
}

void check_tables(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "tables"))
        return;
    static const int32_t channels[] = {1, 3, 8, 15, 16, 17, 32, 33, 64, 100};
    for (size_t i = 0; i < NW_COUNT(channels); i++)
        for (int32_t width = 1; width <= 70; width += width < 20 ? 1 : 7)
            one_picture(c, ref, opt, width, channels[i]);
}

static void one_matrix(check *c, const nw_kernels *ref, const nw_kernels *opt, int32_t n, int32_t m)
{
    check_case(c);
    nw_transpose_call call = {.n = n, .m = m};
    call.x_step = 4 * (n + (check_one_in(c, 2) ? check_range(c, 0, 9) : 0));
    call.y_step = 4 * (m + (check_one_in(c, 2) ? check_range(c, 0, 9) : 0));
    const size_t x_size = (size_t)call.x_step * (size_t)(m - 1) + 4 * (size_t)n;
    const size_t size = (size_t)call.y_step * (size_t)(n - 1) + 4 * (size_t)m;
    call.x = check_alloc(c, 0, x_size, 4);
    uint8_t *out_ref = check_alloc(c, 6, size, 4);
    uint8_t *out_opt = check_alloc(c, 7, size, 4);
    memcpy(out_opt, out_ref, size);
    check_describe(c, "n=%d m=%d steps=%d,%d", n, m, (int)call.x_step, (int)call.y_step);
    call.y = out_ref;
    ref->transpose(&call);
    call.y = out_opt;
    opt->transpose(&call);
    check_equal(c, "output", out_ref, out_opt, size);
}

void check_transpose(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "transpose"))
        return;
    for (int32_t n = 1; n <= 20; n++)
        for (int32_t m = 1; m <= 20; m++)
            one_matrix(c, ref, opt, n, m);
    one_matrix(c, ref, opt, 200, 21);
    one_matrix(c, ref, opt, 3, 300);
}
