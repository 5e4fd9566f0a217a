/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine against tests/models/naive.c: every tensor of hundreds of random networks, byte for byte, for every kernel
 * family that this machine runs and 1, 2 and 3 threads. And what a run promises besides: no allocation, no dependence
 * on the caller's floating-point environment, defined results for undefined reals.
 */
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/naive.h"
#include "models/random_graph.h"
#include "runtime/choice.h"
#include "runtime/engine.h"
#include "runtime/fpenv.h"
#include "runtime/hash.h"
#include "runtime/layout.h"
#include "runtime/strips.h"

#define N_THREADS 3
#define MOST_NODES 1000 /* of a random network */

/* ---- counting allocations: the linker sends the library's calls here (--wrap) ---- */

static int n_allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    n_allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    n_allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    n_allocations++;
    return __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    n_allocations++;
    return __real_aligned_alloc(alignment, size);
}

/* ---- one network with inputs and room for outputs ---- */

typedef struct net {
    nw_model *model;
    nw_naive *naive;
    nw_input *inputs;
    float *input_memory, *output_memory;
    float **outputs;
} net;

static net net_of(nw_model *model)
{
    net n = {.model = model, .naive = nw_naive_create(model)};
    assert_true(nw_random_codes(model, (uint64_t)model->n_tensors * 1000 + (uint64_t)model->n_nodes));
    n.inputs = calloc((size_t)model->n_inputs, sizeof(*n.inputs));
    n.outputs = calloc((size_t)model->n_outputs, sizeof(*n.outputs));
    n.input_memory = malloc(nw_elements_of(model, model->inputs, model->n_inputs) * sizeof(float));
    n.output_memory = malloc(nw_elements_of(model, model->outputs, model->n_outputs) * sizeof(float));
    assert_true(n.inputs && n.outputs && n.input_memory && n.output_memory);
    size_t at = 0;
    for (int32_t i = 0; i < model->n_outputs; i++) {
        n.outputs[i] = n.output_memory + at;
        at += nw_tensor_elements(&model->tensors[model->outputs[i]]);
    }
    return n;
}

static net random_net(uint64_t seed, const nw_graph_options *options)
{
    nw_error error = {""};
    nw_model *model = nw_random_graph(seed, options);
    if (nw_model_validate(model, &error))
        fail_msg("seed %llu: %s", (unsigned long long)seed, error.message);
    return net_of(model);
}

static void net_free(net *n)
{
    nw_naive_free(n->naive);
    nw_model_free(n->model);
    free(n->inputs);
    free(n->outputs);
    free(n->input_memory);
    free(n->output_memory);
}

/* ---- comparison of every tensor ---- */

typedef struct comparison {
    const nw_naive *naive;
    const char *what;
    int32_t n_seen;
    bool failed;
} comparison;

static const uint8_t *element(const nw_view *view, size_t i)
{
    const uint8_t *at = view->data;
    for (int32_t d = view->rank - 1; d >= 0; d--) {
        at += (ptrdiff_t)(i % (size_t)view->dims[d]) * view->strides[d];
        i /= (size_t)view->dims[d];
    }
    return at;
}

static void observe(void *context, int32_t node, const nw_view *view)
{
    comparison *c = context;
    const nw_model *model = c->naive->model;
    const nw_tensor *tensor = &model->tensors[model->nodes[node].output];
    const nw_naive_values *expected = &c->naive->tensors[model->nodes[node].output];
    c->n_seen++;
    for (size_t i = 0; i < nw_tensor_elements(tensor) && !c->failed; i++) {
        const uint8_t *got = element(view, i);
        const void *want = expected->codes ? (const void *)&expected->codes[i] : (const void *)&expected->reals[i];
        if (memcmp(got, want, expected->codes ? 1 : sizeof(float)) == 0)
            continue;
        float real = 0.0f;
        if (!expected->codes)
            memcpy(&real, got, sizeof(real));
        print_error("%s: node \"%s\", element %zu: got %d / %g, not %d / %g\n", c->what, model->nodes[node].name, i,
                    *got, (double)real, expected->codes ? expected->codes[i] : 0,
                    expected->codes ? 0.0 : (double)expected->reals[i]);
        c->failed = true;
    }
}

