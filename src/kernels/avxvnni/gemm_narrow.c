/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product with weights of few values, unpacked in registers (kernels/gemm_narrow.h), with 256-bit vpdpbusd. The
 * two steps that are taken at once have sums of their own, because a sum is ready only after five cycles: with one
 * pixel that, not memory, would be the limit. Measured on Zen 5: 42 GB/s from the caches, 1.1 to 1.4 times the speed of
 * bytes; 28 to 36 from memory, 2.0 to 2.5 times. Four pixels gained nothing.
 */
#include "kernels/avx2/gemm_narrow.h"

#include "kernels/avxvnni/avxvnni.h"

static const nw_narrow_shape shape = {.size = 32, .nr = NW_AVX2_NR, .together = 2};

/* sums[2 i], sums[2 i + 1] = the sums of pixel i. mr and bits are constants in each caller. */
static NW_INLINE void tile(__m256i *sums, const nw_narrow_header *header, const nw_narrow_panel *p,
                           const uint8_t *const *a, int mr, int bits)
{
    const lookup l = lookup_of(header);
    const uint8_t *weights = p->weights;
    const uint8_t *x[NARROW_MR];
    __m256i acc[4 * NARROW_MR];
#pragma GCC unroll 2
    for (int i = 0; i < mr; i++)
        x[i] = a[i];
#pragma GCC unroll 8
    for (int i = 0; i < 4 * mr; i++)
        acc[i] = _mm256_setzero_si256();
    for (const int32_t *step = p->steps; step != p->steps_end; step += 2, weights += 16 * bits) {
        __m256i w[4];
        unpack_two_steps(w, weights, &l, bits);
#pragma GCC unroll 2
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++)
                acc[4 * i + v] = _mm256_dpbusd_avx_epi32(acc[4 * i + v], narrow_codes(x[i] + step[v / 2]), w[v]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 2 * mr; i++)
        sums[i] = _mm256_add_epi32(acc[4 * (i / 2) + i % 2], acc[4 * (i / 2) + i % 2 + 2]);
}

NARROW_TILES

size_t nw_gemm_narrow_pack_avxvnni(void *packed, const nw_gemm_source *source)
{
    return nw_narrow_pack(packed, source, &shape);
}

void nw_gemm_narrow_run_avxvnni(const nw_gemm_call *call)
{
    narrow_run(call, tiles);
}

void nw_gemm_narrow_run_extra_avxvnni(const nw_gemm_call *call)
{
    narrow_run_extra(call, tiles);
}
