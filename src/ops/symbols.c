/* SPDX-License-Identifier: Apache-2.0 */
/* See symbols.h. Scratch: the symbols, then four streams (encoding) or the block with room around it (decoding). */
#include "ops/symbols.h"

#include <string.h>

#include "base/bits.h"

#define STREAMS 4
#define AROUND 16     /* bytes of room before and behind a block: decoders read whole words */
#define AT_ONCE 5     /* symbols that fit into what a refilled word surely holds: 56 bits */
#define EVERY_BYTE 0x0101010101010101u

void nw_symbols_init(nw_symbols *symbols, const uint8_t *lengths, int32_t bits)
{
    const size_t n = (size_t)1 << bits;
    nw_prefix_code_words(symbols->word, lengths, n);
    for (size_t i = 0; i < n; i++) {
        const unsigned length = lengths[i];
        for (size_t at = symbols->word[i]; at < 1u << NW_PREFIX_LONGEST; at += (size_t)1 << length)
            symbols->symbol[at] = (uint16_t)(length | i << 8);
        symbols->word[i] = (uint16_t)(symbols->word[i] | length << 12);
    }
}

/** Bytes that the words of n symbols may take, and that storing whole words may touch behind them. */
static size_t stream_room(size_t n)
{
    return (n * NW_PREFIX_LONGEST + 7) / 8 + 8;
}

size_t nw_symbols_temporary(int32_t width, int32_t channels)
{
    const size_t n = (size_t)(width + 1) * (size_t)channels;
    return n + 8 + STREAMS * stream_room((n + STREAMS - 1) / STREAMS) + 2 * AROUND;
}

/* ---- codes to symbols and back, eight at a time ---- */

static NW_INLINE uint64_t load(const uint8_t *from, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, from, n);
    return word;
}

/** to[i] = a[i] + (b[i] << bits) of the codes at `a` and, unless it is NULL, `b`. */
static NW_INLINE void join(uint8_t *to, const uint8_t *a, const uint8_t *b, size_t n, int32_t bits, int32_t shift)
{
    const uint64_t mask = EVERY_BYTE * ((1u << bits) - 1u);
    for (size_t i = 0; i < n; i += 8) {
        const size_t m = n - i < 8 ? n - i : 8;
        uint64_t word = m == 8 ? load(a + i, 8) >> shift & mask : load(a + i, m) >> shift & mask;
        if (b)
            word |= (m == 8 ? load(b + i, 8) >> shift & mask : load(b + i, m) >> shift & mask) << bits;
        if (m == 8)
            memcpy(to + i, &word, 8);
        else
            memcpy(to + i, &word, m);
    }
}

/** The codes that lie at bit `first` of n symbols. */
static NW_INLINE void part(uint8_t *to, const uint8_t *symbols, size_t n, int32_t first, int32_t bits, int32_t shift)
{
    const uint64_t mask = EVERY_BYTE * ((1u << bits) - 1u);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint64_t word = (load(symbols + i, 8) >> first & mask) << shift;
        memcpy(to + i, &word, 8);
    }
    for (; i < n; i++)
        to[i] = (uint8_t)((symbols[i] >> first & mask) << shift);
}

static void join_row(uint8_t *symbols, const uint8_t *from, int32_t width, size_t channels, int32_t bits, int32_t shift,
                     uint8_t zero)
{
    if (nw_symbol_bits(bits) == bits) {
        join(symbols, from, NULL, (size_t)width * channels, bits, shift);
        return;
    }
    for (int32_t i = 0; i + 2 <= width; i += 2, symbols += channels, from += 2 * channels)
        join(symbols, from, from + channels, channels, bits, shift);
    if (width % 2 == 0)
        return;
    join(symbols, from, NULL, channels, bits, shift);
    for (size_t c = 0; c < channels; c++)
        symbols[c] = (uint8_t)(symbols[c] | zero << bits);
}

static void part_row(uint8_t *to, const uint8_t *symbols, int32_t width, size_t channels, int32_t bits, int32_t shift)
{
    if (nw_symbol_bits(bits) == bits) {
        part(to, symbols, (size_t)width * channels, 0, bits, shift);
        return;
    }
    for (int32_t i = 0; i < width; i += 2, symbols += channels, to += 2 * channels) {
        part(to, symbols, channels, 0, bits, shift);
        if (i + 1 < width)
            part(to + channels, symbols, channels, bits, bits, shift);
    }
}

/* ---- encoding ---- */

/** Bits that wait to be written. */
typedef struct pen {
    uint64_t bits;
    unsigned n;
    uint8_t *to;
} pen;

static NW_INLINE void write_word(pen *p, unsigned word)
{
    p->bits |= (uint64_t)(word & 0xfff) << p->n;
    p->n += word >> 12;
}

/** Whole bytes; up to 7 bits wait on. */
static NW_INLINE void flush(pen *p)
{
    nw_store_le64(p->to, p->bits);
    p->to += p->n / 8;
    p->bits >>= p->n & ~7u;
    p->n &= 7;
}

/** Words of n symbols; returns their bytes. Five words of 11 bits behind 7 waiting ones are 62. */
static size_t write_stream(const nw_symbols *s, uint8_t *to, const uint8_t *symbols, size_t n)
{
    pen p = {.to = to};
    size_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        for (size_t j = 0; j < AT_ONCE; j++)
            write_word(&p, s->word[symbols[i + j]]);
        flush(&p);
    }
    for (; i < n; i++)
        write_word(&p, s->word[symbols[i]]);
    nw_store_le64(p.to, p.bits);
    return (size_t)(p.to - to) + (p.n + 7) / 8;
}

