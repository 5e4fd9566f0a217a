/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Winograd's convolution against the reference's matrix product over the same windows, byte for byte; and what pack()
 * must decline, against sums in 64 bits.
 *
 * slots: 0 picture, 1 weights, 2 limits by channel, 3 limits by column, 4 packed (ref), 5 packed (opt), 6 and 7
 * outputs, 8 residual, 9 scratch, 12.. requant
 */
#include <string.h>

#include "check.h"
#include "kernels/winograd.h"

typedef struct winograd_case {
    int32_t height, width, channels, n; /* of the output */
    int32_t weight_max, weight_kind, x_kind;
    int8_t *weights;
    uint8_t *x_lo, *x_hi; /* [channels] */
    uint8_t *picture;
    ptrdiff_t x_row, x_pixel, y_row, y_pixel, residual_row, residual_pixel;
    const uint8_t *residual;
    nw_requant requant;
    check_requant_kind kind;
} winograd_case;

enum { W_RANDOM, W_EXTREME, W_POSITIVE, W_KINDS };
enum { X_RANDOM, X_EXTREME, X_HIGH, X_NARROW, X_ATTACK, X_KINDS };

static void draw_weights(check *c, winograd_case *t)
{
    const size_t size = (size_t)t->n * 9 * (size_t)t->channels;
    t->weights = check_alloc(c, 1, size, 1);
    for (size_t i = 0; i < size; i++) {
        const int32_t max = t->weight_max;
        const int32_t sign = check_one_in(c, 2) ? 1 : -1;
        t->weights[i] = (int8_t)(t->weight_kind == W_RANDOM    ? check_range(c, -max, max)
                                 : t->weight_kind == W_EXTREME ? sign * max
                                                               : max);
    }
}

/* Rows and columns past the picture's last ones do not exist: reading there is a crash. */
static void draw_picture(check *c, winograd_case *t)
{
    t->x_lo = check_alloc(c, 2, 2 * (size_t)t->channels, 1);
    t->x_hi = t->x_lo + t->channels;
    for (int32_t i = 0; i < t->channels; i++) {
        t->x_lo[i] = (uint8_t)(t->x_kind == X_NARROW ? check_range(c, 0, 20) : 0);
        t->x_hi[i] = (uint8_t)(t->x_kind == X_NARROW ? check_range(c, 20, 90) : 255);
    }
    t->x_pixel = t->channels + (check_one_in(c, 2) ? check_range(c, 1, 40) : 0);
    t->x_row = (t->width + 2) * t->x_pixel + (check_one_in(c, 2) ? check_range(c, 1, 40) : 0);
    const size_t size = (size_t)((t->height + 1) * t->x_row + (t->width + 1) * t->x_pixel + t->channels);
    t->picture = check_alloc(c, 0, size + NW_OVERREAD, 1);
    const int32_t row = check_range(c, 0, t->n - 1);
    for (int32_t y = 0; y < t->height + 2; y++)
        for (int32_t x = 0; x < t->width + 2; x++)
            for (int32_t i = 0; i < t->channels; i++) {
                const int8_t w = t->weights[((ptrdiff_t)row * 9 + y % 3 * 3 + x % 3) * t->channels + i];
                const bool up = t->x_kind == X_HIGH || (t->x_kind == X_ATTACK ? w > 0 : check_one_in(c, 2));
                t->picture[y * t->x_row + x * t->x_pixel + i] =
                    t->x_kind == X_RANDOM || t->x_kind == X_NARROW ? (uint8_t)check_range(c, t->x_lo[i], t->x_hi[i])
                    : up                                           ? t->x_hi[i]
                                                                   : t->x_lo[i];
            }
}

/* The largest and the smallest sum of any output channel, in 64 bits. */
static bool sums_fit(const winograd_case *t)
{
    for (int32_t o = 0; o < t->n; o++) {
        int64_t most = 0, least = 0;
        for (int32_t k = 0; k < 9 * t->channels; k++) {
            const int64_t w = t->weights[(ptrdiff_t)o * 9 * t->channels + k];
            const int64_t lo = t->x_lo[k % t->channels], hi = t->x_hi[k % t->channels];
            most += w > 0 ? w * hi : w * lo;
            least += w > 0 ? w * lo : w * hi;
        }
        if (most >= NW_WINOGRAD_LIMIT || least < -NW_WINOGRAD_LIMIT)
            return false;
    }
    return true;
}

/* The same windows, pixel by pixel. */
static void run_direct(check *c, const winograd_case *t, const nw_gemm *gemm, uint8_t *y)
{
    const int32_t k = 9 * t->channels;
    uint8_t *x_lo = check_alloc(c, 3, 2 * (size_t)k, 1);
    uint8_t *x_hi = x_lo + k;
    nw_segment segments[9];
    for (int32_t tap = 0; tap < 9; tap++) {
        segments[tap] =
            (nw_segment){(int32_t)(tap / 3 * t->x_row + tap % 3 * t->x_pixel), t->channels, tap * t->channels};
        memcpy(x_lo + tap * t->channels, t->x_lo, (size_t)t->channels);
        memcpy(x_hi + tap * t->channels, t->x_hi, (size_t)t->channels);
    }
    const nw_gemm_source source = {.weights = t->weights, .n_rows = t->n, .k = k, .n_channels = t->n,
                                   .segments = segments, .n_segments = 9, .x_lo = x_lo, .x_hi = x_hi};
    void *packed = check_alloc(c, 4, gemm->pack(NULL, &source), NW_ALIGNMENT);
    gemm->pack(packed, &source);
    for (int32_t i = 0; i < t->height; i++)
        for (int32_t j = 0; j < t->width; j++) {
            const uint8_t *a = t->picture + i * t->x_row + j * t->x_pixel;
            const uint8_t *residual = t->residual ? t->residual + i * t->residual_row + j * t->residual_pixel : NULL;
            void *out = y + i * t->y_row + j * t->y_pixel;
            const nw_gemm_call call = {.packed = packed, .requant = &t->requant, .a = &a,
                                       .residual = residual ? &residual : NULL, .c = &out, .m = 1, .end = t->n};
            gemm->run(&call);
        }
}

