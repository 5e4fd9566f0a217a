/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize and Upsample. An nw_node keeps only the sizes, so whatever ONNX lets a file state beyond them (scales that are
 * not the ratio of the sizes, rounding rules of nearest) is accepted only where it makes no difference.
 *
 * NEAREST in the model means source index = floor(i * in / out), with coordinates ASYMMETRIC.
 */
#include <math.h>
#include <string.h>

#include "onnx/importer.h"

/** Bounds the time that a hostile file can make the check of nearest take. */
#define MAX_SIDE 65536

typedef struct resize {
    nw_shape in, out;
    double scale[NW_MAX_RANK]; /* as the file states it, out / in when it states sizes */
    bool linear;
    nw_resize_coordinates coordinates;
    char rounding[64];
} resize;

static nw_status read_sizes(resize *r, bool *ok, nw_call *call, const nw_constant *sizes)
{
    if (!sizes || sizes->n != r->in.rank)
        return nw_refuse(call, "its sizes are not one constant integer per dimension");
    for (int32_t i = 0; i < r->in.rank; i++) {
        r->out.dims[i] = sizes->ints[i];
        r->scale[i] = (double)sizes->ints[i] / (double)r->in.dims[i];
    }
    *ok = true;
    return NW_OK;
}

static nw_status use_scales(resize *r, bool *ok, nw_call *call, const float *scales, int64_t n)
{
    if (n != r->in.rank)
        return nw_refuse(call, "its scales are not one constant float per dimension");
    for (int32_t i = 0; i < r->in.rank; i++) {
        r->scale[i] = (double)scales[i];
        const double size = floor((double)r->in.dims[i] * (double)scales[i]);
        if (!(size >= 1 && size <= (double)NW_MAX_DIMENSION))
            return nw_damaged(call, "a scale of %g is out of range", (double)scales[i]);
        r->out.dims[i] = (int64_t)size;
    }
    *ok = true;
    return NW_OK;
}

/** Sizes and scales: opset 7 has an attribute, 9 and 10 one input, 11 roi, scales and sizes. */
static nw_status read_target(resize *r, bool *ok, nw_call *call)
{
    const Onnx__AttributeProto *attribute = nw_attribute(call, "scales");
    if (attribute)
        return use_scales(r, ok, call, attribute->floats, (int64_t)attribute->n_floats);
    const bool old = call->im->opset < 11 || strcmp(call->op, "Upsample") == 0;
    if (!old && nw_call_input(call, 3)->kind != NW_VALUE_ABSENT)
        return read_sizes(r, ok, call, nw_input_ints(call, 3));
    const nw_constant *scales = nw_input_floats(call, old ? 1 : 2);
    if (!scales)
        return nw_refuse(call, "its scales are not constant");
    return use_scales(r, ok, call, scales->floats, scales->n);
}

static nw_status read_mode(resize *r, bool *ok, nw_call *call)
{
    static const struct {
        const char *name;
        nw_resize_coordinates coordinates;
    } names[] = {{"half_pixel", NW_COORDINATES_HALF_PIXEL},
                 {"pytorch_half_pixel", NW_COORDINATES_PYTORCH_HALF_PIXEL},
                 {"align_corners", NW_COORDINATES_ALIGN_CORNERS},
                 {"asymmetric", NW_COORDINATES_ASYMMETRIC}};
    char mode_buffer[64], buffer[64];
    const bool old = call->im->opset < 11 || strcmp(call->op, "Upsample") == 0;
    const char *mode = nw_attribute_text(call, "mode", "nearest", mode_buffer);
    const char *coordinates = nw_attribute_text(call, "coordinate_transformation_mode",
                                                old ? "asymmetric" : "half_pixel", buffer);
    r->linear = strcmp(mode, "linear") == 0 || strcmp(mode, "bilinear") == 0;
    if (!r->linear && strcmp(mode, "nearest") != 0)
        return nw_refuse(call, "mode=%s is not supported, only nearest and linear", mode);
    if (nw_attribute_int(call, "antialias", 0) != 0)
        return nw_refuse(call, "antialias=1 is not supported");
    if (nw_attribute(call, "axes"))
        return nw_refuse(call, "attribute axes is not supported");
    bool stretch = false;
    if (!nw_attribute_is(call, "keep_aspect_ratio_policy", "stretch", &stretch) && stretch)
        return nw_refuse(call, "keep_aspect_ratio_policy other than stretch is not supported");
    for (size_t i = 0; i < NW_COUNT(names); i++)
        if (strcmp(coordinates, names[i].name) == 0) {
            r->coordinates = names[i].coordinates;
            *ok = true;
        }
    char rounding[64];
    strcpy(r->rounding, nw_attribute_text(call, "nearest_mode", old ? "floor" : "round_prefer_floor", rounding));
    return *ok ? NW_OK : nw_refuse(call, "coordinate_transformation_mode=%s is not supported", coordinates);
}

