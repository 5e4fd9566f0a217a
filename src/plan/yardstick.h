/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far disturbed answers are from those of the float network: the measures of damage. All are taken on Z, what the
 * network holds in front of a closing Softmax (the last feature map), per position of a map.
 *
 *     noise       E |Z' - Z|^2
 *     divergence  E KL(softmax Z/T || softmax Z'/T), in nats. T = 1, but larger where the network is too sure of the
 *                 samples: it knows training pictures by heart, most of them would count for nothing, and which layer
 *                 matters would be up to the few that do. T is the least at which its mean confidence is 0.8
 *     changed     share of answers that are no longer the one they are compared with
 *     margin      E (z1 - z2)^2 / 2, z1 >= z2 the largest entries of Z: the least noise that could change an answer
 *                 (the adversarial yardstick of Zhou et al. 2018)
 *
 *     nw_yardstick yardstick;
 *     nw_damage sums = {0};
 *     NW_TRY(nw_yardstick_init(&yardstick, &model->tensors[z], n_samples));
 *     nw_yardstick_set(&yardstick, 0, n_samples, z_of_the_float_network);
 *     nw_yardstick_settle(&yardstick);
 *     nw_yardstick_add(&yardstick, &sums, 0, n_samples, disturbed_z);
 *     nw_damage damage = nw_damage_mean(&sums);
 *     nw_yardstick_clear(&yardstick);
 */
#ifndef NARROW_PLAN_YARDSTICK_H
#define NARROW_PLAN_YARDSTICK_H

#include "model/model.h"

/** The float network's answers to all samples, at up to NW_YARDSTICK_POSITIONS positions each. */
typedef struct nw_yardstick {
    int32_t n_classes;
    size_t positions, taken, stride; /* of one sample; those looked at are 0, stride, 2 stride, ... */
    int32_t n_samples;
    float *z;        /* [n_samples, taken, n_classes] owned */
    double *log_sum; /* [n_samples, taken] owned; log sum exp z / T */
    double sharpness; /* 1 / T */
    int32_t *answer; /* [n_samples, taken] owned; class that "changed" compares with */
} nw_yardstick;

#define NW_YARDSTICK_POSITIONS 2048

typedef struct nw_damage {
    int64_t n; /* positions summed up */
    double noise, divergence, changed;
} nw_damage;

/** For Z of shape [1, classes, ...]. NW_ERROR_MEMORY. */
nw_status nw_yardstick_init(nw_yardstick *yardstick, const nw_tensor *z, int32_t n_samples);
void nw_yardstick_clear(nw_yardstick *yardstick);

/** Takes the float network's Z of samples first .. first + n - 1. @param z  [n, classes, positions] */
void nw_yardstick_set(nw_yardstick *yardstick, int32_t first, int32_t n, const float *z);

/** Chooses T, once all samples are set. */
void nw_yardstick_settle(nw_yardstick *yardstick);

/** Adds disturbed answers of those samples to the sums. */
void nw_yardstick_add(const nw_yardstick *yardstick, nw_damage *sums, int32_t first, int32_t n, const float *z);

/** Sums to means. */
nw_damage nw_damage_mean(const nw_damage *sums);

/** E (z1 - z2)^2 / 2 and E |Z|^2. */
double nw_yardstick_margin(const nw_yardstick *yardstick);
double nw_yardstick_signal(const nw_yardstick *yardstick);

#endif
