/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes most of which are one value. A shuffle moves the bytes that a mask names, 8 together: in which order is
 * looked up by the mask, 2 kB for each direction. 32 codes are taken at once, so that from one turn to the next only
 * population counts have to wait for each other.
 *
 * Limit: a load or store of 8 codes and the load of their order, 4 cycles for 32 codes at two a cycle. Came out (Zen 5,
 * 45 % of the codes left): 8 squeezing, whose stores overlap, and 6 expanding. With pext and pdep it was 12 and 15.
 */
#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/avx2/avx2.h"

/* Byte i of a word. Bits of m below bit i; whether m has bit i. */
#define BYTE(value, i) ((uint64_t)(value) << (8 * (i)))
#define BIT(m, i) ((m) >> (i) & 1)
#define BELOW(m, i)                                                                                              \
    (((i) > 0) * BIT(m, 0) + ((i) > 1) * BIT(m, 1) + ((i) > 2) * BIT(m, 2) + ((i) > 3) * BIT(m, 3) +             \
     ((i) > 4) * BIT(m, 4) + ((i) > 5) * BIT(m, 5) + ((i) > 6) * BIT(m, 6))
#define ABSENT 0x80 /* the shuffle makes it 0 */

/* Where code i goes: to the place that as many come before; where what lies at i comes from. */
#define GOES(m, i) (BIT(m, i) * BYTE(i, BELOW(m, i)))
#define COMES(m, i) BYTE(BIT(m, i) ? BELOW(m, i) : ABSENT, i)
#define ALL(f, m) (f(m, 0) | f(m, 1) | f(m, 2) | f(m, 3) | f(m, 4) | f(m, 5) | f(m, 6) | f(m, 7))
#define FOUR(f, m) ALL(f, m), ALL(f, (m) + 1), ALL(f, (m) + 2), ALL(f, (m) + 3)
#define SIXTEEN(f, m) FOUR(f, m), FOUR(f, (m) + 4), FOUR(f, (m) + 8), FOUR(f, (m) + 12)
#define SIXTY_FOUR(f, m) SIXTEEN(f, m), SIXTEEN(f, (m) + 16), SIXTEEN(f, (m) + 32), SIXTEEN(f, (m) + 48)
#define EVERY_MASK(f) {SIXTY_FOUR(f, 0u), SIXTY_FOUR(f, 64u), SIXTY_FOUR(f, 128u), SIXTY_FOUR(f, 192u)}

static const uint64_t goes[256] = EVERY_MASK(GOES);
static const uint64_t comes[256] = EVERY_MASK(COMES);

static NW_INLINE size_t count_bits(uint32_t map)
{
    return (size_t)_mm_popcnt_u32(map);
}

static NW_INLINE long long load_8(const uint8_t *from)
{
    long long word;
    memcpy(&word, from, 8);
    return word;
}

/** The orders of four times 8 codes; the second 8 of a half come from, or lie in, its upper bytes. */
static NW_INLINE __m256i order_of(const uint64_t table[256], uint32_t map)
{
    const __m256i upper = _mm256_set_epi64x(0x0808080808080808, 0, 0x0808080808080808, 0);
    return _mm256_or_si256(_mm256_set_epi64x((long long)table[map >> 24], (long long)table[map >> 16 & 0xff],
                                             (long long)table[map >> 8 & 0xff], (long long)table[map & 0xff]), upper);
}

/** 32 codes to `to`, bits of those that are not `zero` to *map; returns how many. Writes 8 bytes more. */
static NW_INLINE size_t squeeze_32(uint8_t *to, uint32_t *map, const uint8_t *from, __m256i zero)
{
    const __m256i codes = _mm256_loadu_si256((const __m256i *)(const void *)from);
    const uint32_t m = ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(codes, zero));
    const size_t first = count_bits(m & 0xff);
    const size_t second = first + count_bits(m >> 8 & 0xff);
    const size_t third = second + count_bits(m >> 16 & 0xff);
    const __m256i squeezed = _mm256_shuffle_epi8(codes, order_of(goes, m));
    const __m128 low = _mm_castsi128_ps(_mm256_castsi256_si128(squeezed));
    const __m128 high = _mm_castsi128_ps(_mm256_extracti128_si256(squeezed, 1));
    _mm_storel_pi((__m64 *)(void *)to, low);
    _mm_storeh_pi((__m64 *)(void *)(to + first), low);
    _mm_storel_pi((__m64 *)(void *)(to + second), high);
    _mm_storeh_pi((__m64 *)(void *)(to + third), high);
    *map = m;
    return third + count_bits(m >> 24);
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

/** 32 codes: from `from` where `map` has a bit, else those of `zeros`. Reads 8 bytes more. */
static NW_INLINE __m256i expand_32(uint32_t map, const uint8_t *from, __m256i zeros)
{
    const uint8_t *first = from + count_bits(map & 0xff);
    const uint8_t *second = from + count_bits(map & 0xffff);
    const uint8_t *third = from + count_bits(map & 0xffffff);
    const __m256i codes = _mm256_set_epi64x(load_8(third), load_8(second), load_8(first), load_8(from));
    const __m256i order = order_of(comes, map);
    return _mm256_blendv_epi8(_mm256_shuffle_epi8(codes, order), zeros, order);
}

void nw_expand_avx2(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const __m256i zeros = _mm256_set1_epi8((char)zero);
    size_t i = 0;
    uint32_t m = 0;
    for (; i + 32 <= n; i += 32) {
        memcpy(&m, map + i / 8, 4);
        _mm256_storeu_si256((__m256i *)(void *)(to + i), expand_32(m, from, zeros));
        from += count_bits(m);
    }
    if (i == n)
        return;
    uint8_t rest[32];
    m = 0;
    memcpy(&m, map + i / 8, (n - i + 7) / 8);
    _mm256_storeu_si256((__m256i *)(void *)rest, expand_32(m, from, zeros));
    memcpy(to + i, rest, n - i);
}
