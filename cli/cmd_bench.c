/* SPDX-License-Identifier: Apache-2.0 */
/* narrow bench: time of an integer network, whole and per node, beside the float network (timing.h). */
#include <stdio.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "cli/shares.h"
#include "cli/timing.h"

/** A network that takes turns with the one that is timed. */
typedef struct rival {
    bool wanted;
    const char *path;
    nw_network network;
    double seconds;
    bool same;
} rival;

enum { FLOAT, AGAINST, SUMS32, N_RIVALS };

typedef struct bench {
    const char *path;
    nw_storage_options storage;
    int64_t runs, threads;
    bool json, layers;
    nw_network network;
    rival rivals[N_RIVALS];
    nw_timing timing;
} bench;

/** The same network with every sum in 32 bits. */
static nw_status widen_sums(nw_network *network, nw_error *error)
{
    nw_model *model = network->model;
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (model->nodes[i].linear && model->nodes[i].linear->accumulator != NW_ACCUMULATOR_16_WRAP)
            model->nodes[i].linear->accumulator = NW_ACCUMULATOR_32;
    nw_engine_free(network->engine);
    network->engine = NULL;
    return nw_engine_create(&network->engine, model, NULL, error);
}

static nw_status open_rival(bench *b, int32_t i, nw_error *error)
{
    rival *r = &b->rivals[i];
    if (!r->wanted)
        return NW_OK;
    NW_TRY(nw_network_open(&r->network, r->path, b->threads, 1, error));
    if (nw_network_input_size(&b->network) != nw_network_input_size(&r->network))
        return nw_fail(error, NW_ERROR_DATA, "%s and %s have inputs of different sizes", b->path, r->path);
    return i == SUMS32 ? widen_sums(&r->network, error) : NW_OK;
}

static nw_status open_all(bench *b, nw_error *error)
{
    if (nw_path_is_onnx(b->path))
        return nw_fail(error, NW_ERROR_USAGE, "%s: `narrow bench` times a .nw file; give the ONNX file as --float",
                       b->path);
    if (b->rivals[FLOAT].wanted && !nw_path_is_onnx(b->rivals[FLOAT].path))
        return nw_fail(error, NW_ERROR_USAGE, "--float %s: must be an .onnx file", b->rivals[FLOAT].path);
    if (b->rivals[AGAINST].wanted && nw_path_is_onnx(b->rivals[AGAINST].path))
        return nw_fail(error, NW_ERROR_USAGE, "--against %s: must be a .nw file; a float network goes with --float",
                       b->rivals[AGAINST].path);
    NW_TRY(nw_network_open_stored(&b->network, b->path, b->threads, 1, &b->storage, error));
    for (int32_t i = 0; i < N_RIVALS; i++)
        NW_TRY(open_rival(b, i, error));
    return NW_OK;
}

static nw_status measure(bench *b, nw_error *error)
{
    nw_network *networks[N_RIVALS];
    int32_t n = 0;
    for (int32_t i = 0; i < N_RIVALS; i++)
        if (b->rivals[i].wanted)
            networks[n++] = &b->rivals[i].network;
    NW_TRY(nw_timing_measure(&b->timing, &b->network, networks, n, b->runs, b->threads, error));
    for (int32_t i = N_RIVALS - 1; i >= 0; i--)
        if (b->rivals[i].wanted) {
            b->rivals[i].seconds = b->timing.rival_seconds[--n];
            b->rivals[i].same = b->timing.rival_same[n];
        }
    if (b->rivals[SUMS32].wanted && !b->rivals[SUMS32].same)
        return nw_fail(error, NW_GOAL_MISSED, "%s: 32-bit sums give other outputs", b->path);
    return NW_OK;
}

static void report_rivals(cJSON *report, const bench *b)
{
    static const char *const names[] = {NULL, "against", "sums32"};
    const double seconds = b->timing.seconds;
    if (b->rivals[FLOAT].wanted) {
        cJSON_AddStringToObject(report, "float", b->rivals[FLOAT].path);
        cJSON_AddNumberToObject(report, "float_milliseconds", 1e3 * b->rivals[FLOAT].seconds);
        cJSON_AddNumberToObject(report, "ratio", b->rivals[FLOAT].seconds / seconds);
    }
    for (int32_t i = AGAINST; i <= SUMS32; i++) {
        if (!b->rivals[i].wanted)
            continue;
        cJSON *object = cJSON_AddObjectToObject(report, names[i]);
        if (i == AGAINST)
            cJSON_AddStringToObject(object, "model", b->rivals[i].path);
        cJSON_AddNumberToObject(object, "milliseconds", 1e3 * b->rivals[i].seconds);
        cJSON_AddNumberToObject(object, "ratio", b->rivals[i].seconds / seconds);
    }
}

static void print_rival(const rival *r, const char *name, double seconds)
{
    if (r->wanted)
        printf("%-28s %9.3f ms, %.2f times the time of the first\n", name, 1e3 * r->seconds, r->seconds / seconds);
}

