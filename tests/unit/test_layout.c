/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where activations lie: buffers that live at the same time never share a byte, what a node still has to read survives
 * anything done to the rest of the arena, halos hold the zero point when a window looks at them, and concats get their
 * inputs without a copy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "models/naive.h"
#include "models/random_graph.h"
#include "runtime/engine.h"
#include "runtime/layout.h"
#include "runtime/strips.h"

#define N_GRAPHS 150

static const nw_graph_options mixed = {.n_nodes = 24, .max_channels = 12, .max_size = 20};
static const nw_graph_options pictures = {.n_nodes = 30, .max_channels = 12, .max_size = 16, .pictures_only = true};

static nw_model *graph(uint64_t seed)
{
    return nw_random_graph(seed, seed % 2 ? &mixed : &pictures);
}

static nw_layout layout_of(const nw_model *model)
{
    nw_layout layout;
    nw_error error = {""};
    if (nw_layout_make(&layout, model, NULL, &error))
        fail_msg("%s", error.message);
    return layout;
}

/** Whether a tensor has been computed when node n is done, and is still to be read by a later one or by the caller. */
static bool needed_after(const nw_model *model, int32_t t, int32_t n)
{
    const int32_t producer = nw_model_producer(model, t);
    if (producer == NW_NONE || producer > n)
        return false;
    for (int32_t i = 0; i < model->n_outputs; i++)
        if (model->outputs[i] == t)
            return true;
    for (int32_t i = n + 1; i < model->n_nodes; i++)
        for (int32_t j = 0; j < model->nodes[i].n_inputs; j++)
            if (model->nodes[i].inputs[j] == t)
                return true;
    return false;
}

/** Whether a tensor lies in the caller's array, outside the arena. */
static bool with_caller(const nw_layout *layout, int32_t t)
{
    return layout->places[t].caller != NW_NONE;
}

/** Calls `visit` with the offset of every byte of the tensor's elements. */
static void each_byte(const nw_layout *layout, const nw_model *model, int32_t t, void (*visit)(void *, size_t),
                      void *context)
{
    static uint8_t origin;
    if (with_caller(layout, t))
        return;
    const nw_view view = nw_layout_view(layout, model, t, &origin);
    const size_t n = nw_tensor_elements(&model->tensors[t]);
    for (size_t i = 0; i < n; i++) {
        size_t rest = i;
        ptrdiff_t at = (ptrdiff_t)((uintptr_t)view.data - (uintptr_t)&origin);
        for (int32_t d = view.rank - 1; d >= 0; d--) {
            at += (ptrdiff_t)(rest % (size_t)view.dims[d]) * view.strides[d];
            rest /= (size_t)view.dims[d];
        }
        for (int32_t b = 0; b < view.element_size; b++)
            visit(context, (size_t)(at + b));
    }
}

/* ---- painting ---- */

typedef struct canvas {
    int32_t *owner; /* [layout.size] tensor that painted a byte, or NW_NONE */
    size_t size;
    int32_t tensor;
    int32_t clashes;
    const nw_model *model;
} canvas;

/**
 * The tensor whose values t holds under another shape: reshapes of one pixel, and those that cut axes, move nothing.
 */
static int32_t original(const nw_model *model, int32_t t)
{
    const nw_node *node = &model->nodes[nw_model_producer(model, t)];
    const nw_tensor *x = &model->tensors[node->inputs[0]];
    const bool one_pixel = nw_tensor_elements(x) == (size_t)nw_tensor_channels(x) &&
                           nw_tensor_channels(x) == nw_tensor_channels(&model->tensors[t]);
    const bool cut = x->rank > 4 || model->tensors[t].rank > 4;
    return node->op == NW_OP_RESHAPE && (one_pixel || cut) ? original(model, node->inputs[0]) : t;
}

/** Whether `part` is `whole` or went into it through concats alone. */
static bool contains(const nw_model *model, int32_t whole, int32_t part)
{
    const int32_t t = original(model, whole);
    const nw_node *node = &model->nodes[nw_model_producer(model, t)];
    bool found = t == original(model, part);
    for (int32_t i = 0; i < node->n_inputs && node->op == NW_OP_CONCAT && !found; i++)
        found = contains(model, node->inputs[i], part);
    return found;
}

