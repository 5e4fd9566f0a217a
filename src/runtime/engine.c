/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See engine.h and include/narrow/narrow.h. An engine's block, from the bottom:
 *
 *     | nw_engine | slots | activations (layout.h) | steps | views | packed weights, parameters, states of the jobs |
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
#include "runtime/block.h"
#include "runtime/fpenv.h"
#include "runtime/layout.h"
#include "runtime/steps.h"
#include "runtime/threads.h"

#define UNASKED_LANES 4 /* threads for whom there is scratch if nobody says how many will run */
#define MOST_LANES 256 /* more threads than that rest */

struct nw_engine {
    nw_isa isa;
    size_t activation_size, total_size;
    nw_input_slot *slots;
    int32_t n_inputs, n_outputs, n_steps, n_nodes;
    const bool *takes_pixels; /* [n_inputs] */
    nw_step *steps;
    const nw_view *outputs;   /* [n_outputs] data NULL: goes to the caller by rows */
    const nw_view *node_view; /* [n_nodes] data NULL: stored, or an output without data */
    nw_storage storage;
    float **caller;             /* [n_outputs] the caller's arrays of this run */
    const nw_picture *pictures; /* [n_nodes] the stored outputs of nodes; NULL without packed storage */
    uint8_t **observed;         /* [n_nodes] room for outputs inside chains while somebody looks, or NULL */
    const size_t *inner_size;   /* [n_nodes] bytes of these outputs; 0: not inside a chain */
    const nw_job *node_jobs;    /* [n_nodes] for questions: the first job; kernel NULL: none */
    const int32_t *node_caller; /* [n_nodes] output of the network that goes to the caller, or NW_NONE */
    const nw_kernels *kernels;
    nw_coding_clock *clock;
    int32_t lanes;
    uint64_t n_runs;
    nw_traffic traffic; /* what is known before a run */
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
    int32_t *node_caller = nw_arena_take(arena, (size_t)model->n_nodes * sizeof(*node_caller));
    bool *takes_pixels = nw_arena_take(arena, (size_t)model->n_inputs * sizeof(*takes_pixels));
    if (!engine)
        return;
    for (int32_t i = 0; i < model->n_outputs; i++)
        outputs[i] = nw_layout_view(layout, model, model->outputs[i], activations);
    for (int32_t i = 0; i < model->n_nodes; i++) {
        node_view[i] = nw_layout_view(layout, model, model->nodes[i].output, activations);
        node_caller[i] = layout->places[model->nodes[i].output].caller;
    }
    for (int32_t i = 0; i < model->n_inputs; i++)
        takes_pixels[i] = has_pixel_tables(model, i);
    engine->outputs = outputs;
    engine->node_view = node_view;
    engine->node_caller = node_caller;
    engine->takes_pixels = takes_pixels;
}

/** Rooms for what happens inside chains, and bytes of it. */
static uint8_t **take_rooms(nw_engine *engine, const nw_model *model, const nw_layout *layout, nw_arena *arena)
{
    uint8_t **observed = nw_arena_take(arena, (size_t)model->n_nodes * sizeof(*observed));
    size_t *inner_size = nw_arena_take(arena, (size_t)model->n_nodes * sizeof(*inner_size));
    for (int32_t i = 0; engine && i < model->n_nodes; i++) {
        const int32_t t = model->nodes[i].output;
        observed[i] = NULL;
        inner_size[i] = layout->places[t].inner ? nw_tensor_elements(&model->tensors[t]) : 0;
    }
    if (engine) {
        engine->observed = observed;
        engine->inner_size = inner_size;
    }
    return observed;
}

/** What observers need to see stored tensors. */
static void take_pictures(nw_engine *engine, const nw_builder *b)
{
    const nw_model *model = b->model;
    nw_picture *pictures = nw_arena_take(b->arena, (size_t)model->n_nodes * sizeof(*pictures));
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_picture picture = nw_picture_of(b, model->nodes[i].output);
        if (!engine)
            continue;
        pictures[i] = picture;
    }
    if (!engine)
        return;
    engine->pictures = pictures;
}

