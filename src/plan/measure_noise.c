/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much noise a layer or tensor bears: uniform noise injected there alone, its size bisected until a given share of
 * the answers changes. The noise on Z at that size, over the margin, is the t_i of Zhou et al. 2018: layers whose noise
 * spreads harmlessly have a large one. Used by measure_run.c.
 */
#include <math.h>
#include <stdlib.h>

#include "plan/measure_run.h"

#define MOST_STEPS 16
#define NW_NEVER 1e30 /* drop_noise of what cannot be disturbed */

/** Uniform in [-0.5, 0.5): splitmix64, top 24 bits. */
static float next_uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (float)((z ^ (z >> 31)) >> 40) * 0x1p-24f - 0.5f;
}

static void add_noise(float *data, const float *from, size_t n, double size, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        data[i] = from[i] + (float)size * next_uniform(&seed);
}

static float largest(const float *data, size_t n)
{
    float most = 0.0f;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(data[i]));
    return most;
}

typedef struct noise {
    double size;
    uint64_t seed;
} noise;

static nw_status disturb(void *context, int32_t tensor, int32_t n, float *data, size_t n_elements)
{
    noise *e = context;
    (void)tensor;
    (void)n;
    add_noise(data, data, n_elements, e->size, e->seed);
    e->seed++;
    return NW_OK;
}

/** Damage of noise of one size. @param weights  scratch for a layer's weights */
static nw_status try_size(nw_damage *damage, nw_measure_run *run, const nw_measured *row, double size, float *weights,
                          nw_error *error)
{
    const uint64_t seed = 0x5bd1e995u * (uint64_t)(row->index + 1);
    if (row->tensor) {
        noise e = {size, seed};
        return nw_measure_tail(damage, run, row->index, disturb, &e, error);
    }
    const nw_tensor *tensor = &run->model->tensors[run->model->nodes[row->index].inputs[1]];
    nw_float_engine *engine = nw_prefix_engine(run->prefix);
    add_noise(weights, tensor->data, nw_tensor_elements(tensor), size, seed);
    NW_TRY(nw_float_set_weights(engine, row->index, weights, NULL, error));
    NW_TRY(nw_measure_tail(damage, run, NW_NONE, NULL, NULL, error));
    return nw_float_set_weights(engine, row->index, tensor->data, NULL, error);
}

/** Where to begin: a step of about 4 bits. */
static double first_size(const nw_measure_run *run, const nw_measured *row)
{
    const int32_t t = row->tensor ? row->index : run->model->nodes[row->index].inputs[1];
    const nw_tensor *tensor = &run->model->tensors[t];
    if (tensor->data)
        return fmax((double)largest(tensor->data, nw_tensor_elements(tensor)), 1e-6) / 8.0;
    return 1.0;
}

/** Doubles or halves until the drop lies between two sizes, then bisects them (geometrically) until it is hit. */
static nw_status bisect(nw_measure_run *run, nw_measured *row, float *weights, nw_error *error)
{
    const double drop = run->measurement->drop;
    const double near = fmax(0.05 * drop, 0.5 / run->measurement->n_samples);
    double size = first_size(run, row);
    double below = 0.0;
    double above = INFINITY;
    double best = INFINITY;
    for (int32_t step = 0; step < MOST_STEPS && best > near; step++) {
        nw_damage damage;
        NW_TRY(try_size(&damage, run, row, size, weights, error));
        if (fabs(damage.changed - drop) < best) {
            best = fabs(damage.changed - drop);
            row->drop_noise = damage.noise;
        }
        if (damage.changed < drop)
            below = size;
        else
            above = size;
        size = !(above < INFINITY) ? below * 4.0 : below > 0.0 ? sqrt(below * above) : above / 4.0;
    }
    if (!(row->drop_noise > 0.0)) /* nothing that was tried moved Z at all */
        row->drop_noise = NW_NEVER;
    return NW_OK;
}

nw_status nw_measure_robustness(nw_measure_run *run, nw_measured *row, nw_error *error)
{
    float *weights = NULL;
    if (!row->tensor) {
        const nw_tensor *tensor = &run->model->tensors[run->model->nodes[row->index].inputs[1]];
        weights = malloc((nw_tensor_elements(tensor) + 1) * sizeof(*weights));
        if (!weights)
            return nw_fail_memory(error, "measuring");
    }
    const nw_status status = bisect(run, row, weights, error);
    free(weights);
    return status;
}
