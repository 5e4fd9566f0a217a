/* SPDX-License-Identifier: Apache-2.0 */
/* See onnx_graphs.h. Everything is allocated with malloc, as protobuf-c does, and freed by its own free_unpacked. */
#include "onnx_graphs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onnx/onnx.h"
#include "passes/passes.h"

static void *checked(void *block)
{
    assert_non_null(block);
    return block;
}

static void *copied(const void *data, size_t size)
{
    void *copy = checked(malloc(size ? size : 1));
    if (size)
        memcpy(copy, data, size);
    return copy;
}

static char *copied_text(const char *text)
{
    return copied(text, strlen(text) + 1);
}

/** Appends a pointer to a list of messages. */
static void append(void *list, size_t *n, void *item)
{
    void **items;
    memcpy(&items, list, sizeof(items));
    items = checked(realloc(items, (*n + 1) * sizeof(*items)));
    items[(*n)++] = item;
    memcpy(list, &items, sizeof(items));
}

onnx_file *onnx_begin(int64_t opset)
{
    onnx_file *file = checked(calloc(1, sizeof(*file)));
    onnx__model_proto__init(&file->model);
    onnx__graph_proto__init(&file->graph);
    onnx__operator_set_id_proto__init(&file->opset);
    file->opset.has_version = 1;
    file->opset.version = opset;
    file->opsets[0] = &file->opset;
    file->model.graph = &file->graph;
    file->model.n_opset_import = 1;
    file->model.opset_import = file->opsets;
    return file;
}

void onnx_free(onnx_file *file)
{
    for (size_t i = 0; i < file->graph.n_node; i++)
        onnx__node_proto__free_unpacked(file->graph.node[i], NULL);
    for (size_t i = 0; i < file->graph.n_initializer; i++)
        onnx__tensor_proto__free_unpacked(file->graph.initializer[i], NULL);
    for (size_t i = 0; i < file->graph.n_input; i++)
        onnx__value_info_proto__free_unpacked(file->graph.input[i], NULL);
    for (size_t i = 0; i < file->graph.n_output; i++)
        onnx__value_info_proto__free_unpacked(file->graph.output[i], NULL);
    free(file->graph.node);
    free(file->graph.initializer);
    free(file->graph.input);
    free(file->graph.output);
    free(file);
}

static Onnx__ValueInfoProto *value_info(const char *name)
{
    Onnx__ValueInfoProto *info = checked(malloc(sizeof(*info)));
    onnx__value_info_proto__init(info);
    info->name = copied_text(name);
    return info;
}

void onnx_input(onnx_file *file, const char *name, size_t rank, const int64_t *dims)
{
    Onnx__ValueInfoProto *info = value_info(name);
    info->type = checked(malloc(sizeof(*info->type)));
    onnx__type_proto__init(info->type);
    Onnx__TypeProto__Tensor *tensor = checked(malloc(sizeof(*tensor)));
    onnx__type_proto__tensor__init(tensor);
    info->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    info->type->tensor_type = tensor;
    tensor->has_elem_type = 1;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = checked(malloc(sizeof(*tensor->shape)));
    onnx__tensor_shape_proto__init(tensor->shape);
    for (size_t i = 0; i < rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = checked(malloc(sizeof(*dim)));
        onnx__tensor_shape_proto__dimension__init(dim);
        if (dims[i] < 0) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = copied_text("N");
        } else {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = dims[i];
        }
        append(&tensor->shape->dim, &tensor->shape->n_dim, dim);
    }
    append(&file->graph.input, &file->graph.n_input, info);
}

void onnx_output(onnx_file *file, const char *name)
{
    append(&file->graph.output, &file->graph.n_output, value_info(name));
}

static Onnx__TensorProto *tensor(const char *name, int32_t type, size_t rank, const int64_t *dims)
{
    Onnx__TensorProto *proto = checked(malloc(sizeof(*proto)));
    onnx__tensor_proto__init(proto);
    proto->name = copied_text(name);
    proto->has_data_type = 1;
    proto->data_type = type;
    proto->n_dims = rank;
    proto->dims = copied(dims, rank * sizeof(*dims));
    return proto;
}

Onnx__TensorProto *onnx_floats(onnx_file *file, const char *name, size_t rank, const int64_t *dims,
                               const float *values)
{
    Onnx__TensorProto *proto = tensor(name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank, dims);
    size_t n = 1;
    for (size_t i = 0; i < rank; i++)
        n *= (size_t)dims[i];
    float *data = checked(malloc(n * sizeof(float) + 1));
    for (size_t i = 0; i < n; i++)
        data[i] = values ? values[i] : 0.25f * (float)(i * 7 % 13) - 1.25f;
    proto->has_raw_data = 1;
    proto->raw_data.data = (uint8_t *)data;
    proto->raw_data.len = n * sizeof(float);
    append(&file->graph.initializer, &file->graph.n_initializer, proto);
    return proto;
}

