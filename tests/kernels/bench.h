/* SPDX-License-Identifier: Apache-2.0 */
/* Benchmarks for kernelcheck --bench. They print tables; the level must be able to run. */
#ifndef NARROW_TESTS_KERNELS_BENCH_H
#define NARROW_TESTS_KERNELS_BENCH_H

#include <stddef.h>

#include "kernels/kernels.h"

/** Seconds of this thread on its core. */
double bench_now(void);

/** The median of v[n], which is sorted. */
double bench_median(double *v, size_t n);

/**
 * Every arrangement of avx2/gemm_pack.c, by the families that read it, beside the limit of the core; json: a line for
 * each K.
 */
void bench_gemm(bool json);

/** Winograd's convolution beside the products of windows, a line of JSON for each shape. */
void bench_winograd(const nw_kernels *kernels, const char *name);

/** Depthwise, sum, pooling and table of one level beside the reference. */
void bench_entries(const nw_kernels *ref, const nw_kernels *kernels, const char *name);

#endif
