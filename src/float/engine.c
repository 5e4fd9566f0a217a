/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life and runs of the float engine: lower.c makes the steps, memory.c their memory, this file executes them and shows
 * tensors to observers.
 */
#include "float/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "float/plan.h"

#define MAX_BATCH 65536
#define DENSE_KEPT ((size_t)32 << 20) /* bytes of a copy that smaller tensors may go on using */

void nw_float_set_threads(int32_t threads)
{
    nw_dnn_set_threads(threads > 1 ? threads : 1);
}

void nw_float_release_threads(void)
{
    nw_dnn_release_threads();
}

/* ---- making ---- */

/* Which tensors carry the batch, who reads what, and that the batch does not overflow a size. */
static nw_status prepare_tensors(nw_float_engine *engine, nw_error *error)
{
    const nw_model *model = engine->model;
    for (int32_t i = 0; i < model->n_inputs; i++)
        engine->batched[model->inputs[i]] = true;
    for (int32_t i = 0; i < model->n_nodes; i++)
        for (int32_t j = 0; j < model->nodes[i].n_inputs; j++)
            if (model->nodes[i].inputs[j] != NW_NONE && engine->batched[model->nodes[i].inputs[j]])
                engine->batched[model->nodes[i].output] = true;
    for (int32_t i = 0; i < model->n_tensors; i++) {
        size_t size;
        const nw_tensor *tensor = &model->tensors[i];
        engine->canonical[i] = NW_NONE;
        engine->remaining[i] = nw_model_uses(model, i);
        if (tensor->type != NW_TYPE_F32)
            return nw_fail(error, NW_ERROR_UNSUPPORTED,
                           "tensor \"%s\" is not float: the float engine runs float networks", tensor->name);
        /* a quarter of the address space leaves room for padding and alignment */
        if (!nw_size_mul(&size, nw_tensor_elements(tensor), (size_t)engine->batch) || size > SIZE_MAX / 64)
            return nw_fail(error, NW_ERROR_MEMORY, "tensor \"%s\" is too large for a batch of %d", tensor->name,
                           engine->batch);
    }
    return NW_OK;
}

static nw_status plan_inputs(nw_float_engine *engine)
{
    for (int32_t i = 0; i < engine->model->n_inputs; i++) {
        int64_t dims[4];
        nw_dnn_layout layout;
        int32_t buffer;
        nw_plan_dims(engine, engine->model->inputs[i], dims);
        nw_dnn_layout_plain(&layout, dims);
        NW_TRY(nw_plan_buffer(engine, engine->model->inputs[i], &layout, NW_NONE, &buffer));
        nw_plan_produce(engine, buffer);
    }
    return NW_OK;
}

static nw_status plan_nodes(nw_float_engine *engine, nw_error *error)
{
    const nw_model *model = engine->model;
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        engine->first_step[i] = engine->n_steps;
        engine->weights[i] = (nw_float_weights){.weights = NW_NONE, .bias = NW_NONE};
        for (int32_t j = 0; j < node->n_inputs; j++)
            if (node->inputs[j] != NW_NONE)
                engine->remaining[node->inputs[j]]--;
        NW_TRY(nw_lower_node(engine, i, error));
    }
    engine->first_step[model->n_nodes] = engine->n_steps;
    return NW_OK;
}

/* Outputs stay until the end of a run. */
static nw_status plan_outputs(nw_float_engine *engine, nw_error *error)
{
    for (int32_t i = 0; i < engine->model->n_outputs; i++) {
        int32_t buffer;
        const int32_t tensor = engine->model->outputs[i];
        if (nw_plan_canonical(engine, tensor, &buffer))
            return nw_fail(error, NW_ERROR_DATA, "output \"%s\" is computed by no node",
                           engine->model->tensors[tensor].name);
        engine->buffers[buffer].last = engine->n_steps;
        engine->storages[engine->buffers[buffer].storage].last = engine->n_steps;
    }
    return NW_OK;
}

