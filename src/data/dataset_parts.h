/* SPDX-License-Identifier: Apache-2.0 */
/* Between dataset.c (opens), dataset_labels.c (adds labels) and dataset_sample.c (reads samples) only. */
#ifndef NARROW_DATA_DATASET_PARTS_H
#define NARROW_DATA_DATASET_PARTS_H

#include "data/array.h"
#include "data/dataset.h"
#include "data/names.h"

typedef enum source {
    SOURCE_FILES,  /* pictures root/files[i] */
    SOURCE_VALUES, /* array of any numbers */
    SOURCE_HWC,    /* array of byte pictures [n, h, w, c], c = 1 or 3 */
    SOURCE_CHW     /* array of byte pictures [n, 3, h, w] */
} source;

struct nw_dataset {
    nw_preprocess preprocess;
    source source;
    size_t n, n_classes;
    size_t rank, shape[NW_NPY_MAX_RANK], sample_size; /* of a tensor */

    bool is_list;        /* SOURCE_FILES: from a .csv, so files are in its order, not sorted */
    char *root;          /* SOURCE_FILES: folder of the files */
    nw_names files;      /* SOURCE_FILES: [n] below root. Arrays: rows of their .csv, or empty */
    nw_array array;      /* all other sources */
    size_t stored[3];    /* SOURCE_HWC, SOURCE_CHW: height, width, channels as stored */

    nw_names classes;    /* names of class folders, or empty */
    int32_t *labels;     /* [n], or NULL */
    char *maps;          /* folder of maps, or NULL */
    char *map_file;      /* the one map of a single picture, or NULL */
};

/** Adds `labels` (not NULL) to an opened data set. */
nw_status nw_dataset_add_labels(nw_dataset *data, const char *labels, nw_error *error);

/** Adds what an array's own file or folder says about its classes, if anything. */
nw_status nw_dataset_find_labels(nw_dataset *data, nw_error *error);

/** Path of the map of a sample on the heap; NULL when memory ran out. */
char *nw_dataset_map_path(const nw_dataset *data, size_t index);

#endif