static void check_outputs(const net *n, const char *what)
{
    for (int32_t i = 0; i < n->model->n_outputs; i++) {
        const int32_t t = n->model->outputs[i];
        const size_t size = nw_tensor_elements(&n->model->tensors[t]) * sizeof(float);
        if (memcmp(n->outputs[i], n->naive->tensors[t].reals, size) != 0)
            fail_msg("%s: output %d differs", what, (int)i);
    }
}

static void run_and_compare(const net *n, nw_engine *engine, nw_threads *threads, const char *what)
{
    comparison c = {.naive = n->naive, .what = what};
    memset(n->output_memory, 0xa5, nw_elements_of(n->model, n->model->outputs, n->model->n_outputs) * sizeof(float));
    const nw_run_options options = {.threads = threads, .observer = observe, .context = &c};
    assert_int_equal(nw_engine_run_with(engine, n->inputs, n->outputs, &options), NW_OK);
    if (c.failed)
        fail();
    assert_true(c.n_seen > 0);
    check_outputs(n, what);
}

static nw_engine *engine_of(const nw_model *model, const char *isa)
{
    nw_error error = {""};
    nw_engine *engine = NULL;
    if (nw_engine_create(&engine, model, isa, &error))
        fail_msg("%s", error.message);
    return engine;
}

static nw_engine *engine_with(const nw_model *model, const nw_engine_options *options)
{
    nw_error error = {""};
    nw_engine *engine = NULL;
    if (nw_engine_create_with(&engine, model, options, &error))
        fail_msg("%s", error.message);
    return engine;
}

enum { PLAIN, STORED, FUSED, WINOGRAD, N_KINDS };

/** Of every node: Winograd's convolution wherever it can be, also where it is slower. */
static const nw_choice *winograd_choices(void)
{
    static nw_choice choices[MOST_NODES];
    for (int i = 0; i < MOST_NODES; i++)
        choices[i] = (nw_choice){.arrangement = NW_ARRANGE_WINOGRAD};
    return choices;
}

/** Storage, fusion and choices of the engines that a network is tried with. */
static nw_engine_options kind_of(int kind, uint64_t seed)
{
    nw_engine_options options = {.isa = NULL};
    if (kind == STORED || (kind == FUSED && seed % 4 == 0))
        options.storage = (nw_storage)(NW_STORAGE_PACKED + seed % 3);
    if (kind == FUSED) {
        options.fusion = seed % 5 ? NW_FUSION_FAST : NW_FUSION_SMALL;
        options.fusion_bytes = 1; /* wherever it can be, and in strips of few rows */
        options.fusion_scratch = 1000 + seed % 7 * 1000;
    }
    if (kind == WINOGRAD)
        options.choices = winograd_choices();
    if (kind != PLAIN)
        options.threads = 1 + seed / 3 % 3;
    return options;
}

/** Without an observer: chains may then be shared by threads. */
static void run_alone(const net *n, nw_engine *engine, nw_threads *threads, const char *what)
{
    memset(n->output_memory, 0xa5, nw_elements_of(n->model, n->model->outputs, n->model->n_outputs) * sizeof(float));
    assert_int_equal(nw_engine_run(engine, n->inputs, n->outputs, threads), NW_OK);
    check_outputs(n, what);
}

/**
 * Every available family; two samples on one thread, the second one in pixels where that is possible. Every third
 * network on 2 or 3 threads besides: a team larger than what the machine has free spends its time waiting. Packed,
 * coded or Huffman storage, chains and (every second network) Winograd's convolution in the same way, laid out for 1 to
 * 3 threads whatever the number that runs. Returns how many layers of all engines took that.
 */
