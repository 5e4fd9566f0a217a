/* SPDX-License-Identifier: Apache-2.0 */
/* See naive.h. One small function per section of docs/numerics.md. */
#include "models/naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/elementary.h"

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    if (!memory)
        abort();
    return memory;
}

nw_naive *nw_naive_create(const nw_model *model)
{
    nw_naive *naive = room(1, sizeof(*naive));
    naive->model = model;
    naive->tensors = room((size_t)model->n_tensors, sizeof(*naive->tensors));
    for (int32_t t = 0; t < model->n_tensors; t++) {
        const nw_tensor *tensor = &model->tensors[t];
        const size_t n = nw_tensor_elements(tensor);
        if (tensor->type == NW_TYPE_U8)
            naive->tensors[t].codes = room(n, 1);
        else
            naive->tensors[t].reals = room(n, sizeof(float));
        if (tensor->data)
            memcpy(naive->tensors[t].reals, tensor->data, n * sizeof(float));
    }
    return naive;
}

void nw_naive_free(nw_naive *naive)
{
    for (int32_t t = 0; naive && t < naive->model->n_tensors; t++) {
        free(naive->tensors[t].codes);
        free(naive->tensors[t].reals);
    }
    if (naive)
        free(naive->tensors);
    free(naive);
}

/* ---- one node and what it reads and writes ---- */

typedef struct look {
    const nw_node *node;
    const nw_tensor *x, *y;
    nw_naive_values from, to; /* of the first input and the output */
    const nw_naive *naive;
} look;

static const nw_tensor *tensor_of(const look *l, int32_t i)
{
    return &l->naive->model->tensors[l->node->inputs[i]];
}

static const nw_naive_values *values_of(const look *l, int32_t i)
{
    return &l->naive->tensors[l->node->inputs[i]];
}

/** Index of [c, h, w] in a tensor of a picture. */
static size_t at(const nw_tensor *t, int32_t c, int32_t h, int32_t w)
{
    const size_t height = (size_t)nw_tensor_height(t);
    const size_t width = (size_t)nw_tensor_width(t);
    return ((size_t)c * height + (size_t)h) * width + (size_t)w;
}

static bool inside(const nw_tensor *t, int32_t h, int32_t w)
{
    return h >= 0 && h < nw_tensor_height(t) && w >= 0 && w < nw_tensor_width(t);
}

/** y = z + (rint(min(max(v, lo), hi)) << s); NaN gives lo. */
static uint8_t code_of(const nw_quant *q, int32_t c, float v)
{
    float u = v > q->lo[c] ? v : q->lo[c];
    u = u < q->hi[c] ? u : q->hi[c];
    return (uint8_t)(q->zero_point + (int32_t)nearbyintf(u) * (1 << q->shift[c]));
}

static void store(const look *l, int32_t c, int32_t h, int32_t w, float v)
{
    if (l->y->type == NW_TYPE_U8)
        l->to.codes[at(l->y, c, h, w)] = code_of(&l->y->quant, c, v);
    else
        l->to.reals[at(l->y, c, h, w)] = v;
}

/* ---- the one layer form ---- */

/** Input coordinate that tap t meets from output coordinate o along axis i; false if it meets none. */
static bool meets(const look *l, int i, int32_t o, int32_t t, int32_t *in)
{
    const nw_window *w = &l->node->window;
    if (l->node->op == NW_OP_CONV) {
        *in = o * w->stride[i] - w->pad[i] + t * w->dilation[i];
        return true;
    }
    const int32_t numerator = o + w->pad[i] - t * w->dilation[i];
    *in = numerator / w->stride[i];
    return numerator % w->stride[i] == 0;
}

