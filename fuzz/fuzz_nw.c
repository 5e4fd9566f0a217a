/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzing of the .nw reader. Whatever the bytes, nw_model_parse must end with one sentence or with a model that
 *     - is written, read and written again as the same bytes;
 *     - the engine builds and runs without touching foreign memory, if it is small enough to try.
 *
 *     make_nw corpus/ 200 && fuzz_nw -max_len=20000 corpus/
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/file.h"
#include "narrow/narrow.h"

#define MAX_ELEMENTS 200000 /* of all activations and sums together, so that one input takes milliseconds */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int good, const char *what, const nw_error *error)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, error->message);
    abort();
}

/** Elements and multiply-accumulates; more than the limit as soon as it is passed. */
static uint64_t work_of(const nw_model *model)
{
    uint64_t work = 0;
    for (int32_t i = 0; i < model->n_tensors; i++)
        work += nw_tensor_elements(&model->tensors[i]);
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        const nw_window *w = &node->window;
        const uint64_t phases = (uint64_t)w->stride[0] * (uint64_t)w->stride[1];
        work += node->linear ? nw_node_macs(model, node) / 8 : 0;
        if (node->op == NW_OP_CONV_TRANSPOSE) /* each packed on its own */
            work += phases * (uint64_t)node->groups * ((uint64_t)w->kernel[0] * (uint64_t)w->kernel[1] + 64);
        if (node->op == NW_OP_MAX_POOL || node->op == NW_OP_AVERAGE_POOL)
            work += (uint64_t)w->kernel[0] * (uint64_t)w->kernel[1] *
                    nw_tensor_elements(&model->tensors[node->output]);
    }
    return work;
}

static void run_once(const nw_model *model, nw_engine *engine, bool pixels)
{
    nw_input *inputs = calloc((size_t)model->n_inputs, sizeof(*inputs));
    float **outputs = calloc((size_t)model->n_outputs, sizeof(*outputs));
    void **blocks = calloc((size_t)model->n_inputs, sizeof(*blocks));
    for (int32_t i = 0; inputs && blocks && i < model->n_inputs; i++) {
        const size_t n = nw_tensor_elements(&model->tensors[model->inputs[i]]);
        float *values = malloc(n * sizeof(*values));
        blocks[i] = values;
        for (size_t j = 0; values && j < n; j++)
            values[j] = j % 3 ? (float)j * 0.37f - 5.0f : j % 2 ? 1e30f : -1e30f;
        if (pixels)
            inputs[i].pixels = blocks[i];
        else
            inputs[i].values = blocks[i];
    }
    for (int32_t i = 0; outputs && i < model->n_outputs; i++)
        outputs[i] = malloc(nw_tensor_elements(&model->tensors[model->outputs[i]]) * sizeof(float));
    (void)nw_engine_run(engine, inputs, outputs, NULL);
    for (int32_t i = 0; i < model->n_inputs; i++)
        free(blocks[i]);
    for (int32_t i = 0; i < model->n_outputs; i++)
        free(outputs[i]);
    free(inputs);
    free(outputs);
    free(blocks);
}

static void try_engine(const nw_model *model)
{
    static const char *const families[] = {"ref", NULL};
    nw_error error = {{0}};
    if (work_of(model) > MAX_ELEMENTS)
        return;
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        size_t size = 0;
        nw_engine *engine = NULL;
        if (nw_engine_size(&size, model, families[i], &error) || size > (size_t)1 << 26 ||
            nw_engine_create(&engine, model, families[i], &error))
            continue;
        run_once(model, engine, false);
        run_once(model, engine, true);
        nw_engine_free(engine);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nw_error error = {{0}};
    nw_model *model = NULL, *again = NULL;
    nw_bytes first = {0}, second = {0};
    if (nw_model_parse(&model, data, size, "fuzzed.nw", &error)) {
        demand(error.message[0] != '\0', "failed without a sentence", &error);
        return 0;
    }
    demand(nw_model_serialize(&first, model, &error) == NW_OK, "was read, cannot be written", &error);
    demand(nw_model_parse(&again, first.data, first.size, "again.nw", &error) == NW_OK, "was written, cannot be read",
           &error);
    demand(nw_model_serialize(&second, again, &error) == NW_OK, "cannot be written again", &error);
    demand(first.size == second.size && !memcmp(first.data, second.data, first.size), "differs when written again",
           &error);
    try_engine(model);
    nw_bytes_free(&first);
    nw_bytes_free(&second);
    nw_model_free(model);
    nw_model_free(again);
    return 0;
}
