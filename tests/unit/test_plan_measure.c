/* SPDX-License-Identifier: Apache-2.0 */
/* Measured damage: what it must be for a layer alone, that it adds up, and that shards make the same file. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "float/engine.h"
#include "model/file.h"
#include "plan/measure_together.h"
#include "plan/narrowing.h"
#include "plan/search.h"
#include "plan/state.h"
#include "quant_graphs.h"

#define SAMPLES 24

typedef struct fixture {
    nw_model *model;
    nw_calibration *calibration;
    nw_quantize_options options;
    nw_trials *trials;
} fixture;

/**
 * Three convolutions, one across a residual, and a classifier of five classes. @param points  share of further points
 */
static fixture make_with(double points)
{
    graph_random random = {17};
    fixture f = {.model = graph_create(4, 10), .options = NW_QUANTIZE_DEFAULTS};
    f.options.point_budget = points;
    const graph_layer first = {8, 3, 1, 1, 1, 0.0f, INFINITY, NW_NONE, false};
    const int32_t a = graph_linear(f.model, &random, 0, "first", first);
    const graph_layer second = {8, 3, 1, 1, 1, 0.0f, INFINITY, NW_NONE, false};
    const int32_t b = graph_linear(f.model, &random, a, "second", second);
    const graph_layer third = {8, 3, 1, 1, 1, 0.0f, INFINITY, a, false};
    const int32_t c = graph_linear(f.model, &random, b, "third", third);
    const graph_layer last = {5, 10, 1, 0, 1, -INFINITY, INFINITY, NW_NONE, false};
    const int32_t d = graph_linear(f.model, &random, c, "last", last);
    graph_finish(f.model, graph_unary(f.model, NW_OP_SOFTMAX, d, "softmax", 4, (int32_t[]){1, 5, 1, 1}));
    f.model->nodes[f.model->n_nodes - 1].axis = 1;
    f.calibration = graph_calibrate(f.model, SAMPLES, 8);
    nw_error error = {""};
    if (nw_trials_create(&f.trials, f.model, f.calibration, &f.options, &error))
        fail_msg("%s", error.message);
    return f;
}

static fixture make(void)
{
    return make_with(0.0);
}

static void drop(fixture *f)
{
    nw_trials_free(f->trials);
    nw_calibration_free(f->calibration);
    nw_model_free(f->model);
}

static nw_measurement *measure(fixture *f, nw_measure_options options)
{
    nw_error error = {""};
    nw_measurement *m = NULL;
    const float *samples = f->calibration->kept[0];
    if (nw_measurement_create(&m, f->model, f->trials, &options, &error) ||
        nw_measure(m, f->model, f->trials, &samples, f->calibration->n_kept, &options, &error))
        fail_msg("%s", error.message);
    m->fingerprint = nw_state_fingerprint(f->model, &samples, f->calibration->n_kept, &f->options);
    return m;
}

static void widths_hurt_as_they_should(void **state)
{
    (void)state;
    fixture f = make();
    nw_measure_options options = NW_MEASURE_DEFAULTS;
    options.tensors = options.robustness = true;
    nw_measurement *m = measure(&f, options);
    assert_int_equal(m->n, 4 + 4); /* layers; the input and three inner tensors */
    assert_int_equal(m->n_samples, SAMPLES / 2);
    assert_int_equal(m->n_classes, 5);
    assert_true(m->margin > 0.0 && m->signal > 0.0);
    for (int32_t i = 0; i < m->n; i++) {
        const nw_measured *row = &m->rows[i];
        assert_true(nw_measurement_has(m, i));
        /* about 6 dB per bit: from 3 to 7 bits 256 times less noise */
        const double ratio = row->at[3].noise / row->at[7].noise;
        if (!row->tensor)
            assert_true(ratio > 60.0 && ratio < 1500.0);
        assert_true(row->at[2].noise > row->at[4].noise && row->at[4].noise > row->at[7].noise);
        assert_true(row->at[2].divergence > row->at[6].divergence);
        /* the noise that changes a tenth of the answers is more than 8 bits make, and less than what there is */
        assert_true(row->drop_noise > 10.0 * row->at[8].noise && row->drop_noise < 10.0 * m->signal);
    }
    nw_measurement_free(m);
    drop(&f);
}