/** m * f32(acc + z) of one row at one output pixel. Taps outside the picture meet z_x. */
static float term(const look *l, int32_t row, int32_t h, int32_t w)
{
    const nw_linear *linear = l->node->linear;
    const nw_window *window = &l->node->window;
    const int32_t channels = nw_tensor_channels(l->x) / l->node->groups;
    const int32_t group = linear->row_channel[row] / (linear->n_channels / l->node->groups);
    const int32_t zero = l->x->quant.zero_point;
    int64_t acc = 0;
    int64_t offset = 0;
    for (int32_t ky = 0; ky < window->kernel[0]; ky++)
        for (int32_t kx = 0; kx < window->kernel[1]; kx++) {
            int32_t ih;
            int32_t iw;
            if (!meets(l, 0, h, ky, &ih) || !meets(l, 1, w, kx, &iw))
                continue;
            for (int32_t c = 0; c < channels; c++) {
                const size_t k = (size_t)((ky * window->kernel[1] + kx) * channels + c);
                const int64_t weight = linear->weights[(size_t)row * (size_t)linear->k + k];
                const int32_t x =
                    inside(l->x, ih, iw) ? l->from.codes[at(l->x, group * channels + c, ih, iw)] : zero;
                acc += weight * x;
                offset -= weight * zero;
            }
        }
    if (acc > INT32_MAX || acc < INT32_MIN)
        abort(); /* validation promised otherwise */
    if (linear->accumulator == NW_ACCUMULATOR_16_WRAP)
        acc = (int16_t)(uint16_t)(uint64_t)acc;
    return linear->multiplier[row] * (float)(int32_t)(acc + offset);
}

static void linear_pixel(const look *l, int32_t o, int32_t h, int32_t w)
{
    const nw_linear *linear = l->node->linear;
    const int32_t residual = nw_node_residual(l->node);
    float v = linear->bias[o] + term(l, o, h, w);
    for (int32_t row = linear->n_channels; row < linear->n_rows; row++)
        if (linear->row_channel[row] == o)
            v = v + term(l, row, h, w);
    if (residual != NW_NONE) {
        const nw_tensor *r = &l->naive->model->tensors[residual];
        const int32_t code = l->naive->tensors[residual].codes[at(r, o, h, w)];
        v = v + linear->residual_multiplier[o] * (float)(code - r->quant.zero_point);
    }
    store(l, o, h, w, v);
}

/* ---- pooling, sums, borders ---- */

static void pool_pixel(const look *l, int32_t c, int32_t h, int32_t w)
{
    const nw_window *window = &l->node->window;
    int32_t best = 0;
    int32_t sum = 0;
    int32_t n = 0;
    for (int32_t ky = 0; ky < window->kernel[0]; ky++)
        for (int32_t kx = 0; kx < window->kernel[1]; kx++) {
            const int32_t ih = h * window->stride[0] - window->pad[0] + ky * window->dilation[0];
            const int32_t iw = w * window->stride[1] - window->pad[1] + kx * window->dilation[1];
            if (!inside(l->x, ih, iw))
                continue;
            const int32_t x = l->from.codes[at(l->x, c, ih, iw)];
            best = x > best ? x : best;
            sum += x;
            n++;
        }
    if (l->node->op == NW_OP_MAX_POOL) {
        l->to.codes[at(l->y, c, h, w)] = (uint8_t)best;
        return;
    }
    const int32_t count = l->node->count_include_pad ? window->kernel[0] * window->kernel[1] : n;
    const float m = l->node->multipliers[0][c] / (float)count;
    store(l, c, h, w, m * (float)(sum - n * l->x->quant.zero_point));
}

static void add_pixel(const look *l, int32_t c, int32_t h, int32_t w)
{
    const size_t i = at(l->y, c, h, w);
    const float a = l->node->multipliers[0][c] * (float)(l->from.codes[i] - l->x->quant.zero_point);
    const float b =
        l->node->multipliers[1][c] * (float)(values_of(l, 1)->codes[i] - tensor_of(l, 1)->quant.zero_point);
    store(l, c, h, w, a + b);
}

static void multiply_pixel(const look *l, int32_t c, int32_t h, int32_t w)
{
    const nw_tensor *b = tensor_of(l, 1);
    const bool one = nw_tensor_height(b) == 1 && nw_tensor_width(b) == 1;
    const int32_t p = l->from.codes[at(l->x, c, h, w)] - l->x->quant.zero_point;
    const int32_t q = values_of(l, 1)->codes[at(b, c, one ? 0 : h, one ? 0 : w)] - b->quant.zero_point;
    store(l, c, h, w, l->node->multipliers[0][c] * (float)(p * q));
}

static void table_pixel(const look *l, int32_t c, int32_t h, int32_t w)
{
    const size_t table = l->node->n_tables == 1 ? 0 : (size_t)c * 256;
    l->to.codes[at(l->y, c, h, w)] = l->node->table[table + l->from.codes[at(l->x, c, h, w)]];
}

/* ---- resize ---- */

