/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of samples as text, `file,class` per line: for folders of pictures and for the rows of an array. Used by
 * dataset.h.
 *
 *     file,class
 *     n01494475_hammerhead.jpg,4
 */
#ifndef NARROW_DATA_CSV_H
#define NARROW_DATA_CSV_H

#include <stdbool.h>
#include <stdint.h>

#include "data/names.h"

/** Largest class a data set may use. */
#define NW_CSV_MAX_CLASS (1 << 20)

/** {0} is a valid empty list. */
typedef struct nw_csv {
    nw_names files;   /* first column, in the order of the file */
    int32_t *classes; /* [files.n] second column, 0 to NW_CSV_MAX_CLASS; NULL if there is none */
} nw_csv;

/**
 * Reads the first two columns; further ones are ignored, as are empty lines. Fields may be quoted ("a, ""b"".jpg"). The
 * first row is a header if its second column is not an integer or if its only column is one of file, filename, path,
 * image. Either all rows have a class or none has.
 *
 * @param name  named in errors, with the line
 * @return NW_ERROR_DATA, NW_ERROR_MEMORY; `out` is untouched then
 */
nw_status nw_csv_parse(nw_csv *out, const char *data, size_t size, const char *name, nw_error *error);

/** nw_csv_parse of a file. */
nw_status nw_csv_read(nw_csv *out, const char *path, nw_error *error);

void nw_csv_free(nw_csv *csv);

#endif
