/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's convolution with vpdpwssd (kernels/winograd.h). Weights are packed as avx512/winograd.c does. */
#include "kernels/avx512/intrinsics.h"
#include "kernels/avx512vnni/avx512vnni.h"

static inline __m512i add_pairs(__m512i acc, __m512i words, __m512i weights)
{
    return _mm512_dpwssd_epi32(acc, words, weights);
}

#include "kernels/avx512/winograd_tile.h"

void nw_winograd_run_avx512vnni(const nw_winograd_call *call)
{
    run_winograd(call);
}
