/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loops of the matrix product: tiles of 4 pixels by 16 channels. Included by gemm.c alone;
 * gemm_pack.c says why the sums are exact.
 *
 * A step multiplies 4 bytes of each pixel, broadcast, by 64 weights: 2 vpmaddubsw per pixel. What follows depends on
 * the length of the run; per step of a tile (256 products), multiplications go through two ports:
 *
 *     run of 1     16 multiplications, 8 additions: 8 cycles by the ports, 8.3 measured without loads, 8.7 with all
 *     2, 3, 4      pixel by pixel, all sums in registers: 12, 10.7, 10 multiplications; measured 7.4, 6.9, 6.5 cycles
 *     longer       8 and 8, 4 cycles by the ports, 4.9 measured without loads (additions take slots of the multiplying
 *                  ports), 5.6 with all, and 4.6 per run to fold the 16-bit sums into memory
 *     wide         16 multiplications, 16 additions, 8 to separate odd and even bytes; measured 11.8 cycles
 *     units        gemm_unit.h
 *
 * Larger tiles have fewer loads per product, but loads are not the limit, and there are not enough registers for both
 * kinds of sums: 5 and 6 pixels by 16 channels were slower where runs are short and equal where they are long.
 */
#ifndef NARROW_KERNELS_AVX2_GEMM_TILE_H
#define NARROW_KERNELS_AVX2_GEMM_TILE_H

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/avx2/avx2.h"

#define MR NW_AVX2_MR

/* A panel as the loops read it; the arrays lie in the packed matrix (avx2.h). */
typedef struct tile_panel {
    const nw_avx2_group *groups;
    const int32_t *offsets;
    const __m256i *weights;
    int32_t n_groups, n_wide;
    const int32_t *n_short; /* [NW_AVX2_SHORT + 1] runs of 1, 2, 3, 4 steps */
    const int32_t *n_units; /* [NW_AVX2_UNIT + 1] units of 1, 2, 4 steps */
} tile_panel;

static NW_INLINE __m256i broadcast4(const uint8_t *a)
{
    int32_t bytes;
    memcpy(&bytes, a, sizeof(bytes));
    return _mm256_set1_epi32(bytes);
}

/* Position within a panel. */
typedef struct cursor {
    const int32_t *offset;
    const __m256i *weights;
} cursor;

static NW_INLINE void load_sums(__m256i *r, const __m256i *sums, int32_t n)
{
#pragma GCC unroll 8
    for (int32_t i = 0; i < n; i++)
        r[i] = sums[i];
}

static NW_INLINE void store_sums(__m256i *sums, const __m256i *r, int32_t n)
{
#pragma GCC unroll 8
    for (int32_t i = 0; i < n; i++)
        sums[i] = r[i];
}

/*
 * The loops over steps for a whole tile of 4 pixels. In assembly because eight sums, two weights, a broadcast and a
 * product must each keep their register: from intrinsics GCC 12 copies every sum once per step and spills one, which
 * costs a third of the speed. [at] is the offset of the step's bytes; ymm8 to ymm15 hold what a step needs, in every
 * loop, so that the sums stay in ymm0 to ymm7 from one loop to the next.
 */
#define NEXT_STEP "movslq (%[offset]), %[at]\n\tadd $4, %[offset]\n\t"
#define END_STEP(size) "add $" #size ", %[w]\n\tdec %[n]\n\tjnz 1b\n\t"
#define LOAD_PIXEL(i) "vpbroadcastd (%[a" #i "],%[at]), %%ymm14\n\t"
#define SUMS                                                                                                          \
    [s0] "+x"(r[0]), [s1] "+x"(r[1]), [s2] "+x"(r[2]), [s3] "+x"(r[3]), [s4] "+x"(r[4]), [s5] "+x"(r[5]),             \
        [s6] "+x"(r[6]), [s7] "+x"(r[7])
