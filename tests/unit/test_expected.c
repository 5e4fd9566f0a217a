/* SPDX-License-Identifier: Apache-2.0 */
/* Expected losses of changed answers: against a world in which the float network's probabilities are true. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/expected.h"
#include "quant_graphs.h"

#define CLASSES 5
#define SAMPLES 4000

typedef struct world {
    float answers[SAMPLES * CLASSES], others[SAMPLES * CLASSES];
    int label[SAMPLES];
} world;

static double uniform(graph_random *random)
{
    return 0.5 + 0.5 * (double)graph_uniform(random);
}

/** Labels drawn with probability softmax(sharpness z); the other network's answers are disturbed ones. */
static world *make_world(double sharpness, double noise)
{
    graph_random random = {77u};
    world *w = malloc(sizeof(*w));
    assert_non_null(w);
    for (int i = 0; i < SAMPLES; i++) {
        double sum = 0.0;
        float *z = w->answers + i * CLASSES;
        for (int c = 0; c < CLASSES; c++) {
            z[c] = 3.0f * graph_uniform(&random);
            w->others[i * CLASSES + c] = z[c] + (float)noise * graph_uniform(&random);
            sum += exp(sharpness * (double)z[c]);
        }
        double at = uniform(&random) * sum;
        w->label[i] = CLASSES - 1;
        for (int c = 0; c < CLASSES; c++) {
            at -= exp(sharpness * (double)z[c]);
            if (at < 0.0) {
                w->label[i] = c;
                break;
            }
        }
    }
    return w;
}

static int largest(const float *z)
{
    int best = 0;
    for (int c = 1; c < CLASSES; c++)
        best = z[c] > z[best] ? c : best;
    return best;
}

/** Adds sample i of a world as one of a picture. */
static void add(nw_expected *expected, const world *w, size_t picture, size_t i, double sharpness)
{
    const float *answer = w->answers + i * CLASSES;
    const float *other = w->others + i * CLASSES;
    nw_expected_add(expected, picture, nw_expected_loss(answer, CLASSES, false, sharpness, other),
                    nw_margin_change(answer, CLASSES, false, other));
}

static void losses_are_those_of_labels(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        const double sharpness = (double[]){0.5, 1.0, 2.0}[round];
        world *w = make_world(sharpness, 1.5);
        nw_expected expected;
        double right = 0.0;
        double counted = 0.0;
        double counted_squares = 0.0;
        for (int i = 0; i < SAMPLES; i++) {
            const int was = largest(w->answers + i * CLASSES) == w->label[i];
            const int is = largest(w->others + i * CLASSES) == w->label[i];
            right += was / (double)SAMPLES;
            counted += (was - is) / (double)SAMPLES;
            counted_squares += (was - is) * (was - is) / (double)SAMPLES;
        }
        const double found = nw_sharpness_find(w->answers, SAMPLES, CLASSES, false, right);
        assert_true(fabs(found / sharpness - 1.0) < 0.1);
        assert_true(fabs(nw_sharpness_confidence(w->answers, SAMPLES, CLASSES, false, found) - right) < 1e-3);
        assert_int_equal(nw_expected_init(&expected, SAMPLES), NW_OK);
        for (int i = 0; i < SAMPLES; i++)
            add(&expected, w, (size_t)i, (size_t)i, found);
        const double counted_error = sqrt(counted_squares / SAMPLES);
        const double error = nw_expected_error(&expected, nw_expected_unseen(&expected, found));
        assert_true(counted > 3.0 * counted_error); /* or there would be nothing to tell */
        assert_true(fabs(nw_expected_mean(&expected) - counted) < 3.0 * counted_error);
        assert_true(error > 0.0 && error < 0.5 * counted_error);
        nw_expected_free(&expected);
        free(w);
    }
}

