/* SPDX-License-Identifier: Apache-2.0 */
/* See network.h. */
#define _POSIX_C_SOURCE 200809L
#include "cli/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "cli/tuned.h"
#include "onnx/onnx.h"
#include "passes/passes.h"

bool nw_path_is_onnx(const char *path)
{
    const size_t n = strlen(path);
    return n >= 5 && strcmp(path + n - 5, ".onnx") == 0;
}

nw_status nw_float_model_read(nw_model **out, const char *path, nw_error *error)
{
    nw_model *model = NULL;
    nw_status status = nw_onnx_import(&model, path, error);
    char *listing = NULL;
    if (status == NW_ERROR_UNSUPPORTED && !nw_onnx_problems(&listing, path, NULL))
        fputs(listing, stderr);
    free(listing);
    if (!status)
        status = nw_passes_run(model, error);
    if (status) {
        nw_model_free(model);
        return status;
    }
    *out = model;
    return NW_OK;
}

nw_status nw_thread_count_check(int64_t n, nw_error *error)
{
    return n <= NW_MAX_THREADS ? NW_OK : nw_fail(error, NW_ERROR_USAGE, "--threads: at most %d", NW_MAX_THREADS);
}

size_t nw_thread_count(int64_t n)
{
    const char *variable = getenv("OMP_NUM_THREADS");
    int64_t wanted = n;
    if (wanted <= 0)
        wanted = variable ? strtol(variable, NULL, 10) : 0;
    if (wanted <= 0)
        wanted = sysconf(_SC_NPROCESSORS_ONLN);
    return wanted <= 0 ? 1 : wanted < NW_MAX_THREADS ? (size_t)wanted : NW_MAX_THREADS;
}

nw_status nw_storage_settle(nw_engine_options *out, const nw_storage_options *options, nw_error *error)
{
    static const char *const names[] = {"bytes", "packed", "coded", "huffman"}; /* nw_storage */
    size_t i = 0;
    size_t fusion = 0;
    while (options->fuse && fusion < NW_COUNT(nw_fusion_names) && strcmp(options->fuse, nw_fusion_names[fusion]) != 0)
        fusion++;
    if (fusion == NW_COUNT(nw_fusion_names))
        return nw_fail(error, NW_ERROR_USAGE, "--fuse %s: must be none, fast or small", options->fuse);
    if (options->table && !options->tuned)
        return nw_fail(error, NW_ERROR_USAGE, "--table needs --tuned");
    while (options->name && i < NW_COUNT(names) && strcmp(options->name, names[i]) != 0)
        i++;
    if (i == NW_COUNT(names))
        return nw_fail(error, NW_ERROR_USAGE, "--activation-storage %s: must be bytes, packed, coded or huffman",
                       options->name);
    if (options->budget && (nw_storage)i < NW_STORAGE_CODED)
        return nw_fail(error, NW_ERROR_USAGE, "--arena-budget needs --activation-storage coded or huffman");
    out->storage = (nw_storage)i;
    out->fusion = (nw_fusion)fusion;
    out->direct = options->direct;
    out->arena_budget = (size_t)options->budget;
    return NW_OK;
}

double nw_traffic_bits_per_value(const nw_traffic *traffic)
{
    return traffic->values ? (double)traffic->stored_bits / (double)traffic->values : 8.0;
}

nw_status nw_storage_tune(nw_engine_options *out, nw_tuning *tuning, const nw_storage_options *options,
                          const nw_model *model, nw_error *error)
{
    const nw_fusion asked = out->fusion;
    *tuning = (nw_tuning){0};
    if (!options->tuned)
        return NW_OK;
    NW_TRY(nw_tuned_find(tuning, out, model, options->table, error));
    nw_tuning_apply(out, tuning);
    if (options->fuse) {
        out->fusion = asked;
        out->fusion_bytes = out->fusion_scratch = 0;
    }
    return NW_OK;
}

