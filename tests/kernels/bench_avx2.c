/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelcheck --bench: what each form of the AVX2 matrix product reaches, beside the arithmetic limit of the core.
 *
 * The limit is measured here, with operands in registers: 8 products of 32 bytes into int32 sums (vpmaddubsw, vpmaddwd,
 * vpaddd) and into int16 sums (vpmaddubsw, vpaddw). The kernels compute 3x3 convolutions of C channels (K = 9 C) over a
 * row of pixels, requantization included. All variants take turns within one run; figures are medians, and only ratios
 * carry over to another machine.
 */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arith.h"
#include "bench.h"
#include "kernels/avx2/avx2.h"

#define ROUNDS 41
#define PIXELS 32
#define CHANNELS 32
#define MAX_C 256

typedef struct variant {
    const char *name;
    nw_avx2_mode mode;
    bool unsafe; /* weights that fail every pair test */
} variant;

static const variant variants[] = {
    {"int32 sums", {NW_AVX2_WIDEN, 1, 1}, false},    {"runs of 2", {NW_AVX2_WIDEN, 2, 1}, false},
    {"runs of 3", {NW_AVX2_WIDEN, 3, 1}, false},     {"runs of 4", {NW_AVX2_WIDEN, 4, 1}, false},
    {"runs of 8", {NW_AVX2_WIDEN, 8, 1}, false},     {"runs of 16", {NW_AVX2_WIDEN, 16, 1}, false},
    {"runs of 32", {NW_AVX2_WIDEN, 32, 1}, false},   {"runs of 128", {NW_AVX2_WIDEN, 128, 1}, false},
    {"all wide", {NW_AVX2_WIDE, 1, 1}, false},       {"all split, int32", {NW_AVX2_SPLIT, 1, 1}, true},
};
#define N_VARIANTS ((int32_t)NW_COUNT(variants))

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), compare);
    return v[n / 2];
}

#define CLOBBER                                                                                                       \
    "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",       \
        "xmm12", "xmm13", "xmm14", "xmm15"
#define PRODUCT32(sum, t)                                                                                             \
    "vpmaddubsw %%ymm14, %%ymm15, %%ymm" #t "\n\tvpmaddwd %%ymm13, %%ymm" #t ", %%ymm" #t "\n\tvpaddd %%ymm" #t       \
    ", %%ymm" #sum ", %%ymm" #sum "\n\t"
#define PRODUCT16(sum, t)                                                                                             \
    "vpmaddubsw %%ymm14, %%ymm15, %%ymm" #t "\n\tvpaddw %%ymm" #t ", %%ymm" #sum ", %%ymm" #sum "\n\t"
#define EIGHT(f) f(0, 8) f(1, 9) f(2, 10) f(3, 11) f(4, 12) f(5, 8) f(6, 9) f(7, 10)

/* GMAC/s of the bare instructions. */
static double limit32(void)
{
    const double start = now();
    for (int32_t i = 0; i < 40000; i++)
        __asm__ volatile(EIGHT(PRODUCT32)::: CLOBBER);
    return 40000.0 * 8 * 32 / (now() - start) * 1e-9;
}

static double limit16(void)
{
    const double start = now();
    for (int32_t i = 0; i < 40000; i++)
        __asm__ volatile(EIGHT(PRODUCT16)::: CLOBBER);
    return 40000.0 * 8 * 32 / (now() - start) * 1e-9;
}

typedef struct layer {
    int32_t c; /* input channels */
    nw_segment segments[3];
    int8_t *weights[2]; /* [CHANNELS, 9 c] small; large */
    uint8_t *x, *lo, *hi, *y;
    void *packed[N_VARIANTS];
    float parameters[5][CHANNELS + NW_PARAMETER_PAD];
    int32_t offset[CHANNELS + NW_PARAMETER_PAD];
    nw_requant requant;
    const uint8_t *a[PIXELS];
    void *out[PIXELS];
} layer;

static void *allocate(size_t size)
{
    void *memory = aligned_alloc(NW_ALIGNMENT, nw_align(size, NW_ALIGNMENT));
    if (!memory)
        exit(5);
    memset(memory, 0, nw_align(size, NW_ALIGNMENT));
    return memory;
}

