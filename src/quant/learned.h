/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What learn.c moves, and how it gets into the scheme and the network that is played: real weights, whose nearest codes
 * the network uses; biases; logarithms of steps of narrow activations.
 *
 *     nw_learned *learned;
 *     NW_TRY(nw_learned_create(&learned, scheme, student));
 *     NW_TRY(nw_learned_place(learned, student, error));       scheme and student are what was learned so far
 *     ... gradients ...
 *     nw_learned_update(learned, student, rate, update);
 *
 * A tensor that shares its grid with others has one number for all of them. Any other has one per channel: its
 * channels' factors absorb them, which costs nothing when the network runs. Weights stay as they are where their codes
 * are not simply the nearest of a uniform book (further points, other books, one bit).
 */
#ifndef NARROW_QUANT_LEARNED_H
#define NARROW_QUANT_LEARNED_H

#include "quant/gradient.h"

typedef struct nw_learned nw_learned;

/**
 * Starts from what the scheme holds.
 *
 * @param scheme   borrowed; changed by nw_learned_place
 * @param student  says which nodes are played
 * @return NW_ERROR_MEMORY
 */
nw_status nw_learned_create(nw_learned **out, nw_scheme *scheme, const nw_gradient *student);
void nw_learned_free(nw_learned *learned);

/** Writes codes, biases, scales, factors and limits into the scheme, and what they stand for into the student. */
nw_status nw_learned_place(nw_learned *learned, nw_gradient *student, nw_error *error);

/** One update along the student's gradients. @param rate  of biases and steps */
void nw_learned_update(nw_learned *learned, const nw_gradient *student, float weight_rate, float rate, int32_t update);

/** Remembers what was learned so far; goes back to it (before the next nw_learned_place). */
void nw_learned_keep(nw_learned *learned);
void nw_learned_restore(nw_learned *learned);

/** Whether the tensor's step is one that is learned: of codes below 8 bits that a node makes. */
bool nw_learned_moves(const nw_scheme *scheme, int32_t tensor);

#endif
