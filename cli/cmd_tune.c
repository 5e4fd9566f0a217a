/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow tune: which choices of the engine run a network fastest here, measured in turns (arms.h) and kept in a table
 * (runtime/tuning.h) for `--tuned`. First layers: the whole network in every way that its kernel family and those
 * below it know, from which each layer takes its fastest; then whether these layers together gain; then fusion, with
 * what was chosen so far.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "cli/args.h"
#include "cli/arms.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "cli/tuned.h"

#define MOST_ROUNDS 100000
#define LEAST_LAYER_GAIN 1.02 /* of one layer; what gains less is noise tomorrow */
#define LEAST_LAYERS_GAIN 1.01 /* of all chosen layers together, in the time of the network */
#define LEAST_FUSION_GAIN 1.03

/** A way to compute layers: what all layers did in one arm. */
typedef struct way {
    nw_choice choice;
    double ratio; /* time of the first way over this one's, whole network */
} way;

/** A size of fusion that was tried. */
typedef struct trial {
    nw_engine_options options;
    size_t activation_size;
    double ratio;
} trial;

typedef struct tune {
    const char *path, *cache;
    int64_t rounds, threads;
    bool json;
    nw_network network;
    nw_isa isa;
    float *input;
    float **outputs;
    nw_choice *choices; /* [n_nodes] */
    double *ratios;     /* [n_nodes] of chosen layers, in the rounds that judge */
    way ways[NW_MOST_ARMS];
    trial trials[NW_MOST_ARMS];
    int32_t n_ways, n_trials, n_chosen;
    double layers_gain, fusion_gain;
} tune;

static void clear(tune *t)
{
    free(t->input);
    free(t->choices);
    free(t->ratios);
    if (t->outputs)
        nw_network_outputs_free(t->outputs, t->network.model);
    nw_network_close(&t->network);
}

static nw_arms arms_of(const tune *t)
{
    return (nw_arms){.network = &t->network,
                     .input = t->input,
                     .outputs = t->outputs,
                     .rounds = t->rounds};
}

static nw_engine_options options_of(const tune *t)
{
    return (nw_engine_options){.isa = nw_isa_name(t->isa), .threads = nw_thread_count(t->threads)};
}

/** Whether the last arm forms its sums as one before does, by the same kernels. */
static bool is_known(const tune *t, const nw_arms *arms)
{
    const int32_t last = arms->n_arms - 1;
    for (int32_t i = 0; i < last; i++) {
        bool same = true;
        for (int32_t n = 0; same && n < t->network.model->n_nodes; n++) {
            nw_run_counts a = {0};
            nw_run_counts b = {0};
            const bool has_a = nw_engine_count_runs(arms->arms[i].engine, n, &a);
            const bool has_b = nw_engine_count_runs(arms->arms[last].engine, n, &b);
            same = has_a == has_b && memcmp(&a, &b, sizeof(a)) == 0 &&
                   strcmp(nw_engine_kernel(arms->arms[i].engine, n), nw_engine_kernel(arms->arms[last].engine, n)) == 0;
        }
        if (same)
            return true;
    }
    return false;
}

/** An arm in which all linear layers are computed this way, unless there is one like it. */
static nw_status add_way(tune *t, nw_arms *arms, nw_choice choice, nw_error *error)
{
    nw_engine_options options = options_of(t);
    for (int32_t n = 0; n < t->network.model->n_nodes; n++)
        t->choices[n] = t->network.model->nodes[n].linear ? choice : (nw_choice){0};
    options.choices = t->choices; /* read while the engine is built */
    NW_TRY(nw_arms_add(arms, &options, error));
    arms->arms[arms->n_arms - 1].options.choices = NULL;
    if (is_known(t, arms))
        nw_arms_drop(arms);
    else
        t->ways[t->n_ways++].choice = choice;
    return NW_OK;
}

/** The engine's own way first, its other arrangements, then the families below. */
static nw_status add_ways(tune *t, nw_arms *arms, nw_error *error)
{
    for (int32_t a = 0; a < NW_ARRANGE_COUNT; a++)
        NW_TRY(add_way(t, arms, (nw_choice){NW_ISA_REF, (nw_arrangement)a}, error));
    for (int32_t isa = NW_ISA_REF + 1; isa < NW_ISA_COUNT; isa++)
        if (isa != (int32_t)t->isa && nw_isa_includes(t->isa, (nw_isa)isa) && nw_isa_available((nw_isa)isa))
            NW_TRY(add_way(t, arms, (nw_choice){(nw_isa)isa, NW_ARRANGE_CHEAPEST}, error));
    return NW_OK;
}

