/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random integer networks with branches, for the tests of the engine: where nw_random.h grows a chain that holds
 * everything a file may hold, this one lets every node read any tensor computed before it. So buffers live long and
 * across each other, pictures have several consumers with different pads, concats share inputs and nest, and kernels
 * meet pictures inside wider ones.
 */
#ifndef NARROW_TESTS_RANDOM_GRAPH_H
#define NARROW_TESTS_RANDOM_GRAPH_H

#include "models/nw_random.h"
#include "narrow/narrow.h"

/** Sizes of a graph. */
typedef struct nw_graph_options {
    int32_t n_nodes;      /* tried between the inputs and the outputs */
    int32_t max_channels; /* <= 2048 */
    int32_t max_size;     /* of height and width of an input */
    bool pictures_only;   /* only operators between U8 pictures, then DEQUANTIZE */
} nw_graph_options;

/** A valid model; the same for the same seed and options. The caller frees it. Ends the program without memory. */
nw_model *nw_random_graph(uint64_t seed, const nw_graph_options *options);

/**
 * Fills one sample for every input: reals over the range of the codes and beyond, or, if `pixels` and the input has
 * pixel tables, bytes. `memory` [sum of elements] holds them.
 */
void nw_random_inputs(nw_rng *rng, const nw_model *model, bool pixels, nw_input *inputs, float *memory);

/** Elements of all inputs, and of all outputs, together. */
size_t nw_elements_of(const nw_model *model, const int32_t *tensors, int32_t n);

#endif
