/* SPDX-License-Identifier: Apache-2.0 */
/* What a translation asks about its node and how it delivers its results. See importer.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/importer.h"

/* ---- attributes ---- */

const Onnx__AttributeProto *nw_attribute(const nw_call *call, const char *name)
{
    for (size_t i = 0; i < call->node->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = call->node->attribute[i];
        if (attribute->name && strcmp(attribute->name, name) == 0)
            return attribute;
    }
    return NULL;
}

/** The attribute if it exists and its stated type, where there is one, is `type`. */
static const Onnx__AttributeProto *typed(nw_call *call, const char *name, Onnx__AttributeProto__AttributeType type)
{
    const Onnx__AttributeProto *attribute = nw_attribute(call, name);
    if (attribute && attribute->has_type && attribute->type != type &&
        attribute->type != ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED) {
        call->bad_attribute = name;
        return NULL;
    }
    return attribute;
}

int64_t nw_attribute_int(nw_call *call, const char *name, int64_t missing)
{
    const Onnx__AttributeProto *attribute = typed(call, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!attribute)
        return missing;
    return attribute->has_i ? attribute->i : 0; /* writers in the manner of proto3 leave zeros out */
}

float nw_attribute_float(nw_call *call, const char *name, float missing)
{
    const Onnx__AttributeProto *attribute = typed(call, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!attribute)
        return missing;
    return attribute->has_f ? attribute->f : 0.0f;
}

const char *nw_attribute_text(nw_call *call, const char *name, const char *missing, char buffer[64])
{
    const Onnx__AttributeProto *attribute = typed(call, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (!attribute)
        return missing;
    size_t n = attribute->has_s ? attribute->s.len : 0;
    if (n > 63)
        n = 63;
    if (n)
        memcpy(buffer, attribute->s.data, n);
    buffer[n] = '\0';
    return buffer;
}

bool nw_attribute_is(nw_call *call, const char *name, const char *text, bool *found)
{
    char buffer[64];
    const char *value = nw_attribute_text(call, name, NULL, buffer);
    if (found)
        *found = value != NULL;
    return value && strcmp(value, text) == 0;
}

int64_t nw_attribute_ints(nw_call *call, const char *name, const int64_t **values)
{
    const Onnx__AttributeProto *attribute = typed(call, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (!attribute)
        return -1;
    *values = attribute->ints;
    return (int64_t)attribute->n_ints;
}

/* ---- inputs ---- */

const nw_value *nw_call_input(const nw_call *call, int32_t i)
{
    static const nw_value absent = {.kind = NW_VALUE_ABSENT, .tensor = NW_NONE};
    return i < call->n_inputs ? &call->inputs[i] : &absent;
}

const nw_constant *nw_input_ints(const nw_call *call, int32_t i)
{
    const nw_value *value = nw_call_input(call, i);
    if (value->kind != NW_VALUE_CONSTANT || value->constant->element == NW_ELEMENT_FLOAT)
        return NULL;
    return value->constant;
}

nw_constant *nw_input_floats(const nw_call *call, int32_t i)
{
    const nw_value *value = nw_call_input(call, i);
    if (value->kind != NW_VALUE_CONSTANT || value->constant->element != NW_ELEMENT_FLOAT)
        return NULL;
    return value->constant;
}

int64_t nw_list(nw_call *call, const char *attribute, int32_t input, const int64_t **values)
{
    const int64_t n = attribute ? nw_attribute_ints(call, attribute, values) : -1;
    if (n >= 0)
        return n;
    if (nw_call_input(call, input)->kind == NW_VALUE_ABSENT)
        return -1;
    const nw_constant *constant = nw_input_ints(call, input);
    if (!constant)
        return -2;
    *values = constant->ints;
    return constant->n;
}

nw_shape nw_input_shape(const nw_call *call, int32_t i)
{
    const nw_value *value = nw_call_input(call, i);
    if (value->kind == NW_VALUE_CONSTANT)
        return value->constant->shape;
    return nw_tensor_shape(call->im->model, value->tensor);
}

/* ---- results ---- */

static nw_status bind(nw_call *call, int32_t output, const nw_value *value)
{
    if (output >= call->n_outputs || !call->node->output[output][0])
        return NW_OK; /* nobody wants it */
    return nw_define(call->im, call->node->output[output], value);
}

nw_status nw_bind_constant(nw_call *call, int32_t output, nw_constant *constant)
{
    return bind(call, output, &(nw_value){.kind = NW_VALUE_CONSTANT, .tensor = NW_NONE, .constant = constant});
}

nw_status nw_bind_tensor(nw_call *call, int32_t output, int32_t tensor)
{
    return bind(call, output, &(nw_value){.kind = NW_VALUE_ACTIVATION, .tensor = tensor});
}

/** Appends a tensor named after the node; every made-up name ends in # and the tensor's index. */
static nw_status add_tensor(int32_t *out, nw_call *call, const char *name, const char *suffix, const nw_shape *shape)
{
    nw_importer *im = call->im;
    char made_up[300];
    if (!name) {
        snprintf(made_up, sizeof(made_up), "%.200s/%.40s#%d", call->name, suffix, (int)im->model->n_tensors);
        name = made_up;
    }
    int32_t dims[NW_MAX_RANK] = {0};
    for (int32_t i = 0; i < shape->rank; i++)
        dims[i] = (int32_t)shape->dims[i];
    *out = nw_model_add_tensor(im->model, name, NW_TYPE_F32, shape->rank, dims);
    return *out == NW_NONE ? nw_fail_memory(im->error, "importing a network") : NW_OK;
}

nw_status nw_emit(nw_node **node, nw_call *call, nw_op op, int32_t n_inputs, const nw_shape *shape, int32_t output)
{
    int64_t n = 0;
    if (!nw_shape_count(shape, &n))
        return nw_damaged(call, "its result has impossible dimensions");
    if (n == 0 || shape->rank == 0)
        return nw_damaged(call, n ? "its result is a scalar" : "its result is empty");
    const char *name = output >= 0 && output < call->n_outputs ? call->node->output[output] : NULL;
    int32_t tensor = NW_NONE;
    NW_TRY(add_tensor(&tensor, call, name && name[0] ? name : NULL, nw_op_name(op), shape));
    nw_node *added = nw_model_add_node(call->im->model, op, call->name, n_inputs);
    if (!added)
        return nw_fail_memory(call->im->error, "importing a network");
    added->output = tensor;
    if (output >= 0)
        NW_TRY(nw_bind_tensor(call, output, tensor));
    *node = added;
    return NW_OK;
}

nw_status nw_emit_constant(int32_t *tensor, float **data, nw_call *call, const char *suffix, const nw_shape *shape)
{
    int64_t n = 0;
    if (!nw_shape_count(shape, &n) || n == 0)
        return nw_damaged(call, "%s has impossible dimensions", suffix);
    if (n > call->im->emit_limit - call->im->emitted)
        return nw_damaged(call, "too many nodes share large weights");
    call->im->emitted += n;
    float *block = calloc((size_t)n, sizeof(*block));
    if (!block)
        return nw_fail_memory(call->im->error, "importing a network");
    const nw_status status = add_tensor(tensor, call, NULL, suffix, shape);
    if (status) {
        free(block);
        return status;
    }
    call->im->model->tensors[*tensor].data = block;
    *data = block;
    return NW_OK;
}
