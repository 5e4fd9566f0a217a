/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512 in plain C for kernels that this CPU may be unable to run: SIMDe, put before the sources of avx512/,
 * avx512vnni/ and amx/ by the compiler (-include). What SIMDe 0.7.4 lacks is written below, after Intel's pseudocode;
 * the list is complete for the kernels there and not meant for more.
 */
#ifndef NARROW_TESTS_KERNELS_EMULATED_AVX512_H
#define NARROW_TESTS_KERNELS_EMULATED_AVX512_H

#define NW_EMULATED
#define SIMDE_NO_INLINE /* else compilers take minutes for the unrolled tiles */

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t __mmask64;
typedef uint32_t __mmask32;
typedef uint16_t __mmask16;

static inline __m512 emulate_cvtepi32_ps(__m512i a)
{
    int32_t x[16];
    float y[16];
    __m512 r;
    memcpy(x, &a, 64);
    for (int i = 0; i < 16; i++)
        y[i] = (float)x[i];
    memcpy(&r, y, 64);
    return r;
}

/* In the current rounding mode; what does not fit becomes INT32_MIN, as in the hardware. */
static inline __m512i emulate_cvtps_epi32(__m512 a)
{
    float x[16];
    int32_t y[16];
    __m512i r;
    memcpy(x, &a, 64);
    for (int i = 0; i < 16; i++)
        y[i] = x[i] >= -2147483648.0f && x[i] < 2147483648.0f ? (int32_t)rintf(x[i]) : INT32_MIN;
    memcpy(&r, y, 64);
    return r;
}

static inline __m512i emulate_srai_epi32(__m512i a, unsigned count)
{
    int32_t x[16];
    __m512i r;
    memcpy(x, &a, 64);
    for (int i = 0; i < 16; i++)
        x[i] >>= count;
    memcpy(&r, x, 64);
    return r;
}

static inline __m512i emulate_cvtepu8_epi16(__m256i a)
{
    uint8_t x[32];
    uint16_t y[32];
    __m512i r;
    memcpy(x, &a, 32);
    for (int i = 0; i < 32; i++)
        y[i] = x[i];
    memcpy(&r, y, 64);
    return r;
}

static inline __m512i emulate_cvtepu8_epi32(__m128i a)
{
    uint8_t x[16];
    int32_t y[16];
    __m512i r;
    memcpy(x, &a, 16);
    for (int i = 0; i < 16; i++)
        y[i] = x[i];
    memcpy(&r, y, 64);
    return r;
}

static inline __m128i emulate_cvtepi32_epi8(__m512i a)
{
    int32_t x[16];
    uint8_t y[16];
    __m128i r;
    memcpy(x, &a, 64);
    for (int i = 0; i < 16; i++)
        y[i] = (uint8_t)x[i];
    memcpy(&r, y, 16);
    return r;
}

/* SIMDe 0.7.4 gives the alias four parameters. */
static inline __m512i emulate_madd_epi16(__m512i a, __m512i b)
{
    int16_t x[32];
    int16_t y[32];
    int32_t sum[16];
    __m512i r;
    memcpy(x, &a, 64);
    memcpy(y, &b, 64);
    for (int i = 0; i < 16; i++)
        sum[i] = x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1];
    memcpy(&r, sum, 64);
    return r;
}

/* SIMDe 0.7.4 has it, with a shift that overflows an int. */
static inline __mmask32 emulate_test_epi16_mask(__m512i a, __m512i b)
{
    uint16_t x[32];
    uint16_t y[32];
    __mmask32 mask = 0;
    memcpy(x, &a, 64);
    memcpy(y, &b, 64);
    for (int i = 0; i < 32; i++)
        mask |= (__mmask32)((x[i] & y[i]) != 0) << i;
    return mask;
}

/* Masked memory: elements whose bit is 0 are neither read nor written. */
static inline void emulate_load(void *to, uint64_t mask, const void *from, size_t n, size_t element)
{
    memset(to, 0, n * element);
    for (size_t i = 0; i < n; i++)
        if ((mask >> i) & 1)
            memcpy((char *)to + i * element, (const char *)from + i * element, element);
}

