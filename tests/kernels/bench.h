/* SPDX-License-Identifier: Apache-2.0 */
/* Benchmarks for kernelcheck --bench. They print tables; the level must be able to run. */
#ifndef NARROW_TESTS_KERNELS_BENCH_H
#define NARROW_TESTS_KERNELS_BENCH_H

#include "kernels/kernels.h"

/** Every form of the AVX2 matrix product beside the arithmetic limit of the core. */
void bench_avx2(void);

/** Depthwise, sum, pooling and table of one level beside the reference. */
void bench_entries(const nw_kernels *ref, const nw_kernels *kernels, const char *name);

#endif