static int check_everywhere(const net *n, uint64_t seed, nw_threads **threads)
{
    int n_winograd = 0;
    static const char *const kinds[N_KINDS] = {"", " stored", " fused", " by Winograd"};
    nw_rng rng = {~seed};
    nw_engine *engines[N_KINDS][NW_ISA_COUNT] = {{NULL}};
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int isa = 0; isa < NW_ISA_COUNT; isa++) {
            nw_engine_options options = kind_of(kind, seed);
            options.isa = nw_isa_name((nw_isa)isa);
            if (nw_isa_available((nw_isa)isa) && (kind != WINOGRAD || seed % 2))
                engines[kind][isa] = engine_with(n->model, &options);
        }
    for (int sample = 0; sample < 2; sample++) {
        nw_random_inputs(&rng, n->model, sample == 1, n->inputs, n->input_memory);
        nw_naive_run(n->naive, n->inputs);
        for (int i = 0; i < N_KINDS * NW_ISA_COUNT; i++)
            for (int t = 0; t < N_THREADS && engines[i % N_KINDS][i / N_KINDS]; t++) {
                nw_engine *engine = engines[i % N_KINDS][i / N_KINDS];
                if (t > 0 && (sample == 0 || seed % 3 || t != 1 + (int)(seed % 2)))
                    continue;
                char what[80];
                snprintf(what, sizeof(what), "seed %llu, %s%s, %d threads, sample %d", (unsigned long long)seed,
                         nw_isa_name((nw_isa)(i / N_KINDS)), kinds[i % N_KINDS], t + 1, sample);
                run_and_compare(n, engine, threads[t], what);
                if (i % N_KINDS == FUSED)
                    run_alone(n, engine, threads[t], what);
                nw_threads_rest(threads[t]);
            }
    }
    for (int isa = 0; isa < NW_ISA_COUNT; isa++)
        for (int32_t i = 0; engines[WINOGRAD][isa] && i < n->model->n_nodes; i++)
            n_winograd += !strncmp(nw_engine_kernel(engines[WINOGRAD][isa], i), "winograd", 8);
    for (int i = 0; i < N_KINDS * NW_ISA_COUNT; i++)
        nw_engine_free(engines[i % N_KINDS][i / N_KINDS]);
    return n_winograd;
}

/** How often each operator occurred: a generator that stops making one must not go unnoticed. */
typedef struct census {
    int32_t inner[NW_OP_COUNT]; /* tensors inside chains by who makes them */
    int32_t moving;             /* of these, tensors whose rows take several strips */
    int32_t winograd;           /* layers of engines */
    int32_t ops[NW_OP_COUNT], residuals, points, wraps, depthwise, grouped, reals, pixels, nodes;
} census;

static void count_chains(census *c, const nw_model *model)
{
    nw_layout layout;
    const nw_layout_options options = {
        .fusion = NW_FUSION_FAST, .fusion_bytes = 1, .fusion_scratch = 1000, .lanes = 1};
    assert_int_equal(nw_layout_make(&layout, model, &options, NULL), NW_OK);
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_place *p = &layout.places[model->nodes[i].output];
        c->inner[model->nodes[i].op] += p->inner;
        c->moving +=
            p->inner && layout.strips[i].output.rows < nw_tensor_height(&model->tensors[model->nodes[i].output]);
    }
    nw_layout_free(&layout);
}

static void count(census *c, const nw_model *model)
{
    count_chains(c, model);
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        c->nodes++;
        c->ops[node->op]++;
        c->pixels += node->op == NW_OP_QUANTIZE && node->table;
        if (!node->linear)
            continue;
        c->residuals += nw_node_residual(node) != NW_NONE;
        c->points += node->linear->n_rows > node->linear->n_channels;
        c->wraps += node->linear->accumulator == NW_ACCUMULATOR_16_WRAP;
        c->depthwise += node->groups > 1 && node->groups == node->linear->n_channels;
        c->grouped += node->groups > 1 && node->groups < node->linear->n_channels;
        c->reals += model->tensors[node->output].type == NW_TYPE_F32;
    }
}

static void check_graphs(void **state, uint64_t first, int n, const nw_graph_options *options, census *c)
{
    for (uint64_t seed = first; seed < first + (uint64_t)n; seed++) {
        net made = random_net(seed, options);
        count(c, made.model);
        c->winograd += check_everywhere(&made, seed, *state);
        net_free(&made);
    }
}

static bool has_winograd(void)
{
    nw_kernels kernels;
    nw_kernels_init(&kernels, nw_isa_best());
    return kernels.winograd.run;
}

