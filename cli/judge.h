/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How good a network is on samples set aside: run by the integer engine, beside the float network's answers. What the
 * search for a plan asks (plan/search.h).
 *
 *     nw_holdout holdout;
 *     NW_TRY(nw_holdout_open(&holdout, &choice, float_model, threads, error));
 *     NW_TRY(nw_holdout_judge(&holdout, integer, &verdict, error));
 *     nw_holdout_close(&holdout);
 *
 * Calibration data are mostly training pictures, which the float network knows by heart: it gets them all right, far
 * from any doubt, and so does a network that loses points on new pictures. Labelled pictures of which it gets more than
 * 95 % right are therefore hardened: each is blended with another one, by a share at which the float network gets 92 %
 * right, like new pictures at a usual error rate. Where fewer pictures are there than are wanted, blends stretch them
 * too, by a share that takes a twentieth of the float network's confidence.
 *
 * What is lost is told from the float network's own probabilities (expected.h), made as sure as it is right on these
 * samples: the labels are asked for that alone. A standard error over pictures comes with it, and is counted as lost.
 */
#ifndef NARROW_CLI_JUDGE_H
#define NARROW_CLI_JUDGE_H

#include "cli/expected.h"
#include "cli/network.h"
#include "cli/quantize_options.h"
#include "cli/score.h"
#include "plan/search.h"

typedef struct nw_holdout {
    nw_sample_choice choice; /* its `held` samples */
    const nw_model *model;   /* borrowed; float */
    int64_t threads;
    size_t n;                /* samples judged: the held ones, or several blends of each */
    float blend;             /* share of the other picture; 0: none */
    size_t plain;            /* so many first samples are pictures as they are */
    bool is_probability;     /* answers are, or logits */
    double sharpness;        /* of the answers (labels) */
    float *answers;          /* [n, output size] owned; of the float network */
    size_t size;             /* of an output */
    nw_score floats;         /* of the float network */
    const char *measure;     /* what a drop is counted in: "top1", "miou" or, without labels, "agreement" */
} nw_holdout;

/** NW_ERROR_USAGE if nothing was set aside or the output holds no classes. */
nw_status nw_holdout_open(nw_holdout *holdout, const nw_sample_choice *choice, const nw_model *model, int64_t threads,
                          nw_error *error);
void nw_holdout_close(nw_holdout *holdout);

/**
 * Runs an integer network. Lost is a share of top-1, of mIoU (no error known), or of answers that differ from the float
 * ones.
 */
nw_status nw_holdout_judge(nw_holdout *holdout, const nw_model *integer, nw_verdict *verdict, nw_error *error);

#endif
