/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored rows on their own: what goes in comes out, by every kernel family, in slots of every size; the bits of words
 * are those that docs/numerics.md says, read here bit by bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "kernels/cpu.h"
#include "ops/coded.h"

#define MOST_VALUES 4096

static uint64_t state = 1;

static int32_t draw(int32_t lo, int32_t hi)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return lo + (int32_t)(state >> 33) % (hi - lo + 1);
}

/** A tensor's form with random codes, and memory for one row of it. */
typedef struct row_case {
    nw_coded coded;
    uint8_t code_lengths[256], low_lengths[256];
    nw_symbols codes, low;
    uint8_t shift[64];
    void *arena, *temporary;
    uint8_t *bytes, *back, *slot;
    size_t n;
} row_case;

static void random_lengths(uint8_t *lengths, int32_t bits)
{
    uint64_t counts[256];
    for (int32_t i = 0; i < 1 << bits; i++)
        counts[i] = (i ? 0 : 4000) + ((uint64_t)draw(0, 1000) >> draw(0, 12));
    nw_prefix_code_make(lengths, counts, (size_t)1 << bits);
}

/** False: what was drawn does not become smaller by being stored. */
static bool make_case(row_case *r, bool words)
{
    const int32_t channels = draw(1, 40);
    const int32_t width = draw(1, MOST_VALUES / 2 / channels);
    const int32_t bits = draw(1, 8);
    const int32_t most = draw(0, 2) ? 0 : draw(1, bits);
    *r = (row_case){.n = (size_t)width * (size_t)channels};
    for (int32_t c = 0; c < channels; c++)
        r->shift[c] = (uint8_t)(most && draw(0, 2) ? most - 1 : 0);
    nw_arena counting = {0};
    if (!nw_stored_init(&r->coded.stored, width, channels, bits, r->shift, &counting))
        return false;
    nw_arena arena = {.base = r->arena = aligned_alloc(NW_ARENA_ALIGNMENT, counting.used + NW_ARENA_ALIGNMENT)};
    nw_stored_init(&r->coded.stored, width, channels, bits, r->shift, &arena);
    const nw_stored *s = &r->coded.stored;
    const int32_t step = most ? 1 << (most - 1) : 1;
    r->coded.zero_point = (uint8_t)(draw(0, 1) ? 0 : draw(0, ((1 << bits) - 1) / step) * step);
    random_lengths(r->code_lengths, nw_symbol_bits(s->bits));
    nw_symbols_init(&r->codes, r->code_lengths, nw_symbol_bits(s->bits));
    if (words)
        r->coded.codes = &r->codes;
    if (words && s->n_fine && draw(0, 1)) {
        random_lengths(r->low_lengths, nw_symbol_bits(s->shift));
        nw_symbols_init(&r->low, r->low_lengths, nw_symbol_bits(s->shift));
        r->coded.low = &r->low;
    }
    r->temporary = malloc(nw_coded_temporary(s, words)); /* exactly: sanitizers look */
    r->bytes = malloc(r->n);
    r->back = malloc(r->n);
    const int32_t rare = draw(1, 6);
    for (size_t i = 0; i < r->n; i++) {
        const int32_t unit = 1 << r->shift[i % (size_t)channels];
        r->bytes[i] = draw(1, rare) > 1 ? r->coded.zero_point : (uint8_t)(draw(0, ((1 << bits) - 1) / unit) * unit);
    }
    return true;
}

static void free_case(row_case *r)
{
    free(r->arena);
    free(r->temporary);
    free(r->bytes);
    free(r->back);
}

static nw_coded_row round_trip(row_case *r, const nw_kernels *kernels, size_t slot_size)
{
    r->coded.slot_size = slot_size;
    r->slot = malloc(slot_size);
    memset(r->back, 0xee, r->n);
    const nw_coded_row row = nw_coded_pack(&r->coded, kernels, r->slot, r->bytes, r->temporary);
    assert_true((row & NW_CODED_SIZE) <= slot_size);
    memset(r->temporary, 0x5a, nw_coded_temporary(&r->coded.stored, r->coded.codes != NULL));
    nw_coded_unpack(&r->coded, kernels, r->back, r->coded.stored.channels, r->slot, row, r->temporary);
    return row;
}

static void test_rows(void **unused)
{
    (void)unused;
    int n_short = 0, n_plain = 0, n_dropped = 0, n_fine = 0, n_low = 0;
    for (int round = 0; round < 1500; round++) {
        row_case r;
        if (!make_case(&r, round % 2))
            continue;
        const nw_stored *s = &r.coded.stored;
        const size_t slot_size =
            draw(0, 1) ? s->row_size : s->base_size + (size_t)draw(0, (int32_t)(s->row_size - s->base_size));
        uint8_t *first = NULL;
        nw_coded_row first_row = 0;
        for (int isa = 0; isa < NW_ISA_COUNT; isa++) {
            nw_kernels kernels;
            if (!nw_isa_available((nw_isa)isa))
                continue;
            nw_kernels_init(&kernels, (nw_isa)isa);
            const nw_coded_row row = round_trip(&r, &kernels, slot_size);
            const int32_t step = row & NW_CODED_DROPPED ? 1 << s->shift : 1;
            for (size_t i = 0; i < r.n; i++)
                assert_int_equal(r.back[i], r.coded.zero_point + (r.bytes[i] - r.coded.zero_point) / step * step);
            if (!first) {
                first = r.slot;
                first_row = row;
                continue;
            }
            assert_int_equal(row, first_row);
            assert_memory_equal(first, r.slot, row & NW_CODED_SIZE);
            free(r.slot);
        }
        n_short += (first_row & NW_CODED_SHORT) != 0;
        n_plain += !(first_row & (NW_CODED_SHORT | NW_CODED_DROPPED));
        n_dropped += (first_row & NW_CODED_DROPPED) != 0;
        n_fine += s->n_fine > 0;
        n_low += r.coded.low && (first_row & NW_CODED_SHORT);
        free(first);
        free_case(&r);
    }
    print_message("%d short rows, %d plain, %d dropped, %d with fine channels, %d with words for low bits\n", n_short,
                  n_plain, n_dropped, n_fine, n_low);
    assert_true(n_short > 200 && n_plain > 200 && n_dropped > 50 && n_fine > 100 && n_low > 20);
}

