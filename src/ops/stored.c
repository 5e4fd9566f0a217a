/* SPDX-License-Identifier: Apache-2.0 */
/* See stored.h. */
#include "ops/stored.h"

#include <string.h>

#include "base/bits.h"

/** Channels with something below bit `shift`. */
static int32_t count_fine(int32_t channels, const uint8_t *channel_shift, int32_t shift)
{
    int32_t n = 0;
    for (int32_t c = 0; c < channels; c++)
        n += channel_shift[c] < shift;
    return n;
}

/** The shift that makes a pixel shortest; the smallest of those. */
static int32_t best_shift(int32_t channels, int32_t bits, const uint8_t *channel_shift, int64_t *pixel_bits)
{
    int32_t best = 0;
    *pixel_bits = (int64_t)channels * bits;
    for (int32_t shift = 1; shift < bits; shift++) {
        const int64_t n_fine = count_fine(channels, channel_shift, shift);
        const int64_t size = (int64_t)channels * (bits - shift) + n_fine * shift;
        if (size >= *pixel_bits)
            continue;
        best = shift;
        *pixel_bits = size;
    }
    return best;
}

static const int32_t *fine_channels(const nw_stored *stored, const uint8_t *channel_shift, nw_arena *arena)
{
    int32_t *fine = nw_arena_take(arena, (size_t)stored->n_fine * sizeof(*fine));
    int32_t n = 0;
    for (int32_t c = 0; fine && c < stored->channels; c++)
        if (channel_shift[c] < stored->shift)
            fine[n++] = c;
    return fine;
}

bool nw_stored_init(nw_stored *stored, int32_t width, int32_t channels, int32_t bits, const uint8_t *shift,
                    nw_arena *arena)
{
    int64_t pixel_bits;
    nw_stored s = {.width = width, .channels = channels};
    s.shift = best_shift(channels, bits, shift, &pixel_bits);
    s.bits = bits - s.shift;
    s.n_fine = count_fine(channels, shift, s.shift);
    s.base_size = nw_bits_row_size((size_t)width * (size_t)channels, s.bits);
    s.row_size = s.base_size + (s.n_fine ? nw_bits_row_size((size_t)width * (size_t)s.n_fine, s.shift) : 0);
    if (pixel_bits >= 8 * (int64_t)channels || s.row_size >= (size_t)width * (size_t)channels)
        return false;
    s.fine = s.n_fine ? fine_channels(&s, shift, arena) : NULL;
    *stored = s;
    return true;
}

size_t nw_stored_temporary(const nw_stored *stored, bool apart)
{
    return (size_t)stored->width * ((size_t)stored->n_fine + (apart ? (size_t)stored->channels : 0));
}

static void add_fine(const nw_stored *s, uint8_t *to, int32_t pixel_stride, const uint8_t *low)
{
    for (int32_t i = 0; i < s->width; i++, to += pixel_stride, low += s->n_fine)
        for (int32_t j = 0; j < s->n_fine; j++)
            to[s->fine[j]] |= low[j];
}

void nw_stored_unpack(const nw_stored *stored, const nw_kernels *kernels, uint8_t *to, int32_t pixel_stride,
                      const uint8_t *row, uint8_t *temporary)
{
    const size_t n = (size_t)stored->width * (size_t)stored->channels;
    uint8_t *low = temporary;
    if (pixel_stride == stored->channels) {
        kernels->unpack(to, row, n, stored->bits, stored->shift);
    } else { /* one of several pictures side by side */
        low += n;
        const size_t channels = (size_t)stored->channels;
        kernels->unpack(temporary, row, n, stored->bits, stored->shift);
        for (size_t i = 0; i < (size_t)stored->width; i++)
            memcpy(to + i * (size_t)pixel_stride, temporary + i * channels, channels);
    }
    if (!stored->n_fine)
        return;
    kernels->unpack(low, row + stored->base_size, (size_t)stored->width * (size_t)stored->n_fine, stored->shift, 0);
    add_fine(stored, to, pixel_stride, low);
}

void nw_stored_pack(const nw_stored *stored, const nw_kernels *kernels, uint8_t *row, const uint8_t *from,
                    uint8_t *temporary)
{
    const size_t n = (size_t)stored->width * (size_t)stored->channels;
    kernels->pack(row, from, n, stored->bits, stored->shift);
    if (!stored->n_fine)
        return;
    uint8_t *low = temporary;
    for (int32_t i = 0; i < stored->width; i++, from += stored->channels)
        for (int32_t j = 0; j < stored->n_fine; j++)
            *low++ = from[stored->fine[j]];
    kernels->pack(row + stored->base_size, temporary, (size_t)stored->width * (size_t)stored->n_fine, stored->shift, 0);
}