/** Noise of all layers at once, all tensors float, on the samples of the measurement. */
static double noise_together(const fixture *f, int32_t bits)
{
    nw_error error = {""};
    nw_model *tail = nw_last_features(f->model);
    nw_float_engine *engine = NULL;
    const float *samples = f->calibration->kept[0];
    float clean[SAMPLES * 5];
    float noisy[SAMPLES * 5];
    float *to = clean;
    assert_int_equal(nw_float_create(&engine, tail, SAMPLES, &error), NW_OK);
    assert_int_equal(nw_float_run(engine, &samples, &to, &error), NW_OK);
    /* inputs of all layers in the float network */
    for (int32_t i = 0; i < f->model->n_nodes; i++) {
        if (!nw_trials_is_layer(f->trials, i))
            continue;
        const nw_node *node = &f->model->nodes[i];
        const nw_tensor *weights = &f->model->tensors[node->inputs[1]];
        const nw_tensor *x = &f->model->tensors[node->inputs[0]];
        float *input = malloc(nw_tensor_elements(x) * SAMPLES * sizeof(*input));
        float *rounded = malloc(nw_tensor_elements(weights) * sizeof(*rounded));
        float bias[16];
        nw_model *head = nw_model_copy(f->model);
        nw_float_engine *prefix = NULL;
        head->outputs[0] = node->inputs[0];
        assert_int_equal(nw_float_create(&prefix, head, SAMPLES, &error), NW_OK);
        assert_int_equal(nw_float_run(prefix, &samples, &input, &error), NW_OK);
        /* rounded on the second half of the samples, looked at on the first */
        assert_int_equal(nw_trials_open(f->trials, i, SAMPLES / 2, &error), NW_OK);
        assert_int_equal(nw_trials_see(f->trials, input + SAMPLES / 2 * nw_tensor_elements(x), SAMPLES / 2, &error),
                         NW_OK);
        assert_int_equal(nw_trials_round(f->trials, bits, 0, rounded, bias, &error), NW_OK);
        assert_int_equal(nw_float_set_weights(engine, i, rounded, bias, &error), NW_OK);
        nw_float_free(prefix);
        nw_model_free(head);
        free(input);
        free(rounded);
    }
    to = noisy;
    assert_int_equal(nw_float_run(engine, &samples, &to, &error), NW_OK);
    double noise = 0.0;
    for (int32_t i = 0; i < SAMPLES / 2 * 5; i++)
        noise += ((double)noisy[i] - (double)clean[i]) * ((double)noisy[i] - (double)clean[i]);
    nw_float_free(engine);
    nw_model_free(tail);
    return noise / (SAMPLES / 2);
}

static nw_damage together_of(fixture *f, nw_measurement *m, const int32_t *choices)
{
    nw_error error = {""};
    nw_damage damage = {0};
    const float *samples = f->calibration->kept[0];
    if (nw_measure_together(&damage, m, choices, f->model, f->trials, &samples, f->calibration->n_kept, &error))
        fail_msg("%s", error.message);
    return damage;
}

static void noise_adds_up(void **state)
{
    (void)state;
    fixture f = make();
    const nw_measure_options options = NW_MEASURE_DEFAULTS;
    nw_measurement *m = measure(&f, options);
    for (int32_t bits = 4; bits <= 6; bits++) {
        double sum = 0.0;
        for (int32_t i = 0; i < m->n; i++)
            sum += m->rows[i].at[bits].noise;
        const double together = noise_together(&f, bits);
        assert_true(together > 0.75 * sum && together < 1.25 * sum);
        const nw_damage measured = together_of(&f, m, (int32_t[]){bits, bits, bits, bits});
        assert_true(fabs(measured.noise - together) < 1e-5 * together);
    }
    nw_measurement_free(m);
    drop(&f);
}

/** A row at 2 bits among rows at 8 makes what it makes alone, give or take the noises of the others. */
static void together_is_what_one_row_makes(void **state)
{
    (void)state;
    fixture f = make();
    nw_measure_options options = NW_MEASURE_DEFAULTS;
    options.tensors = true;
    nw_measurement *m = measure(&f, options);
    assert_int_equal(m->n, 8);
    for (int32_t i = 0; i < m->n; i++) {
        int32_t choices[8];
        double others = 0.0;
        for (int32_t j = 0; j < m->n; j++) {
            choices[j] = j == i ? 2 : 8;
            others += j == i ? 0.0 : sqrt(m->rows[j].at[8].noise);
        }
        const double own = m->rows[i].at[2].noise;
        const nw_damage sum = nw_measurement_sum(m, choices);
        const nw_damage together = together_of(&f, m, choices);
        assert_true(others < 0.3 * sqrt(own));
        assert_true(fabs(sqrt(together.noise) - sqrt(own)) < others);
        assert_true(sum.noise > own && sum.noise < 1.02 * own);
        assert_int_equal(together.n, SAMPLES / 2);
    }
    nw_measurement_free(m);
    drop(&f);
}

