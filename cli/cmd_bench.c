/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow bench: time of an integer network, whole and per node, interleaved with the float network in the same run.
 * Machines are noisy and differ: the ratio counts, absolute times are for orientation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/network.h"
#include "cli/report.h"
#include "cli/shares.h"

#define WARM_UP 3

typedef struct bench {
    const char *path, *float_path, *storage;
    int64_t runs, threads;
    bool json, layers;
    nw_network network, floats;
    float *input, **outputs, **float_outputs;
    double *times, *float_times;  /* [runs] seconds */
    double *node_times;           /* [n_nodes, runs] seconds, then medians in [node, 0] */
    double *coding_times;         /* [runs] seconds of packing and unpacking, all threads together */
    double coding_seconds;        /* their median */
} bench;

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

static float **outputs_of(const nw_model *model)
{
    float **outputs = calloc((size_t)model->n_outputs, sizeof(*outputs));
    for (int32_t i = 0; outputs && i < model->n_outputs; i++)
        outputs[i] = malloc(nw_tensor_elements(&model->tensors[model->outputs[i]]) * sizeof(float));
    return outputs;
}

static void free_outputs(float **outputs, const nw_model *model)
{
    for (int32_t i = 0; outputs && i < model->n_outputs; i++)
        free(outputs[i]);
    free(outputs);
}

static nw_status open_all(bench *b, nw_error *error)
{
    if (nw_path_is_onnx(b->path))
        return nw_fail(error, NW_ERROR_USAGE, "%s: `narrow bench` times a .nw file; give the ONNX file as --float",
                       b->path);
    if (b->float_path && !nw_path_is_onnx(b->float_path))
        return nw_fail(error, NW_ERROR_USAGE, "--float %s: must be an .onnx file", b->float_path);
    nw_storage storage;
    NW_TRY(nw_storage_parse(&storage, b->storage, error));
    NW_TRY(nw_network_open_stored(&b->network, b->path, b->threads, 1, storage, error));
    if (b->float_path)
        NW_TRY(nw_network_open(&b->floats, b->float_path, b->threads, 1, error));
    const nw_model *model = b->network.model;
    const size_t n_input = nw_tensor_elements(&model->tensors[model->inputs[0]]);
    if (b->float_path &&
        n_input != nw_tensor_elements(&b->floats.model->tensors[b->floats.model->inputs[0]]))
        return nw_fail(error, NW_ERROR_DATA, "%s and %s have inputs of different sizes", b->path, b->float_path);
    b->input = malloc(n_input * sizeof(float));
    b->outputs = outputs_of(model);
    b->float_outputs = b->float_path ? outputs_of(b->floats.model) : NULL;
    b->times = malloc((size_t)b->runs * sizeof(double));
    b->float_times = malloc((size_t)b->runs * sizeof(double));
    b->coding_times = calloc((size_t)b->runs, sizeof(double));
    b->node_times = calloc((size_t)model->n_nodes * (size_t)b->runs, sizeof(double));
    if (!b->input || !b->outputs || !b->times || !b->float_times || !b->node_times || !b->coding_times ||
        (b->float_path && !b->float_outputs))
        return nw_fail_memory(error, "timing");
    for (size_t i = 0; i < n_input; i++)
        b->input[i] = (float)((i * 2654435761u >> 8) % 2001) * 0.001f - 1.0f;
    return NW_OK;
}

static nw_status run_integer(bench *b, uint64_t *nanoseconds, uint64_t *coding)
{
    const nw_input input = {.values = b->input};
    const nw_run_options options = {
        .threads = b->network.threads, .node_nanoseconds = nanoseconds, .coding_nanoseconds = coding};
    return nw_engine_run_with(b->network.engine, &input, b->outputs, &options);
}

static nw_status run_float(bench *b, nw_error *error)
{
    return nw_float_run(b->floats.floats, (const float *const[]){b->input}, b->float_outputs, error);
}

