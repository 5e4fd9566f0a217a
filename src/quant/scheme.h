/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quantizer's working state: for a float network, which tensors become codes, on what grid, with which factor and
 * limits per channel, and the integer weights of every linear node. The steps of quantize.c fill it one after the
 * other:
 *
 *     modes.c       which nodes run on integers, which tensors exist as codes, as reals, or both
 *     groups.c      tensors that must share a grid; channels that must share a factor
 *     follow.c      widths and methods: the options and the plan; in the end the plan that was followed (blocks.c:
 *                   where --act-placement blocks wants narrow tensors)
 *     saturation.c  what tables need not tell apart
 *     narrow.c      below 8 bits: zero points and important channels, weighed by what the readers make of an error
 *     equalize.c    factor per channel: codes stand for factor * real, so that small channels use the grid too
 *     noise.c      what a choice of factors costs
 *     grids.c       scale and zero point per group, limits per channel
 *     linear.c      integer weights, steps, biases
 *     sums.c        which nodes sum in 16 bits, and how far their weights are narrowed for it; wraps.c: modulo 2^16
 *     reconstruct.c codes by the outputs they give, further points (trial.c: of single layers, for the planner)
 *     bias_correction.c   what rounding moved on average, taken out of the biases
 *     learn.c       weights, biases and steps of narrow activations by gradients (gradient.h, learned.h)
 *     emit.c        the integer nw_model
 *
 * Codes and reals: real = scale * (code - zero_point) / factor[c] - offset[c]. A factor costs nothing when the network
 * runs: the producer's multiplier and bias and its consumers' weight columns absorb it (cross-layer equalization, Nagel
 * et al. 2019, extended to residuals, clamps and pools because these have per-channel numbers here too).
 */
#ifndef NARROW_QUANT_SCHEME_H
#define NARROW_QUANT_SCHEME_H

#include "model/model.h"
#include "quant/calibrate.h"
#include "quant/clip.h"
#include "quant/quantize.h"
#include "quant/range.h"
#include "quant/weights.h"

#define NW_WRAPS_BITS 7 /* most bits of codes that sums modulo 2^16 are planned with, unless the plan says more */
#define NW_WRAPS_LEAST_BITS 6 /* and where they need it */

typedef enum nw_mode {
    NW_MODE_DEAD,    /* nothing reads the result */
    NW_MODE_LINEAR,  /* CONV, CONV_TRANSPOSE, GEMM: integer sums */
    NW_MODE_INTEGER, /* ADD, MUL, AVERAGE_POOL: requantizes */
    NW_MODE_PASS,    /* MAX_POOL, CONCAT, SLICE, PAD, RESHAPE, TRANSPOSE, RESIZE on codes: one grid on all sides */
    NW_MODE_TABLE,   /* elementwise function of codes */
    NW_MODE_REAL     /* stays in float */
} nw_mode;

typedef struct nw_tensor_scheme {
    bool code, real;  /* forms in which the integer network needs the tensor */
    bool may_be_real; /* computed in float without quantizing in between, if nothing else wants codes (modes.c) */
    int32_t group;    /* lowest tensor index of those that share the grid; itself when alone or not a code */
    bool only_tables; /* a code that nothing but TABLE nodes read */
    double useful_lo, useful_hi; /* range that they tell apart, <= 0 and >= 0; infinite if others read it too */
    nw_grid grid;
    int32_t sum_bits;   /* most bits that nodes planned for sums modulo 2^16 want to read, the same for the whole group;
                           0: none */
    nw_activation_kind kind;
    int32_t extra_bits; /* of important channels, within grid.bits; 0 unless DQA */
    double share;       /* of the channels that are important */
    int32_t n_channels; /* 0 for constants, and then all arrays NULL */
    double *factor;     /* [n_channels] owned; 1 without equalization */
    uint8_t *shift;     /* [n_channels] owned; extra_bits or 0: a channel's codes are multiples of 2^shift away from
                           z */
    double *offset;     /* [n_channels] owned; reals: added before rounding, taken out of the readers' biases */
    double *importance; /* [n_channels] owned; error behind all readers by error in the channel, see narrow.c */
    nw_clip_curve *curves; /* [n_channels] owned, or NULL: see narrow.c */
    float *lo, *hi;   /* [n_channels] owned; limits as in nw_quant */
} nw_tensor_scheme;

/** What sums in 16 bits were planned with. */
typedef struct nw_sum_reasons {
    double weight_alpha, code_alpha; /* steps of weights (mean over rows) and codes over those of 8 bits */
    double code_bits;                /* log2 of the codes that the mean channel's limits leave */
    int32_t rows;                   /* channels whose steps are larger than those of their width */
    double run, longest, gain;       /* 16: predicted length of runs in steps, mean and longest; time of the exact 8-bit
                                        form over this one */
    double cost;                     /* 16: predicted time per step (runs.h) that rounding must keep to */
    double outside;                  /* 16-wrap: probability with which a sum is expected to wrap */
} nw_sum_reasons;

