/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes most of which are one value. Squeezing: the map 16 codes at a time, and every code is stored where the
 * next one overwrites it unless it counts, so that nothing has to be guessed. Expanding: where a code comes from is the
 * number of bits before its own, which three additions of shifted vectors give for eight codes; a table look-up fetches
 * it.
 */
#include <arm_neon.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/neon/neon.h"

static NW_INLINE uint8x8_t bit_of_lane(void)
{
    return vcreate_u8(0x8040201008040201u);
}

/** The map of 8 codes, of which `same` has all bits of those that do not count. */
static NW_INLINE uint8_t map_of(uint8x8_t same)
{
    return vaddv_u8(vbic_u8(bit_of_lane(), same));
}

size_t nw_squeeze_neon(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const uint8x16_t zeros = vdupq_n_u8(zero);
    size_t count = 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16_t same = vceqq_u8(vld1q_u8(from + i), zeros);
        map[i / 8] = map_of(vget_low_u8(same));
        map[i / 8 + 1] = map_of(vget_high_u8(same));
        for (size_t j = i; j < i + 16; j++) {
            to[count] = from[j];
            count += from[j] != zero;
        }
    }
    for (; i < n; i++) {
        if (i % 8 == 0)
            map[i / 8] = 0;
        map[i / 8] |= (uint8_t)((from[i] != zero) << (i % 8));
        to[count] = from[i];
        count += from[i] != zero;
    }
    return count;
}

/** Codes of 8 bytes at `from` where `map` has a bit, else `zeros`. */
static NW_INLINE uint8x8_t expand_8(uint8_t map, const uint8_t *from, uint8x8_t zeros)
{
    const uint8x8_t none = vdup_n_u8(0);
    const uint8x8_t set = vtst_u8(vdup_n_u8(map), bit_of_lane());
    uint8x8_t before = vsub_u8(none, set); /* 1 where there is a bit; then how many up to here */
    before = vadd_u8(before, vext_u8(none, before, 7));
    before = vadd_u8(before, vext_u8(none, before, 6));
    before = vadd_u8(before, vext_u8(none, before, 4));
    const uint8x8_t codes = vtbl1_u8(vld1_u8(from), vsub_u8(before, vdup_n_u8(1)));
    return vbsl_u8(set, codes, zeros);
}

void nw_expand_neon(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const uint8x8_t zeros = vdup_n_u8(zero);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint8_t m = map[i / 8];
        vst1_u8(to + i, expand_8(m, from, zeros));
        from += vaddv_u8(vcnt_u8(vcreate_u8(m)));
    }
    if (i == n)
        return;
    uint8_t rest[8];
    vst1_u8(rest, expand_8(map[i / 8], from, zeros));
    memcpy(to + i, rest, n - i);
}
