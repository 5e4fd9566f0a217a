/* SPDX-License-Identifier: Apache-2.0 */
/* See measure_run.h. */
#include "plan/measure_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* life */

static nw_status see_float(nw_measure_run *run, nw_error *error)
{
    for (int32_t b = 0; b < run->n_judged; b++) {
        NW_TRY(nw_prefix_finish(run->prefix, b, NULL, run->outputs, error));
        for (int32_t i = 0; i < run->tail->n_outputs; i++)
            nw_yardstick_set(&run->yardsticks[i], nw_prefix_batch_first(run->prefix, b),
                             nw_prefix_batch_count(run->prefix, b), run->outputs[i]);
    }
    for (int32_t i = 0; i < run->tail->n_outputs; i++)
        nw_yardstick_settle(&run->yardsticks[i]);
    return NW_OK;
}

static nw_status alloc_outputs(nw_measure_run *run, int32_t n)
{
    const size_t batch = (size_t)nw_prefix_batch_size(run->prefix);
    run->yardsticks = calloc((size_t)run->tail->n_outputs + 1, sizeof(*run->yardsticks));
    run->outputs = calloc((size_t)run->tail->n_outputs + 1, sizeof(*run->outputs));
    if (!run->yardsticks || !run->outputs)
        return NW_ERROR_MEMORY;
    for (int32_t i = 0; i < run->tail->n_outputs; i++) {
        const nw_tensor *z = &run->tail->tensors[run->tail->outputs[i]];
        NW_TRY(nw_yardstick_init(&run->yardsticks[i], z, n));
        run->outputs[i] = malloc(nw_tensor_elements(z) * batch * sizeof(float));
        if (!run->outputs[i])
            return NW_ERROR_MEMORY;
    }
    return NW_OK;
}

nw_status nw_measure_start(nw_measure_run *run, nw_measurement *measurement, const nw_model *model, nw_trials *trials,
                           const float *const *samples, int32_t n, bool all, nw_error *error)
{
    *run = (nw_measure_run){.measurement = measurement, .model = model, .trials = trials};
    run->tail = nw_last_features(model);
    if (!run->tail)
        return nw_fail_memory(error, "measuring");
    NW_TRY(nw_prefix_create(&run->prefix, run->tail, samples, n, error));
    const int32_t batches = nw_prefix_batches(run->prefix);
    run->n_judged = all ? batches : (batches + 1) / 2;
    const int32_t judged = batches > 1 && !all ? nw_prefix_batch_first(run->prefix, run->n_judged) : n;
    if (alloc_outputs(run, judged))
        return nw_fail_memory(error, "measuring");
    NW_TRY(see_float(run, error));
    measurement->n_samples = judged;
    measurement->n_classes = run->tail->n_outputs == 1 ? run->yardsticks[0].n_classes : 0;
    measurement->margin = nw_yardstick_margin(&run->yardsticks[0]);
    measurement->signal = nw_yardstick_signal(&run->yardsticks[0]);
    return NW_OK;
}

void nw_measure_end(nw_measure_run *run)
{
    if (run->trials)
        nw_trials_close(run->trials);
    for (int32_t i = 0; run->tail && i < run->tail->n_outputs; i++) {
        if (run->yardsticks)
            nw_yardstick_clear(&run->yardsticks[i]);
        if (run->outputs)
            free(run->outputs[i]);
    }
    free(run->yardsticks);
    free(run->outputs);
    nw_prefix_free(run->prefix);
    nw_model_free(run->tail);
    *run = (nw_measure_run){0};
}

/* the tail */

typedef struct edit {
    nw_measure_editor *editor;
    void *context;
    int32_t batch;
    nw_status status;
} edit;

static void edit_tensor(void *context, int32_t tensor, float *data, size_t n_elements)
{
    edit *e = context;
    const nw_status status = e->editor(e->context, tensor, e->batch, data, n_elements);
    e->status = e->status ? e->status : status;
}

/** Hangs the editor on all tensors of the group that nodes make (NULL: takes it off); *input: one that none makes. */
static nw_status hang(nw_measure_run *run, int32_t group, nw_float_editor *editor, edit *e, int32_t *input,
                      nw_error *error)
{
    for (int32_t t = group; t < run->model->n_tensors; t++) {
        if (!nw_trials_in_group(run->trials, t, group) || !nw_trials_is_source(run->trials, t))
            continue;
        if (nw_model_producer(run->model, t) == NW_NONE)
            *input = t;
        else
            NW_TRY(nw_float_edit(nw_prefix_engine(run->prefix), t, editor, e, error));
    }
    return NW_OK;
}