/** The symbol that begins at bit *at of the stream, by comparing words; `backward`: bytes go down from `from`. */
static int32_t next_symbol(const uint8_t *lengths, int32_t bits, const uint8_t *from, bool backward, size_t *at)
{
    uint32_t word = 0; /* the first bit highest */
    uint32_t first = 0;
    for (int length = 1; length <= NW_PREFIX_LONGEST; length++) {
        const uint8_t byte = backward ? *(from - 1 - *at / 8) : from[*at / 8];
        word = word << 1 | (byte >> (*at % 8) & 1u);
        ++*at;
        uint32_t rank = 0;
        for (int32_t s = 0; s < 1 << bits; s++)
            if (lengths[s] == length && first + rank++ == word)
                return s;
        first = (first + rank) << 1;
    }
    fail_msg("no word");
    return 0;
}

/** Blocks as they are described: four streams, pairs of neighbours. */
static void test_words(void **unused)
{
    (void)unused;
    nw_kernels kernels;
    nw_kernels_init(&kernels, NW_ISA_REF);
    int n = 0;
    for (int round = 0; round < 300; round++) {
        row_case r;
        if (!make_case(&r, true))
            continue;
        const nw_stored *s = &r.coded.stored;
        const nw_coded_row row = round_trip(&r, &kernels, s->row_size);
        if (row & NW_CODED_SHORT) {
            const size_t head = s->n_fine ? 2 : 0;
            const size_t size = s->n_fine ? nw_load_le16(r.slot) : row & NW_CODED_SIZE;
            const uint8_t *block = r.slot + head;
            const uint8_t *middle = block + 2 + nw_load_le16(block);
            const uint8_t *const starts[4] = {block + 2, middle, middle, block + size};
            const bool pairs = s->bits <= 4;
            const size_t n_symbols = (size_t)(pairs ? (s->width + 1) / 2 : s->width) * (size_t)s->channels;
            for (size_t q = 0; q < 4; q++) {
                size_t at = 0;
                for (size_t i = n_symbols * q / 4; i < n_symbols * (q + 1) / 4; i++) {
                    const int32_t symbol =
                        next_symbol(r.code_lengths, pairs ? 2 * s->bits : s->bits, starts[q], q % 2, &at);
                    const size_t c = i % (size_t)s->channels;
                    const size_t x = i / (size_t)s->channels * (pairs ? 2 : 1);
                    const int32_t low = r.bytes[x * (size_t)s->channels + c] >> s->shift;
                    const int32_t high = x + 1 < (size_t)s->width
                                             ? r.bytes[(x + 1) * (size_t)s->channels + c] >> s->shift
                                             : r.coded.zero_point >> s->shift;
                    assert_int_equal(symbol, pairs ? low | high << s->bits : low);
                    n++;
                }
            }
        }
        free(r.slot);
        free_case(&r);
    }
    assert_true(n > 10000);
}

/** A row of so many codes that a block has no room to say where its third stream begins stays plain. */
static void test_longest(void **unused)
{
    (void)unused;
    enum { WIDTH = 1 << 22 };
    const uint8_t shift[1] = {0};
    nw_coded coded = {0};
    nw_arena none = {0};
    nw_kernels kernels;
    uint8_t lengths[256];
    uint64_t counts[256] = {0};
    nw_symbols *symbols = malloc(sizeof(*symbols));
    nw_kernels_init(&kernels, nw_isa_best());
    counts[0x11] = 1000000;
    nw_prefix_code_make(lengths, counts, 256);
    nw_symbols_init(symbols, lengths, 8);
    for (int32_t width = WIDTH / 8; width <= WIDTH; width *= 2) {
        assert_true(nw_stored_init(&coded.stored, width, 1, 4, shift, &none));
        coded.slot_size = coded.stored.row_size;
        coded.codes = symbols;
        uint8_t *bytes = malloc((size_t)width), *slot = malloc(coded.slot_size);
        uint8_t *temporary = malloc(nw_coded_temporary(&coded.stored, true));
        memset(bytes, 1, (size_t)width);
        const nw_coded_row row = nw_coded_pack(&coded, &kernels, slot, bytes, temporary);
        const bool fits = 2 * (((size_t)width / 8 * lengths[0x11] + 7) / 8) <= UINT16_MAX;
        assert_int_equal((row & NW_CODED_SHORT) != 0, fits);
        assert_int_equal(fits, width < WIDTH / 2);
        nw_coded_unpack(&coded, &kernels, bytes, 1, slot, row, temporary);
        assert_true(bytes[0] == 1 && !memcmp(bytes, bytes + 1, (size_t)width - 1));
        free(bytes);
        free(slot);
        free(temporary);
    }
    free(symbols);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
