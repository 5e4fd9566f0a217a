/* SPDX-License-Identifier: Apache-2.0 */
/* Product of two pictures, or of a picture and one number per channel (squeeze and excite). One tile is one row. */
#include "ops/ops.h"

typedef struct multiply_state {
    void (*kernel)(const nw_multiply_call *call);
    nw_requant requant;
    nw_multiply_call call; /* of row 0 */
    ptrdiff_t a_row, b_row, y_row;
} multiply_state;

static void run(const void *state, int32_t begin, int32_t end)
{
    const multiply_state *s = state;
    for (int32_t y = begin; y < end; y++) {
        nw_multiply_call call = s->call;
        call.a += y * s->a_row;
        call.b += y * s->b_row;
        call.y += y * s->y_row;
        s->kernel(&call);
    }
}

nw_job nw_multiply_make(const nw_multiply_params *params, const nw_kernels *kernels, nw_arena *arena)
{
    const nw_view *y = &params->y;
    const int32_t channels = nw_view_channels(y);
    const bool repeats = nw_view_height(&params->b) == 1 && nw_view_width(&params->b) == 1; /* over all pixels of y */
    const nw_requant from = {.multiplier = params->multiplier,
                             .lo = params->y_codes.lo,
                             .hi = params->y_codes.hi,
                             .zero_point = params->y_codes.zero_point};
    nw_requant copy;
    nw_requant_copy(&copy, &from, channels, arena);
    copy.shift = nw_shift_copy(params->y_codes.shift, channels, arena);
    multiply_state *s = nw_arena_take(arena, sizeof(*s));
    if (s) {
        *s = (multiply_state){
            .kernel = kernels->multiply,
            .requant = copy,
            .call = {.a = params->a.data,
                     .b = params->b.data,
                     .y = y->data,
                     .a_step = (int32_t)nw_view_pixel_stride(&params->a),
                     .b_step = repeats ? 0 : (int32_t)nw_view_pixel_stride(&params->b),
                     .y_step = (int32_t)nw_view_pixel_stride(y),
                     .n = nw_view_width(y),
                     .channels = channels,
                     .zero_a = params->zero_a,
                     .zero_b = params->zero_b},
            .a_row = nw_view_row_stride(&params->a),
            .b_row = repeats ? 0 : nw_view_row_stride(&params->b),
            .y_row = nw_view_row_stride(y),
        };
        s->call.requant = &s->requant;
    }
    return (nw_job){.run = run, .state = s, .kernel = "multiply", .n_tiles = nw_view_height(y)};
}
