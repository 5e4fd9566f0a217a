/* SPDX-License-Identifier: Apache-2.0 */
/* See dataset.h, dataset_parts.h. Labels that come from a second file or folder. */
#include "data/dataset_parts.h"

#include <stdlib.h>
#include <string.h>

#include "data/csv.h"
#include "data/folder.h"

char *nw_dataset_map_path(const nw_dataset *data, size_t index)
{
    if (data->map_file)
        return nw_path_join("", data->map_file);
    char *name = nw_path_with_extension(nw_names_at(&data->files, index), ".png");
    char *path = name ? nw_path_join(data->maps, name) : NULL;
    free(name);
    return path;
}

static nw_status add_maps(nw_dataset *data, const char *folder, nw_error *error)
{
    nw_status status = NW_OK;
    data->maps = nw_path_join(folder, "");
    if (!data->maps)
        return nw_fail_memory(error, "listing labels");
    for (size_t i = 0; !status && i < data->n; i++) {
        char *path = nw_dataset_map_path(data, i);
        if (!path)
            status = nw_fail_memory(error, "listing labels");
        else if (nw_path_look(path) != NW_PATH_FILE)
            status =
                nw_fail(error, NW_ERROR_DATA, "%s: is missing; %s has no labels", path, nw_names_at(&data->files, i));
        free(path);
    }
    return status;
}

/* Index of a file by name: the files of a folder are sorted. Returns n if it is not there. */
static size_t find_file(const nw_names *files, const char *name)
{
    size_t low = 0, high = files->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(nw_names_at(files, middle), name);
        if (!order)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return files->n;
}

/* Rows may be more than the files: a list of a whole set serves a part of it. */
static nw_status match_rows(nw_dataset *data, const nw_csv *csv, const char *path, nw_error *error)
{
    int32_t *labels = malloc(data->n * sizeof(*labels));
    if (!labels)
        return nw_fail_memory(error, "reading labels");
    for (size_t i = 0; i < data->n; i++)
        labels[i] = -1;
    for (size_t row = 0; row < csv->files.n; row++) {
        const size_t i = find_file(&data->files, nw_names_at(&csv->files, row));
        if (i < data->n)
            labels[i] = csv->classes[row];
    }
    for (size_t i = 0; i < data->n; i++)
        if (labels[i] < 0) {
            free(labels);
            return nw_fail(error, NW_ERROR_DATA, "%s: has no line for %s", path, nw_names_at(&data->files, i));
        }
    data->labels = labels;
    return NW_OK;
}

static nw_status add_list(nw_dataset *data, const char *path, nw_error *error)
{
    nw_csv csv = {0};
    NW_TRY(nw_csv_read(&csv, path, error));
    nw_status status = NW_OK;
    if (!csv.classes) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: has no second column with classes", path);
    } else if (data->source == SOURCE_FILES) {
        status = match_rows(data, &csv, path, error);
    } else if (csv.files.n != data->n) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: has %zu rows for the %zu samples of %s", path, csv.files.n, data->n,
                         data->array.path);
    } else {
        data->files = csv.files;
        data->labels = csv.classes;
        csv = (nw_csv){0};
    }
    nw_csv_free(&csv);
    return status;
}

/* Integers in sample order: [n] or [n, 1]. */
static nw_status take_array(nw_dataset *data, const nw_array *array, nw_error *error)
{
    nw_status status = NW_OK;
    const char *path = array->path;
    if (array->n_samples != data->n || array->sample_values != 1)
        return nw_fail(error, NW_ERROR_DATA, "%s: has %zu labels for %zu samples; one integer for each is expected",
                       path, array->npy.n_values, data->n);
    int32_t *labels = malloc(data->n * sizeof(*labels));
    if (!labels)
        return nw_fail_memory(error, "reading labels");
    for (size_t i = 0; !status && i < data->n; i++) {
        uint8_t item[8];
        status = nw_array_read(array, i, item, error);
        if (!status &&
            (!nw_npy_to_int(&labels[i], item, 1, &array->npy) || labels[i] < 0 || labels[i] > NW_CSV_MAX_CLASS))
            status =
                nw_fail(error, NW_ERROR_DATA, "%s: label %zu is not an integer of 0 to %d", path, i, NW_CSV_MAX_CLASS);
    }
    if (status)
        free(labels);
    else
        data->labels = labels;
    return status;
}

static nw_status add_array(nw_dataset *data, const char *path, nw_error *error)
{
    nw_array array = NW_ARRAY_EMPTY;
    NW_TRY(nw_array_open(&array, path, NULL, NULL, error));
    const nw_status status = take_array(data, &array, error);
    nw_array_close(&array);
    return status;
}

nw_status nw_dataset_add_labels(nw_dataset *data, const char *labels, nw_error *error)
{
    const nw_path_kind kind = nw_path_look(labels);
    if (kind == NW_PATH_MISSING)
        return nw_fail(error, NW_ERROR_DATA, "%s: there is no such file or folder", labels);
    if (kind == NW_PATH_FOLDER && data->source == SOURCE_FILES) {
        free(data->labels); /* classes of a list give way to maps */
        data->labels = NULL;
        return add_maps(data, labels, error);
    }
    if (kind == NW_PATH_FOLDER)
        return nw_fail(error, NW_ERROR_DATA, "%s: a folder of labels needs a folder of pictures, not an array", labels);
    if (data->labels || data->is_list)
        return nw_fail(error, NW_ERROR_DATA, "%s: the classes of this data stand in its own %s", labels,
                       data->is_list ? "list, as second column" : "folders");
    if (nw_path_ends(labels, ".csv"))
        return add_list(data, labels, error);
    if (nw_path_ends(labels, ".npy") || nw_path_ends(labels, ".npz"))
        return add_array(data, labels, error);
    if (data->source != SOURCE_FILES || data->n != 1)
        return nw_fail(error, NW_ERROR_DATA, "%s: labels must be a folder of PNGs, a .csv or a .npy", labels);
    data->map_file = nw_path_join("", labels);
    return data->map_file ? NW_OK : nw_fail_memory(error, "opening labels");
}

nw_status nw_dataset_find_labels(nw_dataset *data, nw_error *error)
{
    nw_status status = NW_OK;
    nw_array array = NW_ARRAY_EMPTY;
    bool found = false;
    if (data->source == SOURCE_FILES || data->labels)
        return NW_OK;
    if (data->array.memory.data) {
        NW_TRY(nw_array_open(&array, data->array.path, "y", &found, error));
        if (found)
            status = take_array(data, &array, error);
        nw_array_close(&array);
    }
    if (status || found)
        return status;
    char *list = nw_path_with_extension(data->array.path, ".csv");
    if (!list)
        return nw_fail_memory(error, "looking for labels");
    if (nw_path_look(list) == NW_PATH_FILE)
        status = add_list(data, list, error);
    free(list);
    return status;
}
