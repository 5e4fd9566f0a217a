/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelcheck --bench, for every level: depthwise, sum, pooling, table and rows of narrow codes as networks have them,
 * in time per output byte and as a ratio to the reference. Kernels and reference take turns; medians.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "bench.h"
#include "check.h"

#define ROUNDS 21
#define MAX_C 512

enum { BUFFER_SIZE = 1 << 20 };

static struct {
    uint8_t *x, *residual, *y, *packed[2];
    float constants[6][MAX_C + NW_PARAMETER_PAD]; /* 0, 0.01, 255, 1, -1, unused */
    int32_t zeros[MAX_C + NW_PARAMETER_PAD];
    int32_t *scratch;
    int8_t weights[MAX_C * 49];
    uint8_t lo[MAX_C], hi[MAX_C];
    nw_requant requant;
} b;

typedef struct job {
    const char *name;
    int32_t channels, n; /* output pixels of a row */
    int32_t kernel, stride, bits;
} job;

static void *allocate(size_t size)
{
    void *memory = aligned_alloc(NW_ALIGNMENT, nw_align(size, NW_ALIGNMENT));
    if (!memory)
        exit(5);
    memset(memory, 0, nw_align(size, NW_ALIGNMENT));
    return memory;
}

static void prepare(void)
{
    static const float constants[] = {0.0f, 0.01f, 255.0f, 1.0f};
    b.x = allocate(BUFFER_SIZE);
    b.residual = allocate(BUFFER_SIZE);
    b.y = allocate(BUFFER_SIZE);
    b.packed[0] = allocate(BUFFER_SIZE);
    b.packed[1] = allocate(BUFFER_SIZE);
    b.scratch = allocate((MAX_C + NW_PARAMETER_PAD) * sizeof(int32_t));
    for (int32_t i = 0; i < BUFFER_SIZE; i++)
        b.x[i] = b.residual[i] = (uint8_t)((uint32_t)i * 2654435761u >> 24);
    for (size_t j = 0; j < NW_COUNT(constants); j++)
        for (int32_t i = 0; i < MAX_C + NW_PARAMETER_PAD; i++)
            b.constants[j][i] = constants[j];
    memset(b.hi, 255, sizeof(b.hi));
    b.requant = (nw_requant){.bias = b.constants[0],
                             .multiplier = b.constants[1],
                             .offset = b.zeros,
                             .lo = b.constants[0],
                             .hi = b.constants[2]};
}

/* Bell-shaped weights of a width, as trained kernels have them. */
static void pack_depthwise(const nw_kernels *kernels, const job *j, void *packed)
{
    int32_t taps[49];
    const int32_t max = (1 << (j->bits - 1)) - 1;
    const int32_t width = (j->n - 1) * j->stride + j->kernel;
    uint32_t state = 1;
    for (int32_t i = 0; i < j->channels * j->kernel * j->kernel; i++) {
        int32_t sum = 0;
        for (int32_t r = 0; r < 3; r++) {
            state = state * 1664525u + 1013904223u;
            sum += (int32_t)(state >> 16) % (2 * max + 1) - max;
        }
        b.weights[i] = (int8_t)(sum / 2 > max ? max : sum / 2 < -max ? -max : sum / 2);
    }
    for (int32_t i = 0; i < j->kernel * j->kernel; i++)
        taps[i] = (i / j->kernel * width + i % j->kernel) * j->channels;
    const nw_depthwise_source source = {.weights = b.weights,
                                        .n_channels = j->channels,
                                        .n_taps = j->kernel * j->kernel,
                                        .tap_offset = taps,
                                        .x_lo = b.lo,
                                        .x_hi = b.hi};
    if (kernels->depthwise.pack(NULL, &source) > BUFFER_SIZE)
        exit(5);
    kernels->depthwise.pack(packed, &source);
}

static void run_depthwise(const nw_kernels *kernels, const job *j, const void *packed)
{
    const nw_depthwise_call call = {.packed = packed,
                                    .requant = &b.requant,
                                    .a = b.x,
                                    .c = b.y,
                                    .a_step = j->stride * j->channels,
                                    .c_step = j->channels,
                                    .n = j->n};
    kernels->depthwise.run(&call);
}

static void run_add(const nw_kernels *kernels, const job *j, const void *packed)
{
    (void)packed;
    const nw_add_call call = {.a = b.x,
                              .b = b.residual,
                              .y = b.y,
                              .a_step = j->channels,
                              .b_step = j->channels,
                              .y_step = j->channels,
                              .n = j->n,
                              .channels = j->channels,
                              .multiplier_a = b.constants[3],
                              .multiplier_b = b.constants[3],
                              .requant = &b.requant};
    kernels->add(&call);
}

static void run_pool(const nw_kernels *kernels, const job *j, const void *packed)
{
    const int32_t width = (j->n - 1) * j->stride + j->kernel;
    const nw_pool_call call = {.x = b.x,
                               .x_row_stride = width * j->channels,
                               .x_pixel_stride = j->channels,
                               .height = j->kernel,
                               .width = width,
                               .channels = j->channels,
                               .y = b.y,
                               .y_pixel_stride = j->channels,
                               .n = j->n,
                               .kernel_h = j->kernel,
                               .kernel_w = j->kernel,
                               .stride_w = j->stride,
                               .dilation_h = 1,
                               .dilation_w = 1,
                               .multiplier = b.constants[3],
                               .requant = &b.requant,
                               .scratch = b.scratch};
    if (packed)
        kernels->average_pool(&call);
    else
        kernels->max_pool(&call);
}

static void run_table(const nw_kernels *kernels, const job *j, const void *packed)
{
    (void)packed;
    kernels->table(b.y, b.x, (size_t)j->n * (size_t)j->channels, b.residual);
}

