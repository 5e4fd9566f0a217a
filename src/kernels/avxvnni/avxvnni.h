/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of this folder, as init.c puts them into the table: AVX2 with the VEX form of VNNI (Alder Lake and its
 * successors, Zen 5). Only products differ from the family below, avx2/; vpdpbusd adds four products u8 x s8 to an
 * int32 without saturation, so these kernels need none of its proofs.
 *
 * Figures in comments are counts of instructions, and measurements on Zen 5 where they say so.
 */
#ifndef NARROW_KERNELS_AVXVNNI_AVXVNNI_H
#define NARROW_KERNELS_AVXVNNI_AVXVNNI_H

#include "kernels/kernels.h"

#define NW_AVXVNNI_MR 6  /* pixels of a tile */
#define NW_AVXVNNI_NR 16 /* channels of a panel */

size_t nw_gemm_pack_avxvnni(void *packed, const nw_gemm_source *source);
void nw_gemm_run_avxvnni(const nw_gemm_call *call);
void nw_gemm_run_extra_avxvnni(const nw_gemm_call *call);
size_t nw_gemm_narrow_pack_avxvnni(void *packed, const nw_gemm_source *source);
void nw_gemm_narrow_run_avxvnni(const nw_gemm_call *call);
void nw_gemm_narrow_run_extra_avxvnni(const nw_gemm_call *call);
size_t nw_depthwise_pack_avxvnni(void *packed, const nw_depthwise_source *source);
void nw_depthwise_run_avxvnni(const nw_depthwise_call *call);
void nw_winograd_run_avxvnni(const nw_winograd_call *call);

#endif
