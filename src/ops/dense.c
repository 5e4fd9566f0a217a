/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every linear layer that is not depthwise, as matrix products over windows of the picture. A layer falls into units,
 * one per group, and for a transposed convolution one per group and phase: the output pixels with the same remainder
 * (y + pad) mod stride see the same taps, so each phase is an ordinary convolution with its own weights' columns.
 *
 *     unit = packed matrix + grid of output pixels + where the grid starts and steps in input, output and residual
 *     tile = up to tile_m pixels of a unit's grid by tile_n output channels
 */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "ops/linear.h"

#define MAX_EXTRA_SUMS NW_MAX_EXTRA_ROWS /* int32 on the stack: pixels of a tile times extra rows */

typedef struct grid {
    ptrdiff_t start, row, pixel; /* bytes */
} grid;

typedef struct unit {
    const void *packed;
    nw_requant requant;
    int32_t n_channels;
    int32_t height, width; /* output pixels of this unit */
    grid a, c, residual;
    int32_t first_row, row_step; /* output rows of this unit: first_row, first_row + row_step, ... */
    int32_t first_tile, n_m; /* tiles [first_tile, next unit's first_tile): n_m along the pixels, fastest */
} unit;

typedef struct dense_state {
    nw_gemm gemm;
    const uint8_t *x, *residual;
    uint8_t *y;
    int32_t tile_m, tile_n;
    int32_t n_units;
    unit *units;
} dense_state;

/** Pixel pointers of m consecutive pixels of the grid, starting with pixel `first`, moved by `shift` bytes. */
static void pixel_pointers(const uint8_t **out, const uint8_t *base, const grid *g, ptrdiff_t shift, int32_t width,
                           int32_t first, int32_t m)
{
    int32_t y = first / width;
    int32_t x = first % width;
    const ptrdiff_t step = g->pixel;
    for (int32_t i = 0; i < m; x = 0, y++) {
        const uint8_t *at = base + (g->start + shift + y * g->row + x * step);
        const int32_t end = i + nw_min32(m - i, width - x); /* of the row */
        for (; i < end; i++, at += step)
            out[i] = at;
    }
}

/** m pixels of the unit's grid from pixel `first` on, channels from `begin` on; `moved`: where the operands lie. */
static void run_tile(const dense_state *s, const unit *u, const nw_rows *moved, int32_t first, int32_t m,
                     int32_t begin)
{
    const uint8_t *a[NW_GEMM_MAX_M];
    const uint8_t *c[NW_GEMM_MAX_M];
    const uint8_t *residual[NW_GEMM_MAX_M];
    int32_t extra_sums[MAX_EXTRA_SUMS];
    nw_gemm_call call = {
        .packed = u->packed,
        .requant = &u->requant,
        .a = a,
        .c = (void *const *)(void *)c,
        .m = m,
        .begin = begin,
        .end = nw_min32(begin + s->tile_n, u->n_channels),
    };
    pixel_pointers(a, s->x, &u->a, moved->x[0], u->width, first, m);
    pixel_pointers(c, s->y, &u->c, moved->y, u->width, first, m);
    if (s->residual) {
        pixel_pointers(residual, s->residual, &u->residual, moved->x[1], u->width, first, m);
        call.residual = residual;
    }
    if (u->requant.n_extra) {
        call.extra_sums = extra_sums;
        s->gemm.run_extra(&call);
    }
    s->gemm.run(&call);
}

static void run(const void *state, int32_t begin, int32_t end)
{
    const dense_state *s = state;
    const nw_rows in_place = {0};
    int32_t u = 0;
    for (int32_t tile = begin; tile < end; tile++) {
        while (u + 1 < s->n_units && s->units[u + 1].first_tile <= tile)
            u++;
        const int32_t i = tile - s->units[u].first_tile;
        const int32_t first = i % s->units[u].n_m * s->tile_m;
        const int32_t m = nw_min32(s->tile_m, s->units[u].height * s->units[u].width - first);
        run_tile(s, &s->units[u], &in_place, first, m, i / s->units[u].n_m * s->tile_n);
    }
}