static void run_unpack(const nw_kernels *kernels, const job *j, const void *packed)
{
    (void)packed;
    kernels->unpack(b.y, b.x, (size_t)j->n * (size_t)j->channels, j->bits, 0);
}

static void run_pack(const nw_kernels *kernels, const job *j, const void *packed)
{
    (void)packed;
    kernels->pack(b.y, b.x, (size_t)j->n * (size_t)j->channels, j->bits, 0);
}

static void run_squeeze(const nw_kernels *kernels, const job *j, const void *packed)
{
    (void)packed;
    kernels->squeeze(b.y, b.y + BUFFER_SIZE / 2, b.x, (size_t)j->n * (size_t)j->channels, 7);
}

static void run_expand(const nw_kernels *kernels, const job *j, const void *packed)
{
    (void)packed;
    kernels->expand(b.y, b.residual, b.x, (size_t)j->n * (size_t)j->channels, 7);
}

typedef void run_fn(const nw_kernels *kernels, const job *j, const void *packed);

static double measure(run_fn *run, const nw_kernels *kernels, const job *j, const void *packed, int32_t repeats)
{
    const double start = bench_now();
    for (int32_t i = 0; i < repeats; i++)
        run(kernels, j, packed);
    return (bench_now() - start) / repeats;
}

static void compare_job(const nw_kernels *const kernels[2], const job *j, run_fn *run, bool is_depthwise, bool average)
{
    double times[2][ROUNDS];
    for (int32_t side = 0; side < 2; side++)
        if (is_depthwise)
            pack_depthwise(kernels[side], j, b.packed[side]);
    for (int32_t r = 0; r < ROUNDS; r++)
        for (int32_t side = 0; side < 2; side++) {
            const void *packed = is_depthwise || average ? b.packed[side] : NULL;
            times[side][r] = measure(run, kernels[side], j, packed, side ? 100 : 2);
        }
    const double outputs = (double)j->n * j->channels;
    const double t = bench_median(times[1], ROUNDS);
    printf("  %-22s C=%-4d n=%-4d %8.3f ns/output %7.1f GOP/s %7.1fx reference\n", j->name, j->channels, j->n,
           t * 1e9 / outputs, outputs * j->kernel * j->kernel / t * 1e-9, bench_median(times[0], ROUNDS) / t);
}

void bench_entries(const nw_kernels *ref, const nw_kernels *kernels, const char *name)
{
    static const job depthwise[] = {
        {"depthwise 3x3 8 bits", 32, 112, 3, 1, 8}, {"depthwise 3x3 8 bits", 96, 56, 3, 1, 8},
        {"depthwise 3x3 8 bits", 96, 56, 3, 2, 8},  {"depthwise 3x3 8 bits", 144, 28, 3, 1, 8},
        {"depthwise 3x3 8 bits", 384, 14, 3, 1, 8}, {"depthwise 3x3 8 bits", 16, 56, 3, 1, 8},
        {"depthwise 3x3 6 bits", 96, 56, 3, 1, 6},  {"depthwise 3x3 4 bits", 96, 56, 3, 1, 4},
        {"depthwise 5x5 8 bits", 96, 28, 5, 1, 8},  {"depthwise 5x5 4 bits", 96, 28, 5, 1, 4},
    };
    static const job add[] = {{"add", 16, 56, 1, 1, 8}, {"add", 24, 56, 1, 1, 8}, {"add", 64, 56, 1, 1, 8}};
    static const job pool[] = {{"pool 2x2", 64, 28, 2, 2, 8},
                               {"pool 3x3", 64, 28, 3, 2, 8},
                               {"pool 8x8 global", 64, 1, 8, 1, 8},
                               {"pool 7x7 global", 512, 1, 7, 1, 8}};
    static const job table[] = {{"table", 64, 56, 1, 1, 8}, {"table", 100, 1, 1, 1, 8}};
    static const job rows[] = {{"3 bits", 16, 32, 1, 1, 3}, {"4 bits", 16, 32, 1, 1, 4}, {"4 bits", 96, 112, 1, 1, 4},
                               {"5 bits", 96, 112, 1, 1, 5}};
    const nw_kernels *const pair[2] = {ref, kernels};
    if (!b.x)
        prepare();
    printf("\n%s: depthwise, sum, pooling, table, rows of narrow codes; one thread, medians\n", name);
    for (size_t i = 0; i < NW_COUNT(depthwise); i++)
        compare_job(pair, &depthwise[i], run_depthwise, true, false);
    for (size_t i = 0; i < NW_COUNT(add); i++)
        compare_job(pair, &add[i], run_add, false, false);
    puts("  maximum:");
    for (size_t i = 0; i < NW_COUNT(pool); i++)
        compare_job(pair, &pool[i], run_pool, false, false);
    puts("  average:");
    for (size_t i = 0; i < NW_COUNT(pool); i++)
        compare_job(pair, &pool[i], run_pool, false, true);
    for (size_t i = 0; i < NW_COUNT(table); i++)
        compare_job(pair, &table[i], run_table, false, false);
    puts("  unpacked:");
    for (size_t i = 0; i < NW_COUNT(rows); i++)
        compare_job(pair, &rows[i], run_unpack, false, false);
    puts("  packed:");
    for (size_t i = 0; i < NW_COUNT(rows); i++)
        compare_job(pair, &rows[i], run_pack, false, false);
    puts("  squeezed and expanded:");
    for (size_t i = 1; i < 3; i++) {
        compare_job(pair, &rows[i], run_squeeze, false, false);
        compare_job(pair, &rows[i], run_expand, false, false);
    }
}
