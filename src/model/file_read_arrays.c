/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See file_reader.h: the numbers of tensors and nodes. Memory is taken only where the file holds the bytes to fill
 * it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "model/file_graph.h"
#include "model/file_reader.h"
#include "model/levels.h"
#include "model/weight_code.h"
#include "model/weight_storage.h"

nw_status nw_file_out_of_memory(nw_file_reader *r)
{
    return nw_fail_memory(r->error, "reading a model");
}

nw_status nw_file_take(const uint8_t **data, nw_file_reader *r, const char *name, nw_array_type type, int32_t rank,
                       const size_t *dims)
{
    const nw_array *array = nw_safetensors_find(&r->file, name);
    if (!array)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%s\" is missing", r->name, name);
    bool same = array->type == type && array->rank == rank;
    for (int32_t i = 0; same && i < rank; i++)
        same = array->dims[i] == dims[i];
    if (!same)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%s\" has another type or shape than the graph says",
                       r->name, name);
    r->n_taken++;
    *data = array->data;
    return NW_OK;
}

static bool has_part(const nw_file_reader *r, char kind, int32_t index, const char *part)
{
    nw_file_name name;
    nw_file_name_format(name, kind, index, part);
    return nw_safetensors_find(&r->file, name) != NULL;
}

void nw_file_load_f32(float *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t word = nw_load_le32(from + 4 * i);
        memcpy(&to[i], &word, 4);
    }
}

/** The next `n` entries of a shared array. */
static nw_status read_f32(float *to, nw_file_reader *r, nw_shared which, size_t n)
{
    const uint8_t *data = NULL;
    NW_TRY(nw_shared_take(&data, &r->shared, which, n));
    nw_file_load_f32(to, data, n);
    return NW_OK;
}

/** A heap copy of the next `n` multipliers. */
static nw_status read_multipliers(float **out, nw_file_reader *r, size_t n)
{
    const uint8_t *data = NULL;
    NW_TRY(nw_shared_take(&data, &r->shared, NW_SHARED_MULTIPLIER, n));
    float *values = malloc(n * sizeof(*values));
    if (!values)
        return nw_file_out_of_memory(r);
    nw_file_load_f32(values, data, n);
    *out = values;
    return NW_OK;
}

nw_status nw_file_read_quant(nw_file_reader *r, int32_t index, int32_t bits, int32_t zero_point)
{
    nw_tensor *tensor = &r->model->tensors[index];
    const size_t channels = (size_t)nw_tensor_channels(tensor);
    const uint8_t *lo = NULL, *hi = NULL, *shift = NULL;
    NW_TRY(nw_shared_take(&lo, &r->shared, NW_SHARED_LO, zero_point ? channels : 0));
    NW_TRY(nw_shared_take(&hi, &r->shared, NW_SHARED_HI, channels));
    NW_TRY(nw_shared_take(&shift, &r->shared, NW_SHARED_SHIFT, channels));
    if (nw_tensor_alloc_quant(tensor))
        return nw_file_out_of_memory(r);
    nw_quant *quant = &tensor->quant;
    quant->bits = (uint8_t)bits;
    quant->zero_point = (uint8_t)zero_point;
    for (size_t c = 0; c < channels; c++) {
        quant->lo[c] = lo ? (float)-(int32_t)lo[c] : 0.0f;
        quant->hi[c] = (float)hi[c];
    }
    if (shift)
        memcpy(quant->shift, shift, channels);
    return read_f32(&quant->scale, r, NW_SHARED_SCALE, 1);
}

nw_status nw_file_read_code(nw_file_reader *r, int32_t index, int32_t bits)
{
    nw_symbol_code *code = &r->model->symbol_codes[index];
    const size_t n = (size_t)1 << bits >> 1;
    const uint8_t *lengths = NULL;
    NW_TRY(nw_shared_take(&lengths, &r->shared, NW_SHARED_CODE_LENGTH, n));
    code->bits = (uint8_t)bits;
    for (size_t i = 0; i < n; i++) {
        code->lengths[2 * i] = lengths[i] & 15;
        code->lengths[2 * i + 1] = lengths[i] >> 4;
    }
    return NW_OK;
}