/** Where output i of an axis lies in the input: between low and low + 1, `rest` / `den` of the way. */
typedef struct place {
    int32_t low, high;
    int64_t rest, den;
} place;

static place place_of(const nw_node *node, int64_t i, int64_t in, int64_t out)
{
    place p = {.den = 1};
    int64_t num = i * in;
    p.den = out;
    if (node->resize_mode == NW_RESIZE_LINEAR && node->resize_coordinates != NW_COORDINATES_ASYMMETRIC) {
        const bool corners = node->resize_coordinates == NW_COORDINATES_ALIGN_CORNERS;
        num = corners ? i * (in - 1) : (2 * i + 1) * in - out;
        p.den = corners ? out - 1 : 2 * out;
        if (out == 1 && node->resize_coordinates != NW_COORDINATES_HALF_PIXEL) {
            num = 0;
            p.den = 1;
        }
    }
    num = num < 0 ? 0 : num;
    num = num > (in - 1) * p.den ? (in - 1) * p.den : num;
    p.low = p.high = (int32_t)(num / p.den);
    p.rest = node->resize_mode == NW_RESIZE_LINEAR ? num % p.den : 0;
    p.high += p.rest > 0;
    return p;
}

/** The fraction in units of 2^-11, halves up. */
static int64_t weight_of(const place *p)
{
    return (int64_t)floor((double)(p->rest * 2048) / (double)p->den + 0.5);
}

/** Whether no output lies between two inputs: then nothing is computed, and infinities stay what they are. */
static bool only_copies(const look *l)
{
    const int32_t in[2] = {nw_tensor_height(l->x), nw_tensor_width(l->x)};
    const int32_t out[2] = {nw_tensor_height(l->y), nw_tensor_width(l->y)};
    for (int axis = 0; axis < 2; axis++)
        for (int32_t i = 0; i < out[axis]; i++)
            if (place_of(l->node, i, in[axis], out[axis]).rest)
                return false;
    return true;
}

static void resize_pixel(const look *l, int32_t c, int32_t h, int32_t w)
{
    const place v = place_of(l->node, h, nw_tensor_height(l->x), nw_tensor_height(l->y));
    const place u = place_of(l->node, w, nw_tensor_width(l->x), nw_tensor_width(l->y));
    const size_t corners[4] = {at(l->x, c, v.low, u.low), at(l->x, c, v.low, u.high), at(l->x, c, v.high, u.low),
                               at(l->x, c, v.high, u.high)};
    if (l->x->type == NW_TYPE_U8) {
        const int64_t down = weight_of(&v), right = weight_of(&u);
        const int64_t weights[4] = {(2048 - down) * (2048 - right), (2048 - down) * right, down * (2048 - right),
                                    down * right};
        const nw_quant *q = &l->y->quant;
        int64_t sum = 0;
        for (int i = 0; i < 4; i++)
            sum += weights[i] * (l->from.codes[corners[i]] - q->zero_point);
        const double step = ldexp(1.0, 22 + q->shift[c]);
        const int32_t level = (int32_t)floor((double)sum / step + 0.5); /* exact: all are powers of two */
        l->to.codes[at(l->y, c, h, w)] = (uint8_t)(q->zero_point + level * (1 << q->shift[c]));
        return;
    }
    const float down = (float)v.rest / (float)v.den, right = (float)u.rest / (float)u.den;
    float x[4];
    for (int i = 0; i < 4; i++)
        x[i] = l->from.reals[corners[i]];
    const float a = x[0] + (x[2] - x[0]) * down, b = x[1] + (x[3] - x[1]) * down;
    const float y = only_copies(l) ? x[0] : a + (b - a) * right;
    l->to.reals[at(l->y, c, h, w)] = isnan(y) ? NAN : y;
}

static void dequantize_pixel(const look *l, int32_t c, int32_t h, int32_t w)
{
    const nw_quant *q = &l->x->quant;
    store(l, c, h, w, q->scale * (float)(l->from.codes[at(l->x, c, h, w)] - q->zero_point));
}

static void each_pixel(const look *l, void (*pixel)(const look *l, int32_t c, int32_t h, int32_t w))
{
    for (int32_t c = 0; c < nw_tensor_channels(l->y); c++)
        for (int32_t h = 0; h < nw_tensor_height(l->y); h++)
            for (int32_t w = 0; w < nw_tensor_width(l->y); w++)
                pixel(l, c, h, w);
}

