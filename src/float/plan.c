/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers, storages and steps of an engine under construction. lower.c decides what a node becomes; this file keeps
 * the books: which layouts a tensor exists in, who still reads it, from which step to which a piece of memory is live.
 */
#include "float/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* Makes room for one more item. */
static bool reserve(void **items, int32_t n, int32_t *capacity, size_t size)
{
    if (n < *capacity)
        return true;
    const int32_t grown = *capacity ? *capacity * 2 : 64;
    void *moved = realloc(*items, (size_t)grown * size);
    if (!moved)
        return false;
    *items = moved;
    *capacity = grown;
    return true;
}

void nw_plan_dims(const nw_float_engine *engine, int32_t tensor, int64_t dims[4])
{
    const nw_tensor *t = &engine->model->tensors[tensor];
    for (int i = 0; i < 4; i++)
        dims[i] = i < t->rank ? t->dims[i] : 1;
    if (t->rank > 4) {
        for (int i = 2; i < t->rank; i++)
            dims[1] *= t->dims[i];
        dims[2] = dims[3] = 1;
    }
    if (engine->batched[tensor])
        dims[0] *= engine->batch;
}

size_t nw_plan_elements(const nw_float_engine *engine, int32_t tensor)
{
    const size_t one = nw_tensor_elements(&engine->model->tensors[tensor]);
    return engine->batched[tensor] ? one * (size_t)engine->batch : one;
}

static nw_status add_storage(nw_float_engine *engine, size_t size, int32_t *out)
{
    void *items = engine->storages;
    const bool fits = reserve(&items, engine->n_storages, &engine->storage_capacity, sizeof(nw_float_storage));
    engine->storages = items;
    if (!fits)
        return NW_ERROR_MEMORY;
    *out = engine->n_storages++;
    engine->storages[*out] = (nw_float_storage){.size = size, .first = INT32_MAX, .last = -1};
    return NW_OK;
}

nw_status nw_plan_buffer(nw_float_engine *engine, int32_t tensor, const nw_dnn_layout *layout, int32_t storage,
                         int32_t *out)
{
    if (storage == NW_NONE)
        NW_TRY(add_storage(engine, nw_dnn_layout_size(layout), &storage));
    void *items = engine->buffers;
    const bool fits = reserve(&items, engine->n_buffers, &engine->buffer_capacity, sizeof(nw_float_buffer));
    engine->buffers = items;
    if (!fits)
        return NW_ERROR_MEMORY;
    *out = engine->n_buffers++;
    engine->buffers[*out] = (nw_float_buffer){
        .tensor = tensor, .storage = storage, .first = INT32_MAX, .last = -1, .layout = *layout};
    return NW_OK;
}

/* Notes that a step touches a buffer. */
static void touch(nw_float_engine *engine, int32_t buffer, int32_t step)
{
    nw_float_buffer *b = &engine->buffers[buffer];
    nw_float_storage *s = &engine->storages[b->storage];
    b->first = step < b->first ? step : b->first;
    b->last = step > b->last ? step : b->last;
    s->first = step < s->first ? step : s->first;
    s->last = step > s->last ? step : s->last;
}

void nw_plan_reads(nw_float_engine *engine, int32_t buffer)
{
    touch(engine, buffer, engine->n_steps);
}

void nw_plan_produce(nw_float_engine *engine, int32_t buffer)
{
    const int32_t tensor = engine->buffers[buffer].tensor;
    engine->canonical[tensor] = buffer;
    touch(engine, buffer, engine->n_steps - 1);
}

nw_status nw_plan_canonical(nw_float_engine *engine, int32_t tensor, int32_t *out)
{
    if (engine->canonical[tensor] != NW_NONE) {
        *out = engine->canonical[tensor];
        return NW_OK;
    }
    const nw_tensor *t = &engine->model->tensors[tensor];
    if (!t->data)
        return NW_ERROR_DATA;
    int64_t dims[4];
    nw_dnn_layout layout;
    int32_t storage;
    nw_plan_dims(engine, tensor, dims);
    nw_dnn_layout_plain(&layout, dims);
    NW_TRY(add_storage(engine, 0, &storage));
    engine->storages[storage].fixed = t->data;
    NW_TRY(nw_plan_buffer(engine, tensor, &layout, storage, out));
    engine->canonical[tensor] = *out;
    return NW_OK;
}

