/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random matrix products over windows of a picture. The picture is [positions, C] with a pixel stride; the byte at
 * address q belongs to channel q mod stride and stays within that channel's limits, so every claim a pack function may
 * rely on holds, and nothing more. Bytes that no segment covers are random.
 *
 * slots: 0 picture, 1 weights, 2 x_lo, 3 x_hi, 4 packed (ref), 5 packed (opt), 6 and 7 outputs, 8 and 9 extra sums,
 * 10 residual, 11 channel limits, 12.. requant
 */
#include <string.h>

#include "check.h"

#define MAX_SEGMENTS 64

typedef struct gemm_case {
    int32_t m, n, n_extra, k;
    int32_t channels, pixel_stride, positions; /* of the picture */
    nw_segment segments[MAX_SEGMENTS];
    int32_t n_segments;
    int32_t window; /* positions that the segments span */
    int32_t weight_max, x_kind, weight_kind;
    nw_arrangement arrangement;
    bool narrow;        /* weights of few values, for gemm_narrow */
    int8_t values[16];
    int32_t n_values;   /* with 0, which is the first */
    uint8_t *picture;
    int8_t *weights;
    uint8_t *lo, *hi;                 /* [pixel_stride] of a channel */
    uint8_t *x_lo, *x_hi;             /* [k] */
    const uint8_t *a[NW_GEMM_MAX_M];
    const uint8_t *residual[NW_GEMM_MAX_M];
    void *c[NW_GEMM_MAX_M];
    nw_requant requant;
    check_requant_kind kind;
} gemm_case;

enum { X_RANDOM, X_EXTREME, X_HIGH, X_NARROW, X_LIFTED, X_ATTACK, X_KINDS };
enum { W_RANDOM, W_EXTREME, W_POSITIVE, W_SPARSE, W_ZERO, W_BELL, W_KINDS };

#define SMALL_VALUE 32 /* with weights up to here every family must take weights of few values */

/* Segments: one (fully connected), kernel rows that span pixels, single taps (dilation), or slices of C (groups). */
static void draw_segments(check *c, gemm_case *t, int32_t size)
{
    const int32_t shape = check_range(c, 0, 3);
    t->channels = shape == 0 ? size : check_range(c, 1, size > 70 ? 70 : size);
    t->pixel_stride = t->channels + (check_one_in(c, 2) ? check_range(c, 0, 9) : 0);
    const int32_t row = shape == 1 && t->pixel_stride == t->channels ? check_range(c, 1, 4) : 1;
    const int32_t first = shape == 3 ? check_range(c, 0, t->channels - 1) : 0;
    const int32_t length = shape == 3 ? check_range(c, 1, t->channels - first) : row * t->channels;
    const int32_t gap = check_one_in(c, 3) ? check_range(c, 0, 3) : 0; /* columns that take no part */
    const int32_t step = row + (shape == 2 ? check_range(c, 0, 3) : 0);
    t->n_segments = shape == 0 ? 1 : check_range(c, 1, 12);
    t->k = 0;
    for (int32_t s = 0; s < t->n_segments; s++) {
        t->k += gap;
        t->segments[s] = (nw_segment){s * step * t->pixel_stride + first, length, t->k};
        t->k += length;
    }
    t->k += gap;
    t->window = (t->n_segments - 1) * step + row;
}

static void draw_limits(check *c, gemm_case *t)
{
    t->lo = check_alloc(c, 11, (size_t)t->pixel_stride * 2, 1);
    t->hi = t->lo + t->pixel_stride;
    for (int32_t i = 0; i < t->pixel_stride; i++) {
        t->lo[i] = 0;
        t->hi[i] = 255;
        if (t->x_kind == X_NARROW)
            t->hi[i] = (uint8_t)check_range(c, 0, check_one_in(c, 2) ? 127 : 15);
        if (t->x_kind == X_LIFTED) {
            t->lo[i] = (uint8_t)check_range(c, 0, 200);
            t->hi[i] = (uint8_t)check_range(c, t->lo[i], 255);
        }
    }
    t->x_lo = check_alloc(c, 2, (size_t)t->k, 1);
    t->x_hi = check_alloc(c, 3, (size_t)t->k, 1);
    for (int32_t s = 0; s < t->n_segments; s++)
        for (int32_t j = 0; j < t->segments[s].length; j++) {
            const int32_t channel = (t->segments[s].offset + j) % t->pixel_stride;
            t->x_lo[t->segments[s].k + j] = t->lo[channel];
            t->x_hi[t->segments[s].k + j] = t->hi[channel];
        }
}