static void probabilities_and_logits(void **state)
{
    (void)state;
    const float logits[3] = {1.0f, 2.0f, -0.5f};
    const float other[3] = {2.0f, 1.0f, 0.0f};
    float p[3];
    const double sum = exp(1.0) + exp(2.0) + exp(-0.5);
    for (int c = 0; c < 3; c++)
        p[c] = (float)(exp((double)logits[c]) / sum);
    assert_true(fabs(nw_expected_loss(logits, 3, false, 1.0, other) - ((double)p[1] - (double)p[0])) < 1e-6);
    assert_true(fabs(nw_expected_loss(p, 3, true, 1.0, other) - ((double)p[1] - (double)p[0])) < 1e-6);
    assert_true(nw_expected_loss(logits, 3, false, 1.0, logits) == 0.0);
    float q[3]; /* the other network's, divided by its own sum */
    for (int c = 0; c < 3; c++)
        q[c] = (float)(exp((double)other[c]) / (exp(2.0) + exp(1.0) + 1.0));
    assert_true(fabs(nw_margin_change(logits, 3, false, other) - 2.0) < 1e-6);
    assert_true(fabs(nw_margin_change(p, 3, true, q) - 2.0) < 1e-5);
}

/** Samples of one picture are no news of others: its error is that of as many pictures. */
static void errors_are_over_pictures(void **state)
{
    (void)state;
    nw_expected once, often;
    assert_int_equal(nw_expected_init(&once, 4), NW_OK);
    assert_int_equal(nw_expected_init(&often, 4), NW_OK);
    for (size_t i = 0; i < 4; i++)
        for (int k = 0; k < 5; k++) {
            if (k == 0)
                nw_expected_add(&once, i, (double)i, 1.0);
            nw_expected_add(&often, i, (double)i, 1.0);
        }
    assert_true(fabs(nw_expected_mean(&often) - 1.5) < 1e-12);
    /* 0, 1, 2, 3 and 4 */
    assert_true(fabs(nw_expected_error(&often, 4.0) - sqrt(10.0 / 4.0 / 5.0)) < 1e-12);
    assert_true(fabs(nw_expected_error(&often, 4.0) - nw_expected_error(&once, 4.0)) < 1e-12);
    assert_true(fabs(nw_expected_unseen(&often, 3.0) - tanh(1.5)) < 1e-12);
    nw_expected_free(&once);
    nw_expected_free(&often);
}

/**
 * Groups of a few pictures, in which few answers change or none: the mean of all lies beyond two of a group's standard
 * errors about as often as it should. Without a picture that was not seen groups without a change would be sure.
 */
static void few_pictures_know_how_little_they_know(void **state)
{
    (void)state;
    world *w = make_world(1.0, 0.4);
    double all = 0.0;
    for (size_t i = 0; i < SAMPLES; i++)
        all += nw_expected_loss(w->answers + i * CLASSES, CLASSES, false, 1.0, w->others + i * CLASSES) / SAMPLES;
    for (int round = 0; round < 2; round++) {
        const size_t n = round ? 80 : 20;
        int beyond = 0, none = 0, alone = 0;
        double z_squares = 0.0;
        for (size_t group = 0; group < SAMPLES / n; group++) {
            nw_expected e;
            assert_int_equal(nw_expected_init(&e, n), NW_OK);
            for (size_t i = 0; i < n; i++)
                add(&e, w, i, group * n + i, 1.0);
            const double mean = nw_expected_mean(&e);
            const double z = (all - mean) / nw_expected_error(&e, nw_expected_unseen(&e, 1.0));
            none += mean == 0.0;
            beyond += z > 2.0;
            alone += all - mean > 2.0 * nw_expected_error(&e, mean); /* a picture like the others tells nothing new */
            z_squares += z * z / (double)(SAMPLES / n);
            nw_expected_free(&e);
        }
        assert_true(sqrt(z_squares) > 0.6 && sqrt(z_squares) < 1.2);
        assert_true((double)beyond * (double)n < 0.1 * SAMPLES);
        assert_true(round || (none > 10 && (double)alone * (double)n > 0.15 * SAMPLES));
    }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_labels),
        cmocka_unit_test(probabilities_and_logits),
        cmocka_unit_test(errors_are_over_pictures),
        cmocka_unit_test(few_pictures_know_how_little_they_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
