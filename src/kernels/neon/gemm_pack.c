/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs a matrix for the three families (layout: neon.h) and proves on the way where 16 bits are enough: the
 * certificate of a run is made here, from the real weights and the limits of the codes, panel by panel
 * (kernels/runs.h).
 *
 * A 16-bit lane is one row and one k mod 8; a full step adds two products to each of a panel's 32 lanes. With shifted
 * codes x - z in [lo - z, hi - z] a product lies between w (lo - z) and w (hi - z), in either order; `high` and `low`
 * of a step are the sums of the upper and the lower ends of its two products.
 *
 * One step alone always fits: |x - z| <= 128, |w| <= 127 and 2 * 128 * 127 = 32512. So smull and smlal2 followed by
 * sadalp are exact for any weights; nothing needs to be widened. Runs of less than SHORTEST steps are not worth their
 * fold and go to 32 bits step by step.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/neon/neon.h"
#include "kernels/runs.h"

#define MAX_ROWS 16
#define RUN_ROWS 4 /* rows of a panel that has runs */
#define N_LANES (RUN_ROWS * 8)
#define WINDOW 48
#define MAX_RUN 128
/*
 * n steps of a tile of 4 pixels by 4 rows cost 50 + 42 n instructions as a run, of which 16 + 32 n are vector
 * arithmetic, and 58 n, 48 n arithmetic, one by one: from 3 on a run is not longer and leaves the multipliers idle for
 * a quarter. 7-bit weights and codes of trained networks make runs of 7 to 8 steps, 8 bits half as many steps in runs
 * of 3.
 */
#define SHORTEST 3

/* A step: `n` consecutive columns from k on, at `offset` bytes from the pixel's base. */
typedef struct step {
    int32_t offset, k, n;
    bool small;
} step;

/* The steps of a panel, one after the other. */
typedef struct reader {
    const nw_gemm_source *source;
    const nw_neon_shape *shape;
    int32_t row, n_rows; /* of the panel */
    int32_t segment, at; /* next step */
} reader;

static bool all_zero(const reader *r, const step *s)
{
    const nw_gemm_source *source = r->source;
    for (int32_t i = 0; i < r->n_rows; i++) {
        const int8_t *w = source->weights + (size_t)(r->row + i) * (size_t)source->k + (size_t)s->k;
        for (int32_t j = 0; j < s->n; j++)
            if (w[j])
                return false;
    }
    return true;
}

/* The next step that holds a weight; false at the end. A segment ends in small steps unless they cost as much as a full
 * one. */
static bool reader_next(reader *r, step *s)
{
    while (r->segment < r->source->n_segments) {
        const nw_segment *segment = &r->source->segments[r->segment];
        const int32_t left = segment->length - r->at;
        s->small = left <= NW_NEON_STEP - r->shape->small;
        s->n = nw_min32(left, s->small ? r->shape->small : NW_NEON_STEP);
        s->offset = segment->offset + r->at;
        s->k = segment->k + r->at;
        r->at += s->n;
        if (r->at >= segment->length) {
            r->segment++;
            r->at = 0;
        }
        if (s->n > 0 && !all_zero(r, s))
            return true;
    }
    return false;
}

/* Where the steps of a panel go: runs from the front, other full steps from the back, then the small ones. */
typedef struct writer {
    const reader *reader;
    int32_t *runs, *offsets;
    int8_t *weights;
    nw_neon_panel *panel;
    int32_t front, back, n_full, n_small;
} writer;

/* [rows][block] bytes: columns [k, k + n) of the panel, the rest zero. */
static void write_block(int8_t *to, const reader *r, int32_t k, int32_t n, int32_t block)
{
    const nw_gemm_source *source = r->source;
    memset(to, 0, (size_t)(r->shape->rows * block));
    for (int32_t i = 0; i < r->n_rows && n > 0; i++)
        memcpy(to + i * block, source->weights + (size_t)(r->row + i) * (size_t)source->k + (size_t)k, (size_t)n);
}

static void write_full(writer *w, const step *s, int32_t place)
{
    const nw_neon_shape *shape = w->reader->shape;
    int8_t *to = w->weights + (size_t)place * (size_t)(shape->rows * NW_NEON_STEP);
    w->offsets[place] = s->offset;
    for (int32_t j = 0; j < NW_NEON_STEP; j += shape->block)
        write_block(to + shape->rows * j, w->reader, s->k + j, nw_min32(s->n - j, shape->block), shape->block);
}

