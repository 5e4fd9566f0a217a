/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data movement between two views: copies (slice, concat, pad and transpose are copies with the right strides),
 * reshapes, fills. One tile is everything below the first axis longer than 1.
 */
#include <string.h>

#include "base/arith.h"
#include "ops/ops.h"

#define LINE 64 /* bytes of a cache line */

/** One loop of a copy: n elements, and the bytes from one to the next on both sides. */
typedef struct axis {
    int32_t n;
    ptrdiff_t y, x;
} axis;

/** A copy as nested loops, outermost first. */
typedef struct nest {
    axis axes[2 * NW_MAX_RANK];
    int32_t n, size; /* of an element, bytes */
    void (*transpose)(const nw_transpose_call *call); /* NULL: one element after the other */
} nest;

typedef struct move_state {
    nw_view y, x;
    int32_t axis; /* tiles run along it; of `nest` where that is set */
    uint8_t element[4];
    nest nest; /* reshape; copy: only `transpose` */
} move_state;

static void copy_element(uint8_t *y, const uint8_t *x, int32_t size)
{
    if (size == 1)
        *y = *x;
    else
        memcpy(y, x, 4);
}

/** Every second channel, as shuffles take them; vectors, where the compiler knows that the two do not overlap. */
static void copy_every_second(uint8_t *restrict to, const uint8_t *restrict from, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        to[i] = from[2 * i];
}

static void copy_line(uint8_t *to, const uint8_t *from, const axis *a, int32_t size)
{
    if (a->y == size && a->x == size)
        memcpy(to, from, (size_t)a->n * (size_t)size);
    else if (size == 1 && a->y == 1 && a->x == 2)
        copy_every_second(to, from, a->n);
    else if (size == 1)
        for (int32_t i = 0; i < a->n; i++, to += a->y, from += a->x)
            *to = *from;
    else
        for (int32_t i = 0; i < a->n; i++, to += a->y, from += a->x)
            memcpy(to, from, 4);
}

/** A row of short pieces of `size` bytes each, which is a constant wherever this is inlined. */
static inline void copy_row(uint8_t *to, const uint8_t *from, const axis *a, size_t size)
{
    for (int32_t i = 0; i < a->n; i++, to += a->y, from += a->x)
        memcpy(to, from, size);
}

/** Pieces that lie together on both sides: the usual short ones without a call for each. */
static void copy_pieces(uint8_t *to, const uint8_t *from, const axis *a, size_t size)
{
    switch (size) {
    case 2:
        copy_row(to, from, a, 2);
        break;
    case 3:
        copy_row(to, from, a, 3);
        break;
    case 4:
        copy_row(to, from, a, 4);
        break;
    case 8:
        copy_row(to, from, a, 8);
        break;
    case 12:
        copy_row(to, from, a, 12);
        break;
    case 16:
        copy_row(to, from, a, 16);
        break;
    default:
        copy_row(to, from, a, size);
    }
}

/** The two innermost loops. */
static void copy_plane(uint8_t *to, const uint8_t *from, const nest *l)
{
    const axis *outer = &l->axes[l->n - 2];
    const axis *inner = outer + 1;
    if (inner->y == l->size && inner->x == l->size)
        copy_pieces(to, from, outer, (size_t)inner->n * (size_t)l->size);
    else if (l->transpose && l->size == 4 && inner->y == 4 && outer->x == 4)
        l->transpose(&(nw_transpose_call){to, from, outer->y, inner->x, outer->n, inner->n});
    else
        for (int32_t i = 0; i < outer->n; i++)
            copy_line(to + i * outer->y, from + i * outer->x, inner, l->size);
}

/** The loops from `first` on. */
static void copy_axes(uint8_t *to, const uint8_t *from, const nest *l, int32_t first)
{
    const axis *a = &l->axes[first];
    if (first == l->n - 1)
        copy_line(to, from, a, l->size);
    else if (first == l->n - 2)
        copy_plane(to, from, l);
    else
        for (int32_t i = 0; i < a->n; i++)
            copy_axes(to + i * a->y, from + i * a->x, l, first + 1);
}

static ptrdiff_t distance(ptrdiff_t step)
{
    return step < 0 ? -step : step;
}

static void move_axis(nest *l, int32_t from, int32_t to)
{
    const axis a = l->axes[from];
    for (; from > to; from--)
        l->axes[from] = l->axes[from - 1];
    for (; from < to; from++)
        l->axes[from] = l->axes[from + 1];
    l->axes[to] = a;
}

/**
 * Elements may be copied in any order: writes go along the axis on which they lie together; around it comes the axis on
 * which reads do, so that a transposition passes over the same cache lines while they are near; loops that continue
 * each other on both sides become one. Around pieces that lie together on both sides comes the longest loop of those
 * whose reads share cache lines.
 */
static void choose_order(nest *l)
{
    for (int32_t i = 1; i < l->n; i++)
        for (int32_t j = i; j > 0 && distance(l->axes[j].y) > distance(l->axes[j - 1].y); j--)
            move_axis(l, j, j - 1);
    for (int32_t i = l->n - 2; i >= 0; i--) {
        axis *outer = &l->axes[i];
        const axis *inner = outer + 1;
        if (outer->y != inner->n * inner->y || outer->x != inner->n * inner->x)
            continue;
        *outer = (axis){outer->n * inner->n, inner->y, inner->x};
        move_axis(l, i + 1, l->n - 1);
        l->n--;
    }
    int32_t nearest = l->n - 2;
    const bool pieces = l->n > 0 && l->axes[l->n - 1].y == l->size && l->axes[l->n - 1].x == l->size;
    for (int32_t i = l->n - 3; i >= 0; i--) {
        const axis *a = &l->axes[i];
        const axis *best = &l->axes[nearest];
        const bool same_lines = pieces && distance(a->x) < LINE && distance(best->x) < LINE;
        if (same_lines ? a->n > best->n : distance(a->x) < distance(best->x))
            nearest = i;
    }
    if (nearest >= 0)
        move_axis(l, nearest, l->n - 2);
}

