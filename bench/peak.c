/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic limit of one core: multiply-accumulates per second of every instruction family that this CPU has, with
 * all operands in registers and no dependency between neighbouring instructions. No kernel of that family can be
 * faster; bench/speed.py divides what networks reach by these figures. Prints a line per family: name, GMAC/s, words;
 * on stderr, the families that this CPU lacks.
 *
 *     cc -O2 peak.c -o peak && taskset -c 1 ./peak
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REPEATS 7
#define MINIMUM_SECONDS 0.02

/** A family: `loop` executes `macs` multiply-accumulates n times. */
typedef struct family {
    const char *name, *words;
    double macs;
    void (*loop)(long n);
    bool (*available)(void);
} family;

#define CLOBBERS                                                                                                       \
    "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",        \
        "xmm12", "xmm13", "xmm14", "xmm15"
#define LOOP(name, body)                                                                                               \
    static void name(long n)                                                                                           \
    {                                                                                                                  \
        for (long i = 0; i < n; i++)                                                                                   \
            __asm__ volatile(body ::: CLOBBERS);                                                                       \
    }
/* Registers 13 to 15 hold operands; accumulators are 0 to 11 where a step is one instruction, 0 to 7 where it is more
 * and its intermediate results take 8 to 12. */
#define TWELVE(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)
#define EIGHT(step) step(0, 8) step(1, 9) step(2, 10) step(3, 11) step(4, 12) step(5, 8) step(6, 9) step(7, 10)

#define FLOAT_STEP(reg, acc) "vfmadd231ps %%" reg "14, %%" reg "15, %%" reg #acc "\n"
#define SUM32_STEP(reg, acc, tmp)                                                                                      \
    "vpmaddubsw %%" reg "14, %%" reg "15, %%" reg #tmp "\n"                                                            \
    "vpmaddwd %%" reg "13, %%" reg #tmp ", %%" reg #tmp "\n"                                                           \
    "vpaddd %%" reg #tmp ", %%" reg #acc ", %%" reg #acc "\n"
#define SUM16_STEP(reg, acc, tmp)                                                                                      \
    "vpmaddubsw %%" reg "14, %%" reg "15, %%" reg #tmp "\n"                                                            \
    "vpaddw %%" reg #tmp ", %%" reg #acc ", %%" reg #acc "\n"
#define WIDE_STEP(reg, acc, tmp)                                                                                       \
    "vpmaddwd %%" reg "14, %%" reg "15, %%" reg #tmp "\n"                                                              \
    "vpaddd %%" reg #tmp ", %%" reg #acc ", %%" reg #acc "\n"

#define AVX2_FLOAT(acc) FLOAT_STEP("ymm", acc)
#define AVX2_SUM32(acc, tmp) SUM32_STEP("ymm", acc, tmp)
#define AVX2_SUM16(acc, tmp) SUM16_STEP("ymm", acc, tmp)
#define AVX2_WIDE(acc, tmp) WIDE_STEP("ymm", acc, tmp)
#define AVX512_FLOAT(acc) FLOAT_STEP("zmm", acc)
#define AVX512_SUM32(acc, tmp) SUM32_STEP("zmm", acc, tmp)
#define AVX512_SUM16(acc, tmp) SUM16_STEP("zmm", acc, tmp)
#define AVXVNNI(acc) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #acc "\n"
#define AVX512VNNI_256(acc) "vpdpbusd %%ymm14, %%ymm15, %%ymm" #acc "\n"
#define AVX512VNNI(acc) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #acc "\n"

LOOP(avx2_float, TWELVE(AVX2_FLOAT))
LOOP(avx2_sum32, EIGHT(AVX2_SUM32))
LOOP(avx2_sum16, EIGHT(AVX2_SUM16))
LOOP(avx2_wide, EIGHT(AVX2_WIDE))
LOOP(avxvnni, TWELVE(AVXVNNI))
LOOP(avx512_float, TWELVE(AVX512_FLOAT))
LOOP(avx512_sum32, EIGHT(AVX512_SUM32))
LOOP(avx512_sum16, EIGHT(AVX512_SUM16))
LOOP(avx512vnni_256, TWELVE(AVX512VNNI_256))
LOOP(avx512vnni, TWELVE(AVX512VNNI))

