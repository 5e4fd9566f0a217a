/* SPDX-License-Identifier: Apache-2.0 */
/* See calibrate.h. Between the float engine (float/engine.h) and the quantizer (quantize.h). */
#include "quant/calibrate.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "float/engine.h"

#define KEPT_BYTES ((size_t)64 << 20)      /* of inputs; as much for the pool */
#define KEPT_RUN_BYTES ((size_t)256 << 20) /* of the largest activation, when all kept samples run at once */

void nw_calibration_free(nw_calibration *calibration)
{
    if (!calibration)
        return;
    for (int32_t t = 0; calibration->tensors && t < calibration->n_tensors; t++)
        nw_tensor_stats_clear(&calibration->tensors[t]);
    for (int32_t i = 0; calibration->kept && i < calibration->n_inputs; i++)
        free(calibration->kept[i]);
    for (int32_t i = 0; calibration->pool && i < calibration->n_inputs; i++)
        free(calibration->pool[i]);
    free(calibration->tensors);
    free(calibration->kept);
    free(calibration->pool);
    free(calibration);
}

nw_calibration *nw_calibration_create(const nw_model *model)
{
    nw_calibration *calibration = calloc(1, sizeof(*calibration));
    if (!calibration)
        return NULL;
    calibration->n_tensors = model->n_tensors;
    calibration->n_inputs = model->n_inputs;
    calibration->tensors = calloc((size_t)model->n_tensors + 1, sizeof(*calibration->tensors));
    calibration->kept = calloc((size_t)model->n_inputs + 1, sizeof(*calibration->kept));
    calibration->pool = calloc((size_t)model->n_inputs + 1, sizeof(*calibration->pool));
    bool done = calibration->tensors && calibration->kept && calibration->pool;
    for (int32_t t = 0; done && t < model->n_tensors; t++)
        if (!model->tensors[t].data)
            done = nw_tensor_stats_init(&calibration->tensors[t], nw_tensor_channels(&model->tensors[t])) == NW_OK;
    if (!done) {
        nw_calibration_free(calibration);
        return NULL;
    }
    return calibration;
}

/** State of one calibration, seen by the float engine's observer. */
typedef struct run {
    const nw_model *model;
    nw_calibration *calibration;
    int32_t valid; /* samples of this batch that count; the rest of the last batch repeats earlier ones */
    nw_status status;
    nw_error *error;
} run;

static void observe(void *context, int32_t tensor, const float *data, size_t n_elements)
{
    run *state = context;
    (void)n_elements;
    if (state->status)
        return;
    const nw_tensor *shape = &state->model->tensors[tensor];
    nw_tensor_stats *stats = &state->calibration->tensors[tensor];
    const size_t plane = nw_tensor_elements(shape) / (size_t)stats->n_channels;
    state->status = nw_tensor_stats_add(stats, data, (size_t)state->valid, plane);
    if (state->status)
        nw_fail(state->error, state->status,
                "tensor \"%s\": calibration met a value that is not finite, or too many values", shape->name);
}

static size_t input_size(const nw_model *model)
{
    size_t size = 0;
    for (int32_t i = 0; i < model->n_inputs; i++)
        size += nw_tensor_elements(&model->tensors[model->inputs[i]]) * sizeof(float);
    return size ? size : 1;
}

static int32_t pool_count(const nw_model *model, const nw_calibrate_options *options, int64_t n_samples)
{
    const size_t fit = KEPT_BYTES / input_size(model);
    const int64_t most = options->max_pool < (int64_t)fit ? options->max_pool : (int64_t)fit;
    return (int32_t)(n_samples < most ? n_samples : most);
}

/** Samples to keep: bounded in number and in bytes. */
static int32_t kept_count(const nw_model *model, const nw_calibrate_options *options, int64_t n_samples)
{
    const size_t sample_size = input_size(model);
    int32_t most = options->max_kept;
    if (most <= 0) {
        size_t largest = 1;
        for (int32_t t = 0; t < model->n_tensors; t++)
            if (!model->tensors[t].data && nw_tensor_elements(&model->tensors[t]) * sizeof(float) > largest)
                largest = nw_tensor_elements(&model->tensors[t]) * sizeof(float);
        size_t fit = KEPT_BYTES / sample_size;
        fit = fit < KEPT_RUN_BYTES / largest ? fit : KEPT_RUN_BYTES / largest;
        most = fit > (size_t)options->auto_kept ? options->auto_kept : fit < 8 ? 8 : (int32_t)fit;
    }
    return n_samples < most ? (int32_t)n_samples : most;
}

