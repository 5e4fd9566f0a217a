/* SPDX-License-Identifier: Apache-2.0 */
/* See learn.h. Between quantize.c and gradient.h, learned.h. */
#include "quant/learn.h"

#include <math.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/clones.h"
#include "float/onednn.h"
#include "quant/gradient.h"
#include "quant/learned.h"

/* Chosen on training pictures that calibration did not see, output SQNR in dB of mobilenetv2-cifar10 at W8A3, 9.1
 * before: 400 updates at 0.001, 0.003, 0.01: 10.4, 10.7, 10.3; without the blocks' share of the loss 10.3, with five
 * times of it 10.7; steps of whole tensors only 10.4, no steps 10.2; pictures also mirrored 10.7, half of them blended
 * 10.7; offsets for signed channels too 10.8; 1,600 updates, mirrored and blended, 11.2. At W8A4 14.6 before, 15.5. */
#define RATE 0.003
#define WEIGHT_RATE 0.0055 /* over the root of the loss that learning begins with, at most RATE: the less there is to be
                              made good for, the more do large moves spoil. With DQA at W8A4 19.3 before, after 1,000
                              updates at 0.003 19.4, at 0.001 19.8; at W8A3 10.3 before, 700 at 0.003 10.8, at 0.001
                              10.2 */
#define MOST_BATCH 16
#define BATCH_BYTES ((size_t)256 << 20) /* of activations and their gradients */
#define PART_BYTES ((size_t)48 << 20)   /* of what is played at a time, about what a cache holds */
#define AUTO_UPDATES 1200
#define AUTO_MACS 2.4e12 /* most multiply-accumulates that updates may take without being asked for */
#define AUTO_BITS 6      /* most bits of activations that ask for it */
#define JUDGE_SHARE 8    /* one of so many samples judges, but at most */
#define MOST_JUDGES 128
#define PASSES 4.0       /* forward, backward (two of them), the float network's forward */

typedef struct learning {
    const nw_scheme *scheme;
    nw_gradient *student, *teacher;
    nw_learned *learned;
    float *weight; /* [n_tensors] of the tensor's mean squared difference in the loss */
    double *losses; /* [2, n_judge / part] of those that judge, part by part: before, after */
    int32_t *order; /* [n_pool] of samples: first those to learn from, then those that judge */
    int32_t next, n_learn, n_judge;
    double weight_rate; /* before it falls */
    uint64_t random;
    int32_t batch, part, updates; /* samples of an update, samples played at a time */
    nw_error *error;
} learning;

/* the loss */

/** Whether gradients end at the tensor: an output, or read by a node that they do not pass. */
static bool is_end(const learning *l, int32_t t)
{
    const nw_model *model = l->scheme->model;
    for (int32_t i = 0; i < model->n_outputs; i++)
        if (model->outputs[i] == t)
            return true;
    for (int32_t i = 0; i < model->n_nodes; i++)
        for (int32_t j = 0; j < model->nodes[i].n_inputs; j++)
            if (model->nodes[i].inputs[j] == t && l->scheme->nodes[i].mode != NW_MODE_DEAD &&
                !l->student->tensors[model->nodes[i].output].computed)
                return true;
    return false;
}

/** Mean variance of the tensor's channels. */
static double power_of(const nw_scheme *scheme, int32_t t)
{
    double sum = 0.0;
    for (int32_t c = 0; c < scheme->tensors[t].n_channels; c++)
        sum += nw_channel_variance(&scheme->calibration->tensors[t], c);
    return sum / fmax(scheme->tensors[t].n_channels, 1.0);
}

static void weigh(learning *l)
{
    const nw_scheme *scheme = l->scheme;
    int32_t blocks = 0;
    for (int32_t t = 0; t < scheme->model->n_tensors; t++)
        blocks += l->student->tensors[t].computed && nw_scheme_ends_block(scheme, t);
    for (int32_t t = 0; t < scheme->model->n_tensors; t++) {
        const double power = l->student->tensors[t].computed ? power_of(scheme, t) : 0.0;
        if (!(power > 0.0) || nw_model_producer(scheme->model, t) == NW_NONE)
            continue;
        const double share = nw_scheme_ends_block(scheme, t) ? 1.0 / blocks : 0.0;
        l->weight[t] = (float)(((is_end(l, t) ? 1.0 : 0.0) + share) / power);
    }
}

NW_CLONES static void add_differences(const nw_gradient_tensor *x, const float *restrict y, size_t n, float factor)
{
    float *restrict gradient = x->gradient;
    const float *restrict value = x->value;
    const float *restrict offset = x->offset;
    for (size_t i = 0; i < n; i += (size_t)x->channels)
        for (size_t c = 0; c < (size_t)x->channels; c++)
            gradient[i + c] += factor * (value[i + c] - offset[c] - y[i + c]);
}

