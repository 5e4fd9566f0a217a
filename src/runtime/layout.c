/* SPDX-License-Identifier: Apache-2.0 */
/* See layout.h. Steps: who lives in whom, halos, lifetimes, sizes, offsets (largest buffer first, lowest free place). */
#include "runtime/layout.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/arith.h"
#include "kernels/kernels.h"

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
    if (node->axis != 1 || y->rank != 4)
        return;
    int32_t offset = 0;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const int32_t t = node->inputs[i];
        if (layout->places[t].root == t && t != layout->places[node->output].root)
            move_into(layout, model, t, node->output, offset);
        offset += nw_tensor_channels(&model->tensors[t]);
    }
}

static void choose_roots(nw_layout *layout, const nw_model *model)
{
    for (int32_t t = 0; t < model->n_tensors; t++)
        layout->places[t] = (nw_place){.root = t, .first = INT32_MAX, .last = -1};
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

/** Pixels a window may reach outside its input along axis i (0: rows, 1: columns): before the first and after the last. */
static void reach(const nw_model *model, const nw_node *node, int i, int32_t *before, int32_t *after)
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
        if (node->op != NW_OP_CONV && node->op != NW_OP_CONV_TRANSPOSE)
            continue;
        int32_t *halo = layout->places[layout->places[node->inputs[0]].root].halo;
        for (int i = 0; i < 2; i++) {
            int32_t before;
            int32_t after;
            reach(model, node, i, &before, &after);
            halo[i] = nw_max32(halo[i], before);
            halo[i + 2] = nw_max32(halo[i + 2], after);
        }
    }
}

static void extend(nw_layout *layout, int32_t tensor, int32_t node)
{
    if (tensor == NW_NONE || layout->places[tensor].root == NW_NONE)
        return;
    nw_place *root = &layout->places[layout->places[tensor].root];
    root->first = nw_min32(root->first, node);
    root->last = nw_max32(root->last, node);
}

static void choose_lifetimes(nw_layout *layout, const nw_model *model)
{
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_node *node = &model->nodes[n];
        extend(layout, node->output, n);
        for (int32_t i = 0; i < node->n_inputs; i++)
            extend(layout, node->inputs[i], n);
    }
    for (int32_t i = 0; i < model->n_outputs; i++)
        extend(layout, model->outputs[i], model->n_nodes);
}

static bool choose_sizes(nw_layout *layout, const nw_model *model)
{
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_place *p = &layout->places[t];
        const nw_tensor *tensor = &model->tensors[t];
        if (p->root != t || p->last < 0)
            continue;
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

static bool meet(const nw_place *a, const nw_place *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/** Lowest offset at which `p` overlaps none of the placed buffers that live at the same time. */
static void place(const nw_layout *layout, nw_place *p, const int32_t *placed, int32_t n)
{
    p->offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int32_t i = 0; i < n; i++) {
            const nw_place *other = &layout->places[placed[i]];
            if (meet(p, other) && p->offset < other->offset + other->size && other->offset < p->offset + p->size) {
                p->offset = other->offset + other->size;
                moved = true;
            }
        }
    }
}

static bool choose_offsets(nw_layout *layout, const nw_model *model)
{
    int32_t *placed = malloc(((size_t)model->n_tensors + 1) * sizeof(*placed));
    bool *done = calloc((size_t)model->n_tensors + 1, sizeof(*done));
    int32_t n = 0;
    while (placed && done) {
        int32_t largest = NW_NONE;
        for (int32_t t = 0; t < model->n_tensors; t++)
            if (layout->places[t].size && !done[t] &&
                (largest == NW_NONE || layout->places[t].size > layout->places[largest].size))
                largest = t;
        if (largest == NW_NONE)
            break;
        nw_place *p = &layout->places[largest];
        place(layout, p, placed, n);
        layout->size = p->offset + p->size > layout->size ? p->offset + p->size : layout->size;
        done[largest] = true;
        placed[n++] = largest;
    }
    const bool had_memory = placed && done;
    free(placed);
    free(done);
    return had_memory;
}

nw_status nw_layout_make(nw_layout *layout, const nw_model *model, nw_error *error)
{
    nw_layout made = {.places = calloc((size_t)model->n_tensors + 1, sizeof(nw_place))};
    if (!made.places)
        return nw_fail_memory(error, "laying out the activations");
    choose_roots(&made, model);
    choose_halos(&made, model);
    choose_lifetimes(&made, model);
    nw_status status = NW_OK;
    if (!choose_sizes(&made, model))
        status = nw_fail(error, NW_ERROR_UNSUPPORTED, "an activation of this network is larger than 2 GiB");
    else if (!choose_offsets(&made, model))
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

nw_view nw_layout_view(const nw_layout *layout, const nw_model *model, int32_t tensor, uint8_t *base)
{
    const nw_tensor *t = &model->tensors[tensor];
    nw_view view = {.rank = t->rank, .element_size = t->type == NW_TYPE_F32 ? 4 : 1};
    for (int32_t i = 0; i < t->rank; i++)
        view.dims[i] = t->dims[i];
    const int32_t root = layout->places[tensor].root;
    row_major(&view);
    if (root == NW_NONE)
        return view;
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
