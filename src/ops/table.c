/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise functions of one code: y = table[x], one table for all channels or one per channel. */
#include "ops/ops.h"

typedef struct table_state {
    void (*kernel)(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256]);
    nw_view x, y;
    const uint8_t *tables;
    int32_t n_tables;
} table_state;

/** One pixel, a table per channel. What is written is not read here, which the compiler has to be told. */
static void look_up(uint8_t *restrict y, const uint8_t *restrict x, const uint8_t *restrict tables, int32_t channels)
{
    int32_t c = 0;
    for (; c + 4 <= channels; c += 4, tables += 4 * 256) {
        y[c] = tables[x[c]];
        y[c + 1] = tables[256 + x[c + 1]];
        y[c + 2] = tables[512 + x[c + 2]];
        y[c + 3] = tables[768 + x[c + 3]];
    }
    for (; c < channels; c++, tables += 256)
        y[c] = tables[x[c]];
}

static void run_rows(const void *state, const nw_rows *rows)
{
    const table_state *s = state;
    const int32_t channels = nw_view_channels(&s->y);
    const int32_t width = nw_view_width(&s->y);
    const ptrdiff_t x_step = nw_view_pixel_stride(&s->x);
    const ptrdiff_t y_step = nw_view_pixel_stride(&s->y);
    const bool dense = x_step == channels && y_step == channels;
    for (int32_t row = rows->begin; row < rows->end; row++) {
        const uint8_t *x = s->x.data + (row * nw_view_row_stride(&s->x) + rows->x[0]);
        uint8_t *y = s->y.data + (row * nw_view_row_stride(&s->y) + rows->y);
        if (s->n_tables == 1 && dense) {
            s->kernel(y, x, (size_t)channels * (size_t)width, s->tables);
            continue;
        }
        for (int32_t i = 0; i < width; i++)
            if (s->n_tables == 1)
                s->kernel(y + i * y_step, x + i * x_step, (size_t)channels, s->tables);
            else
                look_up(y + i * y_step, x + i * x_step, s->tables, channels);
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