static nw_status start_integer(nw_network *network, int64_t threads, const nw_storage_options *storage,
                               nw_error *error)
{
    nw_engine_options options = {.threads = nw_thread_count(threads)};
    nw_tuning tuning;
    NW_TRY(nw_storage_settle(&options, storage, error));
    nw_status status = nw_storage_tune(&options, &tuning, storage, network->model, error);
    if (!status)
        status = nw_engine_create_with(&network->engine, network->model, &options, error);
    network->fusion = options.fusion;
    for (int32_t n = 0; tuning.choices && n < tuning.n_nodes; n++)
        network->n_tuned += tuning.choices[n].isa != NW_ISA_REF || tuning.choices[n].arrangement != NW_ARRANGE_CHEAPEST;
    nw_tuning_free(&tuning);
    NW_TRY(status);
    network->threads = nw_threads_create(nw_thread_count(threads));
    return network->threads ? NW_OK : nw_fail_memory(error, "starting threads");
}

static nw_status start_float(nw_network *network, int64_t threads, nw_error *error)
{
    nw_float_set_threads((int32_t)nw_thread_count(threads));
    return nw_float_create(&network->floats, network->model, network->batch, error);
}

static nw_status start(nw_network *network, const char *name, int64_t threads, const nw_storage_options *storage,
                       nw_error *error)
{
    NW_TRY(network->integer ? start_integer(network, threads, storage, error) : start_float(network, threads, error));
    if (network->model->n_inputs != 1)
        return nw_fail(error, NW_ERROR_UNSUPPORTED, "%s: has %d inputs; this command feeds exactly one", name,
                       network->model->n_inputs);
    const size_t sample = nw_tensor_elements(&network->model->tensors[network->model->inputs[0]]);
    network->input = calloc(sample * (size_t)network->batch, sizeof(float));
    network->pixels = calloc(sample, 1);
    return network->input && network->pixels ? NW_OK : nw_fail_memory(error, "opening the network");
}

nw_status nw_network_open(nw_network *network, const char *path, int64_t threads, int32_t batch, nw_error *error)
{
    return nw_network_open_stored(network, path, threads, batch, &(nw_storage_options){0}, error);
}

nw_status nw_network_open_stored(nw_network *network, const char *path, int64_t threads, int32_t batch,
                                 const nw_storage_options *storage, nw_error *error)
{
    *network = (nw_network){.integer = !nw_path_is_onnx(path), .batch = batch};
    NW_TRY(nw_thread_count_check(threads, error));
    NW_TRY(network->integer ? nw_model_read(&network->model, path, error)
                            : nw_float_model_read(&network->model, path, error));
    return start(network, path, threads, storage, error);
}

void nw_network_close(nw_network *network)
{
    nw_float_free(network->floats);
    nw_engine_free(network->engine);
    nw_threads_free(network->threads);
    nw_model_free(network->model);
    free(network->input);
    free(network->pixels);
    *network = (nw_network){0};
}

size_t nw_network_input_size(const nw_network *network)
{
    return nw_tensor_elements(&network->model->tensors[network->model->inputs[0]]);
}

size_t nw_network_output_size(const nw_network *network)
{
    return nw_tensor_elements(&network->model->tensors[network->model->outputs[0]]);
}

float **nw_network_outputs(const nw_model *model)
{
    float **outputs = calloc((size_t)model->n_outputs, sizeof(*outputs));
    bool done = outputs != NULL;
    for (int32_t i = 0; done && i < model->n_outputs; i++) {
        outputs[i] = malloc(nw_tensor_elements(&model->tensors[model->outputs[i]]) * sizeof(float));
        done = outputs[i] != NULL;
    }
    if (done)
        return outputs;
    nw_network_outputs_free(outputs, model);
    return NULL;
}

void nw_network_outputs_free(float **outputs, const nw_model *model)
{
    for (int32_t i = 0; outputs && i < model->n_outputs; i++)
        free(outputs[i]);
    free(outputs);
}