static void write_small(writer *w, const step *s)
{
    const nw_neon_shape *shape = w->reader->shape;
    int8_t *to = w->weights + (size_t)w->n_full * (size_t)(shape->rows * NW_NEON_STEP) +
                 (size_t)w->n_small * (size_t)(shape->rows * shape->small);
    w->offsets[w->n_full + w->n_small] = s->offset;
    write_block(to, w->reader, s->k, s->n, shape->small);
    w->n_small++;
}

/* The range of every lane; lane 8 row + k mod 8. */
static void bound(nw_ranges *range, const reader *r, const step *s, int32_t zero)
{
    const nw_gemm_source *source = r->source;
    memset(range, 0, sizeof(*range));
    for (int32_t i = 0; i < r->n_rows; i++)
        for (int32_t j = 0; j < s->n; j++) {
            const int32_t w = source->weights[(size_t)(r->row + i) * (size_t)source->k + (size_t)(s->k + j)];
            const int32_t a = w * (source->x_lo[s->k + j] - zero);
            const int32_t b = w * (source->x_hi[s->k + j] - zero);
            range->high[8 * i + j % 8] += nw_max32(a, b);
            range->low[8 * i + j % 8] += nw_min32(a, b);
        }
}

static void write_run(writer *w, const step *run, int32_t n)
{
    const bool fold = n >= SHORTEST;
    for (int32_t i = 0; i < n; i++)
        write_full(w, &run[i], fold ? w->front++ : --w->back);
    if (fold)
        w->runs[w->panel->n_runs++] = n;
}

/* Full steps on their way into runs. */
typedef struct pass {
    reader *reader;
    writer *writer;
    int32_t zero;
    step waiting[NW_RUNS_WINDOW];
    step run[MAX_RUN];
    nw_runs runs;
} pass;

/* nw_runs_read: small steps are written at once. */
static bool read_step(void *context, int32_t slot, nw_ranges *range)
{
    pass *p = context;
    step *s = &p->waiting[slot];
    while (reader_next(p->reader, s)) {
        if (s->small) {
            write_small(p->writer, s);
            continue;
        }
        bound(range, p->reader, s, p->zero);
        return true;
    }
    return false;
}

/* nw_runs_take */
static void take_step(void *context, int32_t slot, int32_t place)
{
    pass *p = context;
    p->run[place] = p->waiting[slot];
}

static void write_runs(writer *w, reader *r, int32_t zero)
{
    pass p = {.reader = r, .writer = w, .zero = zero};
    const int32_t longest = r->source->arrangement == NW_ARRANGE_INT32 ? 1 : MAX_RUN;
    nw_runs_init(&p.runs, N_LANES, WINDOW, longest, read_step, take_step, &p);
    for (int32_t n; (n = nw_runs_next(&p.runs)) > 0;)
        write_run(w, p.run, n);
}

static void write_steps(writer *w, reader *r)
{
    step s;
    while (reader_next(r, &s)) {
        if (s.small)
            write_small(w, &s);
        else
            write_full(w, &s, --w->back);
    }
}

/* z sum_k w[k] of every row, over the columns that take part. Modulo 2^32, as the sums it starts. */
static void write_start(int32_t *start, const reader *r, int32_t zero)
{
    const nw_gemm_source *source = r->source;
    memset(start, 0, (size_t)r->shape->rows * sizeof(*start));
    for (int32_t i = 0; i < r->n_rows; i++) {
        const int8_t *w = source->weights + (size_t)(r->row + i) * (size_t)source->k;
        int64_t sum = 0;
        for (int32_t s = 0; s < source->n_segments; s++)
            for (int32_t j = 0; j < source->segments[s].length; j++)
                sum += w[source->segments[s].k + j];
        const uint32_t low = (uint32_t)(uint64_t)(sum * zero);
        memcpy(&start[i], &low, sizeof(low));
    }
}

/* Lays out one panel at byte `size` of the packed matrix, writes it if there is memory, returns the byte behind it. */
static size_t pack_panel(void *packed, size_t size, nw_neon_panel *panel, const reader *first, int32_t zero)
{
    const nw_neon_shape *shape = first->shape;
    reader r = *first;
    step s;
    int32_t n_full = 0;
    int32_t n_small = 0;
    while (reader_next(&r, &s)) {
        n_full += !s.small;
        n_small += s.small;
    }
    *panel = (nw_neon_panel){.start = (int64_t)size, .n_small = n_small};
    panel->runs = panel->start + 4 * (int64_t)shape->rows;
    panel->offsets = panel->runs + 4 * (int64_t)n_full;
    size = nw_align((size_t)panel->offsets + 4 * ((size_t)n_full + (size_t)n_small), NW_ALIGNMENT);
    panel->weights = (int64_t)size;
    size += (size_t)shape->rows * ((size_t)n_full * NW_NEON_STEP + (size_t)n_small * (size_t)shape->small);
    if (packed) {
        uint8_t *base = packed;
        writer w = {.reader = first,
                    .runs = (int32_t *)(void *)(base + panel->runs),
                    .offsets = (int32_t *)(void *)(base + panel->offsets),
                    .weights = (int8_t *)base + panel->weights,
                    .panel = panel,
                    .back = n_full,
                    .n_full = n_full};
        r = *first;
        write_start((int32_t *)(void *)(base + panel->start), first, zero);
        if (shape->runs)
            write_runs(&w, &r, zero);
        else
            write_steps(&w, &r);
        assert(w.front == w.back && w.n_small == n_small);
        panel->n_run_steps = w.front;
        panel->n_single = n_full - w.front;
    }
    return size;
}

