/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nw_model: one network as a list of tensors and a topologically sorted list of nodes.
 *
 * The same structure holds the float network that comes out of onnx/ (every tensor F32, constants are tensors with
 * data) and the integer network that comes out of quant/ or a .nw file (activations U8 with an nw_quant, linear nodes
 * with an nw_linear). docs/numerics.md states what every node computes; src/kernels/ref/ is that text as code.
 *
 *     nw_model *model = nw_model_create();
 *     int32_t x = nw_model_add_tensor(model, "input", NW_TYPE_F32, 4, (int32_t[]){1, 3, 32, 32});
 *     nw_node *conv = nw_model_add_node(model, NW_OP_CONV, "conv1", 4);
 *     conv->inputs[0] = x;
 *     ...
 *     nw_model_free(model);
 *
 * Batch. dims[0] of every activation is 1: the network is written for one sample and runs on any number of them.
 * Shapes are logical [N, C, H, W] (or [N, C]) whatever the layout in memory.
 */
#ifndef NARROW_MODEL_MODEL_H
#define NARROW_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/geometry.h"
#include "base/prefix_code.h"
#include "model/preprocess.h"
#include "narrow/narrow.h"

#define NW_NONE (-1)  /* absent tensor */
#define NW_MAX_POINTS 4 /* weight vectors per output channel */

typedef enum nw_type {
    NW_TYPE_F32 = 0, /* binary32 */
    NW_TYPE_U8 = 1   /* unsigned code of 1 to 8 bits in a byte */
} nw_type;

/**
 * How the codes of a U8 tensor stand for reals: real = scale * (code - zero_point).
 *
 * Channel c holds only codes from zero_point + (lo[c] << shift[c]) to zero_point + (hi[c] << shift[c]), in steps of
 * 1 << shift[c]; its producer enforces that and its consumers rely on it.
 */
typedef struct nw_quant {
    uint8_t bits;       /* 1 to 8: every code is below 1 << bits */
    uint8_t zero_point; /* a multiple of 1 << shift[c] for every c */
    float scale;        /* > 0, finite */
    float *lo, *hi;     /* [C] owned; integers held in binary32, lo <= 0 <= hi, in units of scale << shift */
    uint8_t *shift;     /* [C] owned; 0 to 7 */
    uint16_t code, low_code; /* 1 + index of the prefix codes that stored rows may use (ops/symbols.h): for what lies
                                above the pixel's shift (base/pixel.h), and for the low bits. 0: none */
} nw_quant;

/** A prefix code for the symbols of stored rows, by its lengths (base/prefix_code.h). */
typedef struct nw_symbol_code {
    uint8_t bits; /* of a symbol, 1 to 8 */
    uint8_t lengths[NW_PREFIX_SYMBOLS]; /* [1 << bits] 1 to NW_PREFIX_LONGEST, complete */
} nw_symbol_code;

typedef struct nw_tensor {
    char *name; /* owned; unique in the model */
    nw_type type;
    uint8_t rank;              /* 1 to NW_MAX_RANK (0 for a scalar constant) */
    int32_t dims[NW_MAX_RANK]; /* all >= 1 */
    float *data;               /* owned; values of a constant (host only), NULL for an activation */
    nw_quant quant;            /* of a U8 tensor */
} nw_tensor;

typedef enum nw_op {
    /* linear: float weights as constant inputs before quantization, an nw_linear after it */
    NW_OP_CONV,           /* x, weights [O, C/groups, kh, kw], bias [O]?, residual?  also Gemm/MatMul (1 x 1) */
    NW_OP_CONV_TRANSPOSE, /* x, weights [C, O/groups, kh, kw], bias [O]?, residual? */
    /* borders between reals and codes */
    NW_OP_QUANTIZE,   /* F32 -> U8 */
    NW_OP_DEQUANTIZE, /* U8 -> F32 */
    /* both kinds */
    NW_OP_ADD,          /* a, b of one shape (float graph: broadcasting allowed before the passes) */
    NW_OP_MUL,          /* a, b; integer: b as a, or one pixel [1, C, 1, 1] */
    NW_OP_MAX_POOL,     /* integer: same scale and zero point on both sides */
    NW_OP_AVERAGE_POOL, /* GlobalAveragePool has a kernel of the whole plane */
    NW_OP_CONCAT,       /* integer: same scale and zero point everywhere */
    NW_OP_SLICE,        /* integer: same scale and zero point */
    NW_OP_PAD,          /* constant; integer: value 0, same scale and zero point */
    NW_OP_RESHAPE,      /* target shape = dims of the output; batch stays first */
    NW_OP_TRANSPOSE,
    NW_OP_RESIZE,       /* height and width; integer: same scale and zero point */
    NW_OP_TABLE, /* integer only: y = table[c][x]; every elementwise function of one U8 tensor, requantization too */
    /* float only; a pass or the quantizer turns them into something else, or they run in float */
    NW_OP_RELU,
    NW_OP_CLIP,
    NW_OP_BATCH_NORM, /* x, scale, bias, mean, variance: all [C] */
    NW_OP_GEMM,       /* a [N, K], weights [O, K] (already in this orientation), bias [O]? */
    NW_OP_SUB,
    NW_OP_DIV,
    NW_OP_SIGMOID,
    NW_OP_TANH,
    NW_OP_EXP,
    NW_OP_HARD_SIGMOID,
    NW_OP_HARD_SWISH,
    NW_OP_SILU, /* x * sigmoid(x) */
    NW_OP_LEAKY_RELU,
    NW_OP_SOFTMAX,
    NW_OP_COUNT
} nw_op;

