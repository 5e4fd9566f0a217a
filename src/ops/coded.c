/* SPDX-License-Identifier: Apache-2.0 */
/* See coded.h. */
#include "ops/coded.h"

#include <string.h>

#include "base/bits.h"

#define BEHIND 8 /* bytes that squeeze may write and expand may read behind its codes */

/** Scratch: one row of bytes; codes without zeros, or what symbols.h needs; what low bits need (stored.h). */
typedef struct scratch {
    uint8_t *row, *codes, *fine;
} scratch;

static size_t values_of(const nw_stored *s)
{
    return (size_t)s->width * (size_t)s->channels;
}

static size_t lows_of(const nw_stored *s)
{
    return (size_t)s->width * (size_t)s->n_fine;
}

static scratch scratch_of(const nw_stored *s, uint8_t *temporary)
{
    uint8_t *fine = temporary + values_of(s);
    return (scratch){temporary, fine + nw_stored_fine_size(s), fine};
}

size_t nw_coded_temporary(const nw_stored *stored, bool words)
{
    const size_t codes = words ? nw_symbols_temporary(stored->width, stored->channels) : 0;
    const size_t map = values_of(stored) + BEHIND;
    return values_of(stored) + nw_stored_fine_size(stored) + (codes > map ? codes : map);
}

static size_t map_size(const nw_stored *s)
{
    return (values_of(s) + 7) / 8;
}

static size_t count_bits(const uint8_t *map, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, map + i, size - i < 8 ? size - i : 8);
        word -= word >> 1 & 0x5555555555555555u; /* pairs, fours, bytes, their sum */
        word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
        word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
        n += (size_t)(word * 0x0101010101010101u >> 56);
    }
    return n;
}

/** Every code towards the zero point to a multiple of 1 << shift; so it stays within its channel's limits. */
static void drop_low(const nw_coded *coded, uint8_t *restrict to, const uint8_t *restrict from)
{
    const int32_t low = (1 << coded->stored.shift) - 1;
    const uint8_t zero = coded->zero_point;
    const size_t n = values_of(&coded->stored);
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)((from[i] < zero ? from[i] + low : from[i]) & ~low);
}

/* ---- a map and what is not the zero point ---- */

/** Bytes of the row in the slot, or 0: not below `least`, or more than the slot. */
static size_t put_map(const nw_coded *coded, const nw_kernels *kernels, uint8_t *slot, const uint8_t *from,
                      bool with_low, size_t least, const scratch *t)
{
    const nw_stored *s = &coded->stored;
    const size_t n_codes = kernels->squeeze(t->codes, slot, from, values_of(s), coded->zero_point);
    const size_t n_low = with_low ? nw_stored_gather(s, kernels, from, coded->zero_point, t->fine) : 0;
    const size_t codes = nw_bits_row_size(n_codes, s->bits);
    const size_t low = n_low ? nw_bits_row_size(n_low, s->shift) : 0;
    const size_t size = map_size(s) + codes + low;
    if (size >= least || size > coded->slot_size)
        return 0;
    kernels->pack(slot + map_size(s), t->codes, n_codes, s->bits, s->shift);
    if (n_low)
        kernels->pack(slot + map_size(s) + codes, nw_stored_low(s, t->fine), n_low, s->shift, 0);
    return size;
}

/** to[i] = a[i] & b[i]. */
static void both(uint8_t *restrict to, const uint8_t *restrict a, const uint8_t *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = a[i] & b[i];
}

static void take_map(const nw_coded *coded, const nw_kernels *kernels, uint8_t *to, const uint8_t *slot, size_t size,
                     bool with_low, const scratch *t)
{
    const nw_stored *s = &coded->stored;
    const uint8_t *codes = slot + map_size(s);
    /* without low bits what is behind the map are codes, at most 7 of them made of padding */
    const size_t n_codes = with_low ? count_bits(slot, map_size(s)) : (size - map_size(s)) * 8 / (size_t)s->bits;
    const size_t codes_size = nw_bits_row_size(n_codes, s->bits);
    kernels->unpack(t->codes, codes, n_codes, s->bits, s->shift);
    kernels->expand(to, slot, t->codes, values_of(s), coded->zero_point);
    const size_t rest = size - map_size(s) - codes_size;
    if (!with_low || !rest)
        return;
    kernels->unpack(nw_stored_low(s, t->fine), codes + codes_size, rest * 8 / (size_t)s->shift, s->shift, 0);
    both(t->codes, slot, s->fine_map, map_size(s));
    nw_stored_merge(s, kernels, to, t->codes, t->fine);
}

/* ---- words ---- */

