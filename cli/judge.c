/* SPDX-License-Identifier: Apache-2.0 */
/* See judge.h. */
#include "cli/judge.h"

#include <stdlib.h>
#include <string.h>

#define THREADS 1 /* of the integer engine: samples are small, and teams that wait for each other cost more on a busy
                     machine than they gain on an idle one */

/** Adds held sample i's answer to a score. */
static nw_status add_sample(const nw_holdout *h, nw_score *score, size_t i, const float *answer, const float *other,
                            nw_error *error)
{
    const nw_dataset *data = h->choice.data;
    const size_t index = nw_sample_held(&h->choice, i);
    uint8_t *map;
    NW_TRY(nw_score_read_map(&map, score, &h->model->preprocess, data, index, error));
    const int32_t label = nw_dataset_has_labels(data) ? nw_dataset_label(data, index) : -1;
    nw_score_add(score, answer, label, map, other);
    free(map);
    return NW_OK;
}

/** Runs a network on every held sample. @param answers  where they go, or NULL: they are compared with those there */
static nw_status run_all(nw_holdout *h, nw_network *network, nw_score *score, float *answers, nw_error *error)
{
    float *scratch = answers ? NULL : malloc(h->size * sizeof(*scratch));
    nw_status status = answers || scratch ? NW_OK : nw_fail_memory(error, "judging");
    for (size_t i = 0; !status && i < h->choice.held; i++) {
        float *to = answers ? answers + i * h->size : scratch;
        status = nw_network_run(network, h->choice.data, nw_sample_held(&h->choice, i), 1, to, error);
        if (!status)
            status = add_sample(h, score, i, to, answers ? NULL : h->answers + i * h->size, error);
    }
    free(scratch);
    return status;
}

nw_status nw_holdout_open(nw_holdout *holdout, const nw_sample_choice *choice, nw_model *model, int64_t threads,
                          nw_error *error)
{
    const nw_tensor *output = &model->tensors[model->outputs[0]];
    *holdout = (nw_holdout){.choice = *choice, .model = model, .threads = threads};
    if (!choice->held || nw_tensor_channels(output) < 2)
        return nw_fail(error, NW_ERROR_USAGE, "a goal for the drop needs %s",
                       choice->held ? "a network that answers with classes" : "at least 4 calibration samples");
    if (nw_dataset_has_labels(choice->data) &&
        (int64_t)nw_dataset_n_classes(choice->data) + model->preprocess.class_offset > nw_tensor_channels(output))
        return nw_fail(error, NW_ERROR_DATA, "the calibration data have %zu classes, too many for %d outputs",
                       nw_dataset_n_classes(choice->data), (int)nw_tensor_channels(output));
    holdout->measure = nw_dataset_has_labels(choice->data) ? "top1"
                       : nw_dataset_has_maps(choice->data) ? "miou"
                                                           : "agreement";
    holdout->size = nw_tensor_elements(output);
    holdout->answers = malloc(holdout->size * choice->held * sizeof(float));
    if (!holdout->answers)
        return nw_fail_memory(error, "judging");
    NW_TRY(nw_score_init(&holdout->floats, output, model->preprocess.class_offset, error));
    nw_network network;
    nw_status status = nw_network_attach(&network, model, false, threads, error);
    if (!status)
        status = run_all(holdout, &network, &holdout->floats, holdout->answers, error);
    nw_network_detach(&network);
    return status;
}

void nw_holdout_close(nw_holdout *holdout)
{
    free(holdout->answers);
    nw_score_free(&holdout->floats);
    *holdout = (nw_holdout){0};
}

static double drop_of(const nw_holdout *h, const nw_score *score)
{
    if (nw_dataset_has_labels(h->choice.data))
        return nw_score_top1(&h->floats) - nw_score_top1(score);
    if (nw_dataset_has_maps(h->choice.data))
        return nw_score_miou(&h->floats) - nw_score_miou(score);
    return 1.0 - nw_score_agreement(score);
}

nw_status nw_holdout_judge(nw_holdout *holdout, const nw_model *integer, double *drop, nw_error *error)
{
    nw_score score;
    nw_network network;
    const nw_tensor *output = &holdout->model->tensors[holdout->model->outputs[0]];
    NW_TRY(nw_score_init(&score, output, holdout->model->preprocess.class_offset, error));
    /* only read: nw_network_run takes no other */
    nw_model *model = (nw_model *)(uintptr_t)integer;
    nw_status status = nw_network_attach(&network, model, true, THREADS, error);
    if (!status)
        status = run_all(holdout, &network, &score, NULL, error);
    nw_network_detach(&network);
    if (!status)
        *drop = drop_of(holdout, &score);
    nw_score_free(&score);
    return status;
}
