/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture. Reads what gemm_pack.c packed, takes the exact sums of a tile from
 * gemm_tile.h, and turns them into outputs (gemm_finish.h): a whole tile at once where that is possible, else pixel by
 * pixel.
 *
 * The panels are the outer loop: a panel's weights (at most tens of KiB) stay in L1 or L2 while up to 128 pixels pass.
 */
#include <assert.h>
#include <stddef.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/gemm_finish.h"
#include "kernels/avx2/gemm_tile.h"

#define NR NW_AVX2_NR

static tile_panel panel_at(const void *packed, int32_t index)
{
    const uint8_t *base = packed;
    const nw_avx2_panel *p = nw_avx2_panel_at(packed, index);
    return (tile_panel){.groups = (const nw_avx2_group *)(const void *)(base + p->groups),
                        .offsets = (const int32_t *)(const void *)(base + p->offsets),
                        .weights = (const __m256i *)(const void *)(base + p->weights),
                        .n_groups = p->n_groups,
                        .n_short = p->n_short,
                        .n_units = p->n_units,
                        .n_wide = p->n_wide};
}

/* The edge of the pixels: fewer than 4. */
static NW_NOINLINE void few_sums(__m256i *sums, const tile_panel *p, const uint8_t *const *a, int32_t mr)
{
    const __m256i none[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    if (mr == 1)
        tile_sums(sums, p, a, 1, none);
    else if (mr == 2)
        tile_sums(sums, p, a, 2, none);
    else
        tile_sums(sums, p, a, 3, none);
}

/* Whole tiles in codes, all that most layers consist of. Returns the first pixel that is left. */
static NW_NOINLINE int32_t plain_tiles(const nw_gemm_call *call, const tile_panel *p, int32_t o)
{
    const __m256i offset[2] = {load_i32(call->requant->offset + o), load_i32(call->requant->offset + o + 8)};
    __m256i sums[2 * MR];
    int32_t i = 0;
    for (; i + MR <= call->m; i += MR) {
        tile_sums(sums, p, call->a + i, MR, offset);
        finish_started_tile(call, sums, i, o, MR);
    }
    return i;
}

/* The same for the last panel of n < 16 channels, and for floats. */
static NW_NOINLINE int32_t rest_tiles(const nw_gemm_call *call, const tile_panel *p, int32_t o, int32_t n)
{
    const __m256i none[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    __m256i sums[2 * MR];
    int32_t i = 0;
    for (; i + MR <= call->m; i += MR) {
        tile_sums(sums, p, call->a + i, MR, none);
        finish_rest_tile(call, sums, i, o, n, MR);
    }
    return i;
}

/* The sums of any tile. */
static NW_NOINLINE void any_sums(__m256i *sums, const tile_panel *p, const uint8_t *const *a, int32_t mr)
{
    const __m256i none[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    if (mr == MR)
        tile_sums(sums, p, a, MR, none);
    else
        few_sums(sums, p, a, mr);
}

void nw_gemm_run_avx2(const nw_gemm_call *call)
{
    const nw_avx2_gemm *header = call->packed;
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % NR == 0 && call->begin < call->end && call->end <= header->n_channels);
    assert(call->end % NR == 0 || call->end == header->n_channels);
    assert(header->n_extra == call->requant->n_extra);
    (void)header;
    __m256i sums[2 * MR];
    nw_extra_list list;
    for (int32_t o = call->begin; o < call->end; o += NR) {
        const tile_panel p = panel_at(call->packed, o / NR);
        nw_extra_list_make(&list, call->requant, o, NR);
        const int32_t n = nw_min32(call->end - o, NR);
        int32_t i = 0;
        if (!list.n && !call->requant->wrap16)
            i = n == NR && !call->requant->float_output ? plain_tiles(call, &p, o) : rest_tiles(call, &p, o, n);
        for (; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            any_sums(sums, &p, call->a + i, mr);
            finish_any_tile(call, &list, sums, i, mr, o, n);
        }
    }
}

void nw_gemm_run_extra_avx2(const nw_gemm_call *call)
{
    const nw_avx2_gemm *header = call->packed;
    const int32_t n_extra = header->n_extra;
    assert(n_extra == call->requant->n_extra);
    __m256i sums[2 * MR];
    for (int32_t e = 0; e < n_extra; e += NR) {
        const tile_panel p = panel_at(call->packed, header->n_panels + e / NR);
        const size_t size = (size_t)nw_min32(n_extra - e, NR) * sizeof(int32_t);
        for (int32_t i = 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            any_sums(sums, &p, call->a + i, mr);
            for (int32_t j = 0; j < mr; j++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + j) * n_extra + e, &sums[2 * j], size);
        }
    }
}
