/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product with weights of few values, unpacked in registers (kernels/gemm_narrow.h).
 *
 * Limit for one pixel: a step of 64 channels at 4 bits is 128 bytes of weights for 2 shifts, 4 ands, 4 shuffles and 4
 * vpdpbusd, whose sums are ready after five cycles: 25 bytes a cycle, several times what one core reads from memory.
 * Measured on Zen 5: 100 GB/s from the caches, 1.0 to 1.7 times the speed of bytes; 29 to 45 GB/s from memory, 1.9 to
 * 2.1 times. With four pixels 1.6 times, from the caches 1.0.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx512/finish.h"
#include "kernels/avx512vnni/avx512vnni.h"
#include "kernels/gemm_narrow.h"

#define MR 4
#define NR NW_AVX512VNNI_NR

static const nw_narrow_shape shape = {.size = 64, .nr = NR, .together = 1};

static NW_INLINE __m512i broadcast4(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm512_set1_epi32(four);
}

/* What the indices in the low bits of each byte stand for. */
static NW_INLINE __m512i look_up(__m512i values, __m512i mask, __m512i indices)
{
    return _mm512_shuffle_epi8(values, _mm512_and_si512(indices, mask));
}

/* The four vectors of a step. bits: a constant in each caller. */
static NW_INLINE void unpack(__m512i w[4], const uint8_t *packed, __m512i values, __m512i mask, int bits)
{
    const __m512i first = _mm512_loadu_si512(packed);
    const __m512i second = bits == 4 ? _mm512_loadu_si512(packed + 64) : _mm512_srli_epi16(first, 4);
    _mm_prefetch((const char *)packed + NW_GEMM_AHEAD, _MM_HINT_T0);
    if (bits == 4)
        _mm_prefetch((const char *)packed + NW_GEMM_AHEAD + 64, _MM_HINT_T0);
    w[0] = look_up(values, mask, first);
    w[1] = look_up(values, mask, bits == 4 ? _mm512_srli_epi16(first, 4) : _mm512_srli_epi16(first, 2));
    w[2] = look_up(values, mask, second);
    w[3] = look_up(values, mask, bits == 4 ? _mm512_srli_epi16(second, 4) : _mm512_srli_epi16(second, 2));
}

/* sums[16 q i ..] = start + the products of pixel i, q vectors of the four. mr and bits: constants in each caller. */
static NW_INLINE void tile(int32_t *sums, const int32_t *start, int32_t q, const nw_narrow_header *header,
                           const nw_narrow_panel *p, const uint8_t *const *a, int mr, int bits)
{
    const __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)header->values));
    const __m512i mask = _mm512_set1_epi8((char)((1 << bits) - 1));
    const uint8_t *weights = p->weights;
    const uint8_t *x[MR];
    __m512i acc[4 * MR];
#pragma GCC unroll 4
    for (int i = 0; i < mr; i++) {
        x[i] = a[i];
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            acc[4 * i + v] = in_register(_mm512_setzero_si512());
    }
    for (const int32_t *step = p->steps; step != p->steps_end; step++, weights += 32 * bits) {
        const ptrdiff_t offset = *step;
        __m512i w[4];
        unpack(w, weights, values, mask, bits);
#pragma GCC unroll 4
        for (int i = 0; i < mr; i++) {
            const __m512i codes = broadcast4(x[i] + offset);
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++)
                acc[4 * i + v] = _mm512_dpbusd_epi32(acc[4 * i + v], codes, w[v]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            if (v < q)
                _mm512_storeu_si512(sums + 16 * (q * i + v),
                                    _mm512_add_epi32(acc[4 * i + v], _mm512_loadu_si512(start + 16 * v)));
}

typedef void tile_fn(int32_t *sums, const int32_t *start, int32_t q, const nw_narrow_header *header,
                     const nw_narrow_panel *p, const uint8_t *const *a);

#define TILE(mr, bits)                                                                                                 \
    static void tile_##mr##_##bits(int32_t *sums, const int32_t *start, int32_t q, const nw_narrow_header *h,          \
                                   const nw_narrow_panel *p, const uint8_t *const *a)                                  \
    {                                                                                                                  \
        tile(sums, start, q, h, p, a, mr, bits);                                                                       \
    }

TILE(1, 2)
TILE(2, 2)
TILE(3, 2)
TILE(4, 2)
TILE(1, 4)
TILE(2, 4)
TILE(3, 4)
TILE(4, 4)

/* [bits / 4][mr - 1] */
static tile_fn *const tiles[2][MR] = {{tile_1_2, tile_2_2, tile_3_2, tile_4_2},
                                      {tile_1_4, tile_2_4, tile_3_4, tile_4_4}};

size_t nw_gemm_narrow_pack_avx512vnni(void *packed, const nw_gemm_source *source)
{
    return nw_narrow_pack(packed, source, &shape);
}

void nw_gemm_narrow_run_avx512vnni(const nw_gemm_call *call)
{
    const nw_narrow_header *header = call->packed;
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    assert(call->begin % NR == 0 && call->begin < call->end && call->end <= header->n_channels);
    _Alignas(64) int32_t sums[MR * NR];
    nw_finish finish;
    for (int32_t o = call->begin; o < call->end; o += NR) {
        const nw_narrow_panel p = nw_narrow_panel_at(call->packed, false, o);
        nw_finish_init_avx512(&finish, call, o, p.width);
        for (int32_t i = 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            tiles[header->bits / 4][mr - 1](sums, finish.start, finish.q, header, &p, call->a + i);
            nw_finish_run_avx512(&finish, sums, i, mr);
        }
    }
}

void nw_gemm_narrow_run_extra_avx512vnni(const nw_gemm_call *call)
{
    const nw_narrow_header *header = call->packed;
    const int32_t n_extra = header->n_extra;
    _Alignas(64) int32_t sums[MR * NR];
    for (int32_t e = 0; e < n_extra; e += NR) {
        const nw_narrow_panel p = nw_narrow_panel_at(call->packed, true, e);
        for (int32_t i = 0; i < call->m; i += MR) {
            const int32_t mr = nw_min32(call->m - i, MR);
            tiles[header->bits / 4][mr - 1](sums, nw_finish_zeros_avx512, 4, header, &p, call->a + i);
            for (int32_t r = 0; r < mr; r++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + r) * n_extra + e, sums + NR * r,
                       (size_t)p.width * sizeof(int32_t));
        }
    }
}
