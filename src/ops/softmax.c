/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax of reals along one axis, on plain C and the exponential of the kernels. Where both pictures are dense, memory
 * is a row of blocks [n, lanes], n along the axis; whole blocks are worked on together, so that the exponential sees
 * long lines. One tile is a few blocks, or everything.
 */
#include <math.h>
#include <string.h>

#include "base/arith.h"
#include "base/reals.h"
#include "ops/ops.h"

#define LANES 256 /* most lanes of a block */
#define BATCH 2048 /* elements of a tile, at least */

typedef struct softmax_state {
    void (*kernel)(const nw_float_call *call);
    nw_view y, x;
    int32_t axis;
    int32_t n, lanes, n_blocks, per_tile; /* lanes 0: not dense */
} softmax_state;

static void exponentials(const softmax_state *s, float *y, int32_t n)
{
    s->kernel(&(nw_float_call){.function = NW_FLOAT_EXP, .y = y, .a = y, .a_step = 1, .n = n});
}

/** y = x - (the largest along the axis). */
static void subtract_largest(float *restrict y, const float *restrict x, int32_t n, int32_t lanes)
{
    float largest[LANES];
    for (int32_t l = 0; l < lanes; l++)
        largest[l] = -INFINITY;
    for (int32_t i = 0; i < n; i++)
        for (int32_t l = 0; l < lanes; l++)
            largest[l] = x[i * lanes + l] > largest[l] ? x[i * lanes + l] : largest[l];
    for (int32_t i = 0; i < n; i++)
        for (int32_t l = 0; l < lanes; l++)
            y[i * lanes + l] = x[i * lanes + l] - largest[l];
}

/** y divided by its sum along the axis, which is formed in index order. */
static void divide_by_sum(float *restrict y, int32_t n, int32_t lanes)
{
    float sum[LANES];
    for (int32_t l = 0; l < lanes; l++)
        sum[l] = 0.0f;
    for (int32_t i = 0; i < n; i++)
        for (int32_t l = 0; l < lanes; l++)
            sum[l] = sum[l] + y[i * lanes + l];
    for (int32_t i = 0; i < n; i++)
        for (int32_t l = 0; l < lanes; l++) {
            const float v = y[i * lanes + l] / sum[l];
            y[i * lanes + l] = v != v ? NAN : v;
        }
}

/** The same two for a line by itself: one lane, which needs no room for the others. */
static void subtract_largest_of_line(float *restrict y, const float *restrict x, int32_t n)
{
    float largest = -INFINITY;
    for (int32_t i = 0; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (int32_t i = 0; i < n; i++)
        y[i] = x[i] - largest;
}

static void divide_line_by_sum(float *y, int32_t n)
{
    float sum = 0.0f;
    for (int32_t i = 0; i < n; i++)
        sum = sum + y[i];
    for (int32_t i = 0; i < n; i++) {
        const float v = y[i] / sum;
        y[i] = v != v ? NAN : v;
    }
}

static void run_blocks(const softmax_state *s, int32_t begin, int32_t end)
{
    const int32_t size = s->n * s->lanes;
    float *y = (float *)(void *)s->y.data + (ptrdiff_t)begin * size;
    const float *x = (const float *)(const void *)s->x.data + (ptrdiff_t)begin * size;
    for (int32_t i = 0; i < end - begin; i++)
        if (s->lanes == 1)
            subtract_largest_of_line(y + (ptrdiff_t)i * size, x + (ptrdiff_t)i * size, s->n);
        else
            subtract_largest(y + (ptrdiff_t)i * size, x + (ptrdiff_t)i * size, s->n, s->lanes);
    exponentials(s, y, (end - begin) * size);
    for (int32_t i = 0; i < end - begin; i++)
        if (s->lanes == 1)
            divide_line_by_sum(y + (ptrdiff_t)i * size, s->n);
        else
            divide_by_sum(y + (ptrdiff_t)i * size, s->n, s->lanes);
}

/** One line of elements that lie anywhere. */
static void run_line(const softmax_state *s, uint8_t *y, const uint8_t *x)
{
    const ptrdiff_t y_step = s->y.strides[s->axis];
    const ptrdiff_t x_step = s->x.strides[s->axis];
    float largest = -INFINITY;
    for (int32_t i = 0; i < s->n; i++)
        largest = nw_load_f32(x + i * x_step) > largest ? nw_load_f32(x + i * x_step) : largest;
    float sum = 0.0f;
    for (int32_t i = 0; i < s->n; i++) {
        float e = nw_load_f32(x + i * x_step) - largest;
        exponentials(s, &e, 1);
        nw_store_f32(y + i * y_step, e);
        sum = sum + e;
    }
    for (int32_t i = 0; i < s->n; i++)
        nw_store_f32(y + i * y_step, nw_load_f32(y + i * y_step) / sum);
}

static void run_axis(const softmax_state *s, int32_t axis, uint8_t *y, const uint8_t *x)
{
    if (axis == s->y.rank) {
        run_line(s, y, x);
        return;
    }
    const int32_t n = axis == s->axis ? 1 : s->y.dims[axis];
    for (int32_t i = 0; i < n; i++)
        run_axis(s, axis + 1, y + i * s->y.strides[axis], x + i * s->x.strides[axis]);
}

static void run(const void *state, int32_t begin, int32_t end)
{
    const softmax_state *s = state;
    if (!s->lanes) {
        run_axis(s, 0, s->y.data, s->x.data);
        return;
    }
    for (int32_t i = begin; i < end; i++)
        run_blocks(s, i * s->per_tile, nw_min32((i + 1) * s->per_tile, s->n_blocks));
}

/** Elements of both views lie in one piece, in one order. */
static bool are_dense(const nw_view *y, const nw_view *x)
{
    int64_t elements = 1;
    ptrdiff_t last = 0;
    for (int32_t i = 0; i < y->rank; i++) {
        elements *= y->dims[i];
        last += (y->dims[i] - 1) * y->strides[i];
        if (y->dims[i] > 1 && y->strides[i] != x->strides[i])
            return false;
    }
    return last == (ptrdiff_t)((elements - 1) * (int64_t)sizeof(float)) && elements <= INT32_MAX;
}

/** Elements whose index differs only along axes inside the softmax's: its stride, if they lie together. */
static int32_t count_lanes(const nw_view *y, int32_t axis)
{
    int64_t lanes = 1;
    for (int32_t i = 0; i < y->rank; i++)
        if (y->dims[i] > 1 && y->strides[i] < y->strides[axis])
            lanes *= y->dims[i];
    return lanes <= LANES ? (int32_t)lanes : 0;
}

nw_job nw_softmax_make(const nw_view *y, const nw_view *x, int32_t axis, const nw_kernels *kernels, nw_arena *arena)
{
    softmax_state state = {.kernel = kernels->float_line, .y = *y, .x = *x, .axis = axis, .n = y->dims[axis]};
    int32_t n_tiles = 1;
    if (y->dims[axis] > 1 && are_dense(y, x))
        state.lanes = count_lanes(y, axis);
    if (state.lanes) {
        int64_t elements = 1;
        for (int32_t i = 0; i < y->rank; i++)
            elements *= y->dims[i];
        state.n_blocks = (int32_t)(elements / ((int64_t)state.n * state.lanes));
        state.per_tile = nw_max32(1, BATCH / (state.n * state.lanes));
        n_tiles = (state.n_blocks + state.per_tile - 1) / state.per_tile;
    }
    softmax_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = state;
    return (nw_job){.run = run, .state = s, .kernel = "softmax", .n_tiles = n_tiles};
}