static inline void emulate_store(void *to, uint64_t mask, const void *from, size_t n, size_t element)
{
    for (size_t i = 0; i < n; i++)
        if ((mask >> i) & 1)
            memcpy((char *)to + i * element, (const char *)from + i * element, element);
}

static inline __m512i emulate_maskz_loadu_epi8(__mmask64 mask, const void *from)
{
    __m512i r;
    emulate_load(&r, mask, from, 64, 1);
    return r;
}

static inline __m512i emulate_maskz_loadu_epi32(__mmask16 mask, const void *from)
{
    __m512i r;
    emulate_load(&r, mask, from, 16, 4);
    return r;
}

static inline __m512 emulate_maskz_loadu_ps(__mmask16 mask, const void *from)
{
    __m512 r;
    emulate_load(&r, mask, from, 16, 4);
    return r;
}

static inline void emulate_mask_storeu_epi8(void *to, __mmask64 mask, __m512i a)
{
    emulate_store(to, mask, &a, 64, 1);
}

static inline void emulate_mask_storeu_ps(void *to, __mmask16 mask, __m512 a)
{
    emulate_store(to, mask, &a, 16, 4);
}

static inline void emulate_mm_mask_storeu_epi8(void *to, __mmask16 mask, __m128i a)
{
    emulate_store(to, mask, &a, 16, 1);
}

/* Bytes whose bit is set, one behind the other, the rest 0; and the way back, the others from `rest`. */
static inline __m512i emulate_maskz_compress_epi8(__mmask64 mask, __m512i a)
{
    uint8_t x[64];
    uint8_t y[64] = {0};
    __m512i r;
    memcpy(x, &a, 64);
    for (int i = 0, n = 0; i < 64; i++)
        if ((mask >> i) & 1)
            y[n++] = x[i];
    memcpy(&r, y, 64);
    return r;
}

static inline __m512i emulate_mask_expand_epi8(__m512i rest, __mmask64 mask, __m512i a)
{
    uint8_t x[64];
    uint8_t y[64];
    __m512i r;
    memcpy(x, &a, 64);
    memcpy(y, &rest, 64);
    for (int i = 0, n = 0; i < 64; i++)
        if ((mask >> i) & 1)
            y[i] = x[n++];
    memcpy(&r, y, 64);
    return r;
}

static inline __mmask64 emulate_cmpneq_epi8_mask(__m512i a, __m512i b)
{
    uint8_t x[64];
    uint8_t y[64];
    __mmask64 mask = 0;
    memcpy(x, &a, 64);
    memcpy(y, &b, 64);
    for (int i = 0; i < 64; i++)
        mask |= (__mmask64)(x[i] != y[i]) << i;
    return mask;
}

#define _mm512_cvtepi32_ps emulate_cvtepi32_ps
#define _mm512_cvtps_epi32 emulate_cvtps_epi32
#define _mm512_srai_epi32 emulate_srai_epi32
#define _mm512_cvtepu8_epi16 emulate_cvtepu8_epi16
#define _mm512_cvtepu8_epi32 emulate_cvtepu8_epi32
#define _mm512_cvtepi32_epi8 emulate_cvtepi32_epi8
#undef _mm512_madd_epi16
#define _mm512_madd_epi16 emulate_madd_epi16
#undef _mm512_test_epi16_mask
#define _mm512_test_epi16_mask emulate_test_epi16_mask
#undef _mm512_maskz_compress_epi8
#define _mm512_maskz_compress_epi8 emulate_maskz_compress_epi8
#undef _mm512_mask_expand_epi8
#define _mm512_mask_expand_epi8 emulate_mask_expand_epi8
#undef _mm512_cmpneq_epi8_mask
#define _mm512_cmpneq_epi8_mask emulate_cmpneq_epi8_mask
#define _mm512_maskz_loadu_epi8 emulate_maskz_loadu_epi8
#define _mm512_maskz_loadu_epi32 emulate_maskz_loadu_epi32
#define _mm512_maskz_loadu_ps emulate_maskz_loadu_ps
#define _mm512_mask_storeu_epi8 emulate_mask_storeu_epi8
#define _mm512_mask_storeu_ps emulate_mask_storeu_ps
#define _mm_mask_storeu_epi8 emulate_mm_mask_storeu_epi8

#endif
