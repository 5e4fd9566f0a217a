/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See layout.h. Steps: who lives in whom, halos, lifetimes, sizes, offsets (largest buffer first, lowest free
 * place).
 */
#include "runtime/layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/arith.h"
#include "kernels/kernels.h"
#include "runtime/strips.h"

#define SLOT_PARTS 256 /* steps in which a budget makes slots smaller */
#define MOST_PARTS 64 /* of a joined tensor: a file could nest concats without end */

static bool one_pixel(const nw_tensor *t)
{
    return t->rank <= 4 && nw_tensor_height(t) == 1 && nw_tensor_width(t) == 1;
}

/** A reshape that moves nothing: [N, C, 1, 1] to [N, C] or back. */
static bool is_identity(const nw_model *model, const nw_node *node)
{
    const nw_tensor *x = &model->tensors[node->inputs[0]];
    const nw_tensor *y = &model->tensors[node->output];
    return node->op == NW_OP_RESHAPE && one_pixel(x) && one_pixel(y) && x->rank >= 2 && y->rank >= 2 &&
           nw_tensor_channels(x) == nw_tensor_channels(y);
}

/** Whether the axes of `parts` are those of `whole`, cut: [1, 9, 8, 8] into [1, 1, 3, 3, 8, 8]. */
static bool cuts(const nw_tensor *whole, const nw_tensor *parts)
{
    int32_t j = 0;
    for (int32_t i = 0; i < whole->rank; i++) {
        int32_t n = 1;
        while (n < whole->dims[i] && j < parts->rank)
            n *= parts->dims[j++];
        if (n != whole->dims[i])
            return false;
    }
    return parts->rank > whole->rank; /* what is left is 1 */
}

/** Whether every node that reads t is a Transpose, which takes any strides. */
static bool only_transposed(const nw_model *model, int32_t t)
{
    for (int32_t n = 0; n < model->n_nodes; n++)
        for (int32_t i = 0; i < model->nodes[n].n_inputs; i++)
            if (model->nodes[n].inputs[i] == t && model->nodes[n].op != NW_OP_TRANSPOSE)
                return false;
    return true;
}

static bool has_bytes(const nw_place *p)
{
    return p->root != NW_NONE && !p->stored && p->caller == NW_NONE;
}

/** Puts tensor t, with all that lives in it, into `host` at channel `offset`. */
static void move_into(nw_layout *layout, const nw_model *model, int32_t t, int32_t host, int32_t offset)
{
    const nw_place to = layout->places[host];
    for (int32_t i = 0; i < model->n_tensors; i++) {
        nw_place *p = &layout->places[i];
        if (i == t || p->root == t) {
            p->root = to.root;
            p->channel_offset += to.channel_offset + offset;
        }
    }
}

/** A concat along the channels takes in every input that is a buffer of its own, once. */
static void host_concat(nw_layout *layout, const nw_model *model, const nw_node *node)
{
    const nw_tensor *y = &model->tensors[node->output];
    if (node->axis != 1 || y->rank != 4 || layout->places[node->output].stored)
        return;
    int32_t offset = 0;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const int32_t t = node->inputs[i];
        if (layout->places[t].root == t && t != layout->places[node->output].root)
            move_into(layout, model, t, node->output, offset);
        offset += nw_tensor_channels(&model->tensors[t]);
    }
}

bool nw_stored_form(nw_stored *stored, const nw_model *model, int32_t tensor, nw_arena *arena)
{
    const nw_tensor *t = &model->tensors[tensor];
    return t->type == NW_TYPE_U8 && t->rank == 4 && nw_tensor_height(t) > 1 &&
           nw_stored_init(stored, nw_tensor_width(t), nw_tensor_channels(t), t->quant.bits, t->quant.shift, arena);
}

size_t nw_tensor_stored_size(const nw_model *model, int32_t tensor)
{
    nw_arena counting = {0};
    nw_stored form;
    if (!nw_stored_form(&form, model, tensor, &counting))
        return 0;
    return form.row_size * (size_t)nw_tensor_height(&model->tensors[tensor]);
}

static bool joins_channels(const nw_node *node)
{
    return node->op == NW_OP_CONCAT && node->axis == 1;
}

/** Tensors that a tensor is joined from, those between included; counting (and going deeper) ends above `most`. */
static int32_t count_joined(const nw_model *model, int32_t t, int32_t most)
{
    const int32_t producer = nw_model_producer(model, t);
    int32_t n = 1;
    if (most > 0 && producer != NW_NONE && joins_channels(&model->nodes[producer]))
        for (int32_t i = 0; n <= most && i < model->nodes[producer].n_inputs; i++)
            n += count_joined(model, model->nodes[producer].inputs[i], most - n);
    return n;
}

