/* SPDX-License-Identifier: Apache-2.0 */
/* See dataset.h. Finds out what a path holds and lists its samples; dataset_sample.c reads them. */
#include "data/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "data/csv.h"
#include "data/dataset_parts.h"
#include "data/folder.h"
#include "data/image_codec.h"

/* ---- folders ---- */

static nw_status add_labels_row(nw_dataset *data, size_t *capacity, int32_t label, nw_error *error)
{
    const size_t n = data->files.n - 1;
    if (n >= *capacity) {
        const size_t larger = *capacity ? 2 * *capacity : 1024;
        int32_t *labels = realloc(data->labels, larger * sizeof(*labels));
        if (!labels)
            return nw_fail_memory(error, "listing a folder");
        data->labels = labels;
        *capacity = larger;
    }
    data->labels[n] = label;
    return NW_OK;
}

/* Adds the pictures of root/class. */
static nw_status add_class(nw_dataset *data, size_t *capacity, size_t class, const char *class_name, nw_error *error)
{
    nw_names pictures = {0}, folders = {0};
    char *path = NULL, *folder = nw_path_join(data->root, class_name);
    nw_status status = folder ? nw_folder_list(&pictures, &folders, folder, error)
                              : nw_fail_memory(error, "listing a folder");
    if (status)
        goto cleanup;
    if (!pictures.n) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: this folder of a class holds no pictures (.jpg, .jpeg, .png)%s",
                         folder, folders.n ? ", only folders; give it as the data itself" : "");
        goto cleanup;
    }
    for (size_t i = 0; !status && i < pictures.n; i++) {
        free(path);
        path = nw_path_join(class_name, nw_names_at(&pictures, i));
        status =
            path ? nw_names_add(&data->files, path, strlen(path), error) : nw_fail_memory(error, "listing a folder");
        if (!status)
            status = add_labels_row(data, capacity, (int32_t)class, error);
    }

cleanup:
    free(folder);
    free(path);
    nw_names_free(&pictures);
    nw_names_free(&folders);
    return status;
}

/* With a folder of maps, sub-folders are only order, not classes. */
static nw_status open_folder(nw_dataset *data, const char *path, bool has_maps, nw_error *error)
{
    nw_names folders = {0};
    size_t capacity = 0;
    data->root = nw_path_join(path, "");
    nw_status status = data->root ? nw_folder_list(&data->files, &folders, path, error)
                                  : nw_fail_memory(error, "opening a folder");
    if (status)
        goto cleanup;
    if (data->files.n && folders.n) {
        status =
            nw_fail(error, NW_ERROR_DATA, "%s: holds both pictures (%s) and folders (%s); it must be one or the other",
                    path, nw_names_at(&data->files, 0), nw_names_at(&folders, 0));
        goto cleanup;
    }
    if (!data->files.n && !folders.n) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: holds neither pictures (.jpg, .jpeg, .png) nor folders of classes",
                         path);
        goto cleanup;
    }
    for (size_t i = 0; !status && i < folders.n; i++)
        status = add_class(data, &capacity, i, nw_names_at(&folders, i), error);
    if (status)
        goto cleanup;
    if (has_maps) {
        free(data->labels);
        data->labels = NULL;
    } else if (folders.n) {
        data->n_classes = folders.n;
        data->classes = folders;
        folders = (nw_names){0};
    }

cleanup:
    nw_names_free(&folders);
    return status;
}

/* ---- arrays ---- */

static void set_shape(nw_dataset *data, size_t rank, const size_t *shape)
{
    data->rank = rank;
    data->sample_size = 1;
    for (size_t i = 0; i < rank; i++) {
        data->shape[i] = shape[i];
        data->sample_size *= shape[i];
    }
}

static void set_picture_shape(nw_dataset *data)
{
    const nw_preprocess *p = &data->preprocess;
    const size_t shape[] = {(size_t)nw_preprocess_channels(p), (size_t)p->height, (size_t)p->width};
    set_shape(data, 3, shape);
}

