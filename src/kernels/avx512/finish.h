/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epilogue of a panel of up to 64 channels, for every matrix product of the AVX-512 families: 16 q channels of each
 * pixel, the parameters loaded once per call.
 *
 *     nw_finish finish;
 *     nw_finish_init_avx512(&finish, call, o, width);
 *     ... sums[16 q * pixel + channel] = finish.start[channel] + the product ...
 *     nw_finish_run_avx512(&finish, sums, i, n);          // pixels i .. i + n - 1
 */
#ifndef NARROW_KERNELS_AVX512_FINISH_H
#define NARROW_KERNELS_AVX512_FINISH_H

#include "kernels/avx512/requant.h"

typedef struct nw_finish {
    const nw_gemm_call *call;
    int32_t o, width, q;
    const int32_t *start;  /* [16 q] what sums start from: the offsets, or zeros */
    bool bounded;          /* the bounded way of requant.h */
    __m512i lo, hi, zero16; /* bounded: z + lo, z + hi as bytes, repeated for each pixel of 64 codes; z as words */
    nw_extra_list extra;   /* else */
} nw_finish;

extern const int32_t nw_finish_zeros_avx512[64];

/** For the channels [o, o + width) of a call, width <= 64; q = width / 16, rounded up. */
void nw_finish_init_avx512(nw_finish *finish, const nw_gemm_call *call, int32_t o, int32_t width);

/** Outputs of the pixels i .. i + n - 1 from sums[n][16 q]. */
void nw_finish_run_avx512(const nw_finish *finish, const int32_t *sums, int32_t i, int32_t n);

#endif