static void test_branches(void **state)
{
    static const nw_op expected[] = {NW_OP_CONV,    NW_OP_CONV_TRANSPOSE, NW_OP_QUANTIZE,  NW_OP_DEQUANTIZE,
                                     NW_OP_ADD,     NW_OP_MAX_POOL,       NW_OP_AVERAGE_POOL, NW_OP_CONCAT,
                                     NW_OP_SLICE,   NW_OP_PAD,            NW_OP_RESHAPE,   NW_OP_TRANSPOSE,
                                     NW_OP_TABLE,   NW_OP_SUB,            NW_OP_MUL,       NW_OP_DIV,
                                     NW_OP_SIGMOID, NW_OP_EXP,            NW_OP_SOFTMAX,   NW_OP_RESIZE};
    census c = {.nodes = 0};
    check_graphs(state, 1, 240, &(nw_graph_options){.n_nodes = 26, .max_channels = 12, .max_size = 20}, &c);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        if (c.ops[expected[i]] < 20)
            fail_msg("only %d nodes %s", c.ops[expected[i]], nw_op_name(expected[i]));
    assert_true(c.residuals >= 50 && c.points >= 50 && c.wraps >= 50 && c.depthwise >= 50 && c.grouped >= 20);
    assert_true(c.reals >= 50 && c.pixels >= 50);
    assert_true(c.winograd >= 50 || !has_winograd());
    print_message("240 networks, %d nodes\n", c.nodes);
}

static void test_pictures(void **state)
{
    census c = {.nodes = 0};
    const nw_graph_options options = {.n_nodes = 30, .max_channels = 40, .max_size = 32, .pictures_only = true};
    check_graphs(state, 1000, 40, &options, &c);
    print_message("40 networks of pictures, %d nodes\n", c.nodes);
}

/** Above 1024 channels pooling works in slices; above 128 pixels or some thousand weights a layer falls into tiles. */
static void test_many_channels(void **state)
{
    census c = {.nodes = 0};
    check_graphs(state, 2000, 30, &(nw_graph_options){.n_nodes = 20, .max_channels = 1500, .max_size = 3}, &c);
    assert_true(c.winograd >= 5 || !has_winograd());
    print_message("30 networks of many channels, %d nodes\n", c.nodes);
}

static void test_chains(void **state)
{
    census c = {.nodes = 0};
    for (uint64_t seed = 1; seed <= 100; seed++) {
        nw_model *model = nw_random_model(seed, 8);
        assert_non_null(model);
        net n = net_of(model);
        count(&c, model);
        check_everywhere(&n, seed, *state);
        net_free(&n);
    }
    print_message("inner tensors: %d of convolutions, %d of transposed ones, %d of tables, %d of pools, %d of sums\n",
                  (int)c.inner[NW_OP_CONV], (int)c.inner[NW_OP_CONV_TRANSPOSE], (int)c.inner[NW_OP_TABLE],
                  (int)(c.inner[NW_OP_MAX_POOL] + c.inner[NW_OP_AVERAGE_POOL]), (int)c.inner[NW_OP_ADD]);
    assert_true(c.inner[NW_OP_CONV] >= 50 && c.inner[NW_OP_CONV_TRANSPOSE] >= 10 && c.inner[NW_OP_TABLE] >= 20 &&
                c.inner[NW_OP_ADD] >= 5 && c.moving >= 50);
}

/* ---- promises of a run ---- */

static const nw_graph_options mixed = {.n_nodes = 24, .max_channels = 12, .max_size = 20};

static void test_no_allocation(void **state)
{
    nw_threads **threads = *state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        net n = random_net(seed, &mixed);
        nw_rng rng = {seed};
        nw_random_inputs(&rng, n.model, false, n.inputs, n.input_memory);
        const int before_create = n_allocations;
        nw_engine *engine = engine_of(n.model, NULL);
        assert_true(n_allocations > before_create); /* the counter works */
        for (int t = 0; t < N_THREADS; t++) {
            const int before = n_allocations;
            assert_int_equal(nw_engine_run(engine, n.inputs, n.outputs, threads[t]), NW_OK);
            assert_int_equal(n_allocations, before);
            nw_threads_rest(threads[t]);
        }
        nw_engine_free(engine);
        net_free(&n);
    }
}

