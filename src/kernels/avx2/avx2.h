/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share: prototypes of the kernels that init.c puts into the table, and the packed
 * layout of a matrix, from gemm_pack.c to gemm.c; avx512/gemm.c reads it too.
 */
#ifndef NARROW_KERNELS_AVX2_AVX2_H
#define NARROW_KERNELS_AVX2_AVX2_H

#include "kernels/kernels.h"

#define NW_AVX2_MR 4  /* pixels of a tile */
#define NW_AVX2_NR 16 /* channels of a panel */
#define NW_AVX2_KR 4  /* consecutive k of a step */

#define NW_AVX2_SHORT 4 /* runs up to here keep all sums in registers */
#define NW_AVX2_UNIT 4  /* most steps of a unit */
#define NW_AVX2_UNIT_BYTES (NW_AVX2_UNIT * NW_AVX2_KR)
#define NW_AVX2_MAX_UNITS 8 /* of 16 bytes */

/*
 * A panel is NW_AVX2_NR rows of the matrix, cut into steps of NW_AVX2_KR consecutive bytes of a pixel's window. A step
 * is the offset of its bytes from the pixel's base and its weights; steps whose weights are all zero are left out, and
 * since sums are exact, the steps of a panel may stand in any order. In memory, from the panel's `groups` on:
 *
 *     groups[n_groups] | offsets[n_steps] | padding to 64 | weights
 *
 * A *run* is a number of steps whose products are added in 16 bits and folded into 32 at its end. Runs of one length
 * stand together in a group, so that the length of the inner loop is constant and branches stay predictable. Groups are
 * followed by the short runs, those of NW_AVX2_SHORT steps first, and by n_wide steps whose products do not fit a
 * saturating pair and are formed in 32 bits:
 *
 *     step:           | w[channel 0][0..3] | w[1][0..3] | ... | w[15][0..3] |                    64 bytes
 *     wide step:      int16  | w[0][0], w[0][2] | w[1][0], w[1][2] | ... | w[15][0], w[15][2] |  64 bytes
 *                     int16  | w[0][1], w[0][3] | w[1][1], w[1][3] | ... | w[15][1], w[15][3] |  64 bytes
 *
 * Which bytes share a pair is free: a *unit* takes NW_AVX2_UNIT_BYTES consecutive bytes and chooses, for this panel,
 * pairs that fit (gemm_unit_pack.c). It is a run of 1, 2 or 4 steps; step s multiplies bytes take[s][0..3] of the 16
 * (-1: none) with its weights. Units come last, those of 4 steps first; they have one offset each:
 *
 *     unit:           | take[0][0..3], 8 times | take[1][0..3], 8 times | ...                    32 bytes a step
 *                     | weights of step 0 | weights of step 1 | ...                              64 bytes a step
 */
typedef struct nw_avx2_group {
    int32_t length, count; /* `count` >= 1 runs of `length` > NW_AVX2_SHORT steps each */
} nw_avx2_group;

/** Where a panel lies: offsets in bytes from the start of the packed matrix. */
typedef struct nw_avx2_panel {
    int64_t groups, offsets, weights;
    int32_t n_groups, n_wide;
    int32_t n_short[NW_AVX2_SHORT + 1]; /* runs of 1 .. NW_AVX2_SHORT steps */
    int32_t n_units[NW_AVX2_UNIT + 1];  /* units of 1, 2 and 4 steps */
} nw_avx2_panel;

/** The packed matrix opens with this, then the panels of the outputs, then those of the extra rows. */
typedef struct nw_avx2_gemm {
    int32_t n_channels, n_extra;
    int32_t n_panels, n_extra_panels;
    int64_t n_steps, n_runs, n_wide, n_units; /* of all panels, for reports; n_steps: those in runs */
} nw_avx2_gemm;

/** Panel `index` of a packed matrix. */
static inline const nw_avx2_panel *nw_avx2_panel_at(const void *packed, int32_t index)
{
    return (const nw_avx2_panel *)(const void *)((const uint8_t *)packed + sizeof(nw_avx2_gemm)) + index;
}

/** How gemm_pack.c may arrange the steps: a choice of speed, never of results. */
typedef enum nw_avx2_form {
    NW_AVX2_WIDEN, /* steps that fail the pair test wide, the others in runs */
    NW_AVX2_WIDE,  /* every step wide: exact for any weights, the yardstick of the others */
    NW_AVX2_SPLIT, /* steps that fail the pair test halved into two, all in runs */
    NW_AVX2_UNITS, /* everything in units */
    NW_AVX2_MIXED, /* 16 bytes in units if one of their steps fails the pair test, the others in runs */
    NW_AVX2_CHEAPEST, /* panel by panel the cheapest of WIDEN, UNITS and MIXED: what families do */
} nw_avx2_form;

typedef struct nw_avx2_mode {
    nw_avx2_form form;
    int32_t max_run; /* longest run, 1: every product goes to 32 bits at once */
    int32_t window;  /* steps among which a run may choose, 1: only the next one; at most NW_RUNS_WINDOW */
} nw_avx2_mode;

#define NW_AVX2_MAX_RUN NW_LONGEST_RUN

/**
 * Tenths of a cycle that a tile takes for the parts of a panel: what NW_AVX2_CHEAPEST decides by. Only their ratios
 * count. Every family that reads this layout has its own.
 */
