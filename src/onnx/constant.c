/* SPDX-License-Identifier: Apache-2.0 */
/* Known tensors: decoding a TensorProto, owning, handing over to the model. See importer.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/importer.h"

_Static_assert(sizeof(float) == 4, "binary32");

/** Links an empty constant into the importer's list. */
static nw_constant *new_constant(nw_importer *im, nw_element element, const nw_shape *shape, int64_t n)
{
    nw_constant *constant = calloc(1, sizeof(*constant));
    if (!constant)
        return NULL;
    constant->element = element;
    constant->shape = *shape;
    constant->n = n;
    constant->tensor = NW_NONE;
    constant->next = im->constants;
    im->constants = constant;
    return constant;
}

nw_status nw_constant_create(nw_constant **out, nw_importer *im, nw_element element, const nw_shape *shape,
                             bool folded)
{
    int64_t n = 0;
    if (!nw_shape_count(shape, &n))
        return nw_fail(im->error, NW_ERROR_DATA, "%s: a constant has impossible dimensions", im->file);
    if (folded && n > NW_FOLD_LIMIT - im->folded)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: its constant subgraphs make more than %lld values", im->file,
                       (long long)NW_FOLD_LIMIT);
    nw_constant *constant = new_constant(im, element, shape, n);
    if (!constant)
        return nw_fail_memory(im->error, "importing a network");
    const size_t size = n ? (size_t)n : 1;
    if (element == NW_ELEMENT_FLOAT)
        constant->floats = calloc(size, sizeof(float));
    else
        constant->ints = calloc(size, sizeof(int64_t));
    if (!constant->floats && !constant->ints)
        return nw_fail_memory(im->error, "importing a network");
    if (folded)
        im->folded += n;
    *out = constant;
    return NW_OK;
}

void nw_constants_free(nw_importer *im)
{
    while (im->constants) {
        nw_constant *constant = im->constants;
        im->constants = constant->next;
        if (constant->tensor == NW_NONE)
            free(constant->floats);
        free(constant->ints);
        free(constant);
    }
}

/** Bytes of one element in raw_data; 0 for a type that is not read. */
static size_t element_size(int32_t type)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        return 1;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
        return 2;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32:
        return 4;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        return 8;
    default:
        return 0;
    }
}

static uint64_t load_little_endian(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static double double_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static int64_t sign_extended(uint64_t bits, int32_t type)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        return (int8_t)bits;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
        return (int16_t)bits;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return (int32_t)bits;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        return bits != 0;
    default:
        return (int64_t)bits;
    }
}

static void read_raw(nw_constant *constant, const uint8_t *bytes, int32_t type)
{
    const size_t size = element_size(type);
    for (int64_t i = 0; i < constant->n; i++) {
        const uint64_t bits = load_little_endian(bytes + (size_t)i * size, size);
        if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
            constant->floats[i] = float_of_bits((uint32_t)bits);
        else if (type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE)
            constant->floats[i] = (float)double_of_bits(bits);
        else
            constant->ints[i] = sign_extended(bits, type);
    }
}

/** Number of elements in the typed field that ONNX prescribes for the type. */
static size_t typed_count(const Onnx__TensorProto *proto)
{
    switch (proto->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        return proto->n_float_data;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        return proto->n_double_data;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return proto->n_int64_data;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32:
        return proto->n_uint64_data;
    default:
        return proto->n_int32_data;
    }
}

static void read_typed(nw_constant *constant, const Onnx__TensorProto *proto)
{
    for (int64_t i = 0; i < constant->n; i++)
        switch (proto->data_type) {
        case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
            constant->floats[i] = proto->float_data[i];
            break;
        case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
            constant->floats[i] = (float)proto->double_data[i];
            break;
        case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
            constant->ints[i] = proto->int64_data[i];
            break;
        case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32:
            constant->ints[i] = (int64_t)(proto->uint64_data[i] & UINT32_MAX);
            break;
        default:
            constant->ints[i] = sign_extended((uint64_t)(int64_t)proto->int32_data[i], proto->data_type);
            break;
        }
}

static nw_element element_of_type(int32_t type)
{
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE)
        return NW_ELEMENT_FLOAT;
    return type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL ? NW_ELEMENT_BOOL : NW_ELEMENT_INT;
}

static bool is_little_endian(void)
{
    const uint16_t one = 1;
    return *(const uint8_t *)&one == 1;
}

/** Moves the bytes of a large float tensor out of the message instead of copying them: protobuf-c used malloc. */
static bool take_raw(nw_constant **out, nw_importer *im, Onnx__TensorProto *proto, const nw_shape *shape, int64_t n)
{
    if (proto->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || !is_little_endian() || n == 0)
        return false;
    nw_constant *constant = new_constant(im, NW_ELEMENT_FLOAT, shape, n);
    if (!constant)
        return false;
    constant->floats = (float *)(void *)proto->raw_data.data;
    proto->raw_data.data = NULL;
    proto->raw_data.len = 0;
    *out = constant;
    return true;
}

