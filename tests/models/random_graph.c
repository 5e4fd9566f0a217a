/* SPDX-License-Identifier: Apache-2.0 */
/* See random_graph.h. Every function add_* appends one node, or none if the drawn numbers do not fit together. */
#include "models/random_graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TRIES 16
#define MAX_ELEMENTS 12000
#define MAX_MACS 2000000

typedef struct builder {
    nw_rng rng;
    nw_model *model;
    nw_graph_options options;
} builder;

static int32_t pick(builder *b, int32_t lo, int32_t hi)
{
    return nw_rng_range(&b->rng, lo, hi);
}

static bool chance(builder *b, int32_t one_in)
{
    return pick(b, 1, one_in) == 1;
}

static void need(bool good)
{
    if (!good)
        abort();
}

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    need(memory != NULL);
    return memory;
}

static nw_tensor *tensor_at(builder *b, int32_t t)
{
    return &b->model->tensors[t];
}

static int32_t add_tensor(builder *b, nw_type type, int32_t rank, const int32_t *dims)
{
    char name[16];
    snprintf(name, sizeof(name), "t%d", (int)b->model->n_tensors);
    const int32_t t = nw_model_add_tensor(b->model, name, type, rank, dims);
    need(t != NW_NONE && (type != NW_TYPE_U8 || nw_tensor_alloc_quant(tensor_at(b, t)) == NW_OK));
    return t;
}

static nw_node *add_node(builder *b, nw_op op, int32_t n_inputs, int32_t x, int32_t y)
{
    char name[40];
    snprintf(name, sizeof(name), "%s_%d", nw_op_name(op), (int)b->model->n_nodes);
    nw_node *node = nw_model_add_node(b->model, op, name, n_inputs);
    need(node != NULL);
    node->inputs[0] = x;
    node->output = y;
    return node;
}

/** Any tensor of a type that a node has computed (or a QUANTIZE), the latest ones more often; NW_NONE after a while. */
static int32_t any_tensor(builder *b, nw_type type, int32_t rank)
{
    for (int try = 0; try < MAX_TRIES; try++) {
        const int32_t n = b->model->n_tensors;
        const int32_t t = chance(b, 2) ? pick(b, n > 4 ? n - 4 : 0, n - 1) : pick(b, 0, n - 1);
        const nw_tensor *tensor = tensor_at(b, t);
        if (tensor->type == type && !tensor->data && (!rank || tensor->rank == rank) &&
            nw_model_producer(b->model, t) != NW_NONE)
            return t;
    }
    return NW_NONE;
}