/* All tiles in calls of `block`, channels in two parts where there are two panels. */
static void run_winograd(check *c, const winograd_case *t, const nw_winograd *winograd, const void *packed, uint8_t *y,
                         int32_t block)
{
    const int32_t tiles = (t->height + 3) / 4 * ((t->width + 3) / 4);
    for (int32_t first = 0; first < tiles; first += block) {
        const int32_t n = first + block < tiles ? block : tiles - first;
        nw_winograd_call call = {
            .packed = packed, .requant = &t->requant, .x = t->picture, .residual = t->residual, .y = y,
            .x_row = t->x_row, .x_pixel = t->x_pixel, .residual_row = t->residual_row,
            .residual_pixel = t->residual_pixel, .y_row = t->y_row, .y_pixel = t->y_pixel,
            .height = t->height, .width = t->width, .first = first, .n = n,
            .end = t->n > winograd->nr ? winograd->nr : t->n,
            .scratch = check_alloc(c, 9, nw_winograd_scratch(t->channels, n, winograd->nr), NW_ALIGNMENT),
        };
        winograd->run(&call);
        call.begin = call.end;
        call.end = t->n;
        if (call.begin < call.end)
            winograd->run(&call);
    }
}

static void one_case(check *c, const nw_gemm *ref, const nw_winograd *winograd, winograd_case t, int32_t block)
{
    static const int32_t weight_max[] = {127, 127, 31, 7};
    check_case(c);
    t.weight_max = weight_max[check_range(c, 0, NW_COUNT(weight_max) - 1)];
    t.weight_kind = check_range(c, 0, W_KINDS - 1);
    t.x_kind = check_range(c, 0, X_KINDS - 1);
    draw_weights(c, &t);
    draw_picture(c, &t);
    t.kind = (check_requant_kind){.shift = check_one_in(c, 4),
                                  .residual = check_one_in(c, 3),
                                  .wrap16 = check_one_in(c, 6),
                                  .float_output = check_one_in(c, 5),
                                  .magnitude = 6000.0f * (float)t.channels};
    check_requant(c, &t.requant, 12, t.n, &t.kind);
    check_describe(
        c, "%d x %d, %d to %d channels, tiles by %d, weights=%d/%d codes=%d shift=%d residual=%d wrap=%d float=%d",
        t.height, t.width, t.channels, t.n, block, t.weight_kind, t.weight_max, t.x_kind, t.kind.shift, t.kind.residual,
        t.kind.wrap16, t.kind.float_output);
    const nw_winograd_source source = {t.weights, t.n, t.channels, t.x_lo, t.x_hi};
    const size_t size = winograd->pack(NULL, &source);
    check_true(c, "pack: declines sums beyond the limit, and no others", (size > 0) == sums_fit(&t));
    if (!size)
        return;
    void *packed = check_alloc(c, 5, size, NW_ALIGNMENT);
    check_true(c, "pack: same size with memory", winograd->pack(packed, &source) == size);
    const ptrdiff_t element = t.kind.float_output ? 4 : 1;
    t.y_pixel = (t.n + (check_one_in(c, 2) ? check_range(c, 1, 9) : 0)) * element;
    t.y_row = t.width * t.y_pixel + (check_one_in(c, 2) ? 8 : 0);
    const size_t y_size = (size_t)(t.height * t.y_row);
    uint8_t *want = check_alloc(c, 6, y_size, 4);
    uint8_t *got = check_alloc(c, 7, y_size, 4);
    memcpy(got, want, y_size);
    if (t.kind.residual) {
        t.residual_pixel = t.n + check_range(c, 0, 5);
        t.residual_row = t.width * t.residual_pixel;
        t.residual = check_alloc(c, 8, (size_t)(t.height * t.residual_row) + NW_OVERREAD, 1);
    }
    run_direct(c, &t, ref, want);
    run_winograd(c, &t, winograd, packed, got, block);
    check_equal(c, "output", want, got, y_size);
}

void check_winograd(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (!check_entry(c, "winograd"))
        return;
    const nw_winograd *winograd = &opt->winograd;
    const int32_t n[] = {1, 16, winograd->nr, winograd->nr + 17, 2 * winograd->nr - 5};
    const int32_t channels[] = {1, 2, 31, 32, 33, 115, 119};
    for (size_t i = 0; i < NW_COUNT(n); i++)
        for (size_t j = 0; j < NW_COUNT(channels); j++)
            for (int32_t size = 1; size <= 9; size += 4)
                one_case(c, &ref->gemm, winograd,
                         (winograd_case){.height = size, .width = size, .channels = channels[j], .n = n[i]}, 3);
    for (int32_t i = 0; i < 60; i++) {
        check_case(c); /* numbers of the shape, not a case of its own */
        c->n_cases--;
        const winograd_case t = {.height = check_range(c, 1, 20), .width = check_range(c, 1, 30),
                                 .channels = check_range(c, 1, 150), .n = check_range(c, 1, 100)};
        one_case(c, &ref->gemm, winograd, t, check_one_in(c, 2) ? NW_WINOGRAD_TILES : check_range(c, 1, 30));
    }
}