static nw_bytes file_of(const nw_measurement *m)
{
    nw_bytes bytes = {0};
    char name[] = "narrow-state-XXXXXX";
    assert_true(mkstemp(name) >= 0);
    assert_int_equal(nw_state_write(m, name, NULL), NW_OK);
    assert_int_equal(nw_bytes_read(&bytes, name, NW_BYTES_LIMIT, NULL), NW_OK);
    nw_measurement *again = NULL;
    assert_int_equal(nw_state_read(&again, name, NULL), NW_OK);
    assert_int_equal(nw_state_write(again, name, NULL), NW_OK);
    nw_bytes second = {0};
    assert_int_equal(nw_bytes_read(&second, name, NW_BYTES_LIMIT, NULL), NW_OK);
    assert_int_equal(bytes.size, second.size);
    assert_memory_equal(bytes.data, second.data, bytes.size);
    nw_bytes_free(&second);
    nw_measurement_free(again);
    unlink(name);
    return bytes;
}

static void shards_make_the_whole(void **state)
{
    (void)state;
    fixture f = make();
    nw_measure_options options = NW_MEASURE_DEFAULTS;
    options.tensors = true;
    nw_measurement *whole = measure(&f, options);
    nw_measurement *parts[3];
    options.n_shards = 3;
    for (options.shard = 0; options.shard < 3; options.shard++)
        parts[options.shard] = measure(&f, options);
    assert_int_equal(nw_state_absorb(parts[2], parts[0], "part", NULL), NW_OK);
    char *missing = nw_state_missing(parts[2]);
    assert_non_null(missing);
    assert_non_null(strstr(missing, "second"));
    assert_null(strstr(missing, "first"));
    free(missing);
    assert_int_equal(nw_state_absorb(parts[2], parts[1], "part", NULL), NW_OK);
    assert_null(nw_state_missing(parts[2]));
    nw_bytes a = file_of(whole);
    nw_bytes b = file_of(parts[2]);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    nw_error error = {""};
    parts[0]->fingerprint++;
    assert_int_equal(nw_state_absorb(parts[2], parts[0], "part", &error), NW_ERROR_DATA);
    assert_non_null(strstr(error.message, "another network"));
    nw_bytes_free(&a);
    nw_bytes_free(&b);
    for (int32_t i = 0; i < 3; i++)
        nw_measurement_free(parts[i]);
    nw_measurement_free(whole);
    drop(&f);
}

/**
 * Drop that falls with the mean width: a goal between two widths can be met or not, and is met as tightly as can be.
 */
static nw_status judge(void *context, const nw_model *integer, nw_verdict *verdict, nw_error *error)
{
    (void)error;
    double bits = 0.0;
    double n = 0.0;
    for (int32_t i = 0; i < integer->n_nodes; i++)
        if (integer->nodes[i].linear) {
            const double size = (double)integer->nodes[i].linear->n_rows * integer->nodes[i].linear->k;
            bits += size * integer->nodes[i].linear->weight_bits;
            n += size;
        }
    (*(int32_t *)context)++;
    *verdict = (nw_verdict){0.5 * exp2(-bits / n), NAN, NAN};
    return NW_OK;
}

static size_t real_size(const nw_model *model)
{
    nw_bytes bytes = {0};
    assert_int_equal(nw_model_serialize(&bytes, model, NULL), NW_OK);
    const size_t size = bytes.size;
    nw_bytes_free(&bytes);
    return size;
}

