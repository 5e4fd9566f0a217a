/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelcheck --bench-winograd: 3 x 3 layers by Winograd's convolution and by the products of their windows, a line of
 * JSON for each family and shape. Both take turns; ratios are of medians. Weights are 8 bits, bell-shaped as trained
 * ones; codes take all 8 bits; outputs are codes of 8 bits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "bench.h"
#include "kernels/winograd.h"

#define ROUNDS 15
#define LEAST_SECONDS 2e-3 /* of a timing: shorter ones are repeated */

typedef struct shape {
    int32_t channels, size;
} shape;

static const shape shapes[] = {{16, 32}, {32, 16}, {32, 32}, {64, 8}, {64, 56}, {128, 28}, {256, 14}, {256, 28},
                               {512, 7}, {512, 14}, {512, 28}};

/* A layer of C channels to C on a picture of size x size, and what both ways need. */
typedef struct layer {
    shape shape;
    int8_t *weights;
    uint8_t *limits, *x, *y; /* limits: [2, 9 C] lowest, highest */
    float *reals;            /* bias, multiplier, lo, hi */
    int32_t *offset;
    uint8_t *codes;          /* lo_code, hi_code */
    nw_requant requant;
    void *direct, *winograd, *scratch;
    int32_t block;
} layer;

static void *take(size_t size)
{
    void *memory = aligned_alloc(NW_ALIGNMENT, nw_align(size + NW_OVERREAD, NW_ALIGNMENT));
    if (!memory)
        abort();
    memset(memory, 0, nw_align(size + NW_OVERREAD, NW_ALIGNMENT));
    return memory;
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static void fill(layer *l)
{
    const size_t c = (size_t)l->shape.channels;
    const size_t width = (size_t)l->shape.size + 2;
    uint32_t state = 1;
    l->weights = take(9 * c * c);
    for (size_t i = 0; i < 9 * c * c; i++)
        l->weights[i] = (int8_t)((int32_t)(next(&state) % 85 + next(&state) % 85 + next(&state) % 85) - 126);
    l->limits = take(18 * c);
    memset(l->limits + 9 * c, 255, 9 * c);
    l->x = take(width * width * c);
    for (size_t i = 0; i < width * width * c; i++)
        l->x[i] = (uint8_t)next(&state);
    l->y = take((size_t)(l->shape.size * l->shape.size) * c);
    const size_t padded = c + NW_PARAMETER_PAD;
    l->reals = take(4 * padded * sizeof(float));
    l->offset = take(padded * sizeof(int32_t));
    l->codes = take(2 * padded);
    for (size_t i = 0; i < c; i++) {
        l->reals[padded + i] = 1e-4f;
        l->reals[3 * padded + i] = 255.0f;
    }
    memset(l->codes + padded, 255, padded);
    l->requant = (nw_requant){.bias = l->reals,
                              .multiplier = l->reals + padded,
                              .lo = l->reals + 2 * padded,
                              .hi = l->reals + 3 * padded,
                              .offset = l->offset,
                              .lo_code = l->codes,
                              .hi_code = l->codes + padded};
}

static void pack(layer *l, const nw_kernels *kernels)
{
    const int32_t c = l->shape.channels;
    nw_segment segments[3];
    for (int32_t y = 0; y < 3; y++)
        segments[y] = (nw_segment){y * (l->shape.size + 2) * c, 3 * c, 3 * c * y};
    const nw_gemm_source source = {.weights = l->weights,
                                   .n_rows = c,
                                   .k = 9 * c,
                                   .n_channels = c,
                                   .segments = segments,
                                   .n_segments = 3,
                                   .x_lo = l->limits,
                                   .x_hi = l->limits + 9 * c};
    const nw_winograd_source own = {l->weights, c, c, l->limits, l->limits + 9 * c};
    const int32_t tiles = (l->shape.size + 3) / 4 * ((l->shape.size + 3) / 4);
    l->block = nw_min32(tiles, c > 64 ? NW_WINOGRAD_TILES : 28); /* near what ops/winograd.c chooses */
    l->direct = take(kernels->gemm.pack(NULL, &source));
    kernels->gemm.pack(l->direct, &source);
    l->winograd = take(kernels->winograd.pack(NULL, &own));
    kernels->winograd.pack(l->winograd, &own);
    l->scratch = take(nw_winograd_scratch(c, l->block, kernels->winograd.nr));
}

static void run_direct(const layer *l, const nw_kernels *kernels)
{
    const int32_t c = l->shape.channels;
    const int32_t size = l->shape.size;
    const uint8_t *a[NW_GEMM_MAX_M];
    void *out[NW_GEMM_MAX_M];
    for (int32_t first = 0; first < size * size; first += NW_GEMM_MAX_M) {
        const nw_gemm_call call = {.packed = l->direct, .requant = &l->requant, .a = a, .c = out,
                                   .m = nw_min32(NW_GEMM_MAX_M, size * size - first), .end = c};
        for (int32_t i = 0; i < call.m; i++) {
            a[i] = l->x + ((first + i) / size * (size + 2) + (first + i) % size) * c;
            out[i] = l->y + (first + i) * c;
        }
        kernels->gemm.run(&call);
    }
}

static void run_winograd(const layer *l, const nw_kernels *kernels)
{
    const int32_t c = l->shape.channels;
    const int32_t size = l->shape.size;
    const int32_t tiles = (size + 3) / 4 * ((size + 3) / 4);
    for (int32_t first = 0; first < tiles; first += l->block) {
        const nw_winograd_call call = {.packed = l->winograd, .requant = &l->requant, .x = l->x, .y = l->y,
                                       .x_row = (size + 2) * c, .x_pixel = c, .y_row = size * c, .y_pixel = c,
                                       .height = size, .width = size, .first = first,
                                       .n = nw_min32(l->block, tiles - first), .end = c, .scratch = l->scratch};
        kernels->winograd.run(&call);
    }
}

typedef void run_fn(const layer *l, const nw_kernels *kernels);

static double seconds(run_fn *run, const layer *l, const nw_kernels *kernels, int32_t n)
{
    const double start = bench_now();
    for (int32_t i = 0; i < n; i++)
        run(l, kernels);
    return (bench_now() - start) / n;
}

static void one_shape(shape s, const nw_kernels *kernels, const char *name)
{
    layer l = {.shape = s};
    double times[2][ROUNDS];
    fill(&l);
    pack(&l, kernels);
    const double once = seconds(run_direct, &l, kernels, 2);
    const int32_t n = once < LEAST_SECONDS ? (int32_t)(LEAST_SECONDS / once) + 1 : 1;
    for (int32_t round = 0; round < ROUNDS; round++) {
        times[0][round] = seconds(run_direct, &l, kernels, n);
        times[1][round] = seconds(run_winograd, &l, kernels, n);
    }
    printf("{\"family\": \"%s\", \"channels\": %d, \"size\": %d, \"ratio\": %.3f}\n", name, (int)s.channels,
           (int)s.size, bench_median(times[0], ROUNDS) / bench_median(times[1], ROUNDS));
    void *const owned[] = {l.weights, l.limits, l.x, l.y, l.reals, l.offset, l.codes, l.direct, l.winograd, l.scratch};
    for (size_t i = 0; i < NW_COUNT(owned); i++)
        free(owned[i]);
}

void bench_winograd(const nw_kernels *kernels, const char *name)
{
    for (size_t i = 0; i < NW_COUNT(shapes); i++)
        one_shape(shapes[i], kernels, name);
}
