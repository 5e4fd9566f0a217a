/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelcheck --bench and --bench-json: what each arrangement of the matrix products that read avx2/gemm_pack.c
 * reaches, beside the arithmetic limit of the core.
 *
 * The limit is measured here, with operands in registers: 8 products of a vector of bytes into int32 sums (vpmaddubsw,
 * vpmaddwd, vpaddd) and into int16 sums (vpmaddubsw, vpaddw). The kernels compute 3x3 convolutions of C channels (K = 9
 * C) over a row of pixels, requantization included. All arrangements take turns within one run; figures are medians,
 * and only ratios carry over to another machine. Cycles, which avx2/gemm_pack.c decides by, are those of a step of a
 * tile in what the larger of two K takes more, so without requantization; the clock is that of a chain of dependent
 * additions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "bench.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx512/avx512.h"

#define ROUNDS 41
#define PIXELS 32
#define CHANNELS 32
#define MAX_C 256

/* Weights of a form: what decides how many bytes may be summed in 16 bits. */
typedef enum weights {
    ONES,     /* 1 and -1: any run */
    QUADS,    /* 30: four bytes fit, eight do not */
    PAIRS,    /* 64: two bytes fit, four do not */
    UNSAFE,   /* 127: not even two */
    N_WEIGHTS
} weights;

typedef struct variant {
    const char *name;
    nw_avx2_mode mode;
    weights weights;
} variant;

static const variant variants[] = {
    {"int32 sums", {NW_AVX2_WIDEN, 1, 1}, ONES},    {"runs of 2", {NW_AVX2_WIDEN, 2, 1}, ONES},
    {"runs of 3", {NW_AVX2_WIDEN, 3, 1}, ONES},     {"runs of 4", {NW_AVX2_WIDEN, 4, 1}, ONES},
    {"runs of 8", {NW_AVX2_WIDEN, 8, 1}, ONES},     {"runs of 16", {NW_AVX2_WIDEN, 16, 1}, ONES},
    {"runs of 32", {NW_AVX2_WIDEN, 32, 1}, ONES},   {"runs of 128", {NW_AVX2_WIDEN, 128, 1}, ONES},
    {"units of 1", {NW_AVX2_UNITS, 1, 1}, PAIRS},   {"units of 2", {NW_AVX2_UNITS, 1, 1}, QUADS},
    {"units of 4", {NW_AVX2_UNITS, 1, 1}, ONES},    {"all wide", {NW_AVX2_WIDE, 1, 1}, ONES},
    {"all split, int32", {NW_AVX2_SPLIT, 1, 1}, UNSAFE},
};
#define N_VARIANTS ((int32_t)NW_COUNT(variants))
enum { INT32_SUMS = 0, RUNS_OF_8 = 4, RUNS_OF_32 = 6 }; /* of variants[] */

#define CLOBBER                                                                                                       \
    "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",       \
        "xmm12", "xmm13", "xmm14", "xmm15"
#define PRODUCT32(r, sum, t)                                                                                          \
    "vpmaddubsw %%" r "14, %%" r "15, %%" r #t "\n\tvpmaddwd %%" r "13, %%" r #t ", %%" r #t "\n\tvpaddd %%" r #t      \
    ", %%" r #sum ", %%" r #sum "\n\t"
#define PRODUCT16(r, sum, t)                                                                                          \
    "vpmaddubsw %%" r "14, %%" r "15, %%" r #t "\n\tvpaddw %%" r #t ", %%" r #sum ", %%" r #sum "\n\t"
#define EIGHT(f, r) f(r, 0, 8) f(r, 1, 9) f(r, 2, 10) f(r, 3, 11) f(r, 4, 12) f(r, 5, 8) f(r, 6, 9) f(r, 7, 10)

