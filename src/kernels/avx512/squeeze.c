/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes most of which are one value, 64 at a time: with VBMI2 an instruction moves the bytes that a mask names,
 * and the mask is the map. Not every CPU with AVX-512 has it: init.c asks.
 */
#include <string.h>

#include "base/compiler.h"
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/intrinsics.h"

/** The lowest n bits, n <= 64. */
static NW_INLINE __mmask64 lowest(size_t n)
{
    return n < 64 ? ((__mmask64)1 << n) - 1 : ~(__mmask64)0;
}

static NW_INLINE size_t count_bits(uint64_t map)
{
    return (size_t)__builtin_popcountll(map);
}

size_t nw_squeeze_avx512(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const __m512i zeros = _mm512_set1_epi8((char)zero);
    size_t count = 0;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) { /* whole stores: count <= i, so they end within n */
        const __m512i codes = _mm512_loadu_si512(from + i);
        const uint64_t m = _mm512_cmpneq_epi8_mask(codes, zeros);
        _mm512_storeu_si512(to + count, _mm512_maskz_compress_epi8(m, codes));
        memcpy(map + i / 8, &m, 8);
        count += count_bits(m);
    }
    if (i == n)
        return count;
    const __m512i codes = _mm512_maskz_loadu_epi8(lowest(n - i), from + i);
    const uint64_t m = _mm512_cmpneq_epi8_mask(codes, zeros) & lowest(n - i);
    _mm512_mask_storeu_epi8(to + count, lowest(count_bits(m)), _mm512_maskz_compress_epi8(m, codes));
    memcpy(map + i / 8, &m, (n - i + 7) / 8);
    return count + count_bits(m);
}

void nw_expand_avx512(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const __m512i zeros = _mm512_set1_epi8((char)zero);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t m;
        memcpy(&m, map + i / 8, 8);
        const __m512i codes = _mm512_maskz_loadu_epi8(lowest(count_bits(m)), from);
        _mm512_storeu_si512(to + i, _mm512_mask_expand_epi8(zeros, m, codes));
        from += count_bits(m);
    }
    if (i == n)
        return;
    uint64_t m = 0;
    memcpy(&m, map + i / 8, (n - i + 7) / 8);
    const __m512i codes = _mm512_maskz_loadu_epi8(lowest(count_bits(m)), from);
    _mm512_mask_storeu_epi8(to + i, lowest(n - i), _mm512_mask_expand_epi8(zeros, m, codes));
}
