/* SPDX-License-Identifier: Apache-2.0 */
/* Integer weights of every linear node, its input's factors divided out. Between grids.c and bias_correction.c. */
#include <math.h>
#include <stdlib.h>

#include "quant/scheme.h"
#include "quant/shared_step.h"

static nw_status alloc_linear(nw_node_scheme *linear, const nw_tensor *weights)
{
    const size_t n = (size_t)linear->shape.n_channels;
    free(linear->weights); /* of an earlier round (sums.c), which may have narrowed them */
    linear->narrowed = false;
    linear->weight_bits = linear->book.bits;
    free(linear->step);
    free(linear->row_channel);
    free(linear->bias);
    linear->weights = calloc(nw_tensor_elements(weights) + 1, 1);
    linear->step = calloc(n + 1, sizeof(*linear->step));
    linear->row_channel = calloc(n + 1, sizeof(*linear->row_channel));
    linear->n_rows = linear->shape.n_channels;
    for (int32_t o = 0; linear->row_channel && o < linear->n_rows; o++)
        linear->row_channel[o] = o;
    linear->bias = calloc(n + 1, sizeof(*linear->bias));
    return linear->weights && linear->step && linear->row_channel && linear->bias ? NW_OK : NW_ERROR_MEMORY;
}

void nw_scheme_row(double *row, double *importance, const nw_scheme *scheme, int32_t index, int32_t o)
{
    const nw_node *node = &scheme->model->nodes[index];
    const nw_tensor *weights = &scheme->model->tensors[node->inputs[1]];
    const nw_linear_shape shape = nw_linear_shape_of(node, weights);
    const nw_tensor_scheme *x = &scheme->tensors[node->inputs[0]];
    const nw_tensor_stats *stats = &scheme->calibration->tensors[node->inputs[0]];
    nw_weights_row(row, node, weights, o);
    for (int32_t j = 0; j < shape.k; j++) {
        const int32_t c = nw_linear_input_channel(&shape, o, j);
        row[j] /= x->factor[c];
        importance[j] = nw_channel_variance(stats, c) * x->factor[c] * x->factor[c];
    }
}

double nw_scheme_round_row(int8_t *q, const nw_scheme *scheme, int32_t index, int32_t o, const nw_code_book *book,
                           double *row, double *importance)
{
    const nw_node *node = &scheme->model->nodes[index];
    const nw_linear_shape shape = nw_linear_shape_of(node, &scheme->model->tensors[node->inputs[1]]);
    nw_scheme_row(row, importance, scheme, index, o);
    return nw_weights_quantize_row(q, row, shape.k, book, scheme->options->weight_range, importance);
}

void nw_scheme_set_width(nw_node_scheme *linear)
{
    const size_t n = (size_t)linear->n_rows * (size_t)linear->shape.k;
    const int32_t least = nw_weights_least_bits(linear->weights, n);
    linear->weight_bits = linear->narrowed && least < linear->book.bits ? least : linear->book.bits;
}

nw_status nw_scheme_narrow_node(nw_scheme *scheme, int32_t index, const double *alpha)
{
    const nw_node *node = &scheme->model->nodes[index];
    nw_node_scheme *linear = &scheme->nodes[index];
    const size_t k = (size_t)linear->shape.k;
    double *row = malloc((k + 1) * sizeof(*row));
    for (int32_t o = 0; row && o < linear->shape.n_channels; o++) {
        if (!(alpha[o] > 1.0 && linear->step[o] > 0.0))
            continue;
        nw_weights_row(row, node, &scheme->model->tensors[node->inputs[1]], o);
        for (int32_t j = 0; j < linear->shape.k; j++)
            row[j] /= scheme->tensors[node->inputs[0]].factor[nw_linear_input_channel(&linear->shape, o, j)];
        linear->step[o] *= alpha[o];
        linear->narrowed = true;
        nw_code_book_round(linear->weights + (size_t)o * k, row, linear->shape.k, &linear->book, linear->step[o]);
    }
    nw_scheme_set_width(linear);
    const bool done = row != NULL;
    free(row);
    return done ? NW_OK : NW_ERROR_MEMORY;
}

nw_status nw_scheme_linear_node(nw_scheme *scheme, int32_t index)
{
    const nw_node *node = &scheme->model->nodes[index];
    nw_node_scheme *linear = &scheme->nodes[index];
    const nw_model *model = scheme->model;
    const nw_tensor *weights = &model->tensors[node->inputs[1]];
    const int32_t bias = node->n_inputs > 2 ? node->inputs[2] : NW_NONE;
    linear->shape = nw_linear_shape_of(node, weights);
    const size_t k = (size_t)linear->shape.k;
    double *row = malloc((k + 1) * sizeof(*row));
    double *importance = malloc((k + 1) * sizeof(*importance));
    nw_status status = row && importance ? alloc_linear(linear, weights) : NW_ERROR_MEMORY;
    if (!status && nw_code_book_shares_step(&linear->book))
        status = nw_shared_steps(linear->step, scheme, index, &linear->book);
    for (int32_t o = 0; !status && o < linear->shape.n_channels; o++) {
        nw_code_book book = linear->book;
        book.step = linear->step[o];
        linear->step[o] = nw_scheme_round_row(linear->weights + (size_t)o * k, scheme, index, o, &book, row,
                                              importance);
        linear->bias[o] = bias == NW_NONE ? 0.0 : (double)model->tensors[bias].data[o];
    }
    free(row);
    free(importance);
    return status;
}

double nw_scheme_bias(const nw_scheme *scheme, int32_t node, int32_t channel)
{
    const nw_node_scheme *linear = &scheme->nodes[node];
    const nw_node *from = &scheme->model->nodes[node];
    const nw_tensor_scheme *x = &scheme->tensors[from->inputs[0]];
    double bias = linear->bias[channel];
    if (from->n_inputs > 3 && from->inputs[3] != NW_NONE)
        bias -= scheme->tensors[from->inputs[3]].offset[channel];
    if (!nw_activation_is_noisy(x->kind))
        return bias;
    for (int32_t row = 0; row < linear->n_rows; row++)
        for (int32_t j = 0; linear->row_channel[row] == channel && j < linear->shape.k; j++) {
            const int32_t c = nw_linear_input_channel(&linear->shape, channel, j);
            bias -= linear->step[row] * linear->weights[(size_t)row * (size_t)linear->shape.k + (size_t)j] *
                    x->factor[c] * x->offset[c];
        }
    return bias;
}

nw_status nw_scheme_linear(nw_scheme *scheme, nw_error *error)
{
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR && nw_scheme_linear_node(scheme, i))
            return nw_fail_memory(error, "quantizing weights");
    return NW_OK;
}