typedef struct nw_node_scheme {
    nw_mode mode;
    /* LINEAR only */
    nw_linear_shape shape;
    int32_t weight_bits;
    nw_code_book book;
    bool book_is_open; /* reconstruct.c chooses between uniform codes, which `book` says until then, and flint's */
    nw_rounding rounding; /* of weights below 8 bits */
    nw_accumulator accumulator;
    bool accumulator_said; /* by the plan: stays even where it does not pay */
    int32_t extra_points;  /* rows beyond one per channel that the plan gives it; NW_PLAN_UNSAID: its part of the
                              budget, */
    int32_t given_points;  /* which is this; rows for which nothing was left are none in the end */
    int32_t sum_bits;      /* 16-wrap: most bits of the codes it reads */
    bool narrowed;        /* steps of some rows are larger than the width asks for, so that sums fit 16 bits for
                             longer */
    nw_sum_reasons sums;  /* 16, 16-wrap: what they were planned with (sums.c, wraps.c) */
    bool reconstructed;   /* codes were chosen on quantized inputs, whose mean they take into account */
    int32_t n_rows;       /* n_channels, and more with further points (order of rows: nw_linear) */
    int32_t *row_channel; /* [n_rows] owned */
    int8_t *weights; /* [n_rows, k] owned */
    double *step;    /* [n_rows] owned; weight (with the input's factors divided out) = sum over its channel's rows of
                        step * code */
    double *bias;    /* [n_channels] owned; reals, corrected */
} nw_node_scheme;

typedef struct nw_scheme {
    const nw_model *model;             /* borrowed */
    const nw_calibration *calibration; /* borrowed */
    const nw_quantize_options *options; /* borrowed */
    nw_tensor_scheme *tensors;         /* [model->n_tensors] owned */
    nw_node_scheme *nodes;             /* [model->n_nodes] owned */
    int32_t learn_updates;             /* there will be (learn.h); 0 until nw_scheme_learn_updates said so */
} nw_scheme;

/** Allocates per-tensor arrays, factors all 1. NULL without memory. */
nw_scheme *nw_scheme_create(const nw_model *model, const nw_calibration *calibration,
                            const nw_quantize_options *options);
void nw_scheme_free(nw_scheme *scheme);

/** Sets modes and forms. NW_ERROR_UNSUPPORTED naming a node that cannot become integer nor stay float. */
nw_status nw_scheme_modes(nw_scheme *scheme, nw_error *error);

/** Whether the node is CONV, CONV_TRANSPOSE or GEMM. */
bool nw_is_linear(const nw_node *node);

/** Sets `group` of every tensor that is a code. */
void nw_scheme_groups(nw_scheme *scheme);

/**
 * Whether points beyond one per channel were asked for, by the options or by a plan (0 too). After nw_scheme_settle.
 */
bool nw_scheme_has_points(const nw_scheme *scheme);

/**
 * Sets widths and methods of all nodes and tensors: what the options say, and the plan's rows over it.
 * NW_ERROR_USAGE for rows that contradict each other or speak of nothing that is quantized.
 */
nw_status nw_scheme_settle(nw_scheme *scheme, nw_error *error);

/** Whether the tensor is the output of a block, as --act-placement blocks means it (blocks.c). */
bool nw_scheme_ends_block(const nw_scheme *scheme, int32_t tensor);

/** Calls pair(context, input tensor, channel, output tensor, channel) for every two channels a PASS node connects. */
typedef void nw_channel_pair(void *context, int32_t input, int32_t c_in, int32_t output, int32_t c_out);
void nw_scheme_pairs(const nw_scheme *scheme, const nw_node *node, nw_channel_pair *pair, void *context);

/** x cut to the useful range of the tensor. */
double nw_scheme_useful(const nw_tensor_scheme *tensor, double x);

/** Sets only_tables and the useful range of every tensor. */
void nw_scheme_saturation(nw_scheme *scheme);

/** Chooses factors (options: equalize). NW_ERROR_MEMORY. */
nw_status nw_scheme_equalize(nw_scheme *scheme, nw_error *error);

/**
 * Predicted noise behind the nodes that read the group's tensors, relative to the signal there, for the factors that
 * are set: rounding of the codes, and rounding of the weights they meet. NW_ERROR_MEMORY.
 */
nw_status nw_scheme_noise(double *noise, const nw_scheme *scheme, int32_t group);