static void paint(void *context, size_t at)
{
    canvas *c = context;
    assert_true(at < c->size);
    const int32_t before = c->owner[at];
    c->clashes += before != NW_NONE && !contains(c->model, c->tensor, before) &&
                  !contains(c->model, before, c->tensor);
    c->owner[at] = c->tensor;
}

static void test_lifetimes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_GRAPHS; seed++) {
        nw_model *model = graph(seed);
        nw_layout layout = layout_of(model);
        canvas c = {.owner = malloc((layout.size + 1) * sizeof(int32_t)), .size = layout.size, .model = model};
        assert_non_null(c.owner);
        for (int32_t n = 0; n < model->n_nodes; n++) {
            memset(c.owner, 0xff, layout.size * sizeof(int32_t)); /* NW_NONE */
            for (c.tensor = 0; c.tensor < model->n_tensors; c.tensor++)
                if (needed_after(model, c.tensor, n - 1) || model->nodes[n].output == c.tensor)
                    each_byte(&layout, model, c.tensor, paint, &c);
            assert_int_equal(c.clashes, 0);
        }
        free(c.owner);
        nw_layout_free(&layout);
        nw_model_free(model);
    }
}

/** Whole buffers, halos and over-read included. */
static void test_buffers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_GRAPHS; seed++) {
        nw_model *model = graph(seed);
        nw_layout layout = layout_of(model);
        for (int32_t a = 0; a < model->n_tensors; a++) {
            const nw_place *p = &layout.places[a];
            if (p->root != a || with_caller(&layout, a))
                continue;
            assert_int_equal(p->offset % NW_ALIGNMENT, 0);
            assert_true(p->offset + p->size <= layout.size);
            const int32_t element = model->tensors[a].type == NW_TYPE_F32 ? 4 : 1;
            assert_true(p->size >= nw_tensor_elements(&model->tensors[a]) * (size_t)element + NW_OVERREAD);
            for (int32_t b = 0; b < a; b++) {
                const nw_place *q = &layout.places[b];
                const bool meet = p->first <= q->last && q->first <= p->last;
                if (q->root == b && meet && !with_caller(&layout, b))
                    assert_true(p->offset + p->size <= q->offset || q->offset + q->size <= p->offset);
            }
        }
        nw_layout_free(&layout);
        nw_model_free(model);
    }
}

/** Inputs lie inside the output at their channels, unless they already lie somewhere else. */
static void test_concats(void **state)
{
    (void)state;
    int32_t n_inside = 0;
    int32_t n_inputs = 0;
    for (uint64_t seed = 1; seed <= N_GRAPHS; seed++) {
        nw_model *model = graph(seed);
        nw_layout layout = layout_of(model);
        for (int32_t n = 0; n < model->n_nodes; n++) {
            const nw_node *node = &model->nodes[n];
            const nw_place *whole = &layout.places[node->output];
            if (node->op != NW_OP_CONCAT || node->axis != 1 || model->tensors[node->output].rank != 4)
                continue;
            int32_t channel = whole->channel_offset;
            for (int32_t i = 0; i < node->n_inputs; i++) {
                const nw_place *p = &layout.places[node->inputs[i]];
                n_inputs++;
                n_inside += p->root == whole->root && p->channel_offset == channel;
                assert_true(p->root == NW_NONE || p->root != node->inputs[i]); /* no free input was left outside */
                channel += nw_tensor_channels(&model->tensors[node->inputs[i]]);
            }
        }
        nw_layout_free(&layout);
        nw_model_free(model);
    }
    print_message("%d of %d concat inputs lie inside\n", n_inside, n_inputs);
    assert_true(n_inside > n_inputs / 4);
}

/* ---- an engine whose memory is spoiled behind its back ---- */

