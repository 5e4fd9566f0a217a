/* SPDX-License-Identifier: Apache-2.0 */
/* See judge.h. */
#include "cli/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 16         /* of the float network */
#define KNOWN_BY_HEART 0.95
#define HARDENED 0.92    /* of the hardened pictures the float network gets so many right */
#define JUDGED 1024      /* blends wanted; at most MOST_BLENDS of each picture */
#define MOST_BLENDS 8
#define SEARCH_STEPS 6   /* of the share to blend by */
#define FAINT 0.95       /* of its confidence that the float network keeps where blends only stretch few pictures */

/* samples */

/** Sample i as it is judged: held sample i, or a blend of it and another one. @param other  scratch */
static nw_status read_sample(const nw_holdout *h, size_t i, float *values, float *other, nw_error *error)
{
    const size_t held = h->choice.held;
    const size_t n = nw_dataset_sample_size(h->choice.data);
    NW_TRY(nw_dataset_tensor(h->choice.data, nw_sample_held(&h->choice, i % held), values, error));
    if (!(h->blend > 0.0f) || i < h->plain)
        return NW_OK;
    const size_t round = i / held; /* partners lie far apart: data are often sorted by class */
    const size_t partner = (i + 1 + held * (2 * round + 1) / (2 * MOST_BLENDS)) % held;
    NW_TRY(nw_dataset_tensor(h->choice.data, nw_sample_held(&h->choice, partner), other, error));
    for (size_t j = 0; j < n; j++)
        values[j] = (1.0f - h->blend) * values[j] + h->blend * other[j];
    return NW_OK;
}

/** Adds the answer to sample i to a score. */
static nw_status add_answer(const nw_holdout *h, nw_score *score, size_t i, const float *answer, const float *reference,
                            nw_error *error)
{
    const nw_dataset *data = h->choice.data;
    const size_t index = nw_sample_held(&h->choice, i % h->choice.held);
    uint8_t *map;
    NW_TRY(nw_score_read_map(&map, score, &h->model->preprocess, data, index, error));
    const int32_t label = nw_dataset_has_labels(data) ? nw_dataset_label(data, index) : -1;
    nw_score_add(score, answer, label, map, reference);
    free(map);
    return NW_OK;
}

/* float */

static nw_status run_float_batch(const nw_holdout *h, nw_float_engine *engine, size_t first, size_t n, float *values,
                                 float *other, float **outputs, nw_error *error)
{
    const size_t sample = nw_dataset_sample_size(h->choice.data);
    for (size_t i = 0; i < n; i++)
        NW_TRY(read_sample(h, first + i, values + i * sample, other, error));
    return nw_float_run(engine, (const float *const[]){values}, outputs, error);
}

/** The float network's answers to the first n samples, and their score. */
static nw_status run_float(nw_holdout *h, nw_float_engine *engine, size_t n, float *answers, nw_score *score,
                           nw_error *error)
{
    const size_t sample = nw_dataset_sample_size(h->choice.data);
    float *values = calloc(BATCH * sample, sizeof(*values));
    float *other = malloc(sample * sizeof(*other));
    float **outputs = calloc((size_t)h->model->n_outputs, sizeof(*outputs));
    float *batch = malloc(BATCH * h->size * sizeof(*batch));
    nw_status status = values && other && outputs && batch ? NW_OK : nw_fail_memory(error, "judging");
    if (!status)
        outputs[0] = batch;
    for (size_t first = 0; !status && first < n; first += BATCH) {
        const size_t count = n - first < BATCH ? n - first : BATCH;
        status = run_float_batch(h, engine, first, count, values, other, outputs, error);
        if (!status)
            memcpy(answers + first * h->size, batch, count * h->size * sizeof(*batch));
        for (size_t i = 0; !status && i < count; i++)
            status = add_answer(h, score, first + i, batch + i * h->size, NULL, error);
    }
    free(values);
    free(other);
    free(outputs);
    free(batch);
    return status;
}