/** Chooses for every linear layer by itself. */
static nw_status choose_ways(tune *t, nw_arms *arms, nw_error *error)
{
    NW_TRY(add_ways(t, arms, error));
    NW_TRY(nw_arms_run(arms, error));
    for (int32_t i = 0; i < arms->n_arms; i++)
        t->ways[i].ratio = nw_arms_time(arms, 0, NW_NONE, 0) / nw_arms_time(arms, i, NW_NONE, 0);
    for (int32_t n = 0; n < t->network.model->n_nodes; n++) {
        const bool linear = t->network.model->nodes[n].linear;
        const int32_t best = linear ? nw_arms_choose(arms, n, LEAST_LAYER_GAIN, &t->ratios[n]) : 0;
        t->choices[n] = t->ways[best].choice; /* of the first way: none */
        t->n_chosen += best > 0;
    }
    return NW_OK;
}

/** Keeps the chosen layers if they gain together. */
static nw_status judge_ways(tune *t, nw_arms *arms, nw_error *error)
{
    nw_engine_options options = options_of(t);
    NW_TRY(nw_arms_add(arms, &options, error));
    options.choices = t->choices;
    NW_TRY(nw_arms_add(arms, &options, error));
    NW_TRY(nw_arms_run(arms, error));
    if (nw_arms_choose(arms, NW_NONE, LEAST_LAYERS_GAIN, &t->layers_gain))
        return NW_OK;
    t->n_chosen = 0;
    memset(t->choices, 0, (size_t)t->network.model->n_nodes * sizeof(*t->choices));
    return NW_OK;
}

static nw_status tune_layers(tune *t, nw_error *error)
{
    nw_arms arms = arms_of(t);
    nw_status status = choose_ways(t, &arms, error);
    nw_arms_free(&arms);
    if (status || !t->n_chosen)
        return status;
    arms = arms_of(t);
    status = judge_ways(t, &arms, error);
    nw_arms_free(&arms);
    return status;
}

/** Adds an arm with this fusion, unless it is laid out as one before. */
static nw_status add_fusion(nw_arms *arms, const nw_engine_options *options, nw_error *error)
{
    NW_TRY(nw_arms_add(arms, options, error));
    const int32_t last = arms->n_arms - 1;
    const nw_engine *own = arms->arms[last].engine;
    const nw_traffic traffic = nw_engine_traffic(own);
    for (int32_t i = 0; i < last; i++) {
        const nw_traffic other = nw_engine_traffic(arms->arms[i].engine);
        if (traffic.n_fused == other.n_fused && traffic.moved == other.moved &&
            nw_engine_total_size(own) == nw_engine_total_size(arms->arms[i].engine)) {
            nw_arms_drop(arms);
            break;
        }
    }
    return NW_OK;
}

static nw_status run_fusions(tune *t, nw_arms *arms, nw_error *error)
{
    static const size_t bytes[] = {300000, 600000}; /* few: of many one is the fastest by luck */
    static const size_t scratch[] = {200000, 400000};
    nw_engine_options options = options_of(t);
    options.choices = t->choices;
    NW_TRY(add_fusion(arms, &options, error));
    options.fusion = NW_FUSION_FAST;
    for (size_t i = 0; i < NW_COUNT(bytes); i++)
        for (size_t j = 0; j < NW_COUNT(scratch); j++) {
            options.fusion_bytes = bytes[i];
            options.fusion_scratch = scratch[j];
            NW_TRY(add_fusion(arms, &options, error));
        }
    return arms->n_arms > 1 ? nw_arms_run(arms, error) : NW_OK;
}

