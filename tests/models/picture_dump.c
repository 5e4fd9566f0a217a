/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs an integer network on pictures, prepared as the file says, for detect.py:
 *
 *     picture_dump NET.nw PICTURES INPUTS.f32 OUTPUTS.f32
 *
 * Prints the pictures' names in order. INPUTS.f32 receives what a float network reads ([C, H, W] after mean and std) of
 * all pictures, OUTPUTS.f32 all outputs of the network, picture after picture.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "data/dataset.h"
#include "model/file.h"
#include "narrow/narrow.h"

typedef struct dump {
    nw_model *model;
    nw_engine *engine;
    nw_dataset *data;
    uint8_t *pixels;
    float *inputs, *values; /* [n_pictures, ...] */
    float **outputs;        /* [n_outputs] of one picture, inside values */
    size_t n_in, n_out;     /* elements of one picture */
} dump;

static nw_status open_all(dump *d, char **paths, nw_error *error)
{
    NW_TRY(nw_model_read(&d->model, paths[0], error));
    if (!d->model->has_preprocess || d->model->n_inputs != 1)
        return nw_fail(error, NW_ERROR_USAGE, "%s: has no preprocessing or several inputs", paths[0]);
    NW_TRY(nw_engine_create(&d->engine, d->model, NULL, error));
    NW_TRY(nw_dataset_open(&d->data, paths[1], NULL, &d->model->preprocess, error));
    d->n_in = nw_dataset_sample_size(d->data);
    for (int32_t i = 0; i < d->model->n_outputs; i++)
        d->n_out += nw_tensor_elements(&d->model->tensors[d->model->outputs[i]]);
    const size_t n = nw_dataset_count(d->data);
    d->pixels = malloc(d->n_in);
    d->inputs = malloc(n * d->n_in * sizeof(float));
    d->values = malloc(n * d->n_out * sizeof(float));
    d->outputs = malloc((size_t)d->model->n_outputs * sizeof(*d->outputs));
    return d->pixels && d->inputs && d->values && d->outputs ? NW_OK : nw_fail_memory(error, "running pictures");
}

static nw_status run_one(dump *d, size_t i, nw_error *error)
{
    float *at = d->values + i * d->n_out;
    for (int32_t j = 0; j < d->model->n_outputs; j++) {
        d->outputs[j] = at;
        at += nw_tensor_elements(&d->model->tensors[d->model->outputs[j]]);
    }
    NW_TRY(nw_dataset_tensor(d->data, i, d->inputs + i * d->n_in, error));
    NW_TRY(nw_dataset_image(d->data, i, d->pixels, error));
    NW_TRY(nw_engine_run(d->engine, &(nw_input){.pixels = d->pixels}, d->outputs, NULL));
    printf("%s\n", nw_dataset_name(d->data, i) ? nw_dataset_name(d->data, i) : "");
    return NW_OK;
}

int main(int argc, char **argv)
{
    nw_error error = {""};
    dump d = {0};
    if (argc != 5)
        return 2;
    nw_status status = open_all(&d, argv + 1, &error);
    const size_t n = status ? 0 : nw_dataset_count(d.data);
    for (size_t i = 0; !status && i < n; i++)
        status = run_one(&d, i, &error);
    if (!status)
        status = nw_file_write(argv[3], &(nw_piece){d.inputs, n * d.n_in * sizeof(float)}, 1, &error);
    if (!status)
        status = nw_file_write(argv[4], &(nw_piece){d.values, n * d.n_out * sizeof(float)}, 1, &error);
    if (status)
        fprintf(stderr, "%s\n", error.message);
    nw_dataset_free(d.data);
    nw_engine_free(d.engine);
    nw_model_free(d.model);
    free(d.pixels);
    free(d.inputs);
    free(d.values);
    free(d.outputs);
    return nw_status_exit_code(status);
}
