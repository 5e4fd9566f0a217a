/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed weights of the gemm, shared by gemm_pack.c and gemm.c.
 *
 *     | gemm_header | step[n_steps], padded to 64 bytes | outputs' panels | extra rows' panels |
 *
 * A step is four neighbouring bytes of a window: step[s] is the offset of the first from the pixel's base. Segments
 * become steps; bytes of a step that no segment covers have zero weights, so their activations do not matter.
 *
 * A panel holds GEMM_NR rows, the last one of outputs and of extra rows only as many vectors of 16 as it needs (q):
 *
 *     q = 2:  | s0: row 0: w0 w1 w2 w3 | row 1: w0 .. w3 | .. row 15 | row 16 .. 31 | s1: row 0 .. |
 */
#ifndef NARROW_KERNELS_AVX512VNNI_GEMM_H
#define NARROW_KERNELS_AVX512VNNI_GEMM_H

#include <stdint.h>

#define GEMM_NR 64

typedef struct gemm_header {
    int32_t n_channels, n_extra, n_steps, unused;
    uint64_t steps, outputs, extras; /* bytes from the header */
    uint64_t unused2[3];
} gemm_header;

#endif
