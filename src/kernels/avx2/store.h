/* SPDX-License-Identifier: Apache-2.0 */
/* Writing part of a vector, and nothing behind it. */
#ifndef NARROW_KERNELS_AVX2_STORE_H
#define NARROW_KERNELS_AVX2_STORE_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

/** Writes the first n of 16 bytes. */
static NW_INLINE void store_bytes(uint8_t *y, __m128i codes, int32_t n)
{
    if (n == 16) {
        _mm_storeu_si128((__m128i *)(void *)y, codes);
        return;
    }
    uint64_t bytes = (uint64_t)_mm_cvtsi128_si64(codes);
    if (n & 8) {
        memcpy(y, &bytes, 8);
        bytes = (uint64_t)_mm_extract_epi64(codes, 1);
        y += 8;
    }
    if (n & 4) {
        memcpy(y, &bytes, 4);
        bytes >>= 32;
        y += 4;
    }
    for (int32_t i = 0; i < (n & 3); i++, bytes >>= 8)
        y[i] = (uint8_t)bytes;
}

/** Writes the first n of 8 reals, 1 to 8. Masked stores cost as much as 8 ordinary ones on some CPUs. */
static NW_INLINE void store_reals(float *y, __m256 v, int32_t n)
{
    if (n == 8) {
        _mm256_storeu_ps(y, v);
        return;
    }
    __m128 rest = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(y, rest);
        rest = _mm256_extractf128_ps(v, 1);
        y += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)y, rest);
        rest = _mm_movehl_ps(rest, rest);
        y += 2;
    }
    if (n & 1)
        _mm_store_ss(y, rest);
}

#endif
