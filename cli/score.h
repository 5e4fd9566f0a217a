/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores that grow sample by sample: top-1, per-class intersection over union, agreement of two networks, distance.
 *
 *     nw_score score;
 *     NW_TRY(nw_score_init(&score, &output_shape, n_classes, error));
 *     nw_score_add(&score, logits, label, map, other_logits);
 *     printf("%.2f %%\n", 100.0 * nw_score_top1(&score));
 *     nw_score_free(&score);
 */
#ifndef NARROW_CLI_SCORE_H
#define NARROW_CLI_SCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "data/dataset.h"
#include "model/model.h"

typedef struct nw_score {
    int32_t n_classes; /* channels of the output */
    size_t positions;  /* pixels per sample: 1 for classification */
    int32_t class_offset;
    uint64_t samples, labelled, correct;       /* classification */
    uint64_t pixels, correct_pixels;           /* segmentation; void left out */
    uint64_t *intersection, *in_answer, *in_label; /* [n_classes] owned; segmentation */
    uint64_t compared, agreed;                 /* positions in which both networks answer the same class */
    double signal, noise;                      /* sums of squares of the other network's output and of the difference */
} nw_score;

/** For outputs [N, classes] or [N, classes, H, W]. NW_ERROR_MEMORY. */
nw_status nw_score_init(nw_score *score, const nw_tensor *output, int32_t class_offset, nw_error *error);
void nw_score_free(nw_score *score);

/**
 * Adds one sample.
 *
 * @param logits  [classes, positions]
 * @param label   class, or -1 without
 * @param map     [positions] classes, 255 = void, or NULL
 * @param other   the rival's logits of the same sample, or NULL
 */
void nw_score_add(nw_score *score, const float *logits, int32_t label, const uint8_t *map, const float *other);

/**
 * The label map of a sample, to be freed; NULL if the data have none.
 * @return NW_ERROR_DATA if the output is not of the picture's size; what reading it returned
 */
nw_status nw_score_read_map(uint8_t **map, const nw_score *score, const nw_preprocess *preprocess,
                            const nw_dataset *data, size_t index, nw_error *error);

double nw_score_top1(const nw_score *score);            /* share of labelled samples */
double nw_score_pixel_accuracy(const nw_score *score);
double nw_score_iou(const nw_score *score, int32_t c);  /* -1 if the class occurs nowhere */
double nw_score_miou(const nw_score *score);            /* mean over the classes that occur */
double nw_score_agreement(const nw_score *score);
double nw_score_sqnr(const nw_score *score);            /* 10 log10(signal / noise), dB; +infinity for equal outputs */
/** sqrt(p (1 - p) / n). */
double nw_standard_error(double p, uint64_t n);

#endif
