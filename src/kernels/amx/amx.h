/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix product with AMX int8 tiles (Sapphire Rapids and its successors), and its packed layout, from gemm_pack.c
 * to gemm.c. Everything else in the table is the family below, avx512vnni/, and so are matrices that tiles suit badly.
 *
 * tdpbusd multiplies 16 rows of 64 codes with 64 rows of 16 weights: 16384 products in 16 cycles, eight times what two
 * 512-bit vpdpbusd do in them. Sums are exact in int32. Nothing here was timed while it was written.
 */
#ifndef NARROW_KERNELS_AMX_AMX_H
#define NARROW_KERNELS_AMX_AMX_H

#include "kernels/kernels.h"

#define NW_AMX_ROWS 16   /* pixels of a tile of codes, channels of a tile of weights */
#define NW_AMX_K 64      /* codes in a row of a tile */
#define NW_AMX_WIDTH 32  /* channels of a panel: two tiles */
#define NW_AMX_TILE 1024 /* bytes */

/*
 * A packed matrix opens with this. Without tiles, the matrix follows as avx512vnni/ packs it; else
 *
 *     | nw_amx_header | chunk[n_chunks], padded to 64 bytes | outputs' panels | extra rows' panels |
 *
 * A chunk is up to 64 neighbouring bytes of a window within one segment: chunk[i] is the offset of the first from the
 * pixel's base. Tiles read 64 bytes all the same; what is behind the segment meets zero weights. A panel holds 32 rows,
 * the last one of outputs and of extra rows 16 if that is enough:
 *
 *     panel:  | chunk 0: tile of rows 0-15 | tile of rows 16-31 | chunk 1: ..
 *     tile:   16 times 64 bytes: line r holds row 0: w[4 r .. 4 r + 3] | row 1 .. | row 15
 */
typedef struct nw_amx_header {
    int32_t tiles; /* 0 or 1 */
    int32_t n_channels, n_extra, n_chunks;
    uint64_t chunks, outputs, extras; /* bytes from the header */
    uint64_t unused[3];
} nw_amx_header;

size_t nw_gemm_pack_amx(void *packed, const nw_gemm_source *source);
void nw_gemm_run_amx(const nw_gemm_call *call);
void nw_gemm_run_extra_amx(const nw_gemm_call *call);

#endif
