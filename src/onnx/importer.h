/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of src/onnx/ share. import.c walks the graph and calls, per node, either the constant interpreter
 * (fold_*.c: all inputs constant) or the operator's translation (node_*.c: emits nodes of the nw_model). Both see the
 * node through an nw_call.
 *
 * Three ends of a translation: the outputs are bound (nw_bind_*), or a problem was recorded with nw_refuse (the walk
 * goes on, so that one run lists all of them), or a status other than NW_OK ends the import.
 */
#ifndef NARROW_ONNX_IMPORTER_H
#define NARROW_ONNX_IMPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "model/model.h"
#include "onnx.pb-c.h"

/** Largest dimension and largest number of elements of any tensor. */
#define NW_MAX_DIMENSION ((int64_t)1 << 24)
#define NW_MAX_ELEMENTS ((int64_t)INT32_MAX)
/** Elements that all folded constants of one import may have together. Initializers do not count. */
#define NW_FOLD_LIMIT ((int64_t)1 << 26)
/** Largest kernel, stride, dilation of a window. */
#define NW_MAX_WINDOW 4096
/** Lines kept for the listing of problems. */
#define NW_MAX_PROBLEMS 1000
/** Default domain versions whose operators the translations know. */
#define NW_OPSET_MIN 7
#define NW_OPSET_MAX 22

typedef struct nw_shape {
    int32_t rank; /* 0 to NW_MAX_RANK */
    int64_t dims[NW_MAX_RANK];
} nw_shape;

/** Element kinds of the constant interpreter; ONNX's types are mapped onto them when a tensor is read. */
typedef enum nw_element {
    NW_ELEMENT_FLOAT, /* FLOAT, DOUBLE: held in binary32 */
    NW_ELEMENT_INT,   /* all integers: held in 64 bits */
    NW_ELEMENT_BOOL   /* 0 or 1 in 64 bits */
} nw_element;

/** A known tensor. Dimensions may be 0. */
typedef struct nw_constant {
    nw_element element;
    nw_shape shape;
    int64_t n;            /* elements */
    float *floats;        /* NW_ELEMENT_FLOAT; owned until `tensor` is set, then the model tensor owns it */
    int64_t *ints;        /* the other kinds; owned */
    int32_t tensor;       /* the model tensor that carries it, or NW_NONE */
    struct nw_constant *next; /* list of all, for freeing */
} nw_constant;

typedef enum nw_value_kind {
    NW_VALUE_ABSENT,      /* an omitted optional input */
    NW_VALUE_ACTIVATION,  /* tensor of the model */
    NW_VALUE_CONSTANT,    /* known */
    NW_VALUE_INITIALIZER, /* known, not decoded yet */
    NW_VALUE_REFUSED      /* output of something unsupported; what hangs on it is skipped silently */
} nw_value_kind;

/** What a name of the graph stands for. */
typedef struct nw_value {
    nw_value_kind kind;
    int32_t tensor;
    nw_constant *constant;
    Onnx__TensorProto *initializer;
    bool unsupported_output; /* REFUSED: an optional output, a problem only if somebody uses it */
} nw_value;

typedef struct nw_entry {
    const char *name; /* borrowed from the protobuf message or from `owned` */
    nw_value value;
} nw_entry;

typedef struct nw_importer {
    const char *file; /* for messages; with has_folder the path, beside which external data lie */
    bool has_folder;
    size_t external; /* bytes read from other files so far */
    nw_error *error;
    nw_model *model;
    const Onnx__GraphProto *graph;
    int64_t opset;
    nw_entry *entries; /* open addressing, capacity a power of two, at most half full */
    size_t n_entries, entry_capacity;
    nw_constant *constants; /* all, linked */
    int64_t folded;         /* elements of folded constants so far */
    int64_t emitted, emit_limit; /* elements of rearranged weights so far; many nodes may share one initializer */
    char **problems;
    int32_t n_problems, problem_capacity;
    bool truncated; /* more problems than NW_MAX_PROBLEMS */
} nw_importer;

