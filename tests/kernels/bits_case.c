/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of narrow codes: unpacking and packing, every width, shift and length around the vectors' ends; rows with many
 * zeros.
 *
 * slots: 0 and 1 inputs, 6 and 7 outputs, 8 and 9 maps
 */
#include <string.h>

#include "base/bits.h"
#include "check.h"

typedef void entry(check *c, const nw_kernels *ref, const nw_kernels *opt, size_t n, int32_t bits, int32_t shift);

static void one_unpack(check *c, const nw_kernels *ref, const nw_kernels *opt, size_t n, int32_t bits, int32_t shift)
{
    check_case(c);
    const uint8_t *from = check_alloc(c, 0, nw_bits_row_size(n, bits), 1); /* nothing behind the row may be read */
    uint8_t *out_ref = check_alloc(c, 6, n + 32, 1);
    uint8_t *out_opt = check_alloc(c, 7, n + 32, 1);
    memcpy(out_opt, out_ref, n + 32);
    check_describe(c, "n=%zu bits=%d shift=%d", n, bits, shift);
    ref->unpack(out_ref + 16, from, n, bits, shift);
    opt->unpack(out_opt + 16, from, n, bits, shift);
    check_equal(c, "output", out_ref, out_opt, n + 32);
}

static void one_pack(check *c, const nw_kernels *ref, const nw_kernels *opt, size_t n, int32_t bits, int32_t shift)
{
    check_case(c);
    const size_t size = nw_bits_row_size(n, bits) + 32;
    const uint8_t *from = check_alloc(c, 0, n, 1); /* any bytes: what lies above the code's bits is left out */
    uint8_t *out_ref = check_alloc(c, 6, size, 1);
    uint8_t *out_opt = check_alloc(c, 7, size, 1);
    uint8_t *back = check_alloc(c, 1, n, 1);
    memcpy(out_opt, out_ref, size);
    check_describe(c, "n=%zu bits=%d shift=%d", n, bits, shift);
    ref->pack(out_ref + 16, from, n, bits, shift);
    opt->pack(out_opt + 16, from, n, bits, shift);
    check_equal(c, "output", out_ref, out_opt, size);
    ref->unpack(back, out_opt + 16, n, bits, shift);
    bool same = true;
    for (size_t i = 0; i < n; i++)
        same = same && back[i] == (from[i] & ((1u << bits) - 1u) << shift);
    check_true(c, "codes unpacked again", same);
}

static void every_row(check *c, const nw_kernels *ref, const nw_kernels *opt, entry *one)
{
    for (int32_t bits = 1; bits <= 7; bits++)
        for (int32_t shift = 0; bits + shift <= 8; shift++) {
            for (size_t n = 1; n <= 200; n += n < 70 ? 1 : 9)
                one(c, ref, opt, n, bits, shift);
            one(c, ref, opt, (size_t)check_range(c, 1000, 5000), bits, shift);
        }
}

void check_unpack(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (check_entry(c, "unpack"))
        every_row(c, ref, opt, one_unpack);
}

void check_pack(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (check_entry(c, "pack"))
        every_row(c, ref, opt, one_pack);
}

/** n codes, about one in `rare` of which is not `zero`. */
static uint8_t *sparse(check *c, size_t n, int32_t rare, uint8_t zero)
{
    uint8_t *codes = check_alloc(c, 0, n, 1);
    for (size_t i = 0; i < n; i++)
        if (!check_one_in(c, rare))
            codes[i] = zero;
    return codes;
}

static void one_squeeze(check *c, const nw_kernels *ref, const nw_kernels *opt, size_t n, int32_t rare)
{
    check_case(c);
    const uint8_t zero = (uint8_t)check_range(c, 0, 255);
    const size_t map_size = (n + 7) / 8;
    const uint8_t *from = sparse(c, n, rare, zero);
    uint8_t *out_ref = check_alloc(c, 6, n + 8, 1);
    uint8_t *out_opt = check_alloc(c, 7, n + 8, 1);
    uint8_t *map_ref = check_alloc(c, 8, map_size + 16, 1);
    uint8_t *map_opt = check_alloc(c, 9, map_size + 16, 1);
    memcpy(map_opt, map_ref, map_size + 16);
    check_describe(c, "n=%zu zero=%d, one in %d is not", n, zero, rare);
    const size_t count = ref->squeeze(out_ref, map_ref + 8, from, n, zero);
    check_true(c, "count", opt->squeeze(out_opt, map_opt + 8, from, n, zero) == count);
    check_equal(c, "codes", out_ref, out_opt, count);
    check_equal(c, "map", map_ref, map_opt, map_size + 16);
}

static void one_expand(check *c, const nw_kernels *ref, const nw_kernels *opt, size_t n, int32_t rare)
{
    check_case(c);
    const uint8_t zero = (uint8_t)check_range(c, 0, 255);
    const uint8_t *codes = sparse(c, n, rare, zero);
    uint8_t *squeezed = check_alloc(c, 1, n + 8, 1);
    uint8_t *map = check_alloc(c, 8, (n + 7) / 8, 1);
    uint8_t *out_ref = check_alloc(c, 6, n + 32, 1);
    uint8_t *out_opt = check_alloc(c, 7, n + 32, 1);
    memcpy(out_opt, out_ref, n + 32);
    check_describe(c, "n=%zu zero=%d, one in %d is not", n, zero, rare);
    ref->squeeze(squeezed, map, codes, n, zero);
    ref->expand(out_ref + 16, map, squeezed, n, zero);
    opt->expand(out_opt + 16, map, squeezed, n, zero);
    check_equal(c, "output", out_ref, out_opt, n + 32);
    check_equal(c, "codes again", codes, out_opt + 16, n);
}

typedef void sparse_entry(check *c, const nw_kernels *ref, const nw_kernels *opt, size_t n, int32_t rare);

static void every_density(check *c, const nw_kernels *ref, const nw_kernels *opt, sparse_entry *one)
{
    static const int32_t rare[] = {1, 2, 5, 100};
    for (size_t i = 0; i < NW_COUNT(rare); i++) {
        for (size_t n = 1; n <= 200; n++)
            one(c, ref, opt, n, rare[i]);
        one(c, ref, opt, 5000, rare[i]);
    }
}

void check_squeeze(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (check_entry(c, "squeeze"))
        every_density(c, ref, opt, one_squeeze);
}

void check_expand(check *c, const nw_kernels *ref, const nw_kernels *opt)
{
    if (check_entry(c, "expand"))
        every_density(c, ref, opt, one_expand);
}
