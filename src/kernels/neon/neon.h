/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share: prototypes of the kernels that init.c puts into the table, and the packed
 * layouts: of a matrix, written by gemm_pack.c and read by gemm_tile*.c through gemm.c, and of depthwise weights,
 * written by depthwise_pack.c and read by depthwise.c.
 *
 * Three families for 64-bit Arm: neon (Armv8.0: smull, smlal, sadalp), dotprod (sdot) and i8mm (usmmla). They differ in
 * the inner loops of the matrix product alone.
 *
 * Armv8.0 and sdot multiply signed bytes by signed bytes, codes are unsigned. With a constant z the sum is
 *
 *     sum_k w[k] x[k] = sum_k w[k] (x[k] - z) + z sum_k w[k]
 *
 * z is 0 where no code of the matrix exceeds 127, else 128 (x - 128 is x with its top bit flipped, as a signed byte).
 * The last term is a constant of the row; pack() stores it as the row's start, so the sums that leave a tile are exact.
 */
#ifndef NARROW_KERNELS_NEON_NEON_H
#define NARROW_KERNELS_NEON_NEON_H

#include "kernels/kernels.h"

#define NW_NEON_MR 4    /* pixels of a tile */
#define NW_NEON_NR 16   /* channels that are finished together: nr of the table */
#define NW_NEON_STEP 16 /* consecutive k of a full step */

/*
 * A panel is `rows` rows of the matrix. It is cut into full steps of 16 consecutive bytes of a pixel's window and, at
 * the ends of segments, small ones of `small` bytes; steps whose weights are all zero are left out. Sums are exact, so
 * steps may stand in any order:
 *
 *     int32 start[rows] | int32 runs[n_full] | int32 offsets[n_full + n_small] | padding to 64 | weights
 *
 *     full step:   [16 / block][rows][block] bytes        small step:   [rows][small] bytes
 *
 * The first full steps form runs: runs[i] steps whose products are added in 16 bits and folded into 32 at the end (neon
 * alone); the others are added in 32 bits.
 *
 *             rows  block  small
 *     neon       4     16      8   a register of 16 bytes belongs to one row; lanes are k mod 8
 *     dotprod   16      4      4   sdot by element: 4 rows by 4 k in a register
 *     i8mm      16      8      8   usmmla: 2 rows by 8 k in a register
 */
typedef struct nw_neon_shape {
    int32_t rows, block, small;
    bool shifts; /* z may be 128; i8mm multiplies unsigned codes as they are */
    bool runs;   /* add in 16 bits where that is proven exact */
} nw_neon_shape;

/** Where a panel lies: offsets in bytes from the start of the packed matrix. */
typedef struct nw_neon_panel {
    int64_t start, runs, offsets, weights;
    int32_t n_runs, n_run_steps; /* the runs and the full steps in them */
    int32_t n_single, n_small;   /* full steps in no run, small steps */
} nw_neon_panel;

/** The packed matrix opens with this, then the panels of the outputs, then those of the extra rows. */
typedef struct nw_neon_gemm {
    int32_t n_channels, n_extra;
    int32_t rows; /* of a panel */
    int32_t n_panels, n_extra_panels;
    int32_t zero; /* z */
} nw_neon_gemm;

/** A panel as the loops read it. */
typedef struct nw_neon_tile {
    const int32_t *start, *runs, *offsets;
    const int8_t *weights;
    int32_t n_runs, n_single, n_small;
    bool shifted; /* z = 128 */
} nw_neon_tile;

/**
 * sums[NW_NEON_NR * i + r] = the exact sum of row r of the panel for pixel i.
 *
 * @param a   [mr] base of each pixel's window
 * @param mr  1 .. NW_NEON_MR
 */
typedef void nw_neon_tile_fn(int32_t *sums, const nw_neon_tile *p, const uint8_t *const *a, int32_t mr);

nw_neon_tile_fn nw_neon_tile_sums, nw_neon_tile_sums_dotprod, nw_neon_tile_sums_i8mm;

size_t nw_neon_gemm_pack(void *packed, const nw_gemm_source *source, const nw_neon_shape *shape);
void nw_neon_gemm_run(const nw_gemm_call *call, nw_neon_tile_fn *tile_sums);
void nw_neon_gemm_run_extra(const nw_gemm_call *call, nw_neon_tile_fn *tile_sums);

/*
 * Depthwise: a panel is 16 channels, a step one tap. Runs as above; a run of two taps is always exact.
 *
 *     int32 start[16] | int32 runs[n_runs] | int32 offsets[n_taps] | padding to 16 | weights[n_taps][16]
 */
#define NW_NEON_DEPTHWISE_NR 16

typedef struct nw_neon_depthwise_panel {
    int64_t start, runs, offsets, weights; /* bytes from the start of the packed weights */
    int32_t n_runs;
    bool shifted; /* z = 128 */
} nw_neon_depthwise_panel;

/** The packed weights open with this, then the panels. */
typedef struct nw_neon_depthwise {
    int32_t n_channels, n_panels;
} nw_neon_depthwise;

size_t nw_gemm_pack_neon(void *packed, const nw_gemm_source *source);
/** Without runs: every product goes to 32 bits at once. For benchmarks and tests; the same kernel reads it. */
size_t nw_gemm_pack_neon_int32(void *packed, const nw_gemm_source *source);
void nw_gemm_run_neon(const nw_gemm_call *call);
void nw_gemm_run_extra_neon(const nw_gemm_call *call);
size_t nw_gemm_pack_dotprod(void *packed, const nw_gemm_source *source);
void nw_gemm_run_dotprod(const nw_gemm_call *call);
void nw_gemm_run_extra_dotprod(const nw_gemm_call *call);
size_t nw_gemm_pack_i8mm(void *packed, const nw_gemm_source *source);
void nw_gemm_run_i8mm(const nw_gemm_call *call);
void nw_gemm_run_extra_i8mm(const nw_gemm_call *call);
void nw_gemm_count_runs_neon(nw_run_counts *counts, const void *packed);
size_t nw_depthwise_pack_neon(void *packed, const nw_depthwise_source *source);
void nw_depthwise_run_neon(const nw_depthwise_call *call);
void nw_add_neon(const nw_add_call *call);
void nw_max_pool_neon(const nw_pool_call *call);
void nw_average_pool_neon(const nw_pool_call *call);
void nw_table_neon(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256]);
size_t nw_squeeze_neon(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);
void nw_expand_neon(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);
#define NW_NEON_WINOGRAD_NR 32
size_t nw_winograd_pack_neon(void *packed, const nw_winograd_source *source);
void nw_winograd_run_neon(const nw_winograd_call *call);

#endif
