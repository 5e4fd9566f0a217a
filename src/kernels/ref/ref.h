/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference kernels: what an integer network computes, readable beside docs/numerics.md. Tests compare every faster
 * kernel with these; the engine falls back on them. No unrolling, no tricks.
 */
#ifndef NARROW_KERNELS_REF_REF_H
#define NARROW_KERNELS_REF_REF_H

#include "kernels/kernels.h"

/**
 * One output of the one layer form, from the sum of the first point; kernels.h gives the formula.
 *
 * @param acc       the first point's sum (before wrap16)
 * @param extra     [n_extra] sums of the extra rows of this pixel, or NULL when n_extra is 0
 * @param residual  the residual's code, unused without one
 * @param c         base of the output pixel; c[o] is written as uint8_t or float
 */
void nw_requant_store_ref(const nw_requant *requant, int32_t o, int32_t acc, const int32_t *extra, uint8_t residual,
                          void *c);

size_t nw_gemm_pack_ref(void *packed, const nw_gemm_source *source);
void nw_gemm_run_ref(const nw_gemm_call *call);
void nw_gemm_run_extra_ref(const nw_gemm_call *call);
size_t nw_depthwise_pack_ref(void *packed, const nw_depthwise_source *source);
void nw_depthwise_run_ref(const nw_depthwise_call *call);
void nw_add_ref(const nw_add_call *call);
void nw_multiply_ref(const nw_multiply_call *call);
void nw_max_pool_ref(const nw_pool_call *call);
void nw_average_pool_ref(const nw_pool_call *call);
void nw_float_line_ref(const nw_float_call *call);
void nw_resize_codes_ref(const nw_resize_call *call);
void nw_resize_reals_ref(const nw_resize_call *call);
void nw_table_ref(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256]);
void nw_tables_ref(const nw_tables_call *call);
void nw_transpose_ref(const nw_transpose_call *call);
void nw_unpack_ref(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift);
size_t nw_squeeze_ref(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);
void nw_expand_ref(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);
void nw_pack_ref(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift);
void nw_quantize_ref(const nw_quantize_call *call);
void nw_dequantize_ref(float *y, const uint8_t *x, size_t n, float scale, int32_t zero_point);

#endif
