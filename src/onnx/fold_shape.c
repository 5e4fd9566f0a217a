/* SPDX-License-Identifier: Apache-2.0 */
/* The constant interpreter, second part: operators that only move elements, and Shape. See fold_math.c. */
#include <string.h>

#include "onnx/importer.h"

nw_status nw_fold_shape(nw_call *call)
{
    const nw_shape in = nw_input_shape(call, 0);
    int64_t start = nw_attribute_int(call, "start", 0), end = nw_attribute_int(call, "end", in.rank);
    start = start < -in.rank ? 0 : start < 0 ? start + in.rank : start > in.rank ? in.rank : start;
    end = end < -in.rank ? 0 : end < 0 ? end + in.rank : end > in.rank ? in.rank : end;
    const nw_shape shape = {.rank = 1, .dims = {end > start ? end - start : 0}};
    nw_constant *y = NULL;
    NW_TRY(nw_constant_create(&y, call->im, NW_ELEMENT_INT, &shape, true));
    for (int64_t i = 0; i < y->n; i++)
        y->ints[i] = in.dims[start + i];
    return nw_bind_constant(call, 0, y);
}

/** The elements of `x` in their order under another shape of as many elements. */
static nw_status reshaped(nw_call *call, const nw_constant *x, const nw_shape *shape)
{
    nw_constant *y = NULL;
    NW_TRY(nw_constant_create(&y, call->im, x->element, shape, true));
    if (x->element == NW_ELEMENT_FLOAT)
        memcpy(y->floats, x->floats, (size_t)x->n * sizeof(float));
    else
        memcpy(y->ints, x->ints, (size_t)x->n * sizeof(int64_t));
    return nw_bind_constant(call, 0, y);
}

nw_status nw_fold_reshape(nw_call *call)
{
    const nw_constant *x = call->inputs[0].constant;
    nw_shape shape;
    bool ok = false;
    NW_TRY(nw_rule_reshape(&shape, &ok, call, &x->shape));
    return ok ? reshaped(call, x, &shape) : NW_OK;
}

static nw_status gathered(nw_call *call, const nw_constant *x, const nw_shape *shape, const int64_t *strides,
                          int64_t offset)
{
    nw_constant *y = NULL;
    NW_TRY(nw_constant_create(&y, call->im, x->element, shape, true));
    nw_constant_gather(y, x, strides, offset);
    return nw_bind_constant(call, 0, y);
}

nw_status nw_fold_transpose(nw_call *call)
{
    const nw_constant *x = call->inputs[0].constant;
    int32_t perm[NW_MAX_RANK];
    int64_t natural[NW_MAX_RANK] = {0}, strides[NW_MAX_RANK] = {0};
    nw_shape shape;
    NW_TRY(nw_rule_transpose(perm, &shape, call, &x->shape));
    nw_shape_strides(natural, &x->shape, &x->shape);
    for (int32_t i = 0; i < shape.rank; i++)
        strides[i] = natural[perm[i]];
    return gathered(call, x, &shape, strides, 0);
}

nw_status nw_fold_slice(nw_call *call)
{
    const nw_constant *x = call->inputs[0].constant;
    nw_range ranges[NW_MAX_RANK];
    bool ok = false;
    NW_TRY(nw_rule_slice(ranges, &ok, call, &x->shape));
    if (!ok)
        return NW_OK;
    nw_shape shape = x->shape;
    int64_t strides[NW_MAX_RANK] = {0}, offset = 0;
    nw_shape_strides(strides, &x->shape, &x->shape);
    for (int32_t i = 0; i < shape.rank; i++) {
        shape.dims[i] = ranges[i].n;
        offset += ranges[i].n ? ranges[i].start * strides[i] : 0;
        strides[i] = ranges[i].n > 1 ? strides[i] * ranges[i].step : 0;
    }
    return gathered(call, x, &shape, strides, offset);
}

