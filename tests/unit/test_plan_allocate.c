/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation of bits: the exact one and the one under a peak against all combinations, the closed forms against their
 * own conditions.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "plan/allocate.h"
#include "plan/peak.h"
#include "quant_graphs.h"

#define MOST 7

/** Damage halved or so for a fifth more. */
static void add_points(nw_item *item, graph_random *random)
{
    item->most_extended = 4;
    for (int32_t b = item->least; b <= item->most_extended; b++) {
        item->damage[nw_choice_extend(b)] = item->damage[b] * (0.5 + 0.4 * (double)graph_uniform(random));
        item->cost[nw_choice_extend(b)] = ceil(1.2 * item->cost[b]);
    }
}

/**
 * Items with damages that fall about fourfold per bit, some of them not even falling; of every third seed with points.
 */
static int32_t make_items(nw_item *items, uint64_t seed)
{
    graph_random random = {seed * 7919u + 3u};
    for (int i = 0; i < 8; i++)
        graph_uniform(&random);
    const bool points = seed % 3 == 1;
    const int32_t n = 3 + (int32_t)(seed % (points ? 3 : MOST - 2));
    for (int32_t i = 0; i < n; i++) {
        nw_item *item = &items[i];
        *item = (nw_item){.least = 2, .most = seed % 5 == 0 ? 4 : 6};
        item->size = floor(10.0 + 400.0 * fabs((double)graph_uniform(&random)));
        item->rate = exp(4.0 * (double)graph_uniform(&random));
        for (int32_t b = 1; b < NW_WIDTHS; b++) {
            item->damage[b] = item->rate * exp2(-2.0 * b) * exp(0.8 * (double)graph_uniform(&random));
            item->cost[b] = ceil(item->size * b / 8.0);
        }
        if (points)
            add_points(item, &random);
    }
    return n;
}

/** The choice after one; 0 after the last. */
static int32_t next_choice(const nw_item *item, int32_t choice)
{
    if (choice == item->most && item->most_extended)
        return nw_choice_extend(item->least);
    return choice == item->most || choice == nw_choice_extend(item->most_extended) ? 0 : choice + 1;
}

/** Least damage over all combinations that fit; infinite if none does. */
static double brute_force(const nw_item *items, int32_t n, double budget)
{
    int32_t choices[MOST];
    double best = INFINITY;
    for (int32_t i = 0; i < n; i++)
        choices[i] = items[i].least;
    for (;;) {
        if (nw_items_cost(items, n, choices) <= budget)
            best = fmin(best, nw_items_damage(items, n, choices));
        int32_t at = 0;
        while (at < n && !(choices[at] = next_choice(&items[at], choices[at]))) {
            choices[at] = items[at].least;
            at++;
        }
        if (at == n)
            return best;
    }
}

static void exact_is_the_best_of_all(void **state)
{
    (void)state;
    int32_t unlike_greedy = 0;
    int32_t pointed = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        nw_item items[MOST];
        const int32_t n = make_items(items, seed);
        int32_t bits[MOST], least[MOST], most[MOST];
        for (int32_t i = 0; i < n; i++) {
            least[i] = items[i].least;
            most[i] = items[i].most;
        }
        const double lo = nw_items_cost(items, n, least);
        const double hi = nw_items_cost(items, n, most);
        for (int32_t step = -1; step <= 5; step++) {
            const double budget = lo + (hi - lo) * step / 5.0;
            const double best = brute_force(items, n, budget);
            bool fits;
            assert_int_equal(nw_allocate(bits, &fits, items, n, budget, NW_ALLOCATE_EXACT, NULL), NW_OK);
            assert_int_equal(fits, best < INFINITY);
            if (!fits) {
                for (int32_t i = 0; i < n; i++)
                    assert_int_equal(bits[i], items[i].least);
                continue;
            }
            assert_true(nw_items_cost(items, n, bits) <= budget);
            assert_true(fabs(nw_items_damage(items, n, bits) - best) <= 1e-9 * best);
            int32_t other[MOST];
            assert_int_equal(nw_allocate(other, &fits, items, n, budget, NW_ALLOCATE_ADAPTIVE, NULL), NW_OK);
            assert_true(fits && nw_items_cost(items, n, other) <= budget);
            assert_true(nw_items_damage(items, n, other) >= best * (1.0 - 1e-9));
            unlike_greedy += nw_items_damage(items, n, other) > best * 1.0001;
            for (int32_t i = 0; i < n; i++)
                pointed += nw_choice_is_extended(bits[i]);
        }
    }
    assert_true(unlike_greedy > 50); /* or these items could not tell a good allocation from a bad one */
    assert_true(pointed > 50);
}

static void many_items(void **state)
{
    (void)state;
    nw_item items[160]; /* make_items writes more than three */
    int32_t bits[150], adaptive[150];
    for (int32_t i = 0; i < 150; i += 3)
        make_items(items + i, (uint64_t)(i / 3) * 5u + 6u); /* n is at least 3 */
    double hi = 0.0;
    for (int32_t i = 0; i < 150; i++)
        hi += items[i].cost[items[i].most];
    bool fits;
    assert_int_equal(nw_allocate(bits, &fits, items, 150, 0.55 * hi, NW_ALLOCATE_EXACT, NULL), NW_OK);
    assert_true(fits && nw_items_cost(items, 150, bits) <= 0.55 * hi);
    assert_int_equal(nw_allocate(adaptive, &fits, items, 150, 0.55 * hi, NW_ALLOCATE_ADAPTIVE, NULL), NW_OK);
    assert_true(nw_items_damage(items, 150, bits) <= nw_items_damage(items, 150, adaptive));
}

