/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See strips.h: which nodes run in one pass over strips. Nodes that follow each other, each the only reader of the one
 * before, form a run; a run is cut into chains, which is a shortest path over its nodes:
 *
 *     fast:   the sum of (size of a tensor - fusion_bytes) over the tensors that vanish becomes largest, among chains
 *             whose scratch is small enough: what does not fit into cache anyway is not written and read again
 *     small:  the fewest tensors vanish that the peak allows: it may be 1 / SLACK above the least that any cut reaches
 *
 * Rows that an arena budget robs of their low bits are rows of stored tensors: with a budget there are no chains.
 */
#include <math.h>
#include <stdlib.h>

#include "base/arith.h"
#include "runtime/strips.h"

#define SLACK 8 /* as in strips.c, where rows are chosen by the same rule */

typedef struct chooser {
    nw_layout *layout;
    const nw_model *model;
    int32_t lanes;
    nw_fusion fusion;
    double bytes;    /* fast: what vanishing saves is the size above this */
    size_t scratch;  /* fast: most bytes of a lane */
    size_t most;     /* small: bytes that chains may need; 0: as few as can be */
    double *cost;    /* [n_nodes] of the best cut of a run's nodes up to this one */
    int32_t *begin;  /* [n_nodes] where the last chain of that cut begins */
} chooser;

/**
 * Whether a reader looks at every row of its input but the last ones: gaps would never be made, nor seen by observers.
 */
static bool reads_all_rows(const nw_node *node)
{
    if (node->op == NW_OP_SLICE)
        return false;
    if (node->op == NW_OP_CONV_TRANSPOSE)
        return node->window.pad[0] <= (node->window.kernel[0] - 1) * node->window.dilation[0];
    const bool windowed = node->op == NW_OP_CONV || node->op == NW_OP_MAX_POOL || node->op == NW_OP_AVERAGE_POOL;
    return !windowed || (node->window.kernel[0] - 1) * node->window.dilation[0] + 1 >= node->window.stride[0];
}

/** Whether node n + 1 can run in one pass with node n. */
static bool can_follow(const nw_layout *layout, const nw_model *model, int32_t n)
{
    const nw_node *reader = &model->nodes[n + 1];
    const int32_t t = model->nodes[n].output;
    const nw_tensor *tensor = &model->tensors[t];
    if (!nw_strips_possible(model, &model->nodes[n]) || !nw_strips_possible(model, reader) || !reads_all_rows(reader) ||
        (nw_strip_input(reader, 0) != t && nw_strip_input(reader, 1) != t))
        return false;
    const nw_place *p = &layout->places[t];
    return tensor->type == NW_TYPE_U8 && tensor->rank == 4 && nw_tensor_height(tensor) > 1 && p->root == t &&
           !p->joined && nw_model_uses(model, t) == 1;
}

/** Declares the tensors between nodes first .. last inner, or not. */
static void mark(const chooser *c, int32_t first, int32_t last, bool inner)
{
    for (int32_t n = first; n < last; n++)
        c->layout->places[c->model->nodes[n].output].inner = inner;
}

/** Plans a chain with strips of `rows` rows; returns the bytes that are alive besides what it saves. */
static size_t plan(const chooser *c, nw_strips *strips, int32_t first, int32_t last, int32_t rows)
{
    size_t saved = 0;
    mark(c, first, last, true);
    nw_strips_plan_chain(strips, c->layout, c->model, first, last, c->lanes, rows);
    mark(c, first, last, false);
    for (int32_t n = first; n < last; n++)
        saved += c->layout->places[c->model->nodes[n].output].size;
    return nw_strips_bytes(c->layout, c->model, strips) - saved;
}

/** Cost of running nodes first .. last as a chain; HUGE_VAL if that must not be. */
static double cost_of(const chooser *c, int32_t first, int32_t last)
{
    nw_strips strips[NW_CHAIN_LINKS];
    const size_t bytes = plan(c, strips, first, last, 1);
    if (c->fusion == NW_FUSION_SMALL)
        return !c->most ? (double)bytes : bytes <= c->most ? last - first : HUGE_VAL;
    double saved = 0.0;
    for (int32_t n = first; n < last; n++)
        saved += (double)c->layout->places[c->model->nodes[n].output].size - c->bytes;
    return first < last && strips[0].lane_size > c->scratch ? HUGE_VAL : -saved;
}

