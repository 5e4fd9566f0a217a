/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Widths of activations, and under DQA which tensors have its extra bits: the least damage within a mean width, within
 * an arena, or both. An arena is for direct codes. Weights and activations cost
 * different things, and their damages add up, so who gets how many bits is decided apart; search.c does it once, before
 * the weights.
 *
 * A mean width is a knapsack over values (allocate.h). An arena is a peak (peak.h): what is alive at each node is taken
 * from layouts of the network at every width, packed storage on one thread. Scratch and holes between buffers differ
 * from mixture to mixture, so the real layout has the last word: the peak is solved for several budgets, the best
 * choice whose layout fits is taken, and bits are exchanged between tensors as long as that lessens the damage and the
 * layout fits.
 */
#ifndef NARROW_PLAN_ACTIVATIONS_H
#define NARROW_PLAN_ACTIVATIONS_H

#include "plan/allocate.h"
#include "plan/cost.h"
#include "plan/measure.h"
#include "quant/trial.h"

#define NW_LEAST_ACTIVATION_BITS 2 /* what single tensors bear is measured; 1 bit is not */

/** Bits that a value of a tensor takes on average: those of its width, under DQA of important channels more. */
double nw_activations_stored_bits(const nw_quantize_options *options, int32_t choice);

typedef struct nw_activation_task {
    const nw_model *model; /* all borrowed; float */
    const nw_trials *trials;
    const nw_measurement *measurement;
    const nw_quantize_options *options; /* whether tensors may have DQA's extra bits, and how many */
    nw_costs *costs;       /* its widths are set to those that are chosen */
    int32_t most;          /* bits: the width that nothing need be given */
    bool inputs;           /* narrow inputs of the network too */
    nw_allocation how;     /* of a mean width. An arena: equal widths, or the least damage whatever else it says */
    double mean_bits;      /* goal; 0: none */
    double arena;          /* goal, bytes; 0: none */
} nw_activation_task;

typedef struct nw_activation_choice {
    double mean_bits; /* over the values of all tensors that may be narrow */
    double values;    /* how many these are */
    size_t arena;     /* bytes */
    bool packed;      /* `arena` is that of packed storage */
} nw_activation_choice;

/**
 * Chooses. A goal that cannot be met gets the narrowest there is.
 *
 * @param items   [measurement->n] damages, sizes (values of the group) and rates of tensors' rows; on return
 *                least = most, the width, and `extended` says whether it is an extended one (choice.h)
 * @return NW_ERROR_MEMORY
 */
nw_status nw_activations_choose(nw_activation_choice *choice, nw_item *items, const nw_activation_task *task,
                                nw_error *error);

/** Whether a group of tensors holds an input of the network. */
bool nw_activations_is_input(const nw_model *model, const nw_trials *trials, int32_t group);

/** Values of all tensors of a group, of one sample. */
double nw_activations_size(const nw_model *model, const nw_trials *trials, int32_t group);

#endif
