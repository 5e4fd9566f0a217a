/* SPDX-License-Identifier: Apache-2.0 */
/* See strips.h: the running half. A tile of the job is a lane. */
#define _POSIX_C_SOURCE 200809L
#include <string.h>
#include <time.h>

#include "base/arith.h"
#include "runtime/strips.h"

typedef struct strip_state {
    nw_strips strips;
    nw_strip_params params;
    nw_job jobs[NW_STRIP_JOBS];
} strip_state;

/** The rows of an input that lie in scratch: [first, last). */
typedef struct loaded {
    int32_t first, last;
} loaded;

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

/** Zero points left and right of every row that will be unpacked. */
static void fill_sides(const strip_state *s, int32_t i, uint8_t *scratch)
{
    const nw_strip_operand *o = &s->strips.inputs[i];
    const size_t channels = (size_t)s->params.inputs[i].channels;
    const size_t left = (size_t)o->left * channels;
    const size_t right = (size_t)o->right * channels;
    if (!left && !right)
        return;
    for (int32_t row = 0; row < o->rows; row++) {
        uint8_t *at = scratch + o->offset + (size_t)row * o->row_size;
        memset(at, s->params.zero_point[i], left);
        memset(at + o->row_size - right, s->params.zero_point[i], right);
    }
}

/** Brings the input rows of output rows [begin, end) into scratch, keeping those that are there. */
static void load(const strip_state *s, int32_t i, uint8_t *scratch, const nw_rows *rows, loaded *have,
                 nw_coding_count *count)
{
    const nw_strip_operand *o = &s->strips.inputs[i];
    uint8_t *buffer = scratch + o->offset;
    loaded want;
    nw_strip_reach(&o->rule, rows->begin, rows->end, &want.first, &want.last);
    int32_t y = want.first;
    if (have->last > want.first && have->first <= want.first) {
        if (have->first < want.first)
            memmove(buffer, buffer + (size_t)(want.first - have->first) * o->row_size,
                    (size_t)(have->last - want.first) * o->row_size);
        y = have->last;
    }
    for (; y < want.last; y++) {
        uint8_t *row = buffer + (size_t)(y - want.first) * o->row_size;
        if (y < 0 || y >= o->rule.height)
            memset(row, s->params.zero_point[i], o->row_size);
        else
            count->bytes_read += nw_picture_row(&s->params.inputs[i], s->params.kernels, y,
                                                row + (size_t)o->left * (size_t)s->params.inputs[i].channels,
                                                scratch + s->strips.temporary);
    }
    *have = want;
}

static void store(const strip_state *s, uint8_t *scratch, const nw_rows *rows, nw_coding_count *count)
{
    const nw_part *part = s->params.output.parts; /* one: no node writes into a joined tensor */
    const nw_stored *stored = &part->form.stored;
    const uint8_t *from = scratch + s->strips.output.offset;
    uint8_t *temporary = scratch + s->strips.temporary;
    for (int32_t y = rows->begin; y < rows->end; y++, from += s->strips.output.row_size) {
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
static void give(const strip_state *s, const uint8_t *scratch, const nw_rows *rows)
{
    const nw_picture *y = &s->params.output;
    const int32_t n = rows->end - rows->begin;
    const nw_view from = {
        .data = (uint8_t *)(uintptr_t)(scratch + s->strips.output.offset),
        .rank = 4,
        .dims = {1, y->channels, n, y->width},
        .strides = {0, sizeof(float), (ptrdiff_t)s->strips.output.row_size, (ptrdiff_t)sizeof(float) * y->channels},
        .element_size = sizeof(float),
    };
    nw_view to = from;
    to.data = (uint8_t *)(*s->params.caller + (size_t)rows->begin * (size_t)y->width);
    to.strides[1] = (ptrdiff_t)sizeof(float) * y->height * y->width;
    to.strides[2] = (ptrdiff_t)sizeof(float) * y->width;
    to.strides[3] = sizeof(float);
    nw_copy_run(&to, &from, s->params.kernels);
}

/** Where the operands of these rows lie, seen from where they lay when the inner jobs were made. */
static void place_operands(const strip_state *s, int32_t lane, const loaded *have, nw_rows *rows)
{
    const ptrdiff_t start = lane * (ptrdiff_t)s->strips.lane_size;
    for (int32_t i = 0; i < 2; i++) {
        const nw_strip_operand *o = &s->strips.inputs[i];
        if (o->rows)
            rows->x[i] = start + (o->rule.origin - have[i].first) * (ptrdiff_t)o->row_size;
    }
    if (s->strips.output.rows)
        rows->y = start - rows->begin * (ptrdiff_t)s->strips.output.row_size;
}

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void run_lane(const strip_state *s, int32_t lane)
{
    const nw_strips *strips = &s->strips;
    const int32_t begin = (int32_t)((int64_t)s->params.height * lane / strips->lanes);
    const int32_t end = (int32_t)((int64_t)s->params.height * (lane + 1) / strips->lanes);
    uint8_t *scratch = s->params.scratch + (size_t)lane * strips->lane_size;
    nw_coding_count *count = &s->params.clock->lanes[lane];
    const bool clock = s->params.clock->on;
    loaded have[2] = {{0, 0}, {0, 0}};
    for (int32_t i = 0; i < 2; i++)
        if (strips->inputs[i].rows)
            fill_sides(s, i, scratch);
    for (int32_t y = begin; y < end; y += strips->rows) {
        nw_rows rows = {.begin = y, .end = nw_min32(y + strips->rows, end)};
        const uint64_t start = clock ? nanoseconds() : 0;
        for (int32_t i = 0; i < 2; i++)
            if (strips->inputs[i].rows)
                load(s, i, scratch, &rows, &have[i], count);
        place_operands(s, lane, have, &rows);
        const uint64_t loaded_at = clock ? nanoseconds() : 0;
        for (int32_t i = 0; i < s->params.n_jobs; i++)
            s->jobs[i].run_rows(s->jobs[i].state, &rows);
        const uint64_t computed_at = clock ? nanoseconds() : 0;
        if (s->params.caller)
            give(s, scratch, &rows);
        else if (strips->output.rows)
            store(s, scratch, &rows, count);
        if (clock)
            count->nanoseconds += loaded_at - start + (s->params.caller ? 0 : nanoseconds() - computed_at);
    }
}

static void run(const void *state, int32_t begin, int32_t end)
{
    for (int32_t lane = begin; lane < end; lane++)
        run_lane(state, lane);
}

static void count_runs(const void *state, nw_run_counts *counts)
{
    const strip_state *s = state;
    s->jobs[0].count_runs(s->jobs[0].state, counts);
}

nw_job nw_strip_job_make(const nw_strip_params *params, nw_arena *arena)
{
    strip_state *s = nw_arena_take(arena, sizeof(*s));
    if (s) {
        *s = (strip_state){.strips = *params->strips, .params = *params};
        s->params.strips = &s->strips;
        for (int32_t i = 0; i < params->n_jobs; i++)
            s->jobs[i] = params->jobs[i];
        s->params.jobs = s->jobs;
    }
    return (nw_job){.run = run,
                    .state = s,
                    .kernel = params->jobs[0].kernel,
                    .n_tiles = params->strips->lanes,
                    .count_runs = params->jobs[0].count_runs ? count_runs : NULL};
}