/** Copies sample `index` of n aside if it is one of those that are wanted: number j is sample floor(j * n / wanted). */
static void keep(float **kept, int32_t wanted, const nw_model *model, int64_t index, int64_t n, float *const *inputs)
{
    const int64_t j = (index * wanted + n - 1) / n;
    if (j >= wanted || j * n / wanted != index)
        return;
    for (int32_t i = 0; i < model->n_inputs; i++) {
        const size_t elements = nw_tensor_elements(&model->tensors[model->inputs[i]]);
        memcpy(kept[i] + (size_t)j * elements, inputs[i], elements * sizeof(float));
    }
}

static nw_status alloc_inputs(float **inputs, const nw_model *model, int32_t n)
{
    for (int32_t i = 0; i < model->n_inputs; i++) {
        size_t elements;
        if (!nw_size_mul(&elements, nw_tensor_elements(&model->tensors[model->inputs[i]]), (size_t)n) ||
            elements > SIZE_MAX / sizeof(float) || !(inputs[i] = calloc(elements, sizeof(float))))
            return NW_ERROR_MEMORY;
    }
    return NW_OK;
}

/** Reads samples [begin, begin + n) into the batch buffers. */
static nw_status read_batch(run *state, const nw_sample_source *source, int64_t begin, int32_t n, float *const *inputs,
                            float **sample)
{
    for (int32_t j = 0; j < n; j++) {
        for (int32_t i = 0; i < state->model->n_inputs; i++)
            sample[i] = inputs[i] + (size_t)j * nw_tensor_elements(&state->model->tensors[state->model->inputs[i]]);
        NW_TRY(source->read(source->context, begin + j, sample, state->error));
        const nw_calibration *to = state->calibration;
        keep(to->kept, to->n_kept, state->model, begin + j, source->n_samples, sample);
        keep(to->pool, to->n_pool, state->model, begin + j, source->n_samples, sample);
    }
    return NW_OK;
}

static nw_status run_all(run *state, nw_float_engine *engine, const nw_sample_source *source,
                         const nw_calibrate_options *options, float **inputs, float **sample, float **no_outputs)
{
    const int32_t batch = nw_float_batch(engine);
    for (int64_t begin = 0; begin < source->n_samples; begin += batch) {
        const int64_t left = source->n_samples - begin;
        state->valid = left < batch ? (int32_t)left : batch;
        NW_TRY(read_batch(state, source, begin, state->valid, inputs, sample));
        NW_TRY(nw_float_run(engine, (const float *const *)inputs, no_outputs, state->error));
        NW_TRY(state->status);
        state->calibration->n_samples += state->valid;
        if (options->progress)
            options->progress(options->progress_context, begin + state->valid, source->n_samples);
    }
    return NW_OK;
}

nw_status nw_calibrate(nw_calibration **out, const nw_model *model, const nw_sample_source *source,
                       const nw_calibrate_options *options, nw_error *error)
{
    if (source->n_samples < 1 || options->batch < 1)
        return nw_fail(error, NW_ERROR_USAGE, "calibration needs at least one sample and a batch of at least 1");
    nw_float_engine *engine = NULL;
    const size_t n_inputs = (size_t)model->n_inputs;
    float **inputs = calloc(n_inputs + 1, sizeof(*inputs));
    float **sample = calloc(n_inputs + 1, sizeof(*sample));
    float **no_outputs = calloc((size_t)model->n_outputs + 1, sizeof(*no_outputs));
    run state = {.model = model, .calibration = nw_calibration_create(model), .error = error};
    nw_status status = NW_ERROR_MEMORY;
    if (!inputs || !sample || !no_outputs || !state.calibration) {
        nw_fail_memory(error, "calibrating");
        goto cleanup;
    }
    const int32_t batch = source->n_samples < options->batch ? (int32_t)source->n_samples : options->batch;
    state.calibration->n_kept = kept_count(model, options, source->n_samples);
    state.calibration->n_pool = pool_count(model, options, source->n_samples);
    status = alloc_inputs(inputs, model, batch);
    if (!status)
        status = alloc_inputs(state.calibration->kept, model, state.calibration->n_kept);
    if (!status)
        status = alloc_inputs(state.calibration->pool, model, state.calibration->n_pool);
    if (status) {
        nw_fail_memory(error, "calibrating");
        goto cleanup;
    }
    status = nw_float_create(&engine, model, batch, error);
    if (!status) {
        nw_float_observe(engine, observe, &state);
        status = run_all(&state, engine, source, options, inputs, sample, no_outputs);
    }
    if (status)
        goto cleanup;
    *out = state.calibration;
    state.calibration = NULL;

cleanup:
    nw_float_free(engine);
    nw_calibration_free(state.calibration);
    for (size_t i = 0; inputs && i < n_inputs; i++)
        free(inputs[i]);
    free(inputs);
    free(sample);
    free(no_outputs);
    return status;
}
