/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed weights of the gemm, shared by gemm_pack.c and gemm.c.
 *
 *     | gemm_header | step[n_steps], padded to 64 bytes | wide step[n_wide], padded | outputs' panels |
 *     | extra rows' panels |
 *
 * A step is four neighbouring bytes of a window: step[s] is the offset of the first from the pixel's base. Segments
 * become steps; bytes of a step that no segment covers have zero weights, so their activations do not matter.
 *
 * A panel holds GEMM_NR rows, the last one of outputs and of extra rows only as many vectors of 16 as it needs (q):
 *
 *     q = 2:  | s0: row 0: w0 w1 w2 w3 | row 1: w0 .. w3 | .. row 15 | row 16 .. 31 | s1: row 0 .. |
 *
 * A panel of 16 rows (q = 1) would need one broadcast for each vpdpbusd. It takes wide steps of eight bytes instead, as
 * two vectors of 8 rows: half the broadcasts, and one addition of neighbours in the end (gemm.c):
 *
 *     q = 1:  | s0: rows 0 1 4 5 8 9 12 13, each w0 .. w7 | rows 2 3 6 7 10 11 14 15, each w0 .. w7 | s1: .. |
 */
#ifndef NARROW_KERNELS_AVX512VNNI_GEMM_H
#define NARROW_KERNELS_AVX512VNNI_GEMM_H

#include <stddef.h>
#include <stdint.h>

#define GEMM_NR 64

typedef struct gemm_header {
    int32_t n_channels, n_extra, n_steps, n_wide;
    uint64_t steps, wide, outputs, extras; /* bytes from the header */
    uint64_t unused[2];
} gemm_header;

/** Bytes of a panel of `width` rows. */
static inline size_t gemm_panel_size(const gemm_header *header, int32_t width)
{
    return width <= 16 ? (size_t)header->n_wide * 128 : (size_t)header->n_steps * (((size_t)width + 15) / 16 * 64);
}

#endif