static double source_position(const resize *r, int32_t axis, int64_t i)
{
    const double out = (double)r->out.dims[axis], in = (double)r->in.dims[axis], scale = r->scale[axis];
    switch (r->coordinates) {
    case NW_COORDINATES_ALIGN_CORNERS:
        return out > 1 ? (double)i * (in - 1) / (out - 1) : 0;
    case NW_COORDINATES_ASYMMETRIC:
        return (double)i / scale;
    case NW_COORDINATES_PYTORCH_HALF_PIXEL:
        return out > 1 ? ((double)i + 0.5) / scale - 0.5 : 0;
    default:
        return ((double)i + 0.5) / scale - 0.5;
    }
}

static double rounded(const char *rounding, double x)
{
    if (strcmp(rounding, "floor") == 0)
        return floor(x);
    if (strcmp(rounding, "ceil") == 0)
        return ceil(x);
    return strcmp(rounding, "round_prefer_ceil") == 0 ? floor(x + 0.5) : ceil(x - 0.5);
}

/** True when the file's rule picks floor(i * in / out) everywhere along the axis. */
static bool is_plain_nearest(const resize *r, int32_t axis)
{
    const int64_t in = r->in.dims[axis], out = r->out.dims[axis];
    for (int64_t i = 0; i < out; i++) {
        double index = rounded(r->rounding, source_position(r, axis, i));
        index = index < 0 ? 0 : index > (double)(in - 1) ? (double)(in - 1) : index;
        if ((int64_t)index != i * in / out)
            return false;
    }
    return true;
}

/** Linear: true when the stated scale puts no position farther than 1/1000 of a pixel from out / in's. */
static bool is_plain_scale(const resize *r, int32_t axis)
{
    if (r->coordinates == NW_COORDINATES_ALIGN_CORNERS)
        return true;
    const double out = (double)r->out.dims[axis], in = (double)r->in.dims[axis];
    return fabs(out / r->scale[axis] - in) <= 1e-3;
}

nw_status nw_node_resize(nw_call *call)
{
    resize r = {.in = nw_input_shape(call, 0)};
    bool ok = false;
    if (nw_call_input(call, 0)->kind != NW_VALUE_ACTIVATION || r.in.rank != 4)
        return nw_refuse(call, "only N x C x H x W inputs are supported");
    r.out = r.in;
    NW_TRY(read_mode(&r, &ok, call));
    if (!ok)
        return NW_OK;
    ok = false;
    NW_TRY(read_target(&r, &ok, call));
    if (!ok)
        return NW_OK;
    int64_t n = 0;
    if (!nw_shape_count(&r.out, &n) || n == 0)
        return nw_damaged(call, "its result has impossible dimensions");
    if (r.out.dims[0] != r.in.dims[0] || r.out.dims[1] != r.in.dims[1])
        return nw_refuse(call, "only H and W can be resized");
    if (r.out.dims[2] > MAX_SIDE || r.out.dims[3] > MAX_SIDE)
        return nw_refuse(call, "results larger than %d x %d are not supported", MAX_SIDE, MAX_SIDE);
    for (int32_t axis = 2; axis < 4; axis++)
        if (r.linear ? !is_plain_scale(&r, axis) : !is_plain_nearest(&r, axis))
            return nw_refuse(call, r.linear ? "a scale that is not the ratio of the sizes is not supported"
                                            : "this rounding of nearest is not supported, only floor(i * in / out)");
    nw_node *node = NULL;
    NW_TRY(nw_emit(&node, call, NW_OP_RESIZE, 1, &r.out, 0));
    node->inputs[0] = call->inputs[0].tensor;
    node->resize_mode = r.linear ? NW_RESIZE_LINEAR : NW_RESIZE_NEAREST;
    node->resize_coordinates = r.linear ? r.coordinates : NW_COORDINATES_ASYMMETRIC;
    return NW_OK;
}
