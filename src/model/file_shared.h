/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small arrays of a .nw file that all tensors or nodes share: one array per kind of number, in which every tensor
 * or node has its entries, in their order. Private to file_write.c and file_read*.c; docs/file-format.md says who has
 * how many entries. Lengths follow from the graph, so nothing else has to say them.
 *
 * Writing:
 *     nw_shared_writer shared = {0};
 *     uint8_t *hi = nw_shared_grow(&shared, NW_SHARED_HI, channels);     NULL: out of memory
 *     ... fill ...
 *     done = nw_shared_write(&file, &shared);
 *     nw_shared_free(&shared);
 *
 * Reading:
 *     nw_shared_reader shared;
 *     NW_TRY(nw_shared_open(&shared, &file, "net.nw", error));
 *     NW_TRY(nw_shared_take(&hi, &shared, NW_SHARED_HI, channels));
 *     ... the rest of the graph ...
 *     NW_TRY(nw_shared_close(&shared));
 */
#ifndef NARROW_MODEL_FILE_SHARED_H
#define NARROW_MODEL_FILE_SHARED_H

#include "model/safetensors.h"

typedef enum nw_shared {
    NW_SHARED_SCALE,       /* F32 */
    NW_SHARED_MULTIPLIER,  /* F32 */
    NW_SHARED_BIAS,        /* F32 */
    NW_SHARED_ROW_CHANNEL, /* I32 */
    NW_SHARED_LO,          /* U8 */
    NW_SHARED_HI,          /* U8 */
    NW_SHARED_SHIFT,       /* U8; left out when all are 0 */
    NW_SHARED_CODE_LENGTH, /* U8, two lengths in each */
    NW_SHARED_COUNT
} nw_shared;

/** {0} is a valid empty one. */
typedef struct nw_shared_writer {
    uint8_t *data[NW_SHARED_COUNT]; /* owned */
    size_t size[NW_SHARED_COUNT], capacity[NW_SHARED_COUNT]; /* bytes */
} nw_shared_writer;

/** Room for n more entries, valid until the next call for the same array; NULL without memory. */
uint8_t *nw_shared_grow(nw_shared_writer *writer, nw_shared which, size_t n);

/** Adds the arrays that have entries (shift: one that is not 0) to the file; false without memory. */
bool nw_shared_write(nw_safetensors *file, const nw_shared_writer *writer);
void nw_shared_free(nw_shared_writer *writer);

/** Nothing owned. */
typedef struct nw_shared_reader {
    const uint8_t *at[NW_SHARED_COUNT]; /* the next entry */
    size_t left[NW_SHARED_COUNT];       /* entries from there on */
    size_t n_arrays;                    /* that are there */
    bool has_shift;
    const char *name; /* of the file, in sentences */
    nw_error *error;
} nw_shared_reader;

/** @return NW_ERROR_DATA for an array that is not one row of its type, or a shift that is 0 throughout */
nw_status nw_shared_open(nw_shared_reader *reader, const nw_safetensors *file, const char *name, nw_error *error);

/** The next n entries; of a shift that was left out NULL. NW_ERROR_DATA if there are not so many. */
nw_status nw_shared_take(const uint8_t **data, nw_shared_reader *reader, nw_shared which, size_t n);

/** NW_ERROR_DATA unless every entry was taken. */
nw_status nw_shared_close(const nw_shared_reader *reader);

#endif
