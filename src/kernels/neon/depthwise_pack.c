/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs depthwise weights for depthwise.c (layout: neon.h) and proves where 16 bits are enough, as gemm_pack.c does for
 * matrices: a lane is one channel, a tap adds one product. Two taps always fit (2 * 128 * 127 = 32512), so no run but
 * the last is shorter than that. A run takes each of the remaining taps, in their order, that keeps the totals of all
 * 16 channels within 16 bits.
 *
 * Taps are taken in blocks of MAX_TAPS, so that a kernel of any size packs without memory of its own; 3x3 to 7x7 is one
 * block.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/neon/neon.h"

#define NR NW_NEON_DEPTHWISE_NR
#define MAX_TAPS 64

static int8_t weight(const nw_depthwise_source *source, int32_t channel, int32_t tap)
{
    if (channel >= source->n_channels)
        return 0;
    return source->weights[(size_t)channel * (size_t)source->n_taps + (size_t)tap];
}

/* Adds a tap to the range [low, high] of every channel's total if all stay within 16 bits. */
static bool joins(int32_t high[NR], int32_t low[NR], const nw_depthwise_source *source, int32_t channel, int32_t tap,
                  int32_t zero)
{
    int32_t next_high[NR];
    int32_t next_low[NR];
    for (int32_t c = 0; c < NR; c++) {
        const int32_t w = weight(source, channel + c, tap);
        const int32_t a = w ? w * (source->x_lo[channel + c] - zero) : 0;
        const int32_t b = w ? w * (source->x_hi[channel + c] - zero) : 0;
        next_high[c] = high[c] + nw_max32(a, b);
        next_low[c] = low[c] + nw_min32(a, b);
        if (next_high[c] > INT16_MAX || next_low[c] < INT16_MIN)
            return false;
    }
    memcpy(high, next_high, sizeof(next_high));
    memcpy(low, next_low, sizeof(next_low));
    return true;
}

/* What is written of a panel. */
typedef struct writer {
    int32_t *runs, *offsets;
    int8_t *weights;
    int32_t n_runs, n_taps;
} writer;

static void write_tap(writer *w, const nw_depthwise_source *source, int32_t channel, int32_t tap)
{
    w->offsets[w->n_taps] = source->tap_offset[tap];
    for (int32_t c = 0; c < NR; c++)
        w->weights[NR * w->n_taps + c] = weight(source, channel + c, tap);
    w->n_taps++;
}

/* The taps [begin, begin + n) in runs. */
static void write_block(writer *w, const nw_depthwise_source *source, int32_t channel, int32_t begin, int32_t n,
                        int32_t zero)
{
    bool used[MAX_TAPS] = {false};
    for (int32_t left = n; left > 0;) {
        int32_t high[NR] = {0};
        int32_t low[NR] = {0};
        const int32_t before = w->n_taps;
        for (int32_t t = 0; t < n; t++) {
            if (used[t] || !joins(high, low, source, channel, begin + t, zero))
                continue;
            used[t] = true;
            write_tap(w, source, channel, begin + t);
        }
        assert(w->n_taps > before);
        w->runs[w->n_runs++] = w->n_taps - before;
        left -= w->n_taps - before;
    }
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
    writer w = {.runs = (int32_t *)(void *)(base + panel->runs),
                .offsets = (int32_t *)(void *)(base + panel->offsets),
                .weights = (int8_t *)base + panel->weights};
    for (int32_t t = 0; t < source->n_taps; t += MAX_TAPS)
        write_block(&w, source, channel, t, nw_min32(source->n_taps - t, MAX_TAPS), zero);
    panel->n_runs = w.n_runs;
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
