/* SPDX-License-Identifier: Apache-2.0 */
/* narrow bench: time of an integer network, whole and per node, beside the float network (timing.h). */
#include <stdio.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "cli/shares.h"
#include "cli/timing.h"

typedef struct bench {
    const char *path, *float_path, *storage;
    int64_t runs, threads;
    bool json, layers;
    nw_network network, floats;
    nw_timing timing;
} bench;

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
    if (!b->float_path)
        return NW_OK;
    NW_TRY(nw_network_open(&b->floats, b->float_path, b->threads, 1, error));
    if (nw_network_input_size(&b->network) != nw_network_input_size(&b->floats))
        return nw_fail(error, NW_ERROR_DATA, "%s and %s have inputs of different sizes", b->path, b->float_path);
    return NW_OK;
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
    cJSON_AddNumberToObject(report, "coding_milliseconds", 1e3 * b->timing.coding_seconds);
}

static void print_traffic(const bench *b)
{
    const nw_traffic traffic = nw_engine_traffic(b->network.engine);
    const double coding = b->timing.coding_seconds;
    if (!traffic.n_stored)
        return;
    printf("packed: %d tensors at %.2f bits per value, %llu bytes moved per run, packing and unpacking %.3f ms (%.1f %%)\n",
           (int)traffic.n_stored, bits_per_value(&traffic), (unsigned long long)traffic.moved, 1e3 * coding,
           100.0 * coding / b->timing.seconds);
}

static nw_status print_json(const bench *b, nw_error *error)
{
    const nw_model *model = b->network.model;
    const nw_timing *t = &b->timing;
    cJSON *report = cJSON_CreateObject();
    cJSON_AddStringToObject(report, "model", b->path);
    cJSON_AddNumberToObject(report, "threads", (double)nw_thread_count(b->threads));
    cJSON_AddNumberToObject(report, "runs", (double)b->runs);
    cJSON_AddNumberToObject(report, "milliseconds", 1e3 * t->seconds);
    if (b->float_path) {
        cJSON_AddStringToObject(report, "float", b->float_path);
        cJSON_AddNumberToObject(report, "float_milliseconds", 1e3 * t->float_seconds);
        cJSON_AddNumberToObject(report, "ratio", t->float_seconds / t->seconds);
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
        cJSON_AddNumberToObject(row, "milliseconds", 1e3 * t->node_seconds[i]);
        cJSON_AddItemToArray(nodes, row);
    }
    return nw_report_print(report, error);
}

static void print_layers(const bench *b)
{
    const nw_model *model = b->network.model;
    double total = 1e-12;
    for (int32_t i = 0; i < model->n_nodes; i++)
        total += b->timing.node_seconds[i];
    printf("%-28s %-14s %10s %7s %9s  %s\n", "node", "operator", "us", "share", "GMAC/s", "kernel");
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const double seconds = b->timing.node_seconds[i];
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

static void print_text(const bench *b)
{
    if (b->layers)
        print_layers(b);
    char name[48];
    snprintf(name, sizeof(name), "integer, %s kernels", nw_isa_name(nw_engine_isa(b->network.engine)));
    printf("%-28s %9.3f ms\n", name, 1e3 * b->timing.seconds);
    if (b->float_path)
        printf("%-28s %9.3f ms\n%.2f times as fast as float (medians of %lld runs each, taking turns, %zu threads)\n",
               "float, oneDNN", 1e3 * b->timing.float_seconds, b->timing.float_seconds / b->timing.seconds,
               (long long)b->runs, nw_thread_count(b->threads));
    printf("activations %zu bytes, engine with weights %zu bytes\n", nw_engine_activation_size(b->network.engine),
           nw_engine_total_size(b->network.engine));
    print_traffic(b);
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
    nw_status status = open_all(&b, error);
    if (!status)
        status = nw_timing_measure(&b.timing, &b.network, b.float_path ? &b.floats : NULL, b.runs, b.threads, error);
    if (!status && b.json)
        status = print_json(&b, error);
    else if (!status)
        print_text(&b);
    nw_timing_free(&b.timing);
    nw_network_close(&b.network);
    nw_network_close(&b.floats);
    return status;
}
