/* SPDX-License-Identifier: Apache-2.0 */
/* Shape rules that hold for constants and activations alike: the reshaping family, Slice, Transpose. */
#include <string.h>

#include "onnx/importer.h"

static nw_status rule_reshape(nw_shape *out, bool *ok, nw_call *call, const nw_shape *in)
{
    const int64_t *target = NULL;
    const int64_t n = nw_list(call, NULL, 1, &target);
    if (n < 0 || n > NW_MAX_RANK)
        return n < 0 ? nw_refuse(call, "its target shape is not a constant")
                     : nw_refuse(call, "its target has %lld dimensions, at most %d are supported", (long long)n,
                                 NW_MAX_RANK);
    const bool allow_zero = nw_attribute_int(call, "allowzero", 0) != 0;
    nw_shape shape = {.rank = (int32_t)n};
    int32_t inferred = -1;
    int64_t count = 0, known = 1;
    for (int32_t i = 0; i < shape.rank; i++) {
        shape.dims[i] = target[i];
        if (target[i] == 0 && !allow_zero) {
            if (i >= in->rank)
                return nw_damaged(call, "dimension %d of its target shape copies one that the input does not have", i);
            shape.dims[i] = in->dims[i];
        }
        if (shape.dims[i] == -1 && inferred >= 0)
            return nw_damaged(call, "its target shape has two dimensions of -1");
        if (shape.dims[i] == -1) {
            inferred = i;
            shape.dims[i] = 1;
        }
    }
    if (!nw_shape_count(in, &count) || !nw_shape_count(&shape, &known))
        return nw_damaged(call, "its target shape is impossible");
    if (inferred >= 0 && known > 0)
        shape.dims[inferred] = count / known;
    if (!nw_shape_count(&shape, &known) || known != count)
        return nw_damaged(call, "its target shape does not have the %lld elements of its input", (long long)count);
    *out = shape;
    *ok = true;
    return NW_OK;
}

static nw_status rule_flatten(nw_shape *out, bool *ok, nw_call *call, const nw_shape *in)
{
    int64_t axis = nw_attribute_int(call, "axis", 1);
    if (axis < -in->rank || axis > in->rank)
        return nw_damaged(call, "axis %lld is outside its input's %d dimensions", (long long)axis, in->rank);
    if (axis < 0)
        axis += in->rank;
    *out = (nw_shape){.rank = 2, .dims = {1, 1}};
    for (int32_t i = 0; i < in->rank; i++)
        out->dims[i >= axis] *= in->dims[i];
    *ok = true;
    return NW_OK;
}

/** Marks the listed axes of a shape of `rank` dimensions. */
static nw_status mark_axes(bool marked[NW_MAX_RANK], nw_call *call, const int64_t *axes, int64_t n, int32_t rank)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t axis = axes[i];
        if (!nw_axis(&axis, rank) || marked[axis])
            return nw_damaged(call, "axis %lld is repeated or outside %d dimensions", (long long)axes[i], rank);
        marked[axis] = true;
    }
    return NW_OK;
}

static nw_status rule_squeeze(nw_shape *out, bool *ok, nw_call *call, const nw_shape *in)
{
    const int64_t *axes = NULL;
    const int64_t n = nw_list(call, "axes", 1, &axes);
    if (n == -2)
        return nw_refuse(call, "its axes are not constant");
    bool marked[NW_MAX_RANK] = {false};
    NW_TRY(mark_axes(marked, call, axes, n < 0 ? 0 : n, in->rank));
    *out = (nw_shape){0};
    for (int32_t i = 0; i < in->rank; i++) {
        if (marked[i] && in->dims[i] != 1)
            return nw_damaged(call, "axis %d has %lld elements and cannot be squeezed", i, (long long)in->dims[i]);
        if (!(n < 0 ? in->dims[i] == 1 : marked[i]))
            out->dims[out->rank++] = in->dims[i];
    }
    *ok = true;
    return NW_OK;
}

static nw_status rule_unsqueeze(nw_shape *out, bool *ok, nw_call *call, const nw_shape *in)
{
    const int64_t *axes = NULL;
    const int64_t n = nw_list(call, "axes", 1, &axes);
    if (n < 0)
        return nw_refuse(call, "its axes are not constant");
    if (n > NW_MAX_RANK - in->rank)
        return nw_refuse(call, "its result has more than %d dimensions", NW_MAX_RANK);
    bool marked[NW_MAX_RANK] = {false};
    const int32_t rank = in->rank + (int32_t)n;
    NW_TRY(mark_axes(marked, call, axes, n, rank));
    *out = (nw_shape){.rank = rank};
    for (int32_t i = 0, k = 0; i < rank; i++)
        out->dims[i] = marked[i] ? 1 : in->dims[k++];
    *ok = true;
    return NW_OK;
}

