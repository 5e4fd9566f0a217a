/* SPDX-License-Identifier: Apache-2.0 */
/* See arms.h. */
#include "cli/arms.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "cli/report.h"
#include "runtime/engine.h"

#define WARM_UP 2
#define SECONDS 2.0 /* of all rounds */

nw_status nw_arms_add(nw_arms *arms, const nw_engine_options *options, nw_error *error)
{
    nw_arm *a = &arms->arms[arms->n_arms];
    assert(arms->n_arms < NW_MOST_ARMS);
    *a = (nw_arm){.options = *options};
    NW_TRY(nw_engine_create_with(&a->engine, arms->network->model, options, error));
    arms->n_arms++;
    return NW_OK;
}

void nw_arms_drop(nw_arms *arms)
{
    nw_arm *a = &arms->arms[--arms->n_arms];
    nw_engine_free(a->engine);
    free(a->times);
}

void nw_arms_free(nw_arms *arms)
{
    while (arms->n_arms)
        nw_arms_drop(arms);
}

static nw_status run_once(const nw_arms *arms, const nw_arm *a, uint64_t *nanoseconds, nw_error *error)
{
    const nw_input input = {.values = arms->input};
    const nw_run_options options = {.threads = arms->network->threads, .node_nanoseconds = nanoseconds};
    if (nw_engine_run_with(a->engine, &input, arms->outputs, &options))
        return nw_fail(error, NW_ERROR_INTERNAL, "the network cannot be run");
    return NW_OK;
}

/** Warms up, and says how many rounds there shall be. */
static nw_status warm_up(nw_arms *arms, nw_error *error)
{
    double start = 0.0;
    for (int32_t i = 0; i < WARM_UP * arms->n_arms; i++) {
        if (i % arms->n_arms == 0)
            start = nw_seconds();
        NW_TRY(run_once(arms, &arms->arms[i % arms->n_arms], NULL, error));
    }
    const double wanted = SECONDS / (nw_seconds() - start + 1e-9);
    if (wanted < (double)arms->rounds)
        arms->rounds = wanted < NW_LEAST_ROUNDS ? NW_LEAST_ROUNDS : (int64_t)wanted;
    return NW_OK;
}

static nw_status take_memory(nw_arms *arms, nw_error *error)
{
    for (nw_arm *a = arms->arms; a < arms->arms + arms->n_arms; a++) {
        a->times = malloc((size_t)arms->network->model->n_nodes * (size_t)arms->rounds * sizeof(double));
        if (!a->times)
            return nw_fail_memory(error, "timing");
    }
    return NW_OK;
}

static nw_status run_rounds(nw_arms *arms, uint64_t *nanoseconds, nw_error *error)
{
    const size_t n_nodes = (size_t)arms->network->model->n_nodes;
    const size_t rounds = (size_t)arms->rounds;
    nw_progress progress = {.phase = "timing"};
    for (size_t round = 0; round < rounds; round++) {
        for (int32_t i = 0; i < arms->n_arms; i++) { /* to and fro: nobody always finds the caches of the same one */
            nw_arm *a = &arms->arms[round % 2 ? arms->n_arms - 1 - i : i];
            memset(nanoseconds, 0, n_nodes * sizeof(*nanoseconds));
            NW_TRY(run_once(arms, a, nanoseconds, error));
            for (size_t n = 0; n < n_nodes; n++)
                a->times[n * rounds + round] = 1e-9 * (double)nanoseconds[n];
        }
        nw_progress_show(&progress, (int64_t)round, arms->rounds);
    }
    nw_progress_show(&progress, arms->rounds, arms->rounds);
    return NW_OK;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/** Each half ascending, so that quartiles can be read off. */
static void sort_halves(double *times, size_t rounds)
{
    qsort(times, rounds / 2, sizeof(*times), compare);
    qsort(times + rounds / 2, rounds - rounds / 2, sizeof(*times), compare);
}

nw_status nw_arms_run(nw_arms *arms, nw_error *error)
{
    const size_t n_nodes = (size_t)arms->network->model->n_nodes;
    NW_TRY(warm_up(arms, error));
    NW_TRY(take_memory(arms, error));
    uint64_t *nanoseconds = malloc(n_nodes * sizeof(*nanoseconds));
    if (!nanoseconds)
        return nw_fail_memory(error, "timing");
    const nw_status status = run_rounds(arms, nanoseconds, error);
    free(nanoseconds);
    for (nw_arm *a = arms->arms; !status && a < arms->arms + arms->n_arms; a++)
        for (size_t n = 0; n < n_nodes; n++)
            sort_halves(a->times + n * (size_t)arms->rounds, (size_t)arms->rounds);
    return status;
}

/** The value below which `part` of four parts of a node's rounds lie: 1 the lower quartile, 2 the median. */
static double node_quartile(const nw_arms *arms, int32_t i, int32_t node, int32_t half, int32_t part)
{
    const double *times = arms->arms[i].times + (int64_t)node * arms->rounds;
    const int64_t first = arms->rounds / 2;
    return half ? times[first + (arms->rounds - first) * part / 4] : times[first * part / 4];
}

static double quartile(const nw_arms *arms, int32_t i, int32_t node, int32_t half, int32_t part)
{
    if (node != NW_NONE)
        return node_quartile(arms, i, node, half, part) + 1e-12; /* nodes without work have a ratio too */
    double sum = 1e-12;
    for (int32_t n = 0; n < arms->network->model->n_nodes; n++)
        sum += node_quartile(arms, i, n, half, part);
    return sum;
}

double nw_arms_time(const nw_arms *arms, int32_t i, int32_t node, int32_t half)
{
    return quartile(arms, i, node, half, 1);
}

int32_t nw_arms_choose(const nw_arms *arms, int32_t node, double least, double *gain)
{
    int32_t best = 0;
    bool enough = true;
    for (int32_t i = 1; i < arms->n_arms; i++)
        if (nw_arms_time(arms, i, node, 0) < nw_arms_time(arms, best, node, 0))
            best = i;
    for (int32_t half = 0; half < 2; half++) {
        const double first = nw_arms_time(arms, 0, node, half);
        const double unrest = quartile(arms, 0, node, half, 2) / first;
        *gain = first / nw_arms_time(arms, best, node, half);
        enough = enough && *gain >= least && *gain >= unrest;
    }
    if (best > 0 && enough)
        return best;
    *gain = 1.0;
    return 0;
}