nw_status nw_plan_want(nw_float_engine *engine, int32_t node, int32_t tensor, const nw_dnn_layout *layout,
                       int32_t *out)
{
    int32_t from, to;
    NW_TRY(nw_plan_canonical(engine, tensor, &from));
    if (nw_dnn_layout_equal(&engine->buffers[from].layout, layout)) {
        *out = from;
        return NW_OK;
    }
    for (int32_t i = 0; i < engine->n_buffers; i++)
        if (engine->buffers[i].tensor == tensor && nw_dnn_layout_equal(&engine->buffers[i].layout, layout)) {
            *out = i;
            return NW_OK;
        }
    if (nw_dnn_layout_is_plain(layout) && nw_dnn_layout_is_plain(&engine->buffers[from].layout)) {
        NW_TRY(nw_plan_buffer(engine, tensor, layout, engine->buffers[from].storage, &to));
        touch(engine, to, engine->n_steps - 1); /* a view is there as soon as what it looks at */
        *out = to;
        return NW_OK;
    }
    nw_dnn_op *op;
    NW_TRY(nw_plan_buffer(engine, tensor, layout, NW_NONE, &to));
    NW_TRY(nw_dnn_reorder(engine->dnn, &engine->buffers[from].layout, layout, &op));
    NW_TRY(nw_plan_take_op(engine, node, op, &from, 1, to));
    *out = to;
    return NW_OK;
}

nw_status nw_plan_want_dense(nw_float_engine *engine, int32_t node, int32_t tensor, int32_t *out)
{
    int64_t dims[4];
    nw_dnn_layout layout;
    NW_TRY(nw_plan_canonical(engine, tensor, out));
    if (nw_dnn_layout_is_plain(&engine->buffers[*out].layout))
        return NW_OK;
    nw_plan_dims(engine, tensor, dims);
    nw_dnn_layout_plain(&layout, dims);
    return nw_plan_want(engine, node, tensor, &layout, out);
}

nw_status nw_plan_constant(nw_float_engine *engine, const float *data, const nw_dnn_layout *from,
                           const nw_dnn_layout *to, int32_t *out)
{
    const size_t size = nw_dnn_layout_size(to);
    int32_t storage;
    NW_TRY(add_storage(engine, size, &storage));
    nw_float_storage *s = &engine->storages[storage];
    const bool in_place = data && nw_dnn_layout_equal(from, to);
    if (in_place) {
        s->fixed = (float *)(uintptr_t)data; /* read only until nw_float_set_weights gives it a copy */
    } else {
        s->fixed = aligned_alloc(64, (size + 63) / 64 * 64);
        s->owned = true;
        if (!s->fixed)
            return NW_ERROR_MEMORY;
        memset(s->fixed, 0, size);
    }
    NW_TRY(nw_plan_buffer(engine, NW_NONE, to, storage, out));
    if (in_place || !data)
        return NW_OK;
    nw_dnn_op *op;
    NW_TRY(nw_dnn_reorder(engine->dnn, from, to, &op));
    engine->buffers[*out].load = op;
    return nw_plan_load(engine, *out, data);
}

bool nw_plan_may_overwrite(const nw_float_engine *engine, int32_t buffer)
{
    const int32_t storage = engine->buffers[buffer].storage;
    if (engine->storages[storage].fixed)
        return false;
    for (int32_t i = 0; i < engine->n_buffers; i++)
        if (engine->buffers[i].storage == storage && engine->remaining[engine->buffers[i].tensor] > 0)
            return false;
    return true;
}

/* Appends a step and touches its buffers. */
static nw_status add_step(nw_float_engine *engine, int32_t node, const int32_t *inputs, int32_t n_inputs,
                          int32_t output, nw_float_step **out)
{
    void *items = engine->steps;
    const bool fits = reserve(&items, engine->n_steps, &engine->step_capacity, sizeof(nw_float_step));
    engine->steps = items;
    int32_t *copy = fits ? calloc((size_t)n_inputs + 1, sizeof(*copy)) : NULL;
    if (!copy)
        return NW_ERROR_MEMORY;
    memcpy(copy, inputs, (size_t)n_inputs * sizeof(*copy));
    const int32_t index = engine->n_steps++;
    engine->steps[index] = (nw_float_step){.node = node, .inputs = copy, .n_inputs = n_inputs, .output = output};
    for (int32_t i = 0; i < n_inputs; i++)
        if (inputs[i] != NW_NONE)
            touch(engine, inputs[i], index);
    touch(engine, output, index);
    *out = &engine->steps[index];
    return NW_OK;
}

