/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The borders between reals and codes.
 *
 *     quantize:   y = z + (rint(min(max(x * (1 / scale) * 2^-shift, lo), hi)) << shift); pixels through a table
 *     dequantize: y = scale * f32(x - z)
 */
#include <string.h>

#include "base/arith.h"
#include "ops/ops.h"

#define LINE 256 /* reals quantized at a time */

typedef struct quantize_state {
    const nw_input_slot *slot;
    nw_view y;
    nw_requant requant; /* multiplier: inverse scale times 2^-shift (exact), lo, hi, shift, zero point */
    const uint8_t *pixel_tables;
} quantize_state;

static void quantize_pixels(const quantize_state *s, int32_t row, ptrdiff_t shift)
{
    const int32_t channels = nw_view_channels(&s->y);
    const int32_t width = nw_view_width(&s->y);
    const uint8_t *x = s->slot->pixels + (size_t)row * (size_t)width * (size_t)channels;
    for (int32_t i = 0; i < width; i++) {
        uint8_t *y = s->y.data + (row * nw_view_row_stride(&s->y) + i * nw_view_pixel_stride(&s->y) + shift);
        for (int32_t c = 0; c < channels; c++)
            y[c] = s->pixel_tables[(size_t)c * 256 + *x++];
    }
}

/** Codes of n consecutive reals of one channel. A NaN compares false with everything and so becomes lo everywhere. */
static void quantize_line(const nw_requant *r, int32_t c, const float *x, uint8_t *codes, int32_t n)
{
    const int32_t shift = r->shift ? r->shift[c] : 0;
    for (int32_t i = 0; i < n; i++)
        codes[i] = nw_clamp_round(x[i] * r->multiplier[c], r->lo[c], r->hi[c], shift, r->zero_point);
}

static void quantize_values(const quantize_state *s, int32_t row, ptrdiff_t shift)
{
    const int32_t channels = nw_view_channels(&s->y);
    const int32_t width = nw_view_width(&s->y);
    const ptrdiff_t step = nw_view_pixel_stride(&s->y);
    const size_t plane = (size_t)width * (size_t)nw_view_height(&s->y);
    uint8_t codes[LINE];
    for (int32_t c = 0; c < channels; c++) {
        const float *x = s->slot->values + (size_t)c * plane + (size_t)row * (size_t)width;
        uint8_t *y = s->y.data + (row * nw_view_row_stride(&s->y) + c + shift);
        for (int32_t i = 0; i < width; i += LINE) {
            const int32_t n = nw_min32(LINE, width - i);
            quantize_line(&s->requant, c, x + i, codes, n);
            for (int32_t j = 0; j < n; j++)
                y[(i + j) * step] = codes[j];
        }
    }
}

static void run_quantize_rows(const void *state, const nw_rows *rows)
{
    const quantize_state *s = state;
    for (int32_t row = rows->begin; row < rows->end; row++)
        if (s->slot->pixels)
            quantize_pixels(s, row, rows->y);
        else
            quantize_values(s, row, rows->y);
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

nw_job nw_quantize_make(const nw_quantize_params *params, nw_arena *arena)
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
        *s = (quantize_state){params->slot, params->y, requant, tables};
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
} dequantize_state;

static void run_dequantize_rows(const void *state, const nw_rows *rows)
{
    const dequantize_state *s = state;
    for (int32_t row = rows->begin; row < rows->end; row++)
        for (int32_t i = 0; i < nw_view_width(&s->y); i++) {
            const uint8_t *x =
                s->x.data + (row * nw_view_row_stride(&s->x) + i * nw_view_pixel_stride(&s->x) + rows->x[0]);
            uint8_t *y = s->y.data + (row * nw_view_row_stride(&s->y) + i * nw_view_pixel_stride(&s->y) + rows->y);
            for (int32_t c = 0; c < nw_view_channels(&s->y); c++) {
                const float v = s->scale * (float)(x[c] - s->zero_point);
                memcpy(y + (size_t)c * sizeof(v), &v, sizeof(v));
            }
        }
}

static void run_dequantize(const void *state, int32_t begin, int32_t end)
{
    run_dequantize_rows(state, &(nw_rows){.begin = begin, .end = end});
}

nw_job nw_dequantize_make(const nw_view *y, const nw_view *x, float scale, int32_t zero_point, nw_arena *arena)
{
    dequantize_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = (dequantize_state){*y, *x, scale, zero_point};
    return (nw_job){.run = run_dequantize,
                    .state = s,
                    .kernel = "dequantize",
                    .n_tiles = nw_view_height(y),
                    .run_rows = run_dequantize_rows};
}
