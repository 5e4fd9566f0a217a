/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of narrow codes to bytes and back, 32 codes at a time; for every width eight codes are `bits` bytes.
 *
 * Unpacking: each half of the vector takes 8 codes. vpshufb brings the two bytes that hold code i into 16-bit lane i;
 * multiplying by 2^(8 - o), where o is the code's first bit in them, puts it at bit 8, and a shift to the right at bit
 * 0.
 *
 * Packing: neighbours are joined, a + b * 2^bits, three times: into 16, 32 and 64 bits, of which `bits` bytes count.
 */
#include <immintrin.h>

#include <string.h>

#include "base/compiler.h"
#include "kernels/avx2/avx2.h"

/* What is left of a row when whole vectors would read or write past its end: at most 36 bytes or 144 codes. */
#define TAIL_BYTES 128
#define TAIL_CODES 192

typedef struct unpacker {
    __m256i shuffle, multiplier, mask;
    int32_t bits;
    __m128i shift;
} unpacker;

static unpacker unpacker_of(int32_t bits, int32_t shift)
{
    uint8_t shuffle[16];
    int16_t multiplier[8];
    for (int32_t i = 0; i < 8; i++) {
        const int32_t first = i * bits / 8;
        shuffle[2 * i] = (uint8_t)first;
        shuffle[2 * i + 1] = (uint8_t)(first + 1);
        multiplier[i] = (int16_t)(1 << (8 - i * bits % 8));
    }
    return (unpacker){
        .shuffle = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)shuffle)),
        .multiplier = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)multiplier)),
        .mask = _mm256_set1_epi16((int16_t)((1 << bits) - 1)),
        .bits = bits,
        .shift = _mm_cvtsi32_si128(shift),
    };
}

/** 16 codes in 16-bit lanes: 8 from `from`, 8 from the `bits` bytes behind them. Reads 16 bytes at both places. */
static NW_INLINE __m256i unpack_16(const unpacker *u, const uint8_t *from)
{
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)from);
    const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(from + u->bits));
    const __m256i pairs =
        _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1), u->shuffle);
    const __m256i codes = _mm256_srli_epi16(_mm256_mullo_epi16(pairs, u->multiplier), 8);
    return _mm256_sll_epi16(_mm256_and_si256(codes, u->mask), u->shift);
}

static NW_INLINE __m256i unpack_32(const unpacker *u, const uint8_t *from)
{
    const __m256i first = unpack_16(u, from);
    const __m256i second = unpack_16(u, from + 2 * u->bits);
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(first, second), 0xd8); /* it packs within halves */
}

/**
 * The usual case, codes of 4 bits, 32 at a time as far as there are so many; returns how many. It needs no
 * multiplication: of 16 bytes, each twice in 16 bits, the low nibble and the other.
 */
static NW_INLINE size_t unpack_nibbles(const unpacker *u, uint8_t *to, const uint8_t *from, size_t n)
{
    const __m256i low = _mm256_set1_epi8(15);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i bytes = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(from + i / 2)));
        const __m256i codes = _mm256_and_si256(_mm256_or_si256(bytes, _mm256_slli_epi16(bytes, 4)), low);
        /* at most 8 bits in all: nothing leaves its byte */
        _mm256_storeu_si256((__m256i *)(void *)(to + i), _mm256_sll_epi16(codes, u->shift));
    }
    return i;
}

void nw_unpack_avx2(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift)
{
    const unpacker u = unpacker_of(bits, shift);
    const size_t size = (n * (size_t)bits + 7) / 8;
    const size_t step = 4 * (size_t)bits;
    const size_t reach = 3 * (size_t)bits + 16; /* bytes that 32 codes read */
    size_t i = bits == 4 ? unpack_nibbles(&u, to, from, n) : 0;
    size_t at = i / 8 * (size_t)bits;
    for (; i + 32 <= n && at + reach <= size; i += 32, at += step)
        _mm256_storeu_si256((__m256i *)(void *)(to + i), unpack_32(&u, from + at));
    if (i == n)
        return;
    uint8_t rest[TAIL_BYTES] = {0};
    uint8_t codes[TAIL_CODES];
    memcpy(rest, from + at, size - at);
    for (size_t j = 0; i + j < n; j += 32)
        _mm256_storeu_si256((__m256i *)(void *)(codes + j), unpack_32(&u, rest + j / 8 * (size_t)bits));
    memcpy(to + i, codes, n - i);
}

