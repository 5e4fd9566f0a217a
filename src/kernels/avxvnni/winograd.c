/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's convolution with 256-bit vpdpwssd (kernels/winograd.h). Weights are packed as avx2/winograd.c does. */
#include "kernels/avxvnni/avxvnni.h"
#include <immintrin.h>

static inline __m256i add_pairs(__m256i acc, __m256i words, __m256i weights)
{
    return _mm256_dpwssd_avx_epi32(acc, words, weights);
}

#include "kernels/avx2/winograd_tile.h"

void nw_winograd_run_avxvnni(const nw_winograd_call *call)
{
    run_winograd(call);
}