static void goals(void **state)
{
    (void)state;
    fixture f = make();
    const nw_measure_options options = NW_MEASURE_DEFAULTS;
    nw_measurement *m = measure(&f, options);
    int32_t judged = 0;
    const nw_search_task task = {.model = f.model, .calibration = f.calibration, .options = &f.options,
                                 .measurement = m, .kind = nw_damage_default(m), .judge = judge, .context = &judged};
    nw_search *search = NULL;
    assert_int_equal(nw_search_create(&search, &task, NULL), NW_OK);
    nw_front_point points[6];
    int32_t n = 6;
    assert_int_equal(nw_search_front(points, &n, search, NULL), NW_OK);
    assert_true(n >= 4 && points[0].mean_bits == 2.0 && points[n - 1].mean_bits > 7.0);
    for (int32_t i = 1; i < n; i++)
        assert_true(points[i].bytes > points[i - 1].bytes && points[i].damage < points[i - 1].damage);

    /* a size: not a byte more, and not far below */
    const double middle = 0.5 * ((double)points[0].bytes + (double)points[n - 1].bytes);
    nw_found found = {0}, dry = {0};
    const nw_goals size = {.bytes = middle, .drop = -1.0};
    assert_int_equal(nw_search_run(&found, search, &size, false, NULL), NW_OK);
    assert_int_equal(nw_search_run(&dry, search, &size, true, NULL), NW_OK);
    assert_true(found.met && found.bytes == real_size(found.model) && (double)found.bytes <= middle);
    assert_true((double)found.bytes > 0.85 * middle);
    assert_int_equal(found.bytes, dry.bytes); /* counted as it came out */
    assert_null(dry.model);
    nw_found_clear(&dry);
    nw_found_clear(&found);
    const nw_goals impossible = {.bytes = 100.0, .drop = -1.0};
    assert_int_equal(nw_search_run(&found, search, &impossible, false, NULL), NW_OK);
    assert_false(found.met);
    for (int32_t i = 0; i < m->n; i++)
        assert_int_equal(found.choices[i], 2);
    nw_found_clear(&found);

    /* a drop that about 4 bits meet */
    judged = 0;
    const nw_goals lost = {.drop = 0.5 * exp2(-4.0)};
    assert_int_equal(nw_search_run(&found, search, &lost, false, NULL), NW_OK);
    assert_true(found.met && found.verdict.drop <= lost.drop && found.verdict.drop > 0.7 * lost.drop);
    assert_int_equal(found.tried, judged);
    assert_true(judged <= 8);
    const nw_goals hopeless = {.drop = 0.0};
    nw_found_clear(&found);
    assert_int_equal(nw_search_run(&found, search, &hopeless, false, NULL), NW_OK);
    assert_true(!found.met && found.model);
    nw_found_clear(&found);
    nw_search_free(search);
    nw_measurement_free(m);
    drop(&f);
}

/** Times of all widths: `slope` of them falls with the bits, and 2 bits are a little faster than that by chance. */
static void fill_times(nw_times *times, nw_time_by_bits *layers, const nw_model *model, double slope)
{
    *times = (nw_times){.n_nodes = model->n_nodes, .layers = layers, .rest = 1.0};
    for (int32_t i = 0; i < model->n_nodes; i++)
        for (int32_t b = 2; b <= 8; b++)
            layers[i][b] = 1.0 - slope * (8 - b) / 6.0 - (b == 2 ? 0.004 : 0.0);
}

/** A time that nothing keeps costs no width that brings no time, and every width that does. */
static void missed_time(void **state)
{
    (void)state;
    fixture f = make();
    const nw_measure_options options = NW_MEASURE_DEFAULTS;
    nw_measurement *m = measure(&f, options);
    nw_time_by_bits *layers = calloc((size_t)f.model->n_nodes, sizeof(*layers));
    assert_non_null(layers);
    nw_times times;
    const nw_search_task task = {.model = f.model, .calibration = f.calibration, .options = &f.options,
                                 .measurement = m, .times = &times, .kind = nw_damage_default(m)};
    nw_search *search = NULL;
    nw_found found = {0};
    const nw_goals goal = {.seconds = 0.1, .drop = -1.0};
    assert_int_equal(nw_search_create(&search, &task, NULL), NW_OK);
    for (int32_t steep = 0; steep < 2; steep++) {
        fill_times(&times, layers, f.model, steep ? 0.5 : 0.0);
        assert_int_equal(nw_search_run(&found, search, &goal, true, NULL), NW_OK);
        assert_false(found.met);
        const double fastest = 1.0 + m->n * (steep ? 0.496 : 0.996);
        assert_true(found.seconds <= NW_NEAR_FASTEST * fastest);
        int32_t narrow = 0;
        for (int32_t i = 0; i < m->n; i++)
            narrow += found.choices[i] < 8;
        assert_true(steep ? narrow >= m->n - 1 : narrow == 0);
        nw_found_clear(&found);
    }
    /* one that the fastest alone keeps is met, not missed by 2 % */
    const nw_goals tight = {.seconds = 1.0 + m->n * 0.496 + 1e-9, .drop = -1.0};
    assert_int_equal(nw_search_run(&found, search, &tight, true, NULL), NW_OK);
    assert_true(found.met);
    nw_found_clear(&found);
    nw_search_free(search);
    free(layers);
    nw_measurement_free(m);
    drop(&f);
}

