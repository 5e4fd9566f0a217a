/* SPDX-License-Identifier: Apache-2.0 */
/* See measure_together.h. Walks the network once, like measure.c, and gives what it rounds to an engine of its own. */
#include "plan/measure_together.h"

#include <stdlib.h>
#include <string.h>

#include "plan/measure_run.h"

/** A tensor's grid. */
typedef struct rounder {
    nw_trials *trials;
    int32_t choice, batch;
    nw_status *status; /* of all */
} rounder;

typedef struct together {
    nw_measure_run run;
    const int32_t *choices;
    nw_float_engine *engine; /* owned; the network with everything rounded */
    float **inputs;          /* [n_inputs] owned, each [batch, ...] */
    rounder *rounders;       /* [measurement->n] owned */
    nw_damage *sums;         /* [n_outputs] owned */
    nw_status status;        /* of the rounders */
} together;

static void end(together *t)
{
    const nw_model *tail = t->run.tail;
    for (int32_t i = 0; tail && t->inputs && i < tail->n_inputs; i++)
        free(t->inputs[i]);
    free(t->inputs);
    free(t->rounders);
    free(t->sums);
    nw_float_free(t->engine);
    nw_measure_end(&t->run);
}

/** @param samples  as nw_measure_together */
static nw_status begin(together *t, nw_measurement *measurement, const nw_model *model, nw_trials *trials,
                       const float *const *samples, int32_t n, nw_error *error)
{
    NW_TRY(nw_measure_start(&t->run, measurement, model, trials, samples, n, false, error));
    const nw_model *tail = t->run.tail;
    const int32_t batch = nw_prefix_batch_size(t->run.prefix);
    t->inputs = calloc((size_t)tail->n_inputs + 1, sizeof(*t->inputs));
    t->rounders = calloc((size_t)measurement->n + 1, sizeof(*t->rounders));
    t->sums = calloc((size_t)tail->n_outputs + 1, sizeof(*t->sums));
    bool done = t->inputs && t->rounders && t->sums;
    for (int32_t i = 0; done && i < tail->n_inputs; i++) {
        t->inputs[i] = malloc(nw_tensor_elements(&tail->tensors[tail->inputs[i]]) * (size_t)batch * sizeof(float));
        done = t->inputs[i] != NULL;
    }
    if (!done)
        return nw_fail_memory(error, "measuring");
    return nw_float_create(&t->engine, tail, batch, error);
}

/* what is rounded */

/** A layer's weights, rounded on what it reads in the float network. */
static nw_status round_layer(together *t, const nw_measured *row, int32_t choice, nw_error *error)
{
    const nw_node *node = &t->run.model->nodes[row->index];
    const nw_tensor *tensor = &t->run.model->tensors[node->inputs[1]];
    float *weights = malloc((nw_tensor_elements(tensor) + 1) * sizeof(*weights));
    float *bias = malloc(((size_t)nw_linear_shape_of(node, tensor).n_channels + 1) * sizeof(*bias));
    nw_status status = weights && bias ? nw_prefix_advance(t->run.prefix, row->index, error)
                                       : nw_fail_memory(error, "measuring");
    if (!status)
        status = nw_measure_show_inputs(&t->run, row->index, error);
    if (!status)
        status = nw_measure_round(&t->run, row, choice, weights, bias, error);
    if (!status)
        status = nw_float_set_weights(t->engine, row->index, weights, bias, error);
    free(weights);
    free(bias);
    return status;
}

static void round_values(void *context, int32_t tensor, float *data, size_t n_elements)
{
    const rounder *r = context;
    const int32_t bits = nw_choice_bits(r->choice);
    const bool scheme = nw_choice_is_extended(r->choice);
    const nw_status status = nw_trials_round_tensor(r->trials, bits, scheme, tensor, r->batch, data, n_elements, NULL);
    *r->status = *r->status ? *r->status : status;
}

/** Hangs a rounder on all tensors of a group whose codes are chosen. */
static nw_status round_group(together *t, const nw_measured *row, rounder *r, nw_error *error)
{
    for (int32_t i = row->index; i < t->run.model->n_tensors; i++)
        if (nw_trials_in_group(t->run.trials, i, row->index) && nw_trials_is_source(t->run.trials, i))
            NW_TRY(nw_float_edit(t->engine, i, round_values, r, error));
    return NW_OK;
}

static nw_status round_all(together *t, nw_error *error)
{
    const nw_measurement *m = t->run.measurement;
    for (int32_t i = 0; i < m->n; i++) { /* layers come in the order of their nodes */
        t->rounders[i] = (rounder){t->run.trials, t->choices[i], nw_prefix_batch_size(t->run.prefix), &t->status};
        NW_TRY(m->rows[i].tensor ? round_group(t, &m->rows[i], &t->rounders[i], error)
                                 : round_layer(t, &m->rows[i], t->choices[i], error));
    }
    return NW_OK;
}

/* what comes out */

/** Inputs of batch b; a short one is filled up with its first sample. */
static void copy_batch(together *t, const float *const *samples, int32_t b)
{
    const nw_model *tail = t->run.tail;
    const int32_t first = nw_prefix_batch_first(t->run.prefix, b);
    const int32_t count = nw_prefix_batch_count(t->run.prefix, b);
    for (int32_t i = 0; i < tail->n_inputs; i++) {
        const size_t size = nw_tensor_elements(&tail->tensors[tail->inputs[i]]);
        for (int32_t s = 0; s < nw_prefix_batch_size(t->run.prefix); s++)
            memcpy(t->inputs[i] + (size_t)s * size, samples[i] + (size_t)(first + (s < count ? s : 0)) * size,
                   size * sizeof(float));
    }
}

static nw_status run_all(together *t, const float *const *samples, nw_error *error)
{
    for (int32_t b = 0; b < t->run.n_judged; b++) {
        copy_batch(t, samples, b);
        NW_TRY(nw_float_run(t->engine, (const float *const *)t->inputs, t->run.outputs, error));
        if (t->status)
            return nw_fail_memory(error, "measuring");
        for (int32_t i = 0; i < t->run.tail->n_outputs; i++)
            nw_yardstick_add(&t->run.yardsticks[i], &t->sums[i], nw_prefix_batch_first(t->run.prefix, b),
                             nw_prefix_batch_count(t->run.prefix, b), t->run.outputs[i]);
    }
    return NW_OK;
}

nw_damage nw_measurement_sum(const nw_measurement *measurement, const int32_t *choices)
{
    nw_damage sum = {0};
    for (int32_t i = 0; i < measurement->n; i++) {
        const nw_damage *one = &measurement->rows[i].at[choices[i]];
        sum.n = one->n;
        sum.noise += one->noise;
        sum.divergence += one->divergence;
        sum.changed += one->changed;
    }
    return sum;
}

nw_status nw_measure_together(nw_damage *damage, nw_measurement *measurement, const int32_t *choices,
                              const nw_model *model, nw_trials *trials, const float *const *samples, int32_t n,
                              nw_error *error)
{
    together t = {.choices = choices};
    nw_status status = begin(&t, measurement, model, trials, samples, n, error);
    if (!status)
        status = round_all(&t, error);
    if (!status)
        status = run_all(&t, samples, error);
    if (!status)
        *damage = nw_measure_combine(&t.run, t.sums);
    end(&t);
    return status;
}
