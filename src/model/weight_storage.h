/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the weights of a layer are in a file: packed, or coded (weight_code.h) where that is shorter. Used by
 * file_write.c and whoever reports sizes.
 *
 *     NW_TRY(nw_weight_storage_settle(model, error));      sets coded_size of every layer
 *     size_t bytes = nw_weight_bytes(node->linear);
 */
#ifndef NARROW_MODEL_WEIGHT_STORAGE_H
#define NARROW_MODEL_WEIGHT_STORAGE_H

#include "model/model.h"

/** Most weights to a coded byte: bounds the memory that a small file can ask for. */
#define NW_CODED_MOST_WEIGHTS 256

/** Bytes that coding a layer must save: more than the header can grow by for it, so coded files are never larger. */
#define NW_CODED_LEAST_GAIN 96

/** The values that stand in a file for the weights: with a code book signed places in it. Equal to linear->weights
    without one; else a heap block that the caller frees. NULL without memory. */
int8_t *nw_weight_values(const nw_linear *linear);

/** Columns of a row from a tap of the node's kernel to the next. */
static inline size_t nw_weight_period(const nw_node *node)
{
    return (size_t)node->linear->k / ((size_t)node->window.kernel[0] * (size_t)node->window.kernel[1]);
}

/** Bytes of the packed rows. */
size_t nw_weight_packed_bytes(const nw_linear *linear);

/** Bytes of rows of values coded, 0 where they stay packed in so many bits. @param period  as in weight_code.h */
size_t nw_rows_coded_size(const int8_t *values, size_t n_rows, size_t k, size_t period, int bits);

/** Bytes of a linear node's values coded, 0 if it stays packed. @param values  nw_weight_values */
size_t nw_weight_coded_size(const nw_node *node, const int8_t *values);

/** Sets linear->coded_size of all layers as nw_model_serialize will store them. NW_ERROR_MEMORY. */
nw_status nw_weight_storage_settle(nw_model *model, nw_error *error);

/** Bytes of the weights in the file, as coded_size says. */
static inline size_t nw_weight_bytes(const nw_linear *linear)
{
    return linear->coded_size ? linear->coded_size : nw_weight_packed_bytes(linear);
}

#endif