static uint64_t narrowed_layers(const nw_found *found, int32_t n)
{
    uint64_t set = 0;
    for (int32_t i = 0; i < n; i++)
        set |= (uint64_t)nw_choice_is_narrowed(found->choices[i]) << i;
    return set;
}

/** Rows narrowed for 16-bit sums are choices of layers that they make faster, and the plan says which have them. */
static void narrowed_rows_are_choices(void **state)
{
    (void)state;
    fixture f = make();
    const nw_measure_options options = NW_MEASURE_DEFAULTS;
    nw_measurement *m = measure(&f, options);
    const float *samples = f.calibration->kept[0];
    const uint32_t widths = 1u << 8 | 1u << 6;
    uint32_t wanted[4] = {widths, widths, 0, 0}, asked[4];
    assert_int_equal(
        nw_narrowing_measure(m, wanted, f.model, f.trials, &samples, f.calibration->n_kept, NULL, NULL, NULL), NW_OK);
    for (int32_t i = 0; i < m->n; i++) {
        assert_int_equal(m->rows[i].narrowed, wanted[i]);
        assert_true(m->rows[i].at[nw_choice_narrow(7)].n == 0);
        if (wanted[i]) /* coarser than 8 bits, finer than 5 */
            assert_true(m->rows[i].at[nw_choice_narrow(8)].noise > m->rows[i].at[8].noise &&
                        m->rows[i].at[nw_choice_narrow(8)].noise < m->rows[i].at[5].noise);
    }
    nw_bytes file = file_of(m); /* written, read, written: the same */
    assert_non_null(strstr((const char *)file.data, "\"narrowed\""));
    nw_bytes_free(&file);

    nw_time_by_bits *layers = calloc((size_t)f.model->n_nodes, 2 * sizeof(*layers));
    assert_non_null(layers);
    nw_times times, faster;
    fill_times(&times, layers, f.model, 0.0);
    fill_times(&faster, layers + f.model->n_nodes, f.model, 0.0);
    for (int32_t i = 1; i < m->n; i++) /* not the first layer */
        faster.layers[m->rows[i].index][8] = 0.5;
    const nw_search_task task = {.model = f.model, .calibration = f.calibration, .options = &f.options,
                                 .measurement = m, .kind = nw_damage_default(m)};
    nw_search *search = NULL;
    nw_found found = {0};
    assert_int_equal(nw_search_create(&search, &task, NULL), NW_OK);
    nw_search_set_times(search, &times, &faster);
    nw_search_narrowing(search, asked);
    for (int32_t i = 0; i < m->n; i++)
        assert_int_equal(asked[i], i > 0 ? 1u << 8 : 0u);
    nw_search_narrowed(search);
    const nw_goals ample = {.seconds = 1.0 + m->n, .drop = -1.0};
    assert_int_equal(nw_search_run(&found, search, &ample, true, NULL), NW_OK);
    assert_true(found.met && narrowed_layers(&found, m->n) == 0);
    nw_found_clear(&found);
    const nw_goals tight = {.seconds = 1.0 + m->n - 0.4, .drop = -1.0};
    assert_int_equal(nw_search_run(&found, search, &tight, false, NULL), NW_OK);
    assert_true(found.met && narrowed_layers(&found, m->n) == 1u << 1);
    assert_true(fabs(found.seconds - (1.0 + m->n - 0.5)) < 1e-9);
    for (int32_t i = 0; i < m->n; i++) {
        const nw_plan_layer *row = &found.plan->layers[i];
        assert_int_equal(row->accumulator, i == 1 ? (int32_t)NW_ACCUMULATOR_16 : NW_PLAN_UNSAID);
        assert_true((strstr(row->why, "\"narrowed\"") != NULL) == (i == 1));
    }
    int32_t sums = 0;
    for (int32_t i = 0; i < found.model->n_nodes; i++)
        sums += found.model->nodes[i].linear && found.model->nodes[i].linear->accumulator == NW_ACCUMULATOR_16;
    assert_int_equal(sums, 1);
    nw_found_clear(&found);
    nw_search_free(search);
    free(layers);
    nw_measurement_free(m);
    drop(&f);
}