/* Tiles are 16 rows of 64 bytes; accumulators 0 to 3, operands 4 to 7. */
static void amx(long n)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    static uint8_t operand[1024];
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %0\n"
                     "tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3\n"
                     "tileloadd (%1,%2), %%tmm4\n tileloadd (%1,%2), %%tmm5\n"
                     "tileloadd (%1,%2), %%tmm6\n tileloadd (%1,%2), %%tmm7\n"
                     :
                     : "m"(config), "r"(operand), "r"(64L)
                     : "memory");
    for (long i = 0; i < n; i++)
        __asm__ volatile("tdpbusd %%tmm6, %%tmm4, %%tmm0\n tdpbusd %%tmm7, %%tmm4, %%tmm1\n"
                         "tdpbusd %%tmm6, %%tmm5, %%tmm2\n tdpbusd %%tmm7, %%tmm5, %%tmm3\n" ::
                             : "memory");
    __asm__ volatile("tilerelease" ::: "memory");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

static bool has_avx512vnni(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

static bool has_avx512vnni_256(void)
{
    return has_avx512vnni() && __builtin_cpu_supports("avx512vl");
}

static bool has_avxvnni(void)
{
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

/** AMX also needs the permission of the operating system: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA). */
static bool has_amx(void)
{
    unsigned a, b, c, d;
    const unsigned tile_and_int8 = 3u << 24;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & tile_and_int8) == tile_and_int8 &&
           syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

static const family families[] = {
    {"avx2-float", "AVX2 float multiply-add", 12 * 8, avx2_float, has_avx2},
    {"avx2-sum32", "AVX2 int8, 32-bit sums", 8 * 32, avx2_sum32, has_avx2},
    {"avx2-sum16", "AVX2 int8, 16-bit sums", 8 * 32, avx2_sum16, has_avx2},
    {"avx2-wide", "AVX2 int8 widened to int16, 32-bit sums", 8 * 16, avx2_wide, has_avx2},
    {"avxvnni", "AVX-VNNI int8", 12 * 32, avxvnni, has_avxvnni},
    {"avx512-float", "AVX-512 float multiply-add", 12 * 16, avx512_float, has_avx512},
    {"avx512-sum32", "AVX-512 int8, 32-bit sums, without VNNI", 8 * 64, avx512_sum32, has_avx512},
    {"avx512-sum16", "AVX-512 int8, 16-bit sums", 8 * 64, avx512_sum16, has_avx512},
    {"avx512vnni-256", "AVX-512 VNNI int8 on 256 bits", 12 * 32, avx512vnni_256, has_avx512vnni_256},
    {"avx512vnni", "AVX-512 VNNI int8", 12 * 64, avx512vnni, has_avx512vnni},
    {"amx", "AMX int8", 4 * 16 * 16 * 64, amx, has_amx},
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_of(const family *f, long n)
{
    const double start = seconds();
    f->loop(n);
    return seconds() - start;
}

/** Multiply-accumulates per second, the best of some repeats. */
static double rate(const family *f)
{
    long n = 1000;
    while (time_of(f, n) < MINIMUM_SECONDS)
        n *= 2;
    double best = time_of(f, n);
    for (int i = 1; i < REPEATS; i++) {
        const double t = time_of(f, n);
        best = t < best ? t : best;
    }
    return (double)n * f->macs / best;
}

int main(void)
{
    __builtin_cpu_init();
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (families[i].available())
            printf("%-14s %8.1f  %s\n", families[i].name, 1e-9 * rate(&families[i]), families[i].words);
        else
            fprintf(stderr, "SKIP %s: %s: this CPU, or its operating system, lacks it\n", families[i].name,
                    families[i].words);
    }
    return 0;
}

#else

int main(void)
{
    fputs("peak: no instruction family is known for this architecture\n", stderr);
    return 0;
}

#endif
