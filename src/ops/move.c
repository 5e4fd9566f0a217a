/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data movement between two views: copies (slice, concat, pad and transpose are copies with the right strides),
 * reshapes, fills. One tile is everything below the first axis longer than 1.
 */
#include <string.h>

#include "base/arith.h"
#include "ops/ops.h"

typedef struct move_state {
    nw_view y, x;
    int32_t axis; /* tiles run along it */
    uint8_t element[4];
} move_state;

static void copy_element(uint8_t *y, const uint8_t *x, int32_t size)
{
    if (size == 1)
        *y = *x;
    else
        memcpy(y, x, 4);
}

/** Bytes that lie together in both views along a picture's pixel: the channels, if both keep them side by side. */
static bool dense_channels(const nw_view *y, const nw_view *x)
{
    return y->rank == 4 && y->strides[1] == y->element_size && x->strides[1] == y->element_size;
}

static void copy_rows(const nw_view *y, const nw_view *x, uint8_t *to, const uint8_t *from)
{
    const size_t size = (size_t)y->dims[1] * (size_t)y->element_size;
    for (int32_t h = 0; h < y->dims[2]; h++)
        for (int32_t w = 0; w < y->dims[3]; w++)
            memcpy(to + h * y->strides[2] + w * y->strides[3], from + h * x->strides[2] + w * x->strides[3], size);
}

static void copy_axis(const nw_view *y, const nw_view *x, int32_t axis, uint8_t *to, const uint8_t *from)
{
    if (axis == 1 && dense_channels(y, x)) {
        copy_rows(y, x, to, from);
        return;
    }
    if (axis == y->rank || axis == NW_MAX_RANK) {
        copy_element(to, from, y->element_size);
        return;
    }
    for (int32_t i = 0; i < y->dims[axis]; i++)
        copy_axis(y, x, axis + 1, to + i * y->strides[axis], from + i * x->strides[axis]);
}

void nw_copy_run(const nw_view *y, const nw_view *x)
{
    copy_axis(y, x, 0, y->data, x->data);
}

static void run_copy(const void *state, int32_t begin, int32_t end)
{
    const move_state *s = state;
    nw_view y = s->y;
    nw_view x = s->x;
    y.data += begin * y.strides[s->axis];
    x.data += begin * x.strides[s->axis];
    y.dims[s->axis] = end - begin;
    nw_copy_run(&y, &x);
}

/** Output rows of pictures, row r of y from row r of x. */
static void run_copy_rows(const void *state, const nw_rows *rows)
{
    const move_state *s = state;
    nw_view y = s->y;
    nw_view x = s->x;
    y.data += rows->begin * y.strides[2] + rows->y;
    x.data += rows->begin * x.strides[2] + rows->x[0];
    y.dims[2] = rows->end - rows->begin;
    nw_copy_run(&y, &x);
}

static void fill_rows(const nw_view *y, uint8_t *to, uint8_t code)
{
    for (int32_t h = 0; h < y->dims[2]; h++)
        for (int32_t w = 0; w < y->dims[3]; w++)
            memset(to + h * y->strides[2] + w * y->strides[3], code, (size_t)y->dims[1]);
}

static void fill_axis(const nw_view *y, int32_t axis, uint8_t *to, const uint8_t *element)
{
    if (axis == 1 && y->element_size == 1 && y->rank == 4 && y->strides[1] == 1)
        fill_rows(y, to, *element);
    else if (axis == y->rank || axis == NW_MAX_RANK)
        copy_element(to, element, y->element_size);
    else
        for (int32_t i = 0; i < y->dims[axis]; i++)
            fill_axis(y, axis + 1, to + i * y->strides[axis], element);
}

static void run_fill(const void *state, int32_t begin, int32_t end)
{
    const move_state *s = state;
    nw_view y = s->y;
    y.data += begin * y.strides[s->axis];
    y.dims[s->axis] = end - begin;
    fill_axis(&y, 0, y.data, s->element);
}