/** DQA's extra bits lessen the damage of every tensor but the input, which cannot have them; a state keeps it. */
static void extra_bits_are_choices(void **state)
{
    (void)state;
    fixture f = make();
    nw_error error = {""};
    nw_measure_options options = NW_MEASURE_DEFAULTS;
    options.tensors = true;
    nw_trials_free(f.trials);
    f.options.activation_kind = NW_ACTIVATION_DQA;
    assert_int_equal(nw_trials_create(&f.trials, f.model, f.calibration, &f.options, &error), NW_OK);
    nw_measurement *m = measure(&f, options);
    for (int32_t i = 4; i < m->n; i++) {
        const nw_measured *row = &m->rows[i];
        assert_true(row->tensor && row->extended == (i > 4));
        for (int32_t b = NW_LEAST_BITS; row->extended && b <= 4; b++)
            assert_true(row->at[nw_choice_extend(b)].noise < 0.95 * row->at[b].noise);
    }
    nw_bytes file = file_of(m);
    assert_non_null(strstr((const char *)file.data, "with_scheme"));
    nw_bytes_free(&file);
    nw_measurement_free(m);
    drop(&f);
}

/** Points lessen the damage, and the network gets them where they were chosen, and only there. */
static void points_are_choices(void **state)
{
    (void)state;
    fixture f = make_with(0.3);
    const nw_measure_options options = NW_MEASURE_DEFAULTS;
    nw_measurement *m = measure(&f, options);
    double with = 0.0, without = 0.0;
    for (int32_t i = 0; i < m->n; i++) {
        assert_int_equal(m->rows[i].extra_points, 2); /* 0.3 of 8 or 5 channels */
        for (int32_t b = NW_LEAST_BITS; b <= NW_MOST_EXTENDED_BITS; b++) {
            with += m->rows[i].at[nw_choice_extend(b)].noise;
            without += m->rows[i].at[b].noise;
            assert_true(m->rows[i].coded[nw_choice_extend(b)] > m->rows[i].coded[b]);
        }
    }
    assert_true(with < 0.9 * without);
    nw_bytes file = file_of(m); /* written, read, written: the same */
    nw_bytes_free(&file);
    /* two layers for which nothing else will do */
    for (int32_t i = 1; i < 3; i++)
        m->rows[i].at[nw_choice_extend(2)].divergence = 0.0;
    const nw_search_task task = {.model = f.model, .calibration = f.calibration, .options = &f.options,
                                 .measurement = m, .kind = NW_DAMAGE_DIVERGENCE};
    nw_search *search = NULL;
    nw_found found = {0};
    const nw_goals goal = {.bytes = 1e6, .drop = -1.0};
    assert_int_equal(nw_search_create(&search, &task, NULL), NW_OK);
    assert_int_equal(nw_search_run(&found, search, &goal, false, NULL), NW_OK);
    int32_t layer = 0;
    for (int32_t i = 0; i < found.model->n_nodes; i++) {
        const nw_linear *linear = found.model->nodes[i].linear;
        if (!linear)
            continue;
        const bool pointed = layer == 1 || layer == 2;
        assert_int_equal(found.choices[layer], pointed ? nw_choice_extend(2) : 8);
        assert_int_equal(linear->weight_bits, pointed ? 2 : 8);
        assert_int_equal(linear->n_rows, (layer < 3 ? 8 : 5) + (pointed ? 2 : 0));
        layer++;
    }
    assert_int_equal(layer, 4);
    nw_found_clear(&found);
    nw_search_free(search);
    nw_measurement_free(m);
    drop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_hurt_as_they_should),
        cmocka_unit_test(noise_adds_up),
        cmocka_unit_test(together_is_what_one_row_makes),
        cmocka_unit_test(shards_make_the_whole),
        cmocka_unit_test(goals),
        cmocka_unit_test(missed_time),
        cmocka_unit_test(narrowed_rows_are_choices),
        cmocka_unit_test(points_are_choices),
        cmocka_unit_test(extra_bits_are_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
