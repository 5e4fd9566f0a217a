/* SPDX-License-Identifier: Apache-2.0 */
/* See stored.h. */
#include "ops/stored.h"

#include <string.h>

#include "base/bits.h"
#include "base/compiler.h"
#include "base/pixel.h"

#define BEHIND 8 /* bytes that squeeze may write and expand may read behind its codes */

static size_t values_of(const nw_stored *s)
{
    return (size_t)s->width * (size_t)s->channels;
}

static size_t map_size(const nw_stored *s)
{
    return (values_of(s) + 7) / 8;
}

/** Which channels are fine, as bytes of a pixel and as bits of a row. */
static void mark_fine(nw_stored *s, const uint8_t *channel_shift, nw_arena *arena)
{
    uint8_t *mask = nw_arena_take(arena, (size_t)s->channels);
    uint8_t *map = nw_arena_take(arena, map_size(s));
    if (!mask || !map)
        return;
    memset(map, 0, map_size(s));
    for (int32_t c = 0; c < s->channels; c++)
        mask[c] = channel_shift[c] < s->shift ? 0xff : 0;
    for (size_t i = 0; i < values_of(s); i++)
        map[i / 8] |= (uint8_t)((mask[i % (size_t)s->channels] & 1u) << (i % 8));
    s->fine_mask = mask;
    s->fine_map = map;
}

bool nw_stored_init(nw_stored *stored, int32_t width, int32_t channels, int32_t bits, const uint8_t *shift,
                    nw_arena *arena)
{
    int64_t pixel_bits;
    nw_stored s = {.width = width, .channels = channels};
    s.shift = nw_pixel_shift(channels, bits, shift, &pixel_bits);
    s.bits = bits - s.shift;
    s.n_fine = nw_pixel_fine(channels, shift, s.shift);
    s.base_size = nw_bits_row_size((size_t)width * (size_t)channels, s.bits);
    s.row_size = s.base_size + (s.n_fine ? nw_bits_row_size((size_t)width * (size_t)s.n_fine, s.shift) : 0);
    if (pixel_bits >= 8 * (int64_t)channels || s.row_size >= (size_t)width * (size_t)channels)
        return false;
    if (s.n_fine)
        mark_fine(&s, shift, arena);
    *stored = s;
    return true;
}

/* Scratch: a row of bytes, low bits with the room that squeeze wants, a map. */
size_t nw_stored_fine_size(const nw_stored *s)
{
    return s->n_fine ? 2 * values_of(s) + BEHIND + map_size(s) : 0;
}

size_t nw_stored_temporary(const nw_stored *stored, bool apart)
{
    return (apart ? values_of(stored) : 0) + nw_stored_fine_size(stored);
}

uint8_t *nw_stored_low(const nw_stored *stored, uint8_t *temporary)
{
    return temporary + values_of(stored);
}

/**
 * Codes of fine channels with a bit that no low one is, so that they are not 0, and 0 for all others: what squeeze
 * leaves out. `zero` counts as one of the others if `except` says so.
 */
static NW_INLINE void mark(const nw_stored *s, uint8_t *restrict to, const uint8_t *restrict from, uint8_t zero,
                           bool except)
{
    const uint8_t *restrict mask = s->fine_mask; /* and the sizes: bytes that are written might be theirs */
    const size_t channels = (size_t)s->channels;
    const size_t n = values_of(s);
    for (size_t at = 0; at < n; at += channels)
        for (size_t c = 0; c < channels; c++) {
            const uint8_t marked = (uint8_t)((from[at + c] | 0x80) & mask[c]);
            to[at + c] = except && from[at + c] == zero ? 0 : marked;
        }
}

/** to[i] |= low[i]. */
static void add(uint8_t *restrict to, const uint8_t *restrict low, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] |= low[i];
}

size_t nw_stored_gather(const nw_stored *s, const nw_kernels *kernels, const uint8_t *from, int32_t zero,
                        uint8_t *temporary)
{
    if (zero < 0)
        mark(s, temporary, from, 0, false);
    else
        mark(s, temporary, from, (uint8_t)zero, true);
    uint8_t *low = nw_stored_low(s, temporary);
    return kernels->squeeze(low, low + values_of(s) + BEHIND, temporary, values_of(s), 0);
}

void nw_stored_merge(const nw_stored *s, const nw_kernels *kernels, uint8_t *to, const uint8_t *map, uint8_t *temporary)
{
    kernels->expand(temporary, map, nw_stored_low(s, temporary), values_of(s), 0);
    add(to, temporary, values_of(s));
}

void nw_stored_spread(const nw_stored *s, uint8_t *to, int32_t pixel_stride, const uint8_t *row)
{
    for (int32_t i = 0; i < s->width; i++)
        memcpy(to + (ptrdiff_t)i * pixel_stride, row + (ptrdiff_t)i * s->channels, (size_t)s->channels);
}

void nw_stored_unpack(const nw_stored *stored, const nw_kernels *kernels, uint8_t *to, int32_t pixel_stride,
                      const uint8_t *row, uint8_t *temporary)
{
    const bool apart = pixel_stride != stored->channels; /* one of several pictures side by side */
    uint8_t *bytes = apart ? temporary : to;
    uint8_t *rest = apart ? temporary + values_of(stored) : temporary;
    kernels->unpack(bytes, row, values_of(stored), stored->bits, stored->shift);
    if (stored->n_fine) {
        kernels->unpack(nw_stored_low(stored, rest), row + stored->base_size,
                        (size_t)stored->width * (size_t)stored->n_fine, stored->shift, 0);
        nw_stored_merge(stored, kernels, bytes, stored->fine_map, rest);
    }
    if (apart)
        nw_stored_spread(stored, to, pixel_stride, bytes);
}

void nw_stored_pack(const nw_stored *stored, const nw_kernels *kernels, uint8_t *row, const uint8_t *from,
                    uint8_t *temporary)
{
    kernels->pack(row, from, values_of(stored), stored->bits, stored->shift);
    if (!stored->n_fine)
        return;
    nw_stored_gather(stored, kernels, from, -1, temporary);
    kernels->pack(row + stored->base_size, nw_stored_low(stored, temporary),
                  (size_t)stored->width * (size_t)stored->n_fine, stored->shift, 0);
}
