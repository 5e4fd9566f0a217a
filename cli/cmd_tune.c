/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow tune: which choices of the engine run a network fastest here, measured in turns and kept in a table
 * (runtime/tuning.h) for `--fuse tuned`. Half of the rounds choose, the other half judges the chosen one: whoever is the
 * fastest of many by luck is not so twice.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/network.h"
#include "cli/report.h"
#include "cli/tuned.h"

#define MOST_ARMS 10 /* separate layers, and 3 x 3 sizes of fusion */
#define LEAST_ROUNDS 5
#define WARM_UP 2
#define LEAST_GAIN 1.03 /* a choice that gains less is noise tomorrow */

typedef struct arm {
    nw_engine_options options;
    nw_engine *engine; /* owned */
    double *times;     /* [rounds] owned, seconds */
    double median;     /* of the first half */
} arm;

typedef struct tune {
    const char *path, *cache;
    int64_t rounds, threads;
    bool json;
    nw_network network;
    nw_isa isa;
    arm arms[MOST_ARMS];
    int32_t n_arms;
    float *input;
    float **outputs;
} tune;

static void clear(tune *t)
{
    for (int32_t i = 0; i < t->n_arms; i++) {
        nw_engine_free(t->arms[i].engine);
        free(t->arms[i].times);
    }
    free(t->input);
    if (t->outputs)
        nw_network_outputs_free(t->outputs, t->network.model);
    nw_network_close(&t->network);
}

/** Adds an engine with these options, unless it is laid out as one before. */
static nw_status add_arm(tune *t, const nw_engine_options *options, nw_error *error)
{
    arm *a = &t->arms[t->n_arms];
    *a = (arm){.options = *options};
    NW_TRY(nw_engine_create_with(&a->engine, t->network.model, options, error));
    const nw_traffic own = nw_engine_traffic(a->engine);
    for (int32_t i = 0; i < t->n_arms; i++) {
        const nw_traffic other = nw_engine_traffic(t->arms[i].engine);
        if (own.n_fused == other.n_fused && own.moved == other.moved &&
            nw_engine_total_size(a->engine) == nw_engine_total_size(t->arms[i].engine)) {
            nw_engine_free(a->engine);
            return NW_OK;
        }
    }
    t->n_arms++;
    a->times = malloc((size_t)t->rounds * sizeof(double));
    return a->times ? NW_OK : nw_fail_memory(error, "timing");
}

static nw_status add_arms(tune *t, nw_error *error)
{
    static const size_t bytes[] = {150000, 300000, 600000};
    static const size_t scratch[] = {100000, 200000, 400000};
    nw_engine_options options = {.isa = nw_isa_name(t->isa), .threads = nw_thread_count(t->threads)};
    NW_TRY(add_arm(t, &options, error));
    options.fusion = NW_FUSION_FAST;
    for (size_t i = 0; i < NW_COUNT(bytes); i++)
        for (size_t j = 0; j < NW_COUNT(scratch); j++) {
            options.fusion_bytes = bytes[i];
            options.fusion_scratch = scratch[j];
            NW_TRY(add_arm(t, &options, error));
        }
    return NW_OK;
}

static nw_status open_all(tune *t, nw_error *error)
{
    if (nw_path_is_onnx(t->path))
        return nw_fail(error, NW_ERROR_USAGE, "%s: `narrow tune` measures a .nw file", t->path);
    if (t->rounds < 2 * LEAST_ROUNDS || t->rounds > 100000)
        return nw_fail(error, NW_ERROR_USAGE, "--rounds: from %d to 100000", 2 * LEAST_ROUNDS);
    NW_TRY(nw_isa_choose(&t->isa, getenv("NARROW_ISA"), error));
    NW_TRY(nw_network_open(&t->network, t->path, t->threads, 1, error));
    NW_TRY(add_arms(t, error));
    const size_t n = nw_network_input_size(&t->network);
    t->input = malloc(n * sizeof(float));
    t->outputs = nw_network_outputs(t->network.model);
    if (!t->input || !t->outputs)
        return nw_fail_memory(error, "timing");
    for (size_t i = 0; i < n; i++) /* as in timing.c */
        t->input[i] = (float)((i * 2654435761u >> 8) % 2001) * 0.001f - 1.0f;
    return NW_OK;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare);
    return values[n / 2];
}

static nw_status run_all(tune *t, nw_error *error)
{
    nw_progress progress = {.phase = "timing"};
    const nw_input input = {.values = t->input};
    for (int64_t round = -WARM_UP; round < t->rounds; round++) {
        for (int32_t i = 0; i < t->n_arms; i++) { /* to and fro: nobody always finds the caches of the same one */
            arm *a = &t->arms[round % 2 ? t->n_arms - 1 - i : i];
            const double start = nw_seconds();
            if (nw_engine_run(a->engine, &input, t->outputs, t->network.threads))
                return nw_fail(error, NW_ERROR_INTERNAL, "%s: cannot be run", t->path);
            if (round >= 0)
                a->times[round] = nw_seconds() - start;
        }
        nw_progress_show(&progress, nw_max32(0, (int32_t)round), t->rounds);
    }
    nw_progress_show(&progress, t->rounds, t->rounds);
    return NW_OK;
}

