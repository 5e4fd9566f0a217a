/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An array on disk whose first axis counts samples: a .npy, read sample by sample so that memory does not grow with the
 * file, or an array of an .npz, unpacked at once. Between npy.h (bytes) and dataset.h.
 */
#ifndef NARROW_DATA_ARRAY_H
#define NARROW_DATA_ARRAY_H

#include "data/npy.h"

/** Holder frees it with nw_array_close. Zero-initialise with NW_ARRAY_EMPTY. */
typedef struct nw_array {
    nw_npy npy;
    nw_bytes memory;     /* the .npy taken out of an .npz; empty for a .npy */
    int file;            /* descriptor of a .npy, or -1 */
    size_t n_samples;    /* npy.shape[0] */
    size_t sample_values; /* numbers per sample, at least 1 */
    char *path;
} nw_array;

#define NW_ARRAY_EMPTY ((nw_array){.file = -1})

/**
 * Opens a .npy or .npz (told apart by the first bytes).
 *
 * @param array  name of the array in an .npz; NULL: "x" if there is one, else the first
 * @param found  if not NULL and the .npz holds no `array`: set to false, NW_OK, `out` stays empty
 * @return NW_ERROR_DATA for anything npy.h refuses, an array without axes or values; NW_ERROR_MEMORY
 */
nw_status nw_array_open(nw_array *out, const char *path, const char *array, bool *found, nw_error *error);

/**
 * Copies the bytes of one sample, sample_values * npy.item_size of them. Safe from several threads at once.
 *
 * @return NW_ERROR_DATA if the file has become shorter
 */
nw_status nw_array_read(const nw_array *array, size_t sample, uint8_t *bytes, nw_error *error);

void nw_array_close(nw_array *array);

#endif