static void quantize(const look *l, const nw_input *input)
{
    const nw_quant *q = &l->y->quant;
    const float inverse = 1.0f / q->scale;
    const int32_t channels = nw_tensor_channels(l->y);
    const size_t plane = nw_tensor_elements(l->y) / (size_t)channels;
    for (int32_t c = 0; c < channels; c++)
        for (size_t i = 0; i < plane; i++) {
            const size_t j = (size_t)c * plane + i;
            if (input->pixels) /* [H, W, C] */
                l->to.codes[j] = l->node->table[(size_t)c * 256 + input->pixels[i * (size_t)channels + (size_t)c]];
            else
                l->to.codes[j] = code_of(q, c, input->values[j] * (inverse * ldexpf(1.0f, -q->shift[c])));
        }
}

/* ---- data movement: an index of the output, split into coordinates, names an element of an input ---- */

static void coordinates(const nw_tensor *t, size_t i, int32_t *c)
{
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        c[d] = (int32_t)(i % (size_t)t->dims[d]);
        i /= (size_t)t->dims[d];
    }
}

static size_t index_of(const nw_tensor *t, const int32_t *c)
{
    size_t i = 0;
    for (int32_t d = 0; d < t->rank; d++)
        i = i * (size_t)t->dims[d] + (size_t)c[d];
    return i;
}

/** y[i] = input[source][j] */
static void move(const look *l, size_t i, int32_t source, size_t j)
{
    if (l->y->type == NW_TYPE_U8)
        l->to.codes[i] = values_of(l, source)->codes[j];
    else
        l->to.reals[i] = values_of(l, source)->reals[j];
}

static void move_element(const look *l, size_t i)
{
    const nw_node *node = l->node;
    int32_t c[NW_MAX_RANK] = {0};
    int32_t from[NW_MAX_RANK];
    int32_t source = 0;
    coordinates(l->y, i, c);
    memcpy(from, c, sizeof(c));
    switch (node->op) {
    case NW_OP_SLICE:
        for (int32_t d = 0; d < l->y->rank; d++)
            from[d] = node->starts[d] + c[d] * node->steps[d];
        break;
    case NW_OP_TRANSPOSE:
        for (int32_t d = 0; d < l->y->rank; d++)
            from[node->perm[d]] = c[d];
        break;
    case NW_OP_CONCAT:
        while (from[node->axis] >= tensor_of(l, source)->dims[node->axis])
            from[node->axis] -= tensor_of(l, source++)->dims[node->axis];
        break;
    case NW_OP_PAD:
        for (int32_t d = 0; d < l->y->rank; d++) {
            from[d] = c[d] - node->pads[d];
            if (from[d] < 0 || from[d] >= l->x->dims[d]) {
                l->to.codes[i] = l->y->quant.zero_point;
                return;
            }
        }
        break;
    default: /* RESHAPE */
        move(l, i, 0, i);
        return;
    }
    move(l, i, source, index_of(tensor_of(l, source), from));
}

/* ---- float tail ---- */

/** The operand's element for coordinates c of the output; axes it lacks or has once repeat. */
static float operand(const look *l, int32_t which, const int32_t *c)
{
    const nw_tensor *t = tensor_of(l, which);
    int32_t own[NW_MAX_RANK] = {0};
    for (int32_t d = 0; d < t->rank; d++)
        own[d] = t->dims[d] == 1 ? 0 : c[l->y->rank - t->rank + d];
    return values_of(l, which)->reals[index_of(t, own)];
}

static float one_nan(float x)
{
    return isnan(x) ? NAN : x;
}

static void float_element(const look *l, size_t i)
{
    int32_t c[NW_MAX_RANK] = {0};
    coordinates(l->y, i, c);
    const float a = operand(l, 0, c);
    const float b = l->node->n_inputs > 1 ? operand(l, 1, c) : 0.0f;
    float v;
    switch (l->node->op) {
    case NW_OP_SIGMOID:
        v = nw_sigmoid(a);
        break;
    case NW_OP_TANH:
        v = nw_tanh(a);
        break;
    case NW_OP_EXP:
        v = nw_exp(a);
        break;
    case NW_OP_RELU:
        v = a > 0.0f ? a : 0.0f;
        break;
    case NW_OP_ADD:
        v = a + b;
        break;
    case NW_OP_SUB:
        v = a - b;
        break;
    case NW_OP_MUL:
        v = a * b;
        break;
    default:
        v = a / b;
        break;
    }
    l->to.reals[i] = one_nan(v);
}

