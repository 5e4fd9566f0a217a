/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loops over units (avx2.h): 16 bytes of each pixel are loaded once, and every step takes its two pairs out
 * of them by vpshufb, which goes through ports that multiplications leave free. Included by gemm_tile.h alone.
 *
 * Cycles per step of a tile (256 products), beside plain runs of the same length in the same run:
 *
 *     unit of 1    9.3 cycles, plain 8.6
 *     unit of 2    7.7, plain 7.5: one load for two steps makes up for the shuffles
 *     unit of 4    7.2, plain 6.7
 *
 * against 11.8 for a wide step, which is what a step with an unsafe pair costs otherwise.
 */
#ifndef NARROW_KERNELS_AVX2_GEMM_UNIT_H
#define NARROW_KERNELS_AVX2_GEMM_UNIT_H

/* A pixel's 16 bytes in ymm11, a step's four of them in ymm15; sums of two and four steps in ymm12 and ymm13. */
#define UNIT_LOAD(i) "vbroadcasti128 (%[a" #i "],%[at]), %%ymm11\n\t"
#define UNIT_FIRST(take, b0, b1)                                                                                      \
    "vpshufb " take ", %%ymm11, %%ymm15\n\tvpmaddubsw " b0 ", %%ymm15, %%ymm12\n\t"                                  \
    "vpmaddubsw " b1 ", %%ymm15, %%ymm13\n\t"
#define UNIT_NEXT(take, b0, b1)                                                                              \
    "vpshufb " take ", %%ymm11, %%ymm15\n\tvpmaddubsw " b0 ", %%ymm15, %%ymm14\n\tvpaddw %%ymm14, %%ymm12, " \
    "%%ymm12\n\t"                                                                                            \
    "vpmaddubsw " b1 ", %%ymm15, %%ymm15\n\tvpaddw %%ymm15, %%ymm13, %%ymm13\n\t"
#define UNIT_FOLD(s, s_next)                                                                                          \
    "vpmaddwd %%ymm8, %%ymm12, %%ymm12\n\tvpaddd %%ymm12, %[" #s "], %[" #s "]\n\t"                                  \
    "vpmaddwd %%ymm8, %%ymm13, %%ymm13\n\tvpaddd %%ymm13, %[" #s_next "], %[" #s_next "]\n\t"

#define UNIT_1(i) UNIT_LOAD(i) UNIT_FIRST("%%ymm9", "%%ymm10", "64(%[w])")
#define UNIT_2(i) UNIT_LOAD(i) UNIT_FIRST("(%[w])", "%%ymm9", "%%ymm10") UNIT_NEXT("32(%[w])", "128(%[w])", "160(%[w])")
#define UNIT_4(i)                                                                                                     \
    UNIT_LOAD(i) UNIT_FIRST("(%[w])", "%%ymm9", "%%ymm10") UNIT_NEXT("32(%[w])", "192(%[w])", "224(%[w])")            \
        UNIT_NEXT("64(%[w])", "256(%[w])", "288(%[w])") UNIT_NEXT("96(%[w])", "320(%[w])", "352(%[w])")

#define UNITS(UNIT, first, second, size)                                                                              \
    "vmovdqa %[ones], %%ymm8\n\t.p2align 5\n1:\n\t" NEXT_STEP "vmovdqa " #first "(%[w]), %%ymm9\n\t"                 \
    "vmovdqa " #second "(%[w]), %%ymm10\n\t" UNIT(0) UNIT_FOLD(s0, s1) UNIT(1) UNIT_FOLD(s2, s3) UNIT(2)              \
    UNIT_FOLD(s4, s5) UNIT(3) UNIT_FOLD(s6, s7) END_STEP(size)

/* n units of `length` steps, 1, 2 or 4, a constant in each caller, for 4 pixels. */
static NW_INLINE void units(__m256i r[8], cursor *at, int32_t n, const uint8_t *const *a, int32_t length)
{
    ptrdiff_t step;
#define UNIT_OPERANDS                                                                                                 \
    : SUMS, CURSOR                                                                                                    \
    : PIXELS, [ones] "m"(ones16)                                                                                      \
    : "cc", "memory", TEMPORARIES
    if (length == 1)
        __asm__ volatile(UNITS(UNIT_1, 0, 32, 96) UNIT_OPERANDS);
    else if (length == 2)
        __asm__ volatile(UNITS(UNIT_2, 64, 96, 192) UNIT_OPERANDS);
    else
        __asm__ volatile(UNITS(UNIT_4, 128, 160, 384) UNIT_OPERANDS);
#undef UNIT_OPERANDS
}

/* The same for fewer pixels. */
static NW_INLINE void few_units(__m256i *r, cursor *at, int32_t n, const uint8_t *const *a, int32_t length, int32_t mr)
{
    const __m256i ones = _mm256_set1_epi16(1);
    for (; n > 0; n--, at->weights += 3 * length, at->offset++) {
        const __m256i *w = at->weights + length;
#pragma GCC unroll 3
        for (int32_t i = 0; i < mr; i++) {
            const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(a[i] + *at->offset));
            const __m256i x = _mm256_broadcastsi128_si256(bytes);
            __m256i t0 = _mm256_setzero_si256();
            __m256i t1 = _mm256_setzero_si256();
#pragma GCC unroll 4
            for (int32_t s = 0; s < length; s++) {
                const __m256i y = _mm256_shuffle_epi8(x, at->weights[s]);
                t0 = _mm256_add_epi16(t0, _mm256_maddubs_epi16(y, w[2 * s]));
                t1 = _mm256_add_epi16(t1, _mm256_maddubs_epi16(y, w[2 * s + 1]));
            }
            r[2 * i] = _mm256_add_epi32(r[2 * i], _mm256_madd_epi16(t0, ones));
            r[2 * i + 1] = _mm256_add_epi32(r[2 * i + 1], _mm256_madd_epi16(t1, ones));
        }
    }
}

#endif
