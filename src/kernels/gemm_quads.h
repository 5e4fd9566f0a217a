/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed weights for instructions that add four products u8 x s8 to an int32 (vpdpbusd): written by gemm_quads.c, read
 * by avxvnni/ and avx512vnni/.
 *
 *     | nw_quads_header | step[n_steps], padded to 64 bytes | wide step[n_wide], padded | outputs' panels |
 *     | extra rows' panels |
 *
 * A step is four neighbouring bytes of a window: step[s] is the offset of the first from the pixel's base. Segments
 * become steps; bytes of a step that no segment covers have zero weights, so their activations do not matter.
 *
 * A panel holds nr rows, the last one of outputs and of extra rows only as many groups of 16 as it needs (q):
 *
 *     q = 2:  | s0: row 0: w0 w1 w2 w3 | row 1: w0 .. w3 | .. row 15 | row 16 .. 31 | s1: row 0 .. |
 *
 * With 512-bit vectors a panel of 16 rows (q = 1) would need one broadcast for each vpdpbusd. It may take wide steps of
 * eight bytes instead, as two vectors of 8 rows: half the broadcasts, and one addition of neighbours in the end:
 *
 *     wide:   | s0: rows 0 1 4 5 8 9 12 13, each w0 .. w7 | rows 2 3 6 7 10 11 14 15, each w0 .. w7 | s1: .. |
 */
#ifndef NARROW_KERNELS_GEMM_QUADS_H
#define NARROW_KERNELS_GEMM_QUADS_H

#include "kernels/kernels.h"

typedef struct nw_quads_header {
    int32_t n_channels, n_extra, n_steps, n_wide; /* n_wide is 0 if no panel takes wide steps */
    uint64_t steps, wide, outputs, extras;        /* bytes from the header */
    int32_t nr, unused[3];
} nw_quads_header;

/** A walk over the bytes of all segments of a source, in ascending k. */
typedef struct nw_quads_walk {
    const nw_gemm_source *source;
    int32_t segment, j;
} nw_quads_walk;

typedef struct nw_quads_step {
    int32_t offset; /* of the first byte from the pixel's base */
    int32_t k[8];   /* column of each byte, -1 for none; the first `size` count */
} nw_quads_step;

nw_quads_walk nw_quads_begin(const nw_gemm_source *source);

/**
 * Takes the next byte and those after it that lie within the same `size`, in rising order; segments may share steps.
 */
bool nw_quads_next(nw_quads_walk *walk, int32_t size, nw_quads_step *step);

/** How many steps of `size` bytes there are. */
int32_t nw_quads_count(const nw_gemm_source *source, int32_t size);

/** A panel as loops read it. */
typedef struct nw_quads_panel {
    const int32_t *steps, *steps_end; /* offsets, of wide steps if `wide` */
    const int8_t *weights;
    int32_t width, q; /* rows; groups of 16 */
    bool wide;
} nw_quads_panel;

/** nw_gemm.pack for panels of nr rows, a multiple of 16; `wide`: panels of up to 16 rows take wide steps. */
size_t nw_quads_pack(void *packed, const nw_gemm_source *source, int32_t nr, bool wide);

/** The panel of outputs (or of extra rows) that starts with row `first`, a multiple of nr. */
nw_quads_panel nw_quads_panel_at(const void *packed, bool extra, int32_t first);

#endif
