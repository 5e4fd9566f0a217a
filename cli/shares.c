/* SPDX-License-Identifier: Apache-2.0 */
/* See shares.h. */
#include "cli/shares.h"

#include "model/weight_storage.h"

void nw_shares_count(nw_shares *shares, const nw_model *model)
{
    *shares = (nw_shares){0};
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        const uint64_t macs = nw_node_macs(model, node);
        if (!macs)
            continue;
        const int width = node->linear ? node->linear->weight_bits : 0;
        const uint64_t bytes = node->linear ? nw_weight_bytes(node->linear)
                                            : nw_tensor_elements(&model->tensors[node->inputs[1]]) * sizeof(float);
        shares->macs[width] += macs;
        shares->weight_bytes[width] += bytes;
        shares->total_macs += macs;
        shares->total_bytes += bytes;
    }
}

double nw_shares_integer(const nw_shares *shares)
{
    return shares->total_macs ? 1.0 - (double)shares->macs[0] / (double)shares->total_macs : 1.0;
}

static void add_kernels(cJSON *report, const nw_model *model, const nw_engine *engine)
{
    cJSON_AddStringToObject(report, "isa", nw_isa_name(nw_engine_isa(engine)));
    cJSON *kernels = cJSON_AddArrayToObject(report, "kernels");
    for (int32_t i = 0; i < model->n_nodes; i++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "node", model->nodes[i].name);
        cJSON_AddStringToObject(row, "op", nw_op_name(model->nodes[i].op));
        cJSON_AddStringToObject(row, "kernel", nw_engine_kernel(engine, i));
        cJSON_AddItemToArray(kernels, row);
    }
}

void nw_shares_report(cJSON *report, const nw_model *model, const nw_engine *engine)
{
    nw_shares shares;
    nw_shares_count(&shares, model);
    cJSON_AddNumberToObject(report, "macs", (double)shares.total_macs);
    cJSON_AddNumberToObject(report, "weight_bytes", (double)shares.total_bytes);
    cJSON_AddNumberToObject(report, "integer_mac_share", nw_shares_integer(&shares));
    cJSON *widths = cJSON_AddArrayToObject(report, "widths");
    for (int bits = 0; bits <= 8; bits++) {
        if (!shares.macs[bits])
            continue;
        cJSON *row = cJSON_CreateObject();
        if (bits)
            cJSON_AddNumberToObject(row, "weight_bits", bits);
        else
            cJSON_AddStringToObject(row, "weight_bits", "float");
        cJSON_AddNumberToObject(row, "mac_share", (double)shares.macs[bits] / (double)shares.total_macs);
        cJSON_AddNumberToObject(row, "weight_bytes", (double)shares.weight_bytes[bits]);
        cJSON_AddItemToArray(widths, row);
    }
    if (engine)
        add_kernels(report, model, engine);
}