/** Sets `stored` of all operands of a node, those of a Concat alike; true if something changed. */
static bool agree(nw_layout *layout, const nw_node *node, bool possible)
{
    bool changed = false;
    bool all = layout->places[node->output].stored;
    for (int32_t i = 0; i < node->n_inputs; i++)
        all = all && node->inputs[i] != NW_NONE && layout->places[node->inputs[i]].stored;
    for (int32_t i = -1; i < node->n_inputs && (!possible || !all); i++) {
        const int32_t t = i < 0 ? node->output : node->inputs[i];
        if (t == NW_NONE || !layout->places[t].stored)
            continue;
        layout->places[t].stored = false;
        changed = true;
    }
    return changed;
}

/** Stored is what becomes smaller by it and is only touched by nodes that can run in strips. */
static void choose_stored(nw_layout *layout, const nw_model *model)
{
    for (int32_t t = 0; t < model->n_tensors; t++)
        layout->places[t].stored = nw_tensor_stored_size(model, t) > 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t n = 0; n < model->n_nodes; n++) {
            const nw_node *node = &model->nodes[n];
            const bool join = joins_channels(node) && count_joined(model, node->output, MOST_PARTS) <= MOST_PARTS;
            if (join || !nw_strips_possible(model, node))
                changed = agree(layout, node, join) || changed;
        }
    }
    for (int32_t n = 0; n < model->n_nodes; n++)
        if (joins_channels(&model->nodes[n]))
            layout->places[model->nodes[n].output].joined = layout->places[model->nodes[n].output].stored;
}

/**
 * Large float outputs that nothing in the network reads never lie in the arena as a whole. A Resize needs no strips.
 */
static void choose_caller(nw_layout *layout, const nw_model *model, bool strips)
{
    for (int32_t i = 0; i < model->n_outputs; i++) {
        const int32_t t = model->outputs[i];
        const int32_t n = nw_model_producer(model, t);
        if (n == NW_NONE || model->tensors[t].rank != 4 || nw_tensor_height(&model->tensors[t]) == 1 ||
            nw_model_uses(model, t) != 1)
            continue;
        if (model->nodes[n].op == NW_OP_RESIZE ? nw_tensor_channels(&model->tensors[t]) <= NW_RESIZE_MOST_PLANES
                                               : strips && nw_strips_possible(model, &model->nodes[n]))
            layout->places[t].caller = i;
    }
}

static void choose_roots(nw_layout *layout, const nw_model *model)
{
    for (int32_t t = 0; t < model->n_tensors; t++)
        if (model->tensors[t].data)
            layout->places[t].root = NW_NONE;
    for (int32_t i = 0; i < model->n_inputs; i++)
        layout->places[model->inputs[i]].root = NW_NONE;
    for (int32_t n = 0; n < model->n_nodes; n++)
        if (is_identity(model, &model->nodes[n]) && layout->places[model->nodes[n].inputs[0]].root != NW_NONE)
            move_into(layout, model, model->nodes[n].output, model->nodes[n].inputs[0], 0);
    for (int32_t n = model->n_nodes - 1; n >= 0; n--) /* outer concats first, so that nested ones move as a whole */
        if (model->nodes[n].op == NW_OP_CONCAT)
            host_concat(layout, model, &model->nodes[n]);
}

/**
 * A Reshape of reals that cuts axes for a Transpose shows its input, and what a Transpose writes for one that joins
 * them is written into that one's output.
 */
static void choose_wholes(nw_layout *layout, const nw_model *model)
{
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_node *node = &model->nodes[n];
        const int32_t x = node->inputs[0], y = node->output;
        const nw_place *from = &layout->places[x];
        if (node->op != NW_OP_RESHAPE || model->tensors[x].type != NW_TYPE_F32 || !has_bytes(from) ||
            !has_bytes(&layout->places[y]) || from->root == layout->places[y].root)
            continue;
        const int32_t producer = nw_model_producer(model, x);
        if (cuts(&model->tensors[x], &model->tensors[y]) && only_transposed(model, y) && layout->places[y].root == y) {
            move_into(layout, model, y, x, 0);
            layout->places[y].whole = x;
        } else if (cuts(&model->tensors[y], &model->tensors[x]) && from->root == x && nw_model_uses(model, x) == 1 &&
                   producer != NW_NONE && model->nodes[producer].op == NW_OP_TRANSPOSE) {
            move_into(layout, model, x, y, 0);
            layout->places[x].whole = y;
        }
    }
}

