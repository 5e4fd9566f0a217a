/* SPDX-License-Identifier: Apache-2.0 */
/* The table of this family; what it leaves out stays with AVX2. */
#include "kernels/avxvnni/avxvnni.h"

void nw_kernels_init_avxvnni(nw_kernels *kernels)
{
    kernels->gemm = (nw_gemm){.name = "gemm_u8w8_6x16c4_avxvnni",
                              .pack = nw_gemm_pack_avxvnni,
                              .run_extra = nw_gemm_run_extra_avxvnni,
                              .run = nw_gemm_run_avxvnni,
                              .mr = NW_AVXVNNI_MR,
                              .nr = NW_AVXVNNI_NR,
                              .kr = 4};
    kernels->gemm_narrow = (nw_gemm){.name = "gemm_u8w4_2x16c8_avxvnni",
                                     .pack = nw_gemm_narrow_pack_avxvnni,
                                     .run_extra = nw_gemm_narrow_run_extra_avxvnni,
                                     .run = nw_gemm_narrow_run_avxvnni,
                                     .mr = 2,
                                     .nr = NW_AVXVNNI_NR,
                                     .kr = 8};
    kernels->winograd.name = "winograd_u8w8_6x16_avxvnni";
    kernels->winograd.run = nw_winograd_run_avxvnni;
    kernels->winograd.product = 2.1f;
    kernels->winograd.input = 1000.0f;
    kernels->winograd.output = 1000.0f;
    kernels->winograd.byte = 5.0f;
    kernels->depthwise = (nw_depthwise){
        .name = "depthwise_u8w8_32c4_avxvnni", .pack = nw_depthwise_pack_avxvnni, .run = nw_depthwise_run_avxvnni};
}
