/* SPDX-License-Identifier: Apache-2.0 */
/* See learned.h. Between learn.c and scheme, gradient.h. */
#include "quant/learned.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "quant/adam.h"

typedef struct layer {
    nw_adam weights; /* [O, k] reals; n = 0: they stay */
    nw_adam bias;
    double *step; /* [O] owned; of the rows' codes, as it began; NULL where weights stay */
} layer;

typedef struct step {
    nw_adam log;    /* of the step over the one it began with: of every channel, of the group (at its lowest tensor),
                       none */
    double scale;   /* it began with */
    double *factor; /* [n_channels] owned; the same; NULL unless every channel has its own */
} step;

struct nw_learned {
    nw_scheme *scheme;
    layer *layers;   /* [n_nodes] */
    step *steps;     /* [n_tensors] */
    float *gradient; /* scratch: of the steps of one tensor */
    float *factor;   /* scratch: of the inputs of one row */
};

/* what moves */

static bool weights_move(const nw_scheme *scheme, int32_t node)
{
    const nw_node_scheme *linear = &scheme->nodes[node];
    return linear->mode == NW_MODE_LINEAR && linear->n_rows == linear->shape.n_channels && !linear->narrowed &&
           !linear->book.levels && linear->weight_bits > 1;
}

bool nw_learned_moves(const nw_scheme *scheme, int32_t tensor)
{
    const nw_tensor_scheme *t = &scheme->tensors[tensor];
    return t->code && t->grid.bits - t->extra_bits < 8 && nw_model_producer(scheme->model, tensor) != NW_NONE;
}

/** Whether every channel may have a step of its own: nothing shares the grid, and all readers' weights can follow. */
static bool is_free(const nw_scheme *scheme, const nw_gradient *student, int32_t t)
{
    if (!scheme->options->equalize || scheme->tensors[t].n_channels < 2)
        return false;
    for (int32_t u = 0; u < scheme->model->n_tensors; u++)
        if (u != t && scheme->tensors[u].code && scheme->tensors[u].group == scheme->tensors[t].group)
            return false;
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (scheme->nodes[i].mode == NW_MODE_LINEAR && scheme->model->nodes[i].inputs[0] == t &&
            !(student->linears[i].weights && weights_move(scheme, i)))
            return false;
    return true;
}

/* life */

void nw_learned_free(nw_learned *learned)
{
    if (!learned)
        return;
    for (int32_t i = 0; learned->layers && i < learned->scheme->model->n_nodes; i++) {
        nw_adam_clear(&learned->layers[i].weights);
        nw_adam_clear(&learned->layers[i].bias);
        free(learned->layers[i].step);
    }
    for (int32_t t = 0; learned->steps && t < learned->scheme->model->n_tensors; t++) {
        nw_adam_clear(&learned->steps[t].log);
        free(learned->steps[t].factor);
    }
    free(learned->layers);
    free(learned->steps);
    free(learned->gradient);
    free(learned->factor);
    free(learned);
}

/** A unit is the root mean square of the row. */
static void start_row(nw_adam *weights, const nw_scheme *scheme, int32_t node, int32_t o)
{
    const nw_node_scheme *linear = &scheme->nodes[node];
    const double *factor = scheme->tensors[scheme->model->nodes[node].inputs[0]].factor;
    const size_t k = (size_t)linear->shape.k;
    const size_t first = (size_t)o * k;
    double sum = 0.0;
    for (size_t j = 0; j < k; j++) {
        const double f = factor[nw_linear_input_channel(&linear->shape, o, (int32_t)j)];
        const double w = linear->step[o] * linear->weights[first + j] * f;
        weights->value[first + j] = (float)w;
        sum += w * w;
    }
    for (size_t j = 0; j < k; j++)
        weights->unit[first + j] = (float)sqrt(sum / (double)k);
}

/** A bias' unit is the standard deviation of its output. */
static nw_status start_layer(nw_learned *learned, int32_t node)
{
    const nw_scheme *scheme = learned->scheme;
    const nw_node_scheme *linear = &scheme->nodes[node];
    const nw_tensor_stats *stats = &scheme->calibration->tensors[scheme->model->nodes[node].output];
    layer *to = &learned->layers[node];
    NW_TRY(nw_adam_init(&to->bias, (size_t)linear->shape.n_channels));
    for (int32_t o = 0; o < linear->shape.n_channels; o++) {
        to->bias.value[o] = (float)linear->bias[o];
        to->bias.unit[o] = (float)sqrt(nw_channel_variance(stats, o));
    }
    if (!weights_move(scheme, node))
        return NW_OK;
    NW_TRY(nw_adam_init(&to->weights, (size_t)linear->shape.n_channels * (size_t)linear->shape.k));
    to->step = malloc((size_t)linear->shape.n_channels * sizeof(*to->step));
    if (!to->step)
        return NW_ERROR_MEMORY;
    memcpy(to->step, linear->step, (size_t)linear->shape.n_channels * sizeof(*to->step));
    for (int32_t o = 0; o < linear->shape.n_channels; o++)
        start_row(&to->weights, scheme, node, o);
    return NW_OK;
}