/** What nodes read and write in bytes; stored tensors are counted while they run. */
static nw_traffic count_traffic(const nw_layout *layout, const nw_model *model)
{
    nw_traffic traffic = {.stored_size = layout->stored_size,
                          .stored_full = layout->stored_full,
                          .stored_least = layout->stored_least};
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_node *node = &model->nodes[n];
        traffic.n_fused += layout->places[node->output].inner;
        traffic.n_stored += layout->places[node->output].stored && !layout->places[node->output].joined;
        for (int32_t i = -1; i < node->n_inputs; i++) {
            const int32_t t = i < 0 ? node->output : node->inputs[i];
            if (t == NW_NONE || layout->places[t].root == NW_NONE || layout->places[t].stored ||
                layout->places[t].inner)
                continue;
            const size_t element = model->tensors[t].type == NW_TYPE_F32 ? sizeof(float) : 1;
            traffic.moved += (uint64_t)nw_tensor_elements(&model->tensors[t]) * element;
        }
    }
    return traffic;
}

/** The model's prefix codes, ready to be used; NULL while counting. */
static const nw_symbols *take_symbols(const nw_model *model, nw_arena *arena)
{
    nw_symbols *symbols = nw_arena_take(arena, (size_t)model->n_symbol_codes * sizeof(*symbols));
    for (int32_t i = 0; symbols && i < model->n_symbol_codes; i++)
        nw_symbols_init(&symbols[i], model->symbol_codes[i].lengths, model->symbol_codes[i].bits);
    return symbols;
}

/** What is known before the block is laid out. */
typedef struct plan {
    nw_layout layout;
    nw_isa isa;
    nw_storage storage;
    const nw_choice *choices;
    int32_t lanes;
    int32_t n_steps;
    bool direct;
    int32_t scratch_lanes;
    size_t scratch; /* of jobs */
    size_t size;    /* of the block */
} plan;

/** Lays the block out (arena->base NULL: only counts; p->n_steps and p->scratch are then outputs, else inputs). */
static nw_status lay_out(nw_engine **out, plan *p, const nw_model *model, nw_arena *arena, nw_error *error)
{
    const nw_layout *layout = &p->layout;
    nw_kernels kernels;
    nw_kernels_init(&kernels, p->isa);
    nw_engine *engine = nw_arena_take(arena, sizeof(*engine));
    nw_input_slot *slots = nw_arena_take(arena, (size_t)model->n_inputs * sizeof(*slots));
    float **caller = nw_arena_take(arena, (size_t)model->n_outputs * sizeof(*caller));
    nw_coding_clock *clock = nw_arena_take(arena, sizeof(*clock));
    nw_coding_count *lanes = nw_arena_take(arena, (size_t)p->lanes * sizeof(*lanes));
    const nw_kernels *kept = nw_arena_copy(arena, &kernels, sizeof(kernels), 0);
    uint8_t *activations = nw_arena_take(arena, layout->size + NW_OVERREAD);
    nw_step *steps = nw_arena_take(arena, (size_t)p->n_steps * sizeof(*steps));
    uint8_t *scratch = nw_arena_take(arena, p->scratch);
    if (activations)
        memset(activations, 0, layout->size + NW_OVERREAD);
    if (engine) {
        memset(slots, 0, (size_t)model->n_inputs * sizeof(*slots));
        *engine = (nw_engine){
            .isa = p->isa,
            .activation_size = layout->size,
            .slots = slots,
            .n_inputs = model->n_inputs,
            .n_outputs = model->n_outputs,
            .n_nodes = model->n_nodes,
            .steps = steps,
            .storage = p->storage,
            .caller = caller,
            .kernels = kept,
            .clock = clock,
            .lanes = p->lanes,
            .traffic = count_traffic(layout, model),
        };
        *clock = (nw_coding_clock){.lanes = lanes};
        memset(lanes, 0, (size_t)p->lanes * sizeof(*lanes));
    }
    take_views(engine, model, layout, activations, arena);
    nw_job *node_jobs = nw_arena_take(arena, (size_t)model->n_nodes * sizeof(*node_jobs));
    if (engine) {
        memset(node_jobs, 0, (size_t)model->n_nodes * sizeof(*node_jobs));
        engine->node_jobs = node_jobs;
    }
    nw_builder builder = {
        .model = model,
        .layout = layout,
        .kernels = kept ? kept : &kernels,
        .choices = p->choices,
        .arena = arena,
        .activations = activations,
        .slots = slots,
        .outputs = caller,
        .clock = clock,
        .symbols = layout->words ? take_symbols(model, arena) : NULL,
        .observed = take_rooms(engine, model, layout, arena),
        .node_jobs = node_jobs,
        .direct = p->direct,
        .scratch = {.base = scratch, .lanes = p->scratch_lanes},
        .steps = steps,
    };
    if (p->storage != NW_STORAGE_BYTES)
        take_pictures(engine, &builder);
    NW_TRY(nw_steps_build(&builder, error));
    p->n_steps = builder.n_steps;
    p->scratch = builder.scratch.needed;
    if (engine) {
        engine->n_steps = builder.n_steps;
        engine->total_size = arena->used;
        *out = engine;
    }
    return NW_OK;
}

