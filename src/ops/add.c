/* SPDX-License-Identifier: Apache-2.0 */
/* Sum of two pictures that no linear layer could take in as its residual. One tile is one row. */
#include "ops/ops.h"

typedef struct add_state {
    void (*kernel)(const nw_add_call *call);
    nw_requant requant;
    nw_add_call call; /* of row 0 */
    ptrdiff_t a_row, b_row, y_row;
} add_state;

static void run_rows(const void *state, const nw_rows *rows)
{
    const add_state *s = state;
    for (int32_t y = rows->begin; y < rows->end; y++) {
        nw_add_call call = s->call;
        call.a += y * s->a_row + rows->x[0];
        call.b += y * s->b_row + rows->x[1];
        call.y += y * s->y_row + rows->y;
        s->kernel(&call);
    }
}

static void run(const void *state, int32_t begin, int32_t end)
{
    run_rows(state, &(nw_rows){.begin = begin, .end = end});
}

nw_job nw_add_make(const nw_add_params *params, const nw_kernels *kernels, nw_arena *arena)
{
    const nw_view *y = &params->y;
    const int32_t channels = nw_view_channels(y);
    const nw_requant from = {
        .lo = params->y_codes.lo, .hi = params->y_codes.hi, .zero_point = params->y_codes.zero_point};
    /* multiplier and bias of the copy carry the two operands' multipliers */
    nw_requant with_multipliers = from;
    with_multipliers.multiplier = params->multiplier_a;
    with_multipliers.bias = params->multiplier_b;
    nw_requant copy;
    nw_requant_copy(&copy, &with_multipliers, channels, arena);
    copy.shift = nw_shift_copy(params->y_codes.shift, channels, arena);
    add_state *s = nw_arena_take(arena, sizeof(*s));
    if (s) {
        *s = (add_state){
            .kernel = kernels->add,
            .requant = copy,
            .call = {.a = params->a.data,
                     .b = params->b.data,
                     .y = y->data,
                     .a_step = (int32_t)nw_view_pixel_stride(&params->a),
                     .b_step = (int32_t)nw_view_pixel_stride(&params->b),
                     .y_step = (int32_t)nw_view_pixel_stride(y),
                     .n = nw_view_width(y),
                     .channels = channels,
                     .multiplier_a = copy.multiplier,
                     .multiplier_b = copy.bias,
                     .zero_a = params->zero_a,
                     .zero_b = params->zero_b},
            .a_row = nw_view_row_stride(&params->a),
            .b_row = nw_view_row_stride(&params->b),
            .y_row = nw_view_row_stride(y),
        };
        s->requant.bias = s->requant.multiplier = NULL;
        s->call.requant = &s->requant;
    }
    return (nw_job){.run = run, .state = s, .kernel = "add", .n_tiles = nw_view_height(y), .run_rows = run_rows};
}
