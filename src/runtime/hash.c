/* SPDX-License-Identifier: Apache-2.0 */
/* See hash.h. */
#include "runtime/hash.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/fpenv.h"

#define FNV_START 0xcbf29ce484222325u
#define STRETCH 64 /* values of one kind in the built-in input */
#define FNV_PRIME 0x100000001b3u

static uint64_t hash_byte(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * FNV_PRIME;
}

static uint64_t hash_axis(uint64_t hash, const nw_view *view, int32_t axis, const uint8_t *at)
{
    if (axis < view->rank) {
        for (int32_t i = 0; i < view->dims[axis]; i++)
            hash = hash_axis(hash, view, axis + 1, at + i * view->strides[axis]);
        return hash;
    }
    if (view->element_size == 1)
        return hash_byte(hash, *at);
    uint32_t bits;
    memcpy(&bits, at, sizeof(bits));
    for (int i = 0; i < 4; i++)
        hash = hash_byte(hash, (uint8_t)(bits >> (8 * i)));
    return hash;
}

static void observe(void *context, int32_t node, const nw_view *view)
{
    (void)node;
    uint64_t *hash = context;
    *hash = hash_axis(*hash, view, 0, view->data);
}

/** 24 random bits, the top ones of the generator's state. */
static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 40);
}

/** The quantization of a network input, as its QUANTIZE node has it. */
static const nw_quant *quant_of_input(const nw_model *model, int32_t input)
{
    for (int32_t n = 0; n < model->n_nodes; n++)
        if (model->nodes[n].op == NW_OP_QUANTIZE && model->nodes[n].inputs[0] == input)
            return &model->tensors[model->nodes[n].output].quant;
    return NULL;
}

/** Reals from 1/16 of the range below the lowest code to 1/16 above the highest; stretches of one value among them. */
static void fill(float *values, size_t n, const nw_quant *quant, uint64_t *state)
{
    const float range = quant ? quant->scale * (float)(1 << quant->bits) : 1.0f;
    const float lowest = quant ? -quant->scale * (float)quant->zero_point : 0.0f;
    bool level = false;
    for (size_t i = 0; i < n; i++) {
        if (i % STRETCH == 0)
            level = next(state) & 1;
        values[i] = level && i % STRETCH ? values[i - 1]
                                         : lowest + range * ((float)next(state) * (1.125f / 16777216.0f) - 0.0625f);
    }
}

static uint64_t hash_float(uint64_t hash, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    for (int i = 0; i < 4; i++)
        hash = hash_byte(hash, (uint8_t)(bits >> (8 * i)));
    return hash;
}

/** Limits and shifts of every tensor of codes. */
static uint64_t hash_limits(uint64_t hash, const nw_model *model)
{
    for (int32_t t = 0; t < model->n_tensors; t++)
        for (int32_t c = 0; model->tensors[t].type == NW_TYPE_U8 && c < nw_tensor_channels(&model->tensors[t]); c++) {
            const nw_quant *quant = &model->tensors[t].quant;
            hash = hash_byte(hash_float(hash_float(hash, quant->lo[c]), quant->hi[c]), quant->shift[c]);
        }
    return hash;
}

typedef struct buffers {
    nw_input *inputs;
    float **values, **outputs;
} buffers;

static void buffers_free(buffers *b, const nw_model *model)
{
    for (int32_t i = 0; b->values && i < model->n_inputs; i++)
        free(b->values[i]);
    for (int32_t i = 0; b->outputs && i < model->n_outputs; i++)
        free(b->outputs[i]);
    free(b->inputs);
    free(b->values);
    free(b->outputs);
}

static bool buffers_init(buffers *b, const nw_model *model)
{
    b->inputs = calloc((size_t)model->n_inputs, sizeof(*b->inputs));
    b->values = calloc((size_t)model->n_inputs, sizeof(*b->values));
    b->outputs = calloc((size_t)model->n_outputs, sizeof(*b->outputs));
    bool done = b->inputs && b->values && b->outputs;
    for (int32_t i = 0; done && i < model->n_inputs; i++) {
        b->values[i] = malloc(nw_tensor_elements(&model->tensors[model->inputs[i]]) * sizeof(float));
        b->inputs[i].values = b->values[i];
        done = b->values[i] != NULL;
    }
    for (int32_t i = 0; done && i < model->n_outputs; i++) {
        b->outputs[i] = malloc(nw_tensor_elements(&model->tensors[model->outputs[i]]) * sizeof(float));
        done = b->outputs[i] != NULL;
    }
    return done;
}

nw_status nw_engine_hash(uint64_t *hash, nw_engine *engine, const nw_model *model, int32_t n_runs, nw_threads *threads,
                         nw_error *error)
{
    buffers b = {0};
    uint64_t result = FNV_START;
    uint64_t state = 1;
    nw_status status = buffers_init(&b, model) ? NW_OK : nw_fail_memory(error, "hashing the network");
    const nw_run_options options = {.threads = threads, .observer = observe, .context = &result};
    const nw_fpenv saved = nw_fpenv_enter(); /* of fill() */
    for (int32_t run = 0; !status && run < n_runs; run++) {
        for (int32_t i = 0; i < model->n_inputs; i++)
            fill(b.values[i], nw_tensor_elements(&model->tensors[model->inputs[i]]),
                 quant_of_input(model, model->inputs[i]), &state);
        status = nw_engine_run_with(engine, b.inputs, b.outputs, &options);
    }
    nw_fpenv_leave(saved);
    buffers_free(&b, model);
    if (!status)
        *hash = hash_limits(result, model);
    return status;
}