typedef struct spoiler {
    const nw_model *model;
    const nw_layout *layout;
    const nw_naive *naive;
    uint8_t *keep; /* [layout.size] */
    nw_rng rng;
    bool spoil;
    int32_t n_halo_bytes, n_wrong_halo, n_spoiled, n_with_caller;
} spoiler;

static void keep_byte(void *context, size_t at)
{
    ((uint8_t *)context)[at] = 1;
}

/** The halo of a root that has been started and is still needed: everything around the picture, all channels. */
static void keep_halo(const spoiler *s, int32_t root)
{
    const nw_place *p = &s->layout->places[root];
    const nw_tensor *t = &s->model->tensors[root];
    const size_t pixel = (size_t)nw_tensor_channels(t);
    const int32_t columns = p->halo[1] + nw_tensor_width(t) + p->halo[3];
    const int32_t rows = p->halo[0] + nw_tensor_height(t) + p->halo[2];
    for (int32_t y = 0; y < rows; y++)
        for (int32_t x = 0; x < columns; x++) {
            const bool in_picture = y >= p->halo[0] && y < p->halo[0] + nw_tensor_height(t) && x >= p->halo[1] &&
                                    x < p->halo[1] + nw_tensor_width(t);
            if (!in_picture)
                memset(s->keep + p->offset + (size_t)(y * columns + x) * pixel, 1, pixel);
        }
}

/** Random bytes wherever nothing is that a later node may read. */
static void spoil(spoiler *s, uint8_t *base, int32_t n)
{
    memset(s->keep, 0, s->layout->size);
    for (int32_t t = 0; t < s->model->n_tensors; t++) {
        if (!needed_after(s->model, t, n))
            continue;
        const int32_t root = s->layout->places[t].root;
        each_byte(s->layout, s->model, t, keep_byte, s->keep);
        if (s->model->tensors[root].type == NW_TYPE_U8)
            keep_halo(s, root);
    }
    /* a halo is filled with the first picture inside its buffer: it stays while others of the buffer are to come */
    for (int32_t t = 0; t < s->model->n_tensors; t++) {
        const nw_place *p = &s->layout->places[t];
        if (p->root == t && p->first <= n && p->last > n && s->model->tensors[t].type == NW_TYPE_U8)
            keep_halo(s, t);
    }
    for (size_t i = 0; i < s->layout->size; i++)
        if (!s->keep[i]) {
            base[i] = (uint8_t)nw_rng_next(&s->rng);
            s->n_spoiled++;
        }
}

/** Everything the window of linear node n reaches outside its input is the zero point. */
static void look_at_halo(spoiler *s, uint8_t *base, const nw_node *node)
{
    const nw_view x = nw_layout_view(s->layout, s->model, node->inputs[0], base);
    const nw_tensor *y = &s->model->tensors[node->output];
    const uint8_t zero = s->model->tensors[node->inputs[0]].quant.zero_point;
    const nw_window *w = &node->window;
    for (int32_t oy = 0; oy < nw_tensor_height(y); oy++)
        for (int32_t ox = 0; ox < nw_tensor_width(y); ox++)
            for (int32_t tap = 0; tap < w->kernel[0] * w->kernel[1]; tap++) {
                const int32_t iy = oy * w->stride[0] - w->pad[0] + tap / w->kernel[1] * w->dilation[0];
                const int32_t ix = ox * w->stride[1] - w->pad[1] + tap % w->kernel[1] * w->dilation[1];
                if (iy >= 0 && iy < nw_view_height(&x) && ix >= 0 && ix < nw_view_width(&x))
                    continue;
                for (int32_t c = 0; c < nw_view_channels(&x); c++) {
                    s->n_halo_bytes++;
                    s->n_wrong_halo +=
                        x.data[iy * nw_view_row_stride(&x) + ix * nw_view_pixel_stride(&x) + c] != zero;
                }
            }
}

