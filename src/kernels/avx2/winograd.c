/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's convolution with vpmaddwd, whose sums of two products fit 32 bits (kernels/winograd.h), and vpaddd. */
#include "kernels/avx2/avx2.h"
#include <immintrin.h>

static inline __m256i add_pairs(__m256i acc, __m256i words, __m256i weights)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(words, weights));
}

#include "kernels/avx2/winograd_tile.h"

size_t nw_winograd_pack_avx2(void *packed, const nw_winograd_source *source)
{
    return nw_winograd_pack(packed, source, NW_AVX2_WINOGRAD_NR, true);
}

void nw_winograd_run_avx2(const nw_winograd_call *call)
{
    run_winograd(call);
}