static nw_status plan_all(nw_float_engine *engine, nw_error *error)
{
    NW_TRY(prepare_tensors(engine, error));
    nw_status status = plan_inputs(engine);
    if (status)
        return nw_fail_memory(error, "preparing the float engine");
    NW_TRY(plan_nodes(engine, error));
    NW_TRY(plan_outputs(engine, error));
    status = nw_memory_allocate(engine);
    if (status == NW_ERROR_MEMORY)
        return nw_fail_memory(error, "allocating the float engine's activations");
    return status ? nw_fail(error, status, "oneDNN failed to bind its memory") : NW_OK;
}

nw_status nw_float_create(nw_float_engine **out, const nw_model *model, int32_t batch, nw_error *error)
{
    if (batch < 1 || batch > MAX_BATCH)
        return nw_fail(error, NW_ERROR_USAGE, "a batch of %d is not between 1 and %d", batch, MAX_BATCH);
    nw_status status = NW_ERROR_MEMORY;
    const size_t tensors = (size_t)model->n_tensors + 1, nodes = (size_t)model->n_nodes + 1;
    nw_float_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        goto cleanup;
    engine->model = model;
    engine->batch = batch;
    engine->threads = nw_dnn_threads();
    engine->canonical = calloc(tensors, sizeof(*engine->canonical));
    engine->remaining = calloc(tensors, sizeof(*engine->remaining));
    engine->batched = calloc(tensors, sizeof(*engine->batched));
    engine->first_step = calloc(nodes, sizeof(*engine->first_step));
    engine->weights = calloc(nodes, sizeof(*engine->weights));
    if (!engine->canonical || !engine->remaining || !engine->batched || !engine->first_step || !engine->weights)
        goto cleanup;
    status = nw_dnn_create(&engine->dnn);
    if (status)
        goto cleanup;
    status = plan_all(engine, error);
    if (status)
        goto failed;
    *out = engine;
    return NW_OK;

cleanup:
    nw_fail_memory(error, "preparing the float engine");
failed:
    nw_float_free(engine);
    return status;
}

static void free_step(nw_float_step *step)
{
    nw_dnn_op_free(step->op);
    free(step->inputs);
    free(step->views);
}

void nw_float_free(nw_float_engine *engine)
{
    if (!engine)
        return;
    for (int32_t i = 0; i < engine->n_steps; i++)
        free_step(&engine->steps[i]);
    for (int32_t i = 0; i < engine->n_buffers; i++) {
        nw_dnn_op_free(engine->buffers[i].load);
        nw_dnn_op_free(engine->buffers[i].store);
    }
    for (int32_t i = 0; i < engine->n_storages; i++)
        if (engine->storages[i].owned)
            free(engine->storages[i].fixed);
    nw_dnn_free(engine->dnn);
    free(engine->steps);
    free(engine->buffers);
    free(engine->storages);
    free(engine->canonical);
    free(engine->remaining);
    free(engine->batched);
    free(engine->first_step);
    free(engine->weights);
    free(engine->arena);
    free(engine->scratch);
    free(engine->editors);
    free(engine->dense);
    free(engine);
}

/* ---- running ---- */

/* Memory for the dense copy of n reals. What large tensors took is given back where small ones follow. */
static nw_status need_dense(nw_float_engine *engine, size_t n)
{
    const size_t size = nw_align(n * sizeof(float), 64);
    const bool too_large = engine->dense_size > DENSE_KEPT && engine->dense_size / 4 > size;
    if (engine->dense_size >= size && !too_large)
        return NW_OK;
    free(engine->dense);
    engine->dense = aligned_alloc(64, size);
    engine->dense_size = engine->dense ? size : 0;
    return engine->dense ? NW_OK : NW_ERROR_MEMORY;
}