static void test_engine_size(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++)
        for (int isa = 0; isa < NW_ISA_COUNT; isa++) {
            if (!nw_isa_available((nw_isa)isa))
                continue;
            const char *name = nw_isa_name((nw_isa)isa);
            net n = random_net(seed, &mixed);
            nw_error error = {""};
            size_t size = 0;
            nw_engine *engine = NULL;
            assert_int_equal(nw_engine_size(&size, n.model, name, &error), NW_OK);
            assert_int_equal(size % 64, 0);
            uint8_t *block = aligned_alloc(64, size + 64);
            assert_non_null(block);
            memset(block + size, 0x5a, 64);
            assert_int_equal(nw_engine_init(&engine, n.model, name, block, size - 1, &error), NW_ERROR_USAGE);
            assert_null(engine);
            assert_int_equal(nw_engine_init(&engine, n.model, name, block, size, &error), NW_OK);
            assert_int_equal(nw_engine_total_size(engine), size);
            nw_rng rng = {seed};
            nw_random_inputs(&rng, n.model, false, n.inputs, n.input_memory);
            nw_naive_run(n.naive, n.inputs);
            run_and_compare(&n, engine, NULL, "engine in the caller's block");
            for (size_t i = 0; i < 64; i++)
                assert_int_equal(block[size + i], 0x5a);
            free(block);
            net_free(&n);
        }
}

/** The smallest of some budgets that the network's stored tensors fit into, and the slots of its rows; 0: none. */
static size_t tightest_budget(const nw_model *model, bool words, size_t *slots)
{
    size_t found = 0;
    nw_layout_options options = {.packed = true, .coded = true, .words = words, .lanes = 1};
    nw_layout layout;
    assert_int_equal(nw_layout_make(&layout, model, &options, NULL), NW_OK);
    options.budget = layout.size;
    nw_layout_free(&layout);
    for (; options.budget > 0 && !nw_layout_make(&layout, model, &options, NULL);
         options.budget -= options.budget / 16 + 1) {
        for (int32_t t = 0; t < model->n_tensors; t++)
            slots[t] = layout.places[t].slot_size;
        nw_layout_free(&layout);
        found = options.budget;
    }
    return options.budget > 0 ? found : 0; /* nothing stored fits into nothing */
}

/**
 * Under an arena budget rows lose their low bits: the same ones with every family, storage of lanes and thread count.
 */
static void test_budget(void **state)
{
    nw_threads **threads = *state;
    uint64_t n_dropped[2] = {0, 0};
    int32_t n_tight = 0;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        net n = random_net(seed, &mixed);
        size_t *slots = calloc((size_t)n.model->n_tensors, sizeof(*slots));
        const bool words = seed % 2;
        const nw_storage storage = words ? NW_STORAGE_HUFFMAN : NW_STORAGE_CODED;
        const size_t budget = tightest_budget(n.model, words, slots);
        nw_rng rng = {seed};
        nw_random_inputs(&rng, n.model, false, n.inputs, n.input_memory);
        n.naive->slots = slots;
        n.naive->words = words;
        nw_naive_run(n.naive, n.inputs);
        for (int isa = 0; budget && isa < NW_ISA_COUNT; isa++) {
            if (!nw_isa_available((nw_isa)isa))
                continue;
            const nw_engine_options options = {.isa = nw_isa_name((nw_isa)isa), .storage = storage,
                                               .fusion = (nw_fusion)(isa % 3), /* does nothing under a budget */
                                               .threads = 1 + (seed + (uint64_t)isa) % 3, .arena_budget = budget};
            nw_engine *engine = engine_with(n.model, &options);
            run_and_compare(&n, engine, threads[seed % N_THREADS], "arena budget");
            n_dropped[words] += nw_engine_traffic(engine).rows_dropped;
            nw_engine_free(engine);
        }
        n_tight += budget > 0;
        nw_error error = {""};
        nw_engine *engine = NULL;
        const nw_engine_options small = {.storage = storage, .arena_budget = 1};
        const nw_status status = nw_engine_create_with(&engine, n.model, &small, &error);
        assert_int_equal(status, budget ? NW_GOAL_MISSED : NW_OK);
        nw_engine_free(engine);
        free(slots);
        net_free(&n);
    }
    assert_true(n_tight >= 40 && n_dropped[0] >= 50 && n_dropped[1] >= 50);
    print_message("%d networks under a budget, %d and %d rows dropped\n", (int)n_tight, (int)n_dropped[0],
                  (int)n_dropped[1]);
}

