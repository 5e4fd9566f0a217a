/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Float operators behind the last integer layer: plain C in a fixed order, so that they too give the same bits
 * everywhere. One tile is one index of the first axis longer than 1.
 */
#include <math.h>

#include "base/elementary.h"
#include "base/reals.h"
#include "ops/ops.h"

typedef struct float_state {
    nw_float_function function;
    nw_view y, a, b; /* strides of a and b are 0 along axes that repeat */
    int32_t axis;
} float_state;

static float apply(nw_float_function function, float a, float b)
{
    switch (function) {
    case NW_FLOAT_SIGMOID:
        return nw_sigmoid(a);
    case NW_FLOAT_TANH:
        return nw_tanh(a);
    case NW_FLOAT_EXP:
        return nw_exp(a);
    case NW_FLOAT_RELU:
        return a > 0.0f ? a : 0.0f;
    case NW_FLOAT_ADD:
        return a + b;
    case NW_FLOAT_SUB:
        return a - b;
    case NW_FLOAT_MUL:
        return a * b;
    default:
        return a / b;
    }
}

static void apply_axis(const float_state *s, int32_t axis, int32_t begin, int32_t end, uint8_t *y, const uint8_t *a,
                       const uint8_t *b)
{
    if (axis == s->y.rank) {
        nw_store_f32(y, apply(s->function, nw_load_f32(a), b ? nw_load_f32(b) : 0.0f));
        return;
    }
    const int32_t first = axis == s->axis ? begin : 0;
    const int32_t last = axis == s->axis ? end : s->y.dims[axis];
    for (int32_t i = first; i < last; i++)
        apply_axis(s, axis + 1, begin, end, y + i * s->y.strides[axis], a + i * s->a.strides[axis],
                   b ? b + i * s->b.strides[axis] : NULL);
}

static void run_float(const void *state, int32_t begin, int32_t end)
{
    const float_state *s = state;
    apply_axis(s, 0, begin, end, s->y.data, s->a.data, s->b.data);
}

/** `operand` with as many axes as y; an axis of size 1 against a longer one gets stride 0. */
static nw_view broadcast(const nw_view *operand, const nw_view *y)
{
    nw_view view = *y;
    view.data = operand->data;
    const int32_t missing = y->rank - operand->rank;
    for (int32_t i = 0; i < y->rank; i++) {
        const bool repeats = i < missing || (operand->dims[i - missing] == 1 && y->dims[i] > 1);
        view.strides[i] = repeats ? 0 : operand->strides[i - missing];
    }
    return view;
}

nw_job nw_float_make(nw_float_function function, const nw_view *y, const nw_view *a, const nw_view *b, nw_arena *arena)
{
    float_state *s = nw_arena_take(arena, sizeof(*s));
    const int32_t axis = nw_view_tile_axis(y);
    if (s) {
        *s = (float_state){.function = function, .y = *y, .a = broadcast(a, y), .axis = axis};
        if (b)
            s->b = broadcast(b, y);
    }
    return (nw_job){.run = run_float, .state = s, .kernel = "float", .n_tiles = y->rank ? y->dims[axis] : 1};
}

typedef struct softmax_state {
    nw_view y, x;
    int32_t axis;
} softmax_state;

static void softmax_line(const softmax_state *s, uint8_t *y, const uint8_t *x)
{
    const int32_t n = s->y.dims[s->axis];
    const ptrdiff_t y_step = s->y.strides[s->axis];
    const ptrdiff_t x_step = s->x.strides[s->axis];
    float largest = -INFINITY;
    for (int32_t i = 0; i < n; i++)
        largest = nw_load_f32(x + i * x_step) > largest ? nw_load_f32(x + i * x_step) : largest;
    float sum = 0.0f;
    for (int32_t i = 0; i < n; i++) {
        const float e = nw_exp(nw_load_f32(x + i * x_step) - largest);
        nw_store_f32(y + i * y_step, e);
        sum = sum + e;
    }
    for (int32_t i = 0; i < n; i++)
        nw_store_f32(y + i * y_step, nw_load_f32(y + i * y_step) / sum);
}

static void softmax_axis(const softmax_state *s, int32_t axis, uint8_t *y, const uint8_t *x)
{
    if (axis == s->y.rank) {
        softmax_line(s, y, x);
        return;
    }
    const int32_t n = axis == s->axis ? 1 : s->y.dims[axis];
    for (int32_t i = 0; i < n; i++)
        softmax_axis(s, axis + 1, y + i * s->y.strides[axis], x + i * s->x.strides[axis]);
}

static void run_softmax(const void *state, int32_t begin, int32_t end)
{
    const softmax_state *s = state;
    (void)begin;
    (void)end;
    softmax_axis(s, 0, s->y.data, s->x.data);
}

nw_job nw_softmax_make(const nw_view *y, const nw_view *x, int32_t axis, nw_arena *arena)
{
    softmax_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = (softmax_state){*y, *x, axis};
    return (nw_job){.run = run_softmax, .state = s, .kernel = "softmax", .n_tiles = 1};
}
