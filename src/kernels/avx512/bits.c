/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes of 4 bits, the usual width, to bytes and back, 64 at a time. Other widths, and what is left of a row,
 * are AVX2's (avx2/bits.c). Limit: a load and a store for 64 codes; the rest is 4 or 5 instructions.
 */
#include "base/compiler.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/intrinsics.h"

void nw_unpack_avx512(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m128i left = _mm_cvtsi32_si128(shift);
    size_t i = 0;
    for (; bits == 4 && i + 64 <= n; i += 64) { /* each byte twice in 16 bits: its low nibble, and the other */
        const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(from + i / 2));
        const __m512i twice = _mm512_cvtepu8_epi16(bytes);
        const __m512i codes = _mm512_and_si512(_mm512_or_si512(twice, _mm512_slli_epi16(twice, 4)), low);
        _mm512_storeu_si512(to + i, _mm512_sll_epi16(codes, left)); /* at most 8 bits in all: nothing leaves its byte */
    }
    if (i < n)
        nw_unpack_avx2(to + i, from + i / 2, n - i, bits, shift);
}

void nw_pack_avx512(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i by = _mm512_set1_epi16(1 | 16 << 8); /* neighbours a, b: a + 16 b */
    const __m128i right = _mm_cvtsi32_si128(shift);
    size_t i = 0;
    for (; bits == 4 && i + 64 <= n; i += 64) {
        const __m512i codes = _mm512_and_si512(_mm512_srl_epi16(_mm512_loadu_si512(from + i), right), low);
        const __m256i packed = _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(by, codes));
        _mm256_storeu_si256((__m256i *)(void *)(to + i / 2), packed);
    }
    if (i < n)
        nw_pack_avx2(to + i / 2, from + i, n - i, bits, shift);
}
