/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples and their labels, from folders, lists and arrays, prepared for a network. The door through which all data
 * enters: calibration, evaluation and `run` use nothing else.
 *
 *     nw_dataset *data;
 *     NW_TRY(nw_dataset_open(&data, "photos/test", NULL, &preprocess, error));
 *     float *values = malloc(nw_dataset_sample_size(data) * sizeof(*values));
 *     for (size_t i = 0; i < nw_dataset_count(data); i++) {
 *         NW_TRY(nw_dataset_tensor(data, i, values, error));
 *         ... nw_dataset_label(data, i) ...
 *     }
 *     nw_dataset_free(data);
 *
 * What `path` may be:
 *
 *     folder of folders   one folder per class, class = rank of its name by bytes (ImageFolder)
 *     folder of pictures  .jpg, .jpeg, .png; no classes
 *     .csv                `file,class` (csv.h); files lie beside it or in the folder named like it without ".csv".
 *                         If they do not but a .npy named like it does, the rows are the classes of that array
 *     .npy, .npz          first axis = samples (npz: array "x", or the first). Classes: array "y" of the npz, or a
 *                         .csv of the same name beside the file, one row per sample
 *     any other file      one picture
 *
 * `labels` adds what the data itself does not say: a folder of maps of classes (8-bit PNG, the names of the pictures),
 * a .csv of classes (for pictures by file name, for arrays by row), a .npy of integers in sample order, or for one
 * picture a PNG. Order is always by bytes of the names, or that of the list or array, so that sample i is the same
 * everywhere.
 *
 * With a channel order other than none, arrays of bytes [n, h, w, 3], [n, 3, h, w], [n, h, w, 1] and [n, h, w] hold
 * pictures and take the same path as files. Other arrays are converted to binary32 and normalised only.
 */
#ifndef NARROW_DATA_DATASET_H
#define NARROW_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/npy.h"
#include "model/preprocess.h"

/** Opaque; reading from several threads at once is safe. */
typedef struct nw_dataset nw_dataset;

/**
 * Lists all samples and checks names, labels and shapes; pictures are decoded later, one by one.
 *
 * @param labels      see above, or NULL
 * @param preprocess  valid; copied
 * @return NW_ERROR_DATA with one sentence that names the path, NW_ERROR_MEMORY
 */
nw_status nw_dataset_open(nw_dataset **out, const char *path, const char *labels, const nw_preprocess *preprocess,
                          nw_error *error);

/** NULL is fine. */
void nw_dataset_free(nw_dataset *data);

/** Number of samples, at least 1. */
size_t nw_dataset_count(const nw_dataset *data);

/** Shape of one sample as nw_dataset_tensor gives it: [C, H, W] of pictures, that of the array else. Returns the rank.
 */
size_t nw_dataset_shape(const nw_dataset *data, size_t shape[NW_NPY_MAX_RANK]);

/** Product of that shape, in floats. */
size_t nw_dataset_sample_size(const nw_dataset *data);

/** True if nw_dataset_image works: files, or arrays that hold pictures. */
bool nw_dataset_has_images(const nw_dataset *data);

/** True if every sample has a class. */
bool nw_dataset_has_labels(const nw_dataset *data);

/** True if every sample has a map of classes. */
bool nw_dataset_has_maps(const nw_dataset *data);

/** Folders of classes, or largest class + 1; 0 without labels. */
size_t nw_dataset_n_classes(const nw_dataset *data);

/** Folder of a class, or NULL if classes have no names here. class < nw_dataset_n_classes. */
const char *nw_dataset_class_name(const nw_dataset *data, size_t class);

/**
 * Name of a sample: its file below the folder ("cat/0001.jpg"), or its row in the list of an array's classes, or NULL.
 * Lives as long as the data set.
 */
const char *nw_dataset_name(const nw_dataset *data, size_t index);

/** Class of a sample (without class_offset), or -1. index < nw_dataset_count, as below. */
int32_t nw_dataset_label(const nw_dataset *data, size_t index);

/**
 * The picture after resize, crop and channel order, before mean and std.
 *
 * @param pixels  [H, W, C], nw_dataset_sample_size bytes; undefined after a failure
 * @return NW_ERROR_DATA if the file cannot be decoded or has the wrong size, NW_ERROR_MEMORY
 */
nw_status nw_dataset_image(const nw_dataset *data, size_t index, uint8_t *pixels, nw_error *error);

/**
 * The sample as the float network reads it: (value - mean) / std, each operation in binary32.
 *
 * @param values  [C, H, W] of pictures or the array's own order, nw_dataset_sample_size floats; undefined after a
 * failure
 * @return as nw_dataset_image; NW_ERROR_DATA also for NaN and infinity in an array
 */
nw_status nw_dataset_tensor(const nw_dataset *data, size_t index, float *values, nw_error *error);

/**
 * The map of classes of a sample, through the same geometry with the filter `nearest` (picture.h). 255 = void.
 *
 * @param map  [H, W], one byte per pixel; undefined after a failure
 */
nw_status nw_dataset_map(const nw_dataset *data, size_t index, uint8_t *map, nw_error *error);

#endif
