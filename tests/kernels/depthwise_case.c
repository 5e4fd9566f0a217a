/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random depthwise rows: taps of a kernel with dilation, or anywhere in the picture.
 *
 * slots: 0 picture, 1 weights, 2 x_lo, 3 x_hi, 4 packed (ref), 5 packed (opt), 6 and 7 outputs, 8 taps, 10 residual,
 * 12.. requant
 */
#include <string.h>

#include "check.h"

typedef struct depthwise_case {
    int32_t n, rows, channels, n_taps, kernel_w, stride, pixel_stride, row_stride, weight_max;
    bool common;
    bool extreme; /* codes and weights */
    nw_arrangement arrangement;
    int8_t *weights;
    int32_t *taps;
    uint8_t *x_lo, *x_hi, *picture;
    nw_requant requant;
    check_requant_kind kind;
} depthwise_case;

static void draw_shape(check *c, depthwise_case *t)
{
    static const int32_t kernels[][2] = {{3, 3}, {5, 5}, {1, 1}, {1, 3}, {2, 2}, {7, 7}, {3, 1}, {9, 1}};
    static const int32_t weight_max[] = {127, 127, 63, 31, 7, 1};
    const int32_t last = t->common ? check_one_in(c, 4) : check_one_in(c, 2) ? 1 : (int32_t)NW_COUNT(kernels) - 1;
    const int32_t *kernel = kernels[check_range(c, 0, last)];
    const int32_t dilation = check_one_in(c, 4) ? 2 : 1;
    t->kernel_w = kernel[1];
    t->n_taps = kernel[0] * kernel[1];
    t->stride = check_range(c, 1, 2);
    t->weight_max = weight_max[check_range(c, 0, NW_COUNT(weight_max) - 1)];
    t->extreme = check_one_in(c, 3);
    t->arrangement = (nw_arrangement)check_range(c, 0, NW_ARRANGE_COUNT - 1);
    t->pixel_stride = t->channels + (!t->common && check_one_in(c, 3) ? check_range(c, 1, 9) : 0);
    const int32_t width = (t->n - 1) * t->stride + (t->kernel_w - 1) * dilation + 1;
    t->row_stride = width * t->pixel_stride + (check_one_in(c, 2) ? 7 : 0);
    t->taps = check_alloc(c, 8, (size_t)t->n_taps * 4, 4);
    for (int32_t i = 0; i < t->n_taps; i++)
        t->taps[i] = (i / kernel[1]) * dilation * t->row_stride + (i % kernel[1]) * dilation * t->pixel_stride;
    t->rows = check_one_in(c, 2) ? check_range(c, 2, 4) : 1;
    const size_t size = (size_t)t->row_stride * (size_t)((kernel[0] - 1) * dilation + t->rows);
    t->picture = check_alloc(c, 0, size + NW_OVERREAD, 1);
}

static void draw_values(check *c, depthwise_case *t)
{
    const int32_t codes = check_range(c, 0, 2); /* full, narrow, lifted */
    t->x_lo = check_alloc(c, 2, (size_t)t->channels, 1);
    t->x_hi = check_alloc(c, 3, (size_t)t->channels, 1);
    for (int32_t i = 0; i < t->channels; i++) {
        t->x_lo[i] = (uint8_t)(codes == 2 ? check_range(c, 0, 200) : 0);
        t->x_hi[i] = (uint8_t)(codes == 0 ? 255 : check_range(c, t->x_lo[i], codes == 1 ? 127 : 255));
    }
    t->weights = check_alloc(c, 1, (size_t)t->channels * (size_t)t->n_taps, 1);
    for (int32_t i = 0; i < t->channels * t->n_taps; i++)
        t->weights[i] = (int8_t)(t->extreme ? (check_one_in(c, 2) ? t->weight_max : -t->weight_max)
                                            : check_range(c, -t->weight_max, t->weight_max));
    for (int32_t i = 0; i < t->rows * t->n; i++)
        for (int32_t tap = 0; tap < t->n_taps; tap++) {
            uint8_t *pixel = t->picture + (ptrdiff_t)(i / t->n) * t->row_stride +
                             (ptrdiff_t)(i % t->n) * t->stride * t->pixel_stride + t->taps[tap];
            for (int32_t j = 0; j < t->channels; j++)
                pixel[j] = t->extreme ? (check_one_in(c, 4) ? t->x_lo[j] : t->x_hi[j])
                                      : (uint8_t)check_range(c, t->x_lo[j], t->x_hi[j]);
        }
}

/* One pixel gets its worst input: in every channel each code at the limit that its weight's sign asks for. */
static void attack(check *c, depthwise_case *t)
{
    const int32_t i = check_range(c, 0, t->n - 1);
    for (int32_t j = 0; j < t->channels; j++) {
        const bool up = check_one_in(c, 2);
        for (int32_t tap = 0; tap < t->n_taps; tap++) {
            const int8_t w = t->weights[j * t->n_taps + tap];
            t->picture[(ptrdiff_t)i * t->stride * t->pixel_stride + t->taps[tap] + j] =
                (w > 0) == up ? t->x_hi[j] : t->x_lo[j];
        }
    }
}

