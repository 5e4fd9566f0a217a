/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the AVX2 kernels; what they leave out stays with the reference. */
#include "kernels/avx2/avx2.h"

void nw_kernels_init_avx2(nw_kernels *kernels)
{
    kernels->gemm = (nw_gemm){.name = "gemm_u8w8_4x16c4_avx2",
                              .pack = nw_gemm_pack_avx2,
                              .run_extra = nw_gemm_run_extra_avx2,
                              .run = nw_gemm_run_avx2,
                              .mr = NW_AVX2_MR,
                              .nr = NW_AVX2_NR,
                              .kr = NW_AVX2_KR,
                              .count_runs = nw_gemm_count_runs_avx2};
    kernels->gemm_narrow = (nw_gemm){.name = "gemm_u8w4_2x16c8_avx2",
                                     .pack = nw_gemm_narrow_pack_avx2,
                                     .run_extra = nw_gemm_narrow_run_extra_avx2,
                                     .run = nw_gemm_narrow_run_avx2,
                                     .mr = 2,
                                     .nr = NW_AVX2_NR,
                                     .kr = 8,
                                     .least = 1 << 20,
                                     .count_runs = nw_gemm_narrow_count_runs_avx2};
    kernels->winograd = (nw_winograd){.name = "winograd_u8w8_6x16_avx2",
                                      .pack = nw_winograd_pack_avx2,
                                      .run = nw_winograd_run_avx2,
                                      .nr = NW_AVX2_WINOGRAD_NR,
                                      .product = 1.1f,
                                      .input = 600.0f,
                                      .output = 650.0f,
                                      .byte = 2.0f};
    kernels->depthwise = (nw_depthwise){.name = "depthwise_u8w8_32_avx2",
                                        .pack = nw_depthwise_pack_avx2,
                                        .run = nw_depthwise_run_avx2,
                                        .count_runs = nw_depthwise_count_runs_avx2};
    kernels->add = nw_add_avx2;
    kernels->multiply = nw_multiply_avx2;
    kernels->max_pool = nw_max_pool_avx2;
    kernels->average_pool = nw_average_pool_avx2;
    kernels->float_line = nw_float_line_avx2;
    kernels->resize_codes = nw_resize_codes_avx2;
    kernels->resize_reals = nw_resize_reals_avx2;
    kernels->table = nw_table_avx2;
    kernels->transpose = nw_transpose_avx2;
    kernels->unpack = nw_unpack_avx2;
    kernels->pack = nw_pack_avx2;
    kernels->squeeze = nw_squeeze_avx2;
    kernels->expand = nw_expand_avx2;
    kernels->quantize = nw_quantize_avx2;
    kernels->dequantize = nw_dequantize_avx2;
}
