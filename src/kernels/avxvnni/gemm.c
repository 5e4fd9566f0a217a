/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture with 256-bit vpdpbusd. kernels/gemm_quads.h draws the packed weights.
 *
 * A tile is mr <= 6 pixels by 16 channels, two vectors. One step of four codes: 2 loads of weights, 6 broadcasts, 12
 * vpdpbusd: 6 cycles with two vpdpbusd a cycle (limit: 64 products a cycle), which also hides their latency of 5; 9
 * loads with the step's offset are 3 to 4.5. All in 15 of 16 registers. Measured on Zen 5: 97 % of the peak in large
 * layers.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx2/gemm_finish.h"
#include "kernels/avxvnni/avxvnni.h"
#include "kernels/gemm_quads.h"

#define MR NW_AVXVNNI_MR
#define NR NW_AVXVNNI_NR

static NW_INLINE __m256i broadcast4(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm256_set1_epi32(four);
}

/*
 * x, of which the compiler knows no more than that it is in a register of its own. GCC 12 otherwise lets accumulators
 * share their first value, and moves and stores each of them in every turn of the loop (objdump).
 */
static NW_INLINE __m256i in_register(__m256i x)
{
    __asm__("" : "+x"(x));
    return x;
}

/* sums[2 i], sums[2 i + 1] = the sums of pixel i. mr is a constant in each caller. */
static NW_INLINE void tile(int32_t mr, const nw_quads_panel *p, const uint8_t *const *a, __m256i *sums)
{
    const uint8_t *x[MR];
    __m256i acc[2 * MR];
    const __m256i *w = (const __m256i *)(const void *)p->weights;
#pragma GCC unroll 6
    for (int32_t i = 0; i < mr; i++) {
        x[i] = a[i];
        acc[2 * i] = in_register(_mm256_setzero_si256());
        acc[2 * i + 1] = in_register(_mm256_setzero_si256());
    }
    for (const int32_t *step = p->steps; step != p->steps_end; step++, w += 2) {
        const ptrdiff_t offset = *step;
        const __m256i w0 = _mm256_load_si256(w);
        const __m256i w1 = _mm256_load_si256(w + 1);
        if (mr == 1)
            _mm_prefetch((const char *)w + NW_GEMM_AHEAD, _MM_HINT_T0);
#pragma GCC unroll 6
        for (int32_t i = 0; i < mr; i++) {
            const __m256i codes = broadcast4(x[i] + offset);
            acc[2 * i] = _mm256_dpbusd_avx_epi32(acc[2 * i], codes, w0);
            acc[2 * i + 1] = _mm256_dpbusd_avx_epi32(acc[2 * i + 1], codes, w1);
        }
    }
#pragma GCC unroll 12
    for (int32_t i = 0; i < 2 * mr; i++)
        sums[i] = acc[i];
}

#define TILE(mr)                                                                                                       \
    static NW_NOINLINE void tile_##mr(const nw_quads_panel *p, const uint8_t *const *a, __m256i *sums)                 \
    {                                                                                                                  \
        tile(mr, p, a, sums);                                                                                          \
    }

TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)

typedef void tile_fn(const nw_quads_panel *p, const uint8_t *const *a, __m256i *sums);

static tile_fn *const tiles[MR] = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};

/* Whole tiles in codes, all that most layers consist of. Returns the first pixel that is left. */
static NW_NOINLINE int32_t plain_tiles(const nw_gemm_call *call, const nw_quads_panel *p, int32_t o)
{
    __m256i sums[2 * MR];
    int32_t i = 0;
    for (; i + MR <= call->m; i += MR) {
        tile(MR, p, call->a + i, sums);
        finish_whole_tile(call, sums, i, o, MR);
    }
    return i;
}

size_t nw_gemm_pack_avxvnni(void *packed, const nw_gemm_source *source)
{
    return nw_quads_pack(packed, source, NR, false);
}

void nw_gemm_run_avxvnni(const nw_gemm_call *call)
{
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % NR == 0 && call->begin < call->end);
    __m256i sums[2 * MR];
    nw_extra_list list;
    for (int32_t o = call->begin; o < call->end; o += NR) {
        const nw_quads_panel p = nw_quads_panel_at(call->packed, false, o);
        nw_extra_list_make(&list, call->requant, o, NR);
        const bool plain = p.width == NR && !list.n && !call->requant->wrap16 && !call->requant->float_output;
        for (int32_t i = plain ? plain_tiles(call, &p, o) : 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            tiles[mr - 1](&p, call->a + i, sums);
            finish_any_tile(call, &list, sums, i, mr, o, p.width);
        }
    }
}

void nw_gemm_run_extra_avxvnni(const nw_gemm_call *call)
{
    const int32_t n_extra = call->requant->n_extra;
    __m256i sums[2 * MR];
    for (int32_t e = 0; e < n_extra; e += NR) {
        const nw_quads_panel p = nw_quads_panel_at(call->packed, true, e);
        for (int32_t i = 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            tiles[mr - 1](&p, call->a + i, sums);
            for (int32_t j = 0; j < mr; j++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + j) * n_extra + e, &sums[2 * j],
                       (size_t)p.width * sizeof(int32_t));
        }
    }
}