/** Size of the block, number of steps and all the rest. On success the caller frees the layout. */
static nw_status measure(plan *p, const nw_model *model, const nw_engine_options *options, nw_error *error)
{
    *p = (plan){.storage = options ? options->storage : NW_STORAGE_BYTES, .lanes = 1};
    if (options) {
        p->choices = options->choices;
        p->direct = options->direct || options->storage != NW_STORAGE_BYTES || options->fusion == NW_FUSION_SMALL;
    }
    if (options && options->threads)
        p->lanes = options->threads < MOST_LANES ? (int32_t)options->threads : MOST_LANES;
    p->scratch_lanes = options && options->threads ? p->lanes : nw_min32(nw_threads_processors(), UNASKED_LANES);
    const nw_layout_options layout_options = {.packed = p->storage != NW_STORAGE_BYTES,
                                              .coded = p->storage >= NW_STORAGE_CODED,
                                              .words = p->storage == NW_STORAGE_HUFFMAN,
                                              .budget = options ? options->arena_budget : 0,
                                              .fusion = options ? options->fusion : NW_FUSION_NONE,
                                              .fusion_bytes = options ? options->fusion_bytes : 0,
                                              .fusion_scratch = options ? options->fusion_scratch : 0,
                                              .lanes = p->lanes};
    const char *isa = options ? options->isa : NULL;
    NW_TRY(nw_isa_choose(&p->isa, isa ? isa : getenv("NARROW_ISA"), error));
    NW_TRY(check_outputs(model, error));
    if (p->storage == NW_STORAGE_HUFFMAN && !model->n_symbol_codes)
        return nw_fail(error, NW_ERROR_USAGE,
                       "the network has no codes for stored activations: quantize it with --act-codes");
    NW_TRY(nw_layout_make(&p->layout, model, &layout_options, error));
    nw_arena counting = {0};
    const nw_status status = lay_out(NULL, p, model, &counting, error);
    if (status) {
        nw_layout_free(&p->layout);
        return status;
    }
    p->size = counting.used + nw_align((size_t)p->n_steps * sizeof(nw_step), NW_ARENA_ALIGNMENT) +
              nw_align(p->scratch, NW_ARENA_ALIGNMENT);
    return NW_OK;
}

nw_status nw_engine_size_with(size_t *size, const nw_model *model, const nw_engine_options *options, nw_error *error)
{
    plan p;
    NW_TRY(measure(&p, model, options, error));
    nw_layout_free(&p.layout);
    *size = p.size;
    return NW_OK;
}

/** nw_engine_init_with in the floating-point environment of a run: packing computes reals too, such as 1 / scale. */
static nw_status init(nw_engine **out, const nw_model *model, const nw_engine_options *options, void *block,
                      size_t size, nw_error *error)
{
    plan p;
    NW_TRY(measure(&p, model, options, error));
    nw_status status = NW_OK;
    if (size < p.size) {
        status = nw_fail(error, NW_ERROR_USAGE, "the engine needs a block of %zu bytes, not %zu", p.size, size);
    } else {
        nw_arena arena = {.base = block};
        status = lay_out(out, &p, model, &arena, error);
    }
    nw_layout_free(&p.layout);
    return status;
}

nw_status nw_engine_init_with(nw_engine **out, const nw_model *model, const nw_engine_options *options, void *block,
                              size_t size, nw_error *error)
{
    const nw_fpenv saved = nw_fpenv_enter();
    const nw_status status = init(out, model, options, block, size, error);
    nw_fpenv_leave(saved);
    return status;
}

/** Measured once and laid out: packing, which finding the size does too, takes most of the time. */
static nw_status create(nw_engine **out, const nw_model *model, const nw_engine_options *options, nw_error *error)
{
    plan p;
    NW_TRY(measure(&p, model, options, error));
    void *block = nw_block_create(p.size);
    nw_arena arena = {.base = block};
    const nw_status status =
        block ? lay_out(out, &p, model, &arena, error) : nw_fail_memory(error, "building the engine");
    nw_layout_free(&p.layout);
    if (status)
        free(block);
    return status;
}

