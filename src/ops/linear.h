/* SPDX-License-Identifier: Apache-2.0 */
/* What the executors of a linear layer share: linear.c chooses; dense.c, depthwise.c and winograd.c do the work. */
#ifndef NARROW_OPS_LINEAR_H
#define NARROW_OPS_LINEAR_H

#include "ops/ops.h"

nw_status nw_dense_make(nw_job *job, const nw_linear_params *params, const nw_requant *requant,
                        const nw_kernels *kernels, nw_arena *arena);
nw_status nw_depthwise_make(nw_job *job, const nw_linear_params *params, const nw_requant *requant,
                            const nw_kernels *kernels, nw_arena *arena);

/**
 * By Winograd's convolution, or false and nothing done: where the family has none, where it is slower (unless asked
 * for), or not proven to be exact. The job has no run_rows.
 */
bool nw_winograd_make(nw_job *job, const nw_linear_params *params, const nw_requant *requant, const nw_kernels *kernels,
                      nw_arena *arena);

/** Lowest and highest code of input channel c; the padding's code, z, lies between because lo <= 0 <= hi. */
void nw_linear_input_range(const nw_linear_params *params, int32_t c, uint8_t *lowest, uint8_t *highest);

#endif