static int8_t draw_weight(check *c, const gemm_case *t)
{
    const int32_t max = t->weight_max;
    switch (t->weight_kind) {
    case W_EXTREME:
        return (int8_t)(check_one_in(c, 2) ? max : -max);
    case W_POSITIVE:
        return (int8_t)max;
    case W_SPARSE:
        return (int8_t)(check_one_in(c, 9) ? check_range(c, -max, max) : 0);
    case W_ZERO:
        return 0;
    case W_BELL:
        return (int8_t)((check_range(c, -max, max) + check_range(c, -max, max) + check_range(c, -max, max)) / 3);
    default:
        return (int8_t)check_range(c, -max, max);
    }
}

/* Grids of 2 to 4 bits, powers of two, or any values; sometimes one too many, or only zeros. */
static void draw_values(check *c, gemm_case *t)
{
    const int32_t kind = check_range(c, 0, 3);
    const int32_t bits = check_range(c, 2, 4);
    t->n_values = kind == 0 ? (1 << bits) - 1 : kind == 1 ? 2 * bits + 1 : check_range(c, 1, 16);
    t->values[0] = 0;
    for (int32_t i = 1; i < t->n_values; i++) {
        const int32_t magnitude = kind == 0 ? (i + 1) / 2 : 1 << (i - 1) / 2;
        const int32_t most = kind == 2 ? t->weight_max : SMALL_VALUE;
        const int32_t any = check_range(c, -most, most);
        t->values[i] = (int8_t)(kind >= 2 ? any : i % 2 ? magnitude : -magnitude);
    }
}

static bool all_small(const gemm_case *t)
{
    for (int32_t i = 0; i < t->n_values; i++)
        if (t->values[i] > SMALL_VALUE || t->values[i] < -SMALL_VALUE)
            return false;
    return true;
}

static void draw_weights(check *c, gemm_case *t)
{
    const size_t size = (size_t)(t->n + t->n_extra) * (size_t)t->k;
    t->weights = check_alloc(c, 1, size, 1);
    for (size_t i = 0; i < size; i++)
        t->weights[i] = t->narrow ? t->values[check_range(c, 0, t->n_values - 1)] : draw_weight(c, t);
}

static uint8_t draw_code(check *c, const gemm_case *t, int32_t channel)
{
    if (channel >= t->channels)
        return (uint8_t)check_random(c); /* between pixels: never meets a weight */
    if (t->x_kind == X_HIGH)
        return t->hi[channel];
    if (t->x_kind == X_EXTREME)
        return check_one_in(c, 2) ? t->hi[channel] : t->lo[channel];
    return (uint8_t)check_range(c, t->lo[channel], t->hi[channel]);
}

/* The worst input of one row: every code at the limit that its weight's sign asks for. */
static void attack(check *c, gemm_case *t, uint8_t *window)
{
    const int32_t row = check_range(c, 0, t->n + t->n_extra - 1);
    const bool up = check_one_in(c, 2);
    for (int32_t s = 0; s < t->n_segments; s++)
        for (int32_t j = 0; j < t->segments[s].length; j++) {
            const int32_t k = t->segments[s].k + j;
            const int8_t w = t->weights[(size_t)row * (size_t)t->k + (size_t)k];
            window[t->segments[s].offset + j] = (w > 0) == up ? t->x_hi[k] : t->x_lo[k];
        }
}

static void draw_picture(check *c, gemm_case *t)
{
    const bool apart = t->x_kind == X_ATTACK || check_one_in(c, 2); /* windows that do not overlap */
    t->positions = apart ? t->m * t->window : t->window + t->m + 5;
    const size_t size = (size_t)t->positions * (size_t)t->pixel_stride;
    t->picture = check_alloc(c, 0, size + NW_OVERREAD, 1);
    for (size_t q = 0; q < size; q++)
        t->picture[q] = draw_code(c, t, (int32_t)(q % (size_t)t->pixel_stride));
    for (int32_t i = 0; i < t->m; i++) {
        const int32_t at = apart ? i * t->window : check_range(c, 0, t->positions - t->window);
        uint8_t *window = t->picture + (size_t)at * (size_t)t->pixel_stride;
        if (t->x_kind == X_ATTACK)
            attack(c, t, window);
        t->a[i] = window;
    }
}

