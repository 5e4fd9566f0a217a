/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that follow their gradients: Adam (Kingma and Ba 2015), every number in a unit of its own, so that one rate
 * suits weights, biases and logarithms of steps.
 *
 *     nw_adam weights = {0};
 *     NW_TRY(nw_adam_init(&weights, n));                       set value[] and unit[]
 *     nw_adam_update(&weights, gradient, 0.001f, update);      update = 1, 2, ...
 *     nw_adam_clear(&weights);
 */
#ifndef NARROW_QUANT_ADAM_H
#define NARROW_QUANT_ADAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct nw_adam {
    size_t n;
    float *value;          /* [n] owned */
    float *unit;           /* [n] owned; what a rate of 1 moves value by at most, about; 0: it stays */
    float *first, *second; /* [n] owned; running moments of the gradient in these units */
    float *kept;           /* [n] owned; what nw_adam_keep saw */
} nw_adam;

/** Zeroes of everything. NW_ERROR_MEMORY; nw_adam_clear is due either way. */
nw_status nw_adam_init(nw_adam *adam, size_t n);
void nw_adam_clear(nw_adam *adam);

/**
 * value -= rate * unit * m / sqrt(v), m and v the running means of gradient * unit and of its square (0.9, 0.999),
 * freed of their start at 0.
 *
 * @param gradient  [n] of the loss by value
 * @param update    how many there were, this one included: 1, 2, ...
 */
void nw_adam_update(nw_adam *adam, const float *gradient, float rate, int32_t update);

/** kept = value; value = kept. */
void nw_adam_keep(nw_adam *adam);
void nw_adam_restore(nw_adam *adam);

#endif
