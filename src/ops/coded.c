/* SPDX-License-Identifier: Apache-2.0 */
/* See coded.h. */
#include "ops/coded.h"

#include <string.h>

#include "base/bits.h"

#define BEHIND 8 /* bytes that squeeze may write and expand may read behind its codes */

/** Scratch: codes without zeros, low bits, one row of bytes. */
typedef struct scratch {
    uint8_t *codes, *low, *row;
} scratch;

static size_t values_of(const nw_stored *s)
{
    return (size_t)s->width * (size_t)s->channels;
}

static scratch scratch_of(const nw_stored *s, uint8_t *temporary)
{
    uint8_t *low = temporary + values_of(s) + BEHIND;
    return (scratch){temporary, low, low + (size_t)s->width * (size_t)s->n_fine + BEHIND};
}

size_t nw_coded_temporary(const nw_stored *stored)
{
    return 2 * values_of(stored) + (size_t)stored->width * (size_t)stored->n_fine + 2 * BEHIND;
}

/** Low bits of the fine channels' codes that are not the zero point; how many. */
static size_t gather_low(const nw_coded *coded, uint8_t *low, const uint8_t *from)
{
    const nw_stored *s = &coded->stored;
    size_t n = 0;
    for (int32_t i = 0; i < s->width; i++, from += s->channels)
        for (int32_t j = 0; j < s->n_fine; j++) {
            low[n] = from[s->fine[j]];
            n += from[s->fine[j]] != coded->zero_point;
        }
    return n;
}

/** The way back; `map` says which codes have low bits. */
static void add_low(const nw_stored *s, uint8_t *to, const uint8_t *map, const uint8_t *low)
{
    size_t pixel = 0;
    for (int32_t i = 0; i < s->width; i++, pixel += (size_t)s->channels)
        for (int32_t j = 0; j < s->n_fine; j++) {
            const size_t at = pixel + (size_t)s->fine[j];
            const unsigned set = map[at / 8] >> (at % 8) & 1u;
            to[at] |= (uint8_t)(*low & (0u - set));
            low += set;
        }
}

/** Every code towards the zero point to a multiple of 1 << shift; so it stays within its channel's limits. */
static void drop_low(const nw_coded *coded, uint8_t *to, const uint8_t *from)
{
    const int32_t low = (1 << coded->stored.shift) - 1;
    for (size_t i = 0; i < values_of(&coded->stored); i++)
        to[i] = (uint8_t)((from[i] < coded->zero_point ? from[i] + low : from[i]) & ~low);
}

static size_t map_size(const nw_stored *s)
{
    return (values_of(s) + 7) / 8;
}

/** Codes the row if that is shorter than `plain` and fits; 0 if not. The map lies in the slot already. */
static size_t put(const nw_coded *coded, const nw_kernels *kernels, uint8_t *slot, const scratch *t, size_t n_codes,
                  size_t n_low, size_t plain)
{
    const nw_stored *s = &coded->stored;
    const size_t codes = nw_bits_row_size(n_codes, s->bits);
    const size_t low = n_low ? nw_bits_row_size(n_low, s->shift) : 0;
    const size_t size = map_size(s) + codes + low;
    if (size >= plain || size > coded->slot_size)
        return 0;
    kernels->pack(slot + map_size(s), t->codes, n_codes, s->bits, s->shift);
    if (n_low)
        kernels->pack(slot + map_size(s) + codes, t->low, n_low, s->shift, 0);
    return size;
}

nw_coded_row nw_coded_pack(const nw_coded *coded, const nw_kernels *kernels, uint8_t *slot, const uint8_t *from,
                           uint8_t *temporary)
{
    const nw_stored *s = &coded->stored;
    const size_t n = values_of(s);
    const scratch t = scratch_of(s, temporary);
    size_t n_codes = kernels->squeeze(t.codes, slot, from, n, coded->zero_point);
    const size_t n_low = s->n_fine ? gather_low(coded, t.low, from) : 0;
    size_t size = put(coded, kernels, slot, &t, n_codes, n_low, s->row_size);
    if (size)
        return (nw_coded_row)size | NW_CODED_MAP;
    if (s->row_size <= coded->slot_size) {
        nw_stored_pack(s, kernels, slot, from, temporary);
        return (nw_coded_row)s->row_size;
    }
    drop_low(coded, t.row, from);
    n_codes = kernels->squeeze(t.codes, slot, t.row, n, coded->zero_point);
    size = put(coded, kernels, slot, &t, n_codes, 0, s->base_size);
    if (size)
        return (nw_coded_row)size | NW_CODED_MAP | NW_CODED_DROPPED;
    kernels->pack(slot, t.row, n, s->bits, s->shift);
    return (nw_coded_row)s->base_size | NW_CODED_DROPPED;
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

static void unpack_map(const nw_coded *coded, const nw_kernels *kernels, uint8_t *to, const uint8_t *slot,
                       nw_coded_row row, const scratch *t)
{
    const nw_stored *s = &coded->stored;
    const uint8_t *codes = slot + map_size(s);
    const size_t n_codes = count_bits(slot, map_size(s));
    const size_t size = nw_bits_row_size(n_codes, s->bits);
    kernels->unpack(t->codes, codes, n_codes, s->bits, s->shift);
    kernels->expand(to, slot, t->codes, values_of(s), coded->zero_point);
    const size_t rest = (row & NW_CODED_SIZE) - map_size(s) - size;
    if (!rest)
        return;
    kernels->unpack(t->low, codes + size, rest * 8 / (size_t)s->shift, s->shift, 0);
    add_low(s, to, slot, t->low);
}

void nw_coded_unpack(const nw_coded *coded, const nw_kernels *kernels, uint8_t *to, int32_t pixel_stride,
                     const uint8_t *slot, nw_coded_row row, uint8_t *temporary)
{
    const nw_stored *s = &coded->stored;
    if (!(row & (NW_CODED_MAP | NW_CODED_DROPPED))) {
        nw_stored_unpack(s, kernels, to, pixel_stride, slot, temporary);
        return;
    }
    const scratch t = scratch_of(s, temporary);
    const bool apart = pixel_stride != s->channels;
    uint8_t *bytes = apart ? t.row : to;
    if (row & NW_CODED_MAP)
        unpack_map(coded, kernels, bytes, slot, row, &t);
    else
        kernels->unpack(bytes, slot, values_of(s), s->bits, s->shift);
    for (int32_t i = 0; apart && i < s->width; i++)
        memcpy(to + (ptrdiff_t)i * pixel_stride, bytes + (ptrdiff_t)i * s->channels, (size_t)s->channels);
}
