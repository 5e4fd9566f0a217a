/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzing of the readers of JSON files: plans, tables of `narrow tune`, states of `narrow plan`, cached times,
 * preprocessing. Every input goes to every reader, which must end with one sentence or with something that
 *     - reads back as the same text when it is printed (plans, states);
 *     - an engine can be built by and run with, for the same answer as without it (tables).
 * A table belongs to one CPU, version and network; in an input @cpu, @library and @network stand for those at hand.
 *
 *     fuzz_json -max_len=8192 corpus/ fuzz/seeds/json
 */
#define _XOPEN_SOURCE 700
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "kernels/cpu.h"
#include "model/preprocess.h"
#include "models/nw_random.h"
#include "narrow/narrow.h"
#include "plan/state.h"
#include "plan/times.h"
#include "quant/plan.h"
#include "runtime/tuning.h"

#define MODEL_SEED 7
#define MODEL_NODES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[4096]; /* of the input as a file, made anew for each */

static void demand(int good, const char *what, const nw_error *error)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, error->message);
    abort();
}

static void remove_file(void)
{
    unlink(path);
}

static void make_file(const char *data, size_t size)
{
    if (!path[0]) {
        const char *folder = getenv("TMPDIR");
        snprintf(path, sizeof(path), "%s/fuzz_json_XXXXXX", folder ? folder : P_tmpdir);
        const int descriptor = mkstemp(path);
        demand(descriptor >= 0 && !close(descriptor) && !atexit(remove_file), "no file", &(nw_error){"in TMPDIR"});
    }
    FILE *file = fopen(path, "wb");
    demand(file && fwrite(data, 1, size, file) == size && !fclose(file), "cannot be written", &(nw_error){"in TMPDIR"});
}

static void try_plan(const char *data, size_t size)
{
    nw_error error = {{0}};
    nw_plan *plan = NULL, *again = NULL;
    if (nw_plan_parse(&plan, data, size, "fuzzed.json", &error)) {
        demand(error.message[0] != '\0', "plan: failed without a sentence", &error);
        return;
    }
    char *first = nw_plan_print(plan);
    demand(first && nw_plan_parse(&again, first, strlen(first), "again.json", &error) == NW_OK,
           "plan: cannot be read again", &error);
    char *second = nw_plan_print(again);
    demand(second && !strcmp(first, second), "plan: differs when printed again", &error);
    free(first);
    free(second);
    nw_plan_free(plan);
    nw_plan_free(again);
}

static void try_state(void)
{
    nw_error error = {{0}};
    nw_measurement *state = NULL, *again = NULL;
    nw_bytes first = {0}, second = {0};
    if (nw_state_read(&state, path, &error)) {
        demand(error.message[0] != '\0', "state: failed without a sentence", &error);
        return;
    }
    demand(nw_state_write(state, path, &error) == NW_OK &&
               nw_bytes_read(&first, path, (size_t)1 << 26, &error) == NW_OK &&
               nw_state_read(&again, path, &error) == NW_OK && nw_state_write(again, path, &error) == NW_OK &&
               nw_bytes_read(&second, path, (size_t)1 << 26, &error) == NW_OK,
           "state: cannot be read again", &error);
    demand(first.size == second.size && !memcmp(first.data, second.data, first.size),
           "state: differs when written again", &error);
    (void)nw_state_absorb(again, state, "fuzzed.json", &error);
    free(nw_state_missing(again));
    nw_bytes_free(&first);
    nw_bytes_free(&second);
    nw_measurement_free(state);
    nw_measurement_free(again);
}

static void try_times(void)
{
    nw_error error = {{0}};
    nw_times *times = NULL;
    if (nw_times_read(&times, path, "key", 3, &error)) {
        demand(error.message[0] != '\0', "times: failed without a sentence", &error);
        return;
    }
    double sum = times->rest;
    for (int32_t i = 0; i < times->n_nodes; i++)
        for (int32_t bits = 2; bits <= 8; bits++)
            sum += times->layers[i][bits];
    demand(sum >= 0.0 && sum < 1e9, "times: not a time", &error);
    nw_times_free(times);
}