/** Adds the loss' derivatives to the student's gradients. */
static void set_gradients(const learning *l)
{
    for (int32_t t = 0; t < l->scheme->model->n_tensors; t++) {
        const nw_gradient_tensor *x = &l->student->tensors[t];
        const size_t all = x->elements * (size_t)l->batch;
        if (all && l->weight[t] > 0.0f)
            add_differences(x, l->teacher->tensors[t].value, x->elements * (size_t)l->part,
                            2.0f * l->weight[t] / (float)all);
    }
}

/** The loss of what was played last. */
static double loss_of(const learning *l)
{
    double loss = 0.0;
    for (int32_t t = 0; t < l->scheme->model->n_tensors; t++) {
        const nw_gradient_tensor *x = &l->student->tensors[t];
        const size_t n = x->elements * (size_t)l->part;
        const float *y = l->teacher->tensors[t].value;
        double sum = 0.0;
        for (size_t i = 0; l->weight[t] > 0.0f && i < n; i++) {
            const double d = (double)(x->value[i] - x->offset[i % (size_t)x->channels] - y[i]);
            sum += d * d;
        }
        loss += n ? (double)l->weight[t] * sum / (double)n : 0.0;
    }
    return loss;
}

/* updates */

/** splitmix64. */
static uint64_t random_of(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void shuffle(learning *l, int32_t n)
{
    for (int32_t i = n - 1; i > 0; i--) {
        const int32_t j = (int32_t)(random_of(&l->random) % (uint64_t)(i + 1));
        const int32_t held = l->order[i];
        l->order[i] = l->order[j];
        l->order[j] = held;
    }
}

static void set_sample(const learning *l, int32_t s, int32_t number)
{
    const nw_model *model = l->scheme->model;
    for (int32_t i = 0; i < model->n_inputs; i++) {
        const float *x = l->scheme->calibration->pool[i] +
                         (size_t)number * nw_tensor_elements(&model->tensors[model->inputs[i]]);
        nw_gradient_input(l->student, i, s, x);
        nw_gradient_input(l->teacher, i, s, x);
    }
}

/** The next samples to learn from, which begin anew in another order when they are through. */
static void take_part(learning *l)
{
    for (int32_t s = 0; s < l->part; s++) {
        if (l->next == l->n_learn) {
            shuffle(l, l->n_learn);
            l->next = 0;
        }
        set_sample(l, s, l->order[l->next++]);
    }
}

static nw_status update(learning *l, int32_t number)
{
    NW_TRY(nw_learned_place(l->learned, l->student, l->error));
    nw_gradient_clear_sums(l->student);
    for (int32_t i = 0; i < l->batch; i += l->part) {
        take_part(l);
        NW_TRY(nw_gradient_forward(l->teacher));
        NW_TRY(nw_gradient_forward(l->student));
        nw_gradient_clear(l->student);
        set_gradients(l);
        NW_TRY(nw_gradient_backward(l->student));
    }
    const double fallen = 0.5 * (1.0 + cos(3.14159265358979 * number / l->updates));
    nw_learned_update(l->learned, l->student, (float)(l->weight_rate * fallen), (float)(RATE * fallen), number);
    return NW_OK;
}

/** Losses of the samples that judge, part by part. @param losses  [n_judge / part] */
static nw_status judge(learning *l, double *losses)
{
    NW_TRY(nw_learned_place(l->learned, l->student, l->error));
    for (int32_t i = 0; i < l->n_judge; i += l->part) {
        for (int32_t s = 0; s < l->part; s++)
            set_sample(l, s, l->order[l->n_learn + i + s]);
        NW_TRY(nw_gradient_forward(l->teacher));
        NW_TRY(nw_gradient_forward(l->student));
        losses[i / l->part] = loss_of(l);
    }
    return NW_OK;
}

/** What is played at a time: a share of the batch that leaves what layers hand on in a cache. */
static int32_t part_of(const nw_scheme *scheme, int32_t batch)
{
    int32_t part = batch;
    while (part % 2 == 0 && nw_gradient_sample_size(scheme) * (size_t)part > PART_BYTES)
        part /= 2;
    return part;
}

static nw_status prepare(learning *l, nw_scheme *scheme)
{
    const int32_t n_pool = scheme->calibration->n_pool;
    l->weight = calloc((size_t)scheme->model->n_tensors + 1, sizeof(*l->weight));
    l->order = malloc(((size_t)n_pool + 1) * sizeof(*l->order));
    l->losses = calloc(2 * (size_t)MOST_JUDGES, sizeof(*l->losses));
    if (!l->weight || !l->order || !l->losses)
        return NW_ERROR_MEMORY;
    for (int32_t i = 0; i < n_pool; i++)
        l->order[i] = i;
    l->random = scheme->options->seed;
    shuffle(l, n_pool);
    l->n_judge = nw_min32(n_pool / JUDGE_SHARE, MOST_JUDGES) / l->part * l->part;
    l->n_learn = n_pool - l->n_judge;
    l->next = l->n_learn;
    NW_TRY(nw_gradient_create(&l->student, scheme, l->part, true));
    NW_TRY(nw_gradient_create(&l->teacher, scheme, l->part, false));
    NW_TRY(nw_learned_create(&l->learned, scheme, l->student));
    weigh(l);
    return NW_OK;
}

/**
 * Mean of the losses before; *rise: the mean of what those after are above them; *doubt: its standard error.
 * @param losses  [2, n]
 */
static double compare(const double *losses, int32_t n, double *rise, double *doubt)
{
    double sum = 0.0, rises = 0.0, squares = 0.0;
    for (int32_t i = 0; i < n; i++) {
        const double difference = losses[n + i] - losses[i];
        sum += losses[i];
        rises += difference;
        squares += difference * difference;
    }
    *rise = rises / fmax(n, 1.0);
    *doubt = n > 1 ? sqrt(fmax(squares / n - *rise * *rise, 0.0) / (n - 1)) : 0.0;
    return sum / fmax(n, 1.0);
}

/** What was learned stays unless samples that it did not see like it less than what was there before, beyond doubt. */
static nw_status run(learning *l)
{
    const int32_t n = l->n_judge / l->part;
    double rise, doubt;
    NW_TRY(judge(l, l->losses));
    const double before = compare(l->losses, n, &rise, &doubt);
    nw_learned_keep(l->learned);
    l->weight_rate = l->n_judge > 0 ? fmin(RATE, WEIGHT_RATE * sqrt(before)) : RATE;
    for (int32_t i = 1; i <= l->updates; i++)
        NW_TRY(update(l, i));
    NW_TRY(judge(l, l->losses + n));
    compare(l->losses, n, &rise, &doubt);
    if (!(rise <= doubt))
        nw_learned_restore(l->learned);
    return nw_learned_place(l->learned, l->student, l->error);
}

static nw_status learn(nw_scheme *scheme, int32_t batch, int32_t updates, nw_error *error)
{
    learning l = {
        .scheme = scheme, .batch = batch, .part = part_of(scheme, batch), .updates = updates, .error = error};
    const int32_t threads = nw_dnn_threads();
    nw_dnn_set_threads(1); /* one order of sums, whatever the number */
    nw_status status = prepare(&l, scheme);
    if (!status)
        status = run(&l);
    nw_dnn_set_threads(threads);
    nw_gradient_free(l.student);
    nw_gradient_free(l.teacher);
    nw_learned_free(l.learned);
    free(l.weight);
    free(l.order);
    free(l.losses);
    return status == NW_ERROR_MEMORY ? nw_fail_memory(error, "learning") : status;
}

/* whether and for how long */

static int32_t batch_of(const nw_scheme *scheme)
{
    const size_t fit = BATCH_BYTES / (nw_gradient_sample_size(scheme) + 1);
    return fit > MOST_BATCH ? MOST_BATCH : fit < 1 ? 1 : (int32_t)fit;
}

static bool plans_sums(const nw_scheme *scheme)
{
    for (int32_t i = 0; i < scheme->model->n_nodes; i++) {
        const nw_accumulator accumulator = scheme->nodes[i].accumulator;
        if (scheme->nodes[i].mode == NW_MODE_LINEAR &&
            (accumulator == NW_ACCUMULATOR_16 || accumulator == NW_ACCUMULATOR_16_WRAP))
            return true;
    }
    return false;
}

/** Without being asked: narrow activations, and everything else done as well as can be. */
static int32_t auto_updates(const nw_scheme *scheme, int32_t batch)
{
    const nw_quantize_options *options = scheme->options;
    bool narrow = false;
    double macs = 1.0;
    for (int32_t t = 0; t < scheme->model->n_tensors; t++)
        narrow = narrow || (nw_learned_moves(scheme, t) &&
                            scheme->tensors[t].grid.bits - scheme->tensors[t].extra_bits <= AUTO_BITS);
    for (int32_t i = 0; i < scheme->model->n_nodes; i++)
        macs += (double)nw_node_macs(scheme->model, &scheme->model->nodes[i]);
    if (!narrow || plans_sums(scheme) || scheme->calibration->n_pool < 1 || nw_scheme_has_points(scheme) ||
        options->rounding != NW_ROUND_REFINE || options->activation_range != NW_RANGE_OUTPUT ||
        options->bias_correction != NW_BIAS_CORRECTION_EMPIRICAL)
        return 0;
    return (int32_t)fmin(AUTO_UPDATES, AUTO_MACS / (PASSES * macs * batch));
}

void nw_scheme_learn_updates(nw_scheme *scheme)
{
    const int32_t asked = scheme->options->learn_updates;
    scheme->learn_updates = asked == NW_LEARN_AUTO ? auto_updates(scheme, batch_of(scheme)) : asked;
}

nw_status nw_scheme_learn(nw_scheme *scheme, nw_error *error)
{
    if (scheme->learn_updates < 1)
        return NW_OK;
    if (scheme->calibration->n_pool < 1)
        return nw_fail(error, NW_ERROR_USAGE, "learning needs a calibration that keeps a pool of samples");
    if (plans_sums(scheme))
        return nw_fail(error, NW_ERROR_USAGE, "learning and sums planned for 16 bits exclude each other");
    return learn(scheme, batch_of(scheme), scheme->learn_updates, error);
}