/** The model may go once the engine stands, and engines of one model do not know of each other. */
static void test_two_engines(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        net n = random_net(seed, &mixed);
        nw_model *copy = nw_model_copy(n.model);
        assert_non_null(copy);
        nw_engine *a = engine_of(copy, NULL);
        nw_engine *b = engine_of(copy, NULL);
        nw_model_free(copy);
        nw_rng rng = {seed};
        for (int sample = 0; sample < 3; sample++) {
            nw_random_inputs(&rng, n.model, false, n.inputs, n.input_memory);
            nw_naive_run(n.naive, n.inputs);
            run_and_compare(&n, sample % 2 ? a : b, NULL, "one of two engines");
            run_and_compare(&n, sample % 2 ? b : a, NULL, "the other engine");
        }
        nw_engine_free(a);
        nw_engine_free(b);
        net_free(&n);
    }
}

/** Rounding mode, and on x86 flush-to-zero and denormals-are-zero, as a caller's program may have left them. */
static void set_hostile_environment(int mode)
{
    fesetround(mode);
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040u);
#endif
}

/** Reals half-way between two codes, where the last bit of 1 / scale decides. */
static void draw_halfway_inputs(nw_rng *rng, const net *n)
{
    float *x = n->input_memory;
    for (int32_t i = 0; i < n->model->n_inputs; i++) {
        int32_t node = 0;
        while (n->model->nodes[node].inputs[0] != n->model->inputs[i])
            node++;
        const nw_quant *quant = &n->model->tensors[n->model->nodes[node].output].quant;
        n->inputs[i] = (nw_input){.values = x};
        for (size_t j = nw_tensor_elements(&n->model->tensors[n->model->inputs[i]]); j > 0; j--)
            *x++ = quant->scale * ((float)nw_rng_range(rng, -quant->zero_point, 255) + 0.5f);
    }
}

static void test_environment(void **state)
{
    static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    nw_threads **threads = *state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        net n = random_net(seed, &mixed);
        nw_rng rng = {seed};
        draw_halfway_inputs(&rng, &n);
        nw_naive_run(n.naive, n.inputs);
        fenv_t saved;
        fegetenv(&saved);
        nw_engine *usual = engine_of(n.model, NULL);
        uint64_t hash = 0;
        uint64_t other_hash = 1;
        assert_int_equal(nw_engine_hash(&hash, usual, n.model, 1, NULL, NULL), NW_OK);
        set_hostile_environment(modes[seed % 3]);
        const nw_fpenv hostile = nw_fpenv_enter();
        nw_fpenv_leave(hostile);
        nw_engine *engine = engine_of(n.model, NULL);
        const nw_run_options options = {.threads = threads[seed % N_THREADS]};
        const nw_status status = nw_engine_run_with(engine, n.inputs, n.outputs, &options);
        nw_threads_rest(options.threads);
        const nw_status hashed = nw_engine_hash(&other_hash, engine, n.model, 1, NULL, NULL);
        const nw_fpenv after = nw_fpenv_enter();
        fesetenv(&saved);
        assert_int_equal(status, NW_OK);
        assert_int_equal(hashed, NW_OK);
        assert_int_equal(after, hostile);
        assert_true(hash == other_hash);
        check_outputs(&n, "hostile environment");
        nw_engine_free(usual);
        nw_engine_free(engine);
        net_free(&n);
    }
}