static void try_preprocess(const char *text)
{
    nw_error error = {{0}};
    nw_preprocess preprocess = {0}, again = {0};
    if (nw_preprocess_parse(&preprocess, text, "fuzzed.json", &error)) {
        demand(error.message[0] != '\0', "preprocessing: failed without a sentence", &error);
        return;
    }
    char *first = nw_preprocess_format(&preprocess);
    demand(first && nw_preprocess_parse(&again, first, "again.json", &error) == NW_OK,
           "preprocessing: cannot be read again", &error);
    char *second = nw_preprocess_format(&again);
    demand(second && !strcmp(first, second), "preprocessing: differs when written again", &error);
    free(first);
    free(second);
}

/* tables */

/** The text with each word's first occurrence replaced by what it stands for; to be freed. */
static char *fill_in(const char *text, const char *const words[][2], size_t n)
{
    char *filled = strdup(text);
    for (size_t i = 0; filled && i < n; i++) {
        char *at = strstr(filled, words[i][0]);
        if (!at)
            continue;
        char *next = malloc(strlen(filled) + strlen(words[i][1]) + 1);
        if (next)
            sprintf(next, "%.*s%s%s", (int)(at - filled), filled, words[i][1], at + strlen(words[i][0]));
        free(filled);
        filled = next;
    }
    return filled;
}

/** The answer to 0.25, -0.25, ..: the model's one output, to be freed. NULL where there is no such engine. */
static float *answer(const nw_model *model, const nw_engine_options *options)
{
    nw_engine *engine = NULL;
    const size_t n_in = nw_tensor_elements(&model->tensors[model->inputs[0]]);
    float *output = calloc(nw_tensor_elements(&model->tensors[model->outputs[0]]), sizeof(*output));
    float *values = malloc(n_in * sizeof(*values));
    for (size_t i = 0; values && i < n_in; i++)
        values[i] = i % 2 ? 0.25f : -0.25f;
    const nw_input input = {.values = values};
    const bool done = output && values && nw_engine_create_with(&engine, model, options, NULL) == NW_OK &&
                      nw_engine_run(engine, &input, &output, NULL) == NW_OK;
    nw_engine_free(engine);
    free(values);
    if (!done)
        free(output);
    return done ? output : NULL;
}

static void use_table(const nw_model *model, const nw_tuning *tuning)
{
    nw_error error = {{0}};
    nw_engine_options options = {.isa = "ref", .threads = 1};
    float *plain = answer(model, &options);
    nw_tuning_apply(&options, tuning);
    float *tuned = answer(model, &options);
    const size_t size = nw_tensor_elements(&model->tensors[model->outputs[0]]) * sizeof(*plain);
    demand(plain && tuned && !memcmp(plain, tuned, size), "table: another answer, or none", &error);
    free(plain);
    free(tuned);
    demand(nw_tuning_keep(tuning, path, NW_ISA_REF, &error) == NW_OK, "table: cannot be kept", &error);
}

static void try_table(const char *text)
{
    static nw_model *model;
    nw_error error = {{0}};
    char brand[64], network[17];
    if (!model)
        model = nw_random_model(MODEL_SEED, MODEL_NODES);
    demand(model && model->n_inputs == 1 && model->n_outputs == 1, "no model", &error);
    nw_cpu_brand(brand);
    snprintf(network, sizeof(network), "%016" PRIx64, nw_tuning_network(model));
    const char *const words[][2] = {{"@cpu", brand}, {"@library", NARROW_VERSION}, {"@network", network}};
    char *filled = fill_in(text, words, 3);
    demand(filled != NULL, "no memory", &error);
    make_file(filled, strlen(filled));
    nw_tuning tuning;
    if (nw_tuning_find(&tuning, path, model, NW_ISA_REF, 1, &error))
        demand(error.message[0] != '\0', "table: failed without a sentence", &error);
    else
        use_table(model, &tuning);
    nw_tuning_free(&tuning);
    free(filled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    try_plan(text, size);
    make_file(text, size);
    try_times();
    try_state();
    if (strlen(text) == size) {
        try_preprocess(text);
        try_table(text);
    }
    free(text);
    return 0;
}
