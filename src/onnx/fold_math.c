/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The constant interpreter, arithmetic part: Constant, ConstantOfShape, Cast, Range, elementwise operators, Where,
 * Expand. Exporters leave such chains behind wherever a shape was computed. Moving elements about is in fold_shape.c.
 */
#include <math.h>
#include <string.h>

#include "onnx/importer.h"

/** A list attribute of Constant as a tensor of rank 1, a single value as one of rank 0. */
static nw_status constant_of_values(nw_call *call, const Onnx__AttributeProto *attribute)
{
    const char *name = attribute->name;
    const bool is_float = strncmp(name, "value_float", 11) == 0, is_list = name[strlen(name) - 1] == 's';
    const size_t n = !is_list ? 1 : is_float ? attribute->n_floats : attribute->n_ints;
    if (n > (size_t)NW_MAX_DIMENSION)
        return nw_damaged(call, "%s has %zu entries", name, n);
    const nw_shape shape = {.rank = is_list, .dims = {(int64_t)n}};
    nw_constant *constant = NULL;
    NW_TRY(nw_constant_create(&constant, call->im, is_float ? NW_ELEMENT_FLOAT : NW_ELEMENT_INT, &shape, true));
    for (size_t i = 0; i < n; i++)
        if (is_float)
            constant->floats[i] = is_list ? attribute->floats[i] : attribute->f;
        else
            constant->ints[i] = is_list ? attribute->ints[i] : attribute->i;
    return nw_bind_constant(call, 0, constant);
}

nw_status nw_fold_constant(nw_call *call)
{
    if (call->node->n_attribute != 1 || !call->node->attribute[0]->name)
        return nw_damaged(call, "a Constant has one attribute");
    const Onnx__AttributeProto *attribute = call->node->attribute[0];
    static const char *const lists[] = {"value_float", "value_floats", "value_int", "value_ints"};
    for (size_t i = 0; i < NW_COUNT(lists); i++)
        if (strcmp(attribute->name, lists[i]) == 0)
            return constant_of_values(call, attribute);
    if (strcmp(attribute->name, "value") != 0)
        return nw_refuse(call, "attribute %.60s is not supported", attribute->name);
    if (!attribute->t)
        return nw_damaged(call, "its value is missing");
    nw_constant *constant = NULL;
    bool unsupported = false;
    NW_TRY(nw_constant_decode(&constant, call->im, attribute->t, call->name, &unsupported));
    return unsupported ? NW_OK : nw_bind_constant(call, 0, constant);
}

nw_status nw_fold_constant_of_shape(nw_call *call)
{
    const nw_constant *dims = nw_input_ints(call, 0);
    if (!dims || dims->n > NW_MAX_RANK)
        return nw_refuse(call, "its shape is not a list of at most %d integers", NW_MAX_RANK);
    nw_shape shape = {.rank = (int32_t)dims->n};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.dims[i] = dims->ints[i];
    const Onnx__AttributeProto *attribute = nw_attribute(call, "value");
    nw_constant *value = NULL, *constant = NULL;
    bool unsupported = false;
    if (attribute && attribute->t)
        NW_TRY(nw_constant_decode(&value, call->im, attribute->t, call->name, &unsupported));
    if (unsupported)
        return NW_OK;
    if (value && value->n != 1)
        return nw_damaged(call, "its value does not have one element");
    const nw_element element = value ? value->element : NW_ELEMENT_FLOAT;
    NW_TRY(nw_constant_create(&constant, call->im, element, &shape, true));
    for (int64_t i = 0; value && i < constant->n; i++)
        if (element == NW_ELEMENT_FLOAT)
            constant->floats[i] = value->floats[0];
        else
            constant->ints[i] = value->ints[0];
    return nw_bind_constant(call, 0, constant);
}

nw_status nw_fold_identity(nw_call *call)
{
    return nw_bind_constant(call, 0, call->inputs[0].constant);
}

/** Float to integer as C converts, but defined everywhere: NaN is 0, what is too large is clamped. */
static int64_t to_int(double value)
{
    if (isnan(value))
        return 0;
    if (value >= 9223372036854775807.0)
        return INT64_MAX;
    if (value <= -9223372036854775808.0)
        return INT64_MIN;
    return (int64_t)value;
}

static double real_at(const nw_constant *constant, int64_t i)
{
    return constant->element == NW_ELEMENT_FLOAT ? (double)constant->floats[i] : (double)constant->ints[i];
}

static int64_t narrowed(int64_t value, int64_t type)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        return value != 0;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return (int32_t)(uint64_t)value;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        return (int8_t)(uint64_t)value;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
        return (uint8_t)value;
    default:
        return value;
    }
}