typedef struct packer {
    __m128i right, to_8;
    __m256i mask, by_2, by_4, gather;
    size_t half; /* bytes of 16 codes */
} packer;

static packer packer_of(int32_t bits, int32_t shift)
{
    uint8_t order[16];
    for (int32_t i = 0; i < 16; i++)
        order[i] = i < 2 * bits ? (uint8_t)(i < bits ? i : 8 + i - bits) : 0x80;
    return (packer){
        .right = _mm_cvtsi32_si128(shift),
        .to_8 = _mm_cvtsi32_si128(4 * bits),
        .mask = _mm256_set1_epi8((char)((1 << bits) - 1)),
        .by_2 = _mm256_set1_epi16((int16_t)(1 | 1 << (8 + bits))),
        .by_4 = _mm256_set1_epi32(1 | 1 << (16 + 2 * bits)),
        .gather = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)order)),
        .half = 2 * (size_t)bits,
    };
}

/** 32 codes to 4 * bits bytes. Each half is written as 16 bytes: the caller has room for half + 16. */
static NW_INLINE void pack_32(const packer *p, uint8_t *to, const uint8_t *from)
{
    const __m256i low_half = _mm256_set1_epi64x(0xffffffff);
    __m256i codes = _mm256_loadu_si256((const __m256i *)(const void *)from);
    codes = _mm256_and_si256(_mm256_srl_epi16(codes, p->right), p->mask);
    const __m256i twos = _mm256_maddubs_epi16(p->by_2, codes);
    const __m256i fours = _mm256_madd_epi16(twos, p->by_4);
    const __m256i upper = _mm256_sll_epi64(_mm256_srli_epi64(fours, 32), p->to_8);
    const __m256i packed = _mm256_shuffle_epi8(_mm256_or_si256(_mm256_and_si256(fours, low_half), upper), p->gather);
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(packed));
    _mm_storeu_si128((__m128i *)(void *)(to + p->half), _mm256_extracti128_si256(packed, 1));
}

/** 32 codes to 16 pairs of nibbles, each in 16 bits. */
static NW_INLINE __m256i join_nibbles(const packer *p, const uint8_t *from)
{
    const __m256i codes = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return _mm256_maddubs_epi16(p->by_2, _mm256_and_si256(_mm256_srl_epi16(codes, p->right), p->mask));
}

/** The usual case, 64 codes of 4 bits at a time, as far as there are so many; returns how many. */
static NW_INLINE size_t pack_nibbles(const packer *p, uint8_t *to, const uint8_t *from, size_t n)
{
    size_t i = 0;
    for (; i + 64 <= n; i += 64) { /* it packs within halves */
        const __m256i packed = _mm256_packus_epi16(join_nibbles(p, from + i), join_nibbles(p, from + i + 32));
        _mm256_storeu_si256((__m256i *)(void *)(to + i / 2), _mm256_permute4x64_epi64(packed, 0xd8));
    }
    return i;
}

void nw_pack_avx2(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift)
{
    const packer p = packer_of(bits, shift);
    const size_t size = (n * (size_t)bits + 7) / 8;
    size_t i = bits == 4 ? pack_nibbles(&p, to, from, n) : 0;
    size_t at = i / 8 * (size_t)bits;
    for (; i + 32 <= n && at + p.half + 16 <= size; i += 32, at += 2 * p.half)
        pack_32(&p, to + at, from + i);
    if (i == n)
        return;
    uint8_t rest[TAIL_CODES] = {0};
    uint8_t row[TAIL_BYTES];
    memcpy(rest, from + i, n - i);
    for (size_t j = 0; i + j < n; j += 32)
        pack_32(&p, row + j / 8 * (size_t)bits, rest + j);
    memcpy(to + at, row, size - at);
}