/** One node as its translation sees it. */
typedef struct nw_call {
    nw_importer *im;
    const Onnx__NodeProto *node;
    const char *op;    /* operator, with its domain if it is not the default one */
    const char *name;  /* of the node, or made up from operator and position */
    nw_value *inputs;  /* copies, constants decoded; absent beyond n_inputs is asked through nw_call_input */
    int32_t n_inputs, n_outputs;
    const char *bad_attribute; /* set by the attribute readers: wrong type */
} nw_call;

typedef nw_status nw_translate(nw_call *call);

/** max_inputs of an operator with any number of inputs, all of them required. */
#define NW_VARIADIC (1 << 20)

/** What import.c knows about an operator. */
typedef struct nw_operator {
    const char *name;
    const char *attributes;  /* accepted names, each followed by a space */
    int32_t min_inputs, max_inputs;
    nw_translate *translate; /* to nodes; NULL: constants only */
    nw_translate *fold;      /* all inputs constant; NULL: activations only */
} nw_operator;

/* ---- names (names.c) ---- */

/** The value a name stands for, or NULL. */
nw_value *nw_lookup(nw_importer *im, const char *name);
/** Binds a new name. NW_ERROR_DATA if it is bound already. */
nw_status nw_define(nw_importer *im, const char *name, const nw_value *value);

/* ---- problems and messages (problems.c) ---- */

/** Records that the call's node is not supported and returns NW_OK (or NW_ERROR_MEMORY). */
nw_status nw_refuse(nw_call *call, const char *format, ...) NW_PRINTF(2, 3);
/** Records a problem without a node. */
nw_status nw_refuse_graph(nw_importer *im, const char *format, ...) NW_PRINTF(2, 3);
/** NW_ERROR_DATA: "file: node "x" (Op): ..." */
nw_status nw_damaged(nw_call *call, const char *format, ...) NW_PRINTF(2, 3);
/** All problems as text, one per line; NULL without memory. */
char *nw_problems_text(const nw_importer *im);
void nw_problems_free(nw_importer *im);

/* ---- shapes (shape.c) ---- */

/** Product of the dimensions into *n; false when a dimension or the product is out of range. Zeros are accepted. */
bool nw_shape_count(const nw_shape *shape, int64_t *n);
bool nw_shape_equal(const nw_shape *a, const nw_shape *b);
/** ONNX's multidirectional broadcasting; false when the shapes do not fit. */
bool nw_shape_broadcast(nw_shape *out, const nw_shape *a, const nw_shape *b);
/** Row-major strides in elements; 0 for dimensions of `shape` that are stretched to `target`. */
void nw_shape_strides(int64_t *strides, const nw_shape *shape, const nw_shape *target);
/** "1x3x32x32" into a buffer of at least 96 bytes; returns it. */
const char *nw_shape_text(char *buffer, const nw_shape *shape);
nw_shape nw_tensor_shape(const nw_model *model, int32_t tensor);
/** Turns an axis in [-rank, rank) into [0, rank); false when it is outside. */
bool nw_axis(int64_t *axis, int32_t rank);

/* ---- constants (constant.c) ---- */

/** A constant with uninitialised elements, owned by the importer. Charged to the fold limit if `folded`. */
nw_status nw_constant_create(nw_constant **out, nw_importer *im, nw_element element, const nw_shape *shape,
                             bool folded);
/** Decodes a TensorProto; float data may be taken out of the message. `what` names it in messages. */
nw_status nw_constant_decode(nw_constant **out, nw_importer *im, Onnx__TensorProto *proto, const char *what,
                             bool *unsupported);
/**
 * Fills raw_data of a tensor whose data_location is EXTERNAL from the file it names, in the model's folder or below
 * it (external.c). `size` is what dimensions and type ask for.
 */
nw_status nw_external_read(nw_importer *im, Onnx__TensorProto *proto, size_t size, const char *what);
/** The model tensor that carries a float constant; made on first use. */
nw_status nw_constant_tensor(int32_t *out, nw_call *call, nw_constant *constant, const char *name);
bool nw_all_finite(const float *values, int64_t n);
void nw_constants_free(nw_importer *im);
/** Copies elements [index of each axis * stride + offset] of `source` into `target` in row-major order. */
void nw_constant_gather(nw_constant *target, const nw_constant *source, const int64_t *strides, int64_t offset);

/* ---- attributes and inputs of a node (call.c) ---- */

