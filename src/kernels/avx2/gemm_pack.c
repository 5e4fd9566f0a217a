/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs a matrix for gemm.c and proves on the way that 16 bits are enough: the certificate of a run is made here, from
 * the real weights and the limits of the codes, panel by panel (kernels/runs.h), over the steps of gemm_reader.c.
 *
 * Before a step may join a run it must pass the pair test: vpmaddubsw forms the exact sum of two products and saturates
 * it, so every lane of the step must fit 16 bits by itself. Around steps that fail, bytes are paired otherwise
 * (gemm_unit_pack.c); widening them (32-bit products) costs 1.3 to 1.5 times a step with int32 sums, splitting them
 * into two with w = w1 + w2, which NW_AVX2_SPLIT keeps for comparison, two such steps. Each panel gets the arrangement
 * that costs least by the figures of the family that will run it.
 *
 * pack() needs no memory of its own: a first pass counts the runs of each length, a second one, with the same choices,
 * writes each run to its place.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/gemm_reader.h"

#define TAKE_SIZE 32 /* of a step of a unit */

/* Where the steps of a panel go. In the counting pass `base` is NULL. */
typedef struct writer {
    int32_t *offsets;
    int8_t *weights;
    int32_t n_runs[NW_AVX2_MAX_RUN + 1]; /* of each length */
    int32_t at[NW_AVX2_MAX_RUN + 1];     /* second pass: step where the next run of a length goes */
    int32_t n_steps, n_wide;             /* n_steps: those in runs */
    int32_t n_units[NW_AVX2_UNIT + 1];   /* of each number of steps */
    int32_t wide_at, units_at[NW_AVX2_UNIT + 1];
} writer;

static void write_wide(writer *w, const nw_avx2_step *s)
{
    int16_t wide[2][NW_AVX2_NR][2];
    for (int32_t c = 0; c < NW_AVX2_NR; c++)
        for (int32_t j = 0; j < NW_AVX2_KR; j++)
            wide[j % 2][c][j / 2] = s->weights[c][j];
    w->offsets[w->n_steps + w->wide_at] = s->offset;
    memcpy(w->weights + (size_t)w->n_steps * STEP_SIZE + (size_t)w->wide_at * sizeof(wide), wide, sizeof(wide));
    w->wide_at++;
}

/* Bytes of the weights and takes of a unit, and of all units. */
static size_t unit_size(int32_t n_steps)
{
    return (size_t)n_steps * (STEP_SIZE + TAKE_SIZE);
}

static size_t units_size(const writer *w)
{
    return (size_t)w->n_units[1] * unit_size(1) + (size_t)w->n_units[2] * unit_size(2) +
           (size_t)w->n_units[4] * unit_size(4);
}

static void write_unit(writer *w, const nw_avx2_unit *unit, const nw_avx2_bytes *bytes, int32_t offset)
{
    const int32_t n = unit->n_steps;
    const int32_t longer[2] = {n < 4 ? w->n_units[4] : 0, n < 2 ? w->n_units[2] : 0};
    const int32_t at = w->units_at[n]++;
    w->offsets[w->n_steps + w->n_wide + longer[0] + longer[1] + at] = offset;
    int8_t *out = w->weights + ((size_t)w->n_steps + 2 * (size_t)w->n_wide) * STEP_SIZE +
                  (size_t)longer[0] * unit_size(4) + (size_t)longer[1] * unit_size(2) + (size_t)at * unit_size(n);
    for (int32_t s = 0; s < n; s++)
        for (int32_t c = 0; c < TAKE_SIZE / NW_AVX2_KR; c++, out += NW_AVX2_KR)
            memcpy(out, unit->take[s], NW_AVX2_KR);
    for (int32_t s = 0; s < n; s++)
        for (int32_t c = 0; c < NW_AVX2_NR; c++)
            for (int32_t j = 0; j < NW_AVX2_KR; j++)
                *out++ = (int8_t)(unit->take[s][j] < 0 ? 0 : bytes->weights[unit->take[s][j]][c]);
}

#define MAX_NOTED_GROUPS 512
#define MAX_NOTED_UNITS 1024

/*
 * The units of a panel's groups of 16 bytes, in the order of k: the counting pass notes what it chose and the writing
 * pass reads it, because choosing takes most of the time of packing. Groups there was no room for are chosen again.
 */
typedef struct notes {
    int32_t n_groups, n_units; /* noted */
    uint8_t count[MAX_NOTED_GROUPS]; /* units of a group */
    nw_avx2_unit units[MAX_NOTED_UNITS];
} notes;

