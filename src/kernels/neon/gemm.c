/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture, for the three families. Reads what gemm_pack.c packed, takes the exact sums
 * of a tile of 4 pixels by 16 channels from a family's gemm_tile*.c, and turns them into outputs (epilogue.h).
 *
 * The panels are the outer loop: the weights of 16 channels stay in L1 or L2 while up to 128 pixels pass.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/extra.h"
#include "kernels/neon/epilogue.h"
#include "kernels/neon/neon.h"

#define MR NW_NEON_MR
#define NR NW_NEON_NR

static nw_neon_tile tile_at(const void *packed, int32_t index)
{
    const uint8_t *base = packed;
    const nw_neon_gemm *header = packed;
    const nw_neon_panel *p = (const nw_neon_panel *)(const void *)(base + sizeof(*header)) + index;
    return (nw_neon_tile){.start = (const int32_t *)(const void *)(base + p->start),
                          .runs = (const int32_t *)(const void *)(base + p->runs),
                          .offsets = (const int32_t *)(const void *)(base + p->offsets),
                          .weights = (const int8_t *)(base + p->weights),
                          .n_runs = p->n_runs,
                          .n_single = p->n_single,
                          .n_small = p->n_small,
                          .shifted = header->zero != 0};
}

static NW_NOINLINE nw_f32x16 add_extra(const nw_extra_list *list, nw_f32x16 v, const int32_t *sums)
{
    float channels[NR];
    memcpy(channels, &v, sizeof(channels));
    nw_extra_add(channels, list, sums);
    memcpy(&v, channels, sizeof(channels));
    return v;
}

static void finish_tile(const nw_gemm_call *call, const nw_extra_list *list, const int32_t *sums, int32_t i, int32_t mr,
                        int32_t o)
{
    const nw_requant *requant = call->requant;
    const int32_t n = nw_min32(call->end - o, NR);
    for (int32_t j = 0; j < mr; j++, sums += NR) {
        nw_f32x16 v = first_point(
            requant, o, (nw_s32x16){{vld1q_s32(sums), vld1q_s32(sums + 4), vld1q_s32(sums + 8), vld1q_s32(sums + 12)}});
        if (list->n)
            v = add_extra(list, v, call->extra_sums + (ptrdiff_t)(i + j) * requant->n_extra);
        if (requant->residual_multiplier)
            v = add_residual(requant, o, v, call->residual[i + j] + o);
        store_outputs(requant, o, n, v, call->c[i + j]);
    }
}

void nw_neon_gemm_run(const nw_gemm_call *call, nw_neon_tile_fn *tile_sums)
{
    const nw_neon_gemm *header = call->packed;
    const int32_t rows = header->rows;
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % NR == 0 && call->begin < call->end && call->end <= header->n_channels);
    assert(call->end % NR == 0 || call->end == header->n_channels);
    assert(header->n_extra == call->requant->n_extra);
    int32_t sums[MR * NR] = {0}; /* rows past the last panel stay 0 */
    nw_extra_list list;
    for (int32_t o = call->begin; o < call->end; o += NR) {
        nw_neon_tile panels[NR / 4];
        int32_t n = 0;
        for (; n * rows < NR && o / rows + n < header->n_panels; n++)
            panels[n] = tile_at(call->packed, o / rows + n);
        nw_extra_list_make(&list, call->requant, o, NR);
        for (int32_t i = 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            for (int32_t p = 0; p < n; p++)
                tile_sums(sums + p * rows, &panels[p], call->a + i, mr);
            finish_tile(call, &list, sums, i, mr, o);
        }
    }
}

void nw_neon_gemm_run_extra(const nw_gemm_call *call, nw_neon_tile_fn *tile_sums)
{
    const nw_neon_gemm *header = call->packed;
    const int32_t n_extra = header->n_extra;
    assert(n_extra == call->requant->n_extra);
    int32_t sums[MR * NR];
    for (int32_t e = 0; e < n_extra; e += header->rows) {
        const nw_neon_tile p = tile_at(call->packed, header->n_panels + e / header->rows);
        const size_t size = (size_t)nw_min32(n_extra - e, header->rows) * sizeof(int32_t);
        for (int32_t i = 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            tile_sums(sums, &p, call->a + i, mr);
            for (int32_t j = 0; j < mr; j++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + j) * n_extra + e, sums + j * NR, size);
        }
    }
}

void nw_gemm_run_neon(const nw_gemm_call *call)
{
    nw_neon_gemm_run(call, nw_neon_tile_sums);
}

void nw_gemm_run_extra_neon(const nw_gemm_call *call)
{
    nw_neon_gemm_run_extra(call, nw_neon_tile_sums);
}

void nw_gemm_run_dotprod(const nw_gemm_call *call)
{
    nw_neon_gemm_run(call, nw_neon_tile_sums_dotprod);
}

void nw_gemm_run_extra_dotprod(const nw_gemm_call *call)
{
    nw_neon_gemm_run_extra(call, nw_neon_tile_sums_dotprod);
}

void nw_gemm_run_i8mm(const nw_gemm_call *call)
{
    nw_neon_gemm_run(call, nw_neon_tile_sums_i8mm);
}

void nw_gemm_run_extra_i8mm(const nw_gemm_call *call)
{
    nw_neon_gemm_run_extra(call, nw_neon_tile_sums_i8mm);
}
