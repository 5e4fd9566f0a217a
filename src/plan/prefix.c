/* SPDX-License-Identifier: Apache-2.0 */
/* See prefix.h. */
#include "plan/prefix.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 16                         /* most samples of one run */
#define BATCH_BYTES ((size_t)256 << 20) /* of all activations of a batch */

struct nw_prefix {
    const nw_model *model;
    nw_float_engine *engine;
    int32_t n, batch, n_batches, cut;
    float **tensors;              /* [n_batches, n_tensors] owned; NULL: not alive */
    nw_float_override *overrides; /* [n_tensors + 1] scratch */
    /* while advancing */
    float **to; /* [n_tensors] of the batch that runs */
    int32_t target;
    nw_status status;
};

static size_t tensor_size(const nw_model *model, int32_t tensor)
{
    return nw_tensor_elements(&model->tensors[tensor]);
}

/** Whether the tail from `cut` reads a tensor that was there before. */
static bool is_alive(const nw_model *model, int32_t cut, int32_t tensor)
{
    if (model->tensors[tensor].data)
        return false;
    for (int32_t i = cut; i < model->n_nodes; i++)
        if (model->nodes[i].output == tensor)
            return false;
    for (int32_t i = cut; i < model->n_nodes; i++)
        for (int32_t j = 0; j < model->nodes[i].n_inputs; j++)
            if (model->nodes[i].inputs[j] == tensor)
                return true;
    for (int32_t i = 0; i < model->n_outputs; i++)
        if (model->outputs[i] == tensor)
            return true;
    return false;
}