/** Index of the unit's first row that is not above output row `row`. */
static int32_t unit_row(const unit *u, int32_t row)
{
    return row <= u->first_row ? 0 : nw_min32(u->height, (row - u->first_row + u->row_step - 1) / u->row_step);
}

static void run_rows(const void *state, const nw_rows *rows)
{
    const dense_state *s = state;
    for (int32_t i = 0; i < s->n_units; i++) {
        const unit *u = &s->units[i];
        const int32_t last = unit_row(u, rows->end) * u->width;
        for (int32_t begin = 0; begin < u->n_channels; begin += s->tile_n)
            for (int32_t first = unit_row(u, rows->begin) * u->width; first < last; first += s->tile_m)
                run_tile(s, u, rows, first, nw_min32(s->tile_m, last - first), begin);
    }
}

static void count_runs(const void *state, nw_run_counts *counts)
{
    const dense_state *s = state;
    for (int32_t u = 0; u < s->n_units; u++)
        s->gemm.count_runs(counts, s->units[u].packed);
}

/** What packing needs besides the parameters: heap scratch, freed when packing is done. */
typedef struct packing {
    nw_segment *segments;
    uint8_t *x_lo, *x_hi;   /* [k] */
    int8_t *weights;        /* one group's rows with its extra points behind them; only for groups with extra points */
    int32_t *extra_channel; /* one group's extra rows */
    float *extra_multiplier;
    int32_t *extra_offset;
} packing;

static void packing_free(packing *p)
{
    free(p->segments);
    free(p->x_lo);
    free(p->x_hi);
    free(p->weights);
    free(p->extra_channel);
    free(p->extra_multiplier);
    free(p->extra_offset);
}

static bool packing_init(packing *p, const nw_linear_params *params)
{
    const size_t k = (size_t)params->k;
    const size_t extra = (size_t)(params->n_rows - params->n_channels);
    const size_t taps = (size_t)(params->window.kernel[0] * params->window.kernel[1]);
    *p = (packing){.segments = malloc(taps * sizeof(nw_segment)), .x_lo = malloc(k), .x_hi = malloc(k)};
    bool done = p->segments && p->x_lo && p->x_hi;
    if (extra && params->groups > 1) {
        p->weights = malloc(((size_t)params->n_channels / (size_t)params->groups + extra) * k);
        p->extra_channel = malloc(extra * sizeof(int32_t));
        p->extra_multiplier = malloc(extra * sizeof(float));
        p->extra_offset = malloc(extra * sizeof(int32_t));
        done = done && p->weights && p->extra_channel && p->extra_multiplier && p->extra_offset;
    }
    if (!done)
        packing_free(p);
    return done;
}

/**
 * The taps of a phase as segments, in order of k, joined where they lie together. A convolution has one phase, (0, 0),
 * and forward offsets; in a transposed one tap t meets the phase if t * dilation - phase is a multiple of the stride,
 * and looks that many strides back.
 */
static int32_t make_segments(nw_segment *out, const nw_linear_params *params, const int32_t phase[2])
{
    const nw_window *w = &params->window;
    const int32_t channels = params->k / (w->kernel[0] * w->kernel[1]);
    int32_t n = 0;
    for (int32_t ky = 0; ky < w->kernel[0]; ky++)
        for (int32_t kx = 0; kx < w->kernel[1]; kx++) {
            int32_t y = ky * w->dilation[0] - phase[0];
            int32_t x = kx * w->dilation[1] - phase[1];
            if (params->transpose) {
                if (y % w->stride[0] || x % w->stride[1])
                    continue;
                y = -(y / w->stride[0]);
                x = -(x / w->stride[1]);
            }
            const int32_t offset =
                (int32_t)(y * nw_view_row_stride(&params->x) + x * nw_view_pixel_stride(&params->x));
            const int32_t k = (ky * w->kernel[1] + kx) * channels;
            if (n && out[n - 1].offset + out[n - 1].length == offset && out[n - 1].k + out[n - 1].length == k)
                out[n - 1].length += channels;
            else
                out[n++] = (nw_segment){offset, channels, k};
        }
    return n;
}