/* Shows a computed tensor to its editor and to the observer. */
static nw_status notify(nw_float_engine *engine, int32_t tensor)
{
    const nw_float_edit_entry *edit = engine->editors ? &engine->editors[tensor] : NULL;
    const bool edited = edit && edit->editor;
    if (!edited && !engine->observer)
        return NW_OK;
    const int32_t buffer = engine->canonical[tensor];
    const size_t n = nw_plan_elements(engine, tensor);
    const bool in_place = nw_dnn_layout_is_plain(&engine->buffers[buffer].layout);
    if (!in_place)
        NW_TRY(need_dense(engine, n));
    float *data = in_place ? nw_plan_data(engine, buffer) : engine->dense;
    if (!in_place)
        NW_TRY(nw_plan_store(engine, buffer, data));
    if (edited)
        edit->editor(edit->context, tensor, data, n);
    if (engine->observer)
        engine->observer(engine->observer_context, tensor, data, n);
    return edited && !in_place ? nw_plan_load(engine, buffer, data) : NW_OK;
}

static nw_status run_node(nw_float_engine *engine, int32_t node)
{
    for (int32_t i = engine->first_step[node]; i < engine->first_step[node + 1]; i++) {
        nw_float_step *step = &engine->steps[i];
        if (step->op)
            NW_TRY(nw_dnn_execute(engine->dnn, step->op, engine->scratch));
        else
            step->plain(&engine->model->nodes[node], step->views, step->n_inputs, &step->views[step->n_inputs]);
    }
    return notify(engine, engine->model->nodes[node].output);
}

static nw_status run_nodes(nw_float_engine *engine, int32_t first, int32_t end, nw_error *error)
{
    for (int32_t i = first; i < end; i++) {
        const nw_status status = run_node(engine, i);
        if (status == NW_ERROR_MEMORY)
            return nw_fail_memory(error, "running the float engine");
        if (status)
            return nw_fail(error, status, "node \"%s\" (%s): oneDNN failed to run it", engine->model->nodes[i].name,
                           nw_op_name(engine->model->nodes[i].op));
    }
    return NW_OK;
}

static nw_status copy_output(nw_float_engine *engine, int32_t i, float *data, nw_error *error)
{
    const int32_t tensor = engine->model->outputs[i];
    const nw_status status = nw_plan_store(engine, engine->canonical[tensor], data);
    return status ? nw_fail(error, status, "output \"%s\" cannot be copied", engine->model->tensors[tensor].name)
                  : NW_OK;
}

static nw_status run_whole(nw_float_engine *engine, const float *const *inputs, float *const *outputs, nw_error *error)
{
    const nw_model *model = engine->model;
    for (int32_t i = 0; i < model->n_inputs; i++) {
        nw_status status = nw_plan_load(engine, engine->canonical[model->inputs[i]], inputs[i]);
        if (!status)
            status = notify(engine, model->inputs[i]);
        if (status)
            return nw_fail(error, status, "input \"%s\" cannot be copied", model->tensors[model->inputs[i]].name);
    }
    NW_TRY(run_nodes(engine, 0, model->n_nodes, error));
    for (int32_t i = 0; i < model->n_outputs; i++)
        if (outputs[i])
            NW_TRY(copy_output(engine, i, outputs[i], error));
    return NW_OK;
}

nw_status nw_float_run(nw_float_engine *engine, const float *const *inputs, float *const *outputs, nw_error *error)
{
    const int32_t threads = nw_dnn_threads();
    nw_dnn_set_threads(engine->threads);
    const nw_status status = run_whole(engine, inputs, outputs, error);
    nw_dnn_set_threads(threads);
    return status;
}

/* Whether `tensor` is computed by a node of the range. */
static bool computed_in(const nw_model *model, int32_t first, int32_t end, int32_t tensor)
{
    for (int32_t i = first; i < end; i++)
        if (model->nodes[i].output == tensor)
            return true;
    return false;
}

bool nw_float_needs(const nw_float_engine *engine, int32_t first_node, int32_t end_node, int32_t tensor)
{
    const nw_model *model = engine->model;
    if (model->tensors[tensor].data || computed_in(model, first_node, end_node, tensor))
        return false;
    for (int32_t i = first_node; i < end_node; i++)
        for (int32_t j = 0; j < model->nodes[i].n_inputs; j++)
            if (model->nodes[i].inputs[j] == tensor)
                return true;
    return false;
}

