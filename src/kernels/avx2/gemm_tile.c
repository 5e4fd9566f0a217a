/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loops of the matrix product: tiles of 4 pixels by 16 channels. See gemm_tile.h; gemm_pack.c says why the
 * sums are exact.
 *
 * A step multiplies 4 bytes of each pixel, broadcast, by 64 weights: 2 vpmaddubsw per pixel. In a run of length 1 each
 * goes through vpmaddwd and vpaddd into int32 registers: 16 multiplications on two ports, 8 cycles for the tile's 256
 * products; 24 vector and 6 load instructions leave room for the rest. In longer runs a step is 8 vpmaddubsw and
 * 8 vpaddw, 4 cycles by the ports (4.9 as measured with nothing else in the loop: additions take slots of the multiplying
 * ports), and the sums are folded into memory at the end of the run. Larger tiles have fewer loads per product, but loads
 * are not the limit, and there are not enough registers for both kinds of sums: measured, 5 and 6 pixels by 16 channels
 * were slower where runs are short and equal where they are long.
 */
#include <stddef.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/avx2/gemm_tile.h"

#define MR NW_AVX2_MR

static NW_INLINE __m256i broadcast4(const uint8_t *a)
{
    int32_t bytes;
    memcpy(&bytes, a, sizeof(bytes));
    return _mm256_set1_epi32(bytes);
}

/* Position within a panel. */
typedef struct cursor {
    const int32_t *offset;
    const __m256i *weights;
} cursor;

static NW_INLINE void load_sums(__m256i *r, const __m256i *sums, int32_t n)
{
#pragma GCC unroll 8
    for (int32_t i = 0; i < n; i++)
        r[i] = sums[i];
}

static NW_INLINE void store_sums(__m256i *sums, const __m256i *r, int32_t n)
{
#pragma GCC unroll 8
    for (int32_t i = 0; i < n; i++)
        sums[i] = r[i];
}

/*
 * The loops over steps for a whole tile of 4 pixels. In assembly because eight sums, two weights, a broadcast and a
 * product must each keep their register: from intrinsics GCC 12 copies every sum once per step and spills one, which
 * costs a third of the speed. [at] is the offset of the step's bytes; ymm9 to ymm15 hold what a step needs.
 */
#define NEXT_STEP "movslq (%[offset]), %[at]\n\tadd $4, %[offset]\n\t"
#define END_STEP(size) "add $" #size ", %[w]\n\tdec %[n]\n\tjnz 1b\n\t"
#define LOAD_PIXEL(i) "vpbroadcastd (%[a" #i "],%[at]), %%ymm14\n\t"
#define SUMS                                                                                                          \
    [s0] "+x"(r[0]), [s1] "+x"(r[1]), [s2] "+x"(r[2]), [s3] "+x"(r[3]), [s4] "+x"(r[4]), [s5] "+x"(r[5]),             \
        [s6] "+x"(r[6]), [s7] "+x"(r[7])
#define CURSOR [offset] "+r"(at->offset), [w] "+r"(at->weights), [n] "+r"(n), [at] "=&r"(step)
#define PIXELS [a0] "r"(a[0]), [a1] "r"(a[1]), [a2] "r"(a[2]), [a3] "r"(a[3])

#define TEMPORARIES "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

#define PRODUCT16(b, s) "vpmaddubsw %%" b ", %%ymm14, %%ymm15\n\tvpaddw %%ymm15, %[" #s "], %[" #s "]\n\t"
#define PIXEL16(i, s, s_next) LOAD_PIXEL(i) PRODUCT16("ymm10", s) PRODUCT16("ymm11", s_next)

static NW_INLINE void steps16(__m256i r[8], cursor *at, int32_t n, const uint8_t *const *a)
{
    ptrdiff_t step;
    __asm__ volatile(".p2align 5\n1:\n\t" NEXT_STEP "vmovdqa (%[w]), %%ymm10\n\tvmovdqa 32(%[w]), %%ymm11\n\t" /* */
                     PIXEL16(0, s0, s1) PIXEL16(1, s2, s3) PIXEL16(2, s4, s5) PIXEL16(3, s6, s7) END_STEP(64)
                     : SUMS, CURSOR
                     : PIXELS
                     : "cc", "memory", TEMPORARIES);
}

#define PRODUCT32(b, s)                                                                                               \
    "vpmaddubsw %%" b ", %%ymm14, %%ymm15\n\tvpmaddwd %[ones], %%ymm15, %%ymm15\n\t"                                    \
    "vpaddd %%ymm15, %[" #s "], %[" #s "]\n\t"
#define PIXEL32(i, s, s_next) LOAD_PIXEL(i) PRODUCT32("ymm10", s) PRODUCT32("ymm11", s_next)