static void copy_backwards(uint8_t *to, const uint8_t *from, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint64_t word = __builtin_bswap64(load(from + n - i - 8, 8));
        memcpy(to + i, &word, 8);
    }
    for (; i < n; i++)
        to[i] = from[n - 1 - i];
}

static size_t begin_of(size_t n, size_t q)
{
    return n * q / STREAMS;
}

size_t nw_symbols_encode(const nw_symbols *symbols, uint8_t *to, size_t most, const uint8_t *from, int32_t width,
                         int32_t channels, int32_t bits, int32_t shift, uint8_t zero, uint8_t *temporary)
{
    const size_t n = nw_symbol_count(width, channels, bits);
    const size_t room = stream_room((n + STREAMS - 1) / STREAMS);
    uint8_t *streams = temporary + n + 8;
    size_t size[STREAMS];
    join_row(temporary, from, width, (size_t)channels, bits, shift, zero);
    for (size_t q = 0; q < STREAMS; q++)
        size[q] =
            write_stream(symbols, streams + q * room, temporary + begin_of(n, q), begin_of(n, q + 1) - begin_of(n, q));
    const size_t total = 2 + size[0] + size[1] + size[2] + size[3];
    if (total > most || size[0] + size[1] > UINT16_MAX)
        return 0;
    nw_store_le16(to, (uint16_t)(size[0] + size[1]));
    to += 2;
    for (size_t q = 0; q < STREAMS; to += size[q++])
        if (q % 2)
            copy_backwards(to, streams + q * room, size[q]);
        else
            memcpy(to, streams + q * room, size[q]);
    return total;
}

/* ---- decoding ---- */

/** nw_load_le64 in one load: compilers do not see it in the middle of much else. */
static NW_INLINE uint64_t load_le(const uint8_t *from)
{
    const uint64_t word = load(from, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

/** The next bits of a stream, lowest first; 56 of them at least when it was just refilled. */
typedef struct stream {
    uint64_t bits;
    unsigned n;
    const uint8_t *at; /* the next byte; of a backward one the byte behind that */
    uint8_t *to;
} stream;

static NW_INLINE void refill(stream *s, bool backward)
{
    const uint64_t word = backward ? __builtin_bswap64(load_le(s->at - 8)) : load_le(s->at);
    const unsigned taken = (63 - s->n) / 8;
    s->bits |= word << s->n;
    s->at += backward ? -(ptrdiff_t)taken : (ptrdiff_t)taken;
    s->n += 8 * taken;
}

/** Symbol j behind s->to, without moving on; the length of its word is added to the low byte of *used. */
static NW_INLINE void read_symbol(stream *s, const uint16_t *table, size_t j, unsigned *used)
{
    const unsigned entry = table[s->bits & ((1u << NW_PREFIX_LONGEST) - 1u)];
    s->to[j] = (uint8_t)(entry >> 8);
    s->bits >>= entry & 63;
    *used += entry;
}

static NW_INLINE void move_on(stream *s, unsigned used)
{
    s->n -= used & 0xff;
    s->to += AT_ONCE;
}

/** n symbols of each stream, rounded down to AT_ONCE, and the rest of each. */
static void read_streams(const uint16_t *table, stream s[STREAMS], size_t n, const uint8_t *const end[STREAMS])
{
    stream a = s[0];
    stream b = s[1];
    stream c = s[2];
    stream d = s[3];
    for (; n >= AT_ONCE; n -= AT_ONCE) {
        unsigned used[STREAMS] = {0};
        refill(&a, false);
        refill(&b, true);
        refill(&c, false);
        refill(&d, true);
        for (size_t j = 0; j < AT_ONCE; j++) {
            read_symbol(&a, table, j, &used[0]);
            read_symbol(&b, table, j, &used[1]);
            read_symbol(&c, table, j, &used[2]);
            read_symbol(&d, table, j, &used[3]);
        }
        move_on(&a, used[0]);
        move_on(&b, used[1]);
        move_on(&c, used[2]);
        move_on(&d, used[3]);
    }
    s[0] = a;
    s[1] = b;
    s[2] = c;
    s[3] = d;
    for (int q = 0; q < STREAMS; q++) {
        unsigned used = 0;
        refill(&s[q], q % 2);
        for (; s[q].to < end[q]; s[q].to++)
            read_symbol(&s[q], table, 0, &used);
    }
}

void nw_symbols_decode(const nw_symbols *symbols, uint8_t *to, int32_t width, int32_t channels, int32_t bits,
                       int32_t shift, const uint8_t *from, size_t size, uint8_t *temporary)
{
    const size_t n = nw_symbol_count(width, channels, bits);
    uint8_t *block = temporary + n + 8 + AROUND;
    memcpy(block, from, size);
    const uint8_t *first = block + 2;
    const uint8_t *middle = first + nw_load_le16(block);
    const uint8_t *const starts[STREAMS] = {first, middle, middle, block + size};
    const uint8_t *end[STREAMS];
    stream streams[STREAMS];
    for (size_t q = 0; q < STREAMS; q++) {
        streams[q] = (stream){.at = starts[q], .to = temporary + begin_of(n, q)};
        end[q] = temporary + begin_of(n, q + 1);
    }
    read_streams(symbols->symbol, streams, n / STREAMS, end);
    part_row(to, temporary, width, (size_t)channels, bits, shift);
}
