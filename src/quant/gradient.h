/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quantized network played in reals, and its derivatives: reverse mode over the node kinds that networks of codes
 * consist of. learn.c moves weights, biases and steps along them.
 *
 *     NW_TRY(nw_gradient_create(&g, scheme, 16, true, error));
 *     nw_gradient_input(g, 0, samples);                   dense [batch, C, H, W]
 *     NW_TRY(nw_gradient_forward(g));
 *     g->tensors[t].gradient[...] += d loss / d value;    at any computed tensors, after nw_gradient_clear
 *     NW_TRY(nw_gradient_backward(g));                    linears[i].weight_gradient, tensors[t].step_gradient, ... += 
 *
 * Pictures lie channels last, [batch, H * W, C]. Rounding to nearest counts as the identity inside a tensor's limits
 * and as constant outside (straight-through); the derivative by the logarithm of a channel's step follows from that:
 * code * step - x inside, code * step outside. Everything runs on one thread and adds in one order.
 *
 * Nodes of other kinds, and whatever needs what they compute, are left out: `computed` says what is there.
 */
#ifndef NARROW_QUANT_GRADIENT_H
#define NARROW_QUANT_GRADIENT_H

#include "quant/scheme.h"

typedef struct nw_gradient_tensor {
    bool computed, rounded;
    int32_t channels, height, width;
    size_t elements; /* of one sample */
    float *before;   /* [batch, H * W, C] owned; before clamp and rounding; `value` itself where nothing
                        happens in between or gradients are not wanted */
    float *value;    /* [batch, H * W, C] owned */
    float *gradient; /* [batch, H * W, C] owned, of `value`; NULL where only values are wanted */
    /* rounded: value = step * round(clamp((before + offset) / step, lo, hi)), per channel */
    float *step, *lo, *hi, *offset; /* [C] owned */
    double *step_gradient;          /* [C] owned; by log step */
    float clamp_lo, clamp_hi;       /* not rounded */
} nw_gradient_tensor;

typedef struct nw_gradient_linear {
    nw_linear_shape shape;
    bool depthwise;
    float *weights, *bias;                   /* [O, k] in the scheme's order, [O]; owned; NULL for other nodes */
    float *weight_gradient, *bias_gradient; /* owned; NULL where only values are wanted */
} nw_gradient_linear;

typedef struct nw_gradient {
    const nw_scheme *scheme; /* borrowed */
    int32_t batch;
    bool trains;
    nw_gradient_tensor *tensors; /* [n_tensors] owned */
    nw_gradient_linear *linears; /* [n_nodes] owned */
    float *columns;              /* owned; scratch of gradient_linear.c */
    int32_t *places;             /* owned; the same */
} nw_gradient;

/**
 * @param trains  false: the float network, values only. true: rounded as the scheme says, with gradients. Weights,
 *                biases, steps and limits are the caller's to set; those of the float network stand there before.
 * @return NW_ERROR_MEMORY
 */
nw_status nw_gradient_create(nw_gradient **out, const nw_scheme *scheme, int32_t batch, bool trains);
void nw_gradient_free(nw_gradient *g);

/** Bytes per sample that a training pass holds, about. */
size_t nw_gradient_sample_size(const nw_scheme *scheme);

/** Whether gradients pass this kind of node. */
bool nw_gradient_knows(const nw_scheme *scheme, int32_t node);

/** Sets one graph input of one sample. @param data  dense [C, H, W] */
void nw_gradient_input(nw_gradient *g, int32_t input, int32_t sample, const float *data);

nw_status nw_gradient_forward(nw_gradient *g);

/** Zeroes the gradients of tensors; of weights, biases and steps. */
void nw_gradient_clear(nw_gradient *g);
void nw_gradient_clear_sums(nw_gradient *g);

nw_status nw_gradient_backward(nw_gradient *g);

/* parts of it, by kind of node */

/** before = linear(value of the input) + bias [+ value of the residual]; then nw_gradient_round; and the way back. */
nw_status nw_gradient_linear_forward(nw_gradient *g, int32_t node);
nw_status nw_gradient_linear_backward(nw_gradient *g, int32_t node);

/** The other kinds: before from the inputs' values, or its gradient added to theirs. */
bool nw_gradient_knows_plain(const nw_model *model, int32_t node);
void nw_gradient_plain(nw_gradient *g, int32_t node, bool back);

/** Scratch memory that the linear nodes want: floats of columns, numbers of places. */
size_t nw_gradient_columns(const nw_scheme *scheme);
size_t nw_gradient_places(const nw_scheme *scheme);

/** Clamp or rounding of some of all samples' pixels: value from before; gradient of value becomes that of before. */
void nw_gradient_round(nw_gradient_tensor *tensor, size_t first, size_t pixels);
void nw_gradient_round_backward(nw_gradient_tensor *tensor, size_t first, size_t pixels);

#endif