/* Whether an array of bytes holds pictures; if so, notes their stored size. */
static bool is_pictures(nw_dataset *data)
{
    const nw_npy *a = &data->array.npy;
    const size_t *s = a->shape;
    if (!nw_preprocess_channels(&data->preprocess) || a->kind != NW_NPY_UINT || a->item_size != 1)
        return false;
    if (a->rank == 3 || (a->rank == 4 && (s[3] == 3 || s[3] == 1))) {
        data->source = SOURCE_HWC;
        memcpy(data->stored, (size_t[3]){s[1], s[2], a->rank == 3 ? 1 : s[3]}, sizeof(data->stored));
        return true;
    }
    if (a->rank == 4 && s[1] == 3) {
        data->source = SOURCE_CHW;
        memcpy(data->stored, (size_t[3]){s[2], s[3], 3}, sizeof(data->stored));
        return true;
    }
    return false;
}

/* An array that is not of pictures must have the network's size and as many channels as there are means. */
static nw_status check_values(const nw_dataset *data, nw_error *error)
{
    const nw_preprocess *p = &data->preprocess;
    const char *path = data->array.path;
    const size_t *s = data->shape, rank = data->rank;
    const size_t channels = (size_t)(nw_preprocess_channels(p) ? nw_preprocess_channels(p) : p->n_mean);
    if (p->n_size == 2 && (rank < 2 || s[rank - 2] != (size_t)p->height || s[rank - 1] != (size_t)p->width))
        return nw_fail(error, NW_ERROR_DATA, "%s: the last axes of a sample are not the size %d, %d of the network",
                       path, (int)p->height, (int)p->width);
    if (p->n_size == 1 && (!rank || s[rank - 1] != (size_t)p->width))
        return nw_fail(error, NW_ERROR_DATA, "%s: the last axis of a sample is not the size %d of the network", path,
                       (int)p->width);
    if ((nw_preprocess_channels(p) && rank != 3) || (channels != 1 && (!rank || s[0] != channels)))
        return nw_fail(error, NW_ERROR_DATA, "%s: a sample has not the %zu channels that mean and std are given for",
                       path, channels);
    return NW_OK;
}

static nw_status open_array(nw_dataset *data, const char *path, nw_error *error)
{
    NW_TRY(nw_array_open(&data->array, path, NULL, NULL, error));
    data->n = data->array.n_samples;
    if (data->n > NW_NAMES_MAX)
        return nw_fail(error, NW_ERROR_DATA, "%s: holds more than %zu samples", path, NW_NAMES_MAX);
    data->source = SOURCE_VALUES;
    if (is_pictures(data)) {
        set_picture_shape(data);
        return nw_image_check_size(data->stored[0], data->stored[1], path, error);
    }
    set_shape(data, data->array.npy.rank - 1, data->array.npy.shape + 1);
    return check_values(data, error);
}

/* ---- lists and single pictures ---- */

/* Whether folder/name is a file. */
static nw_status look_in(bool *is_file, const char *folder, const char *name, nw_error *error)
{
    char *path = nw_path_join(folder, name);
    if (!path)
        return nw_fail_memory(error, "opening a list");
    *is_file = nw_path_look(path) == NW_PATH_FILE;
    free(path);
    return NW_OK;
}

/* The folder the files of a list lie in, taken over by data->root; or a list of an array's rows, *array_path. */
static nw_status find_root(nw_dataset *data, char **array_path, const char *path, const nw_csv *csv, nw_error *error)
{
    nw_status status = NW_OK;
    bool is_beside = false, is_below = false;
    const char *first = nw_names_at(&csv->files, 0);
    char *beside = nw_path_folder(path), *below = nw_path_with_extension(path, "");
    char *array = nw_path_with_extension(path, ".npy");
    if (!beside || !below || !array) {
        status = nw_fail_memory(error, "opening a list");
        goto cleanup;
    }
    status = look_in(&is_beside, beside, first, error);
    if (!status)
        status = look_in(&is_below, below, first, error);
    if (status)
        goto cleanup;
    if (is_beside) {
        data->root = beside;
        beside = NULL;
    } else if (is_below) {
        data->root = below;
        below = NULL;
    } else if (nw_path_look(array) == NW_PATH_FILE) {
        *array_path = array;
        array = NULL;
    } else {
        status = nw_fail(error, NW_ERROR_DATA, "%s: its first file %s is neither beside it nor in the folder %s", path,
                         first, below);
    }

cleanup:
    free(beside);
    free(below);
    free(array);
    return status;
}