static void observe(void *context, int32_t n, const nw_view *view)
{
    spoiler *s = context;
    static uint8_t origin;
    const nw_node *node = &s->model->nodes[n];
    if (with_caller(s->layout, node->output)) { /* which says nothing about where the arena is */
        s->n_with_caller++;
        return;
    }
    const nw_view at_origin = nw_layout_view(s->layout, s->model, node->output, &origin);
    uint8_t *base = view->data - ((uintptr_t)at_origin.data - (uintptr_t)&origin);
    if (node->op == NW_OP_CONV)
        look_at_halo(s, base, node);
    if (s->spoil)
        spoil(s, base, n);
}

static void check_outputs(const nw_model *model, const nw_naive *naive, float *const *outputs, uint64_t seed)
{
    for (int32_t i = 0; i < model->n_outputs; i++) {
        const int32_t t = model->outputs[i];
        if (memcmp(outputs[i], naive->tensors[t].reals, nw_tensor_elements(&model->tensors[t]) * sizeof(float)) != 0)
            fail_msg("seed %llu: output %d differs", (unsigned long long)seed, (int)i);
    }
}

static void run_spoiled(uint64_t seed, const char *isa, spoiler *total)
{
    nw_model *model = graph(seed);
    nw_layout layout = layout_of(model);
    nw_naive *naive = nw_naive_create(model);
    spoiler s = {.model = model, .layout = &layout, .naive = naive, .rng = {seed}};
    s.keep = malloc(layout.size + 1);
    nw_input inputs[2];
    float *memory = malloc(nw_elements_of(model, model->inputs, model->n_inputs) * sizeof(float));
    float **outputs = calloc((size_t)model->n_outputs, sizeof(*outputs));
    assert_true(s.keep && memory && outputs);
    for (int32_t i = 0; i < model->n_outputs; i++)
        outputs[i] = malloc(nw_tensor_elements(&model->tensors[model->outputs[i]]) * sizeof(float));
    nw_engine *engine = NULL;
    assert_int_equal(nw_engine_create(&engine, model, isa, NULL), NW_OK);
    const nw_run_options options = {.observer = observe, .context = &s};
    for (int sample = 0; sample < 3; sample++) { /* the last one on the spoiled arena, left alone */
        s.spoil = sample < 2;
        nw_random_inputs(&s.rng, model, false, inputs, memory);
        nw_naive_run(naive, inputs);
        assert_int_equal(nw_engine_run_with(engine, inputs, outputs, &options), NW_OK);
        check_outputs(model, naive, outputs, seed);
    }
    total->n_halo_bytes += s.n_halo_bytes;
    total->n_wrong_halo += s.n_wrong_halo;
    total->n_spoiled += s.n_spoiled;
    total->n_with_caller += s.n_with_caller;
    nw_engine_free(engine);
    for (int32_t i = 0; i < model->n_outputs; i++)
        free(outputs[i]);
    free(outputs);
    free(memory);
    free(s.keep);
    nw_naive_free(naive);
    nw_layout_free(&layout);
    nw_model_free(model);
}

/** Depth to space: of its three nodes one moves something. */
static void test_cut_axes(void **state)
{
    (void)state;
    int32_t n_cut = 0;
    int32_t n_joined = 0;
    int32_t n_shuffles = 0;
    for (uint64_t seed = 1; seed <= 4 * N_GRAPHS; seed++) {
        nw_model *model = nw_random_graph(seed, &mixed);
        nw_layout layout = layout_of(model);
        for (int32_t n = 0; n + 2 < model->n_nodes; n++) {
            const nw_node *node = &model->nodes[n];
            const int32_t x = node->inputs[0];
            if (node[0].op != NW_OP_RESHAPE || node[1].op != NW_OP_TRANSPOSE || node[2].op != NW_OP_RESHAPE ||
                node[1].inputs[0] != node[0].output || node[2].inputs[0] != node[1].output ||
                model->tensors[x].rank != 4 || model->tensors[node[1].output].rank != 6)
                continue;
            n_shuffles++;
            n_cut += layout.places[node[0].output].whole == x;
            n_joined += layout.places[node[1].output].whole == node[2].output;
        }
        nw_layout_free(&layout);
        nw_model_free(model);
    }
    print_message("%d of %d first reshapes move nothing, %d last ones\n", n_cut, n_shuffles, n_joined);
    assert_true(n_shuffles >= 20);
    assert_true(n_cut > n_shuffles / 2 && n_joined > n_shuffles / 2); /* not where a later node reads them too */
}