/** Rows, ranges and parameters of group g; fills `source` (all but the segments) and `requant`. */
static void gather_group(nw_gemm_source *source, nw_requant *requant, packing *p, const nw_linear_params *params,
                         int32_t g)
{
    const int32_t rows = params->n_channels / params->groups;
    const int32_t first = g * rows;
    const int32_t in_channels = nw_view_channels(&params->x) / params->groups;
    const size_t k = (size_t)params->k;
    for (int32_t j = 0; j < params->k; j++)
        nw_linear_input_range(params, g * in_channels + j % in_channels, &p->x_lo[j], &p->x_hi[j]);
    *source = (nw_gemm_source){
        .weights = params->weights + (size_t)first * k,
        .n_rows = params->groups == 1 ? params->n_rows : rows,
        .k = params->k,
        .n_channels = rows,
        .segments = p->segments,
        .x_lo = p->x_lo,
        .x_hi = p->x_hi,
        .arrangement = params->arrangement,
    };
    if (params->groups == 1)
        return;
    requant->bias = requant->bias ? requant->bias + first : NULL;
    requant->multiplier = requant->multiplier ? requant->multiplier + first : NULL;
    requant->offset = requant->offset ? requant->offset + first : NULL;
    requant->lo = requant->lo ? requant->lo + first : NULL;
    requant->hi = requant->hi ? requant->hi + first : NULL;
    requant->shift = requant->shift ? requant->shift + first : NULL;
    requant->lo_code = requant->lo_code ? requant->lo_code + first : NULL;
    requant->hi_code = requant->hi_code ? requant->hi_code + first : NULL;
    requant->residual_multiplier = requant->residual_multiplier ? requant->residual_multiplier + first : NULL;
    requant->n_extra = 0;
    for (int32_t row = params->n_channels; row < params->n_rows; row++) {
        const int32_t o = params->row_channel[row] - first;
        if (o < 0 || o >= rows)
            continue;
        const int32_t e = requant->n_extra++;
        memcpy(p->weights + (size_t)(rows + e) * k, params->weights + (size_t)row * k, k);
        p->extra_channel[e] = o;
        p->extra_multiplier[e] = params->multiplier[row];
        p->extra_offset[e] = params->offset[row];
    }
    if (!requant->n_extra) {
        requant->extra_channel = NULL;
        return;
    }
    memcpy(p->weights, params->weights + (size_t)first * k, (size_t)rows * k);
    source->weights = p->weights;
    source->n_rows = rows + requant->n_extra;
}

static void copy_group_extra(nw_requant *requant, const packing *p, nw_arena *arena)
{
    const size_t n = (size_t)requant->n_extra;
    requant->extra_channel = nw_arena_copy(arena, p->extra_channel, n * sizeof(int32_t), 0);
    requant->extra_multiplier = nw_arena_copy(arena, p->extra_multiplier, n * sizeof(float), 0);
    requant->extra_offset = nw_arena_copy(arena, p->extra_offset, n * sizeof(int32_t), 0);
}

/** [n_rows] -z_x times the sum of the weights that take part, padded as nw_requant asks. */
static const int32_t *phase_offsets(const nw_gemm_source *source, int32_t first, int32_t n_rows, int32_t zero_point,
                                    nw_arena *arena)
{
    int32_t *offset = nw_arena_take(arena, ((size_t)n_rows + NW_PARAMETER_PAD) * sizeof(*offset));
    for (int32_t row = 0; offset && row < n_rows + NW_PARAMETER_PAD; row++) {
        int32_t sum = 0;
        for (int32_t s = 0; row < n_rows && s < source->n_segments; s++)
            for (int32_t j = 0; j < source->segments[s].length; j++)
                sum += source->weights[(size_t)(first + row) * (size_t)source->k + (size_t)(source->segments[s].k + j)];
        offset[row] = -zero_point * sum;
    }
    return offset;
}

