/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vpdpbusd and vpdpwssd in plain C for the sources of avxvnni/, whose other instructions are AVX2; put before them
 * (-include).
 */
#ifndef NARROW_TESTS_KERNELS_EMULATED_AVXVNNI_H
#define NARROW_TESTS_KERNELS_EMULATED_AVXVNNI_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* sum[i] + the products of four codes of a, unsigned, and four weights of b, signed; modulo 2^32. */
static inline __m256i emulate_dpbusd(__m256i sum, __m256i a, __m256i b)
{
    uint32_t s[8];
    uint8_t x[32];
    int8_t w[32];
    __m256i r;
    memcpy(s, &sum, 32);
    memcpy(x, &a, 32);
    memcpy(w, &b, 32);
    for (int i = 0; i < 32; i++)
        s[i / 4] += (uint32_t)(x[i] * w[i]);
    memcpy(&r, s, 32);
    return r;
}

/* sum[i] + the products of two words of a and of b; modulo 2^32. */
static inline __m256i emulate_dpwssd(__m256i sum, __m256i a, __m256i b)
{
    uint32_t s[8];
    int16_t x[16];
    int16_t w[16];
    __m256i r;
    memcpy(s, &sum, 32);
    memcpy(x, &a, 32);
    memcpy(w, &b, 32);
    for (int i = 0; i < 16; i++)
        s[i / 2] += (uint32_t)(x[i] * w[i]);
    memcpy(&r, s, 32);
    return r;
}

#define _mm256_dpbusd_avx_epi32 emulate_dpbusd
#define _mm256_dpwssd_avx_epi32 emulate_dpwssd

#endif
