/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on shapes, bounded. See importer.h. */
#include <stdio.h>
#include <string.h>

#include "onnx/importer.h"

bool nw_shape_count(const nw_shape *shape, int64_t *n)
{
    int64_t product = 1, bound = 1; /* bound: product of the nonzero ones, so that strides stay in range too */
    for (int32_t i = 0; i < shape->rank; i++) {
        const int64_t d = shape->dims[i];
        if (d < 0 || d > NW_MAX_DIMENSION)
            return false;
        product *= d;
        bound *= d ? d : 1;
        if (bound > NW_MAX_ELEMENTS)
            return false;
    }
    *n = product;
    return true;
}

bool nw_shape_equal(const nw_shape *a, const nw_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return true;
}

bool nw_shape_broadcast(nw_shape *out, const nw_shape *a, const nw_shape *b)
{
    nw_shape result = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (int32_t i = 0; i < result.rank; i++) {
        const int32_t ia = i - (result.rank - a->rank), ib = i - (result.rank - b->rank);
        const int64_t da = ia < 0 ? 1 : a->dims[ia], db = ib < 0 ? 1 : b->dims[ib];
        if (da != db && da != 1 && db != 1)
            return false;
        result.dims[i] = da == 1 ? db : da;
    }
    *out = result;
    return true;
}

void nw_shape_strides(int64_t *strides, const nw_shape *shape, const nw_shape *target)
{
    int64_t stride = 1;
    for (int32_t i = target->rank - 1; i >= 0; i--) {
        const int32_t k = i - (target->rank - shape->rank);
        const int64_t d = k < 0 ? 1 : shape->dims[k];
        strides[i] = d == 1 ? 0 : stride;
        stride *= d;
    }
}

const char *nw_shape_text(char *buffer, const nw_shape *shape)
{
    char *end = buffer;
    *end = '\0';
    for (int32_t i = 0; i < shape->rank; i++)
        end += sprintf(end, i ? "x%lld" : "%lld", (long long)(shape->dims[i] & INT32_MAX));
    return buffer;
}

nw_shape nw_tensor_shape(const nw_model *model, int32_t tensor)
{
    const nw_tensor *t = &model->tensors[tensor];
    nw_shape shape = {.rank = t->rank};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.dims[i] = t->dims[i];
    return shape;
}

bool nw_axis(int64_t *axis, int32_t rank)
{
    if (*axis < -rank || *axis >= rank)
        return false;
    if (*axis < 0)
        *axis += rank;
    return true;
}