#define CURSOR [offset] "+r"(at->offset), [w] "+r"(at->weights), [n] "+r"(n), [at] "=&r"(step)
#define PIXELS [a0] "r"(a[0]), [a1] "r"(a[1]), [a2] "r"(a[2]), [a3] "r"(a[3])

#define TEMPORARIES "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

typedef struct words16 {
    _Alignas(32) uint16_t word[16];
} words16;

static const words16 ones16 = {{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};

#define PRODUCT16(b, s) "vpmaddubsw %%" b ", %%ymm14, %%ymm15\n\tvpaddw %%ymm15, %[" #s "], %[" #s "]\n\t"
#define PIXEL16(i, s, s_next) LOAD_PIXEL(i) PRODUCT16("ymm10", s) PRODUCT16("ymm11", s_next)

static NW_INLINE void steps16(__m256i r[8], cursor *at, int32_t n, const uint8_t *const *a)
{
    ptrdiff_t step;
    __asm__ volatile(".p2align 5\n1:\n\t" NEXT_STEP "vmovdqa (%[w]), %%ymm10\n\tvmovdqa 32(%[w]), %%ymm11\n\t" /* */
                     PIXEL16(0, s0, s1) PIXEL16(1, s2, s3) PIXEL16(2, s4, s5) PIXEL16(3, s6, s7) END_STEP(64)
                     : SUMS, CURSOR
                     : PIXELS
                     : "cc", "memory", TEMPORARIES);
}

#define PRODUCT32(b, s)                                                                                               \
    "vpmaddubsw %%" b ", %%ymm14, %%ymm15\n\tvpmaddwd %%ymm8, %%ymm15, %%ymm15\n\t"                                   \
    "vpaddd %%ymm15, %[" #s "], %[" #s "]\n\t"
#define PIXEL32(i, s, s_next) LOAD_PIXEL(i) PRODUCT32("ymm10", s) PRODUCT32("ymm11", s_next)

static NW_INLINE void steps32(__m256i r[8], cursor *at, int32_t n, const uint8_t *const *a)
{
    ptrdiff_t step;
    __asm__ volatile("vmovdqa %[ones], %%ymm8\n\t.p2align 5\n1:\n\t" NEXT_STEP
                     "vmovdqa (%[w]), %%ymm10\n\tvmovdqa 32(%[w]), %%ymm11\n\t" /* */
                     PIXEL32(0, s0, s1) PIXEL32(1, s2, s3) PIXEL32(2, s4, s5) PIXEL32(3, s6, s7) END_STEP(64)
                     : SUMS, CURSOR
                     : PIXELS, [ones] "m"(ones16)
                     : "cc", "memory", TEMPORARIES);
}

/*
 * Short runs: one pixel after the other, its 16-bit sums in ymm12 and ymm13. Weights of the first two steps are in
 * registers, those of the third and fourth come from memory. rax, rcx, rdx, rsi: the steps' offsets.
 */
#define SHORT_OFFSETS_2 "movslq (%[offset]), %%rax\n\tmovslq 4(%[offset]), %%rcx\n\t"
#define SHORT_WEIGHTS                                                                                                 \
    "vmovdqa (%[w]), %%ymm8\n\tvmovdqa 32(%[w]), %%ymm9\n\tvmovdqa 64(%[w]), %%ymm10\n\tvmovdqa 96(%[w]), %%ymm11\n\t"
#define SHORT_FIRST(i)                                                                                                \
    "vpbroadcastd (%[a" #i "],%%rax), %%ymm15\n\tvpmaddubsw %%ymm8, %%ymm15, %%ymm12\n\t"                             \
    "vpmaddubsw %%ymm9, %%ymm15, %%ymm13\n\t"
#define SHORT_NEXT(i, at, b0, b1)                                                                                     \
    "vpbroadcastd (%[a" #i "],%%" at "), %%ymm15\n\tvpmaddubsw " b0 ", %%ymm15, %%ymm14\n\t"                          \
    "vpaddw %%ymm14, %%ymm12, %%ymm12\n\tvpmaddubsw " b1 ", %%ymm15, %%ymm15\n\tvpaddw %%ymm15, %%ymm13, %%ymm13\n\t"
#define SHORT_FOLD(s, s_next)                                                                                         \
    "vpmaddwd %[ones], %%ymm12, %%ymm12\n\tvpaddd %%ymm12, %[" #s "], %[" #s "]\n\t"                                  \
    "vpmaddwd %[ones], %%ymm13, %%ymm13\n\tvpaddd %%ymm13, %[" #s_next "], %[" #s_next "]\n\t"
#define SHORT_2(i) SHORT_FIRST(i) SHORT_NEXT(i, "rcx", "%%ymm10", "%%ymm11")
#define SHORT_3(i) SHORT_2(i) SHORT_NEXT(i, "rdx", "128(%[w])", "160(%[w])")
#define SHORT_4(i) SHORT_3(i) SHORT_NEXT(i, "rsi", "192(%[w])", "224(%[w])")
#define SHORT_RUNS(RUN, offsets, offsets_size, weights_size)                                                          \
    ".p2align 5\n1:\n\t" SHORT_OFFSETS_2 offsets "add $" #offsets_size ", %[offset]\n\t" SHORT_WEIGHTS RUN(0)         \
        SHORT_FOLD(s0, s1) RUN(1) SHORT_FOLD(s2, s3) RUN(2) SHORT_FOLD(s4, s5) RUN(3) SHORT_FOLD(s6, s7)              \
            END_STEP(weights_size)

/* n runs of `length` steps, 2 to 4, a constant in each caller. */
static NW_INLINE void short_runs(__m256i r[8], cursor *at, int32_t n, const uint8_t *const *a, int32_t length)
{
#define SHORT_OPERANDS                                                                                                \
    : SUMS, [offset] "+r"(at->offset), [w] "+r"(at->weights), [n] "+r"(n)                                             \
    : PIXELS, [ones] "m"(ones16)                                                                                      \
    : "cc", "memory", "rax", "rcx", "rdx", "rsi", TEMPORARIES
    if (length == 2)
        __asm__ volatile(SHORT_RUNS(SHORT_2, "", 8, 128) SHORT_OPERANDS);
    else if (length == 3)
        __asm__ volatile(SHORT_RUNS(SHORT_3, "movslq 8(%[offset]), %%rdx\n\t", 12, 192) SHORT_OPERANDS);
    else
        __asm__ volatile(SHORT_RUNS(SHORT_4, "movslq 8(%[offset]), %%rdx\n\tmovslq 12(%[offset]), %%rsi\n\t", 16, 256)
                             SHORT_OPERANDS);
#undef SHORT_OPERANDS
}

#define PRODUCT_WIDE(x, b, s) "vpmaddwd %%" b ", %%" x ", %%ymm15\n\tvpaddd %%ymm15, %[" #s "], %[" #s "]\n\t"
#define PIXEL_WIDE(i, s, s_next)                                                                                      \
    LOAD_PIXEL(i)                                                                                                     \
    "vpsrlw $8, %%ymm14, %%ymm9\n\tvpand %[low], %%ymm14, %%ymm14\n\t" /* odd bytes, even bytes */                    \
        PRODUCT_WIDE("ymm14", "ymm10", s) PRODUCT_WIDE("ymm14", "ymm11", s_next) PRODUCT_WIDE("ymm9", "ymm12", s)     \
            PRODUCT_WIDE("ymm9", "ymm13", s_next)

static NW_INLINE void steps_wide(__m256i r[8], cursor *at, int32_t n, const uint8_t *const *a)
{
    static const words16 low = {{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}};
    ptrdiff_t step;
    __asm__ volatile(".p2align 5\n1:\n\t" NEXT_STEP "vmovdqa (%[w]), %%ymm10\n\tvmovdqa 32(%[w]), %%ymm11\n\t"
                     "vmovdqa 64(%[w]), %%ymm12\n\tvmovdqa 96(%[w]), %%ymm13\n\t" /* */
                     PIXEL_WIDE(0, s0, s1) PIXEL_WIDE(1, s2, s3) PIXEL_WIDE(2, s4, s5) PIXEL_WIDE(3, s6, s7)
                         END_STEP(128)
                     : SUMS, CURSOR
                     : PIXELS, [low] "m"(low)
                     : "cc", "memory", TEMPORARIES);
}

/* The same for fewer pixels, at the edge of a picture or for a single vector. mr is a constant in each caller. */
static NW_INLINE void few_steps16(__m256i *r, cursor *at, int32_t n, const uint8_t *const *a, int32_t mr)
{
    for (; n > 0; n--, at->weights += 2) {
        const ptrdiff_t step = *at->offset++;
        if (mr == 1)
            _mm_prefetch((const char *)at->weights + NW_GEMM_AHEAD, _MM_HINT_T0);
#pragma GCC unroll 3
        for (int32_t i = 0; i < mr; i++) {
            const __m256i x = broadcast4(a[i] + step);
            r[2 * i] = _mm256_add_epi16(r[2 * i], _mm256_maddubs_epi16(x, at->weights[0]));
            r[2 * i + 1] = _mm256_add_epi16(r[2 * i + 1], _mm256_maddubs_epi16(x, at->weights[1]));
        }
    }
}

static NW_INLINE void few_steps32(__m256i *r, cursor *at, int32_t n, const uint8_t *const *a, int32_t mr)
{
    const __m256i ones = _mm256_set1_epi16(1);
    for (; n > 0; n--, at->weights += 2) {
        const ptrdiff_t step = *at->offset++;
#pragma GCC unroll 3
        for (int32_t i = 0; i < mr; i++) {
            const __m256i x = broadcast4(a[i] + step);
            const __m256i t0 = _mm256_madd_epi16(_mm256_maddubs_epi16(x, at->weights[0]), ones);
            const __m256i t1 = _mm256_madd_epi16(_mm256_maddubs_epi16(x, at->weights[1]), ones);
            r[2 * i] = _mm256_add_epi32(r[2 * i], t0);
            r[2 * i + 1] = _mm256_add_epi32(r[2 * i + 1], t1);
        }
    }
}

static NW_INLINE void few_short_runs(__m256i *r, cursor *at, int32_t n, const uint8_t *const *a, int32_t length,
                                     int32_t mr)
{
    const __m256i ones = _mm256_set1_epi16(1);
    for (; n > 0; n--, at->weights += 2 * length, at->offset += length) {
#pragma GCC unroll 4
        for (int32_t s = 0; s < length && mr == 1; s++)
            _mm_prefetch((const char *)(at->weights + 2 * s) + NW_GEMM_AHEAD, _MM_HINT_T0);
#pragma GCC unroll 3
        for (int32_t i = 0; i < mr; i++) {
            __m256i x = broadcast4(a[i] + at->offset[0]);
            __m256i t0 = _mm256_maddubs_epi16(x, at->weights[0]);
            __m256i t1 = _mm256_maddubs_epi16(x, at->weights[1]);
            for (int32_t s = 1; s < length; s++) {
                x = broadcast4(a[i] + at->offset[s]);
                t0 = _mm256_add_epi16(t0, _mm256_maddubs_epi16(x, at->weights[2 * s]));
                t1 = _mm256_add_epi16(t1, _mm256_maddubs_epi16(x, at->weights[2 * s + 1]));
            }
            r[2 * i] = _mm256_add_epi32(r[2 * i], _mm256_madd_epi16(t0, ones));
            r[2 * i + 1] = _mm256_add_epi32(r[2 * i + 1], _mm256_madd_epi16(t1, ones));
        }
    }
}

static NW_INLINE void few_steps_wide(__m256i *r, cursor *at, int32_t n, const uint8_t *const *a, int32_t mr)
{
    const __m256i low_byte = _mm256_set1_epi16(255);
    for (; n > 0; n--, at->weights += 4) {
        const ptrdiff_t step = *at->offset++;
        if (mr == 1) {
            _mm_prefetch((const char *)at->weights + NW_GEMM_AHEAD, _MM_HINT_T0);
            _mm_prefetch((const char *)(at->weights + 2) + NW_GEMM_AHEAD, _MM_HINT_T0);
        }
#pragma GCC unroll 3
        for (int32_t i = 0; i < mr; i++) {
            const __m256i x = broadcast4(a[i] + step);
            const __m256i even = _mm256_and_si256(x, low_byte);
            const __m256i odd = _mm256_srli_epi16(x, 8);
#pragma GCC unroll 2
            for (int32_t h = 0; h < 2; h++) {
                const __m256i t0 = _mm256_madd_epi16(even, at->weights[h]);
                const __m256i t1 = _mm256_madd_epi16(odd, at->weights[2 + h]);
                r[2 * i + h] = _mm256_add_epi32(r[2 * i + h], _mm256_add_epi32(t0, t1));
            }
        }
    }
}

#include "kernels/avx2/gemm_unit.h"

/* One run of more than NW_AVX2_SHORT steps: sums in 16 bits, which the first step sets, folded into memory. */
static NW_INLINE void run_of_steps(__m256i *sums, cursor *at, int32_t length, const uint8_t *const *a, int32_t mr)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i r[2 * MR];
    const ptrdiff_t first = *at->offset++;
#pragma GCC unroll 4
    for (int32_t i = 0; i < mr; i++) {
        const __m256i x = broadcast4(a[i] + first);
        r[2 * i] = _mm256_maddubs_epi16(x, at->weights[0]);
        r[2 * i + 1] = _mm256_maddubs_epi16(x, at->weights[1]);
    }
    at->weights += 2;
    if (mr == MR)
        steps16(r, at, length - 1, a);
    else
        few_steps16(r, at, length - 1, a, mr);
#pragma GCC unroll 8
    for (int32_t i = 0; i < 2 * mr; i++)
        sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(r[i], ones));
}