nw_status nw_fold_cast(nw_call *call)
{
    const int64_t type = nw_attribute_int(call, "to", 0);
    nw_element element = NW_ELEMENT_INT;
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        element = NW_ELEMENT_FLOAT;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        element = NW_ELEMENT_BOOL;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
        break;
    default:
        return nw_refuse(call, "cast to data type %lld is not supported", (long long)type);
    }
    const nw_constant *x = call->inputs[0].constant;
    nw_constant *y = NULL;
    NW_TRY(nw_constant_create(&y, call->im, element, &x->shape, true));
    for (int64_t i = 0; i < x->n; i++)
        if (element == NW_ELEMENT_FLOAT)
            y->floats[i] = x->element == NW_ELEMENT_FLOAT ? x->floats[i] : (float)x->ints[i];
        else if (x->element == NW_ELEMENT_FLOAT)
            y->ints[i] = type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL ? x->floats[i] != 0.0f
                                                                       : narrowed(to_int((double)x->floats[i]), type);
        else
            y->ints[i] = narrowed(x->ints[i], type);
    return nw_bind_constant(call, 0, y);
}

nw_status nw_fold_range(nw_call *call)
{
    const nw_constant *p[3];
    for (int32_t i = 0; i < 3; i++) {
        p[i] = call->inputs[i].constant;
        if (p[i]->n != 1 || p[i]->element != p[0]->element)
            return nw_damaged(call, "start, limit and delta are not three scalars of one type");
    }
    const double start = real_at(p[0], 0), limit = real_at(p[1], 0), delta = real_at(p[2], 0);
    const double count = ceil((limit - start) / delta);
    if (!(count < (double)NW_MAX_DIMENSION))
        return nw_damaged(call, "it has more than %lld elements", (long long)NW_MAX_DIMENSION);
    nw_constant *y = NULL;
    const nw_shape shape = {.rank = 1, .dims = {count > 0 ? (int64_t)count : 0}};
    NW_TRY(nw_constant_create(&y, call->im, p[0]->element, &shape, true));
    for (int64_t i = 0; i < y->n; i++)
        if (y->element == NW_ELEMENT_FLOAT)
            y->floats[i] = (float)(start + (double)i * delta);
        else
            y->ints[i] = to_int(start + (double)i * delta);
    return nw_bind_constant(call, 0, y);
}

typedef enum binary {
    BINARY_ADD, BINARY_SUB, BINARY_MUL, BINARY_DIV, BINARY_MIN, BINARY_MAX, BINARY_POW, BINARY_EQUAL, BINARY_LESS,
    BINARY_GREATER, BINARY_COUNT
} binary;

static const char *const binary_names[BINARY_COUNT] = {"Add", "Sub", "Mul", "Div", "Min",
                                                       "Max", "Pow", "Equal", "Less", "Greater"};

static float binary_floats(binary op, float a, float b)
{
    switch (op) {
    case BINARY_ADD:
        return a + b;
    case BINARY_SUB:
        return a - b;
    case BINARY_MUL:
        return a * b;
    case BINARY_DIV:
        return a / b;
    case BINARY_MIN:
        return b < a ? b : a;
    case BINARY_MAX:
        return b > a ? b : a;
    default:
        return powf(a, b);
    }
}

static bool compare(binary op, double a, double b)
{
    return op == BINARY_EQUAL ? a == b : op == BINARY_LESS ? a < b : a > b;
}

/** Two's complement that wraps; the caller has excluded division by zero. */
static int64_t binary_ints(binary op, int64_t a, int64_t b)
{
    switch (op) {
    case BINARY_ADD:
        return (int64_t)((uint64_t)a + (uint64_t)b);
    case BINARY_SUB:
        return (int64_t)((uint64_t)a - (uint64_t)b);
    case BINARY_MUL:
        return (int64_t)((uint64_t)a * (uint64_t)b);
    case BINARY_DIV:
        return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
    case BINARY_MIN:
        return b < a ? b : a;
    case BINARY_MAX:
        return b > a ? b : a;
    case BINARY_EQUAL:
        return a == b;
    case BINARY_LESS:
        return a < b;
    case BINARY_GREATER:
        return a > b;
    default:
        return to_int(pow((double)a, (double)b));
    }
}

/** Copies `x`, stretched to `shape`. */
static nw_status stretched(nw_constant **out, nw_call *call, const nw_constant *x, const nw_shape *shape)
{
    int64_t strides[NW_MAX_RANK] = {0};
    nw_shape_strides(strides, &x->shape, shape);
    NW_TRY(nw_constant_create(out, call->im, x->element, shape, true));
    nw_constant_gather(*out, x, strides, 0);
    return NW_OK;
}

