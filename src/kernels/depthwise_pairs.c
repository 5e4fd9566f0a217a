/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See depthwise_pairs.h. Packing proves that 16 bits are enough, as for matrices (runs.h): a lane is one channel, a
 * step two taps, and any two taps may share a step.
 *
 * 1. Taps pair up, each with the next one that passes the pair test in every channel of the panel (the product
 *    saturates at 16 bits); a tap without a partner stands alone beside a zero weight, which always fits:
 *    127 * 255 < 32768.
 * 2. Steps form runs.
 *
 * Taps pair up within blocks of MAX_TAPS, so that a kernel of any size packs without memory of its own; 3x3 to 7x7 is
 * one block.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/depthwise_pairs.h"
#include "kernels/runs.h"

#define MAX_TAPS 64

typedef struct step {
    int32_t tap[2]; /* -1: none */
    nw_ranges range;
} step;

/* A panel on its way into steps and runs. */
typedef struct pass {
    const nw_depthwise_source *source;
    int32_t channel, q, lanes;
    int32_t *runs, *offsets; /* NULL while counting */
    int8_t *weights;
    int32_t n_runs, n_steps;
    step steps[MAX_TAPS]; /* of a block, in the order of taps */
    int32_t n_block, n_read;
    int32_t waiting[NW_RUNS_WINDOW]; /* steps by slot */
    nw_runs former;
} pass;

static int8_t weight(const nw_depthwise_source *source, int32_t channel, int32_t tap)
{
    if (channel >= source->n_channels || tap < 0)
        return 0;
    return source->weights[(size_t)channel * (size_t)source->n_taps + (size_t)tap];
}

static void add_range(const pass *p, int32_t tap, nw_ranges *range)
{
    const nw_depthwise_source *source = p->source;
    for (int32_t c = 0; c < 16 * p->q; c++) {
        const int32_t w = weight(source, p->channel + c, tap);
        const int32_t x_lo = w ? source->x_lo[p->channel + c] : 0;
        const int32_t x_hi = w ? source->x_hi[p->channel + c] : 0;
        range->high[c] += w * (w > 0 ? x_hi : x_lo);
        range->low[c] += w * (w > 0 ? x_lo : x_hi);
    }
}

/* Steps of the taps [begin, end), in no runs yet. */
static void pair_taps(pass *p, int32_t begin, int32_t end)
{
    bool used[MAX_TAPS] = {false};
    p->n_block = 0;
    p->n_read = 0;
    for (int32_t t = begin; t < end; t++) {
        if (used[t - begin])
            continue;
        step *s = &p->steps[p->n_block++];
        memset(s, 0, sizeof(*s));
        s->tap[0] = t;
        s->tap[1] = -1;
        add_range(p, t, &s->range);
        for (int32_t u = t + 1; u < end && s->tap[1] < 0; u++) {
            nw_ranges second = {{0}, {0}};
            if (used[u - begin])
                continue;
            add_range(p, u, &second);
            if (!nw_ranges_join(&s->range, &second, 16 * p->q))
                continue;
            s->tap[1] = u;
            used[u - begin] = true;
        }
    }
}

static void write_step(const pass *p, const step *s)
{
    const nw_depthwise_source *source = p->source;
    int32_t *offsets = p->offsets + 2 * p->n_steps;
    int8_t *to = p->weights + (size_t)p->n_steps * 32 * (size_t)p->lanes;
    offsets[0] = source->tap_offset[s->tap[0]];
    offsets[1] = source->tap_offset[s->tap[1] < 0 ? s->tap[0] : s->tap[1]];
    for (int32_t h = 0; h < 2; h++)
        for (int32_t i = 0; i < 8 * p->lanes; i++) {
            const int32_t channel = p->channel + 16 * (i / 8 % p->q) + 8 * h + i % 8;
            *to++ = weight(source, channel, s->tap[0]);
            *to++ = weight(source, channel, s->tap[1]);
        }
}

/* nw_runs_read */
static bool read_step(void *context, int32_t slot, nw_ranges *range)
{
    pass *p = context;
    if (p->n_read == p->n_block)
        return false;
    *range = p->steps[p->n_read].range;
    p->waiting[slot] = p->n_read++;
    return true;
}