static void softmax(const look *l)
{
    const int32_t n = l->y->dims[l->node->axis];
    size_t step = 1;
    for (int32_t d = l->node->axis + 1; d < l->y->rank; d++)
        step *= (size_t)l->y->dims[d];
    const size_t total = nw_tensor_elements(l->y);
    for (size_t first = 0; first < total; first++) {
        if (first / step % (size_t)n != 0)
            continue;
        float largest = -INFINITY;
        float sum = 0.0f;
        for (int32_t i = 0; i < n; i++) {
            const float x = l->from.reals[first + (size_t)i * step];
            largest = x > largest ? x : largest;
        }
        for (int32_t i = 0; i < n; i++)
            sum = sum + one_nan(nw_exp(l->from.reals[first + (size_t)i * step] - largest));
        for (int32_t i = 0; i < n; i++)
            l->to.reals[first + (size_t)i * step] =
                one_nan(nw_exp(l->from.reals[first + (size_t)i * step] - largest) / sum);
    }
}

static void each_element(const look *l, void (*element)(const look *l, size_t i))
{
    const size_t n = nw_tensor_elements(l->y);
    for (size_t i = 0; i < n; i++)
        element(l, i);
}

static void run_codes(const look *l)
{
    switch (l->node->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
        each_pixel(l, linear_pixel);
        break;
    case NW_OP_MAX_POOL:
    case NW_OP_AVERAGE_POOL:
        each_pixel(l, pool_pixel);
        break;
    case NW_OP_ADD:
        each_pixel(l, add_pixel);
        break;
    case NW_OP_MUL:
        each_pixel(l, multiply_pixel);
        break;
    case NW_OP_TABLE:
        each_pixel(l, table_pixel);
        break;
    case NW_OP_DEQUANTIZE:
        each_pixel(l, dequantize_pixel);
        break;
    default:
        abort(); /* no operator of an integer model */
    }
}

static void run_node(const nw_naive *naive, const nw_node *node, const nw_input *inputs)
{
    const nw_model *model = naive->model;
    const look l = {.node = node,
                    .x = &model->tensors[node->inputs[0]],
                    .y = &model->tensors[node->output],
                    .from = naive->tensors[node->inputs[0]],
                    .to = naive->tensors[node->output],
                    .naive = naive};
    switch (node->op) {
    case NW_OP_QUANTIZE:
        for (int32_t i = 0; i < model->n_inputs; i++)
            if (model->inputs[i] == node->inputs[0])
                quantize(&l, &inputs[i]);
        break;
    case NW_OP_CONCAT:
    case NW_OP_SLICE:
    case NW_OP_PAD:
    case NW_OP_RESHAPE:
    case NW_OP_TRANSPOSE:
        each_element(&l, move_element);
        break;
    case NW_OP_RESIZE:
        each_pixel(&l, resize_pixel);
        break;
    case NW_OP_SOFTMAX:
        softmax(&l);
        break;
    default:
        if (l.x->type == NW_TYPE_F32)
            each_element(&l, float_element);
        else
            run_codes(&l);
    }
}

static size_t bytes_of(size_t n, int32_t bits)
{
    return (n * (size_t)bits + 7) / 8;
}

/** How many channels have something below bit `m`. */
static int32_t fine_channels(const nw_tensor *t, int32_t m)
{
    int32_t n = 0;
    for (int32_t c = 0; c < t->dims[1]; c++)
        n += t->quant.shift[c] < m;
    return n;
}

/** The m that makes a pixel shortest: bits - m bits of every code, m bits more of the fine ones. */
static int32_t split_of(const nw_tensor *t)
{
    int32_t best = 0;
    int32_t least = t->dims[1] * t->quant.bits;
    for (int32_t m = 1; m < t->quant.bits; m++) {
        const int32_t size = t->dims[1] * (t->quant.bits - m) + fine_channels(t, m) * m;
        if (size >= least)
            continue;
        best = m;
        least = size;
    }
    return best;
}

