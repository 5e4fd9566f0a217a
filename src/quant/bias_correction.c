/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rounding moves the mean of a layer's outputs; a bias takes it back for free. Two ways to know by how much:
 *
 *     analytic    bias[o] += sum_k W[o,k] E[x_k] - sum_k Wq[o,k] E[xq_k], means from calibration, each tap weighted by
 *                 how often it lies inside the picture; xq from the histogram (clipping and rounding of the input)
 *     empirical   the kept samples run through the float network and through the quantized one; at every linear node,
 *                 in order, the difference of the two means per channel is taken into the bias before the run goes on,
 *                 so each layer is corrected behind the corrected prefix in one pass
 *
 * Between linear.c and emit.c. (Nagel et al. 2019, sections 4.2 and appendix D.)
 */
#include <math.h>
#include <stdlib.h>

#include "quant/simulate.h"

/* analytic */

/** Share of the output positions of one axis at which tap k meets the picture. */
static double axis_share(const nw_window *window, int32_t axis, bool transpose, int32_t k, int32_t n_x, int32_t n_y)
{
    int32_t met = 0;
    const int32_t pad = window->pad[axis];
    if (transpose) {
        for (int32_t i = 0; i < n_x; i++) {
            const int32_t y = i * window->stride[axis] + k * window->dilation[axis] - pad;
            met += y >= 0 && y < n_y;
        }
    } else {
        for (int32_t y = 0; y < n_y; y++) {
            const int32_t i = y * window->stride[axis] + k * window->dilation[axis] - pad;
            met += i >= 0 && i < n_x;
        }
    }
    return (double)met / n_y;
}

static double tap_share(const nw_model *model, const nw_node *node, int32_t tap)
{
    if (node->op == NW_OP_GEMM)
        return 1.0;
    const nw_tensor *x = &model->tensors[node->inputs[0]];
    const nw_tensor *y = &model->tensors[node->output];
    const bool transpose = node->op == NW_OP_CONV_TRANSPOSE;
    const int32_t kw = node->window.kernel[1];
    return axis_share(&node->window, 0, transpose, tap / kw, nw_tensor_height(x), nw_tensor_height(y)) *
           axis_share(&node->window, 1, transpose, tap % kw, nw_tensor_width(x), nw_tensor_width(y));
}

/** Mean of what rounding and clipping add to a channel, in reals. */
static double mean_shift(const nw_scheme *scheme, int32_t t, int32_t c)
{
    const nw_tensor_scheme *tensor = &scheme->tensors[t];
    const nw_tensor_stats *stats = &scheme->calibration->tensors[t];
    const nw_histogram *histogram = &stats->channels[c].histogram;
    const double width = nw_histogram_width(histogram);
    const double step = (double)tensor->grid.scale * (1 << tensor->shift[c]) / tensor->factor[c];
    const double offset = tensor->offset[c];
    double sum = 0.0;
    for (int32_t i = histogram->first; i <= histogram->last; i++) {
        double count = (double)histogram->counts[i - histogram->first];
        count -= i == 0 ? (double)stats->channels[c].zeros : 0.0;
        const double a = fmax(i * width, (double)stats->channels[c].min);
        const double b = fmin((i + 1) * width, (double)stats->channels[c].max);
        if (count > 0.0 && b > a)
            sum += count / (b - a) *
                   nw_grid_shift_integral(step, (double)tensor->lo[c] * step, (double)tensor->hi[c] * step, a + offset,
                                          b + offset);
    }
    return stats->n_values ? sum / (double)stats->n_values : 0.0;
}

static nw_status correct_node(nw_scheme *scheme, const nw_node *node, nw_node_scheme *linear)
{
    const int32_t x = node->inputs[0];
    const nw_tensor_scheme *input = &scheme->tensors[x];
    const nw_tensor_stats *stats = &scheme->calibration->tensors[x];
    const size_t k = (size_t)linear->shape.k;
    double *row = malloc((k + 1) * sizeof(*row));
    double *share = malloc(((size_t)linear->shape.taps + 1) * sizeof(*share));
    double *shift = malloc(((size_t)input->n_channels + 1) * sizeof(*shift));
    const bool done = row && share && shift;
    for (int32_t tap = 0; done && tap < linear->shape.taps; tap++)
        share[tap] = tap_share(scheme->model, node, tap);
    for (int32_t c = 0; done && c < input->n_channels; c++)
        shift[c] = mean_shift(scheme, x, c);
    for (int32_t o = 0; done && o < linear->shape.n_channels; o++) {
        nw_weights_row(row, node, &scheme->model->tensors[node->inputs[1]], o);
        for (int32_t j = 0; j < linear->shape.k; j++)
            linear->bias[o] += share[j / linear->shape.group_inputs] * row[j] *
                               nw_channel_mean(stats, nw_linear_input_channel(&linear->shape, o, j));
    }
    for (int32_t i = 0; done && i < linear->n_rows; i++) {
        const int32_t o = linear->row_channel[i];
        for (int32_t j = 0; j < linear->shape.k; j++) {
            const int32_t c = nw_linear_input_channel(&linear->shape, o, j);
            const double rounded = linear->step[i] * linear->weights[(size_t)i * k + (size_t)j] * input->factor[c];
            linear->bias[o] -= share[j / linear->shape.group_inputs] * rounded * (nw_channel_mean(stats, c) + shift[c]);
        }
    }
    free(row);
    free(share);
    free(shift);
    return done ? NW_OK : NW_ERROR_MEMORY;
}