void nw_window_reach(const nw_model *model, const nw_node *node, int i, int32_t *before, int32_t *after)
{
    const nw_window *w = &node->window;
    const nw_tensor *x = &model->tensors[node->inputs[0]];
    const nw_tensor *y = &model->tensors[node->output];
    const int32_t in = i ? nw_tensor_width(x) : nw_tensor_height(x);
    const int32_t out = i ? nw_tensor_width(y) : nw_tensor_height(y);
    const int32_t extent = (w->kernel[i] - 1) * w->dilation[i];
    int32_t first = -w->pad[i];
    int32_t last = (out - 1) * w->stride[i] - w->pad[i] + extent;
    if (node->op == NW_OP_CONV_TRANSPOSE) { /* output y looks at inputs (y + pad - tap) / stride, where that is whole */
        first = -(nw_max32(0, extent - w->pad[i]) / w->stride[i]);
        last = (out - 1 + w->pad[i]) / w->stride[i];
    }
    *before = nw_max32(0, -first);
    *after = nw_max32(0, last - (in - 1));
}

static void choose_halos(nw_layout *layout, const nw_model *model)
{
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_node *node = &model->nodes[n];
        if ((node->op != NW_OP_CONV && node->op != NW_OP_CONV_TRANSPOSE) || layout->places[node->inputs[0]].stored)
            continue;
        int32_t *halo = layout->places[layout->places[node->inputs[0]].root].halo;
        for (int i = 0; i < 2; i++) {
            int32_t before;
            int32_t after;
            nw_window_reach(model, node, i, &before, &after);
            halo[i] = nw_max32(halo[i], before);
            halo[i + 2] = nw_max32(halo[i + 2], after);
        }
    }
}

static void extend(nw_layout *layout, const nw_model *model, int32_t tensor, int32_t node)
{
    if (tensor == NW_NONE || layout->places[tensor].root == NW_NONE)
        return;
    if (layout->places[tensor].joined) {
        const nw_node *concat = &model->nodes[nw_model_producer(model, tensor)];
        for (int32_t i = 0; i < concat->n_inputs; i++)
            extend(layout, model, concat->inputs[i], node);
        return;
    }
    nw_place *root = &layout->places[layout->places[tensor].root];
    root->first = nw_min32(root->first, node);
    root->last = nw_max32(root->last, node);
}

static void choose_lifetimes(nw_layout *layout, const nw_model *model)
{
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_node *node = &model->nodes[n];
        extend(layout, model, node->output, n);
        for (int32_t i = 0; i < node->n_inputs; i++)
            extend(layout, model, node->inputs[i], n);
    }
    for (int32_t i = 0; i < model->n_outputs; i++)
        extend(layout, model, model->outputs[i], model->n_nodes);
}

/** Bytes of a stored tensor: rows one behind the other, or what is known of each row and its slots. */
static size_t stored_size(const nw_layout *layout, const nw_model *model, int32_t t)
{
    const size_t height = (size_t)nw_tensor_height(&model->tensors[t]);
    if (!layout->coded)
        return nw_align(nw_tensor_stored_size(model, t), NW_ARENA_ALIGNMENT);
    return nw_align(height * sizeof(nw_coded_row), NW_ARENA_ALIGNMENT) +
           nw_align(height * layout->places[t].slot_size, NW_ARENA_ALIGNMENT);
}

/**
 * Gives every row of a stored tensor its shortest form and part / SLOT_PARTS of what its fine channels add to that;
 * returns the most bytes of such tensors that are alive at once.
 */
static size_t choose_slots(nw_layout *layout, const nw_model *model, size_t part)
{
    size_t most = 0;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_arena counting = {0};
        nw_stored form;
        if (layout->places[t].stored && !layout->places[t].joined && nw_stored_form(&form, model, t, &counting))
            layout->places[t].slot_size = form.base_size + (form.row_size - form.base_size) * part / SLOT_PARTS;
    }
    for (int32_t n = 0; n < model->n_nodes; n++) {
        size_t alive = 0;
        for (int32_t t = 0; t < model->n_tensors; t++) {
            const nw_place *p = &layout->places[t];
            if (p->stored && !p->joined && p->first <= n && n <= p->last)
                alive += stored_size(layout, model, t);
        }
        most = alive > most ? alive : most;
    }
    return most;
}

