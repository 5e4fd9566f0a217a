/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's convolution with vpmaddwd, whose sums of two products fit 32 bits (kernels/winograd.h), and vpaddd. */
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/intrinsics.h"

static inline __m512i add_pairs(__m512i acc, __m512i words, __m512i weights)
{
    add32_to(&acc, _mm512_madd_epi16(words, weights));
    return acc;
}

#include "kernels/avx512/winograd_tile.h"

size_t nw_winograd_pack_avx512(void *packed, const nw_winograd_source *source)
{
    return nw_winograd_pack(packed, source, NW_AVX512_WINOGRAD_NR, false);
}

void nw_winograd_run_avx512(const nw_winograd_call *call)
{
    run_winograd(call);
}