static void copy_nest(nest l, uint8_t *to, const uint8_t *from)
{
    choose_order(&l);
    if (l.n == 0)
        copy_element(to, from, l.size);
    else
        copy_axes(to, from, &l, 0);
}

/** Copies one view to the other. */
static void copy_view(const nw_view *y, const nw_view *x, void (*transpose)(const nw_transpose_call *call))
{
    nest l = {.size = y->element_size, .transpose = transpose};
    for (int32_t i = 0; i < y->rank; i++)
        if (y->dims[i] != 1)
            l.axes[l.n++] = (axis){y->dims[i], y->strides[i], x->strides[i]};
    copy_nest(l, y->data, x->data);
}

void nw_copy_run(const nw_view *y, const nw_view *x, const nw_kernels *kernels)
{
    copy_view(y, x, kernels ? kernels->transpose : NULL);
}

static void run_copy(const void *state, int32_t begin, int32_t end)
{
    const move_state *s = state;
    nw_view y = s->y;
    nw_view x = s->x;
    y.data += begin * y.strides[s->axis];
    x.data += begin * x.strides[s->axis];
    y.dims[s->axis] = end - begin;
    copy_view(&y, &x, s->nest.transpose);
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
    copy_view(&y, &x, s->nest.transpose);
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

/**
 * A reshape as nested loops: the axes of both shapes cut where either ends. False where they do not divide each other
 * ([4, 3] to [6, 2]).
 */
static bool reshape_nest(nest *out, const nw_view *y, const nw_view *x)
{
    nest l = {.size = y->element_size};
    int32_t i = y->rank - 1;
    int32_t j = x->rank - 1;
    int32_t y_done = 1; /* elements of y's axis i that inner loops cover */
    int32_t x_done = 1;
    while (i >= 0 || j >= 0) {
        const int32_t y_left = i >= 0 ? y->dims[i] / y_done : 1;
        const int32_t x_left = j >= 0 ? x->dims[j] / x_done : 1;
        if (y_left == 1 && i >= 0) {
            i--;
            y_done = 1;
            continue;
        }
        if (x_left == 1 && j >= 0) {
            j--;
            x_done = 1;
            continue;
        }
        const int32_t n = nw_min32(y_left, x_left);
        if (n == 1 || y_left % n || x_left % n)
            return false;
        l.axes[l.n++] = (axis){n, y_done * y->strides[i], x_done * x->strides[j]};
        y_done *= n;
        x_done *= n;
    }
    for (int32_t first = 0, last = l.n - 1; first < last; first++, last--) {
        const axis a = l.axes[first];
        l.axes[first] = l.axes[last];
        l.axes[last] = a;
    }
    *out = l;
    return true;
}

static void run_nest(const void *state, int32_t begin, int32_t end)
{
    const move_state *s = state;
    nest l = s->nest;
    axis *a = &l.axes[s->axis];
    a->n = end - begin;
    copy_nest(l, s->y.data + begin * a->y, s->x.data + begin * a->x);
}

static nw_job make(void (*run)(const void *, int32_t, int32_t), const char *name, const move_state *state,
                   nw_arena *arena)
{
    move_state *s = nw_arena_take(arena, sizeof(*s));
    if (s)
        *s = *state;
    return (nw_job){.run = run, .state = s, .kernel = name, .n_tiles = state->y.rank ? state->y.dims[state->axis] : 1};
}

nw_job nw_copy_make(const nw_view *y, const nw_view *x, const nw_kernels *kernels, nw_arena *arena)
{
    const move_state state = {
        .y = *y, .x = *x, .axis = nw_view_tile_axis(y), .nest = {.transpose = kernels->transpose}};
    nw_job job = make(run_copy, "copy", &state, arena);
    job.run_rows = y->rank == 4 ? run_copy_rows : NULL;
    return job;
}

nw_job nw_reshape_make(const nw_view *y, const nw_view *x, const nw_kernels *kernels, nw_arena *arena)
{
    move_state state = {.y = *y, .x = *x, .axis = nw_view_tile_axis(y)};
    if (!reshape_nest(&state.nest, y, x) || state.nest.n == 0)
        return make(run_reshape, "reshape", &state, arena);
    state.nest.transpose = kernels->transpose;
    state.axis = 0;
    for (int32_t i = 1; i < state.nest.n; i++)
        if (state.nest.axes[i].n > state.nest.axes[state.axis].n)
            state.axis = i;
    nw_job job = make(run_nest, "reshape", &state, arena);
    job.n_tiles = state.nest.axes[state.axis].n;
    return job;
}

nw_job nw_fill_make(const nw_view *y, const void *element, nw_arena *arena)
{
    move_state state = {.y = *y, .axis = nw_view_tile_axis(y)};
    memcpy(state.element, element, (size_t)y->element_size);
    nw_job job = make(run_fill, "fill", &state, arena);
    job.run_rows = y->rank == 4 ? run_fill_rows : NULL;
    return job;
}