/** Scores the float network on the first n samples anew. */
static nw_status score_float(nw_holdout *h, nw_float_engine *engine, size_t n, nw_error *error)
{
    nw_score_free(&h->floats);
    NW_TRY(nw_score_init(&h->floats, &h->model->tensors[h->model->outputs[0]], h->model->preprocess.class_offset,
                         error));
    return run_float(h, engine, n, h->answers, &h->floats, error);
}

/** How sure the float network is of the held samples, as they are or as they were blended last. */
static double confidence_of(const nw_holdout *h)
{
    return nw_sharpness_confidence(h->answers, h->choice.held, h->size, h->is_probability, 1.0);
}

/**
 * Whether blends are hard enough. @param confidence  of the pictures themselves; 0: their answers are known by heart
 */
static bool is_hard(const nw_holdout *h, double confidence)
{
    return confidence > 0.0 ? confidence_of(h) <= FAINT * confidence : nw_score_top1(&h->floats) <= HARDENED;
}

/**
 * Finds the share to blend by; answers to all samples. @param n  samples, the pictures themselves first unless hardened
 */
static nw_status blend(nw_holdout *h, nw_float_engine *engine, size_t n, nw_error *error)
{
    const bool harden = nw_score_top1(&h->floats) > KNOWN_BY_HEART;
    const double confidence = harden ? 0.0 : confidence_of(h);
    float lo = 0.0f;
    float hi = 0.5f; /* beyond it the other picture is the answer */
    h->plain = 0;
    for (int32_t step = 0; step < SEARCH_STEPS; step++) {
        h->blend = 0.5f * (lo + hi);
        NW_TRY(score_float(h, engine, h->choice.held, error));
        if (is_hard(h, confidence))
            hi = h->blend;
        else
            lo = h->blend;
    }
    h->plain = harden ? 0 : h->choice.held;
    h->n = n;
    return score_float(h, engine, n, error);
}

/* life */

static nw_status check(const nw_sample_choice *choice, const nw_model *model, nw_error *error)
{
    const nw_tensor *output = &model->tensors[model->outputs[0]];
    if (!choice->held || nw_tensor_channels(output) < 2)
        return nw_fail(error, NW_ERROR_USAGE, "a goal for the drop needs %s",
                       choice->held ? "a network that answers with classes" : "at least 4 calibration samples");
    if (nw_dataset_has_labels(choice->data) &&
        (int64_t)nw_dataset_n_classes(choice->data) + model->preprocess.class_offset > nw_tensor_channels(output))
        return nw_fail(error, NW_ERROR_DATA, "the calibration data have %zu classes, too many for %d outputs",
                       nw_dataset_n_classes(choice->data), (int)nw_tensor_channels(output));
    return NW_OK;
}

/** Samples to judge where there are labels: blends make up for pictures that are missing. */
static size_t blends_of(size_t held)
{
    const size_t blends = (JUDGED + held - 1) / held;
    return held * (blends < MOST_BLENDS ? blends : MOST_BLENDS);
}

nw_status nw_holdout_open(nw_holdout *holdout, const nw_sample_choice *choice, const nw_model *model, int64_t threads,
                          nw_error *error)
{
    *holdout = (nw_holdout){.choice = *choice, .model = model, .threads = threads, .n = choice->held};
    NW_TRY(check(choice, model, error));
    const bool labels = nw_dataset_has_labels(choice->data);
    holdout->measure = labels ? "top1" : nw_dataset_has_maps(choice->data) ? "miou" : "agreement";
    holdout->size = nw_tensor_elements(&model->tensors[model->outputs[0]]);
    const int32_t last = nw_model_producer(model, model->outputs[0]);
    holdout->is_probability = last != NW_NONE && model->nodes[last].op == NW_OP_SOFTMAX;
    const size_t room = labels ? blends_of(choice->held) : choice->held;
    holdout->answers = malloc(holdout->size * room * sizeof(float));
    if (!holdout->answers)
        return nw_fail_memory(error, "judging");
    nw_float_engine *engine = NULL;
    NW_TRY(nw_float_create(&engine, model, BATCH, error));
    nw_status status = score_float(holdout, engine, holdout->n, error);
    if (!status && labels && (room > holdout->n || nw_score_top1(&holdout->floats) > KNOWN_BY_HEART))
        status = blend(holdout, engine, room, error);
    if (!status && labels)
        holdout->sharpness = nw_sharpness_find(holdout->answers, holdout->n, holdout->size, holdout->is_probability,
                                               nw_score_top1(&holdout->floats));
    nw_float_free(engine);
    nw_float_release_threads();
    return status;
}