nw_status nw_fold_gather(nw_call *call)
{
    const nw_constant *x = call->inputs[0].constant, *indices = nw_input_ints(call, 1);
    int64_t axis = nw_attribute_int(call, "axis", 0);
    if (!indices || !nw_axis(&axis, x->shape.rank))
        return nw_damaged(call, "its axis or its indices are wrong");
    const int32_t rank = x->shape.rank - 1 + indices->shape.rank;
    if (rank > NW_MAX_RANK)
        return nw_refuse(call, "its result has more than %d dimensions", NW_MAX_RANK);
    nw_shape shape = {.rank = rank};
    int64_t inner = 1, outer = 1;
    const int64_t length = x->shape.dims[axis];
    for (int32_t i = 0, k = 0; i < x->shape.rank; i++) {
        for (int32_t j = 0; i == axis && j < indices->shape.rank; j++)
            shape.dims[k++] = indices->shape.dims[j];
        if (i != axis)
            shape.dims[k++] = x->shape.dims[i];
        outer *= i < axis ? x->shape.dims[i] : 1;
        inner *= i > axis ? x->shape.dims[i] : 1;
    }
    nw_constant *y = NULL;
    NW_TRY(nw_constant_create(&y, call->im, x->element, &shape, true));
    for (int64_t o = 0, to = 0; y->n && o < outer; o++)
        for (int64_t j = 0; j < indices->n; j++) {
            int64_t index = indices->ints[j];
            if (index < -length || index >= length)
                return nw_damaged(call, "index %lld is outside %lld elements", (long long)index, (long long)length);
            index = index < 0 ? index + length : index;
            for (int64_t i = 0; i < inner; i++, to++)
                if (x->element == NW_ELEMENT_FLOAT)
                    y->floats[to] = x->floats[(o * length + index) * inner + i];
                else
                    y->ints[to] = x->ints[(o * length + index) * inner + i];
        }
    return nw_bind_constant(call, 0, y);
}

/** Copies rows of one input to their place: `outer` rows of `length` elements, `pitch` apart in the result. */
static void copy_rows(nw_constant *y, const nw_constant *x, int64_t outer, int64_t length, int64_t pitch, int64_t at)
{
    const size_t size = x->element == NW_ELEMENT_FLOAT ? sizeof(float) : sizeof(int64_t);
    uint8_t *to = x->element == NW_ELEMENT_FLOAT ? (uint8_t *)y->floats : (uint8_t *)y->ints;
    const uint8_t *from = x->element == NW_ELEMENT_FLOAT ? (const uint8_t *)x->floats : (const uint8_t *)x->ints;
    for (int64_t o = 0; o < outer && length; o++)
        memcpy(to + (size_t)(o * pitch + at) * size, from + (size_t)(o * length) * size, (size_t)length * size);
}

nw_status nw_fold_concat(nw_call *call)
{
    const nw_constant *first = call->inputs[0].constant;
    nw_shape shape = first->shape;
    int64_t axis = nw_attribute_int(call, "axis", 1), outer = 1, total = 0;
    if (!nw_axis(&axis, shape.rank))
        return nw_damaged(call, "axis %lld is outside its inputs' dimensions", (long long)axis);
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const nw_constant *x = call->inputs[i].constant;
        nw_shape other = x->shape;
        if (other.rank == shape.rank) {
            total += other.dims[axis];
            other.dims[axis] = shape.dims[axis];
        }
        if (x->element != first->element || !nw_shape_equal(&other, &shape))
            return nw_damaged(call, "its inputs do not fit each other");
    }
    shape.dims[axis] = total;
    for (int32_t i = 0; i < axis; i++)
        outer *= shape.dims[i];
    nw_constant *y = NULL;
    NW_TRY(nw_constant_create(&y, call->im, first->element, &shape, true));
    for (int64_t i = 0, at = 0; y->n && i < call->n_inputs; i++) {
        const nw_constant *x = call->inputs[i].constant;
        copy_rows(y, x, outer, x->n / outer, y->n / outer, at);
        at += x->n / outer;
    }
    return nw_bind_constant(call, 0, y);
}