/** Without rounding in the way: marginal damage per weight is alike everywhere (methods.md, D.3). */
static void closed_form(void **state)
{
    (void)state;
    nw_item items[4];
    int32_t bits[4];
    const double rates[4] = {1.0, 4.0, 16.0, 64.0};
    for (int32_t i = 0; i < 4; i++) {
        items[i] = (nw_item){.least = 1, .most = 8, .size = 64.0, .rate = rates[i]};
        for (int32_t b = 1; b < NW_WIDTHS; b++)
            items[i].cost[b] = 8.0 * b;
    }
    bool fits;
    assert_int_equal(nw_allocate(bits, &fits, items, 4, 8.0 * (2 + 3 + 4 + 5), NW_ALLOCATE_ADAPTIVE, NULL), NW_OK);
    assert_true(fits);
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(bits[i], 2 + i);
    assert_int_equal(nw_allocate(bits, &fits, items, 4, 8.0 * 14, NW_ALLOCATE_EQUAL, NULL), NW_OK);
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(bits[i], 3);
    for (int32_t i = 0; i < 4; i++) { /* sqnr looks at sizes alone: a fourfold layer gets one bit less */
        items[i].size = 64.0 * rates[i];
        for (int32_t b = 1; b < NW_WIDTHS; b++)
            items[i].cost[b] = items[i].size * b / 8.0;
    }
    assert_int_equal(nw_allocate(bits, &fits, items, 4, 8.0 * (5 + 4 * 4 + 16 * 3 + 64 * 2), NW_ALLOCATE_SQNR, NULL),
                     NW_OK);
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(bits[i], 5 - i);
}

/* under a peak */

#define MOMENTS 9

typedef struct peak_case {
    nw_item items[MOST];
    double base[MOMENTS], bytes[MOMENTS * MOST * NW_WIDTHS];
    nw_peak task;
} peak_case;

/**
 * Items alive for a while, each of the same size as long as it lives; one in four twice, like a group of two tensors.
 */
static void make_peak(peak_case *c, uint64_t seed)
{
    graph_random random = {seed * 6007u + 11u};
    for (int i = 0; i < 8; i++)
        graph_uniform(&random);
    *c = (peak_case){0};
    const int32_t n = make_items(c->items, seed);
    c->task = (nw_peak){c->items, n, MOMENTS, c->base, c->bytes, 0.0};
    for (int32_t m = 0; m < MOMENTS; m++)
        c->base[m] = floor(50.0 + 50.0 * (double)graph_uniform(&random));
    for (int32_t i = 0; i < n; i++)
        for (int32_t life = 0; life < (i % 4 == 3 ? 2 : 1); life++) {
            const int32_t first = (int32_t)(4.0 + 3.99 * (double)graph_uniform(&random));
            const int32_t last = first + (int32_t)(2.0 + 1.99 * (double)graph_uniform(&random));
            for (int32_t m = first; m <= last && m < MOMENTS; m++)
                for (int32_t b = c->items[i].least; b <= c->items[i].most; b++)
                    c->bytes[(m * n + i) * NW_WIDTHS + b] = ceil(c->items[i].size * b / 8.0);
        }
}

static double peak_of(const nw_peak *task, const int32_t *bits)
{
    double most = 0.0;
    for (int32_t m = 0; m < task->n_moments; m++)
        most = fmax(most, nw_peak_at(task, m, bits));
    return most;
}

static double brute_force_peak(const nw_peak *task)
{
    int32_t bits[MOST];
    double best = INFINITY;
    for (int32_t i = 0; i < task->n; i++)
        bits[i] = task->items[i].least;
    for (;;) {
        if (peak_of(task, bits) <= task->budget)
            best = fmin(best, nw_items_damage(task->items, task->n, bits));
        int32_t at = 0;
        while (at < task->n && bits[at] == task->items[at].most) {
            bits[at] = task->items[at].least;
            at++;
        }
        if (at == task->n)
            return best;
        bits[at]++;
    }
}

static void under_a_peak(void **state)
{
    (void)state;
    int32_t bound = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        peak_case c;
        int32_t bits[MOST], least[MOST], most[MOST];
        make_peak(&c, seed);
        for (int32_t i = 0; i < c.task.n; i++) {
            least[i] = c.items[i].least;
            most[i] = c.items[i].most;
        }
        const double lo = peak_of(&c.task, least);
        const double hi = peak_of(&c.task, most);
        const double free = brute_force_peak(&(nw_peak){c.items, c.task.n, MOMENTS, c.base, c.bytes, INFINITY});
        for (int32_t step = -1; step <= 4; step++) {
            bool fits;
            c.task.budget = lo + (hi - lo) * step / 4.0;
            const double best = brute_force_peak(&c.task);
            assert_int_equal(nw_peak_solve(bits, &fits, &c.task, NULL), NW_OK);
            assert_int_equal(fits, best < INFINITY);
            for (int32_t i = 0; i < c.task.n && !fits; i++)
                assert_int_equal(bits[i], c.items[i].least);
            if (!fits)
                continue;
            assert_true(peak_of(&c.task, bits) <= c.task.budget);
            assert_true(fabs(nw_items_damage(c.items, c.task.n, bits) - best) <= 1e-9 * best);
            bound += best > free * 1.01;
        }
    }
    assert_true(bound > 60); /* or the peak did not matter */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_is_the_best_of_all),
        cmocka_unit_test(many_items),
        cmocka_unit_test(closed_form),
        cmocka_unit_test(under_a_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
