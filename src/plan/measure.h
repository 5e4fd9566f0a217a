/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every layer's and every tensor's width costs the network's answer, measured one at a time: quantize only this
 * layer (trial.h: with the rounding that nw_quantize will use), run the rest in float, look at Z (yardstick.h). The
 * planner's allocation (allocate.h) adds these up; Zhou et al. 2018 showed that they do add up until accuracy is gone.
 *
 *     nw_measurement *m;
 *     NW_TRY(nw_measurement_create(&m, model, trials, &options, error));
 *     NW_TRY(nw_measure(m, model, trials, samples, n, &options, error));
 *     nw_measurement_free(m);
 *
 * Rows do not depend on each other: a shard measures every n-th, and state.h puts shards together.
 */
#ifndef NARROW_PLAN_MEASURE_H
#define NARROW_PLAN_MEASURE_H

#include "plan/choice.h"
#include "plan/yardstick.h"
#include "quant/trial.h"

/** A layer (its weights) or a group of tensors that share a grid. */
typedef struct nw_measured {
    char *name;    /* owned; of the node, or of the group's first tensor */
    bool tensor;
    int32_t index; /* of the node or tensor */
    int32_t node;  /* cut: the first node that it touches */
    bool done;     /* `at` is measured */
    bool extended;         /* there are extended choices: */
    int32_t extra_points;  /* a layer's have so many further points (nw_trials_extra_points) */
    nw_damage at[NW_CHOICES]; /* by choice */
    double coded[NW_CHOICES]; /* by choice: bytes of a layer's weights in a file that holds them coded */
    uint32_t narrowed;        /* bit b: `at` holds width b narrowed (narrowing.h), which nobody waits for */
    double drop_noise; /* noise on Z at which `drop` of the answers change, injected here alone: t_i times the margin;
                          0: not measured */
} nw_measured;

typedef struct nw_measurement {
    uint64_t fingerprint; /* of network, samples and options */
    int32_t n_samples, n_classes;
    double margin, signal, drop;
    bool robustness;      /* drop_noise is wanted */
    nw_measured *rows;    /* [n] owned; layers in node order, then tensors */
    int32_t n;
} nw_measurement;

typedef struct nw_measure_options {
    bool tensors;             /* activations too */
    bool robustness;          /* t_i too */
    double drop;              /* share of changed answers that t_i is measured at, 0 to 1 */
    int32_t shard, n_shards;  /* rows shard, shard + n_shards, ...; 0 of 1: all */
    /** Called after every row; NULL for none. */
    nw_status (*save)(void *context, const nw_measurement *measurement, nw_error *error);
    void (*progress)(void *context, int64_t done, int64_t total);
    void *context;
} nw_measure_options;

#define NW_MEASURE_DEFAULTS {.drop = 0.1, .n_shards = 1}

/** Rows without figures. */
nw_status nw_measurement_create(nw_measurement **out, const nw_model *model, const nw_trials *trials,
                                const nw_measure_options *options, nw_error *error);
void nw_measurement_free(nw_measurement *measurement);

/** p_i: noise on Z at b bits, told from 6, is p_i 4^-b. */
double nw_measured_rate(const nw_measured *row);

/** t_i: the noise on Z at which `drop` of the answers change over the margin; NAN if it was not measured. */
double nw_measured_robustness(const nw_measurement *measurement, const nw_measured *row);

/** Whether row i is complete as far as the measurement wants it. */
bool nw_measurement_has(const nw_measurement *measurement, int32_t i);

/**
 * Measures the rows of the shard that are not done.
 *
 * @param samples  [n_inputs], each [n, ...]: the first half is what damage is measured on, weights are rounded on the
 *                 rest
 */
nw_status nw_measure(nw_measurement *measurement, const nw_model *model, nw_trials *trials,
                     const float *const *samples, int32_t n, const nw_measure_options *options, nw_error *error);

/** A copy of the network that ends at Z: outputs in front of a closing Softmax or Sigmoid. NULL without memory. */
nw_model *nw_last_features(const nw_model *model);

#endif
