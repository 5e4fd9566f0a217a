/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures of narrow codes stored at fewer bits than a byte, row by row. A row is two runs of codes in the order of
 * base/bits.h, each padded to a byte:
 *
 *     | code >> shift of every pixel and channel, `bits` bits each | low `shift` bits of the fine channels' codes |
 *
 * A code of a channel with nw_quant.shift = s is a multiple of 1 << s: channels with s < `shift` are *fine* and have
 * something below the first run (DQA's important channels), all others have nothing there. `shift` is chosen so that
 * the row is shortest; without shifts in the tensor it is 0, and the row is its codes at their own width.
 *
 *     nw_stored stored;
 *     if (nw_stored_init(&stored, width, channels, quant.bits, quant.shift, arena)) ...
 *     nw_stored_unpack(&stored, kernels, bytes, channels, row, temporary);
 */
#ifndef NARROW_OPS_STORED_H
#define NARROW_OPS_STORED_H

#include <stdbool.h>

#include "base/arena.h"
#include "kernels/kernels.h"

typedef struct nw_stored {
    int32_t width, channels;
    int32_t bits, shift; /* of the first run; bits from 1 to 7 */
    int32_t n_fine;
    const uint8_t *fine_mask; /* [channels] 0xff for a fine channel, else 0 */
    const uint8_t *fine_map;  /* a bit for every code of a row: of a fine channel */
    size_t base_size;    /* bytes of the first run */
    size_t row_size;     /* of both */
} nw_stored;

/**
 * The stored form of a picture's rows; false if it would not be smaller than bytes.
 * @param bits   of the tensor's codes, 1 to 8
 * @param shift  [channels] nw_quant.shift
 */
bool nw_stored_init(nw_stored *stored, int32_t width, int32_t channels, int32_t bits, const uint8_t *shift,
                    nw_arena *arena);

/** Bytes of scratch that unpack and pack need; `apart`: unpacked to pixels that do not lie together. */
size_t nw_stored_temporary(const nw_stored *stored, bool apart);

/** One row to bytes: channel c of pixel i at to[i * pixel_stride + c], pixel_stride >= channels. */
void nw_stored_unpack(const nw_stored *stored, const nw_kernels *kernels, uint8_t *to, int32_t pixel_stride,
                      const uint8_t *row, uint8_t *temporary);

/** The way back, of a row whose pixels lie together. */
void nw_stored_pack(const nw_stored *stored, const nw_kernels *kernels, uint8_t *row, const uint8_t *from,
                    uint8_t *temporary);

/* The parts of this, for rows that are coded besides (coded.h). */

/** Bytes of scratch that gather and merge need. */
size_t nw_stored_fine_size(const nw_stored *stored);

/** Where they find and leave low bits in it: bytes, one behind the other. */
uint8_t *nw_stored_low(const nw_stored *stored, uint8_t *temporary);

/**
 * The fine channels' codes of a row to nw_stored_low; only their low `shift` bits mean something. Returns how many:
 * all, or with zero >= 0 those that are not `zero`.
 */
size_t nw_stored_gather(const nw_stored *stored, const nw_kernels *kernels, const uint8_t *from, int32_t zero,
                        uint8_t *temporary);

/** The way back: adds the low bits to the codes of which `map` has a bit. */
void nw_stored_merge(const nw_stored *stored, const nw_kernels *kernels, uint8_t *to, const uint8_t *map,
                     uint8_t *temporary);

/** A row whose pixels lie together to pixels that do not. */
void nw_stored_spread(const nw_stored *stored, uint8_t *to, int32_t pixel_stride, const uint8_t *row);

#endif