nw_status nw_file_read_constant(nw_file_reader *r, int32_t index)
{
    nw_tensor *tensor = &r->model->tensors[index];
    size_t dims[NW_MAX_RANK], n = 1;
    for (int32_t i = 0; i < tensor->rank; i++) {
        dims[i] = (size_t)tensor->dims[i];
        if (!nw_size_mul(&n, n, dims[i]))
            return nw_fail(r->error, NW_ERROR_DATA, "%s: graph: tensor %d: dims are too large", r->name, (int)index);
    }
    nw_file_name name;
    const uint8_t *data = NULL;
    nw_file_name_format(name, 't', index, "data");
    NW_TRY(nw_file_take(&data, r, name, NW_ARRAY_F32, tensor->rank, dims));
    tensor->data = malloc(n * sizeof(float));
    if (!tensor->data)
        return nw_file_out_of_memory(r);
    nw_file_load_f32(tensor->data, data, n);
    return NW_OK;
}

/** Weights of a code book: what was unpacked are places in it. */
static nw_status decode_levels(nw_file_reader *r, nw_linear *linear, int32_t index)
{
    const uint8_t *levels = NULL;
    const size_t n = nw_levels_count(linear->weight_bits);
    nw_file_name name;
    nw_file_name_format(name, 'n', index, "levels");
    NW_TRY(nw_file_take(&levels, r, name, NW_ARRAY_U8, 1, &n));
    if (!nw_levels_valid(levels, linear->weight_bits))
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: tensor \"%s\": must ascend from 0 to at most 127, for 2 bits or more", r->name, name);
    linear->levels = malloc(n);
    if (!linear->levels)
        return nw_file_out_of_memory(r);
    memcpy(linear->levels, levels, n);
    nw_levels_decode(linear->weights, (size_t)linear->n_rows * (size_t)linear->k, levels);
    return NW_OK;
}

static nw_status unpack_rows(nw_file_reader *r, nw_linear *linear, int32_t index, const uint8_t *weights)
{
    const size_t k = (size_t)linear->k, row_size = nw_bits_row_size(k, linear->weight_bits);
    for (size_t row = 0; row < (size_t)linear->n_rows; row++)
        if (!nw_bits_unpack(linear->weights + row * k, weights + row * row_size, k, linear->weight_bits))
            return nw_fail(r->error, NW_ERROR_DATA,
                           "%s: tensor \"n%d.weights\": row %zu holds the value -2^(bits-1), or bits behind its end",
                           r->name, (int)index, row);
    return NW_OK;
}

/** Multipliers, biases and channels of the rows. */
static nw_status read_rows(nw_file_reader *r, nw_linear *linear)
{
    const size_t rows = (size_t)linear->n_rows, channels = (size_t)linear->n_channels;
    const uint8_t *extra = NULL;
    NW_TRY(read_f32(linear->multiplier, r, NW_SHARED_MULTIPLIER, rows));
    if (linear->residual_multiplier)
        NW_TRY(read_f32(linear->residual_multiplier, r, NW_SHARED_MULTIPLIER, channels));
    NW_TRY(read_f32(linear->bias, r, NW_SHARED_BIAS, channels));
    NW_TRY(nw_shared_take(&extra, &r->shared, NW_SHARED_ROW_CHANNEL, rows - channels));
    for (size_t i = 0; i < rows - channels; i++)
        linear->row_channel[channels + i] = (int32_t)nw_load_le32(extra + 4 * i);
    return NW_OK;
}

static nw_status derive_offsets(nw_file_reader *r, nw_linear *linear, int32_t index, int32_t zero_point)
{
    for (int32_t row = 0; row < linear->n_rows; row++)
        if (!nw_linear_set_offset(linear, row, zero_point))
            return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"n%d.weights\": the offset of row %d leaves 32 bits",
                           r->name, (int)index, (int)row);
    return NW_OK;
}

/** The array of the weights: [rows, row bytes] packed, else one row of bytes. */
static nw_status find_weights(const nw_array **out, nw_file_reader *r, int32_t index, const nw_linear_keys *keys,
                              int32_t k)
{
    nw_file_name name;
    nw_file_name_format(name, 'n', index, "weights");
    const nw_array *weights = nw_safetensors_find(&r->file, name);
    const size_t rows = (size_t)keys->n_rows, row_size = nw_bits_row_size((size_t)k, keys->weight_bits);
    const bool bytes = weights && weights->type == NW_ARRAY_U8;
    if (!keys->coded && (!bytes || weights->rank != 2 || weights->dims[0] != rows || weights->dims[1] != row_size))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: tensor \"%s\" is missing, or is not U8 [%zu, %zu]", r->name, name,
                       rows, row_size);
    if (keys->coded && (!bytes || weights->rank != 1 || rows * (size_t)k / NW_CODED_MOST_WEIGHTS >= weights->dims[0]))
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: tensor \"%s\" is missing, or is not U8 [bytes] with more than a byte for %d weights",
                       r->name, name, NW_CODED_MOST_WEIGHTS);
    r->n_taken++;
    *out = weights;
    return NW_OK;
}