/* 0 if every code is a signed byte as it is. */
static int32_t choose_zero(const nw_gemm_source *source)
{
    for (int32_t s = 0; s < source->n_segments; s++)
        for (int32_t j = 0; j < source->segments[s].length; j++)
            if (source->x_hi[source->segments[s].k + j] > 127)
                return 128;
    return 0;
}

size_t nw_neon_gemm_pack(void *packed, const nw_gemm_source *source, const nw_neon_shape *shape)
{
    assert(shape->rows <= MAX_ROWS && (!shape->runs || shape->rows == RUN_ROWS));
    const int32_t rows = shape->rows;
    nw_neon_gemm header = {.n_channels = source->n_channels,
                           .n_extra = source->n_rows - source->n_channels,
                           .rows = rows,
                           .zero = shape->shifts ? choose_zero(source) : 0};
    header.n_panels = nw_round_up(header.n_channels, rows) / rows;
    header.n_extra_panels = nw_round_up(header.n_extra, rows) / rows;
    const int32_t n_panels = header.n_panels + header.n_extra_panels;
    nw_neon_panel *panels = packed ? (nw_neon_panel *)(void *)((uint8_t *)packed + sizeof(header)) : NULL;
    size_t size = nw_align(sizeof(header) + (size_t)n_panels * sizeof(nw_neon_panel), NW_ALIGNMENT);
    for (int32_t p = 0; p < n_panels; p++) {
        const bool extra = p >= header.n_panels;
        const int32_t row = extra ? header.n_channels + (p - header.n_panels) * rows : p * rows;
        const int32_t end = extra ? source->n_rows : header.n_channels;
        const reader first = {.source = source, .shape = shape, .row = row, .n_rows = nw_min32(end - row, rows)};
        nw_neon_panel panel;
        size = pack_panel(packed, size, &panel, &first, header.zero);
        if (panels)
            panels[p] = panel;
    }
    if (packed)
        memcpy(packed, &header, sizeof(header));
    return size;
}

size_t nw_gemm_pack_neon(void *packed, const nw_gemm_source *source)
{
    const nw_neon_shape shape = {.rows = 4, .block = 16, .small = 8, .shifts = true, .runs = true};
    return nw_neon_gemm_pack(packed, source, &shape);
}

void nw_gemm_count_runs_neon(nw_run_counts *counts, const void *packed)
{
    const nw_neon_gemm *header = packed;
    const nw_neon_panel *panels = (const nw_neon_panel *)(const void *)((const uint8_t *)packed + sizeof(*header));
    for (int32_t p = 0; p < header->n_panels + header->n_extra_panels; p++) {
        const nw_neon_panel *panel = &panels[p];
        const int32_t *runs = (const int32_t *)(const void *)((const uint8_t *)packed + panel->runs);
        for (int32_t i = 0; i < panel->n_runs; i++)
            counts->runs[runs[i]]++;
        counts->runs[1] += panel->n_single + panel->n_small;
        counts->places += (int64_t)header->rows *
                          ((int64_t)NW_NEON_STEP * (panel->n_run_steps + panel->n_single) + 8 * panel->n_small);
    }
}

size_t nw_gemm_pack_neon_int32(void *packed, const nw_gemm_source *source)
{
    const nw_neon_shape shape = {.rows = 4, .block = 16, .small = 8, .shifts = true};
    return nw_neon_gemm_pack(packed, source, &shape);
}

size_t nw_gemm_pack_dotprod(void *packed, const nw_gemm_source *source)
{
    const nw_neon_shape shape = {.rows = 16, .block = 4, .small = 4, .shifts = true};
    return nw_neon_gemm_pack(packed, source, &shape);
}

size_t nw_gemm_pack_i8mm(void *packed, const nw_gemm_source *source)
{
    const nw_neon_shape shape = {.rows = 16, .block = 8, .small = 8};
    return nw_neon_gemm_pack(packed, source, &shape);
}