static NW_INLINE void steps32(__m256i r[8], cursor *at, int32_t n, const uint8_t *const *a)
{
    const __m256i ones = _mm256_set1_epi16(1);
    ptrdiff_t step;
    __asm__ volatile(".p2align 5\n1:\n\t" NEXT_STEP "vmovdqa (%[w]), %%ymm10\n\tvmovdqa 32(%[w]), %%ymm11\n\t" /* */
                     PIXEL32(0, s0, s1) PIXEL32(1, s2, s3) PIXEL32(2, s4, s5) PIXEL32(3, s6, s7) END_STEP(64)
                     : SUMS, CURSOR
                     : PIXELS, [ones] "x"(ones)
                     : "cc", "memory", TEMPORARIES);
}

#define PRODUCT_WIDE(x, b, s) "vpmaddwd %%" b ", %%" x ", %%ymm15\n\tvpaddd %%ymm15, %[" #s "], %[" #s "]\n\t"
#define PIXEL_WIDE(i, s, s_next)                                                                                      \
    LOAD_PIXEL(i)                                                                                                     \
    "vpsrlw $8, %%ymm14, %%ymm9\n\tvpand %[low], %%ymm14, %%ymm14\n\t" /* odd bytes, even bytes */                    \
        PRODUCT_WIDE("ymm14", "ymm10", s) PRODUCT_WIDE("ymm14", "ymm11", s_next) PRODUCT_WIDE("ymm9", "ymm12", s)     \
            PRODUCT_WIDE("ymm9", "ymm13", s_next)

static NW_INLINE void steps_wide(__m256i r[8], cursor *at, int32_t n, const uint8_t *const *a)
{
    static const struct {
        _Alignas(32) uint16_t mask[16];
    } low = {{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}};
    ptrdiff_t step;
    __asm__ volatile(".p2align 5\n1:\n\t" NEXT_STEP "vmovdqa (%[w]), %%ymm10\n\tvmovdqa 32(%[w]), %%ymm11\n\t"
                     "vmovdqa 64(%[w]), %%ymm12\n\tvmovdqa 96(%[w]), %%ymm13\n\t" /* */
                     PIXEL_WIDE(0, s0, s1) PIXEL_WIDE(1, s2, s3) PIXEL_WIDE(2, s4, s5) PIXEL_WIDE(3, s6, s7)
                         END_STEP(128)
                     : SUMS, CURSOR
                     : PIXELS, [low] "m"(low)
                     : "cc", "memory", TEMPORARIES);
}

/* The same for fewer pixels, at the edge of a picture or for a single vector. mr is a constant in each caller. */
static NW_INLINE void few_steps16(__m256i *r, cursor *at, int32_t n, const uint8_t *const *a, int32_t mr)
{
    for (; n > 0; n--, at->weights += 2) {
        const ptrdiff_t step = *at->offset++;
#pragma GCC unroll 3
        for (int32_t i = 0; i < mr; i++) {
            const __m256i x = broadcast4(a[i] + step);
            r[2 * i] = _mm256_add_epi16(r[2 * i], _mm256_maddubs_epi16(x, at->weights[0]));
            r[2 * i + 1] = _mm256_add_epi16(r[2 * i + 1], _mm256_maddubs_epi16(x, at->weights[1]));
        }
    }
}

static NW_INLINE void few_steps32(__m256i *r, cursor *at, int32_t n, const uint8_t *const *a, int32_t mr)
{
    const __m256i ones = _mm256_set1_epi16(1);
    for (; n > 0; n--, at->weights += 2) {
        const ptrdiff_t step = *at->offset++;
#pragma GCC unroll 3
        for (int32_t i = 0; i < mr; i++) {
            const __m256i x = broadcast4(a[i] + step);
            const __m256i t0 = _mm256_madd_epi16(_mm256_maddubs_epi16(x, at->weights[0]), ones);
            const __m256i t1 = _mm256_madd_epi16(_mm256_maddubs_epi16(x, at->weights[1]), ones);
            r[2 * i] = _mm256_add_epi32(r[2 * i], t0);
            r[2 * i + 1] = _mm256_add_epi32(r[2 * i + 1], t1);
        }
    }
}

static NW_INLINE void few_steps_wide(__m256i *r, cursor *at, int32_t n, const uint8_t *const *a, int32_t mr)
{
    const __m256i low_byte = _mm256_set1_epi16(255);
    for (; n > 0; n--, at->weights += 4) {
        const ptrdiff_t step = *at->offset++;
#pragma GCC unroll 3
        for (int32_t i = 0; i < mr; i++) {
            const __m256i x = broadcast4(a[i] + step);
            const __m256i even = _mm256_and_si256(x, low_byte);
            const __m256i odd = _mm256_srli_epi16(x, 8);
#pragma GCC unroll 2
            for (int32_t h = 0; h < 2; h++) {
                const __m256i t0 = _mm256_madd_epi16(even, at->weights[h]);
                const __m256i t1 = _mm256_madd_epi16(odd, at->weights[2 + h]);
                r[2 * i + h] = _mm256_add_epi32(r[2 * i + h], _mm256_add_epi32(t0, t1));
            }
        }
    }
}

