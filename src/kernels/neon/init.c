/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the Arm kernels; what they leave out stays with the reference, or with the family below. */
#include "kernels/neon/neon.h"

void nw_kernels_init_neon(nw_kernels *kernels)
{
    kernels->gemm = (nw_gemm){.name = "gemm_u8w8_4x4c16_neon",
                              .pack = nw_gemm_pack_neon,
                              .run_extra = nw_gemm_run_extra_neon,
                              .run = nw_gemm_run_neon,
                              .mr = NW_NEON_MR,
                              .nr = NW_NEON_NR,
                              .kr = NW_NEON_STEP,
                              .count_runs = nw_gemm_count_runs_neon};
    kernels->depthwise =
        (nw_depthwise){.name = "depthwise_u8w8_16_neon", .pack = nw_depthwise_pack_neon, .run = nw_depthwise_run_neon};
    /* by counts of instructions */
    kernels->winograd = (nw_winograd){.name = "winograd_u8w8_4x16_neon",
                                      .pack = nw_winograd_pack_neon,
                                      .run = nw_winograd_run_neon,
                                      .nr = NW_NEON_WINOGRAD_NR,
                                      .product = 1.3f,
                                      .input = 250.0f,
                                      .output = 350.0f,
                                      .byte = 1.0f};
    kernels->add = nw_add_neon;
    kernels->max_pool = nw_max_pool_neon;
    kernels->average_pool = nw_average_pool_neon;
    kernels->table = nw_table_neon;
    kernels->squeeze = nw_squeeze_neon;
    kernels->expand = nw_expand_neon;
}

void nw_kernels_init_dotprod(nw_kernels *kernels)
{
    kernels->winograd = (nw_winograd){0}; /* the instruction takes four times as many bytes as smlal takes words */
    kernels->gemm = (nw_gemm){.name = "gemm_u8w8_4x16c4_dotprod",
                              .pack = nw_gemm_pack_dotprod,
                              .run_extra = nw_gemm_run_extra_dotprod,
                              .run = nw_gemm_run_dotprod,
                              .mr = NW_NEON_MR,
                              .nr = NW_NEON_NR,
                              .kr = 4};
}

void nw_kernels_init_i8mm(nw_kernels *kernels)
{
    kernels->gemm = (nw_gemm){.name = "gemm_u8w8_4x16c8_i8mm",
                              .pack = nw_gemm_pack_i8mm,
                              .run_extra = nw_gemm_run_extra_i8mm,
                              .run = nw_gemm_run_i8mm,
                              .mr = NW_NEON_MR,
                              .nr = NW_NEON_NR,
                              .kr = 8};
}