static nw_status start_step(nw_learned *learned, const nw_gradient *student, int32_t t)
{
    const nw_tensor_scheme *tensor = &learned->scheme->tensors[t];
    step *to = &learned->steps[t];
    const size_t n = (size_t)tensor->n_channels;
    if (is_free(learned->scheme, student, t)) {
        to->factor = malloc(n * sizeof(*to->factor));
        if (!to->factor)
            return NW_ERROR_MEMORY;
        memcpy(to->factor, tensor->factor, n * sizeof(*to->factor));
        NW_TRY(nw_adam_init(&to->log, n));
    } else if (tensor->group == t) {
        NW_TRY(nw_adam_init(&to->log, 1));
    }
    for (size_t i = 0; i < to->log.n; i++)
        to->log.unit[i] = 1.0f;
    return NW_OK;
}

static nw_status start(nw_learned *learned, const nw_gradient *student)
{
    const nw_scheme *scheme = learned->scheme;
    int32_t most = 1, longest = 1;
    learned->layers = calloc((size_t)scheme->model->n_nodes + 1, sizeof(*learned->layers));
    learned->steps = calloc((size_t)scheme->model->n_tensors + 1, sizeof(*learned->steps));
    if (!learned->layers || !learned->steps)
        return NW_ERROR_MEMORY;
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (student->linears[i].weights) {
            longest = nw_max32(longest, scheme->nodes[i].shape.k);
            NW_TRY(start_layer(learned, i));
        }
    for (int32_t t = 0; t < scheme->model->n_tensors; t++) {
        learned->steps[t].scale = (double)scheme->tensors[t].grid.scale;
        most = nw_max32(most, scheme->tensors[t].n_channels);
        if (nw_learned_moves(scheme, t) && student->tensors[t].computed)
            NW_TRY(start_step(learned, student, t));
    }
    learned->gradient = malloc((size_t)most * sizeof(*learned->gradient));
    learned->factor = malloc((size_t)longest * sizeof(*learned->factor));
    return learned->gradient && learned->factor ? NW_OK : NW_ERROR_MEMORY;
}

nw_status nw_learned_create(nw_learned **out, nw_scheme *scheme, const nw_gradient *student)
{
    nw_learned *learned = calloc(1, sizeof(*learned));
    if (!learned)
        return NW_ERROR_MEMORY;
    learned->scheme = scheme;
    if (start(learned, student)) {
        nw_learned_free(learned);
        return NW_ERROR_MEMORY;
    }
    *out = learned;
    return NW_OK;
}

/* into the scheme and the student */

static void place_steps(const nw_learned *learned)
{
    nw_scheme *scheme = learned->scheme;
    for (int32_t t = 0; t < scheme->model->n_tensors; t++) {
        const step *from = &learned->steps[t];
        for (int32_t c = 0; from->factor && c < scheme->tensors[t].n_channels; c++)
            scheme->tensors[t].factor[c] = from->factor[c] * exp(-(double)from->log.value[c]);
        for (int32_t u = t; from->log.n && !from->factor && u < scheme->model->n_tensors; u++)
            if (scheme->tensors[u].code && scheme->tensors[u].group == t)
                scheme->tensors[u].grid.scale = (float)(learned->steps[u].scale * exp((double)from->log.value[0]));
    }
}

static void show_steps(nw_gradient_tensor *to, const nw_tensor_scheme *from)
{
    for (int32_t c = 0; c < to->channels; c++) {
        to->step[c] = (float)((double)from->grid.scale * (1 << from->shift[c]) / from->factor[c]);
        to->lo[c] = from->lo[c];
        to->hi[c] = from->hi[c];
        to->offset[c] = (float)from->offset[c];
    }
}

/** Nearest codes of one row. Steps of 8-bit rows grow where a weight would not fit. @param factor  [k]; w  [k] */
static void place_row(nw_node_scheme *linear, const float *restrict factor, double start, const float *restrict w,
                      int32_t o, float *restrict to)
{
    const size_t k = (size_t)linear->shape.k;
    const float limit = (float)linear->book.limit;
    int8_t *restrict codes = linear->weights + (size_t)o * k;
    float most = 0.0f;
    for (size_t j = 0; j < k; j++)
        most = nw_maxf(most, nw_maxf(w[j], -w[j]) / factor[j]);
    if (linear->weight_bits == 8 && linear->book.kind == NW_BOOK_UNIFORM)
        linear->step[o] = fmax(start, (double)(most / limit));
    const float step = (float)linear->step[o];
    for (size_t j = 0; j < k; j++) {
        const float v = step > 0.0f ? w[j] / (step * factor[j]) : 0.0f;
        const float code = nw_rint_small(nw_minf(nw_maxf(v, -limit), limit));
        codes[j] = (int8_t)code;
        to[j] = code * (step * factor[j]);
    }
}