/** Median time of every node, into [node, 0] of node_times. */
static nw_status measure_nodes(bench *b, nw_error *error)
{
    const size_t n_nodes = (size_t)b->network.model->n_nodes;
    const size_t runs = (size_t)b->runs;
    uint64_t *nanoseconds = malloc(n_nodes * sizeof(*nanoseconds));
    if (!nanoseconds)
        return nw_fail_memory(error, "timing the nodes");
    nw_status status = NW_OK;
    for (size_t run = 0; !status && run < runs; run++) {
        memset(nanoseconds, 0, n_nodes * sizeof(*nanoseconds));
        uint64_t coding = 0;
        status = run_integer(b, nanoseconds, &coding);
        b->coding_times[run] = 1e-9 * (double)coding;
        for (size_t i = 0; i < n_nodes; i++)
            b->node_times[i * runs + run] = 1e-9 * (double)nanoseconds[i];
    }
    free(nanoseconds);
    for (size_t i = 0; i < n_nodes; i++)
        b->node_times[i * runs] = median(b->node_times + i * runs, runs);
    b->coding_seconds = median(b->coding_times, runs);
    return status;
}

static double node_seconds(const bench *b, int32_t node)
{
    return b->node_times[(size_t)node * (size_t)b->runs];
}

/** Interleaves both networks, then times the nodes in runs of their own (reading the clock costs tiny networks much). */
static nw_status measure(bench *b, nw_error *error)
{
    nw_progress progress = {.phase = "timing"};
    for (int64_t i = -WARM_UP; i < b->runs; i++) {
        const double start = nw_seconds();
        NW_TRY(run_integer(b, NULL, NULL));
        const double middle = nw_seconds();
        if (i >= 0)
            b->times[i] = middle - start;
        if (!b->float_path)
            continue;
        const double float_start = nw_seconds();
        NW_TRY(run_float(b, error));
        if (i >= 0)
            b->float_times[i] = nw_seconds() - float_start;
        if (b->threads != 1)
            nw_float_release_threads();
        nw_progress_show(&progress, i, b->runs);
    }
    nw_progress_show(&progress, b->runs, b->runs);
    return measure_nodes(b, error);
}

/** Bits that a code of the stored tensors takes; 8 if none is stored. */
static double bits_per_value(const nw_traffic *traffic)
{
    return traffic->values ? (double)traffic->stored_bits / (double)traffic->values : 8.0;
}

static void report_traffic(cJSON *report, const bench *b)
{
    const nw_traffic traffic = nw_engine_traffic(b->network.engine);
    cJSON_AddStringToObject(report, "activation_storage", b->storage ? b->storage : "bytes");
    cJSON_AddNumberToObject(report, "activation_bytes_moved", (double)traffic.moved);
    cJSON_AddNumberToObject(report, "stored_tensors", traffic.n_stored);
    cJSON_AddNumberToObject(report, "stored_bits_per_value", bits_per_value(&traffic));
    cJSON_AddNumberToObject(report, "coding_milliseconds", 1e3 * b->coding_seconds);
}

static void print_traffic(const bench *b, double seconds)
{
    const nw_traffic traffic = nw_engine_traffic(b->network.engine);
    if (!traffic.n_stored)
        return;
    printf("packed: %d tensors at %.2f bits per value, %llu bytes moved per run, packing and unpacking %.3f ms (%.1f %%)\n",
           (int)traffic.n_stored, bits_per_value(&traffic), (unsigned long long)traffic.moved, 1e3 * b->coding_seconds,
           100.0 * b->coding_seconds / seconds);
}

static nw_status print_json(bench *b, double seconds, double float_seconds, nw_error *error)
{
    const nw_model *model = b->network.model;
    cJSON *report = cJSON_CreateObject();
    cJSON_AddStringToObject(report, "model", b->path);
    cJSON_AddNumberToObject(report, "threads", (double)nw_thread_count(b->threads));
    cJSON_AddNumberToObject(report, "runs", (double)b->runs);
    cJSON_AddNumberToObject(report, "milliseconds", 1e3 * seconds);
    if (b->float_path) {
        cJSON_AddStringToObject(report, "float", b->float_path);
        cJSON_AddNumberToObject(report, "float_milliseconds", 1e3 * float_seconds);
        cJSON_AddNumberToObject(report, "ratio", float_seconds / seconds);
    }
    cJSON_AddNumberToObject(report, "activation_bytes", (double)nw_engine_activation_size(b->network.engine));
    cJSON_AddNumberToObject(report, "engine_bytes", (double)nw_engine_total_size(b->network.engine));
    report_traffic(report, b);
    nw_shares_report(report, model, b->network.engine);
    cJSON *nodes = cJSON_AddArrayToObject(report, "nodes");
    for (int32_t i = 0; i < model->n_nodes; i++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "node", model->nodes[i].name);
        cJSON_AddStringToObject(row, "op", nw_op_name(model->nodes[i].op));
        cJSON_AddStringToObject(row, "kernel", nw_engine_kernel(b->network.engine, i));
        cJSON_AddNumberToObject(row, "macs", (double)nw_node_macs(model, &model->nodes[i]));
        cJSON_AddNumberToObject(row, "milliseconds", 1e3 * node_seconds(b, i));
        cJSON_AddItemToArray(nodes, row);
    }
    return nw_report_print(report, error);
}