const Onnx__AttributeProto *nw_attribute(const nw_call *call, const char *name);
int64_t nw_attribute_int(nw_call *call, const char *name, int64_t missing);
float nw_attribute_float(nw_call *call, const char *name, float missing);
/** True when the string attribute exists and equals `text`; *found tells whether it exists. */
bool nw_attribute_is(nw_call *call, const char *name, const char *text, bool *found);
/** The string of an attribute, cut to fit, or `missing`. */
const char *nw_attribute_text(nw_call *call, const char *name, const char *missing, char buffer[64]);
/** Number of integers of a list attribute, values into *values (borrowed); -1 when it is missing. */
int64_t nw_attribute_ints(nw_call *call, const char *name, const int64_t **values);
/** Input i, absent when the node has fewer. */
const nw_value *nw_call_input(const nw_call *call, int32_t i);
/** Input i if it is a constant of integers (any rank), else NULL. */
const nw_constant *nw_input_ints(const nw_call *call, int32_t i);
/** Input i if it is a float constant, else NULL. */
nw_constant *nw_input_floats(const nw_call *call, int32_t i);
/**
 * A list of integers that older opsets carry as an attribute and newer ones as an input.
 * @return count, values borrowed; -1 when it is absent; -2 when the input is there but no integer constant
 */
int64_t nw_list(nw_call *call, const char *attribute, int32_t input, const int64_t **values);
nw_shape nw_input_shape(const nw_call *call, int32_t i);

/* ---- results of a node (call.c) ---- */

nw_status nw_bind_constant(nw_call *call, int32_t output, nw_constant *constant);
nw_status nw_bind_tensor(nw_call *call, int32_t output, int32_t tensor);
/**
 * Appends a node with its output tensor.
 * @param output  index of the ONNX output that it computes, or -1 for an intermediate with a made-up name
 * @param node    the new node, valid until the next one is added
 */
nw_status nw_emit(nw_node **node, nw_call *call, nw_op op, int32_t n_inputs, const nw_shape *shape, int32_t output);
/** Appends a constant float tensor to the model under a made-up name; *data is its n elements, to be filled. */
nw_status nw_emit_constant(int32_t *tensor, float **data, nw_call *call, const char *suffix, const nw_shape *shape);

/* ---- the operators (table in operators.c) ---- */

const nw_operator *nw_operator_find(const char *name);

nw_translate nw_node_conv, nw_node_conv_transpose, nw_node_gemm, nw_node_matmul, nw_node_batch_norm;
nw_translate nw_node_max_pool, nw_node_average_pool, nw_node_global_average_pool, nw_node_reduce_mean, nw_node_pad;
nw_translate nw_node_unary, nw_node_binary, nw_node_clip, nw_node_softmax, nw_node_identity;
nw_translate nw_node_reshape, nw_node_flatten, nw_node_squeeze, nw_node_unsqueeze, nw_node_transpose, nw_node_concat;
nw_translate nw_node_slice, nw_node_split, nw_node_gather, nw_node_resize;

nw_translate nw_fold_constant, nw_fold_constant_of_shape, nw_fold_identity, nw_fold_cast, nw_fold_range;
nw_translate nw_fold_binary, nw_fold_unary, nw_fold_where, nw_fold_expand;
nw_translate nw_fold_shape, nw_fold_reshape, nw_fold_transpose, nw_fold_concat, nw_fold_slice, nw_fold_gather;

/* ---- shape rules that folding and translation share (rules.c) ---- */

/** A resolved slice of one axis. */
typedef struct nw_range {
    int64_t start, step, n; /* n elements start, start + step, ...; step != 0 */
} nw_range;

/** The target of Reshape, Flatten, Squeeze or Unsqueeze; *ok false after a problem was recorded. */
nw_status nw_rule_reshape(nw_shape *out, bool *ok, nw_call *call, const nw_shape *in);
/** Slice: one range per axis of `in`. */
nw_status nw_rule_slice(nw_range ranges[NW_MAX_RANK], bool *ok, nw_call *call, const nw_shape *in);
/** Transpose: perm of the input's rank. */
nw_status nw_rule_transpose(int32_t perm[NW_MAX_RANK], nw_shape *out, nw_call *call, const nw_shape *in);

#endif