void nw_holdout_close(nw_holdout *holdout)
{
    free(holdout->answers);
    nw_score_free(&holdout->floats);
    *holdout = (nw_holdout){0};
}

/* judging */

/** What labels do not say, and what they say of segmentations. */
static double drop_of(const nw_holdout *h, const nw_score *score)
{
    if (nw_dataset_has_maps(h->choice.data))
        return nw_score_miou(&h->floats) - nw_score_miou(score);
    return 1.0 - nw_score_agreement(score);
}

/** Top-1: expected, with its error. */
static nw_verdict expect(const nw_holdout *h, const nw_score *score, const nw_expected *expected)
{
    const double error = nw_expected_error(expected, nw_expected_unseen(expected, h->sharpness));
    return (nw_verdict){.drop = nw_expected_mean(expected) + error,
                        .error = error,
                        .counted = nw_score_top1(&h->floats) - nw_score_top1(score)};
}

/** Runs an engine on every sample. */
static nw_status run_integer(const nw_holdout *h, nw_engine *engine, nw_score *score, nw_expected *expected,
                             float **outputs, nw_error *error)
{
    const size_t sample = nw_dataset_sample_size(h->choice.data);
    const bool labels = nw_dataset_has_labels(h->choice.data);
    float *values = malloc(2 * sample * sizeof(*values));
    nw_status status = values ? NW_OK : nw_fail_memory(error, "judging");
    for (size_t i = 0; !status && i < h->n; i++) {
        const nw_input input = {.values = values};
        const float *reference = h->answers + i * h->size;
        status = read_sample(h, i, values, values + sample, error);
        if (!status)
            status = nw_engine_run(engine, &input, outputs, NULL);
        if (!status)
            status = add_answer(h, score, i, outputs[0], reference, error);
        if (!status && labels)
            nw_expected_add(expected, i % h->choice.held,
                            nw_expected_loss(reference, h->size, h->is_probability, h->sharpness, outputs[0]),
                            nw_margin_change(reference, h->size, h->is_probability, outputs[0]));
    }
    free(values);
    return status;
}

nw_status nw_holdout_judge(nw_holdout *holdout, const nw_model *integer, nw_verdict *verdict, nw_error *error)
{
    nw_score score = {0};
    nw_expected expected = {0};
    nw_engine *engine = NULL;
    float **outputs = nw_network_outputs(integer);
    nw_status status = outputs && !nw_expected_init(&expected, holdout->choice.held) ? NW_OK
                                                                                     : nw_fail_memory(error, "judging");
    /* one thread: samples are small, and teams whose members wait for each other cost more on a busy machine than they
       gain on an idle one */
    if (!status)
        status = nw_engine_create(&engine, integer, NULL, error);
    if (!status)
        status = nw_score_init(&score, &holdout->model->tensors[holdout->model->outputs[0]],
                               holdout->model->preprocess.class_offset, error);
    if (!status)
        status = run_integer(holdout, engine, &score, &expected, outputs, error);
    if (!status)
        *verdict = nw_dataset_has_labels(holdout->choice.data)
                       ? expect(holdout, &score, &expected)
                       : (nw_verdict){.drop = drop_of(holdout, &score), .error = NAN, .counted = NAN};
    nw_score_free(&score);
    nw_expected_free(&expected);
    nw_engine_free(engine);
    nw_network_outputs_free(outputs, integer);
    return status;
}
