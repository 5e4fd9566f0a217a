/* SPDX-License-Identifier: Apache-2.0 */
/* narrow run: the answer of a network for one picture or one array, best classes first. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/data_options.h"
#include "cli/network.h"
#include "cli/report.h"
#include "data/names.h"

typedef struct run_options {
    const char *names;
    nw_storage_options storage;
    int64_t top, threads;
    bool json;
    nw_data_options preprocess;
} run_options;

/** Indices of the n largest values, ties to the lower index; best first. */
static void find_top(int32_t *top, int32_t n, const float *values, int32_t n_values)
{
    for (int32_t rank = 0; rank < n; rank++) {
        int32_t best = -1;
        for (int32_t i = 0; i < n_values; i++) {
            bool taken = false;
            for (int32_t j = 0; j < rank; j++)
                taken = taken || top[j] == i;
            if (!taken && (best < 0 || values[i] > values[best]))
                best = i;
        }
        top[rank] = best;
    }
}

static const char *name_of(const nw_names *names, int32_t class)
{
    return class >= 0 && (size_t)class < names->n ? nw_names_at(names, (size_t)class) : NULL;
}

static nw_status report(const run_options *o, const nw_network *network, const nw_names *names,
                        const float *values, nw_error *error)
{
    const int32_t n_values = nw_tensor_channels(&network->model->tensors[network->model->outputs[0]]);
    const int32_t n = o->top < n_values ? (int32_t)o->top : n_values;
    int32_t *top = malloc((size_t)n_values * sizeof(*top));
    if (!top)
        return nw_fail_memory(error, "sorting the classes");
    find_top(top, n, values, n_values);
    cJSON *document = o->json ? cJSON_CreateObject() : NULL;
    cJSON *rows = o->json ? cJSON_AddArrayToObject(document, "top") : NULL;
    for (int32_t i = 0; i < n; i++) {
        const int32_t class = top[i] - network->model->preprocess.class_offset;
        const char *name = name_of(names, class);
        if (o->json) {
            cJSON *row = cJSON_CreateObject();
            cJSON_AddNumberToObject(row, "class", class);
            if (name)
                cJSON_AddStringToObject(row, "name", name);
            cJSON_AddNumberToObject(row, "value", (double)values[top[i]]);
            cJSON_AddItemToArray(rows, row);
        } else {
            printf("%6d  %10.4f  %s\n", class, (double)values[top[i]], name ? name : "");
        }
    }
    free(top);
    return o->json ? nw_report_print(document, error) : NW_OK;
}

static nw_status run_one(const run_options *o, nw_network *network, const char *path, nw_error *error)
{
    nw_model *model = network->model;
    const nw_tensor *output = &model->tensors[model->outputs[0]];
    if (nw_tensor_elements(output) != (size_t)nw_tensor_channels(output))
        return nw_fail(error, NW_ERROR_UNSUPPORTED, "`narrow run` prints classes; this network's output is a picture");
    bool given;
    nw_names names = {0};
    nw_dataset *data = NULL;
    float *values = NULL;
    NW_TRY(nw_data_options_settle(&model->preprocess, &given, &o->preprocess, model, error));
    nw_status status = nw_data_open(&data, path, NULL, &model->preprocess, given, error);
    if (!status && nw_dataset_count(data) != 1)
        status = nw_fail(error, NW_ERROR_USAGE, "%s: holds %zu samples; `narrow run` answers for one, `narrow eval` "
                         "takes many", path, nw_dataset_count(data));
    if (!status && o->names)
        status = nw_class_names_read(&names, o->names, error);
    if (!status && !(values = malloc(nw_network_output_size(network) * sizeof(*values))))
        status = nw_fail_memory(error, "running the network");
    if (!status)
        status = nw_network_run(network, data, 0, 1, values, error);
    if (!status)
        status = report(o, network, &names, values, error);
    free(values);
    nw_names_free(&names);
    nw_dataset_free(data);
    return status;
}

nw_status nw_command_run(int argc, char **argv, nw_error *error)
{
    run_options o = {.top = 5};
    const char *paths[2] = {NULL, NULL};
    bool help;
    const nw_option options[] = {
        {"names", "FILE", NW_OPTION_TEXT, &o.names, "class names, one per line"},
        {"top", "N", NW_OPTION_NUMBER, &o.top, "how many classes (default 5)"},
        {"threads", "N", NW_OPTION_NUMBER, &o.threads, "default: OMP_NUM_THREADS, or all processors"},
        NW_STORAGE_OPTIONS(&o.storage),
        NW_DATA_OPTIONS(&o.preprocess),
        NW_OPTION_JSON(&o.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"run", "MODEL INPUT", "Best classes for one picture (.jpg, .png) or array (.npy).",
                                  "narrow run net.nw cat.jpg --names labels.txt", options};
    NW_TRY(nw_args_parse(&line, argc, argv, paths, 2, 2, &help, error));
    if (help)
        return NW_OK;
    if (o.top < 1)
        return nw_fail(error, NW_ERROR_USAGE, "--top: at least 1");
    nw_network network;
    nw_status status = nw_network_open_stored(&network, paths[0], o.threads, 1, &o.storage, error);
    if (!status)
        status = run_one(&o, &network, paths[1], error);
    nw_network_close(&network);
    return status;
}