static void test_spoiled_memory(void **state)
{
    (void)state;
    for (int isa = 0; isa < NW_ISA_COUNT; isa++) {
        if (!nw_isa_available((nw_isa)isa)) {
            print_message("SKIP: this machine cannot run %s\n", nw_isa_name((nw_isa)isa));
            continue;
        }
        spoiler total = {.spoil = true};
        for (uint64_t seed = 1; seed <= N_GRAPHS; seed++)
            run_spoiled(seed, nw_isa_name((nw_isa)isa), &total);
        print_message("%s: %d bytes of halo seen, %d bytes spoiled\n", nw_isa_name((nw_isa)isa), total.n_halo_bytes,
                      total.n_spoiled);
        assert_int_equal(total.n_wrong_halo, 0);
        assert_true(total.n_halo_bytes > 100000 && total.n_spoiled > 100000 && total.n_with_caller > 0);
    }
}

/* ---- packed storage ---- */

/** Bytes that something occupies while nodes first .. last run. */
typedef struct extent {
    int32_t first, last;
    size_t begin, end;
} extent;

static size_t extents_of(const nw_layout *layout, const nw_model *model, extent *extents)
{
    size_t n = 0;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        const nw_place *p = &layout->places[t];
        if (p->size)
            extents[n++] = (extent){p->first, p->last, p->offset, p->offset + p->size};
    }
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_strips *s = &layout->strips[i];
        if (s->rows)
            extents[n++] = (extent){i, i, s->offset, s->offset + (size_t)s->lanes * s->lane_size};
    }
    return n;
}

/** Stored tensors have bytes as long as anybody reads them, by whatever concat; nothing alive overlaps. */
static void test_packed(void **state)
{
    (void)state;
    int32_t n_stored = 0, n_joined = 0, n_caller = 0;
    for (uint64_t seed = 1; seed <= N_GRAPHS; seed++) {
        nw_model *model = graph(seed);
        nw_layout layout;
        const nw_layout_options options = {.packed = true, .lanes = 1 + (int32_t)(seed % 3)};
        assert_int_equal(nw_layout_make(&layout, model, &options, NULL), NW_OK);
        extent *extents = calloc((size_t)(model->n_tensors + model->n_nodes), sizeof(*extents));
        const size_t n = extents_of(&layout, model, extents);
        for (size_t i = 0; i < n; i++) {
            assert_true(extents[i].end <= layout.size && extents[i].begin % 64 == 0);
            for (size_t j = 0; j < i; j++)
                assert_true(extents[i].last < extents[j].first || extents[j].last < extents[i].first ||
                            extents[i].end <= extents[j].begin || extents[j].end <= extents[i].begin);
        }
        for (int32_t t = 0; t < model->n_tensors; t++) {
            const nw_place *p = &layout.places[t];
            n_stored += p->stored && !p->joined;
            n_joined += p->joined;
            n_caller += p->caller != NW_NONE;
            assert_true(!p->joined || p->stored);
            assert_true(!p->stored || p->joined || p->last < 0 || p->size > 0);
            for (int32_t i = 0; p->stored && !p->joined && i < model->n_nodes; i++)
                for (int32_t j = 0; j < model->nodes[i].n_inputs; j++)
                    assert_true(model->nodes[i].inputs[j] != t || (p->first < i && i <= p->last));
        }
        free(extents);
        nw_layout_free(&layout);
        nw_model_free(model);
    }
    assert_true(n_stored >= 200 && n_joined >= 10 && n_caller >= 10);
    print_message("%d stored tensors, %d joined, %d outputs in strips\n", n_stored, n_joined, n_caller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_lifetimes),
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_concats),
        cmocka_unit_test(test_cut_axes),
        cmocka_unit_test(test_spoiled_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