/* One pass over a panel: forms the runs and counts them, or writes them to the places the counts gave. */
typedef struct pass {
    nw_avx2_reader reader;
    writer *writer;
    const nw_avx2_mode *mode;
    bool writing;
    notes *notes; /* of the counting pass */
    int32_t n_groups, n_units; /* so far */
    nw_avx2_step waiting[NW_RUNS_WINDOW];
    nw_avx2_step run[NW_AVX2_MAX_RUN];
    nw_runs runs;
} pass;

/* Units of the next 16 bytes, chosen or as noted: units[] or a part of the notes. */
static const nw_avx2_unit *next_units(pass *p, nw_avx2_unit units[NW_AVX2_MAX_UNITS], int32_t *n)
{
    notes *all = p->notes;
    const int32_t group = p->n_groups++;
    if (p->writing && group < all->n_groups) {
        const nw_avx2_unit *noted = all->units + p->n_units;
        *n = all->count[group];
        p->n_units += *n;
        return noted;
    }
    *n = nw_avx2_choose_units(units, &p->reader.units);
    if (!p->writing && group == all->n_groups && group < MAX_NOTED_GROUPS && all->n_units + *n <= MAX_NOTED_UNITS) {
        memcpy(all->units + all->n_units, units, (size_t)*n * sizeof(*units));
        all->count[all->n_groups++] = (uint8_t)*n;
        all->n_units += *n;
    }
    return units;
}

static void place_units(pass *p)
{
    nw_avx2_unit chosen[NW_AVX2_MAX_UNITS];
    int32_t n;
    const nw_avx2_unit *units = next_units(p, chosen, &n);
    for (int32_t i = 0; i < n; i++)
        if (p->writing)
            write_unit(p->writer, &units[i], &p->reader.units, p->reader.units_offset);
        else
            p->writer->n_units[units[i].n_steps]++;
}

/* nw_runs_read: units and steps that do not fit a pair are counted or written at once. */
static bool read_step(void *context, int32_t slot, nw_ranges *range)
{
    pass *p = context;
    bool fits;
    for (nw_avx2_item next;
         (next = nw_avx2_reader_next(&p->reader, &p->waiting[slot], range, &fits)) != NW_AVX2_ITEM_END;) {
        if (next == NW_AVX2_ITEM_UNITS) {
            place_units(p);
            continue;
        }
        if (fits && p->mode->form != NW_AVX2_WIDE)
            return true;
        if (p->writing)
            write_wide(p->writer, &p->waiting[slot]);
        else
            p->writer->n_wide++;
    }
    return false;
}

/* nw_runs_take */
static void take_step(void *context, int32_t slot, int32_t place)
{
    pass *p = context;
    if (p->writing)
        p->run[place] = p->waiting[slot];
}

static void form_runs(const nw_gemm_source *source, int32_t row, int32_t end_row, writer *w, notes *notes, bool writing,
                      const nw_avx2_mode *mode)
{
    pass p = {.writer = w, .mode = mode, .writing = writing, .notes = notes};
    nw_avx2_reader_init(&p.reader, source, row, end_row, mode->form);
    nw_runs_init(&p.runs, N_LANES, mode->window, mode->max_run, read_step, take_step, &p);
    for (int32_t length; (length = nw_runs_next(&p.runs)) > 0;) {
        w->n_runs[length]++;
        for (int32_t i = 0; writing && i < length; i++) {
            w->offsets[w->at[length] + i] = p.run[i].offset;
            memcpy(w->weights + (size_t)(w->at[length] + i) * STEP_SIZE, p.run[i].weights, STEP_SIZE);
        }
        w->at[length] += length;
    }
}

/* Counts the runs of a panel arranged by `mode`. */
static void count_panel(writer *w, notes *notes, const nw_gemm_source *source, int32_t row, int32_t end_row,
                        const nw_avx2_mode *mode)
{
    memset(w, 0, sizeof(*w));
    notes->n_groups = notes->n_units = 0;
    form_runs(source, row, end_row, w, notes, false, mode);
    for (int32_t length = NW_AVX2_MAX_RUN; length > 0; length--) { /* long runs first */
        w->at[length] = w->n_steps;
        w->n_steps += w->n_runs[length] * length;
    }
}

static int32_t count_groups(const writer *w)
{
    int32_t n = 0;
    for (int32_t length = NW_AVX2_SHORT + 1; length <= NW_AVX2_MAX_RUN; length++)
        n += w->n_runs[length] > 0;
    return n;
}

