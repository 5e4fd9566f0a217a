/* SPDX-License-Identifier: Apache-2.0 */
/* See measure.h. Walks the network once (prefix.h); at every layer tries all widths on the tail. */
#include "plan/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"
#include "plan/measure_run.h"

/* rows */

void nw_measurement_free(nw_measurement *measurement)
{
    if (!measurement)
        return;
    for (int32_t i = 0; measurement->rows && i < measurement->n; i++)
        free(measurement->rows[i].name);
    free(measurement->rows);
    free(measurement);
}

static bool add_row(nw_measurement *m, const char *name, bool tensor, int32_t index, int32_t node)
{
    nw_measured *row = &m->rows[m->n];
    *row = (nw_measured){.name = nw_text_copy(name), .tensor = tensor, .index = index, .node = node};
    m->n += row->name != NULL;
    return row->name != NULL;
}

/** The first node that reads or makes a tensor of the group: from there on rounding it shows. */
static int32_t first_touch(const nw_model *model, const nw_trials *trials, int32_t group)
{
    int32_t first = model->n_nodes;
    for (int32_t t = group; t < model->n_tensors; t++) {
        if (!nw_trials_in_group(trials, t, group) || !nw_trials_is_source(trials, t))
            continue;
        const int32_t producer = nw_model_producer(model, t);
        const int32_t from = producer == NW_NONE ? 0 : producer;
        first = from < first ? from : first;
    }
    return first;
}

nw_status nw_measurement_create(nw_measurement **out, const nw_model *model, const nw_trials *trials,
                                const nw_measure_options *options, nw_error *error)
{
    nw_measurement *m = calloc(1, sizeof(*m));
    bool done = m != NULL;
    if (done) {
        m->rows = calloc((size_t)model->n_nodes + (size_t)model->n_tensors + 1, sizeof(*m->rows));
        m->drop = options->drop;
        m->robustness = options->robustness;
        done = m->rows != NULL;
    }
    for (int32_t i = 0; done && i < model->n_nodes; i++) {
        if (!nw_trials_is_layer(trials, i))
            continue;
        done = add_row(m, model->nodes[i].name, false, i, i);
        if (!done)
            break;
        m->rows[m->n - 1].extra_points = nw_trials_extra_points(trials, i);
        m->rows[m->n - 1].extended = m->rows[m->n - 1].extra_points > 0;
    }
    for (int32_t t = 0; done && options->tensors && t < model->n_tensors; t++) {
        if (!nw_trials_is_group(trials, t))
            continue;
        done = add_row(m, model->tensors[t].name, true, t, first_touch(model, trials, t));
        if (done)
            m->rows[m->n - 1].extended = nw_trials_has_scheme(trials, t);
    }
    if (!done) {
        nw_measurement_free(m);
        return nw_fail_memory(error, "measuring");
    }
    *out = m;
    return NW_OK;
}

bool nw_measurement_has(const nw_measurement *measurement, int32_t i)
{
    const nw_measured *row = &measurement->rows[i];
    return row->done && (!measurement->robustness || row->drop_noise > 0.0);
}

double nw_measured_rate(const nw_measured *row)
{
    const int32_t bits = 6; /* a middling width */
    return row->at[bits].noise * exp2(2.0 * bits);
}

double nw_measured_robustness(const nw_measurement *measurement, const nw_measured *row)
{
    return row->drop_noise > 0.0 && measurement->margin > 0.0 ? row->drop_noise / measurement->margin : NAN;
}

nw_model *nw_last_features(const nw_model *model)
{
    nw_model *copy = nw_model_copy(model);
    for (int32_t i = 0; copy && i < copy->n_outputs; i++) {
        const int32_t producer = nw_model_producer(copy, copy->outputs[i]);
        const nw_op op = producer == NW_NONE ? NW_OP_COUNT : copy->nodes[producer].op;
        if (op == NW_OP_SOFTMAX || op == NW_OP_SIGMOID)
            copy->outputs[i] = copy->nodes[producer].inputs[0];
    }
    return copy;
}

/* the walk */

static int32_t next_row(const nw_measurement *m, const bool *wanted)
{
    int32_t best = NW_NONE;
    for (int32_t i = 0; i < m->n; i++)
        if (wanted[i] && (best == NW_NONE || m->rows[i].node < m->rows[best].node))
            best = i;
    return best;
}

static nw_status walk(nw_measure_run *run, bool *wanted, const nw_measure_options *options, nw_error *error)
{
    nw_measurement *m = run->measurement;
    int64_t total = 0;
    int64_t done = 0;
    for (int32_t i = 0; i < m->n; i++)
        total += wanted[i];
    for (int32_t i = next_row(m, wanted); i != NW_NONE; i = next_row(m, wanted)) {
        wanted[i] = false;
        NW_TRY(nw_prefix_advance(run->prefix, m->rows[i].node, error));
        NW_TRY(nw_measure_row(run, &m->rows[i], error));
        if (options->save)
            NW_TRY(options->save(options->context, m, error));
        if (options->progress)
            options->progress(options->context, ++done, total);
    }
    return NW_OK;
}

nw_status nw_measure(nw_measurement *measurement, const nw_model *model, nw_trials *trials,
                     const float *const *samples, int32_t n, const nw_measure_options *options, nw_error *error)
{
    nw_measure_run run = {0};
    bool *wanted = calloc((size_t)measurement->n + 1, sizeof(*wanted));
    nw_status status = wanted ? NW_OK : nw_fail_memory(error, "measuring");
    for (int32_t i = 0; wanted && i < measurement->n; i++)
        wanted[i] = i % options->n_shards == options->shard && !nw_measurement_has(measurement, i);
    if (!status)
        status = nw_measure_start(&run, measurement, model, trials, samples, n, false, error);
    if (!status)
        status = walk(&run, wanted, options, error);
    nw_measure_end(&run);
    free(wanted);
    return status;
}