/** The arm with the least median of the first half, if it gains enough in the second one too; else separate layers. */
static int32_t choose(tune *t, double *gain)
{
    const size_t half = (size_t)t->rounds / 2;
    int32_t best = 0;
    for (int32_t i = 0; i < t->n_arms; i++) {
        t->arms[i].median = median(t->arms[i].times, half);
        if (t->arms[i].median < t->arms[best].median)
            best = i;
    }
    const double judged = median(t->arms[0].times + half, (size_t)t->rounds - half) /
                          median(t->arms[best].times + half, (size_t)t->rounds - half);
    const bool enough = best > 0 && judged >= LEAST_GAIN && t->arms[0].median >= LEAST_GAIN * t->arms[best].median;
    *gain = enough ? judged : 1.0;
    return enough ? best : 0;
}

static nw_status print_json(const tune *t, const nw_tuning *row, const char *path, nw_error *error)
{
    cJSON *report = cJSON_CreateObject();
    char network[17];
    snprintf(network, sizeof(network), "%016" PRIx64, row->network);
    cJSON_AddStringToObject(report, "model", t->path);
    cJSON_AddStringToObject(report, "table", path);
    cJSON_AddStringToObject(report, "network", network);
    cJSON_AddNumberToObject(report, "threads", row->threads);
    cJSON_AddStringToObject(report, "fusion", nw_fusion_names[row->fusion]);
    cJSON_AddNumberToObject(report, "fusion_bytes", row->fusion_bytes);
    cJSON_AddNumberToObject(report, "fusion_scratch", row->fusion_scratch);
    cJSON_AddNumberToObject(report, "gain", row->gain);
    cJSON *arms = cJSON_AddArrayToObject(report, "candidates");
    for (int32_t i = 0; i < t->n_arms; i++) {
        const arm *a = &t->arms[i];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "fusion", nw_fusion_names[a->options.fusion]);
        cJSON_AddNumberToObject(object, "fusion_bytes", (double)a->options.fusion_bytes);
        cJSON_AddNumberToObject(object, "fusion_scratch", (double)a->options.fusion_scratch);
        cJSON_AddNumberToObject(object, "activation_bytes", (double)nw_engine_activation_size(a->engine));
        cJSON_AddNumberToObject(object, "ratio", t->arms[0].median / a->median);
        cJSON_AddItemToArray(arms, object);
    }
    return nw_report_print(report, error);
}

static void print_text(const tune *t, const nw_tuning *row, const char *path)
{
    printf("%-8s %12s %12s %14s %6s\n", "fusion", "from bytes", "scratch", "activations", "ratio");
    for (int32_t i = 0; i < t->n_arms; i++) {
        const arm *a = &t->arms[i];
        printf("%-8s %12zu %12zu %14zu %6.3f\n", nw_fusion_names[a->options.fusion], a->options.fusion_bytes,
               a->options.fusion_scratch, nw_engine_activation_size(a->engine), t->arms[0].median / a->median);
    }
    if (row->fusion == NW_FUSION_NONE)
        printf("separate layers: nothing gains 3 %% in both halves of the rounds\n");
    else
        printf("%s from %d bytes, %d bytes of scratch: %.3f times as fast in the second half of the rounds\n",
               nw_fusion_names[row->fusion], (int)row->fusion_bytes, (int)row->fusion_scratch, row->gain);
    printf("kept in %s for --fuse tuned\n", path);
}

static nw_status measure(tune *t, nw_error *error)
{
    char path[640];
    double gain;
    NW_TRY(open_all(t, error));
    nw_tuned_path(path, t->cache, t->isa);
    if (!path[0])
        return nw_fail(error, NW_ERROR_USAGE, "there is no folder for caches; say where with --table");
    NW_TRY(nw_file_check_writable(path, error));
    NW_TRY(run_all(t, error));
    const arm *best = &t->arms[choose(t, &gain)];
    const nw_tuning row = {.network = nw_tuning_network(t->network.model),
                           .threads = (int32_t)nw_thread_count(t->threads),
                           .fusion = best->options.fusion,
                           .fusion_bytes = (int32_t)best->options.fusion_bytes,
                           .fusion_scratch = (int32_t)best->options.fusion_scratch,
                           .gain = gain};
    NW_TRY(nw_tuning_keep(&row, path, t->isa, error));
    if (t->json)
        return print_json(t, &row, path, error);
    print_text(t, &row, path);
    return NW_OK;
}

nw_status nw_command_tune(int argc, char **argv, nw_error *error)
{
    tune t = {.rounds = 100, .threads = 1};
    bool help;
    const nw_option options[] = {
        {"table", "FILE", NW_OPTION_TEXT, &t.cache, "where choices are kept (default: in the cache folder)"},
        {"rounds", "N", NW_OPTION_NUMBER, &t.rounds, "runs of each candidate (default 100)"},
        {"threads", "N", NW_OPTION_NUMBER, &t.threads, "default 1"},
        NW_OPTION_JSON(&t.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"tune", "MODEL", "Measures which choices of the engine run a .nw network fastest here.",
                                  "narrow tune net.nw", options};
    NW_TRY(nw_args_parse(&line, argc, argv, &t.path, 1, 1, &help, error));
    if (help)
        return NW_OK;
    const nw_status status = measure(&t, error);
    clear(&t);
    return status;
}