Onnx__TensorProto *onnx_longs(onnx_file *file, const char *name, size_t n, const int64_t *values)
{
    const int64_t dims[1] = {(int64_t)n};
    Onnx__TensorProto *proto = tensor(name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, dims);
    proto->n_int64_data = n;
    proto->int64_data = copied(values, n * sizeof(*values));
    append(&file->graph.initializer, &file->graph.n_initializer, proto);
    return proto;
}

static void append_names(char ***list, size_t *n, const char *names)
{
    while (*names) {
        const size_t length = strcspn(names, " ");
        char *name = checked(calloc(length + 1, 1));
        if (length != 1 || *names != '-')
            memcpy(name, names, length);
        append(list, n, name);
        names += length + (names[length] == ' ');
    }
}

void onnx_node(onnx_file *file, const char *op, const char *inputs, const char *outputs)
{
    char name[64];
    snprintf(name, sizeof(name), "%.40s_%zu", op, file->graph.n_node);
    Onnx__NodeProto *node = checked(malloc(sizeof(*node)));
    onnx__node_proto__init(node);
    node->name = copied_text(name);
    node->op_type = copied_text(op);
    append_names(&node->input, &node->n_input, inputs);
    append_names(&node->output, &node->n_output, outputs);
    append(&file->graph.node, &file->graph.n_node, node);
}

void onnx_domain(onnx_file *file, const char *domain)
{
    file->graph.node[file->graph.n_node - 1]->domain = copied_text(domain);
}

static Onnx__AttributeProto *attribute(onnx_file *file, const char *name, Onnx__AttributeProto__AttributeType type)
{
    Onnx__NodeProto *node = file->graph.node[file->graph.n_node - 1];
    Onnx__AttributeProto *proto = checked(malloc(sizeof(*proto)));
    onnx__attribute_proto__init(proto);
    proto->name = copied_text(name);
    proto->has_type = 1;
    proto->type = type;
    append(&node->attribute, &node->n_attribute, proto);
    return proto;
}

void onnx_int(onnx_file *file, const char *name, int64_t value)
{
    Onnx__AttributeProto *proto = attribute(file, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    proto->has_i = 1;
    proto->i = value;
}

void onnx_float(onnx_file *file, const char *name, float value)
{
    Onnx__AttributeProto *proto = attribute(file, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    proto->has_f = 1;
    proto->f = value;
}

void onnx_string(onnx_file *file, const char *name, const char *value)
{
    Onnx__AttributeProto *proto = attribute(file, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    proto->has_s = 1;
    proto->s.len = strlen(value);
    proto->s.data = (uint8_t *)copied_text(value);
}

void onnx_ints(onnx_file *file, const char *name, size_t n, const int64_t *values)
{
    Onnx__AttributeProto *proto = attribute(file, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    proto->n_ints = n;
    proto->ints = copied(values, n * sizeof(*values));
}

uint8_t *onnx_bytes(const onnx_file *file, size_t *size)
{
    *size = onnx__model_proto__get_packed_size(&file->model);
    uint8_t *bytes = checked(malloc(*size + 1));
    assert_int_equal(onnx__model_proto__pack(&file->model, bytes), *size);
    return bytes;
}

nw_model *onnx_import(onnx_file *file)
{
    size_t size = 0;
    uint8_t *bytes = onnx_bytes(file, &size);
    nw_model *model = NULL;
    nw_error error = {{0}};
    if (nw_onnx_parse(&model, bytes, size, "test.onnx", &error))
        fail_msg("%s", error.message);
    free(bytes);
    onnx_free(file);
    return model;
}

nw_model *onnx_import_simplified(onnx_file *file)
{
    nw_model *model = onnx_import(file);
    nw_error error = {{0}};
    if (nw_passes_run(model, &error))
        fail_msg("%s", error.message);
    return model;
}

void onnx_assert_fails(onnx_file *file, nw_status status, const char *text)
{
    size_t size = 0;
    uint8_t *bytes = onnx_bytes(file, &size);
    nw_model *model = NULL;
    nw_error error = {{0}};
    assert_int_equal(nw_onnx_parse(&model, bytes, size, "test.onnx", &error), status);
    assert_null(model);
    if (!strstr(error.message, text))
        fail_msg("\"%s\" does not contain \"%s\"", error.message, text);
    free(bytes);
    onnx_free(file);
}

int32_t count_nodes(const nw_model *model, nw_op op)
{
    int32_t n = 0;
    for (int32_t i = 0; i < model->n_nodes; i++)
        n += model->nodes[i].op == op;
    return n;
}

const nw_node *only_node(const nw_model *model, nw_op op)
{
    assert_int_equal(count_nodes(model, op), 1);
    const nw_node *node = model->nodes;
    while (node->op != op)
        node++;
    return node;
}

void assert_dims(const nw_model *model, int32_t tensor_index, int32_t rank, const int32_t *dims)
{
    const nw_tensor *t = &model->tensors[tensor_index];
    assert_int_equal(t->rank, rank);
    for (int32_t i = 0; i < rank; i++)
        assert_int_equal(t->dims[i], dims[i]);
}