/* GMAC/s of the bare instructions. */
#define LIMIT(name, f, r, bytes)                                                                                      \
    static double name(void)                                                                                          \
    {                                                                                                                 \
        const double start = bench_now();                                                                             \
        for (int32_t i = 0; i < 40000; i++)                                                                           \
            __asm__ volatile(EIGHT(f, r)::: CLOBBER);                                                                 \
        return 40000.0 * 8 * bytes / (bench_now() - start) * 1e-9;                                                    \
    }
LIMIT(avx2_limit32, PRODUCT32, "ymm", 32)
LIMIT(avx2_limit16, PRODUCT16, "ymm", 32)

/* GHz: additions that wait for each other take a cycle each. */
static double clock_rate(void)
{
    int64_t sum = 0;
    const double start = bench_now();
    for (int32_t i = 0; i < 40000; i++)
        __asm__ volatile("add %[one], %[sum]\n\tadd %[one], %[sum]\n\tadd %[one], %[sum]\n\tadd %[one], %[sum]\n\t"
                         "add %[one], %[sum]\n\tadd %[one], %[sum]\n\tadd %[one], %[sum]\n\tadd %[one], %[sum]\n\t"
                         : [sum] "+r"(sum)
                         : [one] "r"((int64_t)1));
    return 40000.0 * 8 / (bench_now() - start) * 1e-9;
}

/** A family whose kernel reads what nw_gemm_pack_avx2_mode packs. */
typedef struct family {
    const char *name;
    nw_isa isa;
    void (*run)(const nw_gemm_call *call);
    double (*limit32)(void), (*limit16)(void);
    int32_t mr; /* pixels of a tile */
} family;

#if defined(NW_HAVE_AVX512)
LIMIT(avx512_limit32, PRODUCT32, "zmm", 64)
LIMIT(avx512_limit16, PRODUCT16, "zmm", 64)
#endif

static const family families[] = {
    {"avx2", NW_ISA_AVX2, nw_gemm_run_avx2, avx2_limit32, avx2_limit16, NW_AVX2_MR},
#if defined(NW_HAVE_AVX512)
    {"avx512", NW_ISA_AVX512, nw_gemm_run_avx512, avx512_limit32, avx512_limit16, 8},
#endif
};