/** Accumulator of a layer; only 16-wrap changes a result. See docs/numerics.md, 16-bit sums. */
typedef enum nw_accumulator {
    NW_ACCUMULATOR_AUTO = 0,    /* 16 bits wherever they are proven to hold a partial sum, else 32 */
    NW_ACCUMULATOR_32 = 1,      /* no partial sum in 16 bits but what one instruction forms */
    NW_ACCUMULATOR_16 = 2,      /* as AUTO, and the numbers were planned for long sums in 16 bits */
    NW_ACCUMULATOR_16_WRAP = 3, /* the exact sum reduced modulo 2^16 to [-2^15, 2^15) */
    NW_ACCUMULATOR_COUNT
} nw_accumulator;

/**
 * The integer weights of a linear node.
 *
 * Rows 0 .. n_channels-1 are the first points of the output channels in order; rows above are further points
 * p = 2, 3, 4 in ascending p (row_channel says whose). k runs over kh, kw, c, in this order (c within the group),
 * for CONV and CONV_TRANSPOSE alike. A CONV_TRANSPOSE row is the weight of output channel o as seen by one input pixel.
 *
 *     acc_p[o] = sum_k W_p[o,k] * x[k]
 *     v[o] = bias[o] + multiplier[row_1(o)] * f32(acc_1[o] + offset[row_1(o)]) + ...
 *            [+ residual_multiplier[o] * f32(r - z_r)]
 */
typedef struct nw_linear {
    int32_t n_channels;     /* O */
    int32_t n_rows;         /* >= n_channels, <= NW_MAX_POINTS * n_channels */
    int32_t k;              /* kh * kw * C / groups */
    uint8_t weight_bits;    /* 1 to 8; |W| <= 2^(bits-1) - 1, and for 1 bit W in {-1, +1} */
    uint8_t *levels;        /* [1 << (bits-1)] owned, ascending from 0: |W| is one of these instead; NULL: uniform */
    uint8_t accumulator;    /* nw_accumulator */
    int8_t *weights;        /* [n_rows, k] owned */
    size_t coded_size;      /* bytes of the weights in the file that it was read from or will become (weight_storage.h),
                               if they are coded there; 0: packed */
    int32_t *row_channel;   /* [n_rows] owned */
    float *multiplier;      /* [n_rows] owned; 0 or 2^-40 <= m <= 2^20 */
    int32_t *offset;        /* [n_rows] owned; -z_x * sum_k W[row,k] */
    float *bias;            /* [n_channels] owned; finite, in units of the output's step */
    float *residual_multiplier; /* [n_channels] owned, or NULL without a residual */
} nw_linear;

typedef struct nw_node {
    nw_op op;
    char *name;       /* owned; from the ONNX node, for people */
    int32_t n_inputs; /* entries of inputs; absent optional ones are NW_NONE */
    int32_t *inputs;  /* owned; tensor indices */
    int32_t output;   /* tensor index; every node has exactly one output */

    nw_window window;         /* CONV, CONV_TRANSPOSE, MAX_POOL, AVERAGE_POOL */
    int32_t groups;           /* CONV, CONV_TRANSPOSE */
    bool count_include_pad;   /* AVERAGE_POOL */
    float lo, hi;             /* float graph: clamp fused behind CONV, CONV_TRANSPOSE, ADD (after the residual); CLIP's
                                 bounds; -INFINITY, INFINITY for none. Integer graph: the limits of the output tensor */
    int32_t axis;             /* CONCAT, SOFTMAX: 0 .. rank-1 */
    int32_t starts[NW_MAX_RANK], steps[NW_MAX_RANK]; /* SLICE: per axis, in elements, starts >= 0, steps >= 1 */
    int32_t pads[2 * NW_MAX_RANK];                   /* PAD: all begins, then all ends; >= 0 */
    int32_t perm[NW_MAX_RANK];                       /* TRANSPOSE */
    nw_resize_mode resize_mode;                      /* RESIZE */
    nw_resize_coordinates resize_coordinates;        /* RESIZE, linear; nearest is always ASYMMETRIC */
    float alpha, beta;        /* BATCH_NORM: epsilon in alpha; LEAKY_RELU, HARD_SIGMOID: as in ONNX; PAD: value in
                                 alpha */

    nw_linear *linear;        /* owned; integer CONV and CONV_TRANSPOSE */
    uint8_t *table;           /* owned; TABLE: [n_tables, 256]; QUANTIZE: pixel tables [C, 256] or NULL */
    int32_t n_tables;         /* 1 or C */
    float *multipliers[2];    /* owned [C]; ADD: of a and b; MUL: [0]; AVERAGE_POOL: [0] for a window of one element */
} nw_node;

