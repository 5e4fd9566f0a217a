/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product with weights of few values, unpacked in registers (kernels/gemm_narrow.h). Sums stay in 16 bits for
 * header->run steps, which the pack function proved to fit.
 *
 * Limit for one pixel: two steps of 16 channels at 4 bits are 64 bytes of weights for 2 shifts, 4 ands, 4 shuffles, 4
 * vpmaddubsw and 4 additions: 5 to 6 cycles on three or four ports, about 10 bytes a cycle, what one core's memory
 * gives. Measured on Zen 5: 42 GB/s from the caches, 0.8 to 1.1 times the speed of bytes, which the loader knows
 * (nw_gemm.least); 28 to 35 GB/s from memory, 2.3 to 3.4 times. Four pixels at once were slower than gemm.c's tile of
 * four wherever the weights were.
 */
#include "kernels/avx2/gemm_narrow.h"

#include "base/arith.h"
#include "kernels/avx2/avx2.h"

static const nw_narrow_shape shape = {.size = 32, .nr = NW_AVX2_NR, .together = 2, .pairs = true};

/* r[2 i], r[2 i + 1] += the products of the steps [step, end), an even number, in 16 bits. */
static NW_INLINE const uint8_t *add_run(__m256i *r, const uint8_t *weights, const int32_t *step, const int32_t *end,
                                        const uint8_t *const *x, const lookup *l, int bits, int mr)
{
    for (; step != end; step += 2, weights += 16 * bits) {
        __m256i w[4];
        unpack_two_steps(w, weights, l, bits);
#pragma GCC unroll 2
        for (int i = 0; i < mr; i++) {
            const __m256i first = narrow_codes(x[i] + step[0]);
            const __m256i second = narrow_codes(x[i] + step[1]);
            r[2 * i] = _mm256_add_epi16(r[2 * i], _mm256_maddubs_epi16(first, w[0]));
            r[2 * i + 1] = _mm256_add_epi16(r[2 * i + 1], _mm256_maddubs_epi16(first, w[1]));
            r[2 * i] = _mm256_add_epi16(r[2 * i], _mm256_maddubs_epi16(second, w[2]));
            r[2 * i + 1] = _mm256_add_epi16(r[2 * i + 1], _mm256_maddubs_epi16(second, w[3]));
        }
    }
    return weights;
}

/* sums[2 i], sums[2 i + 1] = the sums of pixel i. mr and bits are constants in each caller. */
static NW_INLINE void tile(__m256i *sums, const nw_narrow_header *header, const nw_narrow_panel *p,
                           const uint8_t *const *a, int mr, int bits)
{
    const lookup l = lookup_of(header);
    const __m256i ones = _mm256_set1_epi16(1);
    const uint8_t *weights = p->weights;
    const uint8_t *x[NARROW_MR];
    __m256i acc[2 * NARROW_MR];
#pragma GCC unroll 2
    for (int i = 0; i < mr; i++) {
        x[i] = a[i];
        acc[2 * i] = acc[2 * i + 1] = _mm256_setzero_si256();
    }
    for (const int32_t *step = p->steps; step != p->steps_end;) {
        const int32_t *end = step + nw_min32(header->run, (int32_t)(p->steps_end - step));
        __m256i r[2 * NARROW_MR];
#pragma GCC unroll 4
        for (int i = 0; i < 2 * mr; i++)
            r[i] = _mm256_setzero_si256();
        weights = add_run(r, weights, step, end, x, &l, bits, mr);
#pragma GCC unroll 4
        for (int i = 0; i < 2 * mr; i++)
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(r[i], ones));
        step = end;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 2 * mr; i++)
        sums[i] = acc[i];
}

NARROW_TILES

size_t nw_gemm_narrow_pack_avx2(void *packed, const nw_gemm_source *source)
{
    return nw_narrow_pack(packed, source, &shape);
}

void nw_gemm_narrow_run_avx2(const nw_gemm_call *call)
{
    narrow_run(call, tiles);
}

void nw_gemm_narrow_run_extra_avx2(const nw_gemm_call *call)
{
    narrow_run_extra(call, tiles);
}

void nw_gemm_narrow_count_runs_avx2(nw_run_counts *counts, const void *packed)
{
    const nw_narrow_header *header = packed;
    const int64_t n_panels =
        (nw_round_up(header->n_channels, NW_AVX2_NR) + nw_round_up(header->n_extra, NW_AVX2_NR)) / NW_AVX2_NR;
    if (!header->values[0] && !header->values[1])
        return; /* nothing but zeros */
    counts->runs[header->run] += n_panels * (header->n_steps / header->run);
    counts->runs[header->n_steps % header->run] += header->n_steps % header->run ? n_panels : 0;
    counts->places += n_panels * header->n_steps * 4 * NW_AVX2_NR;
}