/** The largest slots within the budget. They depend on the model and the budget alone, whoever runs it. */
static nw_status fit_budget(nw_layout *layout, const nw_model *model, size_t budget, nw_error *error)
{
    size_t part = 0;
    size_t too_much = SLOT_PARTS;
    layout->stored_least = choose_slots(layout, model, part);
    layout->stored_size = layout->stored_full = choose_slots(layout, model, too_much);
    if (layout->stored_full <= budget || !budget)
        return NW_OK;
    if (layout->stored_least > budget)
        return nw_fail(error, NW_GOAL_MISSED,
                       "the arena budget of %zu bytes is too small: stored tensors need %zu at least", budget,
                       layout->stored_least);
    while (too_much - part > 1) {
        const size_t middle = (part + too_much) / 2;
        if (choose_slots(layout, model, middle) <= budget)
            part = middle;
        else
            too_much = middle;
    }
    layout->stored_size = choose_slots(layout, model, part);
    return NW_OK;
}

static bool choose_sizes(nw_layout *layout, const nw_model *model)
{
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_place *p = &layout->places[t];
        const nw_tensor *tensor = &model->tensors[t];
        if (p->root != t || p->last < 0 || p->joined || p->caller != NW_NONE)
            continue;
        if (p->stored) {
            p->size = stored_size(layout, model, t);
            continue;
        }
        const double rows = (double)p->halo[0] + nw_tensor_height(tensor) + p->halo[2];
        const double columns = (double)p->halo[1] + nw_tensor_width(tensor) + p->halo[3];
        const size_t element = tensor->type == NW_TYPE_F32 ? sizeof(float) : 1;
        const bool picture = tensor->rank <= 4;
        const double size = picture ? rows * columns * nw_tensor_channels(tensor) * (double)element
                                    : (double)(nw_tensor_elements(tensor) * element);
        if (size > 2147483647.0)
            return false;
        p->size = nw_align((size_t)size + NW_OVERREAD, NW_ARENA_ALIGNMENT);
    }
    return true;
}

/** Something that wants a place in the arena for the time of some nodes. */
typedef struct box {
    int32_t first, last; /* nodes, both included */
    size_t size;
    size_t *offset; /* where the answer goes */
} box;

static bool meet(const box *a, const box *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/** Lowest offset at which `p` overlaps none of the n placed boxes that live at the same time. */
static void place(const box *p, const box *placed, int32_t n)
{
    *p->offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int32_t i = 0; i < n; i++) {
            const box *other = &placed[i];
            if (meet(p, other) && *p->offset < *other->offset + other->size &&
                *other->offset < *p->offset + p->size) {
                *p->offset = *other->offset + other->size;
                moved = true;
            }
        }
    }
}

/** Buffers of tensors, then scratch of nodes. */
static int32_t gather_boxes(nw_layout *layout, const nw_model *model, box *boxes)
{
    int32_t n = 0;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_place *p = &layout->places[t];
        if (p->size)
            boxes[n++] = (box){p->first, p->last, p->size, &p->offset};
    }
    for (int32_t i = 0; i < model->n_nodes; i++) {
        nw_strips *s = &layout->strips[i];
        if (s->rows)
            boxes[n++] = (box){i, i, (size_t)s->lanes * s->lane_size, &s->offset};
    }
    return n;
}

static bool choose_offsets(nw_layout *layout, const nw_model *model)
{
    box *boxes = malloc(((size_t)model->n_tensors + (size_t)model->n_nodes + 1) * sizeof(*boxes));
    if (!boxes)
        return false;
    const int32_t n = gather_boxes(layout, model, boxes);
    for (int32_t i = 0; i < n; i++) { /* the largest of those that are left comes next */
        int32_t largest = i;
        for (int32_t j = i + 1; j < n; j++)
            if (boxes[j].size > boxes[largest].size)
                largest = j;
        const box next = boxes[largest];
        memmove(boxes + i + 1, boxes + i, (size_t)(largest - i) * sizeof(*boxes));
        boxes[i] = next;
        place(&boxes[i], boxes, i);
        layout->size = *next.offset + next.size > layout->size ? *next.offset + next.size : layout->size;
    }
    free(boxes);
    return true;
}