static void report_traffic(cJSON *report, const bench *b)
{
    const nw_traffic traffic = nw_engine_traffic(b->network.engine);
    cJSON_AddStringToObject(report, "activation_storage", b->storage.name ? b->storage.name : "bytes");
    cJSON_AddStringToObject(report, "fusion", nw_fusion_names[b->network.fusion]);
    cJSON_AddNumberToObject(report, "tuned_layers", b->network.n_tuned);
    cJSON_AddNumberToObject(report, "fused_tensors", traffic.n_fused);
    cJSON_AddNumberToObject(report, "activation_bytes_moved", (double)traffic.moved);
    cJSON_AddNumberToObject(report, "stored_tensors", traffic.n_stored);
    cJSON_AddNumberToObject(report, "stored_bits_per_value", nw_traffic_bits_per_value(&traffic));
    cJSON_AddNumberToObject(report, "rows_dropped_share",
                            traffic.rows ? (double)traffic.rows_dropped / (double)traffic.rows : 0.0);
    cJSON_AddNumberToObject(report, "stored_bytes", (double)traffic.stored_size);
    cJSON_AddNumberToObject(report, "stored_full_bytes", (double)traffic.stored_full);
    cJSON_AddNumberToObject(report, "stored_least_bytes", (double)traffic.stored_least);
    cJSON_AddNumberToObject(report, "coding_milliseconds", 1e3 * b->timing.coding_seconds);
}

static void print_traffic(const bench *b)
{
    const nw_traffic traffic = nw_engine_traffic(b->network.engine);
    const double coding = b->timing.coding_seconds;
    if (b->network.n_tuned)
        printf("tuned: %d layers are computed as `narrow tune` chose\n", (int)b->network.n_tuned);
    if (traffic.n_fused)
        printf("fused: %d tensors exist only as some rows\n", (int)traffic.n_fused);
    if (!traffic.n_stored)
        return;
    printf("stored: %d tensors at %.2f bits per value, %llu bytes moved per run, packing and unpacking %.3f ms (%.1f "
           "%%)\n",
           (int)traffic.n_stored, nw_traffic_bits_per_value(&traffic), (unsigned long long)traffic.moved, 1e3 * coding,
           100.0 * coding / b->timing.seconds);
    if (traffic.stored_full)
        printf("at most %zu bytes stored at once, %zu without an arena budget, %zu with the least\n",
               traffic.stored_size, traffic.stored_full, traffic.stored_least);
    if (traffic.rows_dropped)
        printf("%.2f %% of the rows lost their low bits to the arena budget\n",
               100.0 * (double)traffic.rows_dropped / (double)traffic.rows);
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
    report_rivals(report, b);
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
    if (b->rivals[FLOAT].wanted)
        printf("%-28s %9.3f ms\n%.2f times as fast as float (medians of %lld runs each, taking turns, %zu threads)\n",
               "float, oneDNN", 1e3 * b->rivals[FLOAT].seconds, b->rivals[FLOAT].seconds / b->timing.seconds,
               (long long)b->runs, nw_thread_count(b->threads));
    print_rival(&b->rivals[AGAINST], b->rivals[AGAINST].path, b->timing.seconds);
    print_rival(&b->rivals[SUMS32], "the same, 32-bit sums", b->timing.seconds);
    printf("activations %zu bytes, engine with weights %zu bytes\n", nw_engine_activation_size(b->network.engine),
           nw_engine_total_size(b->network.engine));
    print_traffic(b);
}

nw_status nw_command_bench(int argc, char **argv, nw_error *error)
{
    bench b = {.runs = 50, .threads = 1, .layers = true};
    bool help;
    const nw_option options[] = {
        {"float", "ONNX", NW_OPTION_TEXT, &b.rivals[FLOAT].path,
         "the float network, timed in turns with the integer one"},
        {"against", "NW", NW_OPTION_TEXT, &b.rivals[AGAINST].path, "another .nw network, likewise"},
        {"sums32", NULL, NW_OPTION_FLAG, &b.rivals[SUMS32].wanted,
         "the same network with every sum in 32 bits, likewise"},
        {"runs", "N", NW_OPTION_NUMBER, &b.runs, "runs of each (default 50)"},
        {"threads", "N", NW_OPTION_NUMBER, &b.threads, "default 1"},
        NW_STORAGE_OPTIONS(&b.storage),
        {"layers", NULL, NW_OPTION_FLAG, &b.layers, "the table of nodes (--no-layers leaves it out)"},
        NW_OPTION_JSON(&b.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"bench", "MODEL", "Time per run and per node of a .nw network, beside float.",
                                  "narrow bench net.nw --float net.onnx", options};
    NW_TRY(nw_args_parse(&line, argc, argv, &b.path, 1, 1, &help, error));
    if (help)
        return NW_OK;
    b.rivals[FLOAT].wanted = b.rivals[FLOAT].path != NULL;
    b.rivals[AGAINST].wanted = b.rivals[AGAINST].path != NULL;
    b.rivals[SUMS32].path = b.path;
    nw_status status = open_all(&b, error);
    if (!status)
        status = measure(&b, error);
    if (!status && b.json)
        status = print_json(&b, error);
    else if (!status)
        print_text(&b);
    nw_timing_free(&b.timing);
    nw_network_close(&b.network);
    for (int32_t i = 0; i < N_RIVALS; i++)
        nw_network_close(&b.rivals[i].network);
    return status;
}
