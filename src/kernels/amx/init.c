/* SPDX-License-Identifier: Apache-2.0 */
/* The table of this family; what it leaves out stays with AVX-512 VNNI. nr is that of both layouts. */
#include "kernels/amx/amx.h"
#include "kernels/avx512vnni/avx512vnni.h"

void nw_kernels_init_amx(nw_kernels *kernels)
{
    kernels->gemm = (nw_gemm){.name = "gemm_u8w8_32x32c64_amx",
                              .pack = nw_gemm_pack_amx,
                              .run_extra = nw_gemm_run_extra_amx,
                              .run = nw_gemm_run_amx,
                              .mr = 32,
                              .nr = NW_AVX512VNNI_NR,
                              .kr = NW_AMX_K};
    kernels->winograd = (nw_winograd){0}; /* a tile multiplies bytes 16 times as fast as vectors multiply words */
}