/** Everything but sizes, strips and offsets. */
static void choose_homes(nw_layout *layout, const nw_model *model, const nw_layout_options *options)
{
    for (int32_t t = 0; t < model->n_tensors; t++)
        layout->places[t] = (nw_place){.root = t, .whole = NW_NONE, .first = INT32_MAX, .last = -1, .caller = NW_NONE};
    const bool packed = options && options->packed;
    if (packed)
        choose_stored(layout, model);
    choose_caller(layout, model, packed || (options && options->fusion == NW_FUSION_SMALL));
    choose_roots(layout, model);
    choose_wholes(layout, model);
    choose_halos(layout, model);
    choose_lifetimes(layout, model);
}

nw_status nw_layout_make(nw_layout *layout, const nw_model *model, const nw_layout_options *options, nw_error *error)
{
    nw_layout made = {.places = calloc((size_t)model->n_tensors + 1, sizeof(nw_place)),
                      .strips = calloc((size_t)model->n_nodes + 1, sizeof(nw_strips))};
    nw_status status = made.places && made.strips ? NW_OK : nw_fail_memory(error, "laying out the activations");
    made.coded = options && options->packed && options->coded;
    made.words = made.coded && options->words;
    if (!status)
        choose_homes(&made, model, options);
    if (!status && made.coded)
        status = fit_budget(&made, model, options->budget, error);
    if (!status && !choose_sizes(&made, model))
        status = nw_fail(error, NW_ERROR_UNSUPPORTED, "an activation of this network is larger than 2 GiB");
    const bool strips = options && (options->packed || options->fusion != NW_FUSION_NONE);
    if (!status && strips)
        status = nw_chains_choose(&made, model, options, error);
    if (!status && strips)
        nw_strips_plan(&made, model, options);
    if (!status && !choose_offsets(&made, model))
        status = nw_fail_memory(error, "laying out the activations");
    if (!status && made.size > INT32_MAX)
        status = nw_fail(error, NW_ERROR_UNSUPPORTED, "the activations of this network need more than 2 GiB");
    if (status) {
        nw_layout_free(&made);
        return status;
    }
    *layout = made;
    return NW_OK;
}

void nw_layout_free(nw_layout *layout)
{
    free(layout->places);
    free(layout->strips);
    *layout = (nw_layout){0};
}

/** Strides of a plain row-major array. */
static void row_major(nw_view *view)
{
    ptrdiff_t stride = view->element_size;
    for (int32_t i = view->rank - 1; i >= 0; i--) {
        view->strides[i] = stride;
        stride *= view->dims[i];
    }
}

/** Data and strides of `view`, whose axes are those of `whole`, cut. */
static void cut_view(nw_view *view, const nw_view *whole)
{
    int32_t j = 0;
    view->data = whole->data;
    for (int32_t i = 0; i < whole->rank; i++) {
        const int32_t first = j;
        for (int32_t n = 1; n < whole->dims[i]; j++)
            n *= view->dims[j];
        ptrdiff_t stride = whole->strides[i];
        for (int32_t k = j - 1; k >= first; k--) {
            view->strides[k] = stride;
            stride *= view->dims[k];
        }
    }
}

nw_view nw_layout_view(const nw_layout *layout, const nw_model *model, int32_t tensor, uint8_t *base)
{
    const nw_tensor *t = &model->tensors[tensor];
    nw_view view = {.rank = t->rank, .element_size = t->type == NW_TYPE_F32 ? 4 : 1};
    for (int32_t i = 0; i < t->rank; i++)
        view.dims[i] = t->dims[i];
    const int32_t root = layout->places[tensor].root;
    row_major(&view);
    const nw_place *own = &layout->places[tensor];
    if (root == NW_NONE || own->stored || own->inner || own->caller != NW_NONE)
        return view;
    if (own->whole != NW_NONE) {
        const nw_view whole = nw_layout_view(layout, model, own->whole, base);
        cut_view(&view, &whole);
        return view;
    }
    const nw_place *p = &layout->places[root];
    const nw_tensor *host = &model->tensors[root];
    ptrdiff_t start = (ptrdiff_t)layout->places[tensor].channel_offset * view.element_size;
    if (t->rank == 2 || t->rank == 4) {
        const ptrdiff_t pixel = (ptrdiff_t)nw_tensor_channels(host) * view.element_size;
        const ptrdiff_t row = pixel * (p->halo[1] + nw_tensor_width(host) + p->halo[3]);
        view.strides[1] = view.element_size;
        if (t->rank == 4) {
            view.strides[2] = row;
            view.strides[3] = pixel;
        }
        start += p->halo[0] * row + p->halo[1] * pixel;
    }
    view.data = base ? base + p->offset + start : NULL;
    return view;
}
