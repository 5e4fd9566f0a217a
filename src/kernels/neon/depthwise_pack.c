/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs depthwise weights for depthwise.c (layout: neon.h) and proves where 16 bits are enough, as gemm_pack.c does for
 * matrices: a lane is one channel, a step one tap, which adds one product. Two taps always fit (2 * 128 * 127 = 32512),
 * so no run but the last is shorter than that.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/neon/neon.h"
#include "kernels/runs.h"

#define NR NW_NEON_DEPTHWISE_NR

static int8_t weight(const nw_depthwise_source *source, int32_t channel, int32_t tap)
{
    if (channel >= source->n_channels)
        return 0;
    return source->weights[(size_t)channel * (size_t)source->n_taps + (size_t)tap];
}

/* A panel on its way into runs. */
typedef struct pass {
    const nw_depthwise_source *source;
    int32_t channel, zero;
    int32_t *runs, *offsets;
    int8_t *weights;
    int32_t n_runs, next, n_written; /* taps read, taps written */
    int32_t tap[NW_RUNS_WINDOW];     /* waiting, by slot */
    nw_runs former;
} pass;

/* nw_runs_read */
static bool read_tap(void *context, int32_t slot, nw_ranges *range)
{
    pass *p = context;
    if (p->next == p->source->n_taps)
        return false;
    p->tap[slot] = p->next++;
    for (int32_t c = 0; c < NR; c++) {
        const int32_t w = weight(p->source, p->channel + c, p->tap[slot]);
        const int32_t a = w ? w * (p->source->x_lo[p->channel + c] - p->zero) : 0;
        const int32_t b = w ? w * (p->source->x_hi[p->channel + c] - p->zero) : 0;
        range->high[c] = nw_max32(a, b);
        range->low[c] = nw_min32(a, b);
    }
    return true;
}

/* nw_runs_take */
static void take_tap(void *context, int32_t slot, int32_t place)
{
    pass *p = context;
    (void)place; /* runs follow each other */
    p->offsets[p->n_written] = p->source->tap_offset[p->tap[slot]];
    for (int32_t c = 0; c < NR; c++)
        p->weights[NR * p->n_written + c] = weight(p->source, p->channel + c, p->tap[slot]);
    p->n_written++;
}

/* Writes a panel to the places that `panel` names. */
static void write_panel(uint8_t *base, nw_neon_depthwise_panel *panel, const nw_depthwise_source *source,
                        int32_t channel)
{
    int32_t *start = (int32_t *)(void *)(base + panel->start);
    const int32_t n = nw_min32(source->n_channels - channel, NR);
    for (int32_t c = 0; c < n; c++)
        panel->shifted |= source->x_hi[channel + c] > 127;
    const int32_t zero = panel->shifted ? 128 : 0;
    for (int32_t c = 0; c < NR; c++) {
        start[c] = 0;
        for (int32_t t = 0; t < source->n_taps; t++)
            start[c] += zero * weight(source, channel + c, t);
    }
    pass p = {.source = source,
              .channel = channel,
              .zero = zero,
              .runs = (int32_t *)(void *)(base + panel->runs),
              .offsets = (int32_t *)(void *)(base + panel->offsets),
              .weights = (int8_t *)base + panel->weights};
    const int32_t longest = source->arrangement == NW_ARRANGE_INT32 ? 1 : source->n_taps;
    nw_runs_init(&p.former, NR, NW_RUNS_WINDOW, longest, read_tap, take_tap, &p);
    for (int32_t n; (n = nw_runs_next(&p.former)) > 0;)
        p.runs[p.n_runs++] = n;
    panel->n_runs = p.n_runs;
}

size_t nw_depthwise_pack_neon(void *packed, const nw_depthwise_source *source)
{
    assert(source->n_channels >= 1 && source->n_taps >= 1);
    const nw_neon_depthwise header = {source->n_channels, nw_round_up(source->n_channels, NR) / NR};
    const int64_t list_size = 4 * (int64_t)source->n_taps;
    nw_neon_depthwise_panel *panels =
        packed ? (nw_neon_depthwise_panel *)(void *)((uint8_t *)packed + sizeof(header)) : NULL;
    size_t size = nw_align(sizeof(header) + (size_t)header.n_panels * sizeof(*panels), 16);
    for (int32_t p = 0; p < header.n_panels; p++) {
        nw_neon_depthwise_panel panel = {.start = (int64_t)size};
        panel.runs = panel.start + 4 * NR;
        panel.offsets = panel.runs + list_size;
        size = nw_align((size_t)(panel.offsets + list_size), 16);
        panel.weights = (int64_t)size;
        size += (size_t)source->n_taps * NR;
        if (packed) {
            write_panel(packed, &panel, source, p * NR);
            panels[p] = panel;
        }
    }
    if (packed)
        memcpy(packed, &header, sizeof(header));
    return size;
}