static nw_status tune_fusion(tune *t, nw_tuning *row, nw_error *error)
{
    nw_arms arms = arms_of(t);
    const nw_status status = run_fusions(t, &arms, error);
    const bool timed = !status && arms.n_arms > 1;
    const int32_t best = timed ? nw_arms_choose(&arms, NW_NONE, LEAST_FUSION_GAIN, &t->fusion_gain) : 0;
    t->n_trials = status ? 0 : arms.n_arms;
    for (int32_t i = 0; i < t->n_trials; i++)
        t->trials[i] = (trial){arms.arms[i].options, nw_engine_activation_size(arms.arms[i].engine),
                               i ? nw_arms_time(&arms, 0, NW_NONE, 0) / nw_arms_time(&arms, i, NW_NONE, 0) : 1.0};
    row->fusion = t->trials[best].options.fusion;
    row->fusion_bytes = (int32_t)t->trials[best].options.fusion_bytes;
    row->fusion_scratch = (int32_t)t->trials[best].options.fusion_scratch;
    nw_arms_free(&arms);
    return status;
}

static nw_status open_all(tune *t, nw_error *error)
{
    if (nw_path_is_onnx(t->path))
        return nw_fail(error, NW_ERROR_USAGE, "%s: `narrow tune` measures a .nw file", t->path);
    if (t->rounds < NW_LEAST_ROUNDS || t->rounds > MOST_ROUNDS)
        return nw_fail(error, NW_ERROR_USAGE, "--rounds: from %d to %d", NW_LEAST_ROUNDS, MOST_ROUNDS);
    NW_TRY(nw_isa_choose(&t->isa, getenv("NARROW_ISA"), error));
    NW_TRY(nw_network_open(&t->network, t->path, t->threads, 1, error));
    const size_t n = nw_network_input_size(&t->network);
    const size_t n_nodes = (size_t)t->network.model->n_nodes;
    t->input = malloc(n * sizeof(float));
    t->outputs = nw_network_outputs(t->network.model);
    t->choices = calloc(n_nodes, sizeof(*t->choices));
    t->ratios = calloc(n_nodes, sizeof(*t->ratios));
    if (!t->input || !t->outputs || !t->choices || !t->ratios)
        return nw_fail_memory(error, "timing");
    for (size_t i = 0; i < n; i++) /* as in timing.c */
        t->input[i] = (float)((i * 2654435761u >> 8) % 2001) * 0.001f - 1.0f;
    return NW_OK;
}

static const char *family_name(const tune *t, nw_choice choice)
{
    return nw_isa_name(choice.isa == NW_ISA_REF ? t->isa : choice.isa);
}

static void report_way(const tune *t, cJSON *rows, const char *node, nw_choice choice, double ratio)
{
    cJSON *object = cJSON_CreateObject();
    if (node)
        cJSON_AddStringToObject(object, "node", node);
    cJSON_AddStringToObject(object, "isa", family_name(t, choice));
    cJSON_AddStringToObject(object, "arrangement", nw_arrangement_name(choice.arrangement));
    cJSON_AddNumberToObject(object, "ratio", ratio);
    cJSON_AddItemToArray(rows, object);
}

static bool is_chosen(const tune *t, int32_t n)
{
    return t->choices[n].isa != NW_ISA_REF || t->choices[n].arrangement != NW_ARRANGE_CHEAPEST;
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
    cJSON_AddNumberToObject(report, "gain", row->gain);
    cJSON_AddNumberToObject(report, "layers_gain", t->layers_gain);
    cJSON *layers = cJSON_AddArrayToObject(report, "layers");
    for (int32_t n = 0; n < t->network.model->n_nodes; n++)
        if (is_chosen(t, n))
            report_way(t, layers, t->network.model->nodes[n].name, t->choices[n], t->ratios[n]);
    cJSON *ways = cJSON_AddArrayToObject(report, "layer_candidates");
    for (int32_t i = 0; i < t->n_ways; i++)
        report_way(t, ways, NULL, t->ways[i].choice, t->ways[i].ratio);
    cJSON_AddStringToObject(report, "fusion", nw_fusion_names[row->fusion]);
    cJSON_AddNumberToObject(report, "fusion_bytes", row->fusion_bytes);
    cJSON_AddNumberToObject(report, "fusion_scratch", row->fusion_scratch);
    cJSON_AddNumberToObject(report, "fusion_gain", t->fusion_gain);
    cJSON *trials = cJSON_AddArrayToObject(report, "fusion_candidates");
    for (int32_t i = 0; i < t->n_trials; i++) {
        const trial *a = &t->trials[i];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "fusion", nw_fusion_names[a->options.fusion]);
        cJSON_AddNumberToObject(object, "fusion_bytes", (double)a->options.fusion_bytes);
        cJSON_AddNumberToObject(object, "fusion_scratch", (double)a->options.fusion_scratch);
        cJSON_AddNumberToObject(object, "activation_bytes", (double)a->activation_size);
        cJSON_AddNumberToObject(object, "ratio", a->ratio);
        cJSON_AddItemToArray(trials, object);
    }
    return nw_report_print(report, error);
}

