/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of codes most of which are one value, 8 at a time: pext and pdep move the bytes that a mask names. */
#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/avx2/avx2.h"

#define EVERY_BYTE 0x0101010101010101u

/** Moves the codes of 8 that are not `zero` together, at `to`; their bits to *map; returns how many. */
static NW_INLINE size_t squeeze_8(uint8_t *to, uint8_t *map, uint64_t codes, __m128i zero)
{
    const __m128i same = _mm_cmpeq_epi8(_mm_cvtsi64_si128((int64_t)codes), zero);
    const uint64_t mask = ~(uint64_t)_mm_cvtsi128_si64(same);
    const uint64_t squeezed = _pext_u64(codes, mask);
    memcpy(to, &squeezed, 8);
    *map = (uint8_t)~_mm_movemask_epi8(same);
    return (size_t)_mm_popcnt_u32(*map);
}

size_t nw_squeeze_avx2(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const __m128i zeros = _mm_set1_epi8((char)zero);
    size_t count = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t codes;
        memcpy(&codes, from + i, 8);
        count += squeeze_8(to + count, map++, codes, zeros);
    }
    if (i == n)
        return count;
    uint64_t codes = EVERY_BYTE * zero;
    memcpy(&codes, from + i, n - i);
    return count + squeeze_8(to + count, map, codes, zeros);
}

void nw_expand_avx2(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const uint64_t zeros = EVERY_BYTE * zero;
    for (size_t i = 0; i < n; i += 8, map++) {
        const uint64_t mask = _pdep_u64(*map, EVERY_BYTE) * 0xff;
        uint64_t codes;
        memcpy(&codes, from, 8);
        codes = _pdep_u64(codes, mask) | (zeros & ~mask);
        memcpy(to + i, &codes, n - i < 8 ? n - i : 8);
        from += _mm_popcnt_u32(*map);
    }
}
