/* SPDX-License-Identifier: Apache-2.0 */
/* See nw_random.h. */
#include "models/nw_random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pixel.h"

#define MAX_CHANNELS 12

uint64_t nw_rng_next(nw_rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int32_t nw_rng_range(nw_rng *rng, int32_t lo, int32_t hi)
{
    return lo + (int32_t)(nw_rng_next(rng) % (uint64_t)((int64_t)hi - lo + 1));
}

float nw_rng_unit(nw_rng *rng)
{
    return (float)(nw_rng_next(rng) >> 40) * 0x1p-24f;
}

/** The model under construction. Memory that runs out sets `failed`; the rest then does nothing. */
typedef struct builder {
    nw_rng rng;
    nw_model *model;
    bool failed;
} builder;

static int32_t pick(builder *b, int32_t lo, int32_t hi)
{
    return nw_rng_range(&b->rng, lo, hi);
}

static bool chance(builder *b, int32_t one_in)
{
    return pick(b, 1, one_in) == 1;
}

static nw_tensor *tensor_at(builder *b, int32_t index)
{
    return &b->model->tensors[index];
}

static int32_t add_tensor(builder *b, nw_type type, int32_t rank, const int32_t *dims)
{
    char name[16];
    snprintf(name, sizeof(name), "t%d", (int)b->model->n_tensors);
    const int32_t index = nw_model_add_tensor(b->model, name, type, rank, dims);
    if (index == NW_NONE || (type == NW_TYPE_U8 && nw_tensor_alloc_quant(tensor_at(b, index)))) {
        b->failed = true;
        return NW_NONE;
    }
    return index;
}

/** Random width, zero point, limits and shifts. */
static void fill_quant(builder *b, nw_tensor *tensor)
{
    nw_quant *quant = &tensor->quant;
    const bool plain = chance(b, 2);
    quant->bits = (uint8_t)(plain ? 8 : pick(b, 1, 8));
    const int32_t most_shift = chance(b, 3) ? pick(b, 0, quant->bits - 1) : 0;
    const int32_t step = 1 << most_shift, codes = 1 << quant->bits;
    quant->zero_point = (uint8_t)(chance(b, 2) ? 0 : pick(b, 0, (codes - 1) / step) * step);
    quant->scale = 0.01f + nw_rng_unit(&b->rng);
    for (int32_t c = 0; c < nw_tensor_channels(tensor); c++) {
        const int32_t shift = chance(b, 2) ? most_shift : 0;
        const int32_t lowest = -(quant->zero_point >> shift), highest = (codes - 1 - quant->zero_point) >> shift;
        quant->shift[c] = (uint8_t)shift;
        quant->lo[c] = (float)(plain ? lowest : pick(b, lowest, 0));
        quant->hi[c] = (float)(plain ? highest : pick(b, 0, highest));
    }
}

/** The grid of `from` with the widest limits, so that any of its codes fits: for nodes that move codes. */
static void copy_grid(nw_tensor *to, const nw_quant *from)
{
    to->quant.bits = from->bits;
    to->quant.zero_point = from->zero_point;
    to->quant.scale = from->scale;
    for (int32_t c = 0; c < nw_tensor_channels(to); c++) {
        to->quant.lo[c] = -(float)from->zero_point;
        to->quant.hi[c] = (float)((1 << from->bits) - 1 - from->zero_point);
    }
}

static nw_node *add_node(builder *b, nw_op op, int32_t n_inputs, int32_t x, int32_t y)
{
    char name[40];
    snprintf(name, sizeof(name), "%s_%d", nw_op_name(op), (int)b->model->n_nodes);
    nw_node *node = b->failed ? NULL : nw_model_add_node(b->model, op, name, n_inputs);
    if (!node) {
        b->failed = true;
        return NULL;
    }
    node->inputs[0] = x;
    node->output = y;
    return node;
}

static float *random_multipliers(builder *b, int32_t n, float size)
{
    float *values = malloc((size_t)n * sizeof(*values));
    b->failed |= !values;
    for (int32_t i = 0; values && i < n; i++)
        values[i] = size * (0.25f + nw_rng_unit(&b->rng));
    return values;
}

/** A picture of the same grid as x whose code of a channel never leaves that channel. */
static int32_t add_moved(builder *b, int32_t x, int32_t rank, const int32_t *dims)
{
    const int32_t y = add_tensor(b, NW_TYPE_U8, rank, dims);
    if (y != NW_NONE)
        copy_grid(tensor_at(b, y), &tensor_at(b, x)->quant);
    return y;
}

static int32_t add_picture(builder *b, int32_t channels, int32_t height, int32_t width)
{
    const int32_t y = add_tensor(b, NW_TYPE_U8, 4, (int32_t[]){1, channels, height, width});
    if (y != NW_NONE)
        fill_quant(b, tensor_at(b, y));
    return y;
}

static void random_window(builder *b, nw_window *window)
{
    for (int i = 0; i < 2; i++) {
        window->kernel[i] = pick(b, 1, 3);
        window->stride[i] = pick(b, 1, 2);
        window->dilation[i] = pick(b, 1, 2);
        window->pad[i] = pick(b, 0, window->kernel[i] - 1);
        window->pad[i + 2] = pick(b, 0, window->kernel[i] - 1);
    }
}

/** Output size along an axis; the window is made smaller until it fits. */
static int32_t fit_window(nw_window *window, int axis, int32_t size)
{
    const int32_t extent = window->dilation[axis] * (window->kernel[axis] - 1) + 1;
    const int32_t room = size + window->pad[axis] + window->pad[axis + 2] - extent;
    if (room >= 0)
        return room / window->stride[axis] + 1;
    window->kernel[axis] = 1;
    window->pad[axis] = window->pad[axis + 2] = 0;
    return (size - 1) / window->stride[axis] + 1;
}

/** As fit_window, for the transposed window. */
static int32_t fit_transposed(nw_window *window, int axis, int32_t size)
{
    const int32_t extent = window->dilation[axis] * (window->kernel[axis] - 1) + 1;
    const int32_t whole = window->stride[axis] * (size - 1) + extent;
    if (whole <= window->pad[axis] + window->pad[axis + 2])
        window->pad[axis] = window->pad[axis + 2] = 0;
    return whole - window->pad[axis] - window->pad[axis + 2];
}

/** Channels that get a further point: each row above n_channels repeats a channel of the point before. */
static int32_t random_points(builder *b, int32_t channels, int32_t *row_channel)
{
    int32_t n = channels, begin = 0;
    for (int32_t o = 0; o < channels; o++)
        row_channel[o] = o;
    for (int p = 2; p <= NW_MAX_POINTS && n > begin && chance(b, 2); p++) {
        const int32_t end = n;
        for (int32_t row = begin; row < end; row++)
            if (chance(b, 3))
                row_channel[n++] = row_channel[row];
        begin = end;
    }
    return n;
}

static void fill_row(builder *b, nw_linear *linear, int32_t row, int32_t zero_point)
{
    const int32_t largest = linear->weight_bits == 1 ? 1 : (1 << (linear->weight_bits - 1)) - 1;
    int32_t sum = 0;
    for (int32_t k = 0; k < linear->k; k++) {
        int32_t w = linear->weight_bits == 1 ? 1 - 2 * pick(b, 0, 1) : pick(b, -largest, largest);
        if (linear->levels)
            w = w < 0 ? -linear->levels[-w] : linear->levels[w];
        linear->weights[row * linear->k + k] = (int8_t)w;
        sum += w;
    }
    linear->offset[row] = -zero_point * sum;
    linear->multiplier[row] = chance(b, 12) ? 0.0f : (0.1f + nw_rng_unit(&b->rng)) / (float)(largest * 4);
}

/** A random code book: ascending from 0. */
static void add_levels(builder *b, nw_linear *linear)
{
    const int32_t n = 1 << (linear->weight_bits - 1);
    linear->levels = calloc((size_t)n, 1);
    b->failed |= !linear->levels;
    for (int32_t i = 1; linear->levels && i < n; i++)
        linear->levels[i] = (uint8_t)(linear->levels[i - 1] + pick(b, 1, 127 / n));
}

static nw_linear *random_linear(builder *b, int32_t channels, int32_t k, int32_t zero_point, bool residual)
{
    int32_t row_channel[NW_MAX_POINTS * MAX_CHANNELS];
    const int32_t rows = random_points(b, channels, row_channel);
    nw_linear *linear = nw_linear_create(channels, rows, k, residual);
    b->failed |= !linear;
    if (!linear)
        return NULL;
    linear->weight_bits = (uint8_t)pick(b, 1, 8);
    if (linear->weight_bits > 1 && linear->weight_bits < 7 && chance(b, 4))
        add_levels(b, linear);
    linear->accumulator = (uint8_t)(chance(b, 4) ? pick(b, 0, NW_ACCUMULATOR_COUNT - 1) : NW_ACCUMULATOR_AUTO);
    memcpy(linear->row_channel, row_channel, (size_t)rows * sizeof(*row_channel));
    for (int32_t row = 0; row < rows; row++)
        fill_row(b, linear, row, zero_point);
    for (int32_t o = 0; o < channels; o++) {
        linear->bias[o] = 40.0f * nw_rng_unit(&b->rng) - 20.0f;
        if (residual)
            linear->residual_multiplier[o] = 0.1f + nw_rng_unit(&b->rng);
    }
    return linear;
}

/** A divisor of both numbers, 1 in half of the cases. */
static int32_t random_groups(builder *b, int32_t in, int32_t out)
{
    int32_t groups = chance(b, 2) ? 1 : pick(b, 1, in);
    while (in % groups || out % groups)
        groups--;
    return groups;
}

static int32_t random_conv(builder *b, int32_t x, bool transposed)
{
    const nw_tensor in = *tensor_at(b, x);
    nw_window window;
    random_window(b, &window);
    int32_t out[2];
    for (int i = 0; i < 2; i++)
        out[i] = transposed ? fit_transposed(&window, i, in.dims[2 + i]) : fit_window(&window, i, in.dims[2 + i]);
    const bool depthwise = chance(b, 3);
    const int32_t channels = depthwise ? in.dims[1] : pick(b, 1, MAX_CHANNELS);
    const int32_t groups = depthwise ? channels : random_groups(b, in.dims[1], channels);
    const int32_t y = add_picture(b, channels, out[0], out[1]);
    const bool residual = out[0] == in.dims[2] && out[1] == in.dims[3] && channels == in.dims[1] && chance(b, 2);
    nw_node *node = add_node(b, transposed ? NW_OP_CONV_TRANSPOSE : NW_OP_CONV, residual ? 4 : 1, x, y);
    if (!node)
        return NW_NONE;
    if (residual)
        node->inputs[3] = x;
    node->window = window;
    node->groups = groups;
    node->linear = random_linear(b, channels, window.kernel[0] * window.kernel[1] * in.dims[1] / groups,
                                 in.quant.zero_point, residual);
    return y;
}

static int32_t random_pool(builder *b, int32_t x, bool average)
{
    const nw_tensor in = *tensor_at(b, x);
    nw_window window;
    random_window(b, &window);
    int32_t out[2];
    for (int i = 0; i < 2; i++) {
        window.dilation[i] = 1; /* with the pads below the kernel every window then touches the picture */
        if (chance(b, 4)) {
            window.kernel[i] = in.dims[2 + i];
            window.pad[i] = window.pad[i + 2] = 0;
        }
        out[i] = fit_window(&window, i, in.dims[2 + i]);
        if (window.stride[i] * (out[i] - 1) >= in.dims[2 + i] + window.pad[i])
            window.stride[i] = 1, out[i] = fit_window(&window, i, in.dims[2 + i]);
    }
    const int32_t dims[4] = {1, in.dims[1], out[0], out[1]};
    const int32_t y = average ? add_picture(b, dims[1], dims[2], dims[3]) : add_moved(b, x, 4, dims);
    nw_node *node = add_node(b, average ? NW_OP_AVERAGE_POOL : NW_OP_MAX_POOL, 1, x, y);
    if (!node)
        return NW_NONE;
    node->window = window;
    node->count_include_pad = average && chance(b, 2);
    if (average)
        node->multipliers[0] = random_multipliers(b, dims[1], 1.0f);
    return y;
}

static int32_t random_table(builder *b, int32_t x)
{
    const nw_tensor in = *tensor_at(b, x);
    const int32_t y = add_picture(b, in.dims[1], in.dims[2], in.dims[3]);
    nw_node *node = add_node(b, NW_OP_TABLE, 1, x, y);
    const int32_t channels = in.dims[1];
    uint8_t *table = node ? malloc((size_t)channels * 256) : NULL;
    b->failed |= !table;
    if (!table)
        return NW_NONE;
    const nw_quant *quant = &tensor_at(b, y)->quant;
    for (int32_t c = 0; c < channels; c++)
        for (int32_t i = 0; i < 256; i++)
            table[c * 256 + i] = (uint8_t)(quant->zero_point + pick(b, (int32_t)quant->lo[c], (int32_t)quant->hi[c]) *
                                                                   (1 << quant->shift[c]));
    node->table = table;
    node->n_tables = channels;
    return y;
}

static int32_t random_add(builder *b, int32_t x)
{
    const nw_tensor in = *tensor_at(b, x);
    const int32_t other = chance(b, 2) ? random_table(b, x) : x;
    const int32_t y = b->failed ? NW_NONE : add_picture(b, in.dims[1], in.dims[2], in.dims[3]);
    nw_node *node = add_node(b, NW_OP_ADD, 2, x, y);
    if (!node)
        return NW_NONE;
    node->inputs[1] = other;
    node->multipliers[0] = random_multipliers(b, in.dims[1], 0.7f);
    node->multipliers[1] = random_multipliers(b, in.dims[1], 0.7f);
    return y;
}

/** A product with itself, or with the mean of every channel. */
static int32_t random_product(builder *b, int32_t x)
{
    const nw_tensor in = *tensor_at(b, x);
    int32_t other = x;
    if (chance(b, 2)) {
        other = add_picture(b, in.dims[1], 1, 1);
        nw_node *pool = add_node(b, NW_OP_AVERAGE_POOL, 1, x, other);
        if (!pool)
            return NW_NONE;
        memcpy(pool->window.kernel, &in.dims[2], sizeof(pool->window.kernel));
        pool->multipliers[0] = random_multipliers(b, in.dims[1], 1.0f);
    }
    const int32_t y = b->failed ? NW_NONE : add_picture(b, in.dims[1], in.dims[2], in.dims[3]);
    nw_node *node = add_node(b, NW_OP_MUL, 2, x, y);
    if (!node)
        return NW_NONE;
    node->inputs[1] = other;
    node->multipliers[0] = random_multipliers(b, in.dims[1], 0.02f);
    return y;
}

static int32_t random_concat(builder *b, int32_t x)
{
    const nw_tensor in = *tensor_at(b, x);
    const int32_t n = pick(b, 2, 3);
    if (n * in.dims[1] > MAX_CHANNELS)
        return x;
    const int32_t y = add_moved(b, x, 4, (int32_t[]){1, n * in.dims[1], in.dims[2], in.dims[3]});
    nw_node *node = add_node(b, NW_OP_CONCAT, n, x, y);
    if (!node)
        return NW_NONE;
    node->axis = 1;
    for (int32_t i = 1; i < n; i++)
        node->inputs[i] = x;
    return y;
}

static int32_t random_slice(builder *b, int32_t x)
{
    const nw_tensor in = *tensor_at(b, x);
    int32_t starts[4] = {0}, steps[4] = {1, 1, 1, 1}, dims[4] = {1, 1, 1, 1};
    for (int i = 1; i < 4; i++) {
        starts[i] = pick(b, 0, in.dims[i] / 2);
        steps[i] = pick(b, 1, 2);
        dims[i] = pick(b, 1, (in.dims[i] - 1 - starts[i]) / steps[i] + 1);
    }
    const int32_t y = add_moved(b, x, 4, dims);
    nw_node *node = add_node(b, NW_OP_SLICE, 1, x, y);
    if (!node)
        return NW_NONE;
    memcpy(node->starts, starts, sizeof(starts));
    memcpy(node->steps, steps, sizeof(steps));
    return y;
}

static int32_t random_pad(builder *b, int32_t x)
{
    const nw_tensor in = *tensor_at(b, x);
    int32_t pads[8] = {0}, dims[4] = {1, 0, 0, 0};
    for (int i = 1; i < 4; i++) {
        pads[i] = i == 1 && in.dims[1] >= MAX_CHANNELS - 2 ? 0 : pick(b, 0, 1);
        pads[4 + i] = i == 1 && in.dims[1] >= MAX_CHANNELS - 2 ? 0 : pick(b, 0, 1);
        dims[i] = in.dims[i] + pads[i] + pads[4 + i];
    }
    const int32_t y = add_moved(b, x, 4, dims);
    nw_node *node = add_node(b, NW_OP_PAD, 1, x, y);
    if (!node)
        return NW_NONE;
    memcpy(node->pads, pads, sizeof(pads));
    return y;
}

static int32_t random_transpose(builder *b, int32_t x)
{
    static const int32_t perms[3][4] = {{0, 1, 3, 2}, {0, 2, 3, 1}, {0, 3, 1, 2}};
    const nw_tensor in = *tensor_at(b, x);
    const int32_t *perm = perms[pick(b, 0, 2)];
    if (in.dims[perm[1]] > MAX_CHANNELS)
        perm = perms[0];
    const int32_t y = add_moved(b, x, 4, (int32_t[]){1, in.dims[perm[1]], in.dims[perm[2]], in.dims[perm[3]]});
    nw_node *node = add_node(b, NW_OP_TRANSPOSE, 1, x, y);
    if (!node)
        return NW_NONE;
    memcpy(node->perm, perm, 4 * sizeof(*perm));
    return y;
}

static int32_t random_resize(builder *b, int32_t x)
{
    const nw_tensor in = *tensor_at(b, x);
    const int32_t dims[4] = {1, in.dims[1], pick(b, 1, 2 * in.dims[2]), pick(b, 1, 2 * in.dims[3])};
    const int32_t y = add_moved(b, x, 4, dims);
    nw_node *node = add_node(b, NW_OP_RESIZE, 1, x, y);
    if (!node)
        return NW_NONE;
    node->resize_mode = chance(b, 3) ? NW_RESIZE_NEAREST : NW_RESIZE_LINEAR;
    node->resize_coordinates = node->resize_mode == NW_RESIZE_LINEAR ? (nw_resize_coordinates)pick(b, 0, 3)
                                                                     : NW_COORDINATES_ASYMMETRIC;
    return y;
}

static int32_t random_step(builder *b, int32_t x)
{
    switch (pick(b, 0, 15)) {
    case 0:
        return random_conv(b, x, true);
    case 1:
        return random_pool(b, x, false);
    case 2:
        return random_pool(b, x, true);
    case 3:
        return random_table(b, x);
    case 4:
        return random_add(b, x);
    case 5:
        return random_concat(b, x);
    case 6:
        return random_slice(b, x);
    case 7:
        return random_pad(b, x);
    case 8:
        return random_transpose(b, x);
    case 9:
        return random_resize(b, x);
    case 10:
        return random_product(b, x);
    default:
        return random_conv(b, x, false);
    }
}

/** F32 picture -> U8, by the scale or by tables of pixels. */
static int32_t begin_model(builder *b)
{
    const int32_t dims[4] = {1, pick(b, 1, 8), pick(b, 1, 12), pick(b, 1, 12)};
    const int32_t x = add_tensor(b, NW_TYPE_F32, 4, dims);
    const int32_t y = add_picture(b, dims[1], dims[2], dims[3]);
    nw_node *node = add_node(b, NW_OP_QUANTIZE, 1, x, y);
    int32_t *inputs = node ? malloc(sizeof(*inputs)) : NULL;
    b->failed |= !inputs;
    if (!inputs)
        return NW_NONE;
    inputs[0] = x;
    b->model->inputs = inputs;
    b->model->n_inputs = 1;
    if (chance(b, 2))
        return y;
    node->table = malloc((size_t)dims[1] * 256);
    b->failed |= !node->table;
    node->n_tables = dims[1];
    const nw_quant *quant = &tensor_at(b, y)->quant;
    for (int32_t i = 0; node->table && i < dims[1] * 256; i++) {
        const int32_t c = i / 256, range = (int32_t)(quant->hi[c] - quant->lo[c]);
        const int32_t level = (int32_t)quant->lo[c] + i % 256 * range / 255;
        node->table[i] = (uint8_t)(quant->zero_point + level * (1 << quant->shift[c]));
    }
    return y;
}

/** A constant of one number per channel. */
static int32_t add_constant(builder *b, int32_t rank, int32_t channels)
{
    const int32_t index = add_tensor(b, NW_TYPE_F32, rank, (int32_t[]){1, channels, 1, 1});
    if (index != NW_NONE)
        tensor_at(b, index)->data = random_multipliers(b, channels, 2.0f);
    return index;
}

/** Flattened, through a fully connected layer to F32, then one float operator. */
static int32_t end_in_classes(builder *b, int32_t x)
{
    const int32_t n = (int32_t)nw_tensor_elements(tensor_at(b, x)), classes = pick(b, 2, MAX_CHANNELS);
    const int32_t flat = add_moved(b, x, 2, (int32_t[]){1, n});
    add_node(b, NW_OP_RESHAPE, 1, x, flat);
    const int32_t logits = b->failed ? NW_NONE : add_tensor(b, NW_TYPE_F32, 2, (int32_t[]){1, classes});
    nw_node *node = add_node(b, NW_OP_CONV, 1, flat, logits);
    if (!node)
        return NW_NONE;
    node->linear = random_linear(b, classes, n, tensor_at(b, flat)->quant.zero_point, false);
    return logits;
}

static int32_t random_tail(builder *b, int32_t x)
{
    static const nw_op ops[] = {NW_OP_SOFTMAX, NW_OP_SIGMOID, NW_OP_EXP, NW_OP_MUL, NW_OP_ADD, NW_OP_SUB, NW_OP_DIV};
    const nw_tensor in = *tensor_at(b, x);
    const nw_op op = ops[pick(b, 0, 6)];
    const bool binary = op == NW_OP_MUL || op == NW_OP_ADD || op == NW_OP_SUB || op == NW_OP_DIV;
    const int32_t other = binary ? add_constant(b, in.rank, in.dims[1]) : NW_NONE;
    const int32_t y = b->failed ? NW_NONE : add_tensor(b, NW_TYPE_F32, in.rank, in.dims);
    nw_node *node = add_node(b, op, binary ? 2 : 1, x, y);
    if (!node)
        return NW_NONE;
    if (binary)
        node->inputs[1] = other;
    if (op == NW_OP_SOFTMAX)
        node->axis = 1;
    return y;
}

static int32_t end_model(builder *b, int32_t x)
{
    int32_t y = x;
    if (chance(b, 2)) {
        y = end_in_classes(b, x);
    } else {
        const nw_tensor in = *tensor_at(b, x);
        y = add_tensor(b, NW_TYPE_F32, in.rank, in.dims);
        add_node(b, NW_OP_DEQUANTIZE, 1, x, y);
    }
    return b->failed || chance(b, 3) ? y : random_tail(b, y);
}

nw_model *nw_random_model(uint64_t seed, int32_t n_nodes)
{
    builder b = {.rng = {seed}, .model = nw_model_create()};
    if (!b.model)
        return NULL;
    int32_t x = begin_model(&b);
    for (int32_t i = 0; !b.failed && i < n_nodes; i++)
        if (nw_tensor_elements(tensor_at(&b, x)) < 4096)
            x = random_step(&b, x);
    if (!b.failed)
        x = end_model(&b, x);
    b.model->outputs = b.failed ? NULL : malloc(sizeof(int32_t));
    if (!b.model->outputs) {
        nw_model_free(b.model);
        return NULL;
    }
    b.model->outputs[0] = x;
    b.model->n_outputs = 1;
    return b.model;
}

void nw_random_sparsify(nw_model *model, uint64_t seed)
{
    nw_rng rng = {seed};
    model->weight_storage = NW_STORED_CODED;
    for (int32_t i = 0; i < model->n_nodes; i++) {
        nw_linear *linear = model->nodes[i].linear;
        if (!linear || linear->weight_bits == 1)
            continue;
        const int32_t zero_point = model->tensors[model->nodes[i].inputs[0]].quant.zero_point;
        const int8_t one = linear->levels ? (int8_t)linear->levels[1] : 1;
        for (int32_t j = 0; j < linear->n_rows * linear->k; j++) {
            const int32_t kind = nw_rng_range(&rng, 0, 31); /* one in 32 stays what it is */
            if (kind)
                linear->weights[j] = kind == 1 ? one : kind == 2 ? (int8_t)-one : 0;
        }
        for (int32_t row = 0; row < linear->n_rows; row++)
            nw_linear_set_offset(linear, row, zero_point);
    }
}

/** 1 + index of one of the codes for symbols of codes of `bits` bits; 0: none. */
static uint16_t random_code(nw_rng *rng, const nw_model *model, int32_t bits)
{
    const int32_t symbol_bits = bits <= 4 ? 2 * bits : bits;
    const int32_t index = nw_rng_range(rng, 0, model->n_symbol_codes - 1);
    return bits >= 1 && bits <= 7 && model->symbol_codes[index].bits == symbol_bits ? (uint16_t)(index + 1) : 0;
}

bool nw_random_codes(nw_model *model, uint64_t seed)
{
    enum { N = 32 };
    nw_rng rng = {seed};
    model->symbol_codes = calloc(N, sizeof(*model->symbol_codes));
    if (!model->symbol_codes)
        return false;
    model->n_symbol_codes = N;
    for (int32_t i = 0; i < N; i++) {
        uint64_t counts[NW_PREFIX_SYMBOLS];
        nw_symbol_code *code = &model->symbol_codes[i];
        code->bits = (uint8_t)(1 + i % 8);
        for (int32_t s = 0; s < 1 << code->bits; s++)
            counts[s] = (uint64_t)nw_rng_range(&rng, 0, 1000) >> nw_rng_range(&rng, 0, 12);
        nw_prefix_code_make(code->lengths, counts, (size_t)1 << code->bits);
    }
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_quant *quant = &model->tensors[t].quant;
        if (model->tensors[t].type != NW_TYPE_U8)
            continue;
        int64_t pixel_bits;
        const int32_t channels = nw_tensor_channels(&model->tensors[t]);
        const int32_t shift = nw_pixel_shift(channels, quant->bits, quant->shift, &pixel_bits);
        for (int32_t tries = 0; tries < 12 && !quant->code; tries++)
            quant->code = random_code(&rng, model, quant->bits - shift);
        for (int32_t tries = 0; tries < 6 && quant->code && !quant->low_code; tries++)
            quant->low_code = nw_pixel_fine(channels, quant->shift, shift) ? random_code(&rng, model, shift) : 0;
    }
    return true;
}
