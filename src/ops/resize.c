/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize of height and width, on codes and on reals: the taps of docs/numerics.md, worked out once in integers.
 * Nearest, and linear where every weight is 0 (one pixel spread over a picture), moves pixels; the rest are kernels
 * over rows. One tile is one output row.
 */
#include <string.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "ops/ops.h"

#define ROW 4096 /* reals of an input row that are blended ahead, at most */

typedef struct resize_state {
    void (*kernel)(const nw_resize_call *call); /* NULL: moves pixels */
    nw_view x, y;
    const nw_tap *rows, *columns; /* [H], [W] of y */
    const int32_t *shift;
    int32_t zero_point;
    bool to_caller;
    float *const *caller;
    int32_t n_blended; /* reals of an input row that are blended ahead, or 0 */
    void (*float_line)(const nw_float_call *call);
    void (*transpose)(const nw_transpose_call *call);
} resize_state;

/** Position of output i in the input, a fraction of two integers, before it is clamped to the picture. */
static void position_of(nw_resize_coordinates coordinates, int64_t i, int64_t in, int64_t out, int64_t *num,
                        int64_t *den)
{
    *num = 0;
    *den = 1;
    switch (coordinates) {
    case NW_COORDINATES_ALIGN_CORNERS:
        if (out > 1) {
            *num = i * (in - 1);
            *den = out - 1;
        }
        return;
    case NW_COORDINATES_ASYMMETRIC:
        *num = i * in;
        *den = out;
        return;
    case NW_COORDINATES_PYTORCH_HALF_PIXEL:
        if (out == 1)
            return;
        break;
    case NW_COORDINATES_HALF_PIXEL:
        break;
    }
    *num = (2 * i + 1) * in - out;
    *den = 2 * out;
}

static nw_tap tap_of(const nw_resize_params *params, int64_t i, int64_t in, int64_t out, int32_t stride)
{
    int64_t num = i * in;
    int64_t den = out;
    if (params->mode == NW_RESIZE_LINEAR)
        position_of(params->coordinates, i, in, out, &num, &den);
    const int64_t low = num > 0 ? num / den : 0;
    const int64_t rest = params->mode == NW_RESIZE_LINEAR && num > 0 && low < in - 1 ? num % den : 0;
    if (rest == 0) {
        const int32_t at = (int32_t)(low < in - 1 ? low : in - 1) * stride;
        return (nw_tap){at, at, 0, 0.0f};
    }
    return (nw_tap){.low = (int32_t)low * stride,
                    .high = (int32_t)(low + 1) * stride,
                    .weight = (int32_t)((2 * NW_TAP_ONE * rest + den) / (2 * den)),
                    .fraction = (float)rest / (float)den};
}

/** Taps along one axis, into the arena; *plain becomes false if any of them blends. */
static const nw_tap *make_taps(const nw_resize_params *params, int32_t in, int32_t out, ptrdiff_t stride, bool *plain,
                               nw_arena *arena)
{
    nw_tap *taps = nw_arena_take(arena, (size_t)out * sizeof(*taps));
    for (int32_t i = 0; taps && i < out; i++) {
        taps[i] = tap_of(params, i, in, out, (int32_t)stride);
        *plain = *plain && taps[i].low == taps[i].high;
    }
    return taps;
}

/**
 * Rows of reals, once for all output pixels where there are many for each input pixel: `to` = top + (bottom - top) * w.
 * Operation for operation what the kernel does, so where either gives a NaN the other does. NULL: not worth it.
 */
static const uint8_t *blend_row(const resize_state *s, int32_t row, float to[ROW])
{
    if (!s->n_blended)
        return NULL;
    const float *top = (const float *)(const void *)(s->x.data + s->rows[row].low);
    const float *bottom = (const float *)(const void *)(s->x.data + s->rows[row].high);
    const nw_float_call calls[3] = {
        {.function = NW_FLOAT_SUB, .y = to, .a = bottom, .b = top, .a_step = 1, .b_step = 1, .n = s->n_blended},
        {.function = NW_FLOAT_MUL, .y = to, .a = to, .b = &s->rows[row].fraction, .a_step = 1, .n = s->n_blended},
        {.function = NW_FLOAT_ADD, .y = to, .a = top, .b = to, .a_step = 1, .b_step = 1, .n = s->n_blended},
    };
    for (size_t i = 0; i < NW_COUNT(calls); i++)
        s->float_line(&calls[i]);
    return (const uint8_t *)to;
}

