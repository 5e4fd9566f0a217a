/* SPDX-License-Identifier: Apache-2.0 */
/* Max and average pooling. One tile is one output row. */
#include "base/arith.h"
#include "ops/ops.h"

#define SCRATCH_CHANNELS 1024 /* channels of one kernel call: its sums lie on the stack */

typedef struct pool_state {
    void (*kernel)(const nw_pool_call *call);
    nw_requant requant;
    nw_pool_call call; /* of row 0, all channels */
    int32_t stride_h;
    ptrdiff_t y_row;
} pool_state;

/** The call for `n` channels from `first` on. */
static nw_pool_call slice(const nw_pool_call *from, nw_requant *requant, int32_t first, int32_t n)
{
    nw_pool_call call = *from;
    call.x += first;
    call.y += first;
    call.channels = n;
    if (!from->requant)
        return call;
    *requant = *from->requant;
    requant->lo += first;
    requant->hi += first;
    if (requant->shift)
        requant->shift += first;
    call.multiplier += first;
    call.requant = requant;
    return call;
}

/** The picture as the kernel sees it begins with row rows->first: no address above it is ever formed. */
static void run_rows(const void *state, const nw_rows *rows)
{
    const pool_state *s = state;
    int32_t scratch[SCRATCH_CHANNELS + NW_PARAMETER_PAD];
    for (int32_t y = rows->begin; y < rows->end; y++)
        for (int32_t c = 0; c < s->call.channels; c += SCRATCH_CHANNELS) {
            nw_requant requant;
            nw_pool_call call = slice(&s->call, &requant, c, nw_min32(SCRATCH_CHANNELS, s->call.channels - c));
            call.x += rows->first * (ptrdiff_t)call.x_row_stride + rows->x[0];
            call.y += y * s->y_row + rows->y;
            call.iy += y * s->stride_h - rows->first;
            call.height -= rows->first;
            call.scratch = scratch;
            s->kernel(&call);
        }
}

static void run(const void *state, int32_t begin, int32_t end)
{
    run_rows(state, &(nw_rows){.begin = begin, .end = end});
}

nw_job nw_pool_make(const nw_pool_params *params, const nw_kernels *kernels, nw_arena *arena)
{
    const nw_view *x = &params->x;
    const nw_view *y = &params->y;
    const nw_window *w = &params->window;
    const int32_t channels = nw_view_channels(y);
    nw_requant requant = {0};
    if (params->average) {
        const nw_requant from = {.multiplier = params->multiplier,
                                 .lo = params->y_codes.lo,
                                 .hi = params->y_codes.hi,
                                 .zero_point = params->y_codes.zero_point};
        nw_requant_copy(&requant, &from, channels, arena);
        requant.shift = nw_shift_copy(params->y_codes.shift, channels, arena);
    }
    pool_state *s = nw_arena_take(arena, sizeof(*s));
    if (s) {
        *s = (pool_state){
            .kernel = params->average ? kernels->average_pool : kernels->max_pool,
            .requant = requant,
            .call = {.x = x->data,
                     .x_row_stride = (int32_t)nw_view_row_stride(x),
                     .x_pixel_stride = (int32_t)nw_view_pixel_stride(x),
                     .height = nw_view_height(x),
                     .width = nw_view_width(x),
                     .channels = channels,
                     .y = y->data,
                     .y_pixel_stride = (int32_t)nw_view_pixel_stride(y),
                     .n = nw_view_width(y),
                     .iy = -w->pad[0],
                     .ix = -w->pad[1],
                     .kernel_h = w->kernel[0],
                     .kernel_w = w->kernel[1],
                     .stride_w = w->stride[1],
                     .dilation_h = w->dilation[0],
                     .dilation_w = w->dilation[1],
                     .count_include_pad = params->count_include_pad,
                     .zero_x = params->zero_x,
                     .multiplier = requant.multiplier},
            .stride_h = w->stride[0],
            .y_row = nw_view_row_stride(y),
        };
        s->call.requant = params->average ? &s->requant : NULL;
    }
    return (nw_job){.run = run,
                    .state = s,
                    .kernel = params->average ? "average_pool" : "max_pool",
                    .n_tiles = nw_view_height(y),
                    .run_rows = run_rows};
}
