/* SPDX-License-Identifier: Apache-2.0 */
/* See strips.h: the running half. A tile of the job is a lane. */
#define _POSIX_C_SOURCE 200809L
#include <string.h>
#include <time.h>

#include "base/arith.h"
#include "runtime/strips.h"

typedef struct strip_state {
    nw_strip_params params;
    nw_strip_link links[NW_CHAIN_LINKS];
} strip_state;

/** The rows of an input that lie in scratch: [first, last). */
typedef struct loaded {
    int32_t first, last;
} loaded;

/** A lane at work. */
typedef struct lane {
    const strip_state *s;
    uint8_t *scratch;
    ptrdiff_t start; /* of the scratch, seen from lane 0's */
    nw_coding_count *count;
    loaded have[NW_CHAIN_LINKS][2];
} lane;

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

size_t nw_picture_row(const nw_picture *picture, const nw_kernels *kernels, int32_t y, uint8_t *to, uint8_t *temporary)
{
    size_t read = 0;
    for (int32_t i = 0; i < picture->n_parts; i++) {
        const nw_part *part = &picture->parts[i];
        const nw_stored *stored = &part->form.stored;
        if (part->coded) {
            nw_coded_unpack(&part->form, kernels, to + part->channel, picture->channels,
                            part->rows + (size_t)y * part->form.slot_size, part->coded[y], temporary);
            read += part->coded[y] & NW_CODED_SIZE;
        } else {
            nw_stored_unpack(stored, kernels, to + part->channel, picture->channels,
                             part->rows + (size_t)y * stored->row_size, temporary);
            read += stored->row_size;
        }
    }
    return read;
}

/** Zero points left and right of every row that will be unpacked or made. */
static void fill_sides(const nw_strip_link *link, int32_t i, uint8_t *scratch)
{
    const nw_strip_operand *o = &link->strips.inputs[i];
    const size_t channels = (size_t)link->inputs[i].channels;
    const size_t left = (size_t)o->left * channels;
    const size_t right = (size_t)o->right * channels;
    if (!left && !right)
        return;
    for (int32_t row = 0; row < o->rows; row++) {
        uint8_t *at = scratch + o->offset + (size_t)row * o->row_size;
        memset(at, link->zero_point[i], left);
        memset(at + o->row_size - right, link->zero_point[i], right);
    }
}

static void make_rows(lane *l, int32_t k, int32_t begin, int32_t end);

/** Rows [y, end), inside the picture, of input i of link k: unpacked, or made by the link before. */
static void bring(lane *l, int32_t k, int32_t i, int32_t y, int32_t end)
{
    const nw_strip_link *link = &l->s->links[k];
    const nw_strip_operand *o = &link->strips.inputs[i];
    uint8_t *row = l->scratch + o->offset + (size_t)(y - l->have[k][i].first) * o->row_size +
                   (size_t)o->left * (size_t)link->inputs[i].channels;
    if (i == link->inner) {
        const int32_t most = l->s->links[k - 1].strips.rows;
        for (; y < end; y += most)
            make_rows(l, k - 1, y, nw_min32(y + most, end));
        return;
    }
    const uint64_t start = l->s->params.clock->on ? nanoseconds() : 0;
    for (; y < end; y++, row += o->row_size)
        l->count->bytes_read += nw_picture_row(&link->inputs[i], l->s->params.kernels, y, row,
                                               l->scratch + link->strips.temporary);
    if (l->s->params.clock->on)
        l->count->nanoseconds += nanoseconds() - start;
}

