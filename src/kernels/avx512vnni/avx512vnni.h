/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of this folder, as init.c puts them into the table. docs/numerics.md and ../ref/ say what they compute.
 *
 * Sums are exact: vpdpbusd adds four products u8 x s8 to an int32 without saturation, so these kernels need none of
 * the proofs of the narrower instruction sets.
 *
 * Nothing here was timed while it was written: figures in comments are counts of instructions and estimates by
 * llvm-mca (-mcpu=icelake-server: two 512-bit vector ports, two loads a cycle), and say so.
 */
#ifndef NARROW_KERNELS_AVX512VNNI_AVX512VNNI_H
#define NARROW_KERNELS_AVX512VNNI_AVX512VNNI_H

#include "kernels/kernels.h"

/* The emulated build may be linked beside the real one. */
#if defined(NW_EMULATE_AVX512)
#define nw_kernels_init_avx512vnni nw_kernels_init_avx512vnni_emulated
#define nw_gemm_pack_avx512vnni nw_gemm_pack_avx512vnni_emulated
#define nw_gemm_run_avx512vnni nw_gemm_run_avx512vnni_emulated
#define nw_gemm_run_extra_avx512vnni nw_gemm_run_extra_avx512vnni_emulated
#define nw_depthwise_pack_avx512vnni nw_depthwise_pack_avx512vnni_emulated
#define nw_depthwise_run_avx512vnni nw_depthwise_run_avx512vnni_emulated
#define nw_add_avx512vnni nw_add_avx512vnni_emulated
#define nw_max_pool_avx512vnni nw_max_pool_avx512vnni_emulated
#define nw_average_pool_avx512vnni nw_average_pool_avx512vnni_emulated
#define nw_table_avx512vnni nw_table_avx512vnni_emulated
#define nw_requant_bounded_avx512vnni nw_requant_bounded_avx512vnni_emulated
#define nw_requant_rows_avx512vnni nw_requant_rows_avx512vnni_emulated
void nw_kernels_init_avx512vnni_emulated(nw_kernels *kernels);
#endif

size_t nw_gemm_pack_avx512vnni(void *packed, const nw_gemm_source *source);
void nw_gemm_run_avx512vnni(const nw_gemm_call *call);
void nw_gemm_run_extra_avx512vnni(const nw_gemm_call *call);
size_t nw_depthwise_pack_avx512vnni(void *packed, const nw_depthwise_source *source);
void nw_depthwise_run_avx512vnni(const nw_depthwise_call *call);
void nw_add_avx512vnni(const nw_add_call *call);
void nw_max_pool_avx512vnni(const nw_pool_call *call);
void nw_average_pool_avx512vnni(const nw_pool_call *call);
void nw_table_avx512vnni(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256]);

#endif
