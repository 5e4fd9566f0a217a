/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See engine.h and include/narrow/narrow.h. An engine's block, from the bottom:
 *
 *     | nw_engine | input slots | activations (layout.h) | steps | packed weights, parameters, states of the jobs |
 *
 * The same code lays it out twice: without memory to learn its size, then for real.
 */
#define _POSIX_C_SOURCE 200809L
#include "runtime/engine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arith.h"
#include "ops/ops.h"
#include "runtime/fpenv.h"
#include "runtime/layout.h"
#include "runtime/steps.h"
#include "runtime/threads.h"

struct nw_engine {
    nw_isa isa;
    size_t activation_size, total_size;
    nw_input_slot *slots;
    int32_t n_inputs, n_outputs, n_steps, n_nodes;
    const bool *takes_pixels; /* [n_inputs] */
    nw_step *steps;
    const nw_view *outputs;   /* [n_outputs] */
    const nw_view *node_view; /* [n_nodes] */
};

/** True if everything that reads input i has pixel tables. */
static bool has_pixel_tables(const nw_model *model, int32_t i)
{
    for (int32_t n = 0; n < model->n_nodes; n++)
        if (model->nodes[n].op == NW_OP_QUANTIZE && model->nodes[n].inputs[0] == model->inputs[i] &&
            !model->nodes[n].table)
            return false;
    return true;
}

static nw_status check_outputs(const nw_model *model, nw_error *error)
{
    for (int32_t i = 0; i < model->n_outputs; i++)
        if (model->tensors[model->outputs[i]].type != NW_TYPE_F32)
            return nw_fail(error, NW_ERROR_DATA, "output \"%s\" of the network is not a float tensor",
                           model->tensors[model->outputs[i]].name);
    return NW_OK;
}

/** Views of the outputs and of every node's result, into the arena. */
static void take_views(nw_engine *engine, const nw_model *model, const nw_layout *layout, uint8_t *activations,
                       nw_arena *arena)
{
    nw_view *outputs = nw_arena_take(arena, (size_t)model->n_outputs * sizeof(*outputs));
    nw_view *node_view = nw_arena_take(arena, (size_t)model->n_nodes * sizeof(*node_view));
    bool *takes_pixels = nw_arena_take(arena, (size_t)model->n_inputs * sizeof(*takes_pixels));
    if (!engine)
        return;
    for (int32_t i = 0; i < model->n_outputs; i++)
        outputs[i] = nw_layout_view(layout, model, model->outputs[i], activations);
    for (int32_t i = 0; i < model->n_nodes; i++)
        node_view[i] = nw_layout_view(layout, model, model->nodes[i].output, activations);
    for (int32_t i = 0; i < model->n_inputs; i++)
        takes_pixels[i] = has_pixel_tables(model, i);
    engine->outputs = outputs;
    engine->node_view = node_view;
    engine->takes_pixels = takes_pixels;
}

/** Lays the block out (arena->base NULL: only counts; *n_steps is then an output, else the input). */
static nw_status lay_out(nw_engine **out, int32_t *n_steps, const nw_model *model, const nw_layout *layout, nw_isa isa,
                         nw_arena *arena, nw_error *error)
{
    nw_kernels kernels;
    nw_kernels_init(&kernels, isa);
    nw_engine *engine = nw_arena_take(arena, sizeof(*engine));
    nw_input_slot *slots = nw_arena_take(arena, (size_t)model->n_inputs * sizeof(*slots));
    uint8_t *activations = nw_arena_take(arena, layout->size + NW_OVERREAD);
    nw_step *steps = nw_arena_take(arena, (size_t)*n_steps * sizeof(*steps));
    if (activations)
        memset(activations, 0, layout->size + NW_OVERREAD);
    if (engine) {
        memset(slots, 0, (size_t)model->n_inputs * sizeof(*slots));
        *engine = (nw_engine){
            .isa = isa,
            .activation_size = layout->size,
            .slots = slots,
            .n_inputs = model->n_inputs,
            .n_outputs = model->n_outputs,
            .n_nodes = model->n_nodes,
            .steps = steps,
        };
    }
    take_views(engine, model, layout, activations, arena);
    nw_builder builder = {
        .model = model,
        .layout = layout,
        .kernels = &kernels,
        .arena = arena,
        .activations = activations,
        .slots = slots,
        .steps = steps,
    };
    NW_TRY(nw_steps_build(&builder, error));
    *n_steps = builder.n_steps;
    if (engine) {
        engine->n_steps = builder.n_steps;
        engine->total_size = arena->used;
        *out = engine;
    }
    return NW_OK;
}

/** Size of the block and number of steps. On success the caller frees the layout. */
static nw_status measure(size_t *size, int32_t *n_steps, nw_layout *layout, nw_isa *isa, const nw_model *model,
                         const char *isa_name, nw_error *error)
{
    NW_TRY(nw_isa_choose(isa, isa_name ? isa_name : getenv("NARROW_ISA"), error));
    NW_TRY(check_outputs(model, error));
    NW_TRY(nw_layout_make(layout, model, error));
    nw_arena counting = {0};
    *n_steps = 0;
    const nw_status status = lay_out(NULL, n_steps, model, layout, *isa, &counting, error);
    if (status) {
        nw_layout_free(layout);
        return status;
    }
    *size = counting.used + nw_align((size_t)*n_steps * sizeof(nw_step), NW_ARENA_ALIGNMENT);
    return NW_OK;
}