static nw_status correct_analytic(nw_scheme *scheme, nw_error *error)
{
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR && !scheme->nodes[i].reconstructed &&
            correct_node(scheme, &scheme->model->nodes[i], &scheme->nodes[i]))
            return nw_fail_memory(error, "correcting biases");
    return NW_OK;
}

/* empirical */

typedef struct means {
    nw_scheme *scheme;
    double **mean; /* [n_nodes] of the float network's outputs, [n_channels] each; NULL for other nodes */
    int32_t batch;
} means;

static double channel_mean(const float *values, int32_t batch, int32_t n_channels, size_t plane, int32_t c)
{
    double sum = 0.0;
    for (int32_t s = 0; s < batch; s++) {
        const float *x = values + ((size_t)s * (size_t)n_channels + (size_t)c) * plane;
        for (size_t i = 0; i < plane; i++)
            sum += (double)x[i];
    }
    return sum / ((double)batch * (double)plane);
}

static void remember(void *context, int32_t node, float *values, int32_t n_channels, size_t plane)
{
    const means *all = context;
    for (int32_t c = 0; c < n_channels; c++)
        all->mean[node][c] = channel_mean(values, all->batch, n_channels, plane, c);
}

/** Takes the difference into the bias and into the values, before they are clamped and rounded. */
static void correct(void *context, int32_t node, float *values, int32_t n_channels, size_t plane)
{
    const means *all = context;
    for (int32_t c = 0; c < n_channels; c++) {
        const double difference = all->mean[node][c] - channel_mean(values, all->batch, n_channels, plane, c);
        all->scheme->nodes[node].bias[c] += difference;
        for (int32_t s = 0; s < all->batch; s++) {
            float *x = values + ((size_t)s * (size_t)n_channels + (size_t)c) * plane;
            for (size_t i = 0; i < plane; i++)
                x[i] += (float)difference;
        }
    }
}

static nw_status run_once(means *all, bool quantized, nw_error *error)
{
    nw_simulator *simulator = NULL;
    const nw_calibration *calibration = all->scheme->calibration;
    float **no_outputs = calloc((size_t)all->scheme->model->n_outputs + 1, sizeof(*no_outputs));
    nw_status status = NW_ERROR_MEMORY;
    if (!no_outputs) {
        nw_fail_memory(error, "correcting biases");
        goto cleanup;
    }
    status = nw_simulator_create(&simulator, all->scheme, all->batch, quantized, error);
    if (status)
        goto cleanup;
    nw_simulator_set_hook(simulator, quantized ? correct : remember, all);
    status = nw_simulator_run(simulator, (const float *const *)calibration->kept, no_outputs, error);

cleanup:
    nw_simulator_free(simulator);
    free(no_outputs);
    return status;
}

static nw_status correct_empirical(nw_scheme *scheme, nw_error *error)
{
    const int32_t n_nodes = scheme->model->n_nodes;
    means all = {.scheme = scheme, .batch = scheme->calibration->n_kept};
    if (all.batch < 1)
        return nw_fail(error, NW_ERROR_USAGE, "empirical bias correction needs a calibration that kept samples");
    all.mean = calloc((size_t)n_nodes + 1, sizeof(*all.mean));
    nw_status status = all.mean ? NW_OK : nw_fail_memory(error, "correcting biases");
    for (int32_t i = 0; !status && i < n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR) {
            all.mean[i] = calloc((size_t)scheme->nodes[i].shape.n_channels + 1, sizeof(**all.mean));
            status = all.mean[i] ? NW_OK : nw_fail_memory(error, "correcting biases");
        }
    if (!status)
        status = run_once(&all, false, error);
    if (!status)
        status = run_once(&all, true, error);
    for (int32_t i = 0; all.mean && i < n_nodes; i++)
        free(all.mean[i]);
    free(all.mean);
    return status;
}

nw_status nw_scheme_correct(nw_scheme *scheme, nw_error *error)
{
    switch (scheme->options->bias_correction) {
    case NW_BIAS_CORRECTION_ANALYTIC:
        return correct_analytic(scheme, error);
    case NW_BIAS_CORRECTION_EMPIRICAL:
        return correct_empirical(scheme, error);
    default:
        return NW_OK;
    }
}