/** What codes that stay stand for, all points together. */
static void show_rows(const nw_node_scheme *linear, const double *factor, float *to)
{
    const size_t k = (size_t)linear->shape.k;
    memset(to, 0, (size_t)linear->shape.n_channels * k * sizeof(*to));
    for (int32_t row = 0; row < linear->n_rows; row++) {
        const int32_t o = linear->row_channel[row];
        for (int32_t j = 0; j < linear->shape.k; j++)
            to[(size_t)o * k + (size_t)j] +=
                (float)(linear->step[row] * linear->weights[(size_t)row * k + (size_t)j] *
                        factor[nw_linear_input_channel(&linear->shape, o, j)]);
    }
}

static void place_layer(const nw_learned *learned, nw_gradient *student, int32_t node)
{
    nw_node_scheme *linear = &learned->scheme->nodes[node];
    const double *factor = learned->scheme->tensors[learned->scheme->model->nodes[node].inputs[0]].factor;
    const layer *from = &learned->layers[node];
    nw_gradient_linear *to = &student->linears[node];
    const size_t k = (size_t)linear->shape.k;
    for (int32_t o = 0; from->weights.n && o < linear->shape.n_channels; o++) {
        const bool other = o % linear->shape.group_outputs == 0; /* inputs than the channel before */
        for (int32_t j = 0; other && j < linear->shape.k; j++)
            learned->factor[j] = (float)factor[nw_linear_input_channel(&linear->shape, o, j)];
        place_row(linear, learned->factor, from->step[o], from->weights.value + (size_t)o * k, o,
                  to->weights + (size_t)o * k);
    }
    if (!from->weights.n)
        show_rows(linear, factor, to->weights);
    for (int32_t o = 0; o < linear->shape.n_channels; o++)
        linear->bias[o] = (double)from->bias.value[o];
    for (int32_t o = 0; o < linear->shape.n_channels; o++)
        to->bias[o] = (float)nw_scheme_bias(learned->scheme, node, o);
}

nw_status nw_learned_place(nw_learned *learned, nw_gradient *student, nw_error *error)
{
    const nw_scheme *scheme = learned->scheme;
    place_steps(learned);
    NW_TRY(nw_scheme_limits(learned->scheme, error));
    for (int32_t t = 0; t < scheme->model->n_tensors; t++)
        if (student->tensors[t].rounded)
            show_steps(&student->tensors[t], &scheme->tensors[t]);
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        if (student->linears[i].weights)
            place_layer(learned, student, i);
    return NW_OK;
}

/* updates */

/** Gradient by the step's numbers: its own channels', or the sum over all that share the grid. */
static const float *step_gradient(nw_learned *learned, const nw_gradient *student, int32_t t)
{
    const step *of = &learned->steps[t];
    const nw_scheme *scheme = learned->scheme;
    double sum = 0.0;
    for (int32_t u = t; u < scheme->model->n_tensors; u++) {
        const nw_gradient_tensor *x = &student->tensors[u];
        for (int32_t c = 0; x->rounded && scheme->tensors[u].group == scheme->tensors[t].group && c < x->channels;
             c++) {
            sum += x->step_gradient[c];
            if (of->factor)
                learned->gradient[c] = (float)x->step_gradient[c];
        }
    }
    if (!of->factor)
        learned->gradient[0] = (float)sum;
    return learned->gradient;
}

/** Weights multiply what the bias takes out of their inputs too. */
static void take_offsets_out(const nw_learned *learned, const nw_gradient_linear *linear, int32_t input)
{
    const double *offset = learned->scheme->tensors[input].offset;
    for (int32_t o = 0; o < linear->shape.n_channels; o++)
        for (int32_t j = 0; j < linear->shape.k; j++)
            linear->weight_gradient[o * linear->shape.k + j] -=
                linear->bias_gradient[o] * (float)offset[nw_linear_input_channel(&linear->shape, o, j)];
}

void nw_learned_update(nw_learned *learned, const nw_gradient *student, float weight_rate, float rate, int32_t update)
{
    const nw_model *model = learned->scheme->model;
    for (int32_t i = 0; i < model->n_nodes; i++) {
        layer *l = &learned->layers[i];
        if (l->weights.n && nw_activation_is_noisy(learned->scheme->tensors[model->nodes[i].inputs[0]].kind))
            take_offsets_out(learned, &student->linears[i], model->nodes[i].inputs[0]);
        nw_adam_update(&l->bias, student->linears[i].bias_gradient, rate, update);
        nw_adam_update(&l->weights, student->linears[i].weight_gradient, weight_rate, update);
    }
    for (int32_t t = 0; t < model->n_tensors; t++)
        if (learned->steps[t].log.n)
            nw_adam_update(&learned->steps[t].log, step_gradient(learned, student, t), rate, update);
}

static void over_all(nw_learned *learned, void (*visit)(nw_adam *adam))
{
    for (int32_t i = 0; i < learned->scheme->model->n_nodes; i++) {
        visit(&learned->layers[i].weights);
        visit(&learned->layers[i].bias);
    }
    for (int32_t t = 0; t < learned->scheme->model->n_tensors; t++)
        visit(&learned->steps[t].log);
}

void nw_learned_keep(nw_learned *learned)
{
    over_all(learned, nw_adam_keep);
}

void nw_learned_restore(nw_learned *learned)
{
    over_all(learned, nw_adam_restore);
}