/** A phase sees some of the taps only, and so only their share of the zero-point term. */
static void restrict_offsets(nw_requant *requant, const nw_gemm_source *source, int32_t zero_point, nw_arena *arena)
{
    requant->offset = phase_offsets(source, 0, source->n_channels, zero_point, arena);
    if (requant->n_extra)
        requant->extra_offset = phase_offsets(source, source->n_channels, requant->n_extra, zero_point, arena);
}

/** Output positions of a phase along one axis: the first one, and how many of `size`. */
static int32_t phase_start(int32_t phase, int32_t pad, int32_t stride)
{
    return ((phase - pad) % stride + stride) % stride;
}

static int32_t phase_count(int32_t start, int32_t size, int32_t stride)
{
    return start >= size ? 0 : (size - start - 1) / stride + 1;
}

/** Where the grid of a phase of group g lies. A convolution is one phase with output stride 1. */
static void place_unit(unit *u, const nw_linear_params *params, const int32_t phase[2], int32_t g)
{
    const nw_window *w = &params->window;
    const nw_view *x = &params->x;
    const nw_view *y = &params->y;
    const ptrdiff_t x_row = nw_view_row_stride(x);
    const ptrdiff_t x_pixel = nw_view_pixel_stride(x);
    int32_t start[2] = {0, 0};
    int32_t out_step[2] = {1, 1};
    int32_t in_step[2] = {w->stride[0], w->stride[1]};
    int32_t in_start[2] = {-w->pad[0], -w->pad[1]};
    if (params->transpose)
        for (int i = 0; i < 2; i++) {
            start[i] = phase_start(phase[i], w->pad[i], w->stride[i]);
            out_step[i] = w->stride[i];
            in_step[i] = 1;
            in_start[i] = (start[i] + w->pad[i] - phase[i]) / w->stride[i];
        }
    u->first_row = start[0];
    u->row_step = out_step[0];
    u->height = phase_count(start[0], nw_view_height(y), out_step[0]);
    u->width = phase_count(start[1], nw_view_width(y), out_step[1]);
    const int32_t in_channel = g * (nw_view_channels(x) / params->groups);
    const int32_t out_channel = g * (params->n_channels / params->groups);
    u->a = (grid){in_start[0] * x_row + in_start[1] * x_pixel + in_channel, in_step[0] * x_row, in_step[1] * x_pixel};
    u->c = (grid){start[0] * nw_view_row_stride(y) + start[1] * nw_view_pixel_stride(y) + out_channel * y->element_size,
                  out_step[0] * nw_view_row_stride(y), out_step[1] * nw_view_pixel_stride(y)};
    if (params->has_residual) {
        const nw_view *r = &params->residual;
        u->residual = (grid){start[0] * nw_view_row_stride(r) + start[1] * nw_view_pixel_stride(r) + out_channel,
                             out_step[0] * nw_view_row_stride(r), out_step[1] * nw_view_pixel_stride(r)};
    }
}

/** Pixels and channels of a tile: enough work to be worth a thread, channels split only where pixels are few. */
static void choose_tile(dense_state *s, const nw_linear_params *params, const nw_gemm *gemm, int32_t n_extra)
{
    const int32_t pixels = nw_view_height(&params->y) * nw_view_width(&params->y);
    const int32_t rows = params->n_channels / params->groups;
    s->tile_m = NW_GEMM_MAX_M / gemm->mr * gemm->mr;
    s->tile_n = nw_round_up(rows, gemm->nr);
    if (n_extra)
        s->tile_m = nw_max32(1, nw_min32(s->tile_m, MAX_EXTRA_SUMS / n_extra));
    else if (pixels <= s->tile_m) {
        const int32_t per_channel = nw_max32(1, pixels * nw_max32(params->k, 1));
        s->tile_n = nw_min32(s->tile_n, nw_round_up(nw_max32(4 * NW_TILE_GRAIN / per_channel, 1), gemm->nr));
    }
}

