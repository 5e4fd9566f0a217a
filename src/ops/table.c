/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise functions of one code: y = table[x], one table for all channels or one per channel. */
#include "ops/ops.h"

typedef struct table_state {
    void (*kernel)(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256]);
    nw_view x, y;
    const uint8_t *tables;
    int32_t n_tables;
} table_state;

static void run_rows(const void *state, const nw_rows *rows)
{
    const table_state *s = state;
    const int32_t channels = nw_view_channels(&s->y);
    const int32_t width = nw_view_width(&s->y);
    for (int32_t row = rows->begin; row < rows->end; row++)
        for (int32_t i = 0; i < width; i++) {
            const uint8_t *x = s->x.data + (row * nw_view_row_stride(&s->x) + i * nw_view_pixel_stride(&s->x) + rows->x[0]);
            uint8_t *y = s->y.data + (row * nw_view_row_stride(&s->y) + i * nw_view_pixel_stride(&s->y) + rows->y);
            if (s->n_tables == 1)
                s->kernel(y, x, (size_t)channels, s->tables);
            else
                for (int32_t c = 0; c < channels; c++)
                    y[c] = s->tables[(size_t)c * 256 + x[c]];
        }
}

static void run(const void *state, int32_t begin, int32_t end)
{
    run_rows(state, &(nw_rows){.begin = begin, .end = end});
}

nw_job nw_table_make(const nw_table_params *params, const nw_kernels *kernels, nw_arena *arena)
{
    const uint8_t *tables = nw_arena_copy(arena, params->tables, (size_t)params->n_tables * 256, 0);
    table_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = (table_state){kernels->table, params->x, params->y, tables, params->n_tables};
    return (nw_job){
        .run = run, .state = s, .kernel = "table", .n_tiles = nw_view_height(&params->y), .run_rows = run_rows};
}