/** Whether all values are those of a width. */
static bool within_width(const int8_t *values, size_t n, int bits)
{
    const int least = bits == 1 ? 1 : 0, most = bits == 1 ? 1 : (1 << (bits - 1)) - 1;
    for (size_t i = 0; i < n; i++) {
        const int magnitude = values[i] < 0 ? -values[i] : values[i];
        if (magnitude < least || magnitude > most)
            return false;
    }
    return true;
}

static nw_status decode_weights(nw_file_reader *r, nw_node *node, int32_t index, const nw_array *weights)
{
    nw_linear *linear = node->linear;
    const size_t rows = (size_t)linear->n_rows, k = (size_t)linear->k;
    if (!nw_weight_code_decode(linear->weights, rows, k, nw_weight_period(node), weights->data, weights->size) ||
        !within_width(linear->weights, rows * k, linear->weight_bits))
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: tensor \"n%d.weights\": its %zu bytes are no code of %zu weights of %d bits", r->name,
                       (int)index, weights->size, rows * k, linear->weight_bits);
    linear->coded_size = weights->size;
    r->model->weight_storage = NW_STORED_CODED;
    return NW_OK;
}

nw_status nw_file_read_linear(nw_file_reader *r, int32_t index, const nw_linear_keys *keys)
{
    nw_node *node = &r->model->nodes[index];
    const nw_tensor *x = node->inputs[0] == NW_NONE ? NULL : &r->model->tensors[node->inputs[0]];
    const int32_t channels = nw_tensor_channels(&r->model->tensors[node->output]);
    const nw_array *weights = NULL;
    int32_t k;
    if (!x || x->type != NW_TYPE_U8 || !nw_file_row_length(&k, node, x))
        return nw_fail(
            r->error, NW_ERROR_DATA,
            "%s: graph: node %d: needs a u8 input whose channels its groups divide, and at most 2^23 weights in a row",
            r->name, (int)index);
    NW_TRY(find_weights(&weights, r, index, keys, k));
    node->linear = nw_linear_create(channels, keys->n_rows, k, nw_node_residual(node) != NW_NONE);
    if (!node->linear)
        return nw_file_out_of_memory(r);
    node->linear->weight_bits = (uint8_t)keys->weight_bits;
    node->linear->accumulator = (uint8_t)keys->accumulator;
    NW_TRY(read_rows(r, node->linear));
    NW_TRY(keys->coded ? decode_weights(r, node, index, weights) : unpack_rows(r, node->linear, index, weights->data));
    if (has_part(r, 'n', index, "levels"))
        NW_TRY(decode_levels(r, node->linear, index));
    return derive_offsets(r, node->linear, index, x->quant.zero_point);
}

static nw_status read_table(nw_file_reader *r, int32_t index)
{
    nw_node *node = &r->model->nodes[index];
    const size_t channels = (size_t)nw_tensor_channels(&r->model->tensors[node->output]);
    nw_file_name name;
    const uint8_t *data = NULL;
    nw_file_name_format(name, 'n', index, "table");
    const nw_array *table = nw_safetensors_find(&r->file, name);
    const size_t n = table && table->rank == 2 && table->dims[0] == 1 ? 1 : channels;
    NW_TRY(nw_file_take(&data, r, name, NW_ARRAY_U8, 2, (size_t[]){n, 256}));
    node->table = malloc(n * 256);
    if (!node->table)
        return nw_file_out_of_memory(r);
    memcpy(node->table, data, n * 256);
    node->n_tables = (int32_t)n;
    return NW_OK;
}

nw_status nw_file_read_node_arrays(nw_file_reader *r, int32_t index)
{
    nw_node *node = &r->model->nodes[index];
    const nw_tensor *y = &r->model->tensors[node->output];
    const size_t channels = (size_t)nw_tensor_channels(y);
    switch (node->op) {
    case NW_OP_QUANTIZE:
        return has_part(r, 'n', index, "table") ? read_table(r, index) : NW_OK;
    case NW_OP_TABLE:
        return read_table(r, index);
    case NW_OP_MUL:
        return y->type == NW_TYPE_U8 ? read_multipliers(&node->multipliers[0], r, channels) : NW_OK;
    case NW_OP_AVERAGE_POOL:
        return read_multipliers(&node->multipliers[0], r, channels);
    case NW_OP_ADD:
        if (y->type != NW_TYPE_U8)
            return NW_OK;
        NW_TRY(read_multipliers(&node->multipliers[0], r, channels));
        return read_multipliers(&node->multipliers[1], r, channels);
    default:
        return NW_OK;
    }
}