static size_t put_words(const nw_coded *coded, const nw_kernels *kernels, uint8_t *slot, const uint8_t *from,
                        bool with_low, size_t least, const scratch *t)
{
    const nw_stored *s = &coded->stored;
    const size_t most = least - 1 < coded->slot_size ? least - 1 : coded->slot_size;
    const size_t head = with_low ? 2 : 0;
    if (most < head)
        return 0;
    const size_t codes = nw_symbols_encode(coded->codes, slot + head, most - head, from, s->width, s->channels, s->bits,
                                           s->shift, (uint8_t)(coded->zero_point >> s->shift), t->codes);
    if (!codes || !with_low)
        return codes;
    if (codes > UINT16_MAX)
        return 0;
    nw_store_le16(slot, (uint16_t)codes);
    nw_stored_gather(s, kernels, from, -1, t->fine);
    const size_t plain = nw_bits_row_size(lows_of(s), s->shift);
    const size_t left = most - head - codes;
    if (!coded->low && plain <= left)
        kernels->pack(slot + head + codes, nw_stored_low(s, t->fine), lows_of(s), s->shift, 0);
    const size_t low = coded->low ? nw_symbols_encode(coded->low, slot + head + codes, left, nw_stored_low(s, t->fine),
                                                      s->width, s->n_fine, s->shift, 0, 0, t->codes)
                                  : (plain <= left ? plain : 0);
    return low ? head + codes + low : 0;
}

static void take_words(const nw_coded *coded, const nw_kernels *kernels, uint8_t *to, const uint8_t *slot, size_t size,
                       bool with_low, const scratch *t)
{
    const nw_stored *s = &coded->stored;
    const size_t head = with_low ? 2 : 0;
    const size_t codes = with_low ? nw_load_le16(slot) : size;
    nw_symbols_decode(coded->codes, to, s->width, s->channels, s->bits, s->shift, slot + head, codes, t->codes);
    if (!with_low)
        return;
    const uint8_t *low = slot + head + codes;
    if (coded->low)
        nw_symbols_decode(coded->low, nw_stored_low(s, t->fine), s->width, s->n_fine, s->shift, 0, low,
                          size - head - codes, t->codes);
    else
        kernels->unpack(nw_stored_low(s, t->fine), low, lows_of(s), s->shift, 0);
    nw_stored_merge(s, kernels, to, s->fine_map, t->fine);
}

/* ---- rows ---- */

static size_t put(const nw_coded *coded, const nw_kernels *kernels, uint8_t *slot, const uint8_t *from, bool with_low,
                  size_t least, const scratch *t)
{
    return coded->codes ? put_words(coded, kernels, slot, from, with_low, least, t)
                        : put_map(coded, kernels, slot, from, with_low, least, t);
}

nw_coded_row nw_coded_pack(const nw_coded *coded, const nw_kernels *kernels, uint8_t *slot, const uint8_t *from,
                           uint8_t *temporary)
{
    const nw_stored *s = &coded->stored;
    const scratch t = scratch_of(s, temporary);
    size_t size = put(coded, kernels, slot, from, s->n_fine > 0, s->row_size, &t);
    if (size)
        return (nw_coded_row)size | NW_CODED_SHORT;
    if (s->row_size <= coded->slot_size) {
        nw_stored_pack(s, kernels, slot, from, temporary);
        return (nw_coded_row)s->row_size;
    }
    drop_low(coded, t.row, from);
    size = put(coded, kernels, slot, t.row, false, s->base_size, &t);
    if (size)
        return (nw_coded_row)size | NW_CODED_SHORT | NW_CODED_DROPPED;
    kernels->pack(slot, t.row, values_of(s), s->bits, s->shift);
    return (nw_coded_row)s->base_size | NW_CODED_DROPPED;
}

void nw_coded_unpack(const nw_coded *coded, const nw_kernels *kernels, uint8_t *to, int32_t pixel_stride,
                     const uint8_t *slot, nw_coded_row row, uint8_t *temporary)
{
    const nw_stored *s = &coded->stored;
    if (!(row & (NW_CODED_SHORT | NW_CODED_DROPPED))) {
        nw_stored_unpack(s, kernels, to, pixel_stride, slot, temporary);
        return;
    }
    const scratch t = scratch_of(s, temporary);
    const bool with_low = s->n_fine > 0 && !(row & NW_CODED_DROPPED);
    const bool apart = pixel_stride != s->channels;
    uint8_t *bytes = apart ? t.row : to;
    if (!(row & NW_CODED_SHORT))
        kernels->unpack(bytes, slot, values_of(s), s->bits, s->shift);
    else if (coded->codes)
        take_words(coded, kernels, bytes, slot, row & NW_CODED_SIZE, with_low, &t);
    else
        take_map(coded, kernels, bytes, slot, row & NW_CODED_SIZE, with_low, &t);
    if (apart)
        nw_stored_spread(s, to, pixel_stride, bytes);
}
