/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution: one tile is a strip of output rows. */
#include <stdlib.h>

#include "base/arith.h"
#include "ops/linear.h"

#define CALL_BYTES 32768 /* of the picture in one call of several rows: about a first-level cache */

typedef struct depthwise_state {
    nw_depthwise kernel;
    nw_requant requant;
    nw_depthwise_call call; /* of row 0; a: pixel (0, 0) of the picture */
    ptrdiff_t a_start; /* from call.a to the first window */
    int32_t height, rows_per_tile, rows_per_call;
} depthwise_state;

static void run_rows(const void *state, const nw_rows *rows)
{
    const depthwise_state *s = state;
    const int32_t most = s->kernel.run_rows ? s->rows_per_call : 1;
    for (int32_t y = rows->begin; y < rows->end; y += most) {
        nw_depthwise_call call = s->call;
        call.a += s->a_start + y * call.a_row + rows->x[0];
        call.c = (uint8_t *)call.c + (y * call.c_row + rows->y);
        if (call.residual)
            call.residual += y * call.residual_row + rows->x[1];
        call.rows = nw_min32(most, rows->end - y);
        if (s->kernel.run_rows)
            s->kernel.run_rows(&call);
        else
            s->kernel.run(&call);
    }
}

static void run(const void *state, int32_t begin, int32_t end)
{
    const depthwise_state *s = state;
    run_rows(s, &(nw_rows){.begin = begin * s->rows_per_tile, .end = nw_min32(end * s->rows_per_tile, s->height)});
}

static void count_runs(const void *state, nw_run_counts *counts)
{
    const depthwise_state *s = state;
    s->kernel.count_runs(counts, s->call.packed);
}

static const void *pack(const nw_linear_params *params, const nw_depthwise *kernel, nw_arena *arena, bool *no_memory)
{
    const nw_window *w = &params->window;
    const int32_t channels = params->n_channels;
    const int32_t taps = w->kernel[0] * w->kernel[1];
    int32_t *offset = malloc((size_t)taps * sizeof(*offset));
    uint8_t *range = malloc(2 * (size_t)channels);
    void *packed = NULL;
    *no_memory = !offset || !range;
    if (!*no_memory) {
        for (int32_t t = 0; t < taps; t++)
            offset[t] = (int32_t)(t / w->kernel[1] * w->dilation[0] * nw_view_row_stride(&params->x) +
                                  t % w->kernel[1] * w->dilation[1] * nw_view_pixel_stride(&params->x));
        for (int32_t c = 0; c < channels; c++)
            nw_linear_input_range(params, c, &range[c], &range[channels + c]);
        const nw_depthwise_source source = {params->weights, channels,         taps,          offset,
                                            range,           range + channels, params->arrangement};
        packed = nw_arena_take(arena, kernel->pack(NULL, &source));
        if (packed)
            kernel->pack(packed, &source);
    }
    free(offset);
    free(range);
    return packed;
}

nw_status nw_depthwise_make(nw_job *job, const nw_linear_params *params, const nw_requant *requant,
                            const nw_kernels *kernels, nw_arena *arena)
{
    const nw_window *w = &params->window;
    const nw_view *x = &params->x;
    const nw_view *y = &params->y;
    bool no_memory;
    const void *packed = pack(params, &kernels->depthwise, arena, &no_memory);
    if (no_memory)
        return NW_ERROR_MEMORY;
    const int64_t row_work = (int64_t)nw_view_width(y) * params->n_channels * params->k;
    const int32_t rows = row_work < NW_TILE_GRAIN ? NW_TILE_GRAIN / (int32_t)row_work : 1;
    *job = (nw_job){.run = run,
                    .kernel = kernels->depthwise.name,
                    .n_tiles = (nw_view_height(y) + rows - 1) / rows,
                    .run_rows = run_rows,
                    .count_runs = kernels->depthwise.count_runs ? count_runs : NULL};
    depthwise_state *s = nw_arena_take(arena, sizeof(*s));
    if (!s)
        return NW_OK;
    *s = (depthwise_state){
        .kernel = kernels->depthwise,
        .requant = *requant,
        .a_start = -w->pad[0] * nw_view_row_stride(x) - w->pad[1] * nw_view_pixel_stride(x),
        .height = nw_view_height(y),
        .rows_per_tile = rows,
        .rows_per_call = nw_max32(1, (int32_t)(CALL_BYTES / (w->stride[0] * nw_view_row_stride(x)))),
    };
    s->call = (nw_depthwise_call){
        .packed = packed,
        .requant = &s->requant,
        .a = x->data,
        .residual = params->has_residual ? params->residual.data : NULL,
        .c = y->data,
        .a_step = (int32_t)(w->stride[1] * nw_view_pixel_stride(x)),
        .residual_step = params->has_residual ? (int32_t)nw_view_pixel_stride(&params->residual) : 0,
        .c_step = (int32_t)nw_view_pixel_stride(y),
        .n = nw_view_width(y),
        .a_row = w->stride[0] * nw_view_row_stride(x),
        .residual_row = params->has_residual ? nw_view_row_stride(&params->residual) : 0,
        .c_row = nw_view_row_stride(y),
    };
    job->state = s;
    return NW_OK;
}
