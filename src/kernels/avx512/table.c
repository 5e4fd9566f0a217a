/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of one code through a table: one table for all codes, or one per channel.
 *
 * A look-up of 64 codes takes 23 instructions on the vector ports. With a table per channel, 64 codes of one channel
 * must lie in a vector: blocks of 64 pixels by 16 channels are transposed in registers, looked up and transposed back,
 * which adds 14 instructions for 64 codes. Limit by these counts at three instructions a cycle: 5 codes a cycle, where
 * byte by byte it is 1 (one store). Measured on one Zen 5: 2.0 to 3.7 codes a cycle; pieces of 16 bytes bound the way
 * without 16 channels that lie together.
 */
#include "base/arith.h"
#include "kernels/avx512/requant.h"

#define PIXELS 64
#define CHANNELS 16
#define FEW 16 /* pixels that are not worth a block */

/* table[x] for 32 codes in words: the upper seven bits pick one of the table's 128 words, the lowest bit a byte. */
static NW_INLINE __m512i look_up(__m512i x, const __m512i t[4])
{
    const __m512i word = _mm512_srli_epi16(x, 1);
    const __m512i low = _mm512_permutex2var_epi16(t[0], word, t[1]);
    const __m512i high = _mm512_permutex2var_epi16(t[2], word, t[3]);
    const __m512i pair = _mm512_mask_blend_epi16(_mm512_test_epi16_mask(x, _mm512_set1_epi16(0x80)), low, high);
    const __m512i bits = _mm512_slli_epi16(_mm512_and_si512(x, _mm512_set1_epi16(1)), 3);
    return _mm512_and_si512(_mm512_srlv_epi16(pair, bits), _mm512_set1_epi16(0xff));
}

static NW_INLINE __m512i look_up_bytes(__m512i x, const __m512i t[4])
{
    const __m512i even = look_up(_mm512_and_si512(x, _mm512_set1_epi16(0xff)), t);
    const __m512i odd = look_up(_mm512_srli_epi16(x, 8), t);
    return _mm512_or_si512(even, _mm512_slli_epi16(odd, 8));
}

void nw_table_avx512(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256])
{
    const __m512i t[4] = {_mm512_loadu_si512(table), _mm512_loadu_si512(table + 64), _mm512_loadu_si512(table + 128),
                          _mm512_loadu_si512(table + 192)};
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(y + i, look_up_bytes(_mm512_loadu_si512(x + i), t));
    if (i < n) {
        const __mmask64 mask = low_bits((int32_t)(n - i));
        _mm512_mask_storeu_epi8(y + i, mask, look_up_bytes(_mm512_maskz_loadu_epi8(mask, x + i), t));
    }
}

/*
 * Byte b of lane l of vector v to byte v of lane l of vector b: interleaving halves moves one bit of the number of the
 * vector into that of the byte; four times brings all of them across.
 */
static NW_INLINE void transpose(__m512i v[CHANNELS])
{
#pragma GCC unroll 4
    for (int step = 0; step < 4; step++) {
        __m512i w[CHANNELS];
#pragma GCC unroll 8
        for (int i = 0; i < CHANNELS / 2; i++) {
            w[2 * i] = _mm512_unpacklo_epi8(v[i], v[i + CHANNELS / 2]);
            w[2 * i + 1] = _mm512_unpackhi_epi8(v[i], v[i + CHANNELS / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < CHANNELS; i++)
            v[i] = w[i];
    }
}

static NW_INLINE void store_16(uint8_t *y, __m128i codes, int32_t width)
{
    if (width == CHANNELS)
        _mm_storeu_si128((__m128i *)(void *)y, codes);
    else
        _mm_mask_storeu_epi8(y, (__mmask16)low_bits(width), codes);
}

/* v[i] = table of channel i of v[i], for the first n channels. */
static NW_INLINE void look_up_channels(__m512i v[CHANNELS], const uint8_t *tables, int32_t n)
{
    transpose(v);
    for (int32_t i = 0; i < n; i++, tables += 256) {
        const __m512i t[4] = {_mm512_loadu_si512(tables), _mm512_loadu_si512(tables + 64),
                              _mm512_loadu_si512(tables + 128), _mm512_loadu_si512(tables + 192)};
        v[i] = look_up_bytes(v[i], t);
    }
    transpose(v);
}

/* Channels [c, c + width), width <= 16, of 64 pixels; reads 16 codes of each. */
static NW_INLINE void look_up_block(uint8_t *const y[PIXELS], const uint8_t *const x[PIXELS], int32_t c, int32_t width,
                                    const uint8_t *tables)
{
    __m512i v[CHANNELS];
#pragma GCC unroll 16
    for (int i = 0; i < CHANNELS; i++) {
        v[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)(x[i] + c)));
        v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(const void *)(x[16 + i] + c)), 1);
        v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(const void *)(x[32 + i] + c)), 2);
        v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(const void *)(x[48 + i] + c)), 3);
    }
    look_up_channels(v, tables + 256 * c, width);