nw_status nw_engine_create_with(nw_engine **out, const nw_model *model, const nw_engine_options *options,
                                nw_error *error)
{
    const nw_fpenv saved = nw_fpenv_enter();
    const nw_status status = create(out, model, options, error);
    nw_fpenv_leave(saved);
    return status;
}

nw_status nw_engine_size(size_t *size, const nw_model *model, const char *isa, nw_error *error)
{
    return nw_engine_size_with(size, model, &(nw_engine_options){.isa = isa}, error);
}

nw_status nw_engine_init(nw_engine **out, const nw_model *model, const char *isa, void *block, size_t size,
                         nw_error *error)
{
    return nw_engine_init_with(out, model, &(nw_engine_options){.isa = isa}, block, size, error);
}

nw_status nw_engine_create(nw_engine **out, const nw_model *model, const char *isa, nw_error *error)
{
    return nw_engine_create_with(out, model, &(nw_engine_options){.isa = isa}, error);
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
static void give_output(const nw_view *from, float *to, const nw_kernels *kernels)
{
    nw_view view = *from;
    view.data = (uint8_t *)to;
    ptrdiff_t stride = sizeof(float);
    for (int32_t i = view.rank - 1; i >= 0; i--) {
        view.strides[i] = stride;
        stride *= view.dims[i];
    }
    nw_copy_run(&view, from, kernels);
}

static bool accepts(const nw_engine *engine, const nw_input *inputs)
{
    for (int32_t i = 0; i < engine->n_inputs; i++)
        if (!inputs[i].values == !inputs[i].pixels || (inputs[i].pixels && !engine->takes_pixels[i]))
            return false;
    return true;
}

/** Bytes of the largest stored tensor and of what unpacking it needs. */
static size_t observed_size(const nw_engine *engine)
{
    size_t largest = 0;
    for (int32_t i = 0; engine->pictures && i < engine->n_nodes; i++) {
        const nw_picture *p = &engine->pictures[i];
        size_t temporary = 0; /* what unpacking a row needs */
        for (int32_t j = 0; j < p->n_parts; j++) {
            const size_t size = nw_coded_temporary(&p->parts[j].form.stored, engine->storage == NW_STORAGE_HUFFMAN);
            temporary = size > temporary ? size : temporary;
        }
        const size_t size = (size_t)p->height * (size_t)p->width * (size_t)p->channels + temporary + NW_OVERREAD;
        if (p->n_parts && size > largest)
            largest = size;
    }
    return largest;
}

/** A picture of bytes without halo. */
static nw_view packed_view(const nw_view *of, uint8_t *bytes)
{
    nw_view view = *of;
    view.data = bytes;
    view.strides[1] = 1;
    view.strides[2] = (ptrdiff_t)view.dims[3] * view.dims[1];
    view.strides[3] = view.dims[1];
    return view;
}

/** The output of node n as bytes: where it lies, or unpacked to `bytes`, or in the caller's array. */
static nw_view view_of_node(const nw_engine *engine, int32_t n, uint8_t *bytes)
{
    nw_view view = engine->node_view[n];
    if (view.data)
        return view;
    if (engine->node_caller[n] != NW_NONE) { /* the view is row-major already */
        view.data = (uint8_t *)engine->caller[engine->node_caller[n]];
        return view;
    }
    if (engine->observed[n])
        return packed_view(&view, engine->observed[n]);
    const nw_picture *p = &engine->pictures[n];
    const size_t row = (size_t)p->width * (size_t)p->channels;
    for (int32_t y = 0; y < p->height; y++)
        nw_picture_row(p, engine->kernels, y, bytes + (size_t)y * row, bytes + (size_t)p->height * row);
    return packed_view(&view, bytes);
}

static void run_step(const nw_step *step, const nw_run_options *options)
{
    const uint64_t start = options->node_nanoseconds ? nanoseconds() : 0;
    nw_halo_fill(&step->halo);
    nw_threads_run(options->threads, &step->job);
    if (options->node_nanoseconds)
        options->node_nanoseconds[step->node] += nanoseconds() - start;
}

/** Bytes of the outputs inside the chain with most of them. */
static size_t chain_size(const nw_engine *engine)
{
    size_t most = 0;
    size_t size = 0;
    for (int32_t n = 0; n < engine->n_nodes; n++) {
        size = engine->inner_size[n] ? size + engine->inner_size[n] : 0;
        most = size > most ? size : most;
    }
    return most;
}

/** Gives the inner outputs of the chain that begins with node n their room; returns its last node. */
static int32_t open_rooms(nw_engine *engine, int32_t n, uint8_t *room)
{
    for (; engine->inner_size[n]; room += engine->inner_size[n++])
        engine->observed[n] = room;
    return n;
}

/**
 * Nodes without work of their own are observed too: what is seen must not depend on where tensors lie. Nodes of a chain
 * are observed behind it.
 *
 * @param observed  room for a stored tensor, then for the inner tensors of a chain
 */
static void run_observed(nw_engine *engine, const nw_run_options *options, uint8_t *observed)
{
    const size_t size = observed_size(engine);
    nw_run_options alone = *options; /* else lanes of a chain would show the same rows of inner tensors at the same
                                        time */
    alone.threads = NULL;
    int32_t step = 0;
    for (int32_t n = 0; n < engine->n_nodes;) {
        const int32_t last = open_rooms(engine, n, observed + size);
        for (; step < engine->n_steps && engine->steps[step].node == last; step++)
            run_step(&engine->steps[step], last > n ? &alone : options);
        for (; n <= last; n++) {
            const nw_view view = view_of_node(engine, n, observed);
            options->observer(options->context, n, &view);
            engine->observed[n] = NULL;
        }
    }
}

static void run_steps(nw_engine *engine, const nw_run_options *options, uint8_t *observed)
{
    if (options->observer) {
        run_observed(engine, options, observed);
        return;
    }
    for (int32_t step = 0; step < engine->n_steps; step++)
        run_step(&engine->steps[step], options);
}

nw_status nw_engine_run_with(nw_engine *engine, const nw_input *inputs, float *const *outputs,
                             const nw_run_options *options)
{
    if (!accepts(engine, inputs))
        return NW_ERROR_USAGE;
    const size_t size = options->observer ? observed_size(engine) : 0;
    const size_t inner_size = options->observer ? chain_size(engine) : 0;
    uint8_t *observed = size + inner_size ? malloc(size + inner_size) : NULL;
    if (size + inner_size && !observed)
        return NW_ERROR_MEMORY;
    for (int32_t i = 0; i < engine->n_inputs; i++)
        engine->slots[i] = (nw_input_slot){inputs[i].values, inputs[i].pixels};
    for (int32_t i = 0; i < engine->n_outputs; i++)
        engine->caller[i] = outputs[i];
    engine->clock->on = options->coding_nanoseconds != NULL;
    for (int32_t i = 0; i < engine->lanes; i++)
        engine->clock->lanes[i].nanoseconds = 0;
    engine->n_runs++;
    run_steps(engine, options, observed);
    for (int32_t i = 0; options->coding_nanoseconds && i < engine->lanes; i++)
        *options->coding_nanoseconds += engine->clock->lanes[i].nanoseconds;
    for (int32_t i = 0; i < engine->n_outputs; i++)
        if (engine->outputs[i].data)
            give_output(&engine->outputs[i], outputs[i], engine->kernels);
    free(observed);
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

nw_traffic nw_engine_traffic(const nw_engine *engine)
{
    nw_traffic traffic = engine->traffic;
    uint64_t moved = 0;
    uint64_t bytes = 0;
    for (int32_t i = 0; i < engine->lanes; i++) {
        const nw_coding_count *lane = &engine->clock->lanes[i];
        moved += lane->bytes_read + lane->bytes_written;
        bytes += lane->bytes_written;
        traffic.values += lane->values;
        traffic.rows += lane->rows;
        traffic.rows_dropped += lane->rows_dropped;
    }
    traffic.stored_bits = 8 * bytes;
    traffic.moved += engine->n_runs ? moved / engine->n_runs : 0;
    return traffic;
}

const char *nw_engine_kernel(const nw_engine *engine, int32_t node)
{
    const char *kernel = engine->node_jobs[node].kernel;
    return kernel ? kernel : "none";
}

bool nw_engine_count_runs(const nw_engine *engine, int32_t node, nw_run_counts *counts)
{
    const nw_job *job = &engine->node_jobs[node];
    if (!job->count_runs)
        return false;
    *counts = (nw_run_counts){0};
    job->count_runs(job->state, counts);
    return true;
}
