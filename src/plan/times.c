/* SPDX-License-Identifier: Apache-2.0 */
/* See times.h. */
#define _POSIX_C_SOURCE 200809L
#include "plan/times.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "model/json.h"
#include "plan/cost.h"
#include "runtime/engine.h"

#define LEAST 2
#define MOST 8
#define WARM_UP 2
#define QUIET 4 /* a quarter of the rounds is no slower than what is taken for the time */
#define LEAST_ROUNDS 31
#define MOST_ROUNDS 1001
#define MAX_BYTES (64u << 20)
#define MAX_NODES 100000

typedef struct timing {
    nw_model *models[MOST + 1];   /* owned */
    nw_engine *engines[MOST + 1]; /* owned */
    uint64_t *samples[MOST + 1];  /* [n_nodes, rounds] owned, nanoseconds */
    double *whole[MOST + 1];      /* [rounds] owned, seconds without clocks between the nodes */
    int32_t rounds;
    bool packed;
    float *input;    /* owned */
    float **outputs; /* owned */
    uint64_t *nanoseconds; /* [n_nodes] owned */
} timing;

void nw_times_free(nw_times *times)
{
    if (!times)
        return;
    free(times->layers);
    free(times);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void clear(timing *t)
{
    for (int32_t i = 0; t->outputs && t->models[MOST] && i < t->models[MOST]->n_outputs; i++)
        free(t->outputs[i]);
    for (int32_t b = LEAST; b <= MOST; b++) {
        nw_engine_free(t->engines[b]);
        nw_model_free(t->models[b]);
        free(t->samples[b]);
        free(t->whole[b]);
    }
    free(t->outputs);
    free(t->input);
    free(t->nanoseconds);
}

static nw_status make_network(timing *t, int32_t bits, const nw_model *model, const nw_calibration *calibration,
                              const nw_quantize_options *options, nw_error *error)
{
    nw_quantize_options quick = nw_quickest(options);
    const nw_engine_options storage = {.storage = t->packed ? NW_STORAGE_PACKED : NW_STORAGE_BYTES};
    quick.plan = options->plan;
    quick.weight_bits = bits;
    quick.border_bits = 0;
    NW_TRY(nw_quantize(&t->models[bits], model, calibration, &quick, error));
    return nw_engine_create_with(&t->engines[bits], t->models[bits], &storage, error);
}

/** Inputs like those of `narrow bench`, and room for outputs. */
static nw_status make_data(timing *t, nw_error *error)
{
    const nw_model *model = t->models[MOST];
    const size_t n = nw_tensor_elements(&model->tensors[model->inputs[0]]);
    t->input = malloc(n * sizeof(float) + 1);
    t->outputs = calloc((size_t)model->n_outputs, sizeof(*t->outputs));
    t->nanoseconds = malloc((size_t)model->n_nodes * sizeof(uint64_t) + 1);
    bool done = t->input && t->outputs && t->nanoseconds;
    for (size_t i = 0; done && i < n; i++)
        t->input[i] = (float)((i * 2654435761u >> 8) % 2001) * 0.001f - 1.0f;
    for (int32_t i = 0; done && i < model->n_outputs; i++) {
        t->outputs[i] = malloc(nw_tensor_elements(&model->tensors[model->outputs[i]]) * sizeof(float) + 1);
        done = t->outputs[i] != NULL;
    }
    return done ? NW_OK : nw_fail_memory(error, "timing");
}

/** The first run finds the caches full of the other widths' weights, which a network that runs alone never does. */
static nw_status run_once(timing *t, int32_t bits, int32_t round)
{
    const nw_input input = {.values = t->input};
    const nw_run_options plain = {0};
    const nw_run_options clocked = {.node_nanoseconds = t->nanoseconds};
    const size_t n = (size_t)t->models[bits]->n_nodes;
    NW_TRY(nw_engine_run_with(t->engines[bits], &input, t->outputs, &plain));
    const double start = now();
    NW_TRY(nw_engine_run_with(t->engines[bits], &input, t->outputs, &plain));
    const double whole = now() - start;
    memset(t->nanoseconds, 0, n * sizeof(uint64_t));
    NW_TRY(nw_engine_run_with(t->engines[bits], &input, t->outputs, &clocked));
    if (round < 0)
        return NW_OK;
    t->whole[bits][round] = whole;
    for (size_t i = 0; i < n; i++)
        t->samples[bits][i * (size_t)t->rounds + (size_t)round] = t->nanoseconds[i];
    return NW_OK;
}

static nw_status run_round(timing *t, int32_t round)
{
    for (int32_t b = LEAST; b <= MOST; b++)
        NW_TRY(run_once(t, b, round));
    return NW_OK;
}

/** Warms up, and decides by the time that takes how many rounds there will be. */
static nw_status choose_rounds(timing *t, double seconds, nw_error *error)
{
    double least = INFINITY;
    for (int32_t round = -WARM_UP; round < 0; round++) {
        const double start = now();
        NW_TRY(run_round(t, round));
        least = fmin(least, now() - start);
    }
    t->rounds = (int32_t)fmin(fmax(seconds / fmax(least, 1e-9), LEAST_ROUNDS), MOST_ROUNDS);
    for (int32_t b = LEAST; b <= MOST; b++) {
        t->samples[b] = malloc((size_t)t->models[b]->n_nodes * (size_t)t->rounds * sizeof(uint64_t) + 1);
        t->whole[b] = malloc((size_t)t->rounds * sizeof(double));
        if (!t->samples[b] || !t->whole[b])
            return nw_fail_memory(error, "timing");
    }
    return NW_OK;
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/** Time of a node in a quiet round, in seconds: neighbours on the machine only ever make it longer. */
static double node_time(const timing *t, int32_t bits, int32_t node)
{
    uint64_t *samples = t->samples[bits] + (size_t)node * (size_t)t->rounds;
    qsort(samples, (size_t)t->rounds, sizeof(*samples), compare_times);
    return 1e-9 * (double)samples[t->rounds / QUIET];
}

/** Layers by width; what a whole run takes beyond them, as the mean over widths. */
static void gather(nw_times *times, const timing *t, const int32_t *node_of)
{
    times->rest = 0.0;
    for (int32_t b = LEAST; b <= MOST; b++) {
        qsort(t->whole[b], (size_t)t->rounds, sizeof(double), compare_doubles);
        double layers = 0.0;
        for (int32_t i = 0; i < times->n_nodes; i++) {
            if (node_of[i] == NW_NONE)
                continue;
            times->layers[i][b] = node_time(t, b, node_of[i]);
            layers += times->layers[i][b];
        }
        times->rest += (t->whole[b][t->rounds / QUIET] - layers) / (MOST - LEAST + 1);
    }
    times->rest = fmax(times->rest, 0.0);
}

static nw_times *create(int32_t n_nodes)
{
    nw_times *times = calloc(1, sizeof(*times));
    if (!times)
        return NULL;
    times->n_nodes = n_nodes;
    times->layers = calloc((size_t)n_nodes + 1, sizeof(*times->layers));
    if (times->layers)
        return times;
    nw_times_free(times);
    return NULL;
}

nw_status nw_times_measure(nw_times **out, const nw_model *model, const nw_calibration *calibration,
                           const nw_quantize_options *options, bool packed, double seconds, nw_error *error)
{
    timing t = {.packed = packed};
    nw_times *times = create(model->n_nodes);
    int32_t *node_of = malloc(((size_t)model->n_nodes + 1) * sizeof(*node_of));
    nw_status status = times && node_of ? NW_OK : nw_fail_memory(error, "timing");
    for (int32_t b = LEAST; !status && b <= MOST; b++)
        status = make_network(&t, b, model, calibration, options, error);
    if (!status)
        status = make_data(&t, error);
    if (!status)
        status = choose_rounds(&t, seconds, error);
    for (int32_t round = 0; !status && round < t.rounds; round++)
        status = run_round(&t, round);
    if (!status) {
        nw_match_nodes(node_of, model, t.models[MOST]);
        gather(times, &t, node_of);
        *out = times;
        times = NULL;
    }
    clear(&t);
    free(node_of);
    nw_times_free(times);
    return status;
}

/* files */

static bool add_layers(cJSON *document, const nw_times *times)
{
    cJSON *layers = cJSON_AddArrayToObject(document, "layers");
    for (int32_t i = 0; layers && i < times->n_nodes; i++) {
        if (!(times->layers[i][MOST] > 0.0))
            continue;
        cJSON *row = cJSON_CreateObject();
        cJSON *seconds = cJSON_CreateDoubleArray(times->layers[i] + LEAST, MOST - LEAST + 1);
        if (!row || !cJSON_AddItemToArray(layers, row) || !cJSON_AddNumberToObject(row, "index", i) || !seconds ||
            !cJSON_AddItemToObject(row, "seconds", seconds))
            return false;
    }
    return layers != NULL;
}

nw_status nw_times_write(const nw_times *times, const char *path, const char *key, nw_error *error)
{
    cJSON *document = cJSON_CreateObject();
    const bool done = cJSON_AddStringToObject(document, "key", key) &&
                      cJSON_AddNumberToObject(document, "rest", times->rest) && add_layers(document, times);
    char *text = done ? cJSON_PrintUnformatted(document) : NULL;
    cJSON_Delete(document);
    if (!text)
        return nw_fail_memory(error, "writing times");
    const nw_piece pieces[] = {{text, strlen(text)}, {"\n", 1}};
    const nw_status status = nw_file_write(path, pieces, 2, error);
    cJSON_free(text);
    return status;
}

static bool read_layer(nw_times *times, const cJSON *row)
{
    static const char *const keys[] = {"index", "seconds"};
    const cJSON *items[2];
    int32_t index;
    if (nw_json_match(items, row, keys, 2, "times", NULL) || !nw_json_int(&index, items[0], 0, times->n_nodes - 1) ||
        nw_json_length(items[1], MOST) != MOST - LEAST + 1)
        return false;
    for (int32_t b = LEAST; b <= MOST; b++) {
        const cJSON *seconds = cJSON_GetArrayItem(items[1], b - LEAST);
        if (!cJSON_IsNumber(seconds) || !(seconds->valuedouble >= 0.0 && seconds->valuedouble < 1e6))
            return false;
        times->layers[index][b] = seconds->valuedouble;
    }
    return true;
}

static bool read_all(nw_times *times, const cJSON *document, const char *key)
{
    static const char *const keys[] = {"key", "rest", "layers"};
    const cJSON *items[3];
    if (nw_json_match(items, document, keys, 3, "times", NULL) || !cJSON_IsString(items[0]) ||
        strcmp(items[0]->valuestring, key) != 0 || !cJSON_IsNumber(items[1]) ||
        !(items[1]->valuedouble >= 0.0 && items[1]->valuedouble < 1e6) ||
        nw_json_length(items[2], MAX_NODES) < 0)
        return false;
    times->rest = items[1]->valuedouble;
    const cJSON *row;
    cJSON_ArrayForEach(row, items[2])
        if (!read_layer(times, row))
            return false;
    return true;
}

nw_status nw_times_read(nw_times **out, const char *path, const char *key, int32_t n_nodes, nw_error *error)
{
    nw_bytes file = {0};
    cJSON *document = NULL;
    nw_times *times = create(n_nodes);
    nw_status status = times ? nw_bytes_read(&file, path, MAX_BYTES, error) : nw_fail_memory(error, "reading times");
    if (!status)
        status = nw_json_parse(&document, (const char *)file.data, file.size, 6, path, error);
    if (!status && !read_all(times, document, key))
        status = nw_fail(error, NW_ERROR_DATA, "%s: are times of something else", path);
    cJSON_Delete(document);
    nw_bytes_free(&file);
    if (status)
        nw_times_free(times);
    else
        *out = times;
    return status;
}