/** Moves the window of input i of link k to `want`, keeping rows that are there. */
static void move_window(lane *l, int32_t k, int32_t i, loaded want)
{
    const nw_strip_link *link = &l->s->links[k];
    const nw_strip_operand *o = &link->strips.inputs[i];
    const loaded have = l->have[k][i];
    uint8_t *buffer = l->scratch + o->offset;
    int32_t y = want.first;
    if (have.last > want.first && have.first <= want.first) {
        if (have.first < want.first)
            memmove(buffer, buffer + (size_t)(want.first - have.first) * o->row_size,
                    (size_t)(have.last - want.first) * o->row_size);
        y = have.last;
    }
    l->have[k][i] = want;
    const int32_t inside = nw_max32(y, nw_min32(0, want.last)); /* rows y .. inside lie above the picture */
    const int32_t below = nw_max32(inside, nw_min32(o->rule.height, want.last));
    memset(buffer + (size_t)(y - want.first) * o->row_size, link->zero_point[i], (size_t)(inside - y) * o->row_size);
    if (inside < below)
        bring(l, k, i, inside, below);
    if (below < want.last)
        memset(buffer + (size_t)(below - want.first) * o->row_size, link->zero_point[i],
               (size_t)(want.last - below) * o->row_size);
}

/** Where the operands of these rows lie, seen from where they lay when the inner jobs were made. */
static void place_operands(const lane *l, int32_t k, nw_rows *rows)
{
    const nw_strip_link *link = &l->s->links[k];
    for (int32_t i = 0; i < 2; i++) {
        const nw_strip_operand *o = &link->strips.inputs[i];
        if (o->rows)
            rows->x[i] = l->start + (o->rule.origin - l->have[k][i].first) * (ptrdiff_t)o->row_size;
    }
    if (link->strips.inputs[0].rows)
        rows->first = l->have[k][0].first - link->strips.inputs[0].rule.origin;
    const bool last = k + 1 == l->s->params.n_links;
    const int32_t top = last ? rows->begin : l->have[k + 1][l->s->links[k + 1].inner].first;
    if (link->strips.output.rows)
        rows->y = l->start - top * (ptrdiff_t)link->strips.output.row_size;
}

/** Shows rows of an inner output to whoever looks. */
static void show(const lane *l, int32_t k, const nw_rows *rows)
{
    const nw_strip_link *reader = &l->s->links[k + 1];
    uint8_t *to = *l->s->links[k].observed;
    const nw_strip_operand *o = &reader->strips.inputs[reader->inner];
    const nw_picture *p = &reader->inputs[reader->inner];
    const size_t size = (size_t)p->width * (size_t)p->channels;
    const uint8_t *from = l->scratch + o->offset + (size_t)o->left * (size_t)p->channels;
    for (int32_t y = rows->begin; to && y < rows->end; y++)
        memcpy(to + (size_t)y * size, from + (size_t)(y - l->have[k + 1][reader->inner].first) * o->row_size, size);
}

/** Output rows [begin, end) of link k into scratch or arena, whatever links before it have to do for them. */
static void make_rows(lane *l, int32_t k, int32_t begin, int32_t end)
{
    const nw_strip_link *link = &l->s->links[k];
    nw_rows rows = {.begin = begin, .end = end};
    for (int32_t i = 0; i < 2; i++) {
        const nw_strip_operand *o = &link->strips.inputs[i];
        loaded want;
        if (!o->rows)
            continue;
        nw_strip_reach(&o->rule, begin, end, &want.first, &want.last);
        move_window(l, k, i, want);
    }
    place_operands(l, k, &rows);
    for (int32_t i = 0; i < link->n_jobs; i++)
        link->jobs[i].run_rows(link->jobs[i].state, &rows);
    if (link->observed)
        show(l, k, &rows);
}

/** Inner rows that no window reached, behind the last ones: only somebody who looks wants them. */
static void make_rest(lane *l)
{
    for (int32_t k = l->s->params.n_links - 1; k > 0; k--) {
        const nw_strip_link *link = &l->s->links[k];
        loaded *have = &l->have[k][link->inner];
        const int32_t height = link->strips.inputs[link->inner].rule.height;
        while (*l->s->links[k - 1].observed && have->last < height) {
            const int32_t y = have->last;
            move_window(l, k, link->inner, (loaded){y, nw_min32(y + l->s->links[k - 1].strips.rows, height)});
        }
    }
}