#pragma GCC unroll 16
    for (int i = 0; i < CHANNELS; i++) {
        store_16(y[i] + c, _mm512_castsi512_si128(v[i]), width);
        store_16(y[16 + i] + c, _mm512_extracti32x4_epi32(v[i], 1), width);
        store_16(y[32 + i] + c, _mm512_extracti32x4_epi32(v[i], 2), width);
        store_16(y[48 + i] + c, _mm512_extracti32x4_epi32(v[i], 3), width);
    }
}

/* n <= 64 pixels of 16 channels that lie together: a vector has four of them. */
static NW_NOINLINE void look_up_together(uint8_t *y, const uint8_t *x, int32_t n, const uint8_t *tables)
{
    __m512i v[CHANNELS];
#pragma GCC unroll 16
    for (int i = 0; i < CHANNELS; i++)
        v[i] = n == PIXELS ? _mm512_loadu_si512(x + 64 * i)
                           : _mm512_maskz_loadu_epi8(low_bits(16 * (n - 4 * i)), x + 64 * i);
    look_up_channels(v, tables, CHANNELS);
#pragma GCC unroll 16
    for (int i = 0; i < CHANNELS; i++)
        store_codes(y + 64 * i, v[i], 16 * (n - 4 * i));
}

static void look_up_rows_together(const nw_tables_call *call)
{
    for (int32_t row = 0; row < call->height; row++)
        for (int32_t i = 0; i < call->width; i += PIXELS)
            look_up_together(call->y + row * call->y_row + i * CHANNELS, call->x + row * call->x_row + i * CHANNELS,
                             nw_min32(call->width - i, PIXELS), call->tables);
}

/* The pixels of a block, in order through rows; a block with less than 64 has its last pixel several times. */
typedef struct pixels {
    const uint8_t *x[PIXELS];
    uint8_t *y[PIXELS];
} pixels;

/* From pixel (row, column) on; moves both behind the block. */
static NW_INLINE void next_pixels(pixels *p, const nw_tables_call *call, int32_t *row, int32_t *column)
{
    int32_t i = 0;
    while (i < PIXELS && *row < call->height) {
        const int32_t end = nw_min32(PIXELS, i + call->width - *column);
        const uint8_t *x = call->x + *row * call->x_row + *column * call->x_step;
        uint8_t *y = call->y + *row * call->y_row + *column * call->y_step;
        *column += end - i;
        for (; i < end; i++, x += call->x_step, y += call->y_step) {
            p->x[i] = x;
            p->y[i] = y;
        }
        if (*column == call->width) {
            *column = 0;
            (*row)++;
        }
    }
    for (; i < PIXELS; i++) {
        p->x[i] = p->x[i - 1];
        p->y[i] = p->y[i - 1];
    }
}

/* Without a block's 64 pixels: byte by byte. */
static void look_up_few(const nw_tables_call *call)
{
    for (int32_t row = 0; row < call->height; row++)
        for (int32_t i = 0; i < call->width; i++)
            for (int32_t c = 0; c < call->channels; c++)
                call->y[row * call->y_row + i * call->y_step + c] =
                    call->tables[256 * c + call->x[row * call->x_row + i * call->x_step + c]];
}

void nw_tables_avx512(const nw_tables_call *call)
{
    if ((int64_t)call->width * call->height < FEW) {
        look_up_few(call);
        return;
    }
    if (call->channels == CHANNELS && call->x_step == CHANNELS && call->y_step == CHANNELS &&
        nw_round_up(call->width, PIXELS) <= call->width + call->width / 2) {
        look_up_rows_together(call);
        return;
    }
    const int32_t whole = call->channels / CHANNELS * CHANNELS;
    for (int32_t row = 0, column = 0; row < call->height;) {
        pixels p;
        next_pixels(&p, call, &row, &column);
        for (int32_t c = 0; c < whole; c += CHANNELS)
            look_up_block(p.y, p.x, c, CHANNELS, call->tables);
        if (whole < call->channels)
            look_up_block(p.y, p.x, whole, call->channels - whole, call->tables);
    }
}