static void draw_case(check *c, gemm_case *t, int32_t m, int32_t n, int32_t size, bool narrow)
{
    static const int32_t weight_max[] = {127, 127, 127, 63, 31, 7, 1};
    memset(t, 0, sizeof(*t));
    t->m = m;
    t->n = n;
    t->narrow = narrow;
    t->n_extra = check_one_in(c, 4) ? check_range(c, 1, n < 20 ? 3 * n : 40) : 0;
    t->weight_max = weight_max[check_range(c, 0, NW_COUNT(weight_max) - 1)];
    t->arrangement = (nw_arrangement)check_range(c, 0, NW_ARRANGE_COUNT - 1);
    t->x_kind = check_range(c, 0, X_KINDS - 1);
    t->weight_kind = check_range(c, 0, W_KINDS - 1);
    if (narrow)
        draw_values(c, t);
    draw_segments(c, t, size);
    draw_limits(c, t);
    draw_weights(c, t);
    draw_picture(c, t);
    t->kind = (check_requant_kind){.shift = check_one_in(c, 3),
                                   .residual = check_one_in(c, 3),
                                   .wrap16 = check_one_in(c, 6),
                                   .float_output = check_one_in(c, 5),
                                   .n_extra = t->n_extra,
                                   .magnitude = 2000.0f * (float)(t->k < 16 ? 4 : t->k) / 16.0f};
    check_requant(c, &t->requant, 12, n, &t->kind);
    check_describe(c,
                   "m=%d n=%d extra=%d k=%d segments=%d stride=%d weights=%d/%d codes=%d shift=%d residual=%d wrap=%d "
                   "float=%d",
                   m, n, t->n_extra, t->k, t->n_segments, t->pixel_stride, t->weight_kind, t->weight_max, t->x_kind,
                   t->kind.shift, t->kind.residual, t->kind.wrap16, t->kind.float_output);
}

/* What a family says of its runs: every weight that takes part has a place in some step. */
static void check_runs(check *c, const gemm_case *t, const nw_gemm *gemm, const void *packed)
{
    nw_run_counts counts = {0};
    int64_t n_weights = 0;
    int64_t n_steps = 0;
    if (!gemm->count_runs)
        return;
    gemm->count_runs(&counts, packed);
    for (int32_t row = 0; row < t->n + t->n_extra; row++)
        for (int32_t s = 0; s < t->n_segments; s++)
            for (int32_t j = 0; j < t->segments[s].length; j++)
                n_weights += t->weights[(size_t)row * (size_t)t->k + (size_t)(t->segments[s].k + j)] != 0;
    for (int32_t length = 0; length <= NW_LONGEST_RUN; length++)
        n_steps += length * counts.runs[length];
    n_steps += counts.wide;
    check_true(c, "count_runs: a place for every weight",
               counts.places >= n_weights && (n_steps > 0) == (n_weights > 0));
    check_true(c, "count_runs: steps of some places", n_steps ? counts.places >= 8 * n_steps : counts.places == 0);
}

/* NULL if gemm_narrow may say that the weights do not suit, and does. */
static void *pack(check *c, const gemm_case *t, const nw_gemm *gemm, int32_t slot)
{
    const nw_gemm_source source = {.weights = t->weights,
                                   .n_rows = t->n + t->n_extra,
                                   .k = t->k,
                                   .n_channels = t->n,
                                   .segments = t->segments,
                                   .n_segments = t->n_segments,
                                   .x_lo = t->x_lo,
                                   .x_hi = t->x_hi,
                                   .arrangement = t->arrangement};
    const size_t size = gemm->pack(NULL, &source);
    if (!size && t->narrow && (!all_small(t) || t->arrangement == NW_ARRANGE_INT32))
        return NULL;
    check_true(c, "pack: weights that suit", size > 0);
    if (!size)
        return NULL;
    void *packed = check_alloc(c, slot, size, NW_ALIGNMENT);
    check_true(c, "pack: same size with memory", gemm->pack(packed, &source) == size);
    return packed;
}

/* Outputs keep a rim of untouched bytes around every pixel: equality of the whole buffer covers it. */
static void run(gemm_case *t, const nw_gemm *gemm, const void *packed, uint8_t *out, int32_t *extra, size_t out_stride,
                int32_t begin, int32_t end)
{
    for (int32_t i = 0; i < t->m; i++)
        t->c[i] = out + (size_t)i * out_stride + 16;
    const nw_gemm_call call = {.packed = packed,
                               .requant = &t->requant,
                               .a = t->a,
                               .residual = t->kind.residual ? t->residual : NULL,
                               .c = t->c,
                               .m = t->m,
                               .begin = begin,
                               .end = end,
                               .extra_sums = t->n_extra ? extra : NULL};
    if (t->n_extra)
        gemm->run_extra(&call);
    gemm->run(&call);
}

