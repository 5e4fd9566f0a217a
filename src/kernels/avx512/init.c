/* SPDX-License-Identifier: Apache-2.0 */
/* The table of this family. Matrices lie as the AVX2 family packs them. */
#include "kernels/avx2/avx2.h"
#include "kernels/avx512/avx512.h"
#include "kernels/cpu.h"

void nw_kernels_init_avx512(nw_kernels *kernels)
{
    kernels->gemm = (nw_gemm){.name = "gemm_u8w8_8x16c4_avx512",
                              .pack = nw_cpu_is_amd() ? nw_gemm_pack_zen5 : nw_gemm_pack_avx512,
                              .run_extra = nw_gemm_run_extra_avx512,
                              .run = nw_gemm_run_avx512,
                              .mr = 8,
                              .nr = NW_AVX2_NR,
                              .kr = NW_AVX2_KR,
                              .count_runs = nw_gemm_count_runs_avx2};
    kernels->depthwise = (nw_depthwise){.name = "depthwise_u8w8_64_avx512",
                                        .pack = nw_depthwise_pack_avx512,
                                        .run = nw_depthwise_run_avx512,
                                        .count_runs = nw_depthwise_count_runs_avx512};
    kernels->winograd = (nw_winograd){.name = "winograd_u8w8_6x64_avx512",
                                      .pack = nw_winograd_pack_avx512,
                                      .run = nw_winograd_run_avx512,
                                      .nr = NW_AVX512_WINOGRAD_NR,
                                      .product = 0.8f,
                                      .input = 200.0f,
                                      .output = 190.0f,
                                      .byte = 5.0f};
    kernels->add = nw_add_avx512;
    kernels->max_pool = nw_max_pool_avx512;
    kernels->average_pool = nw_average_pool_avx512;
    kernels->table = nw_table_avx512;
    kernels->tables = nw_tables_avx512;
    kernels->unpack = nw_unpack_avx512;
    kernels->pack = nw_pack_avx512;
    if (!nw_cpu_has_vbmi2())
        return;
    kernels->squeeze = nw_squeeze_avx512;
    kernels->expand = nw_expand_avx512;
}