/* `count` steps, each product folded into 32 bits at once. */
static NW_INLINE void single_steps(__m256i *sums, cursor *at, int32_t count, const uint8_t *const *a, int32_t mr)
{
    __m256i r[2 * MR];
    load_sums(r, sums, 2 * mr);
    if (mr == MR)
        steps32(r, at, count, a);
    else
        few_steps32(r, at, count, a, mr);
    store_sums(sums, r, 2 * mr);
}

/* One run of `length` >= 2 steps: sums in 16 bits, which the first step sets. */
static NW_INLINE void run_of_steps(__m256i *sums, cursor *at, int32_t length, const uint8_t *const *a, int32_t mr)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i r[2 * MR];
    const ptrdiff_t first = *at->offset++;
#pragma GCC unroll 4
    for (int32_t i = 0; i < mr; i++) {
        const __m256i x = broadcast4(a[i] + first);
        r[2 * i] = _mm256_maddubs_epi16(x, at->weights[0]);
        r[2 * i + 1] = _mm256_maddubs_epi16(x, at->weights[1]);
    }
    at->weights += 2;
    if (mr == MR)
        steps16(r, at, length - 1, a);
    else
        few_steps16(r, at, length - 1, a, mr);
#pragma GCC unroll 8
    for (int32_t i = 0; i < 2 * mr; i++)
        sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(r[i], ones));
}

/* `count` steps in 16-bit factors: even bytes of a by the first half of the weights, odd ones by the second. */
static NW_INLINE void wide_steps(__m256i *sums, cursor *at, int32_t count, const uint8_t *const *a, int32_t mr)
{
    __m256i r[2 * MR];
    load_sums(r, sums, 2 * mr);
    if (mr == MR)
        steps_wide(r, at, count, a);
    else
        few_steps_wide(r, at, count, a, mr);
    store_sums(sums, r, 2 * mr);
}

/* sums[i][0..16) = the panel's exact sums for pixel i. mr is a constant in each caller. */
static NW_INLINE void tile_sums(__m256i *sums, const nw_avx2_tile_panel *p, const uint8_t *const *a, int32_t mr)
{
    cursor at = {p->offsets, p->weights};
#pragma GCC unroll 8
    for (int32_t i = 0; i < 2 * mr; i++)
        sums[i] = _mm256_setzero_si256();
    for (int32_t g = 0; g < p->n_groups; g++) {
        const int32_t length = p->groups[g].length;
        int32_t count = p->groups[g].count;
        if (length == 1) {
            single_steps(sums, &at, count, a, mr);
            continue;
        }
        do
            run_of_steps(sums, &at, length, a, mr);
        while (--count);
    }
    if (p->n_wide)
        wide_steps(sums, &at, p->n_wide, a, mr);
}

static NW_NOINLINE void tile_sums_4(__m256i *sums, const nw_avx2_tile_panel *p, const uint8_t *const *a)
{
    const uint8_t *const pixels[4] = {a[0], a[1], a[2], a[3]};
    tile_sums(sums, p, pixels, 4);
}

static NW_NOINLINE void tile_sums_3(__m256i *sums, const nw_avx2_tile_panel *p, const uint8_t *const *a)
{
    const uint8_t *const pixels[3] = {a[0], a[1], a[2]};
    tile_sums(sums, p, pixels, 3);
}

static NW_NOINLINE void tile_sums_2(__m256i *sums, const nw_avx2_tile_panel *p, const uint8_t *const *a)
{
    const uint8_t *const pixels[2] = {a[0], a[1]};
    tile_sums(sums, p, pixels, 2);
}

static NW_NOINLINE void tile_sums_1(__m256i *sums, const nw_avx2_tile_panel *p, const uint8_t *const *a)
{
    const uint8_t *const pixels[1] = {a[0]};
    tile_sums(sums, p, pixels, 1);
}

void nw_avx2_tile_sums(__m256i *sums, const nw_avx2_tile_panel *p, const uint8_t *const *a, int32_t mr)
{
    switch (mr) {
    case 4:
        tile_sums_4(sums, p, a);
        break;
    case 3:
        tile_sums_3(sums, p, a);
        break;
    case 2:
        tile_sums_2(sums, p, a);
        break;
    default:
        tile_sums_1(sums, p, a);
    }
}
