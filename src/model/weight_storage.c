/* SPDX-License-Identifier: Apache-2.0 */
/* See weight_storage.h. */
#include "model/weight_storage.h"

#include <stdlib.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "model/levels.h"
#include "model/weight_code.h"

int8_t *nw_weight_values(const nw_linear *linear)
{
    const size_t n = (size_t)linear->n_rows * (size_t)linear->k;
    if (!linear->levels)
        return linear->weights;
    int8_t *values = malloc(n);
    if (values) /* validated: every weight is in the book */
        nw_levels_encode(values, linear->weights, n, linear->levels, linear->weight_bits);
    return values;
}

size_t nw_weight_packed_bytes(const nw_linear *linear)
{
    return (size_t)linear->n_rows * nw_bits_row_size((size_t)linear->k, linear->weight_bits);
}

size_t nw_rows_coded_size(const int8_t *values, size_t n_rows, size_t k, size_t period, int bits)
{
    const size_t size = nw_weight_code_encode(NULL, values, n_rows, k, period);
    const bool shorter = size + NW_CODED_LEAST_GAIN < n_rows * nw_bits_row_size(k, bits);
    return shorter && n_rows * k / NW_CODED_MOST_WEIGHTS < size ? size : 0;
}

size_t nw_weight_coded_size(const nw_node *node, const int8_t *values)
{
    const nw_linear *linear = node->linear;
    return nw_rows_coded_size(values, (size_t)linear->n_rows, (size_t)linear->k, nw_weight_period(node),
                              linear->weight_bits);
}

nw_status nw_weight_storage_settle(nw_model *model, nw_error *error)
{
    for (int32_t i = 0; i < model->n_nodes; i++) {
        nw_linear *linear = model->nodes[i].linear;
        if (!linear)
            continue;
        linear->coded_size = 0;
        if (model->weight_storage != NW_STORED_CODED)
            continue;
        int8_t *values = nw_weight_values(linear);
        if (!values)
            return nw_fail_memory(error, "coding weights");
        linear->coded_size = nw_weight_coded_size(&model->nodes[i], values);
        if (values != linear->weights)
            free(values);
    }
    return NW_OK;
}
