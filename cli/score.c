/* SPDX-License-Identifier: Apache-2.0 */
/* See score.h. */
#include "cli/score.h"

#include <math.h>
#include <stdlib.h>

#define VOID_CLASS 255

nw_status nw_score_init(nw_score *score, const nw_tensor *output, int32_t class_offset, nw_error *error)
{
    const int32_t classes = nw_tensor_channels(output);
    const size_t n = (size_t)classes;
    *score = (nw_score){
        .n_classes = classes,
        .positions = nw_tensor_elements(output) / n,
        .class_offset = class_offset,
        .intersection = calloc(n, sizeof(uint64_t)),
        .in_answer = calloc(n, sizeof(uint64_t)),
        .in_label = calloc(n, sizeof(uint64_t)),
    };
    if (score->intersection && score->in_answer && score->in_label)
        return NW_OK;
    nw_score_free(score);
    return nw_fail_memory(error, "scoring");
}

void nw_score_free(nw_score *score)
{
    free(score->intersection);
    free(score->in_answer);
    free(score->in_label);
    *score = (nw_score){0};
}

/** The first of the largest logits at one position. */
static int32_t answer(const nw_score *score, const float *logits, size_t position)
{
    int32_t best = 0;
    for (int32_t c = 1; c < score->n_classes; c++)
        if (logits[(size_t)c * score->positions + position] > logits[(size_t)best * score->positions + position])
            best = c;
    return best;
}

static void add_pixel(nw_score *score, int32_t given, uint8_t label)
{
    if (label == VOID_CLASS || label >= score->n_classes)
        return;
    score->pixels++;
    score->in_answer[given]++;
    score->in_label[label]++;
    if (given == label) {
        score->correct_pixels++;
        score->intersection[label]++;
    }
}

void nw_score_add(nw_score *score, const float *logits, int32_t label, const uint8_t *map, const float *other)
{
    score->samples++;
    for (size_t i = 0; i < score->positions; i++) {
        const int32_t given = answer(score, logits, i);
        if (map)
            add_pixel(score, given, map[i]);
        if (label >= 0 && i == 0) {
            score->labelled++;
            score->correct += given - score->class_offset == label;
        }
        if (other) {
            score->compared++;
            score->agreed += given == answer(score, other, i);
        }
    }
    for (size_t i = 0; other && i < score->positions * (size_t)score->n_classes; i++) {
        const double difference = (double)logits[i] - other[i];
        score->signal += (double)other[i] * other[i];
        score->noise += difference * difference;
    }
}

nw_status nw_score_read_map(uint8_t **map, const nw_score *score, const nw_preprocess *preprocess,
                            const nw_dataset *data, size_t index, nw_error *error)
{
    *map = NULL;
    if (!nw_dataset_has_maps(data))
        return NW_OK;
    if (score->positions != (size_t)preprocess->height * (size_t)preprocess->width)
        return nw_fail(error, NW_ERROR_DATA, "the labels are maps, but the output is not of the picture's size");
    uint8_t *read = malloc(score->positions);
    if (!read)
        return nw_fail_memory(error, "reading a label map");
    const nw_status status = nw_dataset_map(data, index, read, error);
    if (status)
        free(read);
    else
        *map = read;
    return status;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0.0;
}

double nw_score_top1(const nw_score *score)
{
    return share(score->correct, score->labelled);
}

double nw_score_pixel_accuracy(const nw_score *score)
{
    return share(score->correct_pixels, score->pixels);
}

double nw_score_iou(const nw_score *score, int32_t c)
{
    const uint64_t together = score->in_answer[c] + score->in_label[c] - score->intersection[c];
    return together ? (double)score->intersection[c] / (double)together : -1.0;
}

double nw_score_miou(const nw_score *score)
{
    double sum = 0.0;
    int32_t n = 0;
    for (int32_t c = 0; c < score->n_classes; c++) {
        const double iou = nw_score_iou(score, c);
        if (iou >= 0.0) {
            sum += iou;
            n++;
        }
    }
    return n ? sum / n : 0.0;
}

double nw_score_agreement(const nw_score *score)
{
    return share(score->agreed, score->compared);
}

double nw_score_sqnr(const nw_score *score)
{
    return 10.0 * log10(score->signal / score->noise);
}

double nw_standard_error(double p, uint64_t n)
{
    return n ? sqrt(p * (1.0 - p) / (double)n) : 0.0;
}
