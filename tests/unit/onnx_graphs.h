/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX files in memory for the tests of onnx/ and passes/, built through the protobuf-c API.
 *
 *     onnx_file *file = onnx_begin(13);
 *     onnx_input(file, "x", 4, (int64_t[]){-1, 3, 8, 8});                      -1: symbolic
 *     onnx_floats(file, "w", 4, (int64_t[]){2, 3, 1, 1}, NULL);                NULL: a pattern of small values
 *     onnx_node(file, "Conv", "x w", "y");
 *     onnx_ints(file, "strides", 2, (int64_t[]){2, 2});                        attribute of the last node
 *     onnx_output(file, "y");
 *     nw_model *model = onnx_import(file);                                     asserts success, frees the file
 */
#ifndef NARROW_TESTS_ONNX_GRAPHS_H
#define NARROW_TESTS_ONNX_GRAPHS_H

#include "model/model.h"
#include "onnx.pb-c.h"

typedef struct onnx_file {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
} onnx_file;

onnx_file *onnx_begin(int64_t opset);
void onnx_free(onnx_file *file);
void onnx_input(onnx_file *file, const char *name, size_t rank, const int64_t *dims);
void onnx_output(onnx_file *file, const char *name);
/** Initializers; float values in raw_data, integers in int64_data. Returns the message for tests that damage it. */
Onnx__TensorProto *onnx_floats(onnx_file *file, const char *name, size_t rank, const int64_t *dims,
                               const float *values);
Onnx__TensorProto *onnx_longs(onnx_file *file, const char *name, size_t n, const int64_t *values);
/** A node named after its operator and position; inputs and outputs separated by spaces, "-" for an absent one. */
void onnx_node(onnx_file *file, const char *op, const char *inputs, const char *outputs);
/** Domain and attributes of the node added last. */
void onnx_domain(onnx_file *file, const char *domain);
void onnx_int(onnx_file *file, const char *name, int64_t value);
void onnx_float(onnx_file *file, const char *name, float value);
void onnx_string(onnx_file *file, const char *name, const char *value);
void onnx_ints(onnx_file *file, const char *name, size_t n, const int64_t *values);

/** The file as bytes, in memory that the caller frees. */
uint8_t *onnx_bytes(const onnx_file *file, size_t *size);
/** Imports and frees the file; asserts success. */
nw_model *onnx_import(onnx_file *file);
/** The same, and runs the passes. */
nw_model *onnx_import_simplified(onnx_file *file);
/** Imports and frees the file; asserts that it fails with `status` and a message that contains `text`. */
void onnx_assert_fails(onnx_file *file, nw_status status, const char *text);

/** Nodes of one kind. */
int32_t count_nodes(const nw_model *model, nw_op op);
/** The only node of a kind; asserts that there is one. */
const nw_node *only_node(const nw_model *model, nw_op op);
/** Asserts the dimensions of a tensor, with `rank` of them. */
void assert_dims(const nw_model *model, int32_t tensor, int32_t rank, const int32_t *dims);

#endif