static void layer_init(layer *l, int32_t c)
{
    const int32_t k = 9 * c;
    const int32_t row = (PIXELS + 2) * c;
    memset(l, 0, sizeof(*l));
    l->c = c;
    l->x = allocate((size_t)(3 * row + NW_OVERREAD));
    l->y = allocate(PIXELS * CHANNELS);
    l->lo = allocate((size_t)k);
    l->hi = allocate((size_t)k);
    memset(l->hi, 255, (size_t)k);
    for (int32_t i = 0; i < 3 * row; i++)
        l->x[i] = (uint8_t)(i * 37);
    for (int32_t i = 0; i < 2; i++)
        l->weights[i] = allocate((size_t)(CHANNELS * k));
    for (int32_t i = 0; i < CHANNELS * k; i++) {
        l->weights[0][i] = (int8_t)((uint32_t)i * 2654435761u >> 31 ? 1 : -1);
        l->weights[1][i] = 127;
    }
    for (int32_t s = 0; s < 3; s++)
        l->segments[s] = (nw_segment){s * row, 3 * c, s * 3 * c};
    for (int32_t i = 0; i < PIXELS; i++) {
        l->a[i] = l->x + i * c;
        l->out[i] = l->y + i * CHANNELS;
    }
    for (int32_t i = 0; i < CHANNELS; i++) {
        l->parameters[1][i] = 0.001f;
        l->parameters[3][i] = 255.0f;
    }
    l->requant = (nw_requant){.bias = l->parameters[0],
                              .multiplier = l->parameters[1],
                              .offset = l->offset,
                              .lo = l->parameters[2],
                              .hi = l->parameters[3]};
    for (int32_t v = 0; v < N_VARIANTS; v++) {
        const nw_gemm_source source = {.weights = l->weights[variants[v].unsafe],
                                       .n_rows = CHANNELS,
                                       .k = k,
                                       .n_channels = CHANNELS,
                                       .segments = l->segments,
                                       .n_segments = 3,
                                       .x_lo = l->lo,
                                       .x_hi = l->hi};
        l->packed[v] = allocate(nw_gemm_pack_avx2_mode(NULL, &source, &variants[v].mode));
        nw_gemm_pack_avx2_mode(l->packed[v], &source, &variants[v].mode);
    }
}

static void layer_free(layer *l)
{
    free(l->x);
    free(l->y);
    free(l->lo);
    free(l->hi);
    free(l->weights[0]);
    free(l->weights[1]);
    for (int32_t v = 0; v < N_VARIANTS; v++)
        free(l->packed[v]);
}

static double measure(const layer *l, int32_t v)
{
    const nw_gemm_call call = {.packed = l->packed[v],
                               .requant = &l->requant,
                               .a = l->a,
                               .c = l->out,
                               .m = PIXELS,
                               .begin = 0,
                               .end = CHANNELS};
    const double macs = (double)PIXELS * CHANNELS * 9 * l->c;
    const int32_t repeats = (int32_t)(2e7 / macs) + 1;
    const double start = now();
    for (int32_t i = 0; i < repeats; i++)
        nw_gemm_run_avx2(&call);
    return repeats * macs / (now() - start) * 1e-9;
}

static void bench_k(int32_t c, double *share, double *run8, double *run32)
{
    static layer l;
    static double times[N_VARIANTS][ROUNDS];
    static double limits[2][ROUNDS];
    layer_init(&l, c);
    for (int32_t r = 0; r < ROUNDS; r++) {
        limits[0][r] = limit32();
        for (int32_t v = 0; v < N_VARIANTS; v++)
            times[v][r] = measure(&l, v);
        limits[1][r] = limit16();
    }
    layer_free(&l);
    const double limit[2] = {median(limits[0], ROUNDS), median(limits[1], ROUNDS)};
    printf("\nK = %d, %d pixels, %d channels; limit %.1f GMAC/s with int32 sums, %.1f with int16 sums\n", 9 * c, PIXELS,
           CHANNELS, limit[0], limit[1]);
    printf("  %-18s %8s %14s %15s %15s\n", "form", "GMAC/s", "x int32 sums", "of int32 limit", "of int16 limit");
    double m[N_VARIANTS];
    for (int32_t v = 0; v < N_VARIANTS; v++) {
        m[v] = median(times[v], ROUNDS);
        printf("  %-18s %8.1f %14.2f %14.0f%% %14.0f%%\n", variants[v].name, m[v], m[v] / m[0], 100 * m[v] / limit[0],
               100 * m[v] / limit[1]);
    }
    *share = m[0] / limit[0];
    *run8 = m[4] / m[0];
    *run32 = m[6] / m[0];
}

void bench_avx2(void)
{
    static const int32_t c[] = {16, 32, 64, 128, MAX_C};
    double share = 1;
    double run8 = 9;
    double run32 = 9;
    puts("AVX2 matrix product, one thread; all forms take turns, medians");
    for (size_t i = 0; i < NW_COUNT(c); i++) {
        double s, r8, r32;
        bench_k(c[i], &s, &r8, &r32);
        if (c[i] < 32)
            continue;
        share = s < share ? s : share;
        run8 = r8 < run8 ? r8 : run8;
        run32 = r32 < run32 ? r32 : run32;
    }
    printf("\nleast of K >= 288: int32 sums at %.0f%% of their limit, runs of 8 %.2fx, runs of 32 %.2fx int32 sums\n",
           100 * share, run8, run32);
}
