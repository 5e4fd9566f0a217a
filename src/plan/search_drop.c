/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest network within a drop (search.h): which sizes are tried. */
#include <math.h>
#include <string.h>

#include "plan/search_state.h"

#define CLOSE_BYTES 1.02 /* two networks this near in size: no need to try what lies between */

/** Answers that a decision is expected to change: flips go with the size of the noise, which adds up in squares. */
static double expected_drop(const nw_search *s, const int32_t *choices)
{
    double squares = 0.0;
    for (int32_t i = 0; i < s->n; i++) {
        const nw_measured *row = &s->task.measurement->rows[i];
        squares += row->at[choices[i]].changed * row->at[choices[i]].changed;
    }
    return sqrt(squares);
}

/** First budget to try: the smallest whose expected drop is within the goal. */
static nw_status first_budget(double *bytes, nw_search *s, double lo, double hi, double drop, nw_error *error)
{
    for (int32_t step = 0; step < 8; step++) {
        nw_found one = {0};
        const double middle = 0.5 * (lo + hi);
        const nw_status status = nw_search_decide(&one, s, middle, error);
        const double expected = status ? 0.0 : expected_drop(s, one.choices);
        nw_found_clear(&one);
        NW_TRY(status);
        if (expected <= drop)
            hi = middle;
        else
            lo = middle;
    }
    *bytes = hi;
    return NW_OK;
}

/** `best` is replaced by `one`, whose contents it takes; the trail stays. */
static void take(nw_found *best, nw_found *one)
{
    one->tried = best->tried;
    memcpy(one->trail, best->trail, sizeof(one->trail));
    nw_found_clear(best);
    *best = *one;
    *one = (nw_found){0};
}

/** Sizes between which the goal is met, and what is lost there; NAN: not known. */
typedef struct bracket {
    double lo, hi, lost_lo, lost_hi;
} bracket;

/** Where to try next: what is lost falls about evenly from octave to octave. */
static double between(const bracket *b, double goal)
{
    if (!(b->lost_hi > 0.0 && b->lost_lo > b->lost_hi && goal > 0.0))
        return sqrt(b->lo * b->hi);
    const double share = log(b->lost_lo / goal) / log(b->lost_lo / b->lost_hi);
    return b->lo * pow(b->hi / b->lo, fmin(fmax(share + 0.05, 0.1), 0.9));
}

nw_status nw_search_smallest(nw_found *best, nw_search *s, const nw_goals *goals, nw_error *error)
{
    bracket b = {.lost_lo = NAN, .lost_hi = NAN};
    double next;
    nw_search_span(s, &b.lo, &b.hi);
    b.lo += s->others;
    b.hi += s->others * 1.1;
    const double limit = nw_search_byte_limit(goals);
    b.hi = fmin(b.hi, limit);
    NW_TRY(first_budget(&next, s, b.lo, b.hi, goals->drop, error));
    bool met = false;
    for (int32_t step = 0; step < NW_MOST_TRIES; step++) {
        nw_found one = {0};
        NW_TRY(nw_search_try(&one, s, next, limit, false, error));
        best->trail[best->tried].bytes = one.bytes;
        best->trail[best->tried++].drop = one.verdict.drop;
        const double lost = one.verdict.drop;
        const bool good = lost <= goals->drop;
        const double size = (double)one.bytes;
        if (!best->model || (good ? !met || one.bytes < best->bytes : !met && one.verdict.drop < best->verdict.drop))
            take(best, &one);
        nw_found_clear(&one);
        if (s->task.progress)
            s->task.progress(s->task.context, step + 1, NW_MOST_TRIES);
        met = met || good;
        if (!good && next >= b.hi)
            break; /* the largest is not good enough */
        if (good) {
            b.hi = fmin(size, next);
            b.lost_hi = lost;
        } else if (next >= b.lo) {
            b.lo = next;
            b.lost_lo = lost;
        }
        if (b.hi <= b.lo * CLOSE_BYTES && (met || step + 2 >= NW_MOST_TRIES))
            break;
        next = met ? between(&b, goals->drop) : step > 1 ? b.hi : sqrt(next * b.hi);
    }
    return NW_OK;
}
