/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise functions of one code: y = table[x], one table for all channels or one per channel. */
#include "base/arith.h"
#include "ops/ops.h"

#define TILE_BYTES 8192 /* at least, where there are several rows */

typedef struct table_state {
    void (*kernel)(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256]);
    void (*tables_kernel)(const nw_tables_call *call);
    nw_view x, y;
    const uint8_t *tables;
    int32_t n_tables, rows_per_tile;
} table_state;

static void run_rows(const void *state, const nw_rows *rows)
{
    const table_state *s = state;
    const int32_t channels = nw_view_channels(&s->y);
    const int32_t width = nw_view_width(&s->y);
    const ptrdiff_t x_step = nw_view_pixel_stride(&s->x);
    const ptrdiff_t y_step = nw_view_pixel_stride(&s->y);
    const uint8_t *x = s->x.data + (rows->begin * nw_view_row_stride(&s->x) + rows->x[0]);
    uint8_t *y = s->y.data + (rows->begin * nw_view_row_stride(&s->y) + rows->y);
    if (s->n_tables > 1) {
        s->tables_kernel(&(nw_tables_call){.x = x,
                                           .y = y,
                                           .x_step = x_step,
                                           .y_step = y_step,
                                           .x_row = nw_view_row_stride(&s->x),
                                           .y_row = nw_view_row_stride(&s->y),
                                           .width = width,
                                           .height = rows->end - rows->begin,
                                           .channels = channels,
                                           .tables = s->tables});
        return;
    }
    const bool dense = x_step == channels && y_step == channels;
    for (int32_t row = rows->begin; row < rows->end; row++) {
        if (dense)
            s->kernel(y, x, (size_t)channels * (size_t)width, s->tables);
        for (int32_t i = 0; i < width && !dense; i++)
            s->kernel(y + i * y_step, x + i * x_step, (size_t)channels, s->tables);
        x += nw_view_row_stride(&s->x);
        y += nw_view_row_stride(&s->y);
    }
}

/* Rows of a tile: enough that a kernel of many pixels is not left with rests. */
static void run(const void *state, int32_t begin, int32_t end)
{
    const table_state *s = state;
    run_rows(s, &(nw_rows){.begin = begin * s->rows_per_tile,
                           .end = nw_min32(end * s->rows_per_tile, nw_view_height(&s->y))});
}

nw_job nw_table_make(const nw_table_params *params, const nw_kernels *kernels, nw_arena *arena)
{
    const nw_view *y = &params->y;
    const uint8_t *tables = nw_arena_copy(arena, params->tables, (size_t)params->n_tables * 256, 0);
    const int64_t row_bytes = (int64_t)nw_view_width(y) * nw_view_channels(y);
    const int32_t rows = row_bytes < TILE_BYTES ? (int32_t)(TILE_BYTES / row_bytes) : 1;
    table_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = (table_state){kernels->table, kernels->tables, params->x, *y, tables, params->n_tables, rows};
    return (nw_job){.run = run,
                    .state = s,
                    .kernel = "table",
                    .n_tiles = (nw_view_height(y) + rows - 1) / rows,
                    .run_rows = run_rows};
}