static void *pack(check *c, const depthwise_case *t, const nw_depthwise *depthwise, int32_t slot)
{
    const nw_depthwise_source source = {.weights = t->weights,
                                        .n_channels = t->channels,
                                        .n_taps = t->n_taps,
                                        .tap_offset = t->taps,
                                        .x_lo = t->x_lo,
                                        .x_hi = t->x_hi,
                                        .arrangement = t->arrangement};
    const size_t size = depthwise->pack(NULL, &source);
    void *packed = check_alloc(c, slot, size, NW_ALIGNMENT);
    check_true(c, "pack: same size with memory", depthwise->pack(packed, &source) == size);
    return packed;
}

/* Row by row. */
static void run_rows(const nw_depthwise *depthwise, const nw_depthwise_call *call)
{
    nw_depthwise_call row = *call;
    for (int32_t i = 0; i < call->rows; i++) {
        depthwise->run(&row);
        row.a += call->a_row;
        row.c = (uint8_t *)row.c + call->c_row;
        if (row.residual)
            row.residual += call->residual_row;
    }
}

/* common: 3x3 or 5x5 over codes that lie together, to codes that do, none of the rarer options. */
static void one_case(check *c, const nw_depthwise *ref, const nw_depthwise *opt, int32_t n, int32_t channels,
                     bool common)
{
    depthwise_case t = {.n = n, .channels = channels, .common = common};
    check_case(c);
    draw_shape(c, &t);
    draw_values(c, &t);
    if (check_one_in(c, 2))
        attack(c, &t);
    t.kind = (check_requant_kind){.shift = !common && check_one_in(c, 3),
                                  .residual = !common && check_one_in(c, 3),
                                  .wrap16 = !common && check_one_in(c, 6),
                                  .float_output = !common && check_one_in(c, 5),
                                  .magnitude = 3000.0f * (float)t.n_taps};
    check_requant(c, &t.requant, 12, channels, &t.kind);
    check_describe(
        c, "n=%d rows=%d channels=%d taps=%d stride=%d weights=%d extreme=%d shift=%d residual=%d wrap=%d float=%d", n,
        t.rows, channels, t.n_taps, t.stride, t.weight_max, t.extreme, t.kind.shift, t.kind.residual, t.kind.wrap16,
        t.kind.float_output);
    const void *packed_ref = pack(c, &t, ref, 4);
    const void *packed_opt = pack(c, &t, opt, 5);
    if (opt->count_runs) {
        nw_run_counts counts = {0};
        int64_t n_steps = 0;
        opt->count_runs(&counts, packed_opt);
        for (int32_t length = 0; length <= NW_LONGEST_RUN; length++)
            n_steps += length * counts.runs[length];
        check_true(c, "count_runs: a place for every tap",
                   n_steps > 0 && counts.places >= (int64_t)t.channels * t.n_taps);
    }
    const int32_t spare = check_one_in(c, 2) ? 22 : 3;
    const int32_t c_step = common ? channels : (channels * (t.kind.float_output ? 4 : 1) + spare) / 4 * 4;
    const int32_t c_row = c_step * n + 4 * check_range(c, 0, 5);
    const size_t out_size = (size_t)c_row * (size_t)t.rows + 32;
    uint8_t *out_ref = check_alloc(c, 6, out_size, 4);
    uint8_t *out_opt = check_alloc(c, 7, out_size, 4);
    memcpy(out_opt, out_ref, out_size);
    const int32_t residual_step = channels + check_range(c, 0, 3);
    const int32_t residual_row = residual_step * n + check_range(c, 0, 5);
    const uint8_t *residual = check_alloc(c, 10, (size_t)residual_row * (size_t)t.rows + NW_OVERREAD, 1);
    nw_depthwise_call call = {.packed = packed_ref,
                              .requant = &t.requant,
                              .a = t.picture,
                              .residual = t.kind.residual ? residual : NULL,
                              .c = out_ref + 16,
                              .a_step = t.stride * t.pixel_stride,
                              .residual_step = residual_step,
                              .c_step = c_step,
                              .n = n,
                              .rows = t.rows,
                              .a_row = t.row_stride,
                              .residual_row = residual_row,
                              .c_row = c_row};
    run_rows(ref, &call);
    call.packed = packed_opt;
    call.c = out_opt + 16;
    if (opt->run_rows)
        opt->run_rows(&call);
    else
        run_rows(opt, &call);
    check_equal(c, "output", out_ref, out_opt, out_size);
}

void check_depthwise(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "depthwise"))
        return;
    static const int32_t channels[] = {1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 64, 65, 96, 130};
    static const int32_t n[] = {1, 2, 3, 4, 5, 7, 8, 16, 33, 50};
    for (size_t i = 0; i < NW_COUNT(channels); i++)
        for (size_t j = 0; j < NW_COUNT(n); j++)
            for (int32_t repeat = 0; repeat < 6; repeat++)
                one_case(c, &ref->depthwise, &opt->depthwise, n[j], channels[i], false);
    for (size_t i = 0; i < NW_COUNT(channels); i++)
        for (int32_t width = 4; width < 40; width++)
            one_case(c, &ref->depthwise, &opt->depthwise, width, channels[i], true);
}