static void one_case(check *c, const nw_gemm *ref, const nw_gemm *opt, int32_t m, int32_t n, int32_t size, bool narrow)
{
    gemm_case t;
    check_case(c);
    draw_case(c, &t, m, n, size, narrow);
    const void *packed_ref = pack(c, &t, ref, 4);
    const void *packed_opt = pack(c, &t, opt, 5);
    if (!packed_opt)
        return;
    check_runs(c, &t, opt, packed_opt);
    const size_t element = t.kind.float_output ? 4 : 1;
    const size_t out_stride = ((size_t)n * element + 32 + 3) / 4 * 4;
    const size_t out_size = out_stride * (size_t)m;
    uint8_t *out_ref = check_alloc(c, 6, out_size, 4);
    uint8_t *out_opt = check_alloc(c, 7, out_size, 4);
    memcpy(out_opt, out_ref, out_size);
    const size_t extra_size = (size_t)m * (size_t)t.n_extra * 4;
    int32_t *extra_ref = check_alloc(c, 8, extra_size, 4);
    int32_t *extra_opt = check_alloc(c, 9, extra_size, 4);
    const size_t residual_stride = (size_t)n + (size_t)check_range(c, 0, 5);
    const uint8_t *residual = check_alloc(c, 10, residual_stride * (size_t)m + NW_OVERREAD, 1);
    for (int32_t i = 0; i < m; i++)
        t.residual[i] = residual + (size_t)i * residual_stride;
    const int32_t panels = (n + opt->nr - 1) / opt->nr;
    const int32_t first = check_one_in(c, 2) ? 0 : check_range(c, 0, panels - 1);
    const int32_t last = check_one_in(c, 2) ? panels : check_range(c, first + 1, panels);
    const int32_t end = last == panels ? n : last * opt->nr;
    run(&t, ref, packed_ref, out_ref, extra_ref, out_stride, first * opt->nr, end);
    run(&t, opt, packed_opt, out_opt, extra_opt, out_stride, first * opt->nr, end);
    check_equal(c, "output", out_ref, out_opt, out_size);
    check_equal(c, "extra sums", extra_ref, extra_opt, extra_size);
}

static void check_one(check *c, const nw_gemm *ref, const nw_gemm *gemm, bool narrow)
{
    const int32_t n[] = {1, gemm->nr, gemm->nr + 1, 3 * gemm->nr - 1, 2};
    const int32_t size[] = {1, gemm->kr, gemm->kr + 1, 7 * gemm->kr + 3, 150};
    for (int32_t m = 1; m <= 2 * gemm->mr + 1; m++)
        for (size_t i = 0; i < NW_COUNT(n); i++)
            for (size_t j = 0; j < NW_COUNT(size); j++)
                one_case(c, ref, gemm, m, n[i], size[j], narrow);
    for (int32_t i = 0; i < 400; i++) {
        check_case(c); /* numbers of the shape, not a case of its own */
        c->n_cases--;
        const int32_t m = check_one_in(c, 8) ? NW_GEMM_MAX_M : check_range(c, 1, 40);
        const int32_t width = check_range(c, 1, 70);
        const int32_t length = check_one_in(c, 6) ? check_range(c, 200, 2400) : check_range(c, 1, 200);
        one_case(c, ref, gemm, m, width, length, narrow);
    }
}

void check_gemm(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (check_entry(c, "gemm"))
        check_one(c, &ref->gemm, &opt->gemm, false);
}

/* Weights of more values than a code has. */
static void check_refusal(check *c, const nw_gemm *gemm)
{
    enum { K = 17 };
    int8_t weights[K];
    uint8_t lo[K] = {0}, hi[K] = {0};
    const nw_segment segment = {0, K, 0};
    for (int32_t i = 0; i < K; i++)
        weights[i] = (int8_t)(i - 8);
    const nw_gemm_source source = {.weights = weights, .n_rows = 1, .k = K, .n_channels = 1,
                                   .segments = &segment, .n_segments = 1, .x_lo = lo, .x_hi = hi};
    check_case(c);
    check_describe(c, "weights of %d values", K);
    check_true(c, "pack: too many values", gemm->pack(NULL, &source) == 0);
}

void check_gemm_narrow(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "gemm_narrow"))
        return;
    check_one(c, &ref->gemm, &opt->gemm_narrow, true);
    check_refusal(c, &opt->gemm_narrow);
}
