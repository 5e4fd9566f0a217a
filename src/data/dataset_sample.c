/* SPDX-License-Identifier: Apache-2.0 */
/* See dataset.h. Reads single samples of an opened data set; changes nothing in it, so threads may share one. */
#include "data/dataset.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset_parts.h"
#include "data/folder.h"
#include "data/picture.h"

size_t nw_dataset_count(const nw_dataset *data)
{
    return data->n;
}

size_t nw_dataset_shape(const nw_dataset *data, size_t shape[NW_NPY_MAX_RANK])
{
    memcpy(shape, data->shape, data->rank * sizeof(*shape));
    return data->rank;
}

size_t nw_dataset_sample_size(const nw_dataset *data)
{
    return data->sample_size;
}

bool nw_dataset_has_images(const nw_dataset *data)
{
    return data->source != SOURCE_VALUES;
}

bool nw_dataset_has_labels(const nw_dataset *data)
{
    return data->labels != NULL;
}

bool nw_dataset_has_maps(const nw_dataset *data)
{
    return data->maps || data->map_file;
}

size_t nw_dataset_n_classes(const nw_dataset *data)
{
    return data->n_classes;
}

const char *nw_dataset_class_name(const nw_dataset *data, size_t class)
{
    return class < data->classes.n ? nw_names_at(&data->classes, class) : NULL;
}

const char *nw_dataset_name(const nw_dataset *data, size_t index)
{
    assert(index < data->n);
    return index < data->files.n ? nw_names_at(&data->files, index) : NULL;
}

int32_t nw_dataset_label(const nw_dataset *data, size_t index)
{
    assert(index < data->n);
    return data->labels ? data->labels[index] : -1;
}

/* ---- pictures ---- */

/* A picture of an array, made RGB. */
static nw_status image_of_array(nw_image *out, const nw_dataset *data, size_t index, nw_error *error)
{
    nw_image image = {0};
    const size_t pixels = data->stored[0] * data->stored[1], channels = data->stored[2];
    uint8_t *bytes = malloc(data->array.sample_values);
    nw_status status =
        bytes ? nw_array_read(&data->array, index, bytes, error) : nw_fail_memory(error, "reading an array");
    if (!status)
        status = nw_image_create(&image, data->stored[0], data->stored[1], 3, error);
    const size_t step = data->source == SOURCE_CHW ? 1 : channels, plane = data->source == SOURCE_CHW ? pixels : 1;
    for (size_t i = 0; !status && i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            image.pixels[3 * i + c] = bytes[i * step + (channels == 3 ? c * plane : 0)];
    free(bytes);
    if (!status)
        *out = image;
    return status;
}

/* The prepared picture; the caller frees it. */
static nw_status read_picture(nw_image *out, const nw_dataset *data, size_t index, nw_error *error)
{
    nw_image image = {0};
    nw_status status;
    char *path = NULL;
    if (data->source == SOURCE_FILES) {
        path = nw_path_join(data->root, nw_names_at(&data->files, index));
        status = path ? nw_image_read(&image, path, error) : nw_fail_memory(error, "reading a picture");
    } else {
        status = image_of_array(&image, data, index, error);
    }
    if (!status)
        status = nw_picture_prepare(&image, &data->preprocess, path ? path : data->array.path, error);
    free(path);
    if (status)
        nw_image_free(&image);
    else
        *out = image;
    return status;
}

nw_status nw_dataset_image(const nw_dataset *data, size_t index, uint8_t *pixels, nw_error *error)
{
    nw_image image = {0};
    assert(index < data->n && nw_dataset_has_images(data));
    NW_TRY(read_picture(&image, data, index, error));
    memcpy(pixels, image.pixels, data->sample_size);
    nw_image_free(&image);
    return NW_OK;
}

/* ---- tensors ---- */

static nw_status read_values(const nw_dataset *data, size_t index, float *values, nw_error *error)
{
    const nw_preprocess *p = &data->preprocess;
    const size_t n = data->sample_size, channels = (size_t)p->n_mean, per_channel = n / channels;
    uint8_t *bytes = malloc(n * data->array.npy.item_size);
    nw_status status =
        bytes ? nw_array_read(&data->array, index, bytes, error) : nw_fail_memory(error, "reading an array");
    if (!status)
        nw_npy_to_float(values, bytes, n, &data->array.npy);
    free(bytes);
    NW_TRY(status);
    for (size_t c = 0; c < channels; c++)
        for (size_t i = c * per_channel; i < (c + 1) * per_channel; i++) {
            values[i] = (values[i] - p->mean[c]) / p->std[c];
            if (!isfinite(values[i]))
                return nw_fail(error, NW_ERROR_DATA, "%s: sample %zu holds a value that is not finite",
                               data->array.path, index);
        }
    return NW_OK;
}

nw_status nw_dataset_tensor(const nw_dataset *data, size_t index, float *values, nw_error *error)
{
    nw_image image = {0};
    assert(index < data->n);
    if (data->source == SOURCE_VALUES)
        return read_values(data, index, values, error);
    NW_TRY(read_picture(&image, data, index, error));
    nw_picture_normalize(values, &image, &data->preprocess);
    nw_image_free(&image);
    return NW_OK;
}

/* ---- maps ---- */

nw_status nw_dataset_map(const nw_dataset *data, size_t index, uint8_t *map, nw_error *error)
{
    nw_image image = {0};
    assert(index < data->n && nw_dataset_has_maps(data));
    char *path = nw_dataset_map_path(data, index);
    nw_status status = path ? nw_image_read_map(&image, path, error) : nw_fail_memory(error, "reading labels");
    if (!status)
        status = nw_picture_prepare_map(&image, &data->preprocess, path, error);
    if (!status)
        memcpy(map, image.pixels, image.height * image.width);
    nw_image_free(&image);
    free(path);
    return status;
}