/** Bytes of a block: the symbols of row y in four streams, and two bytes. `fine`: of these channels alone. */
static size_t block_of(const nw_symbol_code *code, const uint8_t *codes, const nw_tensor *t, int32_t y, int32_t bits,
                       int32_t shift, bool fine)
{
    const int32_t step = bits <= 4 ? 2 : 1;
    const int32_t width = t->dims[3];
    const int32_t channels = fine ? fine_channels(t, shift ? shift : bits) : t->dims[1];
    const int32_t n = (width + step - 1) / step * channels;
    const int32_t zero = fine ? 0 : t->quant.zero_point >> shift;
    size_t size[4] = {0};
    int32_t i = 0;
    for (int32_t x = 0; x < width; x += step)
        for (int32_t c = 0; c < t->dims[1]; c++) {
            if (fine && t->quant.shift[c] >= bits)
                continue;
            const uint8_t *at = &codes[((size_t)c * (size_t)t->dims[2] + (size_t)y) * (size_t)width + (size_t)x];
            int32_t symbol = at[0] / (1 << shift) % (1 << bits);
            if (step == 2)
                symbol += (x + 1 < width ? at[1] / (1 << shift) % (1 << bits) : zero) * (1 << bits);
            int32_t q = 0;
            while ((int64_t)n * (q + 1) / 4 <= i)
                q++;
            size[q] += code->lengths[symbol];
            i++;
        }
    for (int32_t q = 0; q < 4; q++)
        size[q] = bytes_of(size[q], 1);
    return 2 + size[0] + size[1] + size[2] + size[3];
}

/** Bytes of row y in words. */
static size_t words_of(const nw_model *model, const uint8_t *codes, const nw_tensor *t, int32_t y, int32_t m)
{
    const nw_symbol_code *all = model->symbol_codes;
    const size_t first = block_of(&all[t->quant.code - 1], codes, t, y, t->quant.bits - m, m, false);
    const int32_t n_fine = fine_channels(t, m);
    if (!n_fine)
        return first;
    return 2 + first +
           (t->quant.low_code ? block_of(&all[t->quant.low_code - 1], codes, t, y, m, 0, true)
                              : bytes_of((size_t)t->dims[3] * (size_t)n_fine, m));
}

/**
 * Arena budget (docs/numerics.md): a row that fits its slot in no form loses the bits below 1 << m. With `words`, the
 * model, rows may be words of its codes instead of a map and codes.
 */
static void drop_row(const nw_model *words, uint8_t *codes, const nw_tensor *t, int32_t y, size_t slot)
{
    const int32_t m = split_of(t);
    const int32_t bits = t->quant.bits - m;
    const size_t plane = (size_t)t->dims[2] * (size_t)t->dims[3];
    const size_t width = (size_t)t->dims[3];
    const size_t n = width * (size_t)t->dims[1];
    size_t n_codes = 0;
    size_t n_low = 0;
    for (int32_t c = 0; c < t->dims[1]; c++)
        for (size_t x = 0; x < width; x++) {
            const bool zero = codes[(size_t)c * plane + (size_t)y * width + x] == t->quant.zero_point;
            n_codes += !zero;
            n_low += !zero && t->quant.shift[c] < m;
        }
    const size_t plain = bytes_of(n, bits) + bytes_of(width * (size_t)fine_channels(t, m), m);
    const size_t map = bytes_of(n, 1) + bytes_of(n_codes, bits) + bytes_of(n_low, m);
    if (plain <= slot || (words ? words_of(words, codes, t, y, m) : map) <= slot)
        return;
    for (int32_t c = 0; c < t->dims[1]; c++)
        for (size_t x = 0; x < width; x++) {
            uint8_t *code = &codes[(size_t)c * plane + (size_t)y * width + x];
            *code = (uint8_t)(t->quant.zero_point + (*code - t->quant.zero_point) / (1 << m) * (1 << m));
        }
}

void nw_naive_run(nw_naive *naive, const nw_input *inputs)
{
    for (int32_t n = 0; n < naive->model->n_nodes; n++) {
        const int32_t t = naive->model->nodes[n].output;
        run_node(naive, &naive->model->nodes[n], inputs);
        for (int32_t y = 0; naive->slots && naive->slots[t] && y < naive->model->tensors[t].dims[2]; y++)
            drop_row(naive->words && naive->model->tensors[t].quant.code ? naive->model : NULL, naive->tensors[t].codes,
                     &naive->model->tensors[t], y, naive->slots[t]);
    }
}