static const nw_float_override *find_override(const nw_float_override *overrides, int32_t n, int32_t tensor)
{
    for (int32_t i = 0; i < n; i++)
        if (overrides[i].tensor == tensor)
            return &overrides[i];
    return NULL;
}

static nw_status check_overrides(const nw_float_engine *engine, int32_t first, int32_t end,
                                 const nw_float_override *overrides, int32_t n, float *const *outputs,
                                 nw_error *error)
{
    const nw_model *model = engine->model;
    for (int32_t t = 0; t < model->n_tensors; t++)
        if (nw_float_needs(engine, first, end, t) && !find_override(overrides, n, t))
            return nw_fail(error, NW_ERROR_USAGE, "tensor \"%s\" must be given to run nodes %d to %d",
                           model->tensors[t].name, first, end);
    for (int32_t i = 0; outputs && i < model->n_outputs; i++)
        if (outputs[i] && !computed_in(model, first, end, model->outputs[i]) &&
            !find_override(overrides, n, model->outputs[i]))
            return nw_fail(error, NW_ERROR_USAGE, "output \"%s\" is not computed by nodes %d to %d",
                           model->tensors[model->outputs[i]].name, first, end);
    return NW_OK;
}

/*
 * Fills the buffers of an overridden tensor that exist before `step` and are read from there on. Buffers that live
 * across the same step never share memory, unless they hold the same values; one filled later by a reorder is left to
 * that reorder, because its memory may belong to somebody else until then.
 */
static nw_status load_override(nw_float_engine *engine, const nw_float_override *override, int32_t step)
{
    for (int32_t i = 0; i < engine->n_buffers; i++) {
        const nw_float_buffer *b = &engine->buffers[i];
        if (b->tensor == override->tensor && b->first < step && b->last >= step)
            NW_TRY(nw_plan_load(engine, i, override->data));
    }
    return NW_OK;
}

/* Those that are read; the memory of any other may belong to somebody else by now. */
static nw_status load_overrides(nw_float_engine *engine, int32_t first, int32_t end, const nw_float_override *overrides,
                                int32_t n, float *const *outputs, nw_error *error)
{
    const nw_model *model = engine->model;
    for (int32_t i = 0; i < n; i++) {
        const int32_t tensor = overrides[i].tensor;
        bool read = nw_float_needs(engine, first, end, tensor);
        for (int32_t j = 0; outputs && j < model->n_outputs; j++)
            read = read || (outputs[j] && model->outputs[j] == tensor && !computed_in(model, first, end, tensor));
        const nw_status status = read ? load_override(engine, &overrides[i], engine->first_step[first]) : NW_OK;
        if (status)
            return nw_fail(error, status, "tensor \"%s\" cannot be replaced", model->tensors[tensor].name);
    }
    return NW_OK;
}

nw_status nw_float_run_from(nw_float_engine *engine, int32_t first_node, int32_t end_node,
                            const nw_float_override *overrides, int32_t n_overrides, float *const *outputs,
                            nw_error *error)
{
    const nw_model *model = engine->model;
    if (first_node < 0 || end_node > model->n_nodes || first_node > end_node)
        return nw_fail(error, NW_ERROR_USAGE, "nodes %d to %d are not a range of this network", first_node, end_node);
    NW_TRY(check_overrides(engine, first_node, end_node, overrides, n_overrides, outputs, error));
    const int32_t threads = nw_dnn_threads();
    nw_dnn_set_threads(engine->threads);
    nw_status status = load_overrides(engine, first_node, end_node, overrides, n_overrides, outputs, error);
    if (!status)
        status = run_nodes(engine, first_node, end_node, error);
    for (int32_t i = 0; outputs && i < model->n_outputs && !status; i++)
        if (outputs[i])
            status = copy_output(engine, i, outputs[i], error);
    nw_dnn_set_threads(threads);
    return status;
}