typedef struct layer {
    int32_t c; /* input channels */
    nw_segment segments[3];
    int8_t *weights[N_WEIGHTS]; /* [CHANNELS, 9 c] */
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
    for (int32_t i = 0; i < N_WEIGHTS; i++)
        l->weights[i] = allocate((size_t)(CHANNELS * k));
    for (int32_t i = 0; i < CHANNELS * k; i++)
        l->weights[ONES][i] = (int8_t)((uint32_t)i * 2654435761u >> 31 ? 1 : -1);
    memset(l->weights[QUADS], 30, (size_t)(CHANNELS * k));
    memset(l->weights[PAIRS], 64, (size_t)(CHANNELS * k));
    memset(l->weights[UNSAFE], 127, (size_t)(CHANNELS * k));
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
        const nw_gemm_source source = {.weights = l->weights[variants[v].weights],
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
    for (int32_t i = 0; i < N_WEIGHTS; i++)
        free(l->weights[i]);
    for (int32_t v = 0; v < N_VARIANTS; v++)
        free(l->packed[v]);
}

/* Seconds of a call. */
static double measure(const family *f, const layer *l, int32_t v)
{
    const nw_gemm_call call = {.packed = l->packed[v],
                               .requant = &l->requant,
                               .a = l->a,
                               .c = l->out,
                               .m = PIXELS,
                               .begin = 0,
                               .end = CHANNELS};
    const double macs = (double)PIXELS * CHANNELS * 9 * l->c;
    const int32_t repeats = (int32_t)(1e7 / macs) + 1;
    const double start = bench_now();
    for (int32_t i = 0; i < repeats; i++)
        f->run(&call);
    return (bench_now() - start) / repeats;
}

/* Medians for one K; limits in GMAC/s. */
typedef struct result {
    int32_t k;
    double limit32, limit16, clock;
    double seconds[N_VARIANTS];
} result;

static double gmacs(const result *r, int32_t v)
{
    return 1e-9 * PIXELS * CHANNELS * r->k / r->seconds[v];
}

static result bench_k(const family *f, int32_t c)
{
    static layer l;
    static double times[N_VARIANTS][ROUNDS];
    static double limits[2][ROUNDS];
    static double clocks[ROUNDS];
    result out = {.k = 9 * c};
    layer_init(&l, c);
    for (int32_t r = 0; r < ROUNDS; r++) {
        limits[0][r] = f->limit32();
        for (int32_t v = 0; v < N_VARIANTS; v++)
            times[v][r] = measure(f, &l, v);
        limits[1][r] = f->limit16();
        clocks[r] = clock_rate();
    }
    layer_free(&l);
    out.limit32 = bench_median(limits[0], ROUNDS);
    out.limit16 = bench_median(limits[1], ROUNDS);
    out.clock = bench_median(clocks, ROUNDS);
    for (int32_t v = 0; v < N_VARIANTS; v++)
        out.seconds[v] = bench_median(times[v], ROUNDS);
    return out;
}

/* Cycles of a step of a tile, in what `b` takes more than `a`. */
static double step_cycles(const family *f, const result *a, const result *b, int32_t v)
{
    const double steps = (double)(b->k - a->k) / NW_AVX2_KR * (PIXELS / f->mr) * (CHANNELS / NW_AVX2_NR);
    return (b->seconds[v] - a->seconds[v]) * 1e9 * b->clock / steps;
}

static void print_text(const family *f, const result *results, size_t n)
{
    printf("\n%s, matrix product of %d pixels by %d channels, one thread\n", f->name, PIXELS, CHANNELS);
    for (size_t i = 0; i < n; i++) {
        const result *r = &results[i];
        printf("\nK = %d; limit %.1f GMAC/s with int32 sums, %.1f with int16 sums\n", r->k, r->limit32, r->limit16);
        printf("  %-18s %8s %14s %15s %15s %15s\n", "form", "GMAC/s", "x int32 sums", "of int32 limit",
               "of int16 limit", "cycles a step");
        for (int32_t v = 0; v < N_VARIANTS; v++) {
            printf("  %-18s %8.1f %14.2f %14.0f%% %14.0f%%", variants[v].name, gmacs(r, v),
                   r->seconds[INT32_SUMS] / r->seconds[v], 100 * gmacs(r, v) / r->limit32,
                   100 * gmacs(r, v) / r->limit16);
            if (i > 0)
                printf(" %15.2f", step_cycles(f, &results[i - 1], r, v));
            printf("\n");
        }
    }
}

static void print_json(const family *f, const result *results, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const result *r = &results[i];
        printf("{\"family\": \"%s\", \"pixels\": %d, \"channels\": %d, \"k\": %d, \"limit16_over_limit32\": %.3f,"
               " \"forms\": {", f->name, PIXELS, CHANNELS, r->k, r->limit16 / r->limit32);
        for (int32_t v = 0; v < N_VARIANTS; v++)
            printf("%s\"%s\": {\"ratio\": %.3f, \"share32\": %.3f, \"share16\": %.3f}", v ? ", " : "", variants[v].name,
                   r->seconds[INT32_SUMS] / r->seconds[v], gmacs(r, v) / r->limit32, gmacs(r, v) / r->limit16);
        printf("}}\n");
    }
}

void bench_gemm(bool json)
{
    static const int32_t c[] = {16, 32, 64, 128, MAX_C};
    result results[NW_COUNT(c)];
    for (size_t i = 0; i < NW_COUNT(families); i++) {
        const family *f = &families[i];
        if (!nw_isa_available(f->isa))
            continue;
        for (size_t j = 0; j < NW_COUNT(c); j++)
            results[j] = bench_k(f, c[j]);
        (json ? print_json : print_text)(f, results, NW_COUNT(c));
    }
}
