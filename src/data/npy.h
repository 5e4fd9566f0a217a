/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NumPy's array files: .npy versions 1 to 3 (C order, plain numbers) and arrays inside .npz. Used by dataset.h.
 *
 *     nw_npy array;
 *     NW_TRY(nw_npy_parse(&array, bytes, size, size, "x.npy", error));
 *     nw_npy_to_float(values, bytes + array.data_offset, array.n_values, &array);
 */
#ifndef NARROW_DATA_NPY_H
#define NARROW_DATA_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

#define NW_NPY_MAX_RANK 8
/** The first bytes of a file that nw_npy_parse needs to see, at most. */
#define NW_NPY_MAX_HEADER ((size_t)1 << 16)

typedef enum nw_npy_kind { NW_NPY_BOOL, NW_NPY_UINT, NW_NPY_INT, NW_NPY_FLOAT } nw_npy_kind;

/** What the header of an array says. */
typedef struct nw_npy {
    nw_npy_kind kind;
    size_t item_size; /* bytes: 1, 2, 4 or 8; floats 2, 4 or 8 */
    bool big_endian;
    size_t rank; /* 0 to NW_NPY_MAX_RANK */
    size_t shape[NW_NPY_MAX_RANK];
    size_t n_values;    /* product of shape */
    size_t data_offset; /* of the first value, from the start of the file */
} nw_npy;

/**
 * Reads the header.
 *
 * @param data       the first `size` bytes of the file; NW_NPY_MAX_HEADER of them, or all, suffice
 * @param file_size  size of the whole file, which must hold all values
 * @param name       named in errors
 * @return NW_ERROR_DATA if it is not an array file, truncated, in Fortran order, structured, complex or text
 */
nw_status nw_npy_parse(nw_npy *out, const uint8_t *data, size_t size, uintmax_t file_size, const char *name,
                       nw_error *error);

/** Converts `n` values at `data` (any alignment) to binary32, rounding to nearest. bool gives 0 and 1. */
void nw_npy_to_float(float *out, const uint8_t *data, size_t n, const nw_npy *array);

/** Converts `n` integers or bools at `data` to int32. False if the array holds floats or a value does not fit. */
bool nw_npy_to_int(int32_t *out, const uint8_t *data, size_t n, const nw_npy *array);

/**
 * Takes one array out of an .npz (a zip of .npy files, stored or deflated) that lies in memory.
 *
 * @param out    the bytes of the .npy file, the caller's to free; empty if there is no such array
 * @param array  its name without ".npy"; NULL for the first one in the file
 * @return NW_ERROR_DATA if the zip is damaged, encrypted, larger than 4 GiB or its checksum is wrong; NW_ERROR_MEMORY
 */
nw_status nw_npz_read(nw_bytes *out, const uint8_t *data, size_t size, const char *array, const char *name,
                      nw_error *error);

#endif
