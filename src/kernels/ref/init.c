/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the reference kernels: every entry is set here, so a family may leave any of them out. */
#include "kernels/ref/ref.h"

void nw_kernels_init_ref(nw_kernels *kernels)
{
    *kernels = (nw_kernels){
        .isa = NW_ISA_REF,
        .gemm = {.name = "gemm_ref",
                 .pack = nw_gemm_pack_ref,
                 .run_extra = nw_gemm_run_extra_ref,
                 .run = nw_gemm_run_ref,
                 .mr = 1,
                 .nr = 1,
                 .kr = 1},
        .depthwise = {.name = "depthwise_ref", .pack = nw_depthwise_pack_ref, .run = nw_depthwise_run_ref},
        .add = nw_add_ref,
        .multiply = nw_multiply_ref,
        .max_pool = nw_max_pool_ref,
        .average_pool = nw_average_pool_ref,
        .float_line = nw_float_line_ref,
        .resize_codes = nw_resize_codes_ref,
        .resize_reals = nw_resize_reals_ref,
        .table = nw_table_ref,
        .tables = nw_tables_ref,
        .transpose = nw_transpose_ref,
        .unpack = nw_unpack_ref,
        .pack = nw_pack_ref,
        .squeeze = nw_squeeze_ref,
        .expand = nw_expand_ref,
        .quantize = nw_quantize_ref,
        .dequantize = nw_dequantize_ref,
    };
}