nw_status nw_rule_reshape(nw_shape *out, bool *ok, nw_call *call, const nw_shape *in)
{
    *ok = false;
    if (strcmp(call->op, "Reshape") == 0)
        return rule_reshape(out, ok, call, in);
    if (strcmp(call->op, "Flatten") == 0)
        return rule_flatten(out, ok, call, in);
    if (strcmp(call->op, "Squeeze") == 0)
        return rule_squeeze(out, ok, call, in);
    return rule_unsqueeze(out, ok, call, in);
}

static int64_t clamped(int64_t value, int64_t lowest, int64_t highest)
{
    return value < lowest ? lowest : value > highest ? highest : value;
}

/** ONNX's slice of one axis of n elements: negative positions count from the end, then everything is clamped. */
static nw_range resolve_range(int64_t start, int64_t end, int64_t step, int64_t n)
{
    start = start < 0 && start >= -n ? start + n : start;
    end = end < 0 && end >= -n ? end + n : end; /* below -n stays negative and is clamped */
    if (step > 0) {
        start = clamped(start, 0, n);
        end = clamped(end, 0, n);
        return (nw_range){start, step, end > start ? (end - start - 1) / step + 1 : 0};
    }
    start = clamped(start, 0, n - 1);
    end = clamped(end, -1, n - 1);
    return (nw_range){start, step, start > end ? (start - end - 1) / -step + 1 : 0};
}

nw_status nw_rule_slice(nw_range ranges[NW_MAX_RANK], bool *ok, nw_call *call, const nw_shape *in)
{
    const int64_t *starts = NULL, *ends = NULL, *axes = NULL, *steps = NULL;
    const int64_t n = nw_list(call, "starts", 1, &starts), n_ends = nw_list(call, "ends", 2, &ends);
    const int64_t n_axes = nw_list(call, "axes", 3, &axes), n_steps = nw_list(call, NULL, 4, &steps);
    *ok = false;
    if (n == -2 || n_ends == -2 || n_axes == -2 || n_steps == -2)
        return nw_refuse(call, "its starts, ends, axes or steps are not constant");
    if (n < 0 || n_ends != n || (n_axes >= 0 && n_axes != n) || (n_steps >= 0 && n_steps != n) || n > in->rank)
        return nw_damaged(call, "its starts, ends, axes and steps differ in length");
    bool marked[NW_MAX_RANK] = {false};
    if (n_axes >= 0)
        NW_TRY(mark_axes(marked, call, axes, n, in->rank));
    for (int32_t i = 0; i < in->rank; i++)
        ranges[i] = (nw_range){0, 1, in->dims[i]};
    for (int64_t i = 0; i < n; i++) {
        int64_t axis = n_axes >= 0 ? axes[i] : i, step = n_steps >= 0 ? steps[i] : 1;
        nw_axis(&axis, in->rank); /* checked by mark_axes */
        if (step == 0)
            return nw_damaged(call, "a step is 0");
        step = clamped(step, -NW_MAX_ELEMENTS, NW_MAX_ELEMENTS);
        if (in->dims[axis] > 0)
            ranges[axis] = resolve_range(starts[i], ends[i], step, in->dims[axis]);
    }
    *ok = true;
    return NW_OK;
}

nw_status nw_rule_transpose(int32_t perm[NW_MAX_RANK], nw_shape *out, nw_call *call, const nw_shape *in)
{
    const int64_t *given = NULL;
    const int64_t n = nw_attribute_ints(call, "perm", &given);
    if (n >= 0 && n != in->rank)
        return nw_damaged(call, "perm has %lld entries for %d dimensions", (long long)n, in->rank);
    bool seen[NW_MAX_RANK] = {false};
    *out = (nw_shape){.rank = in->rank};
    for (int32_t i = 0; i < in->rank; i++) {
        const int64_t axis = n >= 0 ? given[i] : in->rank - 1 - i;
        if (axis < 0 || axis >= in->rank || seen[axis])
            return nw_damaged(call, "perm is not a permutation");
        seen[axis] = true;
        perm[i] = (int32_t)axis;
        out->dims[i] = in->dims[axis];
    }
    return NW_OK;
}
