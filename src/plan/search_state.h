/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A search from inside: search.c decides for one budget, search_drop.c looks for the budget that meets a goal for the
 * drop.
 */
#ifndef NARROW_PLAN_SEARCH_STATE_H
#define NARROW_PLAN_SEARCH_STATE_H

#include <math.h>

#include "plan/search.h"

struct nw_search {
    nw_search_task task;
    nw_costs *costs;
    nw_item *items; /* [n] owned; of layers. Tensors have one width and no cost: activations.h chooses it */
    nw_item *priced; /* [n] owned; the same, time added to the damage at some price */
    double seconds; /* goal; 0: none */
    nw_activation_choice activations;
    bool narrow;
    int32_t n;
    double others; /* bytes of the file that are no packed weights, as far as is known */
    int64_t done;
};

static inline double nw_search_byte_limit(const nw_goals *goals)
{
    return goals->bytes > 0.0 ? goals->bytes : INFINITY;
}

/** Widths for a file of at most `bytes`, and their plan. The file is the smallest there is if that is not possible. */
nw_status nw_search_decide(nw_found *found, nw_search *s, double bytes, nw_error *error);

/**
 * The network for a budget, judged. Coded weights may come out a little longer than they were when measured: if the
 * file then exceeds `limit`, again with a smaller budget, unless there is nothing smaller.
 */
nw_status nw_search_try(nw_found *found, nw_search *s, double budget, double limit, bool dry, nw_error *error);

/** Bytes of packed weights of the smallest and the largest network. */
void nw_search_span(const nw_search *s, double *least, double *most);

/** The smallest network within the drop; best found if none is. `others` is known. */
nw_status nw_search_smallest(nw_found *best, nw_search *s, const nw_goals *goals, nw_error *error);

#endif
