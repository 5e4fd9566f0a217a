/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data movement, resize, softmax and broadcasting on dense tensors. See plain.h.
 */
#include "float/plain.h"

#include <math.h>
#include <string.h>

#include "base/arith.h"
#include "float/plain_window.h"

/* Strides of a dense tensor; *elements becomes their number. */
static void dense_strides(const nw_plain_view *view, int64_t strides[NW_MAX_RANK], int64_t *elements)
{
    int64_t size = 1;
    for (int i = view->rank - 1; i >= 0; i--) {
        strides[i] = size;
        size *= view->dims[i];
    }
    *elements = size;
}

/* Next index in row-major order. */
static void advance(int64_t index[NW_MAX_RANK], const int64_t *dims, int32_t rank)
{
    for (int i = rank - 1; i >= 0; i--) {
        if (++index[i] < dims[i])
            return;
        index[i] = 0;
    }
}

/*
 * Copies out[index] = from[sum index[i] * strides[i]], the last dimension in an inner loop. It serves SLICE, TRANSPOSE
 * and, on a part of the result, PAD.
 */
static void copy_strided(float *out, const int64_t *out_strides, const float *from, const int64_t *strides,
                         const int64_t *dims, int32_t rank)
{
    int64_t index[NW_MAX_RANK] = {0}, rows = 1;
    if (rank == 0) {
        *out = *from;
        return;
    }
    const int32_t last = rank - 1;
    for (int32_t i = 0; i < last; i++)
        rows *= dims[i];
    for (int64_t r = 0; r < rows; r++) {
        int64_t source = 0, target = 0;
        for (int32_t i = 0; i < last; i++) {
            source += index[i] * strides[i];
            target += index[i] * out_strides[i];
        }
        for (int64_t x = 0; x < dims[last]; x++)
            out[target + x * out_strides[last]] = from[source + x * strides[last]];
        advance(index, dims, last);
    }
}

static void plain_slice(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    (void)n_inputs;
    int64_t strides[NW_MAX_RANK], out_strides[NW_MAX_RANK], elements, start = 0;
    dense_strides(in, strides, &elements);
    dense_strides(out, out_strides, &elements);
    for (int32_t i = 0; i < in->rank; i++) {
        start += node->starts[i] * strides[i];
        strides[i] *= node->steps[i];
    }
    copy_strided(out->data, out_strides, in->data + start, strides, out->dims, out->rank);
}

static void plain_transpose(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    (void)n_inputs;
    int64_t strides[NW_MAX_RANK], permuted[NW_MAX_RANK], out_strides[NW_MAX_RANK], elements;
    dense_strides(in, strides, &elements);
    dense_strides(out, out_strides, &elements);
    for (int32_t i = 0; i < in->rank; i++)
        permuted[i] = strides[node->perm[i]];
    copy_strided(out->data, out_strides, in->data, permuted, out->dims, out->rank);
}

static void plain_pad(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    (void)n_inputs;
    int64_t strides[NW_MAX_RANK], out_strides[NW_MAX_RANK], elements, start = 0;
    dense_strides(out, out_strides, &elements);
    for (int64_t i = 0; i < elements; i++)
        out->data[i] = node->alpha;
    dense_strides(in, strides, &elements);
    for (int32_t i = 0; i < in->rank; i++)
        start += node->pads[i] * out_strides[i];
    copy_strided(out->data + start, out_strides, in->data, strides, in->dims, in->rank);
}

/* Along the channels it also joins blocked tensors whose blocks are full: a sample's channels lie together as well. */
static void plain_concat(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    int64_t outer = 1, inner = 1, offset = 0;
    for (int32_t i = 0; i < node->axis; i++)
        outer *= out->dims[i];
    for (int32_t i = node->axis + 1; i < out->rank; i++)
        inner *= out->dims[i];
    const int64_t out_row = out->dims[node->axis] * inner;
    for (int32_t k = 0; k < n_inputs; k++) {
        const int64_t row = in[k].dims[node->axis] * inner;
        for (int64_t o = 0; o < outer; o++)
            memcpy(out->data + o * out_row + offset, in[k].data + o * row, (size_t)row * sizeof(float));
        offset += row;
    }
}

/* ---- resize ---- */

/* Position in the source of output pixel i, as ONNX defines it for the mode of coordinates. */
static float source_position(nw_resize_coordinates mode, int64_t i, int64_t from, int64_t to)
{
    const float scale = (float)to / (float)from, x = (float)i;
    switch (mode) {
    case NW_COORDINATES_ALIGN_CORNERS:
        return to > 1 ? x * (float)(from - 1) / (float)(to - 1) : 0.0f;
    case NW_COORDINATES_ASYMMETRIC:
        return x / scale;
    case NW_COORDINATES_PYTORCH_HALF_PIXEL:
        return to > 1 ? (x + 0.5f) / scale - 0.5f : 0.0f;
    default:
        return (x + 0.5f) / scale - 0.5f;
    }
}

/* The two source pixels of an output pixel and the weight of the second. */
typedef struct tap {
    int64_t low, high;
    float weight;
} tap;

