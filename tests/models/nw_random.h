/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small random integer models for tests and fuzz corpora: everything nw_model_validate allows may occur in them, widths
 * of 1 to 8 bits, shifts, several points per channel, residuals, groups, dilation, asymmetric pads, float tails.
 *
 *     nw_model *model = nw_random_model(seed, 6);
 *     ... nw_model_validate(model, &error) is NW_OK ...
 *     nw_model_free(model);
 *
 * The same seed gives the same model on every machine. Numbers are chosen so that outputs spread over their codes.
 */
#ifndef NARROW_TESTS_NW_RANDOM_H
#define NARROW_TESTS_NW_RANDOM_H

#include <stdint.h>

#include "model/model.h"

/** A generator of 64-bit numbers (splitmix64). */
typedef struct nw_rng {
    uint64_t state;
} nw_rng;

uint64_t nw_rng_next(nw_rng *rng);

/** A uniform integer from lo to hi. */
int32_t nw_rng_range(nw_rng *rng, int32_t lo, int32_t hi);

/** A uniform number from 0 to 1, 24 bits fine. */
float nw_rng_unit(nw_rng *rng);

/**
 * A model of one input picture of at most 12 x 12 pixels and 8 channels: QUANTIZE, `n_nodes` random nodes, then a
 * fully connected layer or DEQUANTIZE, and at times a float operator.
 * @return the model, which the caller frees, or NULL without memory
 */
nw_model *nw_random_model(uint64_t seed, int32_t n_nodes);

/**
 * Makes weights small and asks for coded ones: most values of at least two bits become 0, 1 or -1 (of code books the
 * first levels), so that some layers become shorter when they are coded. Offsets follow.
 */
void nw_random_sparsify(nw_model *model, uint64_t seed);

/**
 * Gives tensors that packed storage holds prefix codes (nw_quant.code, low_code) for random symbols, one of four for
 * each number of bits; some tensors get none. No answer depends on them. False without memory.
 */
bool nw_random_codes(nw_model *model, uint64_t seed);

#endif
