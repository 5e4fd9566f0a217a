/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a linear layer reads and gives at some of its output positions: the data that rounding its weights looks at.
 * reconstruct.c walks a whole network with it, trial.c single layers; moments.h takes the sums.
 *
 *     nw_patches patches = {model, node, &shape, factor, w, batch, 8192};
 *     NW_TRY(nw_patches_see(&patches, data, y, true, NULL));        y of the float network
 *     NW_TRY(nw_patches_see(&patches, data, y, false, moments));    the quantized prefix, later
 */
#ifndef NARROW_QUANT_PATCHES_H
#define NARROW_QUANT_PATCHES_H

#include "quant/moments.h"

#define NW_PATCHES_MOST 8192  /* positions per layer that rounding looks at */
/* Shares for nw_moments_damp: how far weights keep to the float ones where the samples do not say otherwise. Chosen on
 * calibration pictures that rounding did not see, output SQNR in dB with 0.03, 0.1, 0.3 (1): mobilenetv1-0.25 on 50
 * pictures, two halves, W4 7.6, 9.6, 9.4 (7.2) and 9.3, 11.0, 10.7 (10.6), W3 2.6, 3.3, 3.5 (4.0) and 4.0, 3.9, 4.5
 * (3.9); on 1,000 pictures they tie: mobilenetv2-cifar10 W4 24.5, 24.4, 24.5, W3 18.3, 17.9, 18.2, W2 10.0, 10.2, 10.2;
 * resnet20 W4 22.4, 22.5, 22.6, W3 17.2, 17.2, 16.9, W2 10.4, 10.5, 10.5.
 * Behind activations so narrow that their errors are what weights make good for, more is better: agreement on held-out
 * training pictures at W8A3 with 0.03, 0.3, 1, 3: resnet32 96.6, 97.2, 97.3, 97.2 %; mobilenetv2-cifar10 90.5, 91.0,
 * 91.8, 91.7 %. */
#define NW_PATCHES_DAMPING 0.3
#define NW_PATCHES_DAMPING_NARROW 1.0

typedef struct nw_patches {
    const nw_model *model;
    const nw_node *node;
    const nw_linear_shape *shape;
    const double *factor; /* [C] of the input */
    const double *w;      /* [O, k] real weights with the input's factors divided out */
    const float *residual; /* [batch, O, H, W] what the layer adds to its outputs, or NULL */
    int32_t batch;        /* samples of the data */
    int32_t n;            /* positions, spread over those of all samples */
} nw_patches;

/** Real weights with the input's factors divided out. @param w  [O, k] out */
void nw_patches_weights(double *w, const nw_node *node, const nw_tensor *weights, const double *factor);

/**
 * Goes over n positions of every group.
 *
 * @param data     [batch, C, H, W] the node's input
 * @param y        [n_groups, n, group_outputs] outputs without bias but with the residual, computed here if `compute`
 * @param moments  gets every input with what its y leaves to the weights: y less the residual; NULL: nothing is
 *                 gathered
 * @return NW_ERROR_MEMORY
 */
nw_status nw_patches_see(const nw_patches *patches, const float *data, float *y, bool compute, nw_moments *moments);

/** Whether the layer's moments take a reasonable amount of memory (256 MiB); else its weights are rounded without. */
bool nw_patches_fit(const nw_linear_shape *shape);

#endif
