/* SPDX-License-Identifier: Apache-2.0 */
/* narrow inspect: what a network consists of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/network.h"
#include "cli/report.h"
#include "cli/shares.h"
#include "model/weight_storage.h"
#include "quant/plan.h"

static void format_shape(char *text, size_t size, const nw_tensor *tensor)
{
    size_t at = 0;
    text[0] = '\0';
    for (int32_t i = 0; i < tensor->rank && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, i ? "x%d" : "%d", tensor->dims[i]);
}

static int width_of(const nw_tensor *tensor)
{
    return tensor->type == NW_TYPE_U8 ? tensor->quant.bits : 32;
}

/** Of these bits, those that only important channels have (DQA). */
static int extra_of(const nw_tensor *tensor)
{
    return tensor->type == NW_TYPE_U8 ? nw_quant_extra_bits(&tensor->quant, nw_tensor_channels(tensor), NULL) : 0;
}

/** "8"; "4+3" where important channels have 3 more. */
static void format_width(char text[16], const nw_tensor *tensor)
{
    const int extra = extra_of(tensor);
    snprintf(text, 16, extra ? "%d+%d" : "%d", width_of(tensor) - extra, extra);
}

static uint64_t bytes_of(const nw_model *model, const nw_node *node)
{
    if (node->linear)
        return nw_weight_bytes(node->linear);
    uint64_t bytes = 0;
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] != NW_NONE && model->tensors[node->inputs[i]].data)
            bytes += nw_tensor_elements(&model->tensors[node->inputs[i]]) * sizeof(float);
    return bytes;
}

static const char *storage_of(const nw_linear *linear)
{
    return nw_plan_storages[linear->coded_size ? NW_STORED_CODED : NW_STORED_PACKED];
}

static cJSON *node_row(const nw_model *model, const nw_node *node)
{
    const nw_tensor *y = &model->tensors[node->output];
    cJSON *row = cJSON_CreateObject();
    char shape[96];
    format_shape(shape, sizeof(shape), y);
    cJSON_AddStringToObject(row, "node", node->name);
    cJSON_AddStringToObject(row, "op", nw_op_name(node->op));
    cJSON_AddStringToObject(row, "output", y->name);
    cJSON_AddStringToObject(row, "shape", shape);
    cJSON_AddNumberToObject(row, "activation_bits", width_of(y));
    cJSON_AddNumberToObject(row, "extra_bits", extra_of(y));
    cJSON_AddNumberToObject(row, "macs", (double)nw_node_macs(model, node));
    cJSON_AddNumberToObject(row, "weight_bytes", (double)bytes_of(model, node));
    if (node->linear) {
        cJSON_AddNumberToObject(row, "weight_bits", node->linear->weight_bits);
        cJSON_AddStringToObject(row, "weight_storage", storage_of(node->linear));
        cJSON_AddNumberToObject(row, "rows", node->linear->n_rows);
        cJSON_AddNumberToObject(row, "channels", node->linear->n_channels);
    }
    return row;
}

static nw_status print_json(const nw_model *model, const char *path, nw_error *error)
{
    cJSON *report = cJSON_CreateObject();
    cJSON_AddStringToObject(report, "model", path);
    nw_shares_report(report, model, NULL);
    if (!nw_path_is_onnx(path))
        cJSON_AddStringToObject(report, "weight_storage", nw_plan_storages[model->weight_storage]);
    cJSON *nodes = cJSON_AddArrayToObject(report, "nodes");
    for (int32_t i = 0; i < model->n_nodes; i++)
        cJSON_AddItemToArray(nodes, node_row(model, &model->nodes[i]));
    return nw_report_print(report, error);
}

static void print_text(const nw_model *model, const char *path)
{
    printf("%s: %d nodes\n\n%-28s %-14s %-18s %4s %4s %12s %10s\n", path, model->n_nodes, "node", "operator", "output",
           "W", "A", "MAC", "bytes");
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        const nw_tensor *y = &model->tensors[node->output];
        char shape[96];
        char weights[16] = "-";
        char codes[16];
        format_width(codes, y);
        format_shape(shape, sizeof(shape), y);
        if (node->linear)
            snprintf(weights, sizeof(weights), "%d", node->linear->weight_bits);
        printf("%-28.28s %-14s %-18s %4s %4s %12llu %10llu%s\n", node->name, nw_op_name(node->op), shape, weights,
               codes, (unsigned long long)nw_node_macs(model, node), (unsigned long long)bytes_of(model, node),
               node->linear && node->linear->coded_size ? " coded" : "");
    }
    nw_shares shares;
    nw_shares_count(&shares, model);
    printf("\n%llu multiply-accumulates, %llu bytes of weights, %.1f %% of the multiply-accumulates integer\n",
           (unsigned long long)shares.total_macs, (unsigned long long)shares.total_bytes,
           100.0 * (shares.macs[0] == shares.total_macs ? 0.0 : nw_shares_integer(&shares)));
}

/** The plan that the quantizer followed: to be edited and fed back. */
static nw_status print_plan(const nw_model *model, const char *path, nw_error *error)
{
    if (!model->plan)
        return nw_fail(error, NW_ERROR_USAGE, "%s: carries no plan; `narrow quantize` stores one", path);
    fputs(model->plan, stdout);
    return NW_OK;
}

nw_status nw_command_inspect(int argc, char **argv, nw_error *error)
{
    bool json = false;
    bool plan = false;
    bool help;
    const char *path = NULL;
    const nw_option options[] = {
        {"plan", NULL, NW_OPTION_FLAG, &plan, "the plan it was quantized by, for `narrow quantize --plan`"},
        NW_OPTION_JSON(&json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"inspect", "MODEL", "Layers, widths and sizes of a .onnx or .nw network.",
                                  "narrow inspect net.nw", options};
    NW_TRY(nw_args_parse(&line, argc, argv, &path, 1, 1, &help, error));
    if (help)
        return NW_OK;
    nw_model *model = NULL;
    NW_TRY(nw_path_is_onnx(path) ? nw_float_model_read(&model, path, error) : nw_model_read(&model, path, error));
    nw_status status = NW_OK;
    if (plan)
        status = print_plan(model, path, error);
    else if (json)
        status = print_json(model, path, error);
    else
        print_text(model, path);
    nw_model_free(model);
    return status;
}