size_t nw_prefix_sample_bytes(const nw_model *model)
{
    size_t most = 0;
    for (int32_t cut = 0; cut <= model->n_nodes; cut++) {
        size_t bytes = 0;
        for (int32_t t = 0; t < model->n_tensors; t++)
            if (is_alive(model, cut, t))
                bytes += tensor_size(model, t) * sizeof(float);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static int32_t batch_for(const nw_model *model, int32_t n)
{
    size_t all = 1;
    for (int32_t t = 0; t < model->n_tensors; t++)
        all += model->tensors[t].data ? 0 : tensor_size(model, t) * sizeof(float);
    const size_t fit = BATCH_BYTES / all;
    const int32_t batch = fit < 1 ? 1 : fit < BATCH ? (int32_t)fit : BATCH;
    const int32_t half = (n + 1) / 2; /* two batches at least: one kind of sample each (measure_run.c) */
    return half < batch ? half : batch;
}

void nw_prefix_free(nw_prefix *prefix)
{
    if (!prefix)
        return;
    const size_t n = (size_t)prefix->n_batches * (size_t)prefix->model->n_tensors;
    for (size_t i = 0; prefix->tensors && i < n; i++)
        free(prefix->tensors[i]);
    nw_float_free(prefix->engine);
    free(prefix->tensors);
    free(prefix->overrides);
    free(prefix);
}

static float **batch_tensors(const nw_prefix *prefix, int32_t b)
{
    return prefix->tensors + (size_t)b * (size_t)prefix->model->n_tensors;
}

/** The inputs of every batch; the last one is filled up with its first sample. */
static bool copy_samples(nw_prefix *prefix, const float *const *samples)
{
    for (int32_t b = 0; b < prefix->n_batches; b++)
        for (int32_t i = 0; i < prefix->model->n_inputs; i++) {
            const int32_t tensor = prefix->model->inputs[i];
            const size_t size = tensor_size(prefix->model, tensor);
            float *data = malloc(size * (size_t)prefix->batch * sizeof(*data));
            if (!data)
                return false;
            batch_tensors(prefix, b)[tensor] = data;
            for (int32_t s = 0; s < prefix->batch; s++) {
                const int32_t from = nw_prefix_batch_first(prefix, b) + (s < nw_prefix_batch_count(prefix, b) ? s : 0);
                memcpy(data + (size_t)s * size, samples[i] + (size_t)from * size, size * sizeof(*data));
            }
        }
    return true;
}

nw_status nw_prefix_create(nw_prefix **out, const nw_model *model, const float *const *samples, int32_t n,
                           nw_error *error)
{
    nw_prefix *prefix = calloc(1, sizeof(*prefix));
    if (!prefix)
        return nw_fail_memory(error, "measuring");
    prefix->model = model;
    prefix->n = n;
    prefix->batch = batch_for(model, n);
    prefix->n_batches = (n + prefix->batch - 1) / prefix->batch;
    prefix->tensors = calloc((size_t)prefix->n_batches * (size_t)model->n_tensors + 1, sizeof(*prefix->tensors));
    prefix->overrides = calloc((size_t)model->n_tensors + 1, sizeof(*prefix->overrides));
    nw_status status = NW_ERROR_MEMORY;
    if (prefix->tensors && prefix->overrides && copy_samples(prefix, samples))
        status = nw_float_create(&prefix->engine, model, prefix->batch, error);
    else
        nw_fail_memory(error, "measuring");
    if (status)
        nw_prefix_free(prefix);
    else
        *out = prefix;
    return status;
}

int32_t nw_prefix_batches(const nw_prefix *prefix)
{
    return prefix->n_batches;
}

int32_t nw_prefix_batch_first(const nw_prefix *prefix, int32_t b)
{
    return b * prefix->batch;
}

int32_t nw_prefix_batch_count(const nw_prefix *prefix, int32_t b)
{
    const int32_t left = prefix->n - b * prefix->batch;
    return left < prefix->batch ? left : prefix->batch;
}

int32_t nw_prefix_batch_size(const nw_prefix *prefix)
{
    return prefix->batch;
}

const float *nw_prefix_tensor(const nw_prefix *prefix, int32_t b, int32_t tensor)
{
    return batch_tensors(prefix, b)[tensor];
}

nw_float_engine *nw_prefix_engine(nw_prefix *prefix)
{
    return prefix->engine;
}

/** Keeps what the tail from the target on will read. */
static void keep(void *context, int32_t tensor, const float *data, size_t n_elements)
{
    nw_prefix *prefix = context;
    if (prefix->status || prefix->to[tensor] || !is_alive(prefix->model, prefix->target, tensor))
        return;
    prefix->to[tensor] = malloc(n_elements * sizeof(*data));
    if (prefix->to[tensor])
        memcpy(prefix->to[tensor], data, n_elements * sizeof(*data));
    else
        prefix->status = NW_ERROR_MEMORY;
}

/** What is known at the cut, `instead` in its tensor's place. */
static int32_t list_overrides(nw_prefix *prefix, int32_t b, const nw_float_override *instead)
{
    int32_t n = 0;
    if (instead)
        prefix->overrides[n++] = *instead;
    for (int32_t t = 0; t < prefix->model->n_tensors; t++)
        if (batch_tensors(prefix, b)[t] && (!instead || instead->tensor != t))
            prefix->overrides[n++] = (nw_float_override){t, batch_tensors(prefix, b)[t]};
    return n;
}

static nw_status advance_batch(nw_prefix *prefix, int32_t b, nw_error *error)
{
    prefix->to = batch_tensors(prefix, b);
    const int32_t n = list_overrides(prefix, b, NULL);
    NW_TRY(nw_float_run_from(prefix->engine, prefix->cut, prefix->target, prefix->overrides, n, NULL, error));
    if (prefix->status)
        return nw_fail_memory(error, "measuring");
    for (int32_t t = 0; t < prefix->model->n_tensors; t++)
        if (prefix->to[t] && !is_alive(prefix->model, prefix->target, t)) {
            free(prefix->to[t]);
            prefix->to[t] = NULL;
        }
    return NW_OK;
}

nw_status nw_prefix_advance(nw_prefix *prefix, int32_t node, nw_error *error)
{
    if (node <= prefix->cut)
        return NW_OK;
    prefix->target = node;
    nw_status status = NW_OK;
    nw_float_observe(prefix->engine, keep, prefix);
    for (int32_t b = 0; !status && b < prefix->n_batches; b++)
        status = advance_batch(prefix, b, error);
    nw_float_observe(prefix->engine, NULL, NULL);
    prefix->cut = node;
    return status;
}

nw_status nw_prefix_finish(nw_prefix *prefix, int32_t b, const nw_float_override *instead, float *const *outputs,
                           nw_error *error)
{
    const int32_t n = list_overrides(prefix, b, instead);
    return nw_float_run_from(prefix->engine, prefix->cut, prefix->model->n_nodes, prefix->overrides, n, outputs, error);
}