/** A changed copy of a network input, or NULL without memory. */
static float *edit_input(const nw_measure_run *run, int32_t b, int32_t tensor, edit *e)
{
    const size_t n = nw_tensor_elements(&run->model->tensors[tensor]) * (size_t)e->batch;
    float *copy = malloc(n * sizeof(*copy));
    if (!copy)
        return NULL;
    memcpy(copy, nw_prefix_tensor(run->prefix, b, tensor), n * sizeof(*copy));
    edit_tensor(e, tensor, copy, n);
    return copy;
}

static nw_status run_batch(nw_damage *sums, nw_measure_run *run, int32_t b, int32_t input, edit *e, nw_error *error)
{
    float *copy = NULL;
    nw_float_override instead = {.tensor = input};
    if (input != NW_NONE) {
        copy = edit_input(run, b, input, e);
        if (!copy)
            return nw_fail_memory(error, "measuring");
        instead.data = copy;
    }
    const nw_status status = nw_prefix_finish(run->prefix, b, copy ? &instead : NULL, run->outputs, error);
    free(copy);
    for (int32_t i = 0; !status && i < run->tail->n_outputs; i++)
        nw_yardstick_add(&run->yardsticks[i], &sums[i], nw_prefix_batch_first(run->prefix, b),
                         nw_prefix_batch_count(run->prefix, b), run->outputs[i]);
    return status;
}

nw_damage nw_measure_combine(const nw_measure_run *run, const nw_damage *sums)
{
    nw_damage all = {.n = sums[0].n};
    const int32_t n = run->tail->n_outputs;
    for (int32_t i = 0; i < n; i++) {
        const nw_damage one = nw_damage_mean(&sums[i]);
        const double signal = i == 0 ? run->measurement->signal : nw_yardstick_signal(&run->yardsticks[i]);
        all.noise += one.noise / n * (signal > 0.0 ? run->measurement->signal / signal : 1.0);
        all.divergence += one.divergence / n;
        all.changed += one.changed / n;
    }
    return all;
}

nw_status nw_measure_tail(nw_damage *damage, nw_measure_run *run, int32_t group, nw_measure_editor *editor,
                          void *context, nw_error *error)
{
    edit e = {.editor = editor, .context = context, .batch = nw_prefix_batch_size(run->prefix)};
    int32_t input = NW_NONE;
    nw_damage *sums = calloc((size_t)run->tail->n_outputs + 1, sizeof(*sums));
    nw_status status = sums ? NW_OK : nw_fail_memory(error, "measuring");
    if (!status && editor)
        status = hang(run, group, edit_tensor, &e, &input, error);
    for (int32_t b = 0; !status && b < run->n_judged; b++)
        status = run_batch(sums, run, b, input, &e, error);
    if (editor)
        hang(run, group, NULL, NULL, &input, NULL);
    if (!status && e.status)
        status = nw_fail_memory(error, "measuring");
    if (!status)
        *damage = nw_measure_combine(run, sums);
    free(sums);
    return status;
}

/* rows */

nw_status nw_measure_show_inputs(nw_measure_run *run, int32_t node, nw_error *error)
{
    const int32_t x = run->model->nodes[node].inputs[0];
    const int32_t batches = nw_prefix_batches(run->prefix);
    const int32_t first = run->n_judged < batches ? run->n_judged : 0; /* a single sample is all there is */
    const int32_t last =
        nw_prefix_batch_first(run->prefix, batches - 1) + nw_prefix_batch_count(run->prefix, batches - 1);
    NW_TRY(nw_trials_open(run->trials, node, last - nw_prefix_batch_first(run->prefix, first), error));
    for (int32_t b = first; b < batches; b++)
        NW_TRY(nw_trials_see(run->trials, nw_prefix_tensor(run->prefix, b, x), nw_prefix_batch_count(run->prefix, b),
                             error));
    return NW_OK;
}

/** The float network's own weights again. */
static nw_status restore(nw_measure_run *run, int32_t index, float *bias, nw_error *error)
{
    const nw_node *node = &run->model->nodes[index];
    const nw_tensor *weights = &run->model->tensors[node->inputs[1]];
    const int32_t given = node->n_inputs > 2 ? node->inputs[2] : NW_NONE;
    const int32_t n = nw_linear_shape_of(node, weights).n_channels;
    for (int32_t o = 0; o < n; o++)
        bias[o] = given == NW_NONE ? 0.0f : run->model->tensors[given].data[o];
    return nw_float_set_weights(nw_prefix_engine(run->prefix), index, weights->data, bias, error);
}

/** Damage of weights in a layer's place. */
static nw_status measure_weights(nw_damage *damage, nw_measure_run *run, int32_t node, const float *weights,
                                 const float *bias, nw_error *error)
{
    NW_TRY(nw_float_set_weights(nw_prefix_engine(run->prefix), node, weights, bias, error));
    return nw_measure_tail(damage, run, NW_NONE, NULL, NULL, error);
}

