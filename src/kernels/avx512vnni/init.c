/* SPDX-License-Identifier: Apache-2.0 */
/* The table of this family; what it leaves out stays with the AVX-512 kernels. */
#include "kernels/avx512vnni/avx512vnni.h"

void nw_kernels_init_avx512vnni(nw_kernels *kernels)
{
    kernels->gemm = (nw_gemm){.name = "gemm_u8w8_6x64c4_avx512vnni",
                              .pack = nw_gemm_pack_avx512vnni,
                              .run_extra = nw_gemm_run_extra_avx512vnni,
                              .run = nw_gemm_run_avx512vnni,
                              .mr = 6,
                              .nr = NW_AVX512VNNI_NR,
                              .kr = 4};
    kernels->gemm_narrow = (nw_gemm){.name = "gemm_u8w4_4x64c4_avx512vnni",
                                     .pack = nw_gemm_narrow_pack_avx512vnni,
                                     .run_extra = nw_gemm_narrow_run_extra_avx512vnni,
                                     .run = nw_gemm_narrow_run_avx512vnni,
                                     .mr = 4,
                                     .nr = NW_AVX512VNNI_NR,
                                     .kr = 4};
    kernels->depthwise = (nw_depthwise){.name = "depthwise_u8w8_64c4_avx512vnni",
                                        .pack = nw_depthwise_pack_avx512vnni,
                                        .run = nw_depthwise_run_avx512vnni,
                                        .run_rows = nw_depthwise_run_rows_avx512vnni};
    kernels->winograd.name = "winograd_u8w8_6x64_avx512vnni";
    kernels->winograd.run = nw_winograd_run_avx512vnni;
    kernels->winograd.product = 2.1f;
    kernels->winograd.input = 600.0f;
    kernels->winograd.output = 550.0f;
    kernels->winograd.byte = 10.0f;
}
