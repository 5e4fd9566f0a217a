/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs: steps of a sum whose products are added in 16 bits and folded into 32 at the end of the run. Here is the proof
 * that 16 bits are enough, for every family that needs one (pack functions in avx2/ and neon/); in a header, so that
 * each compiles it with its own vectors.
 *
 * A 16-bit lane holds some products of one output; its sum over a step lies in [low, high], which the pack function
 * finds from the real weights and the limits of the codes:
 *
 *     high = sum_j max(w_j * lo_j, w_j * hi_j)        low = sum_j min(w_j * lo_j, w_j * hi_j)
 *
 * 16-bit addition is modulo 2^16, so the sum of a run is exact if the *total* over its steps lies in [-32768, 32767];
 * what happens at its prefixes cannot be seen. The total lies between the sums of `low` and of `high`. All lanes of a
 * panel end their runs together: a run is a set of steps under two linear bounds per lane.
 *
 * In the order of k and with lo = 0 (high >= 0 >= low) the greedy choice, always the longest run, gives the fewest: any
 * part of a run that fits also fits, so if some partition's i-th run ends at step e, greedy's i-th run ends at e or
 * later (induction on i). Steps are independent, so runs may also pick among the next `window` steps (first fit), which
 * makes them longer than any partition in order can: 3.1 steps become 4.5 on real 7-bit weights with 8-bit codes, 8.3
 * become 10.5 with 7-bit codes; 64 steps of window are where it levels off.
 *
 *     nw_runs runs;
 *     nw_runs_init(&runs, n_lanes, window, max_run, read, take, context);
 *     while ((n = nw_runs_next(&runs)) > 0)
 *         ...                                       // take() has placed steps 0 .. n - 1 of this run
 */
#ifndef NARROW_KERNELS_RUNS_H
#define NARROW_KERNELS_RUNS_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NW_RUNS_WINDOW 64 /* most steps among which a run may choose */
#define NW_RUNS_LANES 64  /* most lanes; a multiple of 16 */

/** Ranges of the lanes of a step or a run; lanes past n_lanes are unused. */
typedef struct nw_ranges {
    int32_t high[NW_RUNS_LANES], low[NW_RUNS_LANES];
} nw_ranges;

/** Puts the panel's next step into `slot` of the caller's steps, its range into *range; false when there is none. */
typedef bool nw_runs_read(void *context, int32_t slot, nw_ranges *range);

/** The step in `slot` becomes step `place` of the current run; the slot is free afterwards. */
typedef void nw_runs_take(void *context, int32_t slot, int32_t place);

typedef struct nw_runs {
    int32_t n_lanes, window, max_run;
    nw_runs_read *read;
    nw_runs_take *take;
    void *context;
    nw_ranges ranges[NW_RUNS_WINDOW]; /* by slot */
    int32_t order[NW_RUNS_WINDOW];    /* slots: the first n wait, in the order of k, the others are free */
    int32_t n;
} nw_runs;

#define NW_RUNS_BLOCK 16 /* lanes between two looks at the outcome: most steps that are tried fail early */

/* Negative if any lane of a block does not fit. */
static inline int32_t nw_ranges_excess(const int32_t *high, const int32_t *low)
{
    int32_t any = 0;
    for (int32_t i = 0; i < NW_RUNS_BLOCK; i++)
        any |= (INT16_MAX - high[i]) | (low[i] - INT16_MIN);
    return any;
}

/** True if 16 bits hold every lane. n_lanes: a multiple of 16. */
static inline bool nw_ranges_fit(const nw_ranges *ranges, int32_t n_lanes)
{
    for (int32_t i = 0; i < n_lanes; i += NW_RUNS_BLOCK)
        if (nw_ranges_excess(ranges->high + i, ranges->low + i) < 0)
            return false;
    return true;
}

/** total += more if 16 bits then hold every lane; else false and nothing changed. n_lanes: a multiple of 16. */
static inline bool nw_ranges_join(nw_ranges *total, const nw_ranges *more, int32_t n_lanes)
{
    nw_ranges sum;
    for (int32_t at = 0; at < n_lanes; at += NW_RUNS_BLOCK) {
        for (int32_t i = at; i < at + NW_RUNS_BLOCK; i++) {
            sum.high[i] = total->high[i] + more->high[i];
            sum.low[i] = total->low[i] + more->low[i];
        }
        if (nw_ranges_excess(sum.high + at, sum.low + at) < 0)
            return false;
    }
    memcpy(total->high, sum.high, (size_t)n_lanes * sizeof(*sum.high));
    memcpy(total->low, sum.low, (size_t)n_lanes * sizeof(*sum.low));
    return true;
}

/** Every step alone must fit. window 1: steps keep their order. */
static inline void nw_runs_init(nw_runs *runs, int32_t n_lanes, int32_t window, int32_t max_run, nw_runs_read *read,
                  nw_runs_take *take, void *context)
{
    assert(n_lanes % NW_RUNS_BLOCK == 0 && n_lanes >= NW_RUNS_BLOCK && n_lanes <= NW_RUNS_LANES);
    assert(window >= 1 && window <= NW_RUNS_WINDOW && max_run >= 1);
    runs->n_lanes = n_lanes;
    runs->window = window;
    runs->max_run = max_run;
    runs->read = read;
    runs->take = take;
    runs->context = context;
    runs->n = 0;
    for (int32_t i = 0; i < NW_RUNS_WINDOW; i++)
        runs->order[i] = i;
}

static inline void nw_runs_refill(nw_runs *runs)
{
    while (runs->n < runs->window) {
        const int32_t slot = runs->order[runs->n];
        if (!runs->read(runs->context, slot, &runs->ranges[slot]))
            return;
        runs->n++;
    }
}

static inline void nw_runs_leave(nw_runs *runs, int32_t place)
{
    const int32_t slot = runs->order[place];
    runs->n--;
    memmove(runs->order + place, runs->order + place + 1, (size_t)(runs->n - place) * sizeof(*runs->order));
    runs->order[runs->n] = slot;
}

/** Forms the next run and returns its length, 1 .. max_run; 0 when no step is left. */
static inline int32_t nw_runs_next(nw_runs *runs)
{
    nw_ranges total = {{0}, {0}};
    int32_t length = 0;
    int32_t before;
    int32_t tried = 0; /* places that did not fit; totals seldom shrink, so they are not tried again */
    do {
        before = length;
        nw_runs_refill(runs);
        for (int32_t place = tried; place < runs->n && length < runs->max_run;) {
            const int32_t slot = runs->order[place];
            if (!nw_ranges_join(&total, &runs->ranges[slot], runs->n_lanes)) {
                place++;
                continue;
            }
            runs->take(runs->context, slot, length++);
            nw_runs_leave(runs, place);
        }
        tried = runs->n;
    } while (length > before && length < runs->max_run);
    return length;
}

#endif