static int32_t count_tiles(unit *u, const dense_state *s, int32_t first_tile)
{
    u->first_tile = first_tile;
    u->n_m = (u->height * u->width + s->tile_m - 1) / s->tile_m;
    return first_tile + u->n_m * ((u->n_channels + s->tile_n - 1) / s->tile_n);
}

/**
 * Weights of few values are unpacked in registers where so few pixels share them that reading them takes the time, and
 * where that saves memory. A choice of speed and memory, never of results.
 */
static const nw_gemm *choose_gemm(const nw_linear_params *params, packing *p, const nw_kernels *kernels)
{
    const nw_gemm *narrow = &kernels->gemm_narrow;
    const int32_t first[2] = {0, 0};
    const int32_t own_pixels = nw_view_height(&params->y) * nw_view_width(&params->y);
    const int64_t own_weights = (int64_t)params->n_rows * params->k;
    if (!narrow->pack || params->groups > 1 || params->transpose ||
        (params->whole_pixels ? params->whole_pixels : own_pixels) > narrow->mr ||
        (params->whole_weights ? params->whole_weights : own_weights) < narrow->least)
        return &kernels->gemm;
    nw_gemm_source source;
    nw_requant unused = {0};
    gather_group(&source, &unused, p, params, 0);
    source.n_segments = make_segments(p->segments, params, first);
    const size_t size = narrow->pack(NULL, &source);
    return size && size < (size_t)own_weights ? narrow : &kernels->gemm;
}

nw_status nw_dense_make(nw_job *job, const nw_linear_params *params, const nw_requant *requant,
                        const nw_kernels *kernels, nw_arena *arena)
{
    packing p;
    const int32_t n_extra = params->n_rows - params->n_channels;
    if (n_extra > MAX_EXTRA_SUMS)
        return NW_ERROR_UNSUPPORTED;
    if (!packing_init(&p, params))
        return NW_ERROR_MEMORY;
    const int32_t phases[2] = {params->transpose ? params->window.stride[0] : 1,
                               params->transpose ? params->window.stride[1] : 1};
    const nw_gemm *gemm = choose_gemm(params, &p, kernels);
    dense_state s = {.gemm = *gemm, .n_units = params->groups * phases[0] * phases[1]};
    choose_tile(&s, params, gemm, n_extra);
    dense_state *state = nw_arena_take(arena, sizeof(s));
    s.units = nw_arena_take(arena, (size_t)s.n_units * sizeof(unit));
    int32_t i = 0;
    *job = (nw_job){.run = run,
                    .state = state,
                    .kernel = gemm->name,
                    .run_rows = run_rows,
                    .count_runs = gemm->count_runs ? count_runs : NULL};
    for (int32_t g = 0; g < params->groups; g++) {
        nw_gemm_source source;
        nw_requant group = *requant;
        gather_group(&source, &group, &p, params, g);
        if (params->groups > 1 && group.n_extra)
            copy_group_extra(&group, &p, arena);
        for (int32_t phase = 0; phase < phases[0] * phases[1]; phase++) {
            const int32_t at[2] = {phase / phases[1], phase % phases[1]};
            unit u = {.requant = group, .n_channels = params->n_channels / params->groups};
            place_unit(&u, params, at, g);
            job->n_tiles = count_tiles(&u, &s, job->n_tiles);
            source.one_pixel = u.height * u.width == 1;
            source.n_segments = make_segments(p.segments, params, at);
            if (params->transpose && phases[0] * phases[1] > 1 && params->x_codes.zero_point)
                restrict_offsets(&u.requant, &source, params->x_codes.zero_point, arena);
            u.packed = nw_arena_next(arena); /* counting told its size before */
            nw_arena_take(arena, gemm->pack(nw_arena_next(arena), &source));
            if (s.units)
                s.units[i++] = u;
        }
    }
    packing_free(&p);
    if (state) {
        s.x = params->x.data;
        s.y = params->y.data;
        s.residual = params->has_residual ? params->residual.data : NULL;
        *state = s;
    }
    return NW_OK;
}