static bool is_external(const Onnx__TensorProto *proto)
{
    return proto->has_data_location && proto->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
}

/** Checks dimensions and type before anything is read; *unsupported is set after recording a problem. */
static nw_status check_proto(nw_shape *shape, int64_t *n, nw_importer *im, const Onnx__TensorProto *proto,
                             const char *what, bool *unsupported)
{
    *unsupported = true;
    if (is_external(proto) && !im->has_folder)
        return nw_refuse_graph(im, "tensor \"%.200s\": its data lie in another file", what);
    if (element_size(proto->data_type) == 0)
        return nw_refuse_graph(im, "tensor \"%.200s\": data type %d is not supported", what, (int)proto->data_type);
    if (proto->segment)
        return nw_refuse_graph(im, "tensor \"%.200s\": is stored in segments", what);
    if (proto->n_dims > NW_MAX_RANK)
        return nw_refuse_graph(im, "tensor \"%.200s\": has %zu dimensions, at most %d are supported", what,
                               proto->n_dims, NW_MAX_RANK);
    *unsupported = false;
    *shape = (nw_shape){.rank = (int32_t)proto->n_dims};
    for (int32_t i = 0; i < shape->rank; i++)
        shape->dims[i] = proto->dims[i];
    if (!nw_shape_count(shape, n))
        return nw_fail(im->error, NW_ERROR_DATA, "%s: tensor \"%.200s\" has impossible dimensions", im->file, what);
    return NW_OK;
}

nw_status nw_constant_decode(nw_constant **out, nw_importer *im, Onnx__TensorProto *proto, const char *what,
                             bool *unsupported)
{
    nw_shape shape;
    int64_t n = 0;
    NW_TRY(check_proto(&shape, &n, im, proto, what, unsupported));
    if (*unsupported)
        return NW_OK;
    if (is_external(proto))
        NW_TRY(nw_external_read(im, proto, (size_t)n * element_size(proto->data_type), what));
    const bool raw = proto->has_raw_data && (proto->raw_data.len || typed_count(proto) == 0);
    const size_t wanted = raw ? (size_t)n * element_size(proto->data_type) : (size_t)n;
    const size_t given = raw ? proto->raw_data.len : typed_count(proto);
    if (given != wanted)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: tensor \"%.200s\" holds %zu %s, its dimensions say %zu", im->file,
                       what, given, raw ? "bytes" : "values", wanted);
    if (raw && take_raw(out, im, proto, &shape, n))
        return NW_OK;
    nw_constant *constant = NULL;
    NW_TRY(nw_constant_create(&constant, im, element_of_type(proto->data_type), &shape, false));
    if (raw)
        read_raw(constant, proto->raw_data.data, proto->data_type);
    else
        read_typed(constant, proto);
    *out = constant;
    return NW_OK;
}

bool nw_all_finite(const float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

nw_status nw_constant_tensor(int32_t *out, nw_call *call, nw_constant *constant, const char *name)
{
    nw_importer *im = call->im;
    if (constant->n == 0)
        return nw_damaged(call, "its input \"%.120s\" is empty", name);
    if (!nw_all_finite(constant->floats, constant->n))
        return nw_damaged(call, "its input \"%.120s\" holds NaN or infinity", name);
    if (constant->tensor == NW_NONE) {
        int32_t dims[NW_MAX_RANK] = {0};
        for (int32_t i = 0; i < constant->shape.rank; i++)
            dims[i] = (int32_t)constant->shape.dims[i];
        const int32_t tensor = nw_model_add_tensor(im->model, name, NW_TYPE_F32, constant->shape.rank, dims);
        if (tensor == NW_NONE)
            return nw_fail_memory(im->error, "importing a network");
        im->model->tensors[tensor].data = constant->floats;
        constant->tensor = tensor;
    }
    *out = constant->tensor;
    return NW_OK;
}

void nw_constant_gather(nw_constant *target, const nw_constant *source, const int64_t *strides, int64_t offset)
{
    int64_t index[NW_MAX_RANK] = {0};
    const nw_shape *shape = &target->shape;
    for (int64_t i = 0; i < target->n; i++) {
        if (source->element == NW_ELEMENT_FLOAT)
            target->floats[i] = source->floats[offset];
        else
            target->ints[i] = source->ints[offset];
        for (int32_t axis = shape->rank - 1; axis >= 0; axis--) {
            offset += strides[axis];
            if (++index[axis] < shape->dims[axis])
                break;
            offset -= strides[axis] * shape->dims[axis];
            index[axis] = 0;
        }
    }
}
