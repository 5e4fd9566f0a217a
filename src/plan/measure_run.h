/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row of a measurement: measure_run.c quantizes, measure_noise.c injects noise; measure.c decides what comes
 * next.
 */
#ifndef NARROW_PLAN_MEASURE_RUN_H
#define NARROW_PLAN_MEASURE_RUN_H

#include "plan/measure.h"
#include "plan/prefix.h"

typedef struct nw_measure_run {
    nw_measurement *measurement;
    const nw_model *model;
    nw_model *tail; /* owned; nw_last_features */
    nw_trials *trials;
    nw_prefix *prefix;
    int32_t n_judged;         /* batches that damage is measured on: the first ones. Weights are rounded on the others,
                                 or a layer with more weights than samples would seem to bear anything */
    nw_yardstick *yardsticks; /* [n_outputs] owned */
    float **outputs;          /* [n_outputs] owned, each [batch size, ...] */
    nw_damage last;
} nw_measure_run;

/**
 * Runs the float network once for the yardsticks. The caller ends the run in any case.
 *
 * @param all  damage is measured on all samples: no weights will be rounded
 */
nw_status nw_measure_start(nw_measure_run *run, nw_measurement *measurement, const nw_model *model, nw_trials *trials,
                           const float *const *samples, int32_t n, bool all, nw_error *error);
void nw_measure_end(nw_measure_run *run);

/** Measures one row; the prefix stands at its node. */
nw_status nw_measure_row(nw_measure_run *run, nw_measured *row, nw_error *error);

/** Measures a layer's narrowed choices: bit b of `widths` for width b; the prefix stands at its node. */
nw_status nw_measure_narrowed(nw_measure_run *run, nw_measured *row, uint32_t widths, nw_error *error);

/** Changes a tensor's values in batch b before the tail reads them. */
typedef nw_status nw_measure_editor(void *context, int32_t tensor, int32_t n, float *data, size_t n_elements);

/** Damage with the engine as it is: other weights, or, with an editor, other values in the tensors of a group. */
nw_status nw_measure_tail(nw_damage *damage, nw_measure_run *run, int32_t group, nw_measure_editor *editor,
                          void *context, nw_error *error);

/** Sums over samples to means; over outputs: noise in units of the first output's signal, the others averaged. */
nw_damage nw_measure_combine(const nw_measure_run *run, const nw_damage *sums);

/** Opens the layer in the trials and shows it what it reads; the prefix stands at the node. */
nw_status nw_measure_show_inputs(nw_measure_run *run, int32_t node, nw_error *error);

/** Rounds the open layer as a choice says. @param weights, bias  room for the layer's; out */
nw_status nw_measure_round(nw_measure_run *run, const nw_measured *row, int32_t choice, float *weights, float *bias,
                           nw_error *error);

/** Sets row->drop_noise by bisection (Zhou et al. 2018, section D.4 of the paper's procedure). */
nw_status nw_measure_robustness(nw_measure_run *run, nw_measured *row, nw_error *error);

#endif
