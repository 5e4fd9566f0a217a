/* SPDX-License-Identifier: Apache-2.0 */
/* DQA's greedy search: with kept prefixes it finds what whole runs of the network find, and the quantizer follows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "float/engine.h"
#include "plan/ranking.h"
#include "plan/yardstick.h"
#include "quant/trial.h"
#include "quant_graphs.h"

#define SAMPLES 24
#define CLASSES 10
#define SHARE 0.4

/** A tensor rounded to 3 bits but for one channel; -1: none. */
typedef struct one {
    const nw_model *model;
    nw_trials *trials;
    int32_t spared;
} one;

static void round_one(void *context, int32_t tensor, float *data, size_t n_elements)
{
    const one *o = context;
    const size_t channels = (size_t)nw_tensor_channels(&o->model->tensors[tensor]);
    const size_t plane = n_elements / (SAMPLES * channels);
    float *real = malloc(n_elements * sizeof(*real));
    memcpy(real, data, n_elements * sizeof(*real));
    assert_int_equal(nw_trials_round_tensor(o->trials, 3, false, tensor, SAMPLES, data, n_elements, NULL), NW_OK);
    for (size_t i = 0; i < n_elements; i++)
        if (i / plane % channels == (size_t)o->spared)
            data[i] = real[i];
    free(real);
}

typedef struct score {
    int32_t channel;
    double changed, divergence;
} score;

static int best_first(const void *a, const void *b)
{
    const score *x = a;
    const score *y = b;
    if (x->changed < y->changed || x->changed > y->changed)
        return x->changed < y->changed ? -1 : 1;
    return x->divergence < y->divergence ? -1 : x->divergence > y->divergence;
}

static const nw_plan_tensor *row_of(const nw_plan *plan, const char *name)
{
    for (int32_t i = 0; i < plan->n_tensors; i++)
        if (strcmp(plan->tensors[i].key.name, name) == 0)
            return &plan->tensors[i];
    return NULL;
}

static nw_quantize_options dqa(void)
{
    nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
    options.activation_bits = 4;
    options.activation_kind = NW_ACTIVATION_DQA;
    options.share = SHARE;
    options.learn_updates = 0;
    options.ranking = NW_RANKING_ACCURACY;
    return options;
}

/** The search from its definition: the whole network for every channel. */
static void check_by_whole_runs(const nw_model *model, const nw_calibration *calibration, const nw_plan *plan,
                                const int32_t *counts, const nw_quantize_options *options)
{
    nw_float_engine *engine;
    nw_trials *trials;
    nw_yardstick yardstick;
    one *ones = calloc((size_t)model->n_tensors, sizeof(*ones));
    float z[SAMPLES * CLASSES];
    float *to = z;
    assert_int_equal(nw_float_create(&engine, model, SAMPLES, NULL), NW_OK);
    assert_int_equal(nw_trials_create(&trials, model, calibration, options, NULL), NW_OK);
    assert_int_equal(nw_yardstick_init(&yardstick, &model->tensors[model->outputs[0]], SAMPLES), NW_OK);
    const float *samples = calibration->kept[0];
    assert_int_equal(nw_float_run(engine, &samples, &to, NULL), NW_OK);
    nw_yardstick_set(&yardstick, 0, SAMPLES, z);
    nw_yardstick_settle(&yardstick);
    int32_t n_ranked = 0;
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const int32_t t = model->nodes[i].output;
        const int32_t n = nw_tensor_channels(&model->tensors[t]);
        const nw_plan_tensor *row = row_of(plan, model->tensors[t].name);
        assert_int_equal(row != NULL, counts[t] != NW_NONE);
        if (!row)
            continue;
        score *scores = calloc((size_t)n, sizeof(*scores));
        ones[t] = (one){model, trials, 0};
        assert_int_equal(nw_float_edit(engine, t, round_one, &ones[t], NULL), NW_OK);
        for (int32_t c = 0; c < n; c++) {
            nw_damage sums = {0};
            ones[t].spared = c;
            assert_int_equal(nw_float_run(engine, &samples, &to, NULL), NW_OK);
            nw_yardstick_add(&yardstick, &sums, 0, SAMPLES, z);
            const nw_damage damage = nw_damage_mean(&sums);
            scores[c] = (score){c, damage.changed, damage.divergence};
        }
        qsort(scores, (size_t)n, sizeof(*scores), best_first);
        ones[t].spared = scores[0].channel;
        assert_int_equal(row->n_channels, (int32_t)floor(SHARE * n));
        for (int32_t c = 0; c < row->n_channels; c++) {
            bool found = false;
            for (int32_t k = 0; k < row->n_channels; k++)
                found = found || row->channels[k] == scores[c].channel;
            if (!found)
                fail_msg("%s: channel %d is missing", model->tensors[t].name, (int)scores[c].channel);
            assert_true(c == 0 || row->channels[c] > row->channels[c - 1]);
        }
        free(scores);
        n_ranked++;
    }
    assert_true(n_ranked >= 5);
    nw_yardstick_clear(&yardstick);
    nw_trials_free(trials);
    nw_float_free(engine);
    free(ones);
}

static void count(void *context, int64_t done, int64_t total)
{
    int64_t *last = context;
    assert_true(done == *last + 1 && done <= total);
    *last = done;
}

static void finds_what_whole_runs_find(void **state)
{
    (void)state;
    nw_model *model = graph_zoo(5);
    nw_calibration *calibration = graph_calibrate(model, SAMPLES, 8);
    nw_quantize_options options = dqa();
    nw_plan *plan = nw_plan_create();
    nw_error error = {""};
    nw_plan_tensor *given;
    int32_t *counts = malloc((size_t)model->n_tensors * sizeof(*counts));
    int64_t done = 0;
    assert_int_equal(calibration->n_kept, SAMPLES);
    assert_int_equal(nw_important_counts(counts, model, calibration, &options, &error), NW_OK);
    if (nw_rank_channels(plan, model, calibration, &options, count, &done, &error))
        fail_msg("%s", error.message);
    int64_t channels = 0;
    for (int32_t t = 0; t < model->n_tensors; t++)
        channels += counts[t] == NW_NONE ? 0 : nw_tensor_channels(&model->tensors[t]);
    assert_int_equal(done, channels);
    check_by_whole_runs(model, calibration, plan, counts, &options);
    /* the quantizer follows, and a tensor whose channels are given is not ranked */
    options.plan = plan;
    nw_model *integer = NULL;
    assert_int_equal(nw_quantize(&integer, model, calibration, &options, &error), NW_OK);
    for (int32_t t = 0; t < integer->n_tensors; t++) {
        const nw_plan_tensor *row = row_of(plan, integer->tensors[t].name);
        for (int32_t i = 0; row && i < row->n_channels; i++)
            assert_int_equal(integer->tensors[t].quant.shift ? integer->tensors[t].quant.shift[row->channels[i]] : 0,
                             0);
    }
    nw_model_free(integer);
    nw_plan_free(plan);
    plan = nw_plan_create();
    options.plan = plan;
    assert_int_equal(nw_plan_add_tensor(&given, plan, "stem", false, NULL), NW_OK);
    given->channels = calloc(1, sizeof(*given->channels));
    given->n_channels = 1;
    assert_int_equal(nw_rank_channels(plan, model, calibration, &options, NULL, NULL, &error), NW_OK);
    for (int32_t i = 1; i < plan->n_tensors; i++)
        assert_string_not_equal(plan->tensors[i].key.name, "stem");
    assert_true(plan->n_tensors > 4);
    nw_plan_free(plan);
    free(counts);
    nw_calibration_free(calibration);
    nw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_what_whole_runs_find)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
