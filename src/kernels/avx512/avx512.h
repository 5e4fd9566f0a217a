/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of this folder, as init.c puts them into the table: AVX-512 F, BW, DQ and VL. What needs no further
 * instructions serves the families above as well: requant.h, finish.h, depthwise_block.h, pooling, sums, tables.
 *
 * Figures in comments are counts of instructions and estimates by llvm-mca (-mcpu=skylake-avx512, icelake-server: two
 * 512-bit vector ports, two loads a cycle) or measurements on Zen 5 (four vector ports, of which two multiply), and say
 * so.
 */
#ifndef NARROW_KERNELS_AVX512_AVX512_H
#define NARROW_KERNELS_AVX512_AVX512_H

#include "kernels/kernels.h"

/** Packed as avx2.h says, arranged by what this family takes for the parts: where two ports do all, and on Zen 5. */
size_t nw_gemm_pack_avx512(void *packed, const nw_gemm_source *source);
size_t nw_gemm_pack_zen5(void *packed, const nw_gemm_source *source);
void nw_gemm_run_avx512(const nw_gemm_call *call);
void nw_gemm_run_extra_avx512(const nw_gemm_call *call);
size_t nw_depthwise_pack_avx512(void *packed, const nw_depthwise_source *source);
void nw_depthwise_count_runs_avx512(nw_run_counts *counts, const void *packed);
void nw_depthwise_run_avx512(const nw_depthwise_call *call);
void nw_add_avx512(const nw_add_call *call);
void nw_max_pool_avx512(const nw_pool_call *call);
void nw_average_pool_avx512(const nw_pool_call *call);
void nw_table_avx512(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256]);
void nw_tables_avx512(const nw_tables_call *call);
#define NW_AVX512_WINOGRAD_NR 64
size_t nw_winograd_pack_avx512(void *packed, const nw_winograd_source *source);
void nw_winograd_run_avx512(const nw_winograd_call *call);
void nw_unpack_avx512(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift);
void nw_pack_avx512(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift);
/* with VBMI2 */
size_t nw_squeeze_avx512(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);
void nw_expand_avx512(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);

#endif