/** How a file holds the weights of linear nodes. Nothing but its size depends on it. */
typedef enum nw_weight_storage {
    NW_STORED_PACKED, /* every value takes weight_bits */
    NW_STORED_CODED   /* entropy-coded (weight_code.h) where that is shorter */
} nw_weight_storage;

#define NW_MAX_SYMBOL_CODES 256

struct nw_model {
    nw_tensor *tensors; /* owned */
    int32_t n_tensors, tensor_capacity;
    nw_node *nodes; /* owned, topologically sorted */
    int32_t n_nodes, node_capacity;
    int32_t *inputs, *outputs; /* owned; tensor indices */
    int32_t n_inputs, n_outputs;
    nw_preprocess preprocess; /* valid if has_preprocess */
    bool has_preprocess;
    char *plan; /* owned JSON text for people and tools, or NULL */
    nw_weight_storage weight_storage;
    nw_symbol_code *symbol_codes; /* owned; no result depends on them */
    int32_t n_symbol_codes;       /* at most NW_MAX_SYMBOL_CODES */
    size_t source_size; /* bytes of the ONNX file and the files its weights lie in; 0 if it comes from elsewhere */
};

/** An empty model, or NULL without memory. */
nw_model *nw_model_create(void);

/** A deep copy, or NULL without memory. */
nw_model *nw_model_copy(const nw_model *model);

/**
 * Appends a tensor.
 * @param name  copied; the caller sees to uniqueness
 * @return its index, or NW_NONE without memory. Pointers to other tensors become invalid.
 */
int32_t nw_model_add_tensor(nw_model *model, const char *name, nw_type type, int32_t rank, const int32_t *dims);

/**
 * DQA's extra bits: how many of quant.bits the coarsest channels do without; 0: all channels are alike.
 *
 * @param n_fine  out, or NULL: channels that have any of them
 */
int32_t nw_quant_extra_bits(const nw_quant *quant, int32_t n_channels, int32_t *n_fine);

/** Gives a U8 tensor its per-channel arrays: lo = hi = 0, shift = 0. Returns NW_ERROR_MEMORY without memory. */
nw_status nw_tensor_alloc_quant(nw_tensor *tensor);

/** Appends a node with `n_inputs` inputs, all NW_NONE, lo/hi infinite, groups and strides 1. NULL without memory. */
nw_node *nw_model_add_node(nw_model *model, nw_op op, const char *name, int32_t n_inputs);

/** A zeroed nw_linear with all arrays allocated (residual_multiplier only if asked), or NULL without memory. */
nw_linear *nw_linear_create(int32_t n_channels, int32_t n_rows, int32_t k, bool residual);
void nw_linear_free(nw_linear *linear);

/** offset[row] = -zero_point * sum of the row's weights; false, with the offset unspecified, if that leaves 32 bits. */
bool nw_linear_set_offset(nw_linear *linear, int32_t row, int32_t zero_point);

/** Channels of an activation: dims[1] (dims[0] for rank 1). Height and width are 1 when the rank is below 4. */
int32_t nw_tensor_channels(const nw_tensor *tensor);
int32_t nw_tensor_height(const nw_tensor *tensor);
int32_t nw_tensor_width(const nw_tensor *tensor);

/** Number of elements; dims were checked to make this fit when the tensor was added or read. */
size_t nw_tensor_elements(const nw_tensor *tensor);

/** Code range of channel c: *lowest = z + (lo << s), *highest = z + (hi << s). */
void nw_quant_code_range(const nw_quant *quant, int32_t c, int32_t *lowest, int32_t *highest);

/** Name of an operator as the file and the messages spell it ("conv", "max_pool"), and back (NW_OP_COUNT: unknown). */
const char *nw_op_name(nw_op op);
nw_op nw_op_from_name(const char *name);

/** Multiply-accumulates of a node for one sample: CONV, CONV_TRANSPOSE (all points), GEMM; 0 for the rest. */
uint64_t nw_node_macs(const nw_model *model, const nw_node *node);

/** The residual of an integer CONV or CONV_TRANSPOSE (inputs[3]; inputs[1] and [2] are NW_NONE), or NW_NONE. */
static inline int32_t nw_node_residual(const nw_node *node)
{
    return node->n_inputs > 3 ? node->inputs[3] : NW_NONE;
}

/** Index of the node that produces the tensor, or NW_NONE (graph input, constant). */
int32_t nw_model_producer(const nw_model *model, int32_t tensor);

/** How many node inputs and graph outputs use the tensor. */
int32_t nw_model_uses(const nw_model *model, int32_t tensor);

/**
 * Checks an integer model (all nodes executable by the engine): index ranges, topological order, shapes against each
 * operator's rule, quantization of every tensor, ranges of all numbers, |acc + z| < 2^31 for every row from its weights
 * and its input's limits, equal scales where an operator demands them. Everything read from a file passes through here
 * before it is used.
 * @return NW_ERROR_DATA with a sentence naming the node or tensor
 */
nw_status nw_model_validate(const nw_model *model, nw_error *error);

#endif
