/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The borders between reals and codes.
 *
 *     quantize:   y = z + (rint(min(max(x * (1 / scale) * 2^-shift, lo), hi)) << shift); pixels through a table
 *     dequantize: y = scale * f32(x - z)
 */
#include "ops/ops.h"

typedef struct quantize_state {
    nw_kernels kernels;
    const nw_input_slot *slot;
    nw_view y;
    nw_requant requant; /* multiplier: inverse scale times 2^-shift (exact), lo, hi, shift, zero point */
    const uint8_t *pixel_tables;
} quantize_state;

static void quantize_pixels(const quantize_state *s, int32_t row, uint8_t *y)
{
    const int32_t channels = nw_view_channels(&s->y);
    const int32_t width = nw_view_width(&s->y);
    const ptrdiff_t step = nw_view_pixel_stride(&s->y);
    const uint8_t *x = s->slot->pixels + (size_t)row * (size_t)width * (size_t)channels;
    if (channels == 1 && step == 1)
        s->kernels.table(y, x, (size_t)width, s->pixel_tables);
    else if (channels == 3)
        for (int32_t i = 0; i < width; i++, x += 3, y += step) {
            y[0] = s->pixel_tables[x[0]];
            y[1] = s->pixel_tables[256 + x[1]];
            y[2] = s->pixel_tables[512 + x[2]];
        }
    else
        for (int32_t i = 0; i < width; i++, y += step)
            for (int32_t c = 0; c < channels; c++)
                y[c] = s->pixel_tables[(size_t)c * 256 + *x++];
}

static void quantize_values(const quantize_state *s, int32_t row, uint8_t *y)
{
    const int32_t width = nw_view_width(&s->y);
    const nw_quantize_call call = {
        .x = s->slot->values + (size_t)row * (size_t)width,
        .x_plane = (ptrdiff_t)width * nw_view_height(&s->y),
        .y = y,
        .y_step = (int32_t)nw_view_pixel_stride(&s->y),
        .n = width,
        .channels = nw_view_channels(&s->y),
        .requant = &s->requant,
    };
    s->kernels.quantize(&call);
}

static void run_quantize_rows(const void *state, const nw_rows *rows)
{
    const quantize_state *s = state;
    for (int32_t row = rows->begin; row < rows->end; row++) {
        uint8_t *y = s->y.data + (row * nw_view_row_stride(&s->y) + rows->y);
        if (s->slot->pixels)
            quantize_pixels(s, row, y);
        else
            quantize_values(s, row, y);
    }
}

static void run_quantize(const void *state, int32_t begin, int32_t end)
{
    run_quantize_rows(state, &(nw_rows){.begin = begin, .end = end});
}

/** [C] inverse scale times 2^-shift: a power of two, so the product is exact. */
static const float *multipliers(const nw_quantize_params *params, int32_t channels, nw_arena *arena)
{
    float *m = nw_arena_take(arena, ((size_t)channels + NW_PARAMETER_PAD) * sizeof(*m));
    for (int32_t c = 0; m && c < channels + NW_PARAMETER_PAD; c++)
        m[c] = c < channels ? params->inverse_scale / (float)(1 << params->y_codes.shift[c]) : 0.0f;
    return m;
}

nw_job nw_quantize_make(const nw_quantize_params *params, const nw_kernels *kernels, nw_arena *arena)
{
    const int32_t channels = nw_view_channels(&params->y);
    const nw_requant from = {
        .lo = params->y_codes.lo, .hi = params->y_codes.hi, .zero_point = params->y_codes.zero_point};
    nw_requant requant;
    nw_requant_copy(&requant, &from, channels, arena);
    requant.multiplier = multipliers(params, channels, arena);
    requant.shift = nw_shift_copy(params->y_codes.shift, channels, arena);
    const uint8_t *tables =
        params->pixel_tables ? nw_arena_copy(arena, params->pixel_tables, (size_t)channels * 256, 0) : NULL;
    quantize_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = (quantize_state){*kernels, params->slot, params->y, requant, tables};
    return (nw_job){.run = run_quantize,
                    .state = s,
                    .kernel = "quantize",
                    .n_tiles = nw_view_height(&params->y),
                    .run_rows = run_quantize_rows};
}

typedef struct dequantize_state {
    nw_view y, x;
    float scale;
    int32_t zero_point;
    void (*dequantize)(float *y, const uint8_t *x, size_t n, float scale, int32_t zero_point);
} dequantize_state;

static void run_dequantize_rows(const void *state, const nw_rows *rows)
{
    const dequantize_state *s = state;
    for (int32_t row = rows->begin; row < rows->end; row++)
        for (int32_t i = 0; i < nw_view_width(&s->y); i++) {
            const uint8_t *x =
                s->x.data + (row * nw_view_row_stride(&s->x) + i * nw_view_pixel_stride(&s->x) + rows->x[0]);
            uint8_t *y = s->y.data + (row * nw_view_row_stride(&s->y) + i * nw_view_pixel_stride(&s->y) + rows->y);
            s->dequantize((float *)(void *)y, x, (size_t)nw_view_channels(&s->y), s->scale, s->zero_point);
        }
}

static void run_dequantize(const void *state, int32_t begin, int32_t end)
{
    run_dequantize_rows(state, &(nw_rows){.begin = begin, .end = end});
}

nw_job nw_dequantize_make(const nw_view *y, const nw_view *x, float scale, int32_t zero_point,
                          const nw_kernels *kernels, nw_arena *arena)
{
    dequantize_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = (dequantize_state){*y, *x, scale, zero_point, kernels->dequantize};
    return (nw_job){.run = run_dequantize,
                    .state = s,
                    .kernel = "dequantize",
                    .n_tiles = nw_view_height(y),
                    .run_rows = run_dequantize_rows};
}