static void print_layers(const tune *t)
{
    printf("%-28s %-12s %-11s %6s\n", "layers", "family", "arrangement", "ratio");
    for (int32_t i = 0; i < t->n_ways; i++)
        printf("%-28s %-12s %-11s %6.3f\n", i ? "all" : "all, as without choice", family_name(t, t->ways[i].choice),
               nw_arrangement_name(t->ways[i].choice.arrangement), t->ways[i].ratio);
    for (int32_t n = 0; n < t->network.model->n_nodes; n++)
        if (is_chosen(t, n))
            printf("%-28.28s %-12s %-11s %6.3f\n", t->network.model->nodes[n].name, family_name(t, t->choices[n]),
                   nw_arrangement_name(t->choices[n].arrangement), t->ratios[n]);
    if (t->n_chosen)
        printf("%d layers chosen: %.3f times as fast in the second half of the rounds\n\n", (int)t->n_chosen,
               t->layers_gain);
    else
        printf("as without choice: no other layers gain 1 %% in both halves of the rounds\n\n");
}

static void print_text(const tune *t, const nw_tuning *row, const char *path)
{
    print_layers(t);
    printf("%-8s %12s %12s %14s %6s\n", "fusion", "from bytes", "scratch", "activations", "ratio");
    for (int32_t i = 0; i < t->n_trials; i++) {
        const trial *a = &t->trials[i];
        printf("%-8s %12zu %12zu %14zu %6.3f\n", nw_fusion_names[a->options.fusion], a->options.fusion_bytes,
               a->options.fusion_scratch, a->activation_size, a->ratio);
    }
    if (row->fusion == NW_FUSION_NONE)
        printf("separate layers: nothing gains 3 %% in both halves of the rounds\n");
    else
        printf("%s from %d bytes, %d bytes of scratch: %.3f times as fast in the second half of the rounds\n",
               nw_fusion_names[row->fusion], (int)row->fusion_bytes, (int)row->fusion_scratch, t->fusion_gain);
    printf("kept in %s for --tuned\n", path);
}

static nw_status measure(tune *t, nw_error *error)
{
    char path[640];
    NW_TRY(open_all(t, error));
    nw_tuned_path(path, t->cache, t->isa);
    if (!path[0])
        return nw_fail(error, NW_ERROR_USAGE, "there is no folder for caches; say where with --table");
    NW_TRY(nw_file_check_writable(path, error));
    nw_tuning row = {.network = nw_tuning_network(t->network.model),
                     .threads = (int32_t)nw_thread_count(t->threads),
                     .n_nodes = t->network.model->n_nodes,
                     .choices = t->choices};
    NW_TRY(tune_layers(t, error));
    NW_TRY(tune_fusion(t, &row, error));
    row.gain = t->layers_gain * t->fusion_gain;
    NW_TRY(nw_tuning_keep(&row, path, t->isa, error));
    if (t->json)
        return print_json(t, &row, path, error);
    print_text(t, &row, path);
    return NW_OK;
}

nw_status nw_command_tune(int argc, char **argv, nw_error *error)
{
    tune t = {.rounds = 100, .threads = 1, .layers_gain = 1.0, .fusion_gain = 1.0};
    bool help;
    const nw_option options[] = {
        {"table", "FILE", NW_OPTION_TEXT, &t.cache, "where choices are kept (default: in the cache folder)"},
        {"rounds", "N", NW_OPTION_NUMBER, &t.rounds, "runs of each candidate at most (default 100)"},
        {"threads", "N", NW_OPTION_NUMBER, &t.threads, "default 1"},
        NW_OPTION_JSON(&t.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"tune", "MODEL",
                                  "Measures which choices of the engine run a .nw network fastest here.",
                                  "narrow tune net.nw", options};
    NW_TRY(nw_args_parse(&line, argc, argv, &t.path, 1, 1, &help, error));
    if (help)
        return NW_OK;
    const nw_status status = measure(&t, error);
    clear(&t);
    return status;
}