/** The best way to cut nodes first .. end - 1, of which each can follow the one before; returns its cost. */
static double cut(chooser *c, int32_t first, int32_t end)
{
    const bool peak = c->fusion == NW_FUSION_SMALL && !c->most; /* the highest counts, not the sum */
    for (int32_t last = first; last < end; last++) {
        c->cost[last] = HUGE_VAL;
        for (int32_t begin = last; begin >= first && begin > last - NW_CHAIN_LINKS; begin--) {
            const double before = begin > first ? c->cost[begin - 1] : 0.0;
            const double own = cost_of(c, begin, last);
            const double cost = peak ? fmax(before, own) : before + own;
            if (cost < c->cost[last]) {
                c->cost[last] = cost;
                c->begin[last] = begin;
            }
        }
    }
    return c->cost[end - 1];
}

static int32_t run_end(const chooser *c, int32_t n)
{
    while (n + 1 < c->model->n_nodes && can_follow(c->layout, c->model, n))
        n++;
    return n + 1;
}

/** Cuts all runs; returns the highest cost of one. */
static double cut_all(chooser *c)
{
    double most = 0.0;
    for (int32_t n = 0; n < c->model->n_nodes;) {
        const int32_t end = run_end(c, n);
        most = fmax(most, cut(c, n, end));
        n = end;
    }
    return most;
}

/** Makes nodes first .. last a chain: what it reads and writes is alive until its last node, from its first on. */
static void make_chain(chooser *c, int32_t first, int32_t last)
{
    nw_layout *layout = c->layout;
    mark(c, first, last, true);
    for (int32_t n = first; n <= last; n++) {
        layout->strips[n].first = first;
        layout->strips[n].last = last;
        nw_place *p = &layout->places[c->model->nodes[n].output];
        if (n < last) {
            p->stored = false;
            p->size = 0;
        }
    }
    for (int32_t t = 0; t < c->model->n_tensors; t++) {
        nw_place *p = &layout->places[t];
        if (p->first >= first && p->first <= last)
            p->first = first;
        if (p->last >= first && p->last <= last)
            p->last = last;
    }
}

static void make_chains(chooser *c)
{
    for (int32_t n = 0; n < c->model->n_nodes; n++)
        if (c->fusion == NW_FUSION_NONE)
            c->begin[n] = n;
    for (int32_t last = c->model->n_nodes - 1; last >= 0; last = c->begin[last] - 1)
        make_chain(c, c->begin[last], last);
}

nw_status nw_chains_choose(nw_layout *layout, const nw_model *model, const nw_layout_options *options, nw_error *error)
{
    chooser c = {.layout = layout,
                 .model = model,
                 .lanes = options->lanes,
                 .scratch = options->fusion_scratch ? options->fusion_scratch : NW_CHAIN_SCRATCH,
                 .bytes = (double)(options->fusion_bytes ? options->fusion_bytes : NW_CHAIN_BYTES),
                 .fusion = options->coded && options->budget ? NW_FUSION_NONE : options->fusion,
                 .cost = malloc(((size_t)model->n_nodes + 1) * sizeof(double)),
                 .begin = malloc(((size_t)model->n_nodes + 1) * sizeof(int32_t))};
    const bool done = c.cost && c.begin;
    const double peak = done && c.fusion != NW_FUSION_NONE ? cut_all(&c) : 0.0;
    if (done && c.fusion == NW_FUSION_SMALL) {
        c.most = (size_t)peak + (size_t)peak / SLACK + 1;
        cut_all(&c);
    }
    if (done)
        make_chains(&c);
    free(c.cost);
    free(c.begin);
    return done ? NW_OK : nw_fail_memory(error, "laying out the activations");
}