nw_status nw_measure_round(nw_measure_run *run, const nw_measured *row, int32_t choice, float *weights, float *bias,
                           nw_error *error)
{
    const int32_t bits = nw_choice_bits(choice);
    const int32_t extra = nw_choice_is_extended(choice) ? row->extra_points : 0;
    return nw_choice_is_narrowed(choice) ? nw_trials_narrow(run->trials, bits, weights, bias, error)
                                         : nw_trials_round(run->trials, bits, extra, weights, bias, error);
}

/** Damage and coded bytes of a choice. @param weights, bias  room for the layer's */
static nw_status measure_choice(nw_measure_run *run, nw_measured *row, int32_t choice, float *weights, float *bias,
                                nw_error *error)
{
    NW_TRY(nw_measure_round(run, row, choice, weights, bias, error));
    row->coded[choice] = (double)nw_trials_coded_bytes(run->trials);
    return measure_weights(&row->at[choice], run, row->index, weights, bias, error);
}

/** Some choices of a layer, in this order. */
static nw_status measure_choices(nw_measure_run *run, nw_measured *row, const int32_t *choices, int32_t n,
                                 nw_error *error)
{
    const nw_node *node = &run->model->nodes[row->index];
    const nw_tensor *tensor = &run->model->tensors[node->inputs[1]];
    float *weights = malloc((nw_tensor_elements(tensor) + 1) * sizeof(*weights));
    float *bias = malloc(((size_t)nw_linear_shape_of(node, tensor).n_channels + 1) * sizeof(*bias));
    nw_status status = weights && bias ? nw_measure_show_inputs(run, row->index, error)
                                       : nw_fail_memory(error, "measuring");
    for (int32_t i = 0; !status && i < n; i++)
        status = measure_choice(run, row, choices[i], weights, bias, error);
    if (!status)
        status = restore(run, row->index, bias, error);
    free(weights);
    free(bias);
    return status;
}

static nw_status measure_layer(nw_measure_run *run, nw_measured *row, nw_error *error)
{
    int32_t choices[NW_CHOICES];
    int32_t n = 0;
    for (int32_t bits = NW_MOST_BITS; bits >= NW_LEAST_BITS; bits--)
        choices[n++] = bits;
    for (int32_t bits = NW_MOST_EXTENDED_BITS; row->extended && bits >= NW_LEAST_BITS; bits--)
        choices[n++] = nw_choice_extend(bits);
    return measure_choices(run, row, choices, n, error);
}

nw_status nw_measure_narrowed(nw_measure_run *run, nw_measured *row, uint32_t widths, nw_error *error)
{
    int32_t choices[NW_CHOICES];
    int32_t n = 0;
    for (int32_t bits = NW_MOST_BITS; bits >= NW_LEAST_BITS; bits--)
        if (widths >> bits & 1u)
            choices[n++] = nw_choice_narrow(bits);
    NW_TRY(measure_choices(run, row, choices, n, error));
    row->narrowed |= widths;
    return NW_OK;
}

typedef struct grid_edit {
    nw_trials *trials;
    int32_t bits;
    bool scheme; /* DQA, else direct */
} grid_edit;

static nw_status round_tensor(void *context, int32_t tensor, int32_t n, float *data, size_t n_elements)
{
    const grid_edit *e = context;
    return nw_trials_round_tensor(e->trials, e->bits, e->scheme, tensor, n, data, n_elements, NULL);
}

static nw_status measure_tensor(nw_measure_run *run, nw_measured *row, nw_error *error)
{
    for (int32_t bits = NW_MOST_BITS; bits >= NW_LEAST_BITS; bits--) {
        grid_edit e = {run->trials, bits, false};
        NW_TRY(nw_measure_tail(&row->at[bits], run, row->index, round_tensor, &e, error));
    }
    for (int32_t bits = NW_MOST_EXTENDED_BITS; row->extended && bits >= NW_LEAST_BITS; bits--) {
        grid_edit e = {run->trials, bits, true};
        NW_TRY(nw_measure_tail(&row->at[nw_choice_extend(bits)], run, row->index, round_tensor, &e, error));
    }
    return NW_OK;
}

nw_status nw_measure_row(nw_measure_run *run, nw_measured *row, nw_error *error)
{
    if (!row->done)
        NW_TRY(row->tensor ? measure_tensor(run, row, error) : measure_layer(run, row, error));
    row->done = true;
    if (run->measurement->robustness)
        NW_TRY(nw_measure_robustness(run, row, error));
    return NW_OK;
}