static bool same_dims(const nw_tensor *a, const nw_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

static bool small(int64_t channels, int64_t height, int64_t width)
{
    return channels * height * width <= MAX_ELEMENTS;
}

/* ---- grids ---- */

static void set_grid(nw_quant *to, const nw_quant *from)
{
    to->bits = from->bits;
    to->zero_point = from->zero_point;
    to->scale = from->scale;
}

/** Half of the time the grid of another tensor, so that concats find partners. */
static void draw_grid(builder *b, nw_quant *quant)
{
    const int32_t other = chance(b, 2) ? any_tensor(b, NW_TYPE_U8, 0) : NW_NONE;
    if (other != NW_NONE && tensor_at(b, other)->quant.bits) {
        set_grid(quant, &tensor_at(b, other)->quant);
        return;
    }
    quant->bits = (uint8_t)(chance(b, 2) ? 8 : pick(b, 1, 8));
    quant->zero_point = (uint8_t)(chance(b, 3) ? 0 : pick(b, 0, (1 << quant->bits) - 1));
    if (quant->bits > 3 && chance(b, 2)) /* room for shifts */
        quant->zero_point = (uint8_t)(quant->zero_point & ~7);
    quant->scale = 0.01f + nw_rng_unit(&b->rng);
}

static void draw_limits(builder *b, nw_tensor *tensor)
{
    nw_quant *quant = &tensor->quant;
    const bool full = chance(b, 2);
    const bool shifts = chance(b, 3);
    for (int32_t c = 0; c < nw_tensor_channels(tensor); c++) {
        int32_t shift = shifts ? pick(b, 0, 3) : 0;
        while (shift && (quant->zero_point % (1 << shift) || shift >= quant->bits))
            shift--;
        const int32_t lowest = -(quant->zero_point >> shift);
        const int32_t highest = ((1 << quant->bits) - 1 - quant->zero_point) >> shift;
        quant->shift[c] = (uint8_t)shift;
        quant->lo[c] = (float)(full ? lowest : pick(b, lowest, 0));
        quant->hi[c] = (float)(full ? highest : pick(b, 0, highest));
    }
}

static int32_t add_codes(builder *b, int32_t rank, const int32_t *dims)
{
    const int32_t t = add_tensor(b, NW_TYPE_U8, rank, dims);
    draw_grid(b, &tensor_at(b, t)->quant);
    draw_limits(b, tensor_at(b, t));
    return t;
}

/** A tensor on the grid of x that can hold all of its codes. */
static int32_t add_moved(builder *b, int32_t x, int32_t rank, const int32_t *dims)
{
    const int32_t t = add_tensor(b, tensor_at(b, x)->type, rank, dims);
    nw_tensor *tensor = tensor_at(b, t);
    if (tensor->type == NW_TYPE_F32)
        return t;
    nw_quant *quant = &tensor->quant;
    set_grid(quant, &tensor_at(b, x)->quant);
    for (int32_t c = 0; c < nw_tensor_channels(tensor); c++) {
        quant->lo[c] = -(float)quant->zero_point;
        quant->hi[c] = (float)((1 << quant->bits) - 1 - quant->zero_point);
    }
    return t;
}

static void copy_limits(nw_tensor *to, int32_t c, const nw_tensor *from, int32_t from_c)
{
    if (to->type == NW_TYPE_F32)
        return;
    to->quant.lo[c] = from->quant.lo[from_c];
    to->quant.hi[c] = from->quant.hi[from_c];
    to->quant.shift[c] = from->quant.shift[from_c];
}

/* ---- linear layers ---- */

static int32_t draw_points(builder *b, int32_t channels, int32_t *row_channel)
{
    int32_t n = channels, begin = 0;
    for (int32_t o = 0; o < channels; o++)
        row_channel[o] = o;
    for (int p = 2; p <= NW_MAX_POINTS && chance(b, 3); p++) {
        const int32_t end = n;
        for (int32_t row = begin; row < end; row++)
            if (chance(b, 3))
                row_channel[n++] = row_channel[row];
        begin = end;
    }
    return n;
}

static void draw_row(builder *b, nw_linear *linear, int32_t row, const nw_quant *x, int style)
{
    const int32_t largest = linear->weight_bits == 1 ? 1 : (1 << (linear->weight_bits - 1)) - 1;
    int32_t sum = 0;
    for (int32_t k = 0; k < linear->k; k++) {
        int32_t w = pick(b, -largest, largest);
        if (linear->weight_bits == 1 || style == 1) /* extremes only: the sums that saturate */
            w = chance(b, 2) ? largest : -largest;
        else if (style == 2) /* sparse and small: long runs fit 16 bits */
            w = chance(b, 4) ? w / 4 : 0;
        linear->weights[(size_t)row * (size_t)linear->k + (size_t)k] = (int8_t)w;
        sum += w;
    }
    linear->offset[row] = -(int32_t)x->zero_point * sum;
    const float spread = sqrtf((float)linear->k) * (float)largest * (float)(1 << x->bits) * 0.2f;
    linear->multiplier[row] = 256.0f * nw_rng_unit(&b->rng) / spread;
    static const float extremes[] = {0.0f, 0x1p-40f, 0x1p20f, 3.5f};
    if (chance(b, 16) || linear->multiplier[row] < 0x1p-40f)
        linear->multiplier[row] = extremes[pick(b, 0, 3)];
}

static nw_linear *draw_linear(builder *b, int32_t channels, int32_t k, const nw_quant *x, bool residual)
{
    int32_t *row_channel = room((size_t)channels * NW_MAX_POINTS, sizeof(*row_channel));
    const int32_t rows = draw_points(b, channels, row_channel);
    nw_linear *linear = nw_linear_create(channels, rows, k, residual);
    need(linear != NULL);
    const int style = pick(b, 0, 2);
    linear->weight_bits = (uint8_t)(chance(b, 2) ? 8 : pick(b, 1, 8));
    linear->accumulator = (uint8_t)(chance(b, 5) ? pick(b, 0, NW_ACCUMULATOR_COUNT - 1) : NW_ACCUMULATOR_AUTO);
    memcpy(linear->row_channel, row_channel, (size_t)rows * sizeof(*row_channel));
    free(row_channel);
    for (int32_t row = 0; row < rows; row++)
        draw_row(b, linear, row, x, style);
    for (int32_t o = 0; o < channels; o++) {
        linear->bias[o] = chance(b, 50) ? 0x1p30f : 128.0f * nw_rng_unit(&b->rng) - 64.0f;
        if (residual)
            linear->residual_multiplier[o] = chance(b, 20) ? 0.0f : 0.1f + nw_rng_unit(&b->rng);
    }
    return linear;
}

/** A tensor of the shape of y to be added behind a linear layer, or NW_NONE. */
static int32_t find_residual(builder *b, int32_t y)
{
    for (int try = 0; try < MAX_TRIES; try++) {
        const int32_t t = any_tensor(b, NW_TYPE_U8, 0);
        if (t != NW_NONE && t != y && same_dims(tensor_at(b, t), tensor_at(b, y)))
            return t;
    }
    return NW_NONE;
}

static void finish_linear(builder *b, nw_op op, int32_t x, int32_t y, const nw_window *window, int32_t groups)
{
    const int32_t residual = chance(b, 2) ? find_residual(b, y) : NW_NONE;
    nw_node *node = add_node(b, op, residual == NW_NONE ? 1 : 4, x, y);
    if (residual != NW_NONE)
        node->inputs[3] = residual;
    node->window = *window;
    node->groups = groups;
    const nw_tensor *in = tensor_at(b, x);
    const int32_t k = window->kernel[0] * window->kernel[1] * nw_tensor_channels(in) / groups;
    node->linear = draw_linear(b, nw_tensor_channels(tensor_at(b, y)), k, &in->quant, residual != NW_NONE);
}

/** Output size along an axis; the kernel becomes 1 if it does not fit. */
static int32_t fit(nw_window *w, int i, int32_t size, bool transposed)
{
    int32_t extent = (w->kernel[i] - 1) * w->dilation[i] + 1;
    const int32_t pads = w->pad[i] + w->pad[i + 2];
    if (transposed) {
        const int32_t whole = w->stride[i] * (size - 1) + extent;
        if (whole > pads)
            return whole - pads;
        w->pad[i] = w->pad[i + 2] = 0;
        return whole;
    }
    if (size + pads < extent) {
        w->kernel[i] = 1;
        extent = 1;
    }
    return (size + pads - extent) / w->stride[i] + 1;
}

static nw_window draw_window(builder *b, int32_t max_kernel)
{
    nw_window w;
    for (int i = 0; i < 2; i++) {
        w.kernel[i] = pick(b, 1, max_kernel);
        w.stride[i] = chance(b, 2) ? 1 : pick(b, 1, 3);
        w.dilation[i] = chance(b, 2) ? 1 : pick(b, 1, 3);
        w.pad[i] = chance(b, 3) ? 0 : pick(b, 0, 4);
        w.pad[i + 2] = chance(b, 3) ? 0 : pick(b, 0, 4);
    }
    return w;
}

static void add_linear(builder *b, bool transposed)
{
    const int32_t x = any_tensor(b, NW_TYPE_U8, 4);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    nw_window w = draw_window(b, chance(b, 3) ? 5 : 3);
    if (chance(b, 2))
        w = (nw_window){{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}};
    if (chance(b, 4))
        w = (nw_window){{1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}};
    const int32_t height = fit(&w, 0, in.dims[2], transposed);
    const int32_t width = fit(&w, 1, in.dims[3], transposed);
    const bool depthwise = chance(b, 3);
    const int32_t channels = depthwise ? in.dims[1] * (chance(b, 4) ? 2 : 1) : pick(b, 1, b->options.max_channels);
    int32_t groups = depthwise ? in.dims[1] : chance(b, 3) ? pick(b, 1, in.dims[1]) : 1;
    while (in.dims[1] % groups || channels % groups)
        groups--;
    const int64_t macs = (int64_t)height * width * channels * w.kernel[0] * w.kernel[1] * in.dims[1] / groups;
    if (!small(channels, height, width) || macs > MAX_MACS || channels > b->options.max_channels)
        return;
    const bool flat = !b->options.pictures_only && height == 1 && width == 1 && chance(b, 2);
    const bool reals = !b->options.pictures_only && chance(b, 12);
    const int32_t dims[4] = {1, channels, height, width};
    const int32_t y = reals ? add_tensor(b, NW_TYPE_F32, flat ? 2 : 4, dims) : add_codes(b, flat ? 2 : 4, dims);
    finish_linear(b, transposed ? NW_OP_CONV_TRANSPOSE : NW_OP_CONV, x, y, &w, groups);
}

static void add_fully_connected(builder *b)
{
    const int32_t x = any_tensor(b, NW_TYPE_U8, 2);
    if (x == NW_NONE)
        return;
    const int32_t channels = pick(b, 1, b->options.max_channels);
    if ((int64_t)channels * tensor_at(b, x)->dims[1] > MAX_MACS)
        return;
    const int32_t dims[2] = {1, channels};
    const int32_t y = chance(b, 3) ? add_tensor(b, NW_TYPE_F32, 2, dims) : add_codes(b, 2, dims);
    finish_linear(b, NW_OP_CONV, x, y, &(nw_window){{1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}}, 1);
}

/* ---- other operators on codes ---- */

static float *draw_multipliers(builder *b, int32_t n, float size)
{
    float *values = room((size_t)n, sizeof(*values));
    for (int32_t i = 0; i < n; i++)
        values[i] = size * (0.25f + nw_rng_unit(&b->rng));
    return values;
}

static void add_pool(builder *b)
{
    const int32_t x = any_tensor(b, NW_TYPE_U8, 4);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    const bool average = chance(b, 2);
    nw_window w = draw_window(b, 4);
    int32_t out[2];
    for (int i = 0; i < 2; i++) {
        /* pads below the first dilated tap and below the size: every window touches the picture */
        const int32_t size = in.dims[2 + i];
        if (chance(b, 4)) {
            w.kernel[i] = size;
            w.dilation[i] = 1;
        }
        w.kernel[i] = (size - 1) / w.dilation[i] + 1 < w.kernel[i] ? 1 : w.kernel[i];
        if (w.dilation[i] > 1)
            w.pad[i] = w.pad[i + 2] = 0;
        w.pad[i] = w.pad[i] < w.kernel[i] ? w.pad[i] : w.kernel[i] - 1;
        w.pad[i + 2] = w.pad[i + 2] < w.kernel[i] ? w.pad[i + 2] : w.kernel[i] - 1;
        out[i] = fit(&w, i, size, false);
        if ((out[i] - 1) * w.stride[i] - w.pad[i] >= size)
            return;
    }
    const int32_t dims[4] = {1, in.dims[1], out[0], out[1]};
    const int32_t y = average ? add_codes(b, 4, dims) : add_moved(b, x, 4, dims);
    if (!average && chance(b, 2))
        for (int32_t c = 0; c < dims[1]; c++)
            copy_limits(tensor_at(b, y), c, tensor_at(b, x), c);
    nw_node *node = add_node(b, average ? NW_OP_AVERAGE_POOL : NW_OP_MAX_POOL, 1, x, y);
    node->window = w;
    node->count_include_pad = average && chance(b, 2);
    if (average)
        node->multipliers[0] = draw_multipliers(b, dims[1], 1.0f);
}

static void fill_table(builder *b, nw_node *node, const nw_tensor *y, int32_t n_tables)
{
    node->n_tables = n_tables;
    node->table = room((size_t)n_tables * 256, 1);
    int32_t lo = -255, hi = 255, shift = 0; /* what every channel holds, for a table that all share */
    for (int32_t c = 0; c < nw_tensor_channels(y); c++) {
        shift = y->quant.shift[c] > shift ? y->quant.shift[c] : shift;
        lo = (int32_t)fmaxf((float)lo, y->quant.lo[c] * (float)(1 << y->quant.shift[c]));
        hi = (int32_t)fminf((float)hi, y->quant.hi[c] * (float)(1 << y->quant.shift[c]));
    }
    for (int32_t i = 0; i < n_tables * 256; i++) {
        const int32_t c = i / 256;
        const int32_t level =
            n_tables == 1 ? pick(b, lo, hi) / (1 << shift) * (1 << shift)
                          : pick(b, (int32_t)y->quant.lo[c], (int32_t)y->quant.hi[c]) * (1 << y->quant.shift[c]);
        node->table[i] = (uint8_t)(y->quant.zero_point + level);
    }
}

static void add_table(builder *b)
{
    const int32_t x = any_tensor(b, NW_TYPE_U8, 0);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    const int32_t y = add_codes(b, in.rank, in.dims);
    fill_table(b, add_node(b, NW_OP_TABLE, 1, x, y), tensor_at(b, y), chance(b, 2) ? 1 : nw_tensor_channels(&in));
}

static void add_sum(builder *b)
{
    const int32_t x = any_tensor(b, NW_TYPE_U8, 0);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    const int32_t other = find_residual(b, x);
    const int32_t y = add_codes(b, in.rank, in.dims);
    nw_node *node = add_node(b, NW_OP_ADD, 2, x, y);
    node->inputs[1] = other == NW_NONE ? x : other;
    for (int i = 0; i < 2; i++)
        node->multipliers[i] = draw_multipliers(b, nw_tensor_channels(&in), 0.7f);
}

/** A product with a picture of the shape of x, or with one pixel. */
static void add_product(builder *b)
{
    const int32_t x = any_tensor(b, NW_TYPE_U8, 0);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    int32_t other = find_residual(b, x);
    for (int try = 0; try < 4 * MAX_TRIES && in.rank == 4; try++) {
        const int32_t t = any_tensor(b, NW_TYPE_U8, 4);
        if (t != NW_NONE && tensor_at(b, t)->dims[1] == in.dims[1] && tensor_at(b, t)->dims[2] == 1 &&
            tensor_at(b, t)->dims[3] == 1)
            other = t;
    }
    const int32_t y = add_codes(b, in.rank, in.dims);
    nw_node *node = add_node(b, NW_OP_MUL, 2, x, y);
    node->inputs[1] = other == NW_NONE ? x : other;
    node->multipliers[0] = draw_multipliers(b, nw_tensor_channels(&in), 0.02f);
}

/** Whether a concat along `axis` may join the two. */
static bool joins(const nw_tensor *a, const nw_tensor *c, int32_t axis)
{
    bool good = a->rank == c->rank && a->type == c->type;
    for (int32_t d = 0; good && d < a->rank; d++)
        good = d == axis || a->dims[d] == c->dims[d];
    return good && (a->type == NW_TYPE_F32 || (a->quant.bits == c->quant.bits && a->quant.scale == c->quant.scale &&
                                              a->quant.zero_point == c->quant.zero_point));
}

static void add_concat(builder *b, nw_type type)
{
    int32_t inputs[4];
    int32_t n = 0;
    inputs[0] = any_tensor(b, type, type == NW_TYPE_U8 && !chance(b, 6) ? 4 : 0);
    if (inputs[0] == NW_NONE)
        return;
    nw_tensor joined = *tensor_at(b, inputs[n++]);
    const int32_t axis = type == NW_TYPE_U8 ? 1 : pick(b, 1, joined.rank - 1);
    for (int try = 0; try < 2 * MAX_TRIES && n < 4; try++) {
        const int32_t t = any_tensor(b, type, 0);
        if (t == NW_NONE || !joins(tensor_at(b, inputs[0]), tensor_at(b, t), axis))
            continue;
        inputs[n++] = t;
        joined.dims[axis] += tensor_at(b, t)->dims[axis];
    }
    for (; n < 4 && chance(b, 2); n++) { /* the same once more */
        inputs[n] = inputs[pick(b, 0, n - 1)];
        joined.dims[axis] += tensor_at(b, inputs[n])->dims[axis];
    }
    if (nw_tensor_elements(&joined) > MAX_ELEMENTS || nw_tensor_channels(&joined) > 4 * b->options.max_channels)
        return;
    const int32_t y = add_moved(b, inputs[0], joined.rank, joined.dims);
    nw_node *node = add_node(b, NW_OP_CONCAT, n, inputs[0], y);
    node->axis = axis;
    int32_t to = 0;
    for (int32_t i = 0; i < n; i++) {
        node->inputs[i] = inputs[i];
        for (int32_t c = 0; axis == 1 && c < nw_tensor_channels(tensor_at(b, inputs[i])); c++)
            copy_limits(tensor_at(b, y), to++, tensor_at(b, inputs[i]), c);
    }
}

static void add_slice(builder *b, nw_type type)
{
    const int32_t x = any_tensor(b, type, 0);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    int32_t starts[NW_MAX_RANK] = {0}, steps[NW_MAX_RANK] = {1}, dims[NW_MAX_RANK] = {1};
    for (int32_t i = 1; i < in.rank; i++) {
        starts[i] = pick(b, 0, in.dims[i] / 2);
        steps[i] = chance(b, 2) ? 1 : pick(b, 1, 3);
        starts[i] = starts[i] < in.dims[i] ? starts[i] : 0;
        dims[i] = (in.dims[i] - 1 - starts[i]) / steps[i] + 1;
        dims[i] -= dims[i] > 1 ? pick(b, 0, 1) : 0;
    }
    const int32_t y = add_moved(b, x, in.rank, dims);
    if (chance(b, 2) && in.rank > 1)
        for (int32_t c = 0; c < dims[1]; c++)
            copy_limits(tensor_at(b, y), c, tensor_at(b, x), starts[1] + c * steps[1]);
    nw_node *node = add_node(b, NW_OP_SLICE, 1, x, y);
    memcpy(node->starts, starts, sizeof(starts));
    for (int32_t i = 0; i < in.rank; i++)
        node->steps[i] = steps[i];
}

static void add_pad(builder *b)
{
    const int32_t x = any_tensor(b, NW_TYPE_U8, 0);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    int32_t pads[2 * NW_MAX_RANK] = {0}, dims[NW_MAX_RANK] = {1};
    for (int32_t i = 1; i < in.rank; i++) {
        pads[i] = chance(b, 2) ? pick(b, 0, 3) : 0;
        pads[in.rank + i] = chance(b, 2) ? pick(b, 0, 3) : 0;
        dims[i] = in.dims[i] + pads[i] + pads[in.rank + i];
    }
    if (in.rank == 4 && !small(dims[1], dims[2], dims[3]))
        return;
    const int32_t y = add_moved(b, x, in.rank, dims);
    memcpy(add_node(b, NW_OP_PAD, 1, x, y)->pads, pads, sizeof(pads));
}

static void add_resize(builder *b, nw_type type)
{
    const int32_t x = any_tensor(b, type, 4);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    int32_t dims[4] = {1, in.dims[1]};
    for (int i = 2; i < 4; i++)
        dims[i] = chance(b, 3) ? 2 * in.dims[i] : pick(b, 1, 3 * in.dims[i]);
    if (!small(dims[1], dims[2], dims[3]))
        return;
    const int32_t y = add_moved(b, x, 4, dims);
    const bool same_limits = chance(b, 2);
    for (int32_t c = 0; same_limits && c < dims[1]; c++)
        copy_limits(tensor_at(b, y), c, tensor_at(b, x), c);
    nw_node *node = add_node(b, NW_OP_RESIZE, 1, x, y);
    node->resize_mode = chance(b, 3) ? NW_RESIZE_NEAREST : NW_RESIZE_LINEAR;
    node->resize_coordinates = node->resize_mode == NW_RESIZE_LINEAR ? (nw_resize_coordinates)pick(b, 0, 3)
                                                                     : NW_COORDINATES_ASYMMETRIC;
}

static void add_transpose(builder *b, nw_type type)
{
    const int32_t x = any_tensor(b, type, 0);
    if (x == NW_NONE || tensor_at(b, x)->rank < 3)
        return;
    const nw_tensor in = *tensor_at(b, x);
    int32_t perm[NW_MAX_RANK], dims[NW_MAX_RANK];
    for (int32_t i = 0; i < in.rank; i++)
        perm[i] = i;
    for (int32_t i = in.rank - 1; i > 1; i--) {
        const int32_t j = pick(b, 1, i), swap = perm[i];
        perm[i] = perm[j];
        perm[j] = swap;
    }
    for (int32_t i = 0; i < in.rank; i++)
        dims[i] = in.dims[perm[i]];
    const int32_t y = add_moved(b, x, in.rank, dims);
    memcpy(add_node(b, NW_OP_TRANSPOSE, 1, x, y)->perm, perm, (size_t)in.rank * sizeof(*perm));
}

/**
 * The same elements in another shape: rank 2 or 4 for codes, any for reals. Mostly [1, C, 1, 1] <-> [1, C] if it is.
 */
static void add_reshape(builder *b, nw_type type)
{
    const int32_t x = any_tensor(b, type, 0);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    int32_t rest = (int32_t)nw_tensor_elements(&in);
    int32_t dims[NW_MAX_RANK] = {1, 1, 1, 1, 1, 1};
    const int32_t rank = type == NW_TYPE_U8 ? 2 * pick(b, 1, 2) : pick(b, 2, NW_MAX_RANK);
    for (int32_t i = rank - 1; i > 1 && !chance(b, 3); i--) {
        int32_t d = pick(b, 1, 6);
        while (rest % d)
            d--;
        dims[i] = d;
        rest /= d;
    }
    dims[1] = rest;
    add_node(b, NW_OP_RESHAPE, 1, x, add_moved(b, x, rank, dims));
}

static int32_t divisor(builder *b, int32_t n)
{
    int32_t d = pick(b, 1, 3);
    while (n % d)
        d--;
    return d;
}

/** Depth to space, as exporters write it: channels cut, moved beside rows and columns, joined with them. */
static void add_shuffle(builder *b)
{
    static const int32_t perm[] = {0, 1, 4, 2, 5, 3};
    const int32_t x = any_tensor(b, NW_TYPE_F32, 4);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    const int32_t down = divisor(b, in.dims[1]);
    const int32_t right = divisor(b, in.dims[1] / down);
    const int32_t channels = in.dims[1] / down / right;
    const int32_t cut[] = {1, channels, down, right, in.dims[2], in.dims[3]};
    const int32_t moved[] = {1, channels, in.dims[2], down, in.dims[3], right};
    const int32_t joined[] = {1, channels, in.dims[2] * down, in.dims[3] * right};
    const int32_t first = add_moved(b, x, 6, cut);
    add_node(b, NW_OP_RESHAPE, 1, x, first);
    const int32_t second = add_moved(b, first, 6, moved);
    memcpy(add_node(b, NW_OP_TRANSPOSE, 1, first, second)->perm, perm, sizeof(perm));
    add_node(b, NW_OP_RESHAPE, 1, second, add_moved(b, second, 4, joined));
}

static void add_dequantize(builder *b, int32_t x)
{
    const nw_tensor in = *tensor_at(b, x);
    add_node(b, NW_OP_DEQUANTIZE, 1, x, add_tensor(b, NW_TYPE_F32, in.rank, in.dims));
}

/* ---- float tail ---- */

static int32_t add_constant(builder *b, const nw_tensor *like)
{
    int32_t dims[NW_MAX_RANK];
    const int32_t rank = pick(b, 0, like->rank);
    for (int32_t i = 0; i < rank; i++)
        dims[i] = chance(b, 2) ? 1 : like->dims[like->rank - rank + i];
    const int32_t t = add_tensor(b, NW_TYPE_F32, rank, dims);
    tensor_at(b, t)->data = draw_multipliers(b, (int32_t)nw_tensor_elements(tensor_at(b, t)), 2.0f);
    return t;
}

static void add_float(builder *b)
{
    static const nw_op ops[] = {NW_OP_ADD, NW_OP_SUB, NW_OP_MUL, NW_OP_DIV, NW_OP_SIGMOID, NW_OP_EXP, NW_OP_SOFTMAX};
    const int32_t x = any_tensor(b, NW_TYPE_F32, 0);
    if (x == NW_NONE)
        return;
    const nw_tensor in = *tensor_at(b, x);
    const nw_op op = ops[pick(b, 0, 6)];
    if (op == NW_OP_SIGMOID || op == NW_OP_EXP || op == NW_OP_SOFTMAX) {
        nw_node *node = add_node(b, op, 1, x, add_tensor(b, NW_TYPE_F32, in.rank, in.dims));
        node->axis = op == NW_OP_SOFTMAX ? pick(b, 1, in.rank - 1) : 0;
        return;
    }
    int32_t other = any_tensor(b, NW_TYPE_F32, in.rank);
    bool fits = other != NW_NONE;
    for (int32_t d = 0; fits && d < in.rank; d++)
        fits = tensor_at(b, other)->dims[d] == in.dims[d] || tensor_at(b, other)->dims[d] == 1;
    if (!fits)
        other = add_constant(b, &in);
    const bool first = chance(b, 2);
    nw_node *node = add_node(b, op, 2, first ? x : other, add_tensor(b, NW_TYPE_F32, in.rank, in.dims));
    node->inputs[1] = first ? other : x;
}

static void add_any(builder *b)
{
    const bool pictures = b->options.pictures_only;
    const int32_t op = pick(b, 0, pictures ? 16 : 25);
    const nw_type type = op < 21 ? NW_TYPE_U8 : NW_TYPE_F32;
    int32_t x;
    switch (op) {
    case 0: case 1: case 2: case 3: case 4: case 5:
        add_linear(b, false);
        break;
    case 6: case 7:
        add_linear(b, true);
        break;
    case 8: case 9:
        add_pool(b);
        break;
    case 10:
        add_table(b);
        break;
    case 11:
        if (chance(b, 2))
            add_sum(b);
        else
            add_product(b);
        break;
    case 12: case 13:
        add_concat(b, NW_TYPE_U8);
        break;
    case 14:
        add_slice(b, NW_TYPE_U8);
        break;
    case 15:
        add_pad(b);
        break;
    case 16:
        add_resize(b, type);
        break;
    case 17:
        add_reshape(b, type);
        break;
    case 18:
        add_transpose(b, type);
        break;
    case 19:
        add_fully_connected(b);
        break;
    case 20:
        x = any_tensor(b, NW_TYPE_U8, 0);
        if (x != NW_NONE)
            add_dequantize(b, x);
        break;
    case 21: case 22:
        add_float(b);
        break;
    case 23:
        add_concat(b, type);
        break;
    case 24:
        add_resize(b, type);
        break;
    default:
        if (chance(b, 3))
            add_reshape(b, type);
        else if (chance(b, 3))
            add_shuffle(b);
        else if (chance(b, 2))
            add_transpose(b, type);
        else
            add_slice(b, type);
    }
}

static void add_input(builder *b)
{
    int32_t dims[4] = {1, pick(b, 1, b->options.max_channels), pick(b, 1, b->options.max_size),
                       pick(b, 1, b->options.max_size)};
    while (!small(dims[1], dims[2], dims[3]))
        dims[1] = (dims[1] + 1) / 2;
    const int32_t rank = b->options.pictures_only || !chance(b, 8) ? 4 : 2;
    const int32_t x = add_tensor(b, NW_TYPE_F32, rank, dims);
    b->model->inputs[b->model->n_inputs++] = x;
    const int32_t y = add_codes(b, rank, dims);
    nw_node *node = add_node(b, NW_OP_QUANTIZE, 1, x, y);
    if (chance(b, 2))
        fill_table(b, node, tensor_at(b, y), nw_tensor_channels(tensor_at(b, y)));
}

nw_model *nw_random_graph(uint64_t seed, const nw_graph_options *options)
{
    builder b = {.rng = {seed}, .model = nw_model_create(), .options = *options};
    need(b.model != NULL);
    b.model->inputs = room(2, sizeof(int32_t));
    for (int32_t i = pick(&b, 1, 2); i > 0; i--)
        add_input(&b);
    for (int32_t i = 0; i < options->n_nodes; i++)
        add_any(&b);
    for (int32_t t = 0, n = b.model->n_tensors; t < n; t++)
        if (tensor_at(&b, t)->type == NW_TYPE_U8 && nw_model_uses(b.model, t) == 0)
            add_dequantize(&b, t);
    b.model->outputs = room((size_t)b.model->n_tensors, sizeof(int32_t));
    int32_t n_outputs = 0;
    for (int32_t t = 0; t < b.model->n_tensors; t++)
        if (tensor_at(&b, t)->type == NW_TYPE_F32 && !tensor_at(&b, t)->data &&
            nw_model_producer(b.model, t) != NW_NONE && (nw_model_uses(b.model, t) == 0 || chance(&b, 6)))
            b.model->outputs[n_outputs++] = t;
    b.model->n_outputs = n_outputs;
    return b.model;
}

size_t nw_elements_of(const nw_model *model, const int32_t *tensors, int32_t n)
{
    size_t elements = 0;
    for (int32_t i = 0; i < n; i++)
        elements += nw_tensor_elements(&model->tensors[tensors[i]]);
    return elements;
}

static const nw_node *quantizer_of(const nw_model *model, int32_t input)
{
    for (int32_t n = 0; n < model->n_nodes; n++)
        if (model->nodes[n].op == NW_OP_QUANTIZE && model->nodes[n].inputs[0] == input)
            return &model->nodes[n];
    abort();
}

void nw_random_inputs(nw_rng *rng, const nw_model *model, bool pixels, nw_input *inputs, float *memory)
{
    for (int32_t i = 0; i < model->n_inputs; i++) {
        const nw_node *node = quantizer_of(model, model->inputs[i]);
        const nw_quant *quant = &model->tensors[node->output].quant;
        const size_t n = nw_tensor_elements(&model->tensors[model->inputs[i]]);
        uint8_t *bytes = (uint8_t *)memory;
        inputs[i] = (nw_input){.values = memory};
        if (pixels && node->table)
            inputs[i] = (nw_input){.pixels = bytes};
        for (size_t j = 0; j < n; j++)
            if (inputs[i].pixels)
                bytes[j] = (uint8_t)nw_rng_range(rng, 0, 255);
            else
                memory[j] = quant->scale * ((float)(1 << quant->bits) * (1.2f * nw_rng_unit(rng) - 0.1f) -
                                            (float)quant->zero_point);
        memory += n;
    }
}