static void print_layers(const bench *b)
{
    const nw_model *model = b->network.model;
    double total = 1e-12;
    for (int32_t i = 0; i < model->n_nodes; i++)
        total += node_seconds(b, i);
    printf("%-28s %-14s %10s %7s %9s  %s\n", "node", "operator", "us", "share", "GMAC/s", "kernel");
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const double seconds = node_seconds(b, i);
        const uint64_t macs = nw_node_macs(model, &model->nodes[i]);
        printf("%-28.28s %-14s %10.1f %6.1f%% ", model->nodes[i].name, nw_op_name(model->nodes[i].op), 1e6 * seconds,
               100.0 * seconds / total);
        if (macs && seconds > 0.0)
            printf("%9.1f", 1e-9 * (double)macs / seconds);
        else
            printf("%9s", "");
        printf("  %s\n", nw_engine_kernel(b->network.engine, i));
    }
    printf("\n");
}

static void print_text(const bench *b, double seconds, double float_seconds)
{
    if (b->layers)
        print_layers(b);
    char name[48];
    snprintf(name, sizeof(name), "integer, %s kernels", nw_isa_name(nw_engine_isa(b->network.engine)));
    printf("%-28s %9.3f ms\n", name, 1e3 * seconds);
    if (b->float_path)
        printf("%-28s %9.3f ms\n%.2f times as fast as float (medians of %lld runs each, taking turns, %zu threads)\n",
               "float, oneDNN", 1e3 * float_seconds, float_seconds / seconds, (long long)b->runs,
               nw_thread_count(b->threads));
    printf("activations %zu bytes, engine with weights %zu bytes\n", nw_engine_activation_size(b->network.engine),
           nw_engine_total_size(b->network.engine));
    print_traffic(b, seconds);
}

nw_status nw_command_bench(int argc, char **argv, nw_error *error)
{
    bench b = {.runs = 50, .threads = 1, .layers = true};
    bool help;
    const nw_option options[] = {
        {"float", "ONNX", NW_OPTION_TEXT, &b.float_path, "the float network, timed in turns with the integer one"},
        {"runs", "N", NW_OPTION_NUMBER, &b.runs, "runs of each (default 50)"},
        {"threads", "N", NW_OPTION_NUMBER, &b.threads, "default 1"},
        NW_OPTION_STORAGE(&b.storage),
        {"layers", NULL, NW_OPTION_FLAG, &b.layers, "the table of nodes (--no-layers leaves it out)"},
        NW_OPTION_JSON(&b.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"bench", "MODEL", "Time per run and per node of a .nw network, beside float.",
                                  "narrow bench net.nw --float net.onnx", options};
    NW_TRY(nw_args_parse(&line, argc, argv, &b.path, 1, 1, &help, error));
    if (help)
        return NW_OK;
    if (b.runs < 1 || b.runs > 1000000)
        return nw_fail(error, NW_ERROR_USAGE, "--runs: from 1 to 1000000");
    nw_status status = open_all(&b, error);
    if (!status)
        status = measure(&b, error);
    if (!status) {
        const double seconds = median(b.times, (size_t)b.runs);
        const double float_seconds = b.float_path ? median(b.float_times, (size_t)b.runs) : 0.0;
        if (b.json)
            status = print_json(&b, seconds, float_seconds, error);
        else
            print_text(&b, seconds, float_seconds);
    }
    if (b.network.model)
        free_outputs(b.outputs, b.network.model);
    if (b.floats.model)
        free_outputs(b.float_outputs, b.floats.model);
    free(b.input);
    free(b.times);
    free(b.float_times);
    free(b.node_times);
    free(b.coding_times);
    nw_network_close(&b.network);
    nw_network_close(&b.floats);
    return status;
}