/** NaN becomes lo; infinities and huge reals saturate; -0 and subnormals are z. */
static void test_special_inputs(void **state)
{
    (void)state;
    static const float special[] = {NAN, -NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, -0.0f, 1e-42f};
    nw_model *model = nw_model_create();
    const int32_t dims[4] = {1, 3, 1, 8};
    const int32_t x = nw_model_add_tensor(model, "x", NW_TYPE_F32, 4, dims);
    const int32_t q = nw_model_add_tensor(model, "q", NW_TYPE_U8, 4, dims);
    const int32_t y = nw_model_add_tensor(model, "y", NW_TYPE_F32, 4, dims);
    nw_quant *quant = &model->tensors[q].quant;
    assert_int_equal(nw_tensor_alloc_quant(&model->tensors[q]), NW_OK);
    quant->bits = 8;
    quant->zero_point = 128;
    quant->scale = 0.5f;
    const float lo[3] = {-128.0f, -7.0f, 0.0f}, hi[3] = {127.0f, 0.0f, 31.0f};
    for (int c = 0; c < 3; c++) {
        quant->lo[c] = lo[c];
        quant->hi[c] = hi[c];
        quant->shift[c] = c == 2 ? 2 : 0;
    }
    nw_node *node = nw_model_add_node(model, NW_OP_QUANTIZE, "in", 1);
    node->inputs[0] = x;
    node->output = q;
    node = nw_model_add_node(model, NW_OP_DEQUANTIZE, "out", 1);
    node->inputs[0] = q;
    node->output = y;
    model->inputs = malloc(sizeof(int32_t));
    model->outputs = malloc(sizeof(int32_t));
    model->inputs[0] = x;
    model->outputs[0] = y;
    model->n_inputs = model->n_outputs = 1;
    assert_int_equal(nw_model_validate(model, NULL), NW_OK);
    net n = net_of(model);
    for (int i = 0; i < 24; i++)
        n.input_memory[i] = special[i % 8];
    n.inputs[0].values = n.input_memory;
    nw_naive_run(n.naive, n.inputs);
    nw_engine *engine = engine_of(model, NULL);
    run_and_compare(&n, engine, NULL, "special inputs");
    for (int c = 0; c < 3; c++) {
        const float step = c == 2 ? 2.0f : 0.5f;
        const float expected[8] = {lo[c], lo[c], hi[c], lo[c], hi[c], lo[c], 0.0f, 0.0f};
        for (int i = 0; i < 8; i++)
            assert_true(n.outputs[0][8 * c + i] == step * expected[i]);
    }
    nw_engine_free(engine);
    net_free(&n);
}

static void test_wrong_inputs(void **state)
{
    (void)state;
    net n = random_net(3, &mixed);
    nw_engine *engine = engine_of(n.model, NULL);
    for (int32_t i = 0; i < n.model->n_inputs; i++)
        n.inputs[i] = (nw_input){0};
    n.output_memory[0] = 42.0f;
    assert_int_equal(nw_engine_run(engine, n.inputs, n.outputs, NULL), NW_ERROR_USAGE);
    for (int32_t i = 0; i < n.model->n_inputs; i++)
        n.inputs[i] = (nw_input){n.input_memory, (const uint8_t *)n.input_memory};
    assert_int_equal(nw_engine_run(engine, n.inputs, n.outputs, NULL), NW_ERROR_USAGE);
    assert_true(n.output_memory[0] == 42.0f);
    nw_engine_free(engine);
    nw_error error = {""};
    size_t size;
    assert_int_equal(nw_engine_size(&size, n.model, "no such family", &error), NW_ERROR_USAGE);
    assert_true(error.message[0] != '\0');
    net_free(&n);
}

static int make_threads(void **state)
{
    static nw_threads *threads[N_THREADS];
    for (size_t t = 1; t < N_THREADS; t++)
        threads[t] = nw_threads_create(t + 1);
    *state = threads;
    return threads[1] && threads[2] ? 0 : -1;
}

static int free_threads(void **state)
{
    nw_threads **threads = *state;
    for (int t = 1; t < N_THREADS; t++)
        nw_threads_free(threads[t]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* test_engine '*chains' */
    for (int isa = 0; isa < NW_ISA_COUNT; isa++)
        if (!nw_isa_available((nw_isa)isa))
            print_message("SKIP: this machine cannot run %s\n", nw_isa_name((nw_isa)isa));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_inputs), cmocka_unit_test(test_wrong_inputs),  cmocka_unit_test(test_engine_size),
        cmocka_unit_test(test_no_allocation),  cmocka_unit_test(test_budget),        cmocka_unit_test(test_two_engines),
        cmocka_unit_test(test_environment),    cmocka_unit_test(test_chains),        cmocka_unit_test(test_branches),
        cmocka_unit_test(test_pictures),       cmocka_unit_test(test_many_channels),
    };
    return cmocka_run_group_tests(tests, make_threads, free_threads);
}
