/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs depthwise weights for depthwise.c (layout: avx2.h) and proves that 16 bits are enough, as gemm_pack.c does for
 * matrices: a lane is one channel, a step two taps, and any two taps may share a step.
 *
 * 1. Taps pair up, each with the next one that passes the pair test in every channel of the panel; a tap without a
 *    partner stands alone beside a zero weight, which always fits: 127 * 255 < 32768.
 * 2. Steps form runs, each with the next one that keeps the totals of every channel within 16 bits.
 *
 * Taps are taken in blocks of MAX_TAPS, so that a kernel of any size packs without memory of its own; 3x3 to 7x7 is one
 * block.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/avx2/avx2.h"

#define NR NW_AVX2_DEPTHWISE_NR
#define MAX_TAPS 64

typedef struct step {
    int32_t tap[2];              /* -1: none */
    int32_t high[NR], low[NR];   /* range of its sum, by channel */
} step;

/* A block of a panel: its steps in the order of the runs. */
typedef struct block {
    step steps[MAX_TAPS];
    int32_t runs[MAX_TAPS]; /* steps of each */
    int32_t n_steps, n_runs;
} block;

static int8_t weight(const nw_depthwise_source *source, int32_t channel, int32_t tap)
{
    if (channel >= source->n_channels || tap < 0)
        return 0;
    return source->weights[(size_t)channel * (size_t)source->n_taps + (size_t)tap];
}

static void add_range(const nw_depthwise_source *source, int32_t channel, int32_t tap, int32_t high[NR],
                      int32_t low[NR])
{
    for (int32_t c = 0; c < NR; c++) {
        const int32_t w = weight(source, channel + c, tap);
        const int32_t x_lo = w ? source->x_lo[channel + c] : 0;
        const int32_t x_hi = w ? source->x_hi[channel + c] : 0;
        high[c] += w * (w > 0 ? x_hi : x_lo);
        low[c] += w * (w > 0 ? x_lo : x_hi);
    }
}

static bool fits(const int32_t high[NR], const int32_t low[NR])
{
    bool fit = true;
    for (int32_t c = 0; c < NR; c++)
        fit &= high[c] <= INT16_MAX && low[c] >= INT16_MIN;
    return fit;
}

/* Steps of the taps [begin, end), in no runs yet. */
static void pair_taps(block *b, const nw_depthwise_source *source, int32_t channel, int32_t begin, int32_t end)
{
    bool used[MAX_TAPS] = {false};
    b->n_steps = 0;
    for (int32_t t = begin; t < end; t++) {
        if (used[t - begin])
            continue;
        step *s = &b->steps[b->n_steps++];
        memset(s, 0, sizeof(*s));
        s->tap[0] = t;
        s->tap[1] = -1;
        add_range(source, channel, t, s->high, s->low);
        for (int32_t u = t + 1; u < end && s->tap[1] < 0; u++) {
            step pair = *s;
            if (used[u - begin])
                continue;
            add_range(source, channel, u, pair.high, pair.low);
            if (!fits(pair.high, pair.low))
                continue;
            *s = pair;
            s->tap[1] = u;
            used[u - begin] = true;
        }
    }
}

/* Sorts the steps into runs, each as long as the steps that are left allow. */
static void form_runs(block *b)
{
    b->n_runs = 0;
    for (int32_t done = 0; done < b->n_steps;) {
        int32_t high[NR] = {0};
        int32_t low[NR] = {0};
        const int32_t first = done;
        for (int32_t i = done; i < b->n_steps; i++) {
            int32_t next_high[NR];
            int32_t next_low[NR];
            for (int32_t c = 0; c < NR; c++) {
                next_high[c] = high[c] + b->steps[i].high[c];
                next_low[c] = low[c] + b->steps[i].low[c];
            }
            if (!fits(next_high, next_low))
                continue;
            memcpy(high, next_high, sizeof(high));
            memcpy(low, next_low, sizeof(low));
            const step taken = b->steps[i];
            memmove(&b->steps[done + 1], &b->steps[done], (size_t)(i - done) * sizeof(step));
            b->steps[done++] = taken;
        }
        b->runs[b->n_runs++] = done - first;
    }
}

static void write_step(int32_t *offsets, int8_t *weights, const nw_depthwise_source *source, int32_t channel,
                       const step *s)
{
    static const int32_t first_channel[4] = {0, 16, 8, 24};
    offsets[0] = source->tap_offset[s->tap[0]];
    offsets[1] = source->tap_offset[s->tap[1] < 0 ? s->tap[0] : s->tap[1]];
    for (int32_t quarter = 0; quarter < 4; quarter++)
        for (int32_t c = 0; c < 8; c++) {
            *weights++ = weight(source, channel + first_channel[quarter] + c, s->tap[0]);
            *weights++ = weight(source, channel + first_channel[quarter] + c, s->tap[1]);
        }
}

/* Counts the runs and steps of a panel, or writes them to the places that the counts gave. */
static void walk_panel(void *packed, nw_avx2_depthwise_panel *panel, const nw_depthwise_source *source, int32_t channel)
{
    block b;
    int32_t n_runs = 0;
    int32_t n_steps = 0;
    for (int32_t t = 0; t < source->n_taps; t += MAX_TAPS) {
        pair_taps(&b, source, channel, t, nw_min32(t + MAX_TAPS, source->n_taps));
        form_runs(&b);
        if (packed) {
            uint8_t *base = packed;
            int32_t *offsets = (int32_t *)(void *)(base + panel->offsets);
            int8_t *weights = (int8_t *)(base + panel->weights);
            memcpy(base + panel->runs + (size_t)n_runs * 4, b.runs, (size_t)b.n_runs * 4);
            for (int32_t i = 0; i < b.n_steps; i++)
                write_step(offsets + 2 * (n_steps + i), weights + (size_t)(n_steps + i) * 2 * NR, source, channel,
                           &b.steps[i]);
        }
        n_runs += b.n_runs;
        n_steps += b.n_steps;
    }
    panel->n_runs = n_runs;
    panel->n_steps = n_steps;
}

size_t nw_depthwise_pack_avx2(void *packed, const nw_depthwise_source *source)
{
    assert(source->n_channels >= 1 && source->n_taps >= 1);
    const nw_avx2_depthwise header = {source->n_channels, nw_round_up(source->n_channels, NR) / NR};
    nw_avx2_depthwise_panel *panels =
        packed ? (nw_avx2_depthwise_panel *)(void *)((uint8_t *)packed + sizeof(header)) : NULL;
    size_t size = nw_align(sizeof(header) + (size_t)header.n_panels * sizeof(*panels), NW_ALIGNMENT);
    for (int32_t p = 0; p < header.n_panels; p++) {
        nw_avx2_depthwise_panel panel;
        walk_panel(NULL, &panel, source, p * NR);
        panel.runs = (int64_t)size;
        panel.offsets = panel.runs + panel.n_runs * 4;
        size = nw_align((size_t)panel.offsets + (size_t)panel.n_steps * 8, 32);
        panel.weights = (int64_t)size;
        size += (size_t)panel.n_steps * 2 * NR;
        if (panels) {
            walk_panel(packed, &panel, source, p * NR);
            panels[p] = panel;
        }
    }
    if (packed)
        memcpy(packed, &header, sizeof(header));
    return size;
}