static void run_fill_rows(const void *state, const nw_rows *rows)
{
    const move_state *s = state;
    nw_view y = s->y;
    y.data += rows->begin * y.strides[2] + rows->y;
    y.dims[2] = rows->end - rows->begin;
    fill_axis(&y, 0, y.data, s->element);
}

/** A place in a view that moves along its elements in row-major order. */
typedef struct cursor {
    const nw_view *view;
    int32_t index[NW_MAX_RANK];
    uint8_t *at;
} cursor;

static cursor cursor_at(const nw_view *view, int32_t i)
{
    cursor c = {.view = view, .at = view->data};
    for (int32_t axis = view->rank - 1; axis >= 0; axis--) {
        c.index[axis] = i % view->dims[axis];
        c.at += c.index[axis] * view->strides[axis];
        i /= view->dims[axis];
    }
    return c;
}

/** Elements from here to the end of the last axis, and their distance. */
static int32_t cursor_left(const cursor *c)
{
    const int32_t last = c->view->rank - 1;
    return last < 0 ? 1 : c->view->dims[last] - c->index[last];
}

static ptrdiff_t cursor_stride(const cursor *c)
{
    return c->view->rank ? c->view->strides[c->view->rank - 1] : 0;
}

/** Moves on by n <= cursor_left elements. */
static void cursor_advance(cursor *c, int32_t n)
{
    const nw_view *view = c->view;
    int32_t axis = view->rank - 1;
    if (axis < 0)
        return;
    c->index[axis] += n;
    c->at += n * view->strides[axis];
    for (; axis > 0 && c->index[axis] == view->dims[axis]; axis--) {
        c->at += view->strides[axis - 1] - view->dims[axis] * view->strides[axis];
        c->index[axis] = 0;
        c->index[axis - 1]++;
    }
}

static void run_reshape(const void *state, int32_t begin, int32_t end)
{
    const move_state *s = state;
    int32_t below = 1;
    for (int32_t i = s->axis + 1; i < s->y.rank; i++)
        below *= s->y.dims[i];
    cursor y = cursor_at(&s->y, begin * below);
    cursor x = cursor_at(&s->x, begin * below);
    const ptrdiff_t y_step = cursor_stride(&y);
    const ptrdiff_t x_step = cursor_stride(&x);
    for (int32_t left = (end - begin) * below; left > 0;) {
        const int32_t n = nw_min32(left, nw_min32(cursor_left(&y), cursor_left(&x)));
        for (int32_t i = 0; i < n; i++)
            copy_element(y.at + i * y_step, x.at + i * x_step, s->y.element_size);
        cursor_advance(&y, n);
        cursor_advance(&x, n);
        left -= n;
    }
}

static nw_job make(void (*run)(const void *, int32_t, int32_t), const char *name, const move_state *state,
                   nw_arena *arena)
{
    move_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = *state;
    return (nw_job){.run = run, .state = s, .kernel = name, .n_tiles = state->y.rank ? state->y.dims[state->axis] : 1};
}

nw_job nw_copy_make(const nw_view *y, const nw_view *x, nw_arena *arena)
{
    nw_job job = make(run_copy, "copy", &(move_state){.y = *y, .x = *x, .axis = nw_view_tile_axis(y)}, arena);
    job.run_rows = y->rank == 4 ? run_copy_rows : NULL;
    return job;
}

nw_job nw_reshape_make(const nw_view *y, const nw_view *x, nw_arena *arena)
{
    return make(run_reshape, "reshape", &(move_state){.y = *y, .x = *x, .axis = nw_view_tile_axis(y)}, arena);
}

nw_job nw_fill_make(const nw_view *y, const void *element, nw_arena *arena)
{
    move_state state = {.y = *y, .axis = nw_view_tile_axis(y)};
    memcpy(state.element, element, (size_t)y->element_size);
    nw_job job = make(run_fill, "fill", &state, arena);
    job.run_rows = y->rank == 4 ? run_fill_rows : NULL;
    return job;
}