/* Measured on a Zen 3, confirmed on a Zen 5 (gemm_tile.h, gemm_unit.h). */
static const nw_avx2_costs avx2_costs = {
    .run = {0, 86, 150, 206, 268}, .long_run = 46, .long_step = 56, .wide = 118, .unit = {0, 93, 154, 0, 290}};

/*
 * Tenths of a cycle of a panel for a tile. They decide between arrangements of the same sums, so a machine where they
 * are wrong is slower, never different.
 */
static int64_t cost(const writer *w, const nw_avx2_costs *costs)
{
    int64_t sum = (int64_t)costs->wide * w->n_wide;
    for (int32_t length = 1; length <= NW_AVX2_UNIT; length *= 2)
        sum += (int64_t)costs->unit[length] * w->n_units[length];
    for (int32_t length = 1; length <= NW_AVX2_MAX_RUN; length++)
        sum += (int64_t)w->n_runs[length] *
               (length <= NW_AVX2_SHORT ? costs->run[length] : costs->long_run + costs->long_step * length);
    return sum;
}

/* Counts the arrangement that costs least, if `mode` leaves it open, and says which it is. */
static nw_avx2_mode choose_mode(writer *w, notes *notes, const nw_gemm_source *source, int32_t row, int32_t end_row,
                                const nw_avx2_mode *mode, const nw_avx2_costs *costs)
{
    nw_avx2_mode best = *mode;
    if (mode->form != NW_AVX2_CHEAPEST) {
        count_panel(w, notes, source, row, end_row, mode);
        return best;
    }
    best.form = NW_AVX2_WIDEN;
    count_panel(w, notes, source, row, end_row, &best);
    if (source->one_pixel || (!w->n_wide && 2 * cost(w, costs) < costs->unit[2] * (int64_t)w->n_steps))
        return best; /* weights pass through once, and those of units are longer; or runs are long already */
    /* with few unsafe steps most of 16 bytes are safe as they lie */
    const bool few = w->n_wide < (w->n_steps + w->n_wide) / 8;
    const nw_avx2_mode tried = {few ? NW_AVX2_MIXED : NW_AVX2_UNITS, mode->max_run, mode->window};
    writer other;
    count_panel(&other, notes, source, row, end_row, &tried);
    if (cost(&other, costs) < cost(w, costs)) {
        *w = other;
        best = tried;
    }
    return best;
}

/* Lays out one panel at byte `size` of the packed matrix, writes it if there is memory, returns the byte behind it. */
static size_t pack_panel(void *packed, size_t size, nw_avx2_panel *panel, nw_avx2_gemm *totals,
                         const nw_gemm_source *source, int32_t row, int32_t end_row, const nw_avx2_mode *mode,
                         const nw_avx2_costs *costs)
{
    writer w;
    notes notes;
    const nw_avx2_mode chosen = choose_mode(&w, &notes, source, row, end_row, mode, costs);
    const int32_t n_units = w.n_units[1] + w.n_units[2] + w.n_units[4];
    nw_avx2_group *groups = packed ? (nw_avx2_group *)(void *)((uint8_t *)packed + size) : NULL;
    panel->groups = (int64_t)size;
    panel->n_groups = count_groups(&w);
    panel->n_wide = w.n_wide;
    memcpy(panel->n_short, w.n_runs, sizeof(panel->n_short));
    memcpy(panel->n_units, w.n_units, sizeof(panel->n_units));
    size += (size_t)panel->n_groups * sizeof(nw_avx2_group);
    panel->offsets = (int64_t)size;
    size = nw_align(size + (size_t)(w.n_steps + w.n_wide + n_units) * sizeof(int32_t), NW_ALIGNMENT);
    panel->weights = (int64_t)size;
    size = nw_align(size + ((size_t)w.n_steps + 2u * (size_t)w.n_wide) * STEP_SIZE + units_size(&w), NW_ALIGNMENT);
    totals->n_steps += w.n_steps;
    totals->n_wide += w.n_wide;
    totals->n_units += n_units;
    for (int32_t length = NW_AVX2_MAX_RUN; length > 0; length--) {
        totals->n_runs += w.n_runs[length];
        if (groups && length > NW_AVX2_SHORT && w.n_runs[length])
            *groups++ = (nw_avx2_group){length, w.n_runs[length]};
    }
    if (packed) {
        w.offsets = (int32_t *)(void *)((uint8_t *)packed + panel->offsets);
        w.weights = (int8_t *)packed + panel->weights;
        form_runs(source, row, end_row, &w, &notes, true, &chosen);
    }
    return size;
}

