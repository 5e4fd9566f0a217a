/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementwise operators behind the last integer layer. Axes that lie one inside the other in memory are walked as one,
 * so that a kernel gets long lines; the order of elements does not matter to the result. One tile is one index of the
 * outermost axis, or a piece of the only one.
 */
#include <string.h>

#include "base/arith.h"
#include "ops/ops.h"

#define PIECE 4096 /* elements of a tile of a single line */

typedef struct axis {
    int32_t size;
    ptrdiff_t y, a, b; /* bytes; 0 for operands that repeat */
} axis;

typedef struct float_state {
    void (*kernel)(const nw_float_call *call);
    nw_float_function function;
    uint8_t *y;
    const uint8_t *a, *b;
    int32_t n_axes; /* >= 1; outermost first */
    axis axes[NW_MAX_RANK + 1];
} float_state;

/** The elements [first, first + n) of the innermost axis. */
static void run_line(const float_state *s, int32_t first, int32_t n, ptrdiff_t y, ptrdiff_t a, ptrdiff_t b)
{
    const axis *line = &s->axes[s->n_axes - 1];
    const ptrdiff_t size = sizeof(float);
    const bool dense = line->y == size && (line->a == size || !line->a) && (line->b == size || !line->b);
    for (int32_t i = 0; i < n; i += dense ? n : 1) {
        const ptrdiff_t at = first + i;
        const nw_float_call call = {.function = s->function,
                                    .y = (float *)(void *)(s->y + y + at * line->y),
                                    .a = (const float *)(const void *)(s->a + a + at * line->a),
                                    .b = s->b ? (const float *)(const void *)(s->b + b + at * line->b) : NULL,
                                    .a_step = line->a != 0,
                                    .b_step = line->b != 0,
                                    .n = dense ? n : 1};
        s->kernel(&call);
    }
}

static void run_axis(const float_state *s, int32_t k, int32_t begin, int32_t end, ptrdiff_t y, ptrdiff_t a, ptrdiff_t b)
{
    if (k == s->n_axes - 1) {
        run_line(s, begin, end - begin, y, a, b);
        return;
    }
    const axis *here = &s->axes[k];
    for (int32_t i = begin; i < end; i++)
        run_axis(s, k + 1, 0, s->axes[k + 1].size, y + i * here->y, a + i * here->a, b + i * here->b);
}

static void run_float(const void *state, int32_t begin, int32_t end)
{
    const float_state *s = state;
    if (s->n_axes == 1)
        run_axis(s, 0, begin * PIECE, nw_min32(end * PIECE, s->axes[0].size), 0, 0, 0);
    else
        run_axis(s, 0, begin, end, 0, 0, 0);
}

/** Stride of an operand along axis i of y; an axis it lacks, or has once where y has more, repeats. */
static ptrdiff_t stride_of(const nw_view *operand, const nw_view *y, int32_t i)
{
    const int32_t own = i - (y->rank - operand->rank);
    return own < 0 || operand->dims[own] == 1 ? 0 : operand->strides[own];
}

/** Axes longer than 1 by falling stride of y, those joined that all operands walk through in one step. */
static void find_axes(float_state *s, const nw_view *y, const nw_view *a, const nw_view *b)
{
    axis axes[NW_MAX_RANK];
    int32_t n = 0;
    for (int32_t i = 0; i < y->rank; i++) {
        if (y->dims[i] == 1)
            continue;
        const axis new = {y->dims[i], y->strides[i], stride_of(a, y, i), b ? stride_of(b, y, i) : 0};
        int32_t at = n++;
        for (; at > 0 && axes[at - 1].y < new.y; at--)
            axes[at] = axes[at - 1];
        axes[at] = new;
    }
    s->axes[0] = (axis){1, sizeof(float), sizeof(float), sizeof(float)}; /* of a single number */
    s->n_axes = n ? 0 : 1;
    for (int32_t i = 0; i < n; i++) {
        axis *outer = s->n_axes ? &s->axes[s->n_axes - 1] : NULL;
        const axis *inner = &axes[i];
        if (outer && outer->y == inner->y * inner->size && outer->a == inner->a * inner->size &&
            outer->b == inner->b * inner->size)
            *outer = (axis){outer->size * inner->size, inner->y, inner->a, inner->b};
        else
            s->axes[s->n_axes++] = *inner;
    }
}

nw_job nw_float_make(nw_float_function function, const nw_view *y, const nw_view *a, const nw_view *b,
                     const nw_kernels *kernels, nw_arena *arena)
{
    float_state state = {.kernel = kernels->float_line, .function = function, .y = y->data, .a = a->data};
    state.b = b ? b->data : NULL;
    find_axes(&state, y, a, b);
    float_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = state;
    const int32_t size = state.axes[0].size;
    return (nw_job){.run = run_float,
                    .state = s,
                    .kernel = "float",
                    .n_tiles = state.n_axes == 1 ? (size + PIECE - 1) / PIECE : size};
}