nw_status nw_fold_binary(nw_call *call)
{
    binary op = BINARY_ADD;
    while (op < BINARY_COUNT && strcmp(binary_names[op], call->op) != 0)
        op++;
    const nw_constant *a = call->inputs[0].constant, *b = call->inputs[1].constant;
    nw_shape shape;
    if (a->element != b->element || !nw_shape_broadcast(&shape, &a->shape, &b->shape))
        return nw_damaged(call, "its two inputs do not fit each other");
    nw_constant *x = NULL, *y = NULL, *z = NULL;
    NW_TRY(stretched(&x, call, a, &shape));
    NW_TRY(stretched(&y, call, b, &shape));
    const bool is_float = a->element == NW_ELEMENT_FLOAT, compares = op >= BINARY_EQUAL;
    NW_TRY(nw_constant_create(&z, call->im, compares ? NW_ELEMENT_BOOL : a->element, &shape, true));
    for (int64_t i = 0; i < z->n; i++) {
        if (!is_float && op == BINARY_DIV && y->ints[i] == 0)
            return nw_damaged(call, "an integer is divided by zero");
        if (is_float && compares)
            z->ints[i] = compare(op, (double)x->floats[i], (double)y->floats[i]);
        else if (is_float)
            z->floats[i] = binary_floats(op, x->floats[i], y->floats[i]);
        else
            z->ints[i] = binary_ints(op, x->ints[i], y->ints[i]);
    }
    return nw_bind_constant(call, 0, z);
}

static float unary_float(const char *op, float x)
{
    if (strcmp(op, "Neg") == 0)
        return -x;
    if (strcmp(op, "Floor") == 0)
        return floorf(x);
    if (strcmp(op, "Ceil") == 0)
        return ceilf(x);
    if (strcmp(op, "Sqrt") == 0)
        return sqrtf(x);
    if (strcmp(op, "Exp") == 0)
        return expf(x);
    return fabsf(x);
}

nw_status nw_fold_unary(nw_call *call)
{
    const nw_constant *x = call->inputs[0].constant;
    const bool negates = strcmp(call->op, "Neg") == 0, absolute = strcmp(call->op, "Abs") == 0;
    if (x->element != NW_ELEMENT_FLOAT && !negates && !absolute)
        return nw_damaged(call, "its input is not a float tensor");
    nw_constant *y = NULL;
    NW_TRY(nw_constant_create(&y, call->im, x->element, &x->shape, true));
    for (int64_t i = 0; i < x->n; i++)
        if (x->element == NW_ELEMENT_FLOAT)
            y->floats[i] = unary_float(call->op, x->floats[i]);
        else
            y->ints[i] = negates || x->ints[i] < 0 ? (int64_t)(0 - (uint64_t)x->ints[i]) : x->ints[i];
    return nw_bind_constant(call, 0, y);
}

nw_status nw_fold_where(nw_call *call)
{
    const nw_constant *c = call->inputs[0].constant, *a = call->inputs[1].constant, *b = call->inputs[2].constant;
    nw_shape shape;
    if (c->element == NW_ELEMENT_FLOAT || a->element != b->element ||
        !nw_shape_broadcast(&shape, &a->shape, &b->shape) || !nw_shape_broadcast(&shape, &shape, &c->shape))
        return nw_damaged(call, "its inputs do not fit each other");
    nw_constant *condition = NULL, *x = NULL, *y = NULL;
    NW_TRY(stretched(&condition, call, c, &shape));
    NW_TRY(stretched(&x, call, a, &shape));
    NW_TRY(stretched(&y, call, b, &shape));
    for (int64_t i = 0; i < x->n; i++)
        if (!condition->ints[i] && x->element == NW_ELEMENT_FLOAT)
            x->floats[i] = y->floats[i];
        else if (!condition->ints[i])
            x->ints[i] = y->ints[i];
    return nw_bind_constant(call, 0, x);
}

nw_status nw_fold_expand(nw_call *call)
{
    const nw_constant *x = call->inputs[0].constant, *dims = nw_input_ints(call, 1);
    if (!dims || dims->n > NW_MAX_RANK)
        return nw_refuse(call, "its shape is not a list of at most %d integers", NW_MAX_RANK);
    nw_shape shape = {.rank = (int32_t)dims->n};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.dims[i] = dims->ints[i];
    nw_constant *y = NULL;
    if (!nw_shape_broadcast(&shape, &shape, &x->shape))
        return nw_damaged(call, "its input does not stretch to its shape");
    NW_TRY(stretched(&y, call, x, &shape));
    return nw_bind_constant(call, 0, y);
}