/** Pixel tables are used where the model has them, so that what is measured is what a device would do. */
static bool wants_pixels(const nw_network *network, const nw_dataset *data)
{
    if (!nw_dataset_has_images(data))
        return false;
    for (int32_t n = 0; n < network->model->n_nodes; n++)
        if (network->model->nodes[n].op == NW_OP_QUANTIZE && !network->model->nodes[n].table)
            return false;
    return true;
}

/** Output pointers: output 0 goes to `first`, the others to memory that is thrown away. */
static float **output_pointers(const nw_model *model, float *first, size_t batch)
{
    float **pointers = calloc((size_t)model->n_outputs, sizeof(*pointers));
    if (!pointers)
        return NULL;
    pointers[0] = first;
    for (int32_t i = 1; i < model->n_outputs; i++) {
        pointers[i] = calloc(nw_tensor_elements(&model->tensors[model->outputs[i]]) * batch, sizeof(float));
        if (!pointers[i]) {
            while (--i > 0)
                free(pointers[i]);
            free(pointers);
            return NULL;
        }
    }
    return pointers;
}

static void free_pointers(float **pointers, int32_t n)
{
    for (int32_t i = 1; pointers && i < n; i++)
        free(pointers[i]);
    free(pointers);
}

static nw_status run_integer(nw_network *network, const nw_dataset *data, size_t index, float **outputs,
                             nw_error *error)
{
    nw_input input = {0};
    if (wants_pixels(network, data)) {
        NW_TRY(nw_dataset_image(data, index, network->pixels, error));
        input.pixels = network->pixels;
    } else {
        NW_TRY(nw_dataset_tensor(data, index, network->input, error));
        input.values = network->input;
    }
    const nw_run_options options = {.threads = network->threads, .observer = network->observer,
                                    .context = network->context};
    const nw_status status = nw_engine_run_with(network->engine, &input, outputs, &options);
    if (status == NW_ERROR_MEMORY)
        return nw_fail_memory(error, "looking at the network's tensors");
    return status ? nw_fail(error, status, "the network does not accept this input") : NW_OK;
}

static nw_status run_float(nw_network *network, const nw_dataset *data, size_t first, size_t n, float **outputs,
                           nw_error *error)
{
    const size_t sample = nw_dataset_sample_size(data);
    memset(network->input, 0, sample * (size_t)network->batch * sizeof(float));
    for (size_t i = 0; i < n; i++)
        NW_TRY(nw_dataset_tensor(data, first + i, network->input + i * sample, error));
    return nw_float_run(network->floats, (const float *const[]){network->input}, outputs, error);
}

nw_status nw_network_run(nw_network *network, const nw_dataset *data, size_t first, size_t n, float *outputs,
                         nw_error *error)
{
    const nw_model *model = network->model;
    const size_t wanted = nw_tensor_elements(&model->tensors[model->inputs[0]]);
    if (nw_dataset_sample_size(data) != wanted)
        return nw_fail(error, NW_ERROR_DATA, "a sample has %zu values, but the network reads %zu",
                       nw_dataset_sample_size(data), wanted);
    const size_t size = nw_network_output_size(network);
    const size_t batch = network->integer ? 1 : (size_t)network->batch;
    float *padded = malloc(size * batch * sizeof(float));
    float **pointers = padded ? output_pointers(model, padded, batch) : NULL;
    nw_status status = pointers ? NW_OK : nw_fail_memory(error, "running the network");
    if (!status && !network->integer) {
        status = run_float(network, data, first, n, pointers, error);
        if (!status)
            memcpy(outputs, padded, n * size * sizeof(float));
        nw_float_release_threads(); /* a spinning team would slow the other network of a comparison down */
    }
    for (size_t i = 0; !status && network->integer && i < n; i++) {
        status = run_integer(network, data, first + i, pointers, error);
        if (!status)
            memcpy(outputs + i * size, padded, size * sizeof(float));
    }
    nw_threads_rest(network->threads);
    free_pointers(pointers, model->n_outputs);
    free(padded);
    return status;
}