static size_t pack(void *packed, const nw_gemm_source *source, const nw_avx2_mode *mode, const nw_avx2_costs *costs)
{
    assert(mode->max_run >= 1 && mode->max_run <= NW_AVX2_MAX_RUN);
    assert(mode->window >= 1 && mode->window <= NW_RUNS_WINDOW);
    nw_avx2_gemm header = {.n_channels = source->n_channels, .n_extra = source->n_rows - source->n_channels};
    header.n_panels = nw_round_up(header.n_channels, NW_AVX2_NR) / NW_AVX2_NR;
    header.n_extra_panels = nw_round_up(header.n_extra, NW_AVX2_NR) / NW_AVX2_NR;
    const int32_t n_panels = header.n_panels + header.n_extra_panels;
    nw_avx2_panel *panels = packed ? (nw_avx2_panel *)(void *)((uint8_t *)packed + sizeof(header)) : NULL;
    size_t size = nw_align(sizeof(header) + (size_t)n_panels * sizeof(nw_avx2_panel), NW_ALIGNMENT);
    for (int32_t p = 0; p < n_panels; p++) {
        const bool extra = p >= header.n_panels;
        const int32_t row = extra ? header.n_channels + (p - header.n_panels) * NW_AVX2_NR : p * NW_AVX2_NR;
        nw_avx2_panel panel = {0};
        size = pack_panel(packed, size, &panel, &header, source, row, extra ? source->n_rows : header.n_channels, mode,
                          costs);
        if (panels)
            panels[p] = panel;
    }
    if (packed)
        memcpy(packed, &header, sizeof(header));
    return size;
}

size_t nw_gemm_pack_avx2_mode(void *packed, const nw_gemm_source *source, const nw_avx2_mode *mode)
{
    return pack(packed, source, mode, &avx2_costs);
}

size_t nw_gemm_pack_avx2_costs(void *packed, const nw_gemm_source *source, const nw_avx2_costs *costs)
{
    static const nw_avx2_form forms[NW_ARRANGE_COUNT] = {
        [NW_ARRANGE_CHEAPEST] = NW_AVX2_CHEAPEST,
        [NW_ARRANGE_INT32] = NW_AVX2_WIDEN, /* units are short runs */
        [NW_ARRANGE_RUNS] = NW_AVX2_WIDEN,
        [NW_ARRANGE_UNITS] = NW_AVX2_UNITS,
        [NW_ARRANGE_DIRECT] = NW_AVX2_CHEAPEST,
        [NW_ARRANGE_WINOGRAD] = NW_AVX2_CHEAPEST, /* a layer that has no such form */
    };
    const bool sums32 = source->arrangement == NW_ARRANGE_INT32;
    const nw_avx2_mode mode = {.form = forms[source->arrangement],
                               .max_run = sums32 ? 1 : NW_AVX2_MAX_RUN,
                               .window = sums32 ? 1 : NW_RUNS_WINDOW};
    return pack(packed, source, &mode, costs);
}

size_t nw_gemm_pack_avx2(void *packed, const nw_gemm_source *source)
{
    return nw_gemm_pack_avx2_costs(packed, source, &avx2_costs);
}

void nw_gemm_count_runs_avx2(nw_run_counts *counts, const void *packed)
{
    const nw_avx2_gemm *header = packed;
    int64_t n_paired = 0;
    for (int32_t p = 0; p < header->n_panels + header->n_extra_panels; p++) {
        const nw_avx2_panel *panel = nw_avx2_panel_at(packed, p);
        const nw_avx2_group *groups = (const nw_avx2_group *)(const void *)((const uint8_t *)packed + panel->groups);
        for (int32_t i = 0; i < panel->n_groups; i++)
            counts->runs[groups[i].length] += groups[i].count;
        for (int32_t length = 1; length <= NW_AVX2_SHORT; length++)
            counts->runs[length] += panel->n_short[length];
        for (int32_t length = 1; length <= NW_AVX2_UNIT; length++) {
            counts->runs[length] += panel->n_units[length];
            n_paired += length * panel->n_units[length];
        }
    }
    counts->wide += header->n_wide;
    counts->paired += n_paired;
    counts->places += (header->n_steps + header->n_wide + n_paired) * STEP_SIZE;
}
