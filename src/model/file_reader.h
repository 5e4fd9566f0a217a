/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two halves of the .nw reader: file_read.c walks the texts and the graph, file_read_arrays.c fetches the numbers
 * of a tensor or node as soon as its keys are known. Private to them.
 */
#ifndef NARROW_MODEL_FILE_READER_H
#define NARROW_MODEL_FILE_READER_H

#include "model/file_shared.h"
#include "model/model.h"

typedef struct nw_file_reader {
    nw_safetensors file;
    nw_shared_reader shared;
    size_t n_taken; /* arrays of single tensors and nodes that the graph has asked for; each is asked for once */
    nw_model *model;
    const char *name; /* of the file, in sentences */
    nw_error *error;
} nw_file_reader;

nw_status nw_file_out_of_memory(nw_file_reader *r);

/** Little-endian floats. */
void nw_file_load_f32(float *to, const uint8_t *from, size_t n);

/** An array that must be there with this type and these dims; NW_ERROR_DATA if it is not. */
nw_status nw_file_take(const uint8_t **data, nw_file_reader *r, const char *name, nw_array_type type, int32_t rank,
                       const size_t *dims);

/** Scale, limits and shifts of a u8 tensor with this width and zero point. */
nw_status nw_file_read_quant(nw_file_reader *r, int32_t index, int32_t bits, int32_t zero_point);

/** Lengths of the words of a code whose symbols have `bits` bits. */
nw_status nw_file_read_code(nw_file_reader *r, int32_t index, int32_t bits);

/** The values of a constant. */
nw_status nw_file_read_constant(nw_file_reader *r, int32_t index);

/** Keys of a linear node. */
typedef struct nw_linear_keys {
    int32_t weight_bits, n_rows, accumulator;
    bool coded;
} nw_linear_keys;

/**
 * Weights and what belongs to their rows. The window, groups, inputs and output of the node are known; whether its
 * first input is a u8 tensor is checked here.
 */
nw_status nw_file_read_linear(nw_file_reader *r, int32_t index, const nw_linear_keys *keys);

/** Tables and multipliers of a node that is not linear. */
nw_status nw_file_read_node_arrays(nw_file_reader *r, int32_t index);

#endif
