/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed weights of few different values: written by gemm_narrow.c, unpacked in registers by avx2/, avxvnni/ and
 * avx512vnni/gemm_narrow.c. Where few pixels share the weights, a run takes as long as reading them: half the bytes at
 * 4 bits, a quarter at 2. Loops prefetch NW_GEMM_AHEAD bytes ahead. Without that a core of Zen 5 read 25,088 x 4,096
 * weights of 4 bits at 18 to 25 GB/s, because with more work for each byte it asks for fewer of them at once; at 512
 * bytes 12 to 29, 2,048 20 to 30, 4,096 21 to 30, 8,192 28 to 32; a plain loop over memory reads 36.
 *
 *     | nw_narrow_header | step[n_steps], padded to 64 bytes | outputs' panels | extra rows' panels |
 *
 * A step is four neighbouring bytes of a window, as in gemm_quads.h. A panel holds nr rows (behind the last one
 * zeros), a step of it nr / (size / 4) vectors of `size` bytes, each size / 4 rows by four weights. Instead of a
 * weight stands the index of its value in `values`, of `bits` = 4 or 2 bits; 8 / bits vectors that follow each other
 * share one:
 *
 *     byte i:  | index of byte i of vector 0 | of vector 1 | ..        (the first in the low bits)
 *
 * Vectors are counted over the steps of a panel; n_steps is rounded up by steps of zero weights to a multiple of
 * `together`, so that every vector is full. Any 16 values will do, code books too: a byte shuffle looks them up.
 */
#ifndef NARROW_KERNELS_GEMM_NARROW_H
#define NARROW_KERNELS_GEMM_NARROW_H

#include "kernels/kernels.h"

#define NW_NARROW_VALUES 16

typedef struct nw_narrow_header {
    int8_t values[NW_NARROW_VALUES]; /* in ascending order, 0 among them; unused ones are 0 */
    int32_t n_channels, n_extra, n_steps, bits;
    int32_t run; /* steps whose products may be added in 16 bits, a multiple of `together`; 0: not even these */
    int32_t nr;
    uint64_t steps, outputs, extras; /* bytes from the header */
} nw_narrow_header;

/** What a family's loops want. */
typedef struct nw_narrow_shape {
    int32_t size;     /* bytes of a vector */
    int32_t nr;       /* rows of a panel, a multiple of size / 4 */
    int32_t together; /* steps taken at once; together * nr / (size / 4) is a multiple of 4 */
    bool pairs;       /* products are added in 16 bits: run must not be 0 */
} nw_narrow_shape;

/** A panel as loops read it. */
typedef struct nw_narrow_panel {
    const int32_t *steps, *steps_end; /* offsets */
    const uint8_t *weights;
    int32_t width; /* rows that count */
} nw_narrow_panel;

/** nw_gemm.pack; 0 if the weights have too many values, or `pairs` would not be exact. */
size_t nw_narrow_pack(void *packed, const nw_gemm_source *source, const nw_narrow_shape *shape);

/** The panel of outputs (or of extra rows) that starts with row `first`, a multiple of nr. */
nw_narrow_panel nw_narrow_panel_at(const void *packed, bool extra, int32_t first);

#endif
