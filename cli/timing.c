/* SPDX-License-Identifier: Apache-2.0 */
/* See timing.h. */
#include "cli/timing.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "runtime/engine.h"

#define WARM_UP 3

typedef struct stopwatch {
    nw_network *network, *floats;
    int64_t runs, threads;
    float *input, **outputs, **float_outputs;
    double *times, *float_times; /* [runs] seconds */
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
    const nw_model *model = w->network->model;
    const size_t n_input = nw_network_input_size(w->network);
    if (w->runs < 1 || w->runs > NW_MOST_RUNS)
        return nw_fail(error, NW_ERROR_USAGE, "--runs: from 1 to %d", NW_MOST_RUNS);
    assert(!w->floats || n_input == nw_network_input_size(w->floats));
    w->input = malloc(n_input * sizeof(float));
    w->outputs = nw_network_outputs(model);
    w->float_outputs = w->floats ? nw_network_outputs(w->floats->model) : NULL;
    w->times = malloc((size_t)w->runs * sizeof(double));
    w->float_times = malloc((size_t)w->runs * sizeof(double));
    if (!w->input || !w->outputs || !w->times || !w->float_times || (w->floats && !w->float_outputs))
        return nw_fail_memory(error, "timing");
    for (size_t i = 0; i < n_input; i++)
        w->input[i] = (float)((i * 2654435761u >> 8) % 2001) * 0.001f - 1.0f;
    return NW_OK;
}

static void put_away(stopwatch *w)
{
    nw_network_outputs_free(w->outputs, w->network->model);
    if (w->floats)
        nw_network_outputs_free(w->float_outputs, w->floats->model);
    free(w->input);
    free(w->times);
    free(w->float_times);
}

static nw_status run_integer(stopwatch *w, uint64_t *nanoseconds, uint64_t *coding)
{
    const nw_input input = {.values = w->input};
    const nw_run_options options = {
        .threads = w->network->threads, .node_nanoseconds = nanoseconds, .coding_nanoseconds = coding};
    return nw_engine_run_with(w->network->engine, &input, w->outputs, &options);
}

static nw_status run_float(stopwatch *w, nw_error *error)
{
    return nw_float_run(w->floats->floats, (const float *const[]){w->input}, w->float_outputs, error);
}

/** Both networks in turns. */
static nw_status measure_whole(stopwatch *w, nw_error *error)
{
    nw_progress progress = {.phase = "timing"};
    for (int64_t i = -WARM_UP; i < w->runs; i++) {
        const double start = nw_seconds();
        NW_TRY(run_integer(w, NULL, NULL));
        const double middle = nw_seconds();
        if (i >= 0)
            w->times[i] = middle - start;
        if (!w->floats)
            continue;
        const double float_start = nw_seconds();
        NW_TRY(run_float(w, error));
        if (i >= 0)
            w->float_times[i] = nw_seconds() - float_start;
        if (w->threads != 1)
            nw_float_release_threads();
        nw_progress_show(&progress, i, w->runs);
    }
    nw_progress_show(&progress, w->runs, w->runs);
    return NW_OK;
}

/** Medians of every node and of all coding together. */
static nw_status measure_nodes(double *medians, double *coding_median, stopwatch *w, nw_error *error)
{
    const size_t n_nodes = (size_t)w->network->model->n_nodes;
    const size_t runs = (size_t)w->runs;
    uint64_t *nanoseconds = malloc(n_nodes * sizeof(*nanoseconds));
    double *times = calloc(n_nodes * runs, sizeof(*times));
    double *coding_times = calloc(runs, sizeof(*coding_times));
    nw_status status = nanoseconds && times && coding_times ? NW_OK : nw_fail_memory(error, "timing the nodes");
    for (size_t run = 0; !status && run < runs; run++) {
        memset(nanoseconds, 0, n_nodes * sizeof(*nanoseconds));
        uint64_t coding = 0;
        status = run_integer(w, nanoseconds, &coding);
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

nw_status nw_timing_measure(nw_timing *timing, nw_network *network, nw_network *floats, int64_t runs, int64_t threads,
                            nw_error *error)
{
    stopwatch w = {.network = network, .floats = floats, .runs = runs, .threads = threads};
    double coding = 0.0;
    double *node_seconds = malloc((size_t)network->model->n_nodes * sizeof(*node_seconds));
    nw_status status = node_seconds ? prepare(&w, error) : nw_fail_memory(error, "timing");
    if (!status)
        status = measure_whole(&w, error);
    if (!status)
        status = measure_nodes(node_seconds, &coding, &w, error);
    if (status)
        free(node_seconds);
    else
        *timing = (nw_timing){.seconds = median(w.times, (size_t)runs),
                              .float_seconds = floats ? median(w.float_times, (size_t)runs) : 0.0,
                              .coding_seconds = coding,
                              .node_seconds = node_seconds};
    put_away(&w);
    return status;
}

void nw_timing_free(nw_timing *timing)
{
    free(timing->node_seconds);
    *timing = (nw_timing){0};
}