static void store(const lane *l, int32_t begin, int32_t end)
{
    const strip_state *s = l->s;
    const nw_strips *strips = &s->links[s->params.n_links - 1].strips;
    nw_coding_count *count = l->count;
    const nw_part *part = s->params.output.parts; /* one: no node writes into a joined tensor */
    const nw_stored *stored = &part->form.stored;
    const uint8_t *from = l->scratch + strips->output.offset;
    uint8_t *temporary = l->scratch + strips->temporary;
    for (int32_t y = begin; y < end; y++, from += strips->output.row_size) {
        count->rows++;
        count->values += (uint64_t)stored->width * (uint64_t)stored->channels;
        if (part->coded) {
            uint8_t *slot = part->rows + (size_t)y * part->form.slot_size;
            part->coded[y] = nw_coded_pack(&part->form, s->params.kernels, slot, from, temporary);
            count->bytes_written += part->coded[y] & NW_CODED_SIZE;
            count->rows_dropped += (part->coded[y] & NW_CODED_DROPPED) != 0;
        } else {
            nw_stored_pack(stored, s->params.kernels, part->rows + (size_t)y * stored->row_size, from, temporary);
            count->bytes_written += stored->row_size;
        }
    }
}

/** Rows of floats, [W, C], to the caller's array, [C, H, W]. */
static void give(const lane *l, int32_t begin, int32_t end)
{
    const strip_state *s = l->s;
    const nw_strips *strips = &s->links[s->params.n_links - 1].strips;
    const nw_picture *y = &s->params.output;
    const int32_t n = end - begin;
    const nw_view from = {
        .data = l->scratch + strips->output.offset,
        .rank = 4,
        .dims = {1, y->channels, n, y->width},
        .strides = {0, sizeof(float), (ptrdiff_t)strips->output.row_size, (ptrdiff_t)sizeof(float) * y->channels},
        .element_size = sizeof(float),
    };
    nw_view to = from;
    to.data = (uint8_t *)(*s->params.caller + (size_t)begin * (size_t)y->width);
    to.strides[1] = (ptrdiff_t)sizeof(float) * y->height * y->width;
    to.strides[2] = (ptrdiff_t)sizeof(float) * y->width;
    to.strides[3] = sizeof(float);
    nw_copy_run(&to, &from, s->params.kernels);
}

static void run_lane(const strip_state *s, int32_t number)
{
    const nw_strips *strips = &s->links[s->params.n_links - 1].strips;
    const int32_t begin = (int32_t)((int64_t)s->params.height * number / strips->lanes);
    const int32_t end = (int32_t)((int64_t)s->params.height * (number + 1) / strips->lanes);
    const bool clock = s->params.clock->on;
    lane l = {.s = s, .start = number * (ptrdiff_t)strips->lane_size, .count = &s->params.clock->lanes[number]};
    l.scratch = s->params.scratch + l.start;
    for (int32_t k = 0; k < s->params.n_links; k++)
        for (int32_t i = 0; i < 2; i++)
            if (s->links[k].strips.inputs[i].rows)
                fill_sides(&s->links[k], i, l.scratch);
    for (int32_t y = begin; y < end; y += strips->rows) {
        const int32_t last = nw_min32(y + strips->rows, end);
        make_rows(&l, s->params.n_links - 1, y, last);
        const uint64_t made_at = clock ? nanoseconds() : 0;
        if (s->params.caller)
            give(&l, y, last);
        else if (strips->output.rows)
            store(&l, y, last);
        if (clock && !s->params.caller)
            l.count->nanoseconds += nanoseconds() - made_at;
    }
    if (end == s->params.height)
        make_rest(&l);
}

static void run(const void *state, int32_t begin, int32_t end)
{
    for (int32_t lane = begin; lane < end; lane++)
        run_lane(state, lane);
}

nw_job nw_strip_job_make(const nw_strip_params *params, nw_arena *arena)
{
    strip_state *s = nw_arena_take(arena, sizeof(*s));
    if (s) {
        *s = (strip_state){.params = *params};
        for (int32_t i = 0; i < params->n_links; i++)
            s->links[i] = params->links[i];
        s->params.links = s->links;
    }
    return (nw_job){.run = run,
                    .state = s,
                    .kernel = params->links[params->n_links - 1].jobs[0].kernel,
                    .n_tiles = params->links[0].strips.lanes};
}