/** Chooses grids and limits. NW_ERROR_USAGE for contradicting widths, NW_ERROR_UNSUPPORTED, NW_ERROR_MEMORY. */
nw_status nw_scheme_grids(nw_scheme *scheme, nw_error *error);

/** Limits of all channels for the grids and factors that are set. NW_ERROR_UNSUPPORTED for a clamp without 0. */
nw_status nw_scheme_limits(nw_scheme *scheme, nw_error *error);

/** Quantizes the weights of all linear nodes; biases are the float network's. NW_ERROR_MEMORY. */
nw_status nw_scheme_linear(nw_scheme *scheme, nw_error *error);

/** The same for one of them. NW_ERROR_MEMORY. */
nw_status nw_scheme_linear_node(nw_scheme *scheme, int32_t node);

/**
 * One row of a linear node.
 *
 * @param row         [k] out: real weights with the input's factors divided out
 * @param importance  [k] out: variance of the input that meets them, in units of its codes' reals
 */
void nw_scheme_row(double *row, double *importance, const nw_scheme *scheme, int32_t node, int32_t o);

/**
 * Nearest codes of one row of a linear node, on the book's step or the one that options.weight_range chooses; returns
 * it.
 *
 * @param row, importance  [k] scratch; row is left holding the real weights with the input's factors divided out
 */
double nw_scheme_round_row(int8_t *q, const nw_scheme *scheme, int32_t node, int32_t o, const nw_code_book *book,
                           double *row, double *importance);

/** A linear node's bias with the offsets of what it reads taken out, as exactly as its integer weights take them in. */
double nw_scheme_bias(const nw_scheme *scheme, int32_t node, int32_t channel);

/**
 * Decides on what nw_scheme_settle made candidates for 16-bit sums: weights are narrowed row by row, or the node stays
 * as the options say. NW_ERROR_MEMORY.
 */
nw_status nw_scheme_sums(nw_scheme *scheme, nw_error *error);

/** The same for one node that is a candidate, whose weights are quantized. NW_ERROR_MEMORY. */
nw_status nw_scheme_sum_node(nw_scheme *scheme, int32_t node);

/**
 * Whether a node's weights, rounded again, still form runs as long as planned, within what the choice of ranges leaves
 * open too; if so, its reasons become theirs.
 *
 * @param weights  [n_channels, k] in place of the node's
 * @return NW_ERROR_MEMORY
 */
nw_status nw_scheme_keeps_sums(bool *keeps, nw_scheme *scheme, int32_t node, const int8_t *weights);

/**
 * The same choice for 16-wrap: weights narrowed row by row until sums fit 16 bits on the kept samples, or the node and
 * the codes that only it reads go back to what the options say, or to fewer bits; then *dropped, and all since
 * nw_scheme_settle is to be done again. NW_ERROR_USAGE without these; NW_ERROR_MEMORY; what the float engine returned.
 */
nw_status nw_scheme_wraps(nw_scheme *scheme, bool *dropped, nw_error *error);

/** Reasons for both: what rows narrowed by alpha [n_channels], and the codes they meet, leave of 8 x 8 bits. */
nw_sum_reasons nw_scheme_sum_reasons(const nw_scheme *scheme, int32_t index, const double *alpha);

/** Most that rows may be narrowed, 6 bits being left; 1: not at all. */
double nw_scheme_most_alpha(const nw_node_scheme *linear);

/**
 * Makes the steps of rows alpha[o] >= 1 times larger and rounds them again; the width becomes the least that holds
 * them. NW_ERROR_MEMORY.
 */
nw_status nw_scheme_narrow_node(nw_scheme *scheme, int32_t index, const double *alpha);

/** Sets the width that is stored: the book's, for narrowed weights the least that holds them. */
void nw_scheme_set_width(nw_node_scheme *linear);

/** Sets the widths of all codes: what options and plan say, and sums modulo 2^16 ask for. NW_ERROR_USAGE as above. */
nw_status nw_scheme_settle_tensors(nw_scheme *scheme, nw_error *error);

/** Moves biases (options: bias_correction). NW_ERROR_MEMORY or what the float engine returned. */
nw_status nw_scheme_correct(nw_scheme *scheme, nw_error *error);

/** The plan that was followed: a row for every linear node and every tensor of codes. NULL without memory. */
nw_plan *nw_scheme_plan(const nw_scheme *scheme);

/** Builds the integer network. NW_ERROR_UNSUPPORTED naming a node whose numbers leave the format's ranges. */
nw_status nw_scheme_emit(nw_model **out, const nw_scheme *scheme, nw_error *error);

/** Whether the tensor holds codes that come from a node (or the input) that chooses them, not from a PASS node. */
bool nw_scheme_is_source(const nw_scheme *scheme, int32_t tensor);

#endif
