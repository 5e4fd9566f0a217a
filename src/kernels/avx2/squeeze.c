/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes most of which are one value. pext and pdep move the bytes that a mask names, 8 at a time; four such words
 * are taken together, so that from one turn to the next only one population count has to wait for another.
 */
#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/avx2/avx2.h"

#define EVERY_BYTE 0x0101010101010101u

static NW_INLINE size_t count_bits(uint32_t map)
{
    return (size_t)_mm_popcnt_u32(map);
}

/** Moves the codes of `from` whose byte of `same` is 0 together, at `to`. Writes 8 bytes. */
static NW_INLINE void squeeze_8(uint8_t *to, const uint8_t *from, uint64_t same)
{
    uint64_t codes;
    memcpy(&codes, from, 8);
    codes = _pext_u64(codes, ~same);
    memcpy(to, &codes, 8);
}

/** 32 codes to `to`, bits of those that are not `zero` to *map; returns how many. */
static NW_INLINE size_t squeeze_32(uint8_t *to, uint32_t *map, const uint8_t *from, __m256i zero)
{
    const __m256i same = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(const void *)from), zero);
    const __m128i low = _mm256_castsi256_si128(same);
    const __m128i high = _mm256_extracti128_si256(same, 1);
    const uint32_t m = ~(uint32_t)_mm256_movemask_epi8(same);
    *map = m;
    squeeze_8(to, from, (uint64_t)_mm_cvtsi128_si64(low));
    squeeze_8(to + count_bits(m & 0xff), from + 8, (uint64_t)_mm_extract_epi64(low, 1));
    squeeze_8(to + count_bits(m & 0xffff), from + 16, (uint64_t)_mm_cvtsi128_si64(high));
    squeeze_8(to + count_bits(m & 0xffffff), from + 24, (uint64_t)_mm_extract_epi64(high, 1));
    return count_bits(m);
}

size_t nw_squeeze_avx2(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const __m256i zeros = _mm256_set1_epi8((char)zero);
    size_t count = 0;
    size_t i = 0;
    uint32_t m;
    for (; i + 32 <= n; i += 32) {
        count += squeeze_32(to + count, &m, from + i, zeros);
        memcpy(map + i / 8, &m, 4);
    }
    if (i == n)
        return count;
    uint8_t rest[32];
    uint8_t codes[40];
    _mm256_storeu_si256((__m256i *)(void *)rest, zeros);
    memcpy(rest, from + i, n - i);
    const size_t more = squeeze_32(codes, &m, rest, zeros);
    memcpy(map + i / 8, &m, (n - i + 7) / 8);
    memcpy(to + count, codes, more);
    return count + more;
}

/** 8 codes to `to`: from `from` where `map` has a bit, else those of `zeros`. Reads 8 bytes. */
static NW_INLINE void expand_8(uint8_t *to, uint32_t map, const uint8_t *from, uint64_t zeros)
{
    const uint64_t mask = _pdep_u64(map, EVERY_BYTE) * 0xff;
    uint64_t codes;
    memcpy(&codes, from, 8);
    codes = _pdep_u64(codes, mask) | (zeros & ~mask);
    memcpy(to, &codes, 8);
}

void nw_expand_avx2(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const uint64_t zeros = EVERY_BYTE * zero;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        uint32_t m;
        memcpy(&m, map + i / 8, 4);
        expand_8(to + i, m & 0xff, from, zeros);
        expand_8(to + i + 8, m >> 8 & 0xff, from + count_bits(m & 0xff), zeros);
        expand_8(to + i + 16, m >> 16 & 0xff, from + count_bits(m & 0xffff), zeros);
        expand_8(to + i + 24, m >> 24, from + count_bits(m & 0xffffff), zeros);
        from += count_bits(m);
    }
    for (; i + 8 <= n; i += 8) {
        expand_8(to + i, map[i / 8], from, zeros);
        from += count_bits(map[i / 8]);
    }
    if (i == n)
        return;
    uint8_t rest[8];
    expand_8(rest, map[i / 8], from, zeros);
    memcpy(to + i, rest, n - i);
}