/** The pixels [first, first + n) of an output row, to `y`; blended: from blend_row. */
static void make_pixels(const resize_state *s, int32_t row, const uint8_t *blended, int32_t first, int32_t n,
                        uint8_t *y, ptrdiff_t y_step)
{
    if (!s->kernel) {
        const size_t size = (size_t)nw_view_channels(&s->y) * (size_t)s->y.element_size;
        for (int32_t i = 0; i < n; i++)
            memcpy(y + i * y_step, s->x.data + (s->rows[row].low + s->columns[first + i].low), size);
        return;
    }
    const nw_resize_call call = {.top = blended ? blended : s->x.data + s->rows[row].low,
                                 .bottom = blended ? NULL : s->x.data + s->rows[row].high,
                                 .down = s->rows[row],
                                 .taps = s->columns + first,
                                 .y = y,
                                 .y_step = (int32_t)y_step,
                                 .n = n,
                                 .channels = nw_view_channels(&s->y),
                                 .zero_point = s->zero_point,
                                 .shift = s->shift};
    s->kernel(&call);
}

/** A row of reals to the planes of the caller's array, a few pixels at a time through memory that stays near. */
static void give_row(const resize_state *s, int32_t row, const uint8_t *blended)
{
    float pixels[4 * NW_RESIZE_MOST_PLANES];
    const int32_t channels = nw_view_channels(&s->y);
    const int32_t width = nw_view_width(&s->y);
    const ptrdiff_t step = (ptrdiff_t)sizeof(float) * channels;
    const ptrdiff_t plane = s->y.strides[1];
    uint8_t *y = (uint8_t *)*s->caller + row * nw_view_row_stride(&s->y);
    const int32_t most = (int32_t)NW_COUNT(pixels) / channels;
    for (int32_t i = 0; i < width; i += most) {
        const int32_t n = nw_min32(most, width - i);
        make_pixels(s, row, blended, i, n, (uint8_t *)pixels, step);
        s->transpose(&(nw_transpose_call){.y = y + (ptrdiff_t)sizeof(float) * i,
                                          .x = (const uint8_t *)pixels,
                                          .y_step = plane,
                                          .x_step = step,
                                          .n = channels,
                                          .m = n});
    }
}

static void run(const void *state, int32_t begin, int32_t end)
{
    const resize_state *s = state;
    float memory[ROW];
    for (int32_t row = begin; row < end; row++) {
        const uint8_t *blended = blend_row(s, row, memory);
        if (s->to_caller)
            give_row(s, row, blended);
        else
            make_pixels(s, row, blended, 0, nw_view_width(&s->y), s->y.data + row * nw_view_row_stride(&s->y),
                        nw_view_pixel_stride(&s->y));
    }
}

/** Reals from the first of an input row to the last, if blending them ahead spares most of the work; else 0. */
static int32_t row_to_blend(const nw_view *x, const nw_view *y)
{
    const ptrdiff_t n = (nw_view_width(x) - 1) * nw_view_pixel_stride(x) / 4 + nw_view_channels(x);
    return x->element_size == 4 && n <= ROW && nw_view_width(y) >= 2 * nw_view_width(x) ? (int32_t)n : 0;
}

nw_job nw_resize_make(const nw_resize_params *params, const nw_kernels *kernels, nw_arena *arena)
{
    const nw_view *x = &params->x;
    const nw_view *y = &params->y;
    const bool codes = y->element_size == 1;
    bool plain = true;
    const nw_tap *rows = make_taps(params, nw_view_height(x), nw_view_height(y), nw_view_row_stride(x), &plain, arena);
    const nw_tap *columns =
        make_taps(params, nw_view_width(x), nw_view_width(y), nw_view_pixel_stride(x), &plain, arena);
    const int32_t *shift = codes ? nw_shift_copy(params->y_codes.shift, nw_view_channels(y), arena) : NULL;
    resize_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = (resize_state){.kernel = plain ? NULL : codes ? kernels->resize_codes : kernels->resize_reals,
                            .x = *x,
                            .y = *y,
                            .rows = rows,
                            .columns = columns,
                            .shift = shift,
                            .zero_point = codes ? params->y_codes.zero_point : 0,
                            .to_caller = params->to_caller,
                            .caller = params->caller,
                            .n_blended = plain ? 0 : row_to_blend(x, y),
                            .float_line = kernels->float_line,
                            .transpose = kernels->transpose};
    return (nw_job){.run = run,
                    .state = s,
                    .kernel = params->mode == NW_RESIZE_LINEAR ? "resize_linear" : "resize_nearest",
                    .n_tiles = nw_view_height(y)};
}
