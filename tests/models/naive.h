/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/numerics.md for whole networks, as directly as it can be written: every tensor a plain row-major array of codes
 * or reals, every formula a loop over indices. It shares no code with kernels/, ops/ and runtime/, which are compared
 * with it byte for byte (tests/unit/test_engine.c); only the elementary functions of base/ are taken as they are.
 *
 *     nw_naive *naive = nw_naive_create(model);
 *     nw_naive_run(naive, inputs);
 *     ... naive->tensors[model->nodes[n].output].codes[i] ...
 *     nw_naive_free(naive);
 */
#ifndef NARROW_TESTS_NAIVE_H
#define NARROW_TESTS_NAIVE_H

#include "model/model.h"
#include "narrow/narrow.h"

/** Values of one tensor in row-major logical order; one of the two, by its type. */
typedef struct nw_naive_values {
    uint8_t *codes;
    float *reals;
} nw_naive_values;

typedef struct nw_naive {
    const nw_model *model;    /* borrowed */
    nw_naive_values *tensors; /* [n_tensors] owned */
    const size_t *slots;      /* [n_tensors] borrowed, or NULL: bytes that a row of a tensor has under an arena budget,
                                 0: as many as it needs */
    bool words;               /* under it rows may be words of the model's prefix codes */
} nw_naive;

/** Room for every tensor of a valid integer model; constants are filled in. Ends the program without memory. */
nw_naive *nw_naive_create(const nw_model *model);
void nw_naive_free(nw_naive *naive);

/** Computes every tensor for one sample. Round to nearest even must be the current rounding mode. */
void nw_naive_run(nw_naive *naive, const nw_input *inputs);

#endif
