/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a choice of factors costs, predicted without running anything; equalize.c compares choices with it. For a linear
 * node that reads codes of step s (in scaled reals) and whose row o has the weight step d_o = max_j |w_j / f_j| /
 * limit:
 *
 *     noise of the codes      sum_j (w_j / f_j)^2 s^2 / 12
 *     noise of the weights    d_o^2 / 12 sum_j f_j^2 Var(x_j)            (the mean's part is taken out by the bias)
 *
 * summed over rows and divided by the variance of the node's outputs.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/narrow.h"

/** Step of the group's codes if they reached from the least to the greatest value seen. */
static double group_step(const nw_scheme *scheme, int32_t group)
{
    double lo = 0.0;
    double hi = 0.0;
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        const nw_tensor_scheme *tensor = &scheme->tensors[t];
        if (tensor->group != group || !nw_scheme_is_source(scheme, t))
            continue;
        const nw_channel_stats *channels = scheme->calibration->tensors[t].channels;
        for (int32_t c = 0; c < tensor->n_channels; c++) {
            lo = fmin(lo, nw_scheme_useful(tensor, (double)channels[c].min) * tensor->factor[c]);
            hi = fmax(hi, nw_scheme_useful(tensor, (double)channels[c].max) * tensor->factor[c]);
        }
    }
    return (hi - lo) / ((1 << scheme->tensors[group].grid.bits) - 1);
}

static double total_variance(const nw_scheme *scheme, int32_t t)
{
    double sum = 0.0;
    for (int32_t c = 0; c < scheme->tensors[t].n_channels; c++)
        sum += nw_channel_variance(&scheme->calibration->tensors[t], c);
    return sum;
}

static double relative(double noise, double signal)
{
    return signal > 0.0 ? noise / signal : 0.0;
}

static nw_status linear_noise(double *noise, const nw_scheme *scheme, int32_t index, double step)
{
    const nw_node *node = &scheme->model->nodes[index];
    const int32_t limit = nw_code_book_make(NW_BOOK_UNIFORM, scheme->nodes[index].weight_bits).limit;
    const nw_tensor *weights = &scheme->model->tensors[node->inputs[1]];
    const double *factor = scheme->tensors[node->inputs[0]].factor;
    const nw_tensor_stats *stats = &scheme->calibration->tensors[node->inputs[0]];
    const nw_linear_shape shape = nw_linear_shape_of(node, weights);
    double *row = malloc(((size_t)shape.k + 1) * sizeof(*row));
    double *variance = malloc(((size_t)stats->n_channels + 1) * sizeof(*variance));
    double sum = 0.0;
    if (!row || !variance) {
        free(row);
        free(variance);
        return NW_ERROR_MEMORY;
    }
    for (int32_t c = 0; c < stats->n_channels; c++)
        variance[c] = nw_channel_variance(stats, c) * factor[c] * factor[c];
    for (int32_t o = 0; o < shape.n_channels; o++) {
        double largest = 0.0;
        double squares = 0.0;
        double power = 0.0;
        nw_weights_row(row, node, weights, o);
        for (int32_t j = 0; j < shape.k; j++) {
            const int32_t c = nw_linear_input_channel(&shape, o, j);
            const double w = row[j] / factor[c];
            largest = fmax(largest, fabs(w));
            squares += w * w;
            power += variance[c];
        }
        const double weight_step = largest / limit;
        sum += squares * step * step / 12.0 + power * weight_step * weight_step / 12.0;
    }
    free(row);
    free(variance);
    *noise = relative(sum, total_variance(scheme, node->output));
    return NW_OK;
}

/** ADD, AVERAGE_POOL and residuals take the codes' noise as it is (a pool averages it). */
static double plain_noise(const nw_scheme *scheme, const nw_node *node, int32_t t, double step)
{
    const nw_tensor_scheme *tensor = &scheme->tensors[t];
    double sum = 0.0;
    for (int32_t c = 0; c < tensor->n_channels; c++)
        sum += step * step / (12.0 * tensor->factor[c] * tensor->factor[c]);
    if (node->op == NW_OP_AVERAGE_POOL)
        sum /= (double)node->window.kernel[0] * node->window.kernel[1];
    return relative(sum, total_variance(scheme, t));
}

/** A table passes a channel's noise on as it passes its variance on. */
static double table_noise(const nw_scheme *scheme, const nw_node *node, double step)
{
    const int32_t x = node->inputs[0];
    const nw_tensor_stats *from = &scheme->calibration->tensors[x], *to = &scheme->calibration->tensors[node->output];
    double sum = 0.0;
    for (int32_t c = 0; c < scheme->tensors[x].n_channels; c++) {
        const double factor = scheme->tensors[x].factor[c];
        sum += step * step / (12.0 * factor * factor) *
               relative(nw_channel_variance(to, c), nw_channel_variance(from, c));
    }
    return relative(sum, total_variance(scheme, node->output));
}

nw_status nw_scheme_noise(double *noise, const nw_scheme *scheme, int32_t group)
{
    const nw_model *model = scheme->model;
    const bool narrow = nw_is_narrow(scheme, group);
    double step = 0.0; /* narrow codes: their noise is counted once for all readers */
    *noise = 0.0;
    if (narrow)
        nw_narrow_step(&step, noise, scheme, group);
    step = narrow ? 0.0 : group_step(scheme, group);
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        const nw_mode mode = scheme->nodes[i].mode;
        if (mode != NW_MODE_LINEAR && mode != NW_MODE_INTEGER && mode != NW_MODE_TABLE)
            continue;
        for (int32_t j = 0; j < node->n_inputs; j++) {
            const int32_t t = node->inputs[j];
            if (t == NW_NONE || !scheme->tensors[t].code || scheme->tensors[t].group != group)
                continue;
            double part;
            if (mode == NW_MODE_LINEAR && j == 0)
                NW_TRY(linear_noise(&part, scheme, i, step));
            else if (mode == NW_MODE_TABLE)
                part = table_noise(scheme, node, step);
            else
                part = plain_noise(scheme, node, t, step);
            *noise += part;
        }
    }
    return NW_OK;
}