/*
 * sums[2 i], sums[2 i + 1] = `start` + the exact int32 sums of channels 0-7 and 8-15 of the panel for pixel i. `a`
 * holds the base of each pixel's window; mr, 1 to 4, is a constant in each caller.
 */
static NW_INLINE void tile_sums(__m256i *sums, const tile_panel *p, const uint8_t *const *a, int32_t mr,
                                const __m256i start[2])
{
    cursor at = {p->offsets, p->weights};
    __m256i r[2 * MR];
#pragma GCC unroll 8
    for (int32_t i = 0; i < 2 * mr; i++)
        r[i] = start[i % 2];
    if (p->n_groups) {
        store_sums(sums, r, 2 * mr);
        for (int32_t g = 0; g < p->n_groups; g++) {
            const int32_t length = p->groups[g].length;
            for (int32_t left = p->groups[g].count; left > 0; left--)
                run_of_steps(sums, &at, length, a, mr);
        }
        load_sums(r, sums, 2 * mr);
    }
#pragma GCC unroll 3
    for (int32_t length = NW_AVX2_SHORT; length > 1; length--) {
        if (p->n_short[length] == 0)
            continue;
        if (mr == MR)
            short_runs(r, &at, p->n_short[length], a, length);
        else
            few_short_runs(r, &at, p->n_short[length], a, length, mr);
    }
    if (p->n_short[1]) {
        if (mr == MR)
            steps32(r, &at, p->n_short[1], a);
        else
            few_steps32(r, &at, p->n_short[1], a, mr);
    }
    if (p->n_wide) {
        if (mr == MR)
            steps_wide(r, &at, p->n_wide, a);
        else
            few_steps_wide(r, &at, p->n_wide, a, mr);
    }
#pragma GCC unroll 3
    for (int32_t length = NW_AVX2_UNIT; length > 0; length /= 2) {
        if (p->n_units[length] == 0)
            continue;
        if (mr == MR)
            units(r, &at, p->n_units[length], a, length);
        else
            few_units(r, &at, p->n_units[length], a, length, mr);
    }
    store_sums(sums, r, 2 * mr);
}

#endif
