/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine is made of, and the calls with which lower.c puts it together, node by node:
 *
 *     tensor  --has--> buffers   one per layout in which somebody wants it; the first is the canonical one
 *     buffer  --lies in--> storage   several buffers may share one: a view (Reshape), a result written over its input
 *     node    --becomes--> steps   reorders of inputs where a layout differs, then the operator
 *
 * memory.c gives storages their places; engine.c runs the steps.
 */
#ifndef NARROW_FLOAT_PLAN_H
#define NARROW_FLOAT_PLAN_H

#include "float/engine.h"
#include "float/onednn.h"
#include "float/plain.h"

/** A piece of memory, live from step `first` to step `last` (-1: from before the first step). */
typedef struct nw_float_storage {
    size_t size;        /* bytes */
    int32_t first, last;
    size_t offset;      /* in the arena */
    float *fixed;       /* constants: their memory, not in the arena */
    bool owned;         /* `fixed` belongs to the engine, not to the model */
} nw_float_storage;

typedef struct nw_float_buffer {
    int32_t tensor; /* NW_NONE for weights and biases in oneDNN's order */
    int32_t storage;
    int32_t first, last;    /* steps that touch this buffer: what nw_float_run_from must fill */
    nw_dnn_layout layout;
    nw_dnn_op *load, *store; /* from and to dense memory; made when first needed, NULL if the layout is dense */
} nw_float_buffer;

typedef struct nw_float_step {
    int32_t node;
    nw_dnn_op *op;      /* owned; or */
    nw_plain_fn *plain; /* with */
    nw_plain_view *views; /* owned [n_inputs + 1] */
    int32_t *inputs;    /* owned [n_inputs] buffers in the order of slots; NW_NONE for absent ones of a plain step */
    int32_t n_inputs;
    int32_t output;     /* buffer */
} nw_float_step;

/** Where the weights of a linear node went. */
typedef struct nw_float_weights {
    int32_t weights, bias; /* buffers, NW_NONE for other nodes */
    nw_dnn_layout model_weights;
} nw_float_weights;

typedef struct nw_float_edit_entry {
    nw_float_editor *editor;
    void *context;
} nw_float_edit_entry;

struct nw_float_engine {
    const nw_model *model;
    nw_dnn *dnn;
    int32_t batch, threads;

    nw_float_step *steps;
    nw_float_buffer *buffers;
    nw_float_storage *storages;
    int32_t n_steps, n_buffers, n_storages;
    int32_t step_capacity, buffer_capacity, storage_capacity;

    int32_t *canonical;        /* [n_tensors] buffer, or NW_NONE */
    int32_t *remaining;        /* [n_tensors] readers that are still to be planned */
    bool *batched;             /* [n_tensors] dims[0] counts the batch; not for constants and what follows from them */
    int32_t *first_step;       /* [n_nodes + 1] */
    nw_float_weights *weights; /* [n_nodes] */

    uint8_t *arena;
    size_t arena_size;
    void *scratch;
    size_t scratch_size;

    nw_float_observer *observer;
    void *observer_context;
    nw_float_edit_entry *editors; /* [n_tensors], or NULL */
    float *dense;                 /* copy of the tensor being observed */
    size_t dense_size;
};

/** Shape of a tensor as [N, C, H, W], ones behind; above rank 4 everything behind N is one dimension. */
void nw_plan_dims(const nw_float_engine *engine, int32_t tensor, int64_t dims[4]);

/** Number of elements, batch included. */
size_t nw_plan_elements(const nw_float_engine *engine, int32_t tensor);

/** A new buffer. `storage` NW_NONE asks for memory of its own. */
nw_status nw_plan_buffer(nw_float_engine *engine, int32_t tensor, const nw_dnn_layout *layout, int32_t storage,
                         int32_t *out);

/** Notes that the step about to be added reads `buffer` other than as one of its inputs. */
void nw_plan_reads(nw_float_engine *engine, int32_t buffer);

/** Makes `buffer` the canonical one of its tensor: what consumers start from, what is observed. */
void nw_plan_produce(nw_float_engine *engine, int32_t buffer);

/** The canonical buffer of a tensor; a constant gets one on the model's data. */
nw_status nw_plan_canonical(nw_float_engine *engine, int32_t tensor, int32_t *out);

/** A buffer of the tensor in this layout; adds the step that fills it, for `node`, if there is none yet. */
nw_status nw_plan_want(nw_float_engine *engine, int32_t node, int32_t tensor, const nw_dnn_layout *layout,
                       int32_t *out);

/** As nw_plan_want, in the dense layout. */
nw_status nw_plan_want_dense(nw_float_engine *engine, int32_t node, int32_t tensor, int32_t *out);

/**
 * A constant in another order, copied now; stays in place if the orders are equal.
 * @param data  NULL for zeros
 */
nw_status nw_plan_constant(nw_float_engine *engine, const float *data, const nw_dnn_layout *from,
                           const nw_dnn_layout *to, int32_t *out);

/** Whether nobody reads this buffer's storage once the node being planned has run. */
bool nw_plan_may_overwrite(const nw_float_engine *engine, int32_t buffer);

/** Adds a oneDNN step and takes `op` (freed on failure too). */
nw_status nw_plan_take_op(nw_float_engine *engine, int32_t node, nw_dnn_op *op, const int32_t *inputs,
                          int32_t n_inputs, int32_t output);

/** Adds a plain step; the views follow from the buffers' tensors. `inner` is 1 except for a RESIZE of blocks. */
nw_status nw_plan_plain(nw_float_engine *engine, int32_t node, nw_plain_fn *fn, const int32_t *inputs,
                        int32_t n_inputs, int32_t output, int64_t inner);

/** Copies dense memory into a buffer now (its memory must exist), or a buffer into dense memory. */
nw_status nw_plan_load(nw_float_engine *engine, int32_t buffer, const float *data);
nw_status nw_plan_store(nw_float_engine *engine, int32_t buffer, float *data);

/** Address of a buffer once memory exists. */
float *nw_plan_data(const nw_float_engine *engine, int32_t buffer);

/** Adds the steps of one node (lower.c). */
nw_status nw_lower_node(nw_float_engine *engine, int32_t node, nw_error *error);

/** Places the storages, allocates and binds all steps (memory.c). */
nw_status nw_memory_allocate(nw_float_engine *engine);

#endif
