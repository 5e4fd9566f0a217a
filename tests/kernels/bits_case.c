/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of narrow codes: unpacking and packing, every width, shift and length around the vectors' ends.
 *
 * slots: 0 and 1 inputs, 6 and 7 outputs
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