static nw_status open_list(nw_dataset *data, const char *path, nw_error *error)
{
    nw_csv csv = {0};
    char *array_path = NULL;
    NW_TRY(nw_csv_read(&csv, path, error));
    nw_status status = find_root(data, &array_path, path, &csv, error);
    if (status)
        goto cleanup;
    if (array_path) {
        status = open_array(data, array_path, error);
        goto cleanup;
    }
    for (size_t i = 0; !status && i < csv.files.n; i++) {
        bool is_file = false;
        status = look_in(&is_file, data->root, nw_names_at(&csv.files, i), error);
        if (!status && !is_file)
            status = nw_fail(error, NW_ERROR_DATA, "%s: there is no file %s in %s", path, nw_names_at(&csv.files, i),
                             *data->root ? data->root : ".");
    }
    if (status)
        goto cleanup;
    data->is_list = true;
    data->files = csv.files;
    data->labels = csv.classes;
    csv = (nw_csv){0};

cleanup:
    nw_csv_free(&csv);
    free(array_path);
    return status;
}

static nw_status open_picture(nw_dataset *data, const char *path, nw_error *error)
{
    const char *name = nw_path_name(path);
    data->root = nw_path_folder(path);
    if (!data->root)
        return nw_fail_memory(error, "opening a picture");
    return nw_names_add(&data->files, name, strlen(name), error);
}

/* ---- the door ---- */

static nw_status open_any(nw_dataset *data, const char *path, const char *labels, nw_error *error)
{
    const nw_path_kind kind = nw_path_look(path);
    if (kind == NW_PATH_MISSING)
        return nw_fail(error, NW_ERROR_DATA, "%s: there is no such file or folder", path);
    if (kind == NW_PATH_FOLDER)
        NW_TRY(open_folder(data, path, labels && nw_path_look(labels) == NW_PATH_FOLDER, error));
    else if (nw_path_ends(path, ".csv"))
        NW_TRY(open_list(data, path, error));
    else if (nw_path_ends(path, ".npy") || nw_path_ends(path, ".npz"))
        NW_TRY(open_array(data, path, error));
    else
        NW_TRY(open_picture(data, path, error));
    if (data->source != SOURCE_FILES)
        return NW_OK;
    data->n = data->files.n;
    if (!nw_preprocess_channels(&data->preprocess))
        return nw_fail(error, NW_ERROR_DATA, "%s: holds pictures, but the network reads arrays (channel_order is null)",
                       path);
    set_picture_shape(data);
    return NW_OK;
}

static void count_classes(nw_dataset *data)
{
    for (size_t i = 0; data->labels && i < data->n; i++)
        if ((size_t)data->labels[i] >= data->n_classes)
            data->n_classes = (size_t)data->labels[i] + 1;
}

nw_status nw_dataset_open(nw_dataset **out, const char *path, const char *labels, const nw_preprocess *preprocess,
                          nw_error *error)
{
    nw_dataset *data = calloc(1, sizeof(*data));
    if (!data)
        return nw_fail_memory(error, "opening data");
    data->preprocess = *preprocess;
    data->array = NW_ARRAY_EMPTY;
    nw_status status = open_any(data, path, labels, error);
    if (!status)
        status = labels ? nw_dataset_add_labels(data, labels, error) : nw_dataset_find_labels(data, error);
    if (status) {
        nw_dataset_free(data);
        return status;
    }
    count_classes(data);
    *out = data;
    return NW_OK;
}

void nw_dataset_free(nw_dataset *data)
{
    if (!data)
        return;
    free(data->root);
    nw_names_free(&data->files);
    nw_array_close(&data->array);
    nw_names_free(&data->classes);
    free(data->labels);
    free(data->maps);
    free(data->map_file);
    free(data);
}