nw_status nw_engine_size(size_t *size, const nw_model *model, const char *isa, nw_error *error)
{
    nw_layout layout;
    nw_isa chosen;
    int32_t n_steps;
    NW_TRY(measure(size, &n_steps, &layout, &chosen, model, isa, error));
    nw_layout_free(&layout);
    return NW_OK;
}

/** nw_engine_init in the floating-point environment of a run: packing computes reals too, such as 1 / scale. */
static nw_status init(nw_engine **out, const nw_model *model, const char *isa, void *block, size_t size,
                      nw_error *error)
{
    nw_layout layout;
    nw_isa chosen;
    int32_t n_steps;
    size_t needed;
    NW_TRY(measure(&needed, &n_steps, &layout, &chosen, model, isa, error));
    nw_status status = NW_OK;
    if (size < needed) {
        status = nw_fail(error, NW_ERROR_USAGE, "the engine needs a block of %zu bytes, not %zu", needed, size);
    } else {
        nw_arena arena = {.base = block};
        status = lay_out(out, &n_steps, model, &layout, chosen, &arena, error);
    }
    nw_layout_free(&layout);
    return status;
}

nw_status nw_engine_init(nw_engine **out, const nw_model *model, const char *isa, void *block, size_t size,
                         nw_error *error)
{
    const nw_fpenv saved = nw_fpenv_enter();
    const nw_status status = init(out, model, isa, block, size, error);
    nw_fpenv_leave(saved);
    return status;
}

nw_status nw_engine_create(nw_engine **out, const nw_model *model, const char *isa, nw_error *error)
{
    size_t size;
    NW_TRY(nw_engine_size(&size, model, isa, error));
    void *block = aligned_alloc(NW_ARENA_ALIGNMENT, nw_align(size, NW_ARENA_ALIGNMENT));
    if (!block)
        return nw_fail_memory(error, "building the engine");
    const nw_status status = nw_engine_init(out, model, isa, block, size, error);
    if (status)
        free(block);
    return status;
}

void nw_engine_free(nw_engine *engine)
{
    free(engine);
}

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/** Copies an output into the caller's array in row-major logical order. */
static void give_output(const nw_view *from, float *to)
{
    nw_view view = *from;
    view.data = (uint8_t *)to;
    ptrdiff_t stride = sizeof(float);
    for (int32_t i = view.rank - 1; i >= 0; i--) {
        view.strides[i] = stride;
        stride *= view.dims[i];
    }
    nw_copy_run(&view, from);
}

static bool accepts(const nw_engine *engine, const nw_input *inputs)
{
    for (int32_t i = 0; i < engine->n_inputs; i++)
        if (!inputs[i].values == !inputs[i].pixels || (inputs[i].pixels && !engine->takes_pixels[i]))
            return false;
    return true;
}

static void run_steps(nw_engine *engine, const nw_run_options *options)
{
    for (int32_t i = 0; i < engine->n_steps; i++) {
        const nw_step *step = &engine->steps[i];
        const uint64_t start = options->node_nanoseconds ? nanoseconds() : 0;
        nw_halo_fill(&step->halo);
        nw_threads_run(options->threads, &step->job);
        if (options->node_nanoseconds)
            options->node_nanoseconds[step->node] += nanoseconds() - start;
        const bool last_of_node = i + 1 == engine->n_steps || engine->steps[i + 1].node != step->node;
        if (options->observer && last_of_node)
            options->observer(options->context, step->node, &engine->node_view[step->node]);
    }
}

nw_status nw_engine_run_with(nw_engine *engine, const nw_input *inputs, float *const *outputs,
                             const nw_run_options *options)
{
    if (!accepts(engine, inputs))
        return NW_ERROR_USAGE;
    for (int32_t i = 0; i < engine->n_inputs; i++)
        engine->slots[i] = (nw_input_slot){inputs[i].values, inputs[i].pixels};
    run_steps(engine, options);
    for (int32_t i = 0; i < engine->n_outputs; i++)
        give_output(&engine->outputs[i], outputs[i]);
    return NW_OK;
}

nw_status nw_engine_run(nw_engine *engine, const nw_input *inputs, float *const *outputs, nw_threads *threads)
{
    return nw_engine_run_with(engine, inputs, outputs, &(nw_run_options){.threads = threads});
}

nw_isa nw_engine_isa(const nw_engine *engine)
{
    return engine->isa;
}

size_t nw_engine_activation_size(const nw_engine *engine)
{
    return engine->activation_size;
}

size_t nw_engine_total_size(const nw_engine *engine)
{
    return engine->total_size;
}

const char *nw_engine_kernel(const nw_engine *engine, int32_t node)
{
    for (int32_t i = 0; i < engine->n_steps; i++)
        if (engine->steps[i].node == node)
            return engine->steps[i].job.kernel;
    return "none";
}
