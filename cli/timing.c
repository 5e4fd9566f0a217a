/* SPDX-License-Identifier: Apache-2.0 */
/* See timing.h. */
#include "cli/timing.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "runtime/engine.h"

#define WARM_UP 3

/** One of the networks that take turns. */
typedef struct runner {
    nw_network *network;
    float **outputs;
    double *times; /* [runs] seconds */
} runner;

typedef struct stopwatch {
    runner runners[1 + NW_MOST_RIVALS]; /* the network, and its rivals */
    int32_t n_runners;
    int64_t runs, threads;
    float *input;
} stopwatch;

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare_doubles);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

static nw_status prepare(stopwatch *w, nw_error *error)
{
    const size_t n_input = nw_network_input_size(w->runners[0].network);
    if (w->runs < 1 || w->runs > NW_MOST_RUNS)
        return nw_fail(error, NW_ERROR_USAGE, "--runs: from 1 to %d", NW_MOST_RUNS);
    w->input = malloc(n_input * sizeof(float));
    bool done = w->input != NULL;
    for (runner *r = w->runners; r < w->runners + w->n_runners; r++) {
        assert(n_input == nw_network_input_size(r->network));
        r->outputs = nw_network_outputs(r->network->model);
        r->times = malloc((size_t)w->runs * sizeof(double));
        done = done && r->outputs && r->times;
    }
    if (!done)
        return nw_fail_memory(error, "timing");
    for (size_t i = 0; i < n_input; i++)
        w->input[i] = (float)((i * 2654435761u >> 8) % 2001) * 0.001f - 1.0f;
    return NW_OK;
}

static void put_away(stopwatch *w)
{
    for (runner *r = w->runners; r < w->runners + w->n_runners; r++) {
        nw_network_outputs_free(r->outputs, r->network->model);
        free(r->times);
    }
    free(w->input);
}

static nw_status run_integer(const stopwatch *w, const runner *r, uint64_t *nanoseconds, uint64_t *coding)
{
    const nw_input input = {.values = w->input};
    const nw_run_options options = {
        .threads = r->network->threads, .node_nanoseconds = nanoseconds, .coding_nanoseconds = coding};
    return nw_engine_run_with(r->network->engine, &input, r->outputs, &options);
}

static nw_status run_once(const stopwatch *w, const runner *r, nw_error *error)
{
    return r->network->integer
               ? run_integer(w, r, NULL, NULL)
               : nw_float_run(r->network->floats, (const float *const[]){w->input}, r->outputs, error);
}

/** All networks in turns. */
static nw_status measure_whole(stopwatch *w, nw_error *error)
{
    nw_progress progress = {.phase = "timing"};
    for (int64_t i = -WARM_UP; i < w->runs; i++) {
        for (const runner *r = w->runners; r < w->runners + w->n_runners; r++) {
            const double start = nw_seconds();
            NW_TRY(run_once(w, r, error));
            if (i >= 0)
                r->times[i] = nw_seconds() - start;
            if (!r->network->integer && w->threads != 1)
                nw_float_release_threads();
        }
        nw_progress_show(&progress, i, w->runs);
    }
    nw_progress_show(&progress, w->runs, w->runs);
    return NW_OK;
}

static bool same_outputs(const runner *a, const runner *b)
{
    const nw_model *x = a->network->model;
    const nw_model *y = b->network->model;
    bool same = x->n_outputs == y->n_outputs;
    for (int32_t i = 0; same && i < x->n_outputs; i++) {
        const size_t n = nw_tensor_elements(&x->tensors[x->outputs[i]]);
        same = n == nw_tensor_elements(&y->tensors[y->outputs[i]]) &&
               memcmp(a->outputs[i], b->outputs[i], n * sizeof(float)) == 0;
    }
    return same;
}

/** Medians of every node and of all coding together. */
static nw_status measure_nodes(double *medians, double *coding_median, stopwatch *w, nw_error *error)
{
    const size_t n_nodes = (size_t)w->runners[0].network->model->n_nodes;
    const size_t runs = (size_t)w->runs;
    uint64_t *nanoseconds = malloc(n_nodes * sizeof(*nanoseconds));
    double *times = calloc(n_nodes * runs, sizeof(*times));
    double *coding_times = calloc(runs, sizeof(*coding_times));
    nw_status status = nanoseconds && times && coding_times ? NW_OK : nw_fail_memory(error, "timing the nodes");
    for (size_t run = 0; !status && run < runs; run++) {
        memset(nanoseconds, 0, n_nodes * sizeof(*nanoseconds));
        uint64_t coding = 0;
        status = run_integer(w, &w->runners[0], nanoseconds, &coding);
        coding_times[run] = 1e-9 * (double)coding;
        for (size_t i = 0; i < n_nodes; i++)
            times[i * runs + run] = 1e-9 * (double)nanoseconds[i];
    }
    for (size_t i = 0; !status && i < n_nodes; i++)
        medians[i] = median(times + i * runs, runs);
    if (!status)
        *coding_median = median(coding_times, runs);
    free(nanoseconds);
    free(coding_times);
    free(times);
    return status;
}

nw_status nw_timing_measure(nw_timing *timing, nw_network *network, nw_network *const *rivals, int32_t n_rivals,
                            int64_t runs, int64_t threads, nw_error *error)
{
    stopwatch w = {.runners = {{.network = network}}, .n_runners = 1 + n_rivals, .runs = runs, .threads = threads};
    nw_timing result = {0};
    assert(n_rivals <= NW_MOST_RIVALS);
    for (int32_t i = 0; i < n_rivals; i++)
        w.runners[1 + i].network = rivals[i];
    result.node_seconds = malloc((size_t)network->model->n_nodes * sizeof(*result.node_seconds));
    nw_status status = result.node_seconds ? prepare(&w, error) : nw_fail_memory(error, "timing");
    if (!status)
        status = measure_whole(&w, error);
    for (int32_t i = 0; !status && i < n_rivals; i++) {
        result.rival_seconds[i] = median(w.runners[1 + i].times, (size_t)runs);
        result.rival_same[i] = same_outputs(&w.runners[0], &w.runners[1 + i]);
    }
    if (!status)
        result.seconds = median(w.runners[0].times, (size_t)runs);
    if (!status)
        status = measure_nodes(result.node_seconds, &result.coding_seconds, &w, error);
    if (status)
        free(result.node_seconds);
    else
        *timing = result;
    put_away(&w);
    return status;
}

void nw_timing_free(nw_timing *timing)
{
    free(timing->node_seconds);
    *timing = (nw_timing){0};
}