nw_status nw_plan_take_op(nw_float_engine *engine, int32_t node, nw_dnn_op *op, const int32_t *inputs,
                          int32_t n_inputs, int32_t output)
{
    nw_float_step *step;
    const nw_status status = add_step(engine, node, inputs, n_inputs, output, &step);
    if (status) {
        nw_dnn_op_free(op);
        return status;
    }
    step->op = op;
    const size_t scratch = nw_dnn_op_scratch_size(op);
    engine->scratch_size = scratch > engine->scratch_size ? scratch : engine->scratch_size;
    return NW_OK;
}

static nw_plain_view view_of(const nw_float_engine *engine, int32_t buffer, int64_t inner)
{
    nw_plain_view view = {.inner = inner};
    if (buffer == NW_NONE || engine->buffers[buffer].tensor == NW_NONE)
        return view;
    const int32_t tensor = engine->buffers[buffer].tensor;
    const nw_tensor *t = &engine->model->tensors[tensor];
    view.rank = t->rank;
    for (int i = 0; i < t->rank; i++)
        view.dims[i] = t->dims[i];
    if (engine->batched[tensor] && t->rank > 0)
        view.dims[0] *= engine->batch;
    return view;
}

nw_status nw_plan_plain(nw_float_engine *engine, int32_t node, nw_plain_fn *fn, const int32_t *inputs,
                        int32_t n_inputs, int32_t output, int64_t inner)
{
    nw_plain_view *views = calloc((size_t)n_inputs + 1, sizeof(*views));
    if (!views)
        return NW_ERROR_MEMORY;
    nw_float_step *step;
    const nw_status status = add_step(engine, node, inputs, n_inputs, output, &step);
    if (status) {
        free(views);
        return status;
    }
    for (int32_t i = 0; i < n_inputs; i++)
        views[i] = view_of(engine, inputs[i], inner);
    views[n_inputs] = view_of(engine, output, inner);
    step->plain = fn;
    step->views = views;
    return NW_OK;
}

float *nw_plan_data(const nw_float_engine *engine, int32_t buffer)
{
    const nw_float_storage *storage = &engine->storages[engine->buffers[buffer].storage];
    return storage->fixed ? storage->fixed : (float *)(void *)(engine->arena + storage->offset);
}

/* The dense layout with the shape of a buffer's tensor. */
static void dense_layout(const nw_float_engine *engine, int32_t tensor, nw_dnn_layout *layout)
{
    int64_t dims[4];
    nw_plan_dims(engine, tensor, dims);
    nw_dnn_layout_plain(layout, dims);
}

/* Runs a reorder outside the list of steps; these need no scratch memory on CPUs, or bring their own. */
static nw_status reorder_now(nw_float_engine *engine, nw_dnn_op *op, void *from, void *to)
{
    const size_t scratch_size = nw_dnn_op_scratch_size(op);
    void *scratch = NULL;
    if (scratch_size && !(scratch = aligned_alloc(64, (scratch_size + 63) / 64 * 64)))
        return NW_ERROR_MEMORY;
    nw_status status = nw_dnn_bind(op, 0, from);
    if (!status)
        status = nw_dnn_bind(op, 1, to);
    if (!status)
        status = nw_dnn_execute(engine->dnn, op, scratch);
    free(scratch);
    return status;
}

nw_status nw_plan_load(nw_float_engine *engine, int32_t buffer, const float *data)
{
    nw_float_buffer *b = &engine->buffers[buffer];
    if (b->tensor != NW_NONE && nw_dnn_layout_is_plain(&b->layout)) {
        memcpy(nw_plan_data(engine, buffer), data, nw_plan_elements(engine, b->tensor) * sizeof(float));
        return NW_OK;
    }
    if (!b->load) {
        nw_dnn_layout dense;
        dense_layout(engine, b->tensor, &dense);
        NW_TRY(nw_dnn_reorder(engine->dnn, &dense, &b->layout, &b->load));
    }
    return reorder_now(engine, b->load, (void *)(uintptr_t)data, nw_plan_data(engine, buffer));
}

nw_status nw_plan_store(nw_float_engine *engine, int32_t buffer, float *data)
{
    nw_float_buffer *b = &engine->buffers[buffer];
    if (nw_dnn_layout_is_plain(&b->layout)) {
        memcpy(data, nw_plan_data(engine, buffer), nw_plan_elements(engine, b->tensor) * sizeof(float));
        return NW_OK;
    }
    if (!b->store) {
        nw_dnn_layout dense;
        dense_layout(engine, b->tensor, &dense);
        NW_TRY(nw_dnn_reorder(engine->dnn, &b->layout, &dense, &b->store));
    }
    return reorder_now(engine, b->store, nw_plan_data(engine, buffer), data);
}