/* ---- looking and changing ---- */

void nw_float_observe(nw_float_engine *engine, nw_float_observer *observer, void *context)
{
    engine->observer = observer;
    engine->observer_context = context;
}

nw_status nw_float_edit(nw_float_engine *engine, int32_t tensor, nw_float_editor *editor, void *context,
                        nw_error *error)
{
    if (tensor < 0 || tensor >= engine->model->n_tensors || engine->model->tensors[tensor].data)
        return nw_fail(error, NW_ERROR_USAGE, "tensor %d is no activation of this network", tensor);
    if (!engine->editors)
        engine->editors = calloc((size_t)engine->model->n_tensors, sizeof(*engine->editors));
    if (!engine->editors)
        return nw_fail_memory(error, "editing a tensor of the float engine");
    engine->editors[tensor] = (nw_float_edit_entry){editor, context};
    return NW_OK;
}

/* Gives a constant that lies in the model its own memory, and tells the steps that read it. */
static nw_status own_constant(nw_float_engine *engine, int32_t buffer)
{
    nw_float_storage *storage = &engine->storages[engine->buffers[buffer].storage];
    if (storage->owned)
        return NW_OK;
    float *copy = aligned_alloc(64, nw_align(storage->size, 64));
    if (!copy)
        return NW_ERROR_MEMORY;
    memcpy(copy, storage->fixed, storage->size);
    storage->fixed = copy;
    storage->owned = true;
    for (int32_t i = 0; i < engine->n_steps; i++)
        for (int32_t j = 0; j < engine->steps[i].n_inputs; j++) {
            if (engine->steps[i].inputs[j] != buffer)
                continue;
            if (engine->steps[i].plain)
                engine->steps[i].views[j].data = copy;
            else
                NW_TRY(nw_dnn_bind(engine->steps[i].op, j, copy));
        }
    return NW_OK;
}

/* Writes a constant: reordered if it was reordered when the engine was made, else copied. */
static nw_status write_constant(nw_float_engine *engine, int32_t buffer, const float *data)
{
    NW_TRY(own_constant(engine, buffer));
    if (engine->buffers[buffer].load)
        return nw_plan_load(engine, buffer, data);
    memcpy(nw_plan_data(engine, buffer), data, engine->storages[engine->buffers[buffer].storage].size);
    return NW_OK;
}

nw_status nw_float_set_weights(nw_float_engine *engine, int32_t node, const float *weights, const float *bias,
                               nw_error *error)
{
    if (node < 0 || node >= engine->model->n_nodes || engine->weights[node].weights == NW_NONE)
        return nw_fail(error, NW_ERROR_USAGE, "node %d has no weights to replace", node);
    nw_status status = weights ? write_constant(engine, engine->weights[node].weights, weights) : NW_OK;
    if (!status && bias)
        status = write_constant(engine, engine->weights[node].bias, bias);
    return status ? nw_fail(error, status, "node \"%s\": its weights cannot be replaced",
                            engine->model->nodes[node].name)
                  : NW_OK;
}

int32_t nw_float_batch(const nw_float_engine *engine)
{
    return engine->batch;
}

size_t nw_float_memory(const nw_float_engine *engine)
{
    size_t total = engine->arena_size + engine->scratch_size + engine->dense_size;
    for (int32_t i = 0; i < engine->n_storages; i++)
        total += engine->storages[i].owned ? engine->storages[i].size : 0;
    return total;
}

const char *nw_float_implementation(const nw_float_engine *engine, int32_t node)
{
    const int32_t last = engine->first_step[node + 1] - 1;
    const int32_t result = engine->canonical[engine->model->nodes[node].output];
    if (last < engine->first_step[node] || engine->steps[last].output != result)
        return "alias";
    return engine->steps[last].op ? nw_dnn_op_implementation(engine->steps[last].op) : "plain";
}
