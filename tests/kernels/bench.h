/* SPDX-License-Identifier: Apache-2.0 */
/* Benchmarks of one family each, for kernelcheck --bench. They print tables; the level must be able to run. */
#ifndef NARROW_TESTS_KERNELS_BENCH_H
#define NARROW_TESTS_KERNELS_BENCH_H

void bench_avx2(void);

#endif