/* nw_runs_take */
static void take_step(void *context, int32_t slot, int32_t place)
{
    pass *p = context;
    (void)place; /* runs follow each other */
    if (p->weights)
        write_step(p, &p->steps[p->waiting[slot]]);
    p->n_steps++;
}

/* Counts the runs and steps of a panel, or writes them to the places that the counts gave. */
static void walk_panel(void *packed, nw_pairs_panel *panel, const nw_depthwise_source *source, int32_t lanes)
{
    uint8_t *base = packed;
    pass p; /* tens of KiB, not worth zeroing for a few taps */
    p.source = source;
    p.channel = panel->channel;
    p.q = panel->q;
    p.lanes = lanes;
    p.runs = packed ? (int32_t *)(void *)(base + panel->runs) : NULL;
    p.offsets = packed ? (int32_t *)(void *)(base + panel->offsets) : NULL;
    p.weights = packed ? (int8_t *)(base + panel->weights) : NULL;
    p.n_runs = 0;
    p.n_steps = 0;
    for (int32_t t = 0; t < source->n_taps; t += MAX_TAPS) {
        pair_taps(&p, t, nw_min32(t + MAX_TAPS, source->n_taps));
        const int32_t longest = source->arrangement == NW_ARRANGE_INT32 ? 1 : MAX_TAPS;
        nw_runs_init(&p.former, 16 * p.q, NW_RUNS_WINDOW, longest, read_step, take_step, &p);
        for (int32_t n; (n = nw_runs_next(&p.former)) > 0; p.n_runs++)
            if (packed)
                p.runs[p.n_runs] = n;
    }
    panel->n_runs = p.n_runs;
    panel->n_steps = p.n_steps;
}

static int32_t count_panels(int32_t n_channels, int32_t lanes, int32_t least)
{
    int32_t n = 0;
    for (int32_t c = 0; c < n_channels; n++)
        c += 16 * nw_depthwise_groups(n_channels - c, lanes, least);
    return n;
}

size_t nw_pairs_pack(void *packed, const nw_depthwise_source *source, int32_t lanes, int32_t least)
{
    assert(source->n_channels >= 1 && source->n_taps >= 1);
    const nw_pairs_header header = {source->n_channels, count_panels(source->n_channels, lanes, least)};
    nw_pairs_panel *panels = packed ? (nw_pairs_panel *)(void *)((uint8_t *)packed + sizeof(header)) : NULL;
    size_t size = nw_align(sizeof(header) + (size_t)header.n_panels * sizeof(*panels), NW_ALIGNMENT);
    int32_t channel = 0;
    for (int32_t p = 0; p < header.n_panels; p++) {
        nw_pairs_panel panel = {.channel = channel,
                                .q = nw_depthwise_groups(source->n_channels - channel, lanes, least)};
        walk_panel(NULL, &panel, source, lanes);
        panel.runs = (int64_t)size;
        panel.offsets = panel.runs + panel.n_runs * 4;
        size = nw_align((size_t)panel.offsets + (size_t)panel.n_steps * 8, NW_ALIGNMENT);
        panel.weights = (int64_t)size;
        size += (size_t)panel.n_steps * 32 * (size_t)lanes;
        if (panels) {
            walk_panel(packed, &panel, source, lanes);
            panels[p] = panel;
        }
        channel += 16 * panel.q;
    }
    if (packed)
        memcpy(packed, &header, sizeof(header));
    return size;
}

void nw_pairs_count_runs(nw_run_counts *counts, const void *packed)
{
    const nw_pairs_header *header = packed;
    const nw_pairs_panel *panels = nw_pairs_panels(packed);
    for (int32_t p = 0; p < header->n_panels; p++) {
        const int32_t *runs = (const int32_t *)(const void *)((const uint8_t *)packed + panels[p].runs);
        for (int32_t i = 0; i < panels[p].n_runs; i++)
            counts->runs[runs[i]]++;
        counts->places += (int64_t)panels[p].n_steps * 2 * 16 * panels[p].q;
    }
}
