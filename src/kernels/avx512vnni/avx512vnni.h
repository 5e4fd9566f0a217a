/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of this folder, as init.c puts them into the table: AVX-512 with VNNI. Only products differ from the
 * family below, avx512/. docs/numerics.md and ../ref/ say what they compute.
 *
 * Sums are exact: vpdpbusd adds four products u8 x s8 to an int32 without saturation, so these kernels need none of
 * the proofs of the narrower instruction sets.
 *
 * Figures in comments are counts of instructions and measurements on Zen 5, and say so.
 */
#ifndef NARROW_KERNELS_AVX512VNNI_AVX512VNNI_H
#define NARROW_KERNELS_AVX512VNNI_AVX512VNNI_H

#include "kernels/kernels.h"

#define NW_AVX512VNNI_NR 64 /* channels of a panel */

size_t nw_gemm_pack_avx512vnni(void *packed, const nw_gemm_source *source);
void nw_gemm_run_avx512vnni(const nw_gemm_call *call);
void nw_gemm_run_extra_avx512vnni(const nw_gemm_call *call);
size_t nw_gemm_narrow_pack_avx512vnni(void *packed, const nw_gemm_source *source);
void nw_gemm_narrow_run_avx512vnni(const nw_gemm_call *call);
void nw_gemm_narrow_run_extra_avx512vnni(const nw_gemm_call *call);
size_t nw_depthwise_pack_avx512vnni(void *packed, const nw_depthwise_source *source);
void nw_depthwise_run_avx512vnni(const nw_depthwise_call *call);
void nw_depthwise_run_rows_avx512vnni(const nw_depthwise_call *call);
void nw_winograd_run_avx512vnni(const nw_winograd_call *call);

#endif