static int64_t inside(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static tap make_tap(const nw_node *node, int64_t i, int64_t from, int64_t to)
{
    const float position = source_position(node->resize_coordinates, i, from, to);
    if (node->resize_mode == NW_RESIZE_NEAREST) {
        /* asymmetric comes with floor (as Upsample did), the others with round_prefer_floor */
        const float nearest = node->resize_coordinates == NW_COORDINATES_ASYMMETRIC ? floorf(position)
                                                                                    : ceilf(position - 0.5f);
        const int64_t index = inside((int64_t)nearest, from);
        return (tap){index, index, 0.0f};
    }
    const float clamped = nw_minf(nw_maxf(position, 0.0f), (float)(from - 1));
    const int64_t low = (int64_t)clamped;
    return (tap){low, inside(low + 1, from), clamped - (float)low};
}

/* One row of the result from two rows of the source; `inner` elements lie together. */
static void resize_row(const nw_node *node, float *to, const float *top, const float *bottom, float down,
                       const nw_plain_view *in, const nw_plain_view *out)
{
    const int64_t inner = in->inner;
    for (int64_t x = 0; x < out->dims[3]; x++, to += inner) {
        const tap t = make_tap(node, x, in->dims[3], out->dims[3]);
        const float *a = top + t.low * inner, *b = top + t.high * inner;
        const float *c = bottom + t.low * inner, *d = bottom + t.high * inner;
        for (int64_t i = 0; i < inner; i++) {
            const float above = a[i] + (b[i] - a[i]) * t.weight;
            const float below = c[i] + (d[i] - c[i]) * t.weight;
            to[i] = above + (below - above) * down;
        }
    }
}

static void plain_resize(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    (void)n_inputs;
    const int64_t inner = in->inner, blocks = (in->dims[1] + inner - 1) / inner;
    const int64_t from_row = in->dims[3] * inner, to_row = out->dims[3] * inner;
    for (int64_t p = 0; p < in->dims[0] * blocks; p++)
        for (int64_t y = 0; y < out->dims[2]; y++) {
            const tap t = make_tap(node, y, in->dims[2], out->dims[2]);
            const float *plane = in->data + p * in->dims[2] * from_row;
            resize_row(node, out->data + (p * out->dims[2] + y) * to_row, plane + t.low * from_row,
                       plane + t.high * from_row, t.weight, in, out);
        }
}

/* ---- arithmetic ---- */

static void plain_softmax(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    (void)n_inputs;
    int64_t outer = 1, inner = 1;
    for (int32_t i = 0; i < node->axis; i++)
        outer *= in->dims[i];
    for (int32_t i = node->axis + 1; i < in->rank; i++)
        inner *= in->dims[i];
    const int64_t n = in->dims[node->axis];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const float *x = in->data + o * n * inner + i;
            float *y = out->data + o * n * inner + i;
            float largest = x[0], sum = 0.0f;
            for (int64_t k = 1; k < n; k++)
                largest = nw_maxf(largest, x[k * inner]);
            for (int64_t k = 0; k < n; k++)
                sum += y[k * inner] = expf(x[k * inner] - largest);
            for (int64_t k = 0; k < n; k++)
                y[k * inner] /= sum;
        }
}

static float combine(nw_op op, float a, float b)
{
    return op == NW_OP_ADD ? a + b : op == NW_OP_SUB ? a - b : op == NW_OP_MUL ? a * b : a / b;
}

/* Strides of an operand in the result's coordinates: 0 where it is broadcast. */
static void broadcast_strides(const nw_plain_view *view, int32_t rank, int64_t strides[NW_MAX_RANK])
{
    int64_t own[NW_MAX_RANK], elements;
    dense_strides(view, own, &elements);
    for (int32_t i = 0; i < rank; i++) {
        const int32_t j = i - (rank - view->rank);
        strides[i] = j >= 0 && view->dims[j] > 1 ? own[j] : 0;
    }
}

static void plain_binary(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    (void)n_inputs;
    int64_t a[NW_MAX_RANK], b[NW_MAX_RANK], own[NW_MAX_RANK], index[NW_MAX_RANK] = {0}, elements;
    dense_strides(out, own, &elements);
    broadcast_strides(&in[0], out->rank, a);
    broadcast_strides(&in[1], out->rank, b);
    for (int64_t e = 0; e < elements; e++) {
        int64_t left = 0, right = 0;
        for (int32_t i = 0; i < out->rank; i++) {
            left += index[i] * a[i];
            right += index[i] * b[i];
        }
        const float v = combine(node->op, in[0].data[left], in[1].data[right]);
        out->data[e] = nw_minf(nw_maxf(v, node->lo), node->hi);
        advance(index, out->dims, out->rank);
    }
}

static void plain_batch_norm(const nw_node *node, const nw_plain_view *in, int32_t n_inputs, const nw_plain_view *out)
{
    (void)n_inputs;
    int64_t strides[NW_MAX_RANK], elements;
    dense_strides(in, strides, &elements);
    for (int64_t e = 0; e < elements; e++) {
        const int64_t c = e / strides[1] % in->dims[1];
        const float factor = in[1].data[c] / sqrtf(in[4].data[c] + node->alpha);
        out->data[e] = (in[0].data[e] - in[3].data[c]) * factor + in[2].data[c];
    }
}

nw_plain_fn *nw_plain_find(nw_op op)
{
    switch (op) {
    case NW_OP_CONV:
        return nw_plain_conv;
    case NW_OP_CONV_TRANSPOSE:
        return nw_plain_conv_transpose;
    case NW_OP_GEMM:
        return nw_plain_gemm;
    case NW_OP_MAX_POOL:
    case NW_OP_AVERAGE_POOL:
        return nw_plain_pool;
    case NW_OP_CONCAT:
        return plain_concat;
    case NW_OP_SLICE:
        return plain_slice;
    case NW_OP_PAD:
        return plain_pad;
    case NW_OP_TRANSPOSE:
        return plain_transpose;
    case NW_OP_RESIZE:
        return plain_resize;
    case NW_OP_SOFTMAX:
        return plain_softmax;
    case NW_OP_ADD:
    case NW_OP_SUB:
    case NW_OP_MUL:
    case NW_OP_DIV:
        return plain_binary;
    case NW_OP_BATCH_NORM:
        return plain_batch_norm;
    default:
        return NULL;
    }
}
