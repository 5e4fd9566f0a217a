/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a panel, one after the other, with the ranges that the pair test and runs.h want: what gemm_pack.c
 * reads.
 */
#ifndef NARROW_KERNELS_AVX2_GEMM_READER_H
#define NARROW_KERNELS_AVX2_GEMM_READER_H

#include "kernels/avx2/avx2.h"
#include "kernels/runs.h"

#define N_LANES (NW_AVX2_NR * 2)                /* of a step: lane 2 c + pair */
#define STEP_SIZE (NW_AVX2_NR * NW_AVX2_KR)

typedef struct nw_avx2_step {
    int32_t offset;
    int8_t weights[NW_AVX2_NR][NW_AVX2_KR];
} nw_avx2_step;

/* The steps of a panel, one after the other. */
typedef struct nw_avx2_reader {
    const nw_gemm_source *source;
    int32_t row, n_rows; /* of the panel */
    int32_t segment, at; /* next step */
    nw_avx2_form form;
    bool pending; /* `second` is the other half of the step handed out before */
    nw_avx2_step second;
    nw_ranges second_range;
    int32_t units_offset;
    nw_avx2_bytes units; /* 16 bytes handed out */
} nw_avx2_reader;

/* What a reader hands out. */
typedef enum nw_avx2_item { NW_AVX2_ITEM_END, NW_AVX2_ITEM_STEP, NW_AVX2_ITEM_UNITS } nw_avx2_item;

void nw_avx2_reader_init(nw_avx2_reader *r, const nw_gemm_source *source, int32_t row, int32_t end_row,
                         nw_avx2_form form);

/** The next step that holds a weight, or 16 bytes. *fits: the step passes the pair test, always after splitting. */
nw_avx2_item nw_avx2_reader_next(nw_avx2_reader *r, nw_avx2_step *s, nw_ranges *range, bool *fits);

#endif