typedef struct nw_avx2_costs {
    int32_t run[NW_AVX2_SHORT + 1]; /* runs of 1 .. NW_AVX2_SHORT steps */
    int32_t long_run, long_step;    /* longer ones take long_run + steps * long_step */
    int32_t wide;
    int32_t unit[NW_AVX2_UNIT + 1]; /* units of 1, 2 and 4 steps */
} nw_avx2_costs;

/* Depthwise weights: kernels/depthwise_pairs.h with vectors of two lanes, panels of 32 channels. */
#define NW_AVX2_DEPTHWISE_NR 32

size_t nw_gemm_pack_avx2(void *packed, const nw_gemm_source *source);
/** A unit of gemm_unit_pack.c. */
typedef struct nw_avx2_unit {
    int32_t n_steps; /* 1, 2 or 4 */
    int8_t take[NW_AVX2_UNIT][NW_AVX2_KR];
} nw_avx2_unit;

/** Up to NW_AVX2_UNIT_BYTES consecutive bytes of a pixel's window, and what they meet in one panel. */
typedef struct nw_avx2_bytes {
    int32_t n;
    int8_t weights[NW_AVX2_UNIT_BYTES][NW_AVX2_NR]; /* [byte][channel]; rows from n on are 0 */
    uint8_t hi[NW_AVX2_UNIT_BYTES]; /* highest code of each byte */
} nw_avx2_bytes;

/** Units whose steps cover all bytes with weights, each within 16 bits. Returns how many. */
int32_t nw_avx2_choose_units(nw_avx2_unit units[NW_AVX2_MAX_UNITS], const nw_avx2_bytes *bytes);

/** nw_gemm.pack with a forced arrangement: for benchmarks and tests. The kernels read what either packs. */
size_t nw_gemm_pack_avx2_mode(void *packed, const nw_gemm_source *source, const nw_avx2_mode *mode);
/** nw_gemm.pack of a family with these costs. */
size_t nw_gemm_pack_avx2_costs(void *packed, const nw_gemm_source *source, const nw_avx2_costs *costs);
void nw_gemm_count_runs_avx2(nw_run_counts *counts, const void *packed);
void nw_gemm_run_avx2(const nw_gemm_call *call);
void nw_gemm_run_extra_avx2(const nw_gemm_call *call);
size_t nw_gemm_narrow_pack_avx2(void *packed, const nw_gemm_source *source);
void nw_gemm_narrow_run_avx2(const nw_gemm_call *call);
void nw_gemm_narrow_run_extra_avx2(const nw_gemm_call *call);
void nw_gemm_narrow_count_runs_avx2(nw_run_counts *counts, const void *packed);
#define NW_AVX2_WINOGRAD_NR 32
size_t nw_winograd_pack_avx2(void *packed, const nw_winograd_source *source);
void nw_winograd_run_avx2(const nw_winograd_call *call);
/*
 * Depthwise 3x3 (depthwise_3x3.c): for each 8 channels six vectors of 16-bit weights, (w[0][x], w[1][x]) per channel
 * for x = 0, 1, 2 and then (w[2][x], 0).
 */
#define NW_AVX2_3X3_CHANNELS 8
#define NW_AVX2_3X3_PIXELS 4 /* of a block */
#define NW_AVX2_3X3_VECTORS 6

typedef struct nw_avx2_3x3 {
    int32_t n_channels;
    int32_t row[3]; /* bytes from a pixel's base to the first tap of each row */
    int32_t column; /* bytes from tap to tap along a row; 0: not a 3x3 kernel */
} nw_avx2_3x3;

nw_avx2_3x3 nw_avx2_3x3_shape(const nw_depthwise_source *source);
/** As nw_gemm.pack. */
size_t nw_avx2_3x3_pack(void *packed, const nw_depthwise_source *source);
bool nw_avx2_3x3_can_run(const nw_avx2_3x3 *shape, const nw_depthwise_call *call);
void nw_avx2_3x3_run(const nw_depthwise_call *call, const nw_avx2_3x3 *shape, const void *vectors);

/** Packed depthwise weights open with this; then what nw_pairs_pack writes, then the vectors of 3x3. */
typedef struct nw_avx2_depthwise {
    int64_t pairs, vectors; /* bytes from the start */
    nw_avx2_3x3 shape;
} nw_avx2_depthwise;

size_t nw_depthwise_pack_avx2(void *packed, const nw_depthwise_source *source);
void nw_depthwise_run_avx2(const nw_depthwise_call *call);
/** Of the pairs: 3x3 by columns sums in 32 bits. */
void nw_depthwise_count_runs_avx2(nw_run_counts *counts, const void *packed);
void nw_add_avx2(const nw_add_call *call);
void nw_multiply_avx2(const nw_multiply_call *call);
void nw_max_pool_avx2(const nw_pool_call *call);
void nw_average_pool_avx2(const nw_pool_call *call);
void nw_float_line_avx2(const nw_float_call *call);
void nw_resize_codes_avx2(const nw_resize_call *call);
void nw_resize_reals_avx2(const nw_resize_call *call);
void nw_table_avx2(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256]);
void nw_transpose_avx2(const nw_transpose_call *call);
void nw_unpack_avx2(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift);
size_t nw_squeeze_avx2(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);
void nw_expand_avx2(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);
void nw_pack_avx2(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift);
void nw_quantize_avx2(const nw_quantize_call *call);
void nw_dequantize_avx2(float *y, const uint8_t *x, size_t n, float scale, int32_t zero_point);

#endif
