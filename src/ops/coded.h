/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored rows (stored.h) coded to fewer bytes, in slots of a fixed size, so that every row can be written and read
 * without the others. A row is one of
 *
 *     plain           | the stored row |
 *     short           fewer bytes than that, in one of two ways, the same for all rows of a tensor
 *     dropped         plain or short, without the low bits of the fine channels
 *
 *     short, map      | a bit for every code: not the zero point | those codes, first run | low bits of the fine ones |
 *     short, words    | block of the codes' first run | low bits of the fine channels' codes |
 *
 * Most codes behind a rectifier are the zero point: that is what the map is for. Words are those of a prefix code that
 * the network has for the tensor (symbols.h). Low bits have a block too if there is a code for them, else shift bits
 * each; where there are fine channels the size of the first block stands before it, in two bytes.
 *
 * The shorter of plain and short that fits into the slot is taken. Only where neither does are the low bits dropped:
 * then the fine channels' codes move towards the zero point to a multiple of 1 << shift, for this row. So what is
 * dropped depends on the row and on the size of the slot and on nothing else. A slot holds a plain dropped row at
 * least.
 */
#ifndef NARROW_OPS_CODED_H
#define NARROW_OPS_CODED_H

#include "ops/stored.h"
#include "ops/symbols.h"

/** What a slot holds: bytes, and flags. */
typedef uint32_t nw_coded_row;
#define NW_CODED_SHORT 0x80000000u
#define NW_CODED_DROPPED 0x40000000u
#define NW_CODED_SIZE 0x3fffffffu

typedef struct nw_coded {
    nw_stored stored;
    size_t slot_size; /* bytes of a row at most; from stored.base_size to stored.row_size */
    uint8_t zero_point;
    const nw_symbols *codes; /* of the first run; NULL: a map */
    const nw_symbols *low;   /* of the low bits; NULL: as they are */
} nw_coded;

/** Bytes of scratch that unpack and pack need; `words`: with prefix codes. */
size_t nw_coded_temporary(const nw_stored *stored, bool words);

/** Codes a row of bytes, pixels together, into its slot. */
nw_coded_row nw_coded_pack(const nw_coded *coded, const nw_kernels *kernels, uint8_t *slot, const uint8_t *from,
                           uint8_t *temporary);

/** A row to bytes, as nw_stored_unpack. */
void nw_coded_unpack(const nw_coded *coded, const nw_kernels *kernels, uint8_t *to, int32_t pixel_stride,
                     const uint8_t *slot, nw_coded_row row, uint8_t *temporary);

#endif
