/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DQA paper's own setting, played in the float engine (Hu et al. 2024 and its authors' code): float weights, outputs
 * of blocks rounded on signed grids whose scales are taken per channel from the running batch. Every row is simulated;
 * the integer form is `narrow quantize --act-method dqa`.
 *
 *     dqa_paper MODEL.onnx PREPROCESS.json CALIB TEST BATCH output|accuracy
 *
 * Channels are ranked on the first BATCH pictures of CALIB: by the squared error that their rounding to 3 bits makes, weighed by
 * nothing (output), or as the authors do by the accuracy of the network whose other channels are rounded, block after
 * block with the best channel of earlier ones kept (accuracy). One row per width and method:
 *
 *     direct         q = clip(rint(a / d), -2^(n-1), 2^(n-1) - 1), d = max|a| / 2^(n-1), per channel
 *     NoisyQuant     as the authors implement it: one scale per tensor (100 clips), then one shift (100 values); by the
 *                    tensor's own squared error, where they take the next block's
 *     DQA            important channels with n + m bits, m = 3, a share of 0.4
 *     DQA, random    the mean over five choices
 *     direct n + 1   about as many bits
 *
 * Bits per value: n, and for important channels the Huffman code of the m low bits with its book (per channel and batch).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "data/dataset.h"
#include "float/engine.h"
#include "onnx/onnx.h"
#include "passes/passes.h"
#include "quant/scheme.h"

#define EXTRA 3
#define RANK_BITS 3
#define MAX_BLOCKS 64
#define SHARE 0.4

typedef enum method { FLOAT, DIRECT, NOISY, DQA } method;

typedef struct block {
    int32_t tensor, n_channels;
    uint8_t *important; /* [n_channels] */
    int32_t *order;     /* [n_channels] most important first */
} block;

typedef struct paper {
    nw_model *model;
    nw_dataset *calib, *test;
    nw_float_engine *engine;
    block blocks[MAX_BLOCKS];
    int32_t n_blocks, batch, bits;
    method method;
    int32_t n_active; /* blocks that are rounded; the others stay float */
    size_t n_out, classes;
    float *out, *reference;  /* [batch, n_out], [n_test, n_out] */
    double coded, values;    /* bits and values seen */
    float **captured;        /* [n_tensors] while ranking */
    int32_t capture_from;
} paper;

static nw_error error;

static void check(nw_status status)
{
    if (status) {
        fprintf(stderr, "dqa_paper: %s\n", error.message);
        exit(4);
    }
}

static void *take(size_t n)
{
    void *data = calloc(n ? n : 1, 1);
    if (!data) {
        fprintf(stderr, "dqa_paper: no memory\n");
        exit(5);
    }
    return data;
}

/* Huffman: bits of the stream and of the book (per leaf: length, code, symbol), at most 8 symbols. */
static double huffman_bits(const uint64_t *counts, int32_t n)
{
    double weight[16];
    int32_t parent[16], alive[16], n_nodes = 0, n_alive = 0, leaves = 0;
    for (int32_t i = 0; i < n; i++)
        if (counts[i]) {
            weight[n_nodes] = (double)counts[i];
            parent[n_nodes] = -1;
            alive[n_alive++] = n_nodes++;
        }
    leaves = n_nodes;
    if (leaves < 2)
        return 1.0 + EXTRA;
    while (n_alive > 1) {
        for (int32_t k = 0; k < 2; k++) /* the two lightest go to the end of the list */
            for (int32_t i = 0; i < n_alive - 1 - k; i++)
                if (weight[alive[i]] < weight[alive[n_alive - 1 - k]]) {
                    const int32_t swapped = alive[i];
                    alive[i] = alive[n_alive - 1 - k];
                    alive[n_alive - 1 - k] = swapped;
                }
        const int32_t a = alive[n_alive - 1], b = alive[n_alive - 2];
        weight[n_nodes] = weight[a] + weight[b];
        parent[n_nodes] = -1;
        parent[a] = parent[b] = n_nodes;
        n_alive -= 2;
        alive[n_alive++] = n_nodes++;
    }
    double bits = 0.0;
    for (int32_t i = 0; i < leaves; i++) {
        int32_t length = 0;
        for (int32_t at = i; parent[at] >= 0; at = parent[at])
            length++;
        bits += weight[i] * length + 2 * EXTRA + length;
    }
    return bits;
}

/** One channel of a batch to `bits` bits, A.3; counts the low bits of the codes if asked to. */
static void round_channel(float *x, size_t n_samples, size_t stride, size_t plane, int32_t bits, uint64_t *low)
{
    float largest = 0.0f;
    for (size_t s = 0; s < n_samples; s++)
        for (size_t i = 0; i < plane; i++)
            largest = fmaxf(largest, fabsf(x[s * stride + i]));
    const float top = (float)(1 << (bits - 1));
    const float step = largest / top;
    for (size_t s = 0; s < n_samples && largest > 0.0f; s++)
        for (size_t i = 0; i < plane; i++) {
            float *value = &x[s * stride + i];
            const float q = fminf(fmaxf(rintf(*value / step), -top), top - 1.0f);
            if (low)
                low[(uint32_t)(int32_t)q & ((1u << EXTRA) - 1u)]++;
            *value = q * step;
        }
}

static double tensor_error(const float *x, size_t n, float step, float top, float shift)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i += 1 + n / 20000) { /* a sample of the values is enough to choose by */
        const float q = fminf(fmaxf(rintf((x[i] + shift) / step), -top), top - 1.0f);
        const double rest = (double)(q * step - shift - x[i]);
        sum += rest * rest;
    }
    return sum;
}

static void round_noisy(float *x, size_t n, int32_t bits)
{
    const float top = (float)(1 << (bits - 1));
    float largest = 0.0f;
    for (size_t i = 0; i < n; i++)
        largest = fmaxf(largest, fabsf(x[i]));
    if (!(largest > 0.0f))
        return;
    double least = INFINITY;
    float step = largest / top, shift = 0.0f;
    for (int32_t i = 100; i >= 1; i--) {
        const float trial = largest * (float)i / 100.0f / top;
        const double e = tensor_error(x, n, trial, top, 0.0f);
        if (e < least) {
            least = e;
            step = trial;
        }
    }
    for (int32_t i = 0; i < 100; i++) {
        const float trial = step * ((float)i / 50.0f - 1.0f);
        const double e = tensor_error(x, n, step, top, trial);
        if (e < least) {
            least = e;
            shift = trial;
        }
    }
    for (size_t i = 0; i < n; i++)
        x[i] = fminf(fmaxf(rintf((x[i] + shift) / step), -top), top - 1.0f) * step - shift;
}

static void edit(void *context, int32_t tensor, float *data, size_t n)
{
    paper *p = context;
    int32_t at = 0;
    while (p->blocks[at].tensor != tensor)
        at++;
    const block *b = &p->blocks[at];
    if (p->method == FLOAT || at >= p->n_active)
        return;
    const size_t batch = (size_t)p->batch;
    const size_t plane = n / batch / (size_t)b->n_channels;
    p->values += (double)n;
    p->coded += (double)n * p->bits;
    if (p->method == NOISY) {
        round_noisy(data, n, p->bits);
        return;
    }
    for (int32_t c = 0; c < b->n_channels; c++) {
        float *x = data + (size_t)c * plane;
        const bool important = p->method == DQA && b->important[c];
        uint64_t low[1 << EXTRA] = {0};
        round_channel(x, batch, plane * (size_t)b->n_channels, plane, p->bits + (important ? EXTRA : 0), low);
        if (important)
            p->coded += huffman_bits(low, 1 << EXTRA);
    }
}

static size_t best_of(const float *out, size_t classes, size_t positions, size_t at)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (out[c * positions + at] > out[best * positions + at])
            best = c;
    return best;
}

static void read_batch(const paper *p, const nw_dataset *data, size_t first, float *x)
{
    const size_t n = nw_dataset_sample_size(data);
    for (size_t i = 0; i < (size_t)p->batch; i++)
        check(nw_dataset_tensor(data, first + i, x + i * n, &error));
}

typedef struct score {
    double top1, agreement, bits;
} score;

/** The network over all whole batches of the test pictures. */
static score evaluate(paper *p, method m, int32_t bits)
{
    const size_t n = nw_dataset_count(p->test) / (size_t)p->batch * (size_t)p->batch;
    const size_t positions = p->n_out / p->classes;
    float *x = take(nw_dataset_sample_size(p->test) * (size_t)p->batch * sizeof(*x));
    double right = 0.0, same = 0.0;
    p->method = m;
    p->bits = bits;
    p->n_active = p->n_blocks;
    p->coded = p->values = 0.0;
    for (size_t first = 0; first < n; first += (size_t)p->batch) {
        read_batch(p, p->test, first, x);
        check(nw_float_run(p->engine, (const float *const[]){x}, &p->out, &error));
        for (size_t i = 0; i < (size_t)p->batch; i++)
            for (size_t at = 0; at < positions; at++) {
                float *wanted = p->reference + (first + i) * p->n_out;
                const size_t answer = best_of(p->out + i * p->n_out, p->classes, positions, at);
                if (m == FLOAT)
                    memcpy(wanted, p->out + i * p->n_out, p->n_out * sizeof(*wanted));
                right += (int32_t)answer == nw_dataset_label(p->test, first + i);
                same += answer == best_of(wanted, p->classes, positions, at);
            }
    }
    free(x);
    const double all = (double)n * (double)positions;
    return (score){100.0 * right / all, 100.0 * same / all, p->values > 0.0 ? p->coded / p->values : 32.0};
}

/* ranking */

typedef struct ranked {
    double score;
    int32_t channel;
} ranked;

static int descending(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score ? 1 : -1) : y->channel - x->channel;
}

static void capture(void *context, int32_t tensor, const float *data, size_t n)
{
    paper *p = context;
    if (!nw_float_needs(p->engine, p->capture_from, p->model->n_nodes, tensor))
        return;
    free(p->captured[tensor]);
    p->captured[tensor] = take(n * sizeof(*data));
    memcpy(p->captured[tensor], data, n * sizeof(*data));
}

/** Scores of the channels of block `at`, earlier blocks keeping their best channel (authors), by one tail run each. */
static void score_block(paper *p, int32_t at, ranked *all, const float *x, bool by_accuracy)
{
    const block *b = &p->blocks[at];
    const size_t plane = nw_tensor_elements(&p->model->tensors[b->tensor]) / (size_t)b->n_channels;
    const size_t stride = plane * (size_t)b->n_channels, n = stride * (size_t)p->batch;
    p->method = DQA; /* earlier blocks: one channel is kept, here with 3 + 3 bits for the authors' float */
    p->bits = RANK_BITS;
    p->n_active = at;
    p->capture_from = nw_model_producer(p->model, b->tensor) + 1;
    nw_float_observe(p->engine, capture, p);
    check(nw_float_run(p->engine, (const float *const[]){x}, &p->out, &error));
    nw_float_observe(p->engine, NULL, NULL);
    float *raw = take(n * sizeof(*raw)), *low = take(n * sizeof(*low)), *mixed = take(n * sizeof(*mixed));
    memcpy(raw, p->captured[b->tensor], n * sizeof(*raw));
    memcpy(low, raw, n * sizeof(*low));
    for (int32_t c = 0; c < b->n_channels; c++)
        round_channel(low + (size_t)c * plane, (size_t)p->batch, stride, plane, RANK_BITS, NULL);
    nw_float_override *given = take((size_t)p->model->n_tensors * sizeof(*given));
    for (int32_t c = 0; c < b->n_channels; c++) {
        memcpy(mixed, low, n * sizeof(*mixed));
        double squares = 0.0, right = 0.0;
        for (size_t s = 0; s < (size_t)p->batch; s++)
            for (size_t i = 0; i < plane; i++) {
                const size_t k = s * stride + (size_t)c * plane + i;
                squares += (double)((raw[k] - low[k]) * (raw[k] - low[k]));
                mixed[k] = raw[k];
            }
        if (by_accuracy) {
            int32_t n_given = 0;
            for (int32_t t = 0; t < p->model->n_tensors; t++)
                if (p->captured[t])
                    given[n_given++] = (nw_float_override){t, t == b->tensor ? mixed : p->captured[t]};
            check(nw_float_run_from(p->engine, p->capture_from, p->model->n_nodes, given, n_given, &p->out, &error));
            for (size_t s = 0; s < (size_t)p->batch; s++)
                right += (int32_t)best_of(p->out + s * p->n_out, p->classes, 1, 0) == nw_dataset_label(p->calib, s);
        }
        /* ties by the larger error */
        all[c] = (ranked){by_accuracy ? right + squares / (1.0 + squares) * 0.5 : squares, c};
    }
    for (int32_t t = 0; t < p->model->n_tensors; t++) {
        free(p->captured[t]);
        p->captured[t] = NULL;
    }
    free(given);
    free(raw);
    free(low);
    free(mixed);
}

static void rank(paper *p, bool by_accuracy)
{
    float *x = take(nw_dataset_sample_size(p->calib) * (size_t)p->batch * sizeof(*x));
    p->captured = take((size_t)p->model->n_tensors * sizeof(*p->captured));
    read_batch(p, p->calib, 0, x);
    for (int32_t at = 0; at < p->n_blocks; at++) {
        block *b = &p->blocks[at];
        ranked *all = take((size_t)b->n_channels * sizeof(*all));
        score_block(p, at, all, x, by_accuracy);
        qsort(all, (size_t)b->n_channels, sizeof(*all), descending);
        for (int32_t c = 0; c < b->n_channels; c++)
            b->order[c] = all[c].channel;
        memset(b->important, 0, (size_t)b->n_channels);
        b->important[b->order[0]] = 1;
        free(all);
    }
    free(p->captured);
    free(x);
}

/** The first share of the order; seed 0: as ranked, else a shuffled order. */
static void choose(paper *p, double share, uint64_t seed)
{
    for (int32_t at = 0; at < p->n_blocks; at++) {
        block *b = &p->blocks[at];
        int32_t *order = take((size_t)b->n_channels * sizeof(*order));
        memcpy(order, b->order, (size_t)b->n_channels * sizeof(*order));
        for (int32_t c = b->n_channels - 1; seed && c > 0; c--) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            const int32_t other = (int32_t)((seed >> 33) % (uint64_t)(c + 1));
            const int32_t swapped = order[c];
            order[c] = order[other];
            order[other] = swapped;
        }
        memset(b->important, 0, (size_t)b->n_channels);
        for (int32_t c = 0; c < (int32_t)floor(share * b->n_channels); c++)
            b->important[order[c]] = 1;
        free(order);
    }
}

static void print_row(const char *name, int32_t bits, score s)
{
    printf("simulated | %s | %d bits | top-1 %.2f | agreement %.2f | %.2f bits per value\n", name, bits, s.top1,
           s.agreement, s.bits);
    fflush(stdout);
}

static void print_all(paper *p)
{
    print_row("float", 32, evaluate(p, FLOAT, 0));
    for (int32_t bits = 3; bits <= 5; bits++) {
        score random = {0.0, 0.0, 0.0};
        print_row("direct", bits, evaluate(p, DIRECT, bits));
        print_row("NoisyQuant (scalar)", bits, evaluate(p, NOISY, bits));
        choose(p, SHARE, 0);
        print_row("DQA", bits, evaluate(p, DQA, bits));
        for (uint64_t seed = 1; seed <= 5; seed++) {
            choose(p, SHARE, seed);
            const score one = evaluate(p, DQA, bits);
            random.top1 += one.top1 / 5.0;
            random.agreement += one.agreement / 5.0;
            random.bits += one.bits / 5.0;
        }
        print_row("DQA, random channels, mean of 5", bits, random);
        print_row("direct at n + 1", bits, evaluate(p, DIRECT, bits + 1));
    }
    for (int32_t tenth = 0; tenth <= 10; tenth += 2) {
        char name[32];
        choose(p, tenth / 10.0, 0);
        snprintf(name, sizeof(name), "DQA, share %.1f", tenth / 10.0);
        print_row(name, 3, evaluate(p, DQA, 3));
    }
}

int main(int argc, char **argv)
{
    static paper p;
    if (argc != 7 || (strcmp(argv[6], "output") != 0 && strcmp(argv[6], "accuracy") != 0)) {
        fprintf(stderr, "dqa_paper MODEL.onnx PREPROCESS.json CALIB TEST BATCH output|accuracy\n");
        return 2;
    }
    nw_preprocess preprocess;
    check(nw_onnx_import(&p.model, argv[1], &error));
    check(nw_passes_run(p.model, &error));
    nw_bytes text = {0};
    check(nw_bytes_read(&text, argv[2], 1u << 20, &error));
    char *copy = take(text.size + 1);
    memcpy(copy, text.data, text.size);
    check(nw_preprocess_parse(&preprocess, copy, argv[2], &error));
    free(copy);
    nw_bytes_free(&text);
    check(nw_dataset_open(&p.calib, argv[3], NULL, &preprocess, &error));
    check(nw_dataset_open(&p.test, argv[4], NULL, &preprocess, &error));
    p.batch = (int32_t)strtol(argv[5], NULL, 10);
    if (p.batch < 1 || (size_t)p.batch > nw_dataset_count(p.calib) || (size_t)p.batch > nw_dataset_count(p.test)) {
        fprintf(stderr, "dqa_paper: BATCH must be from 1 to the number of pictures\n");
        return 2;
    }
    const nw_tensor *output = &p.model->tensors[p.model->outputs[0]];
    const nw_scheme scheme = {.model = p.model};
    p.n_out = nw_tensor_elements(output);
    p.classes = (size_t)nw_tensor_channels(output);
    p.out = take(p.n_out * (size_t)p.batch * sizeof(float));
    p.reference = take(p.n_out * nw_dataset_count(p.test) * sizeof(float));
    check(nw_float_create(&p.engine, p.model, p.batch, &error));
    for (int32_t t = 0; t < p.model->n_tensors && p.n_blocks < MAX_BLOCKS; t++) {
        if (p.model->tensors[t].data || !nw_scheme_ends_block(&scheme, t))
            continue;
        const int32_t n = nw_tensor_channels(&p.model->tensors[t]);
        p.blocks[p.n_blocks++] = (block){t, n, take((size_t)n), take((size_t)n * sizeof(int32_t))};
        check(nw_float_edit(p.engine, t, edit, &p, &error));
    }
    printf("%d blocks\n", (int)p.n_blocks);
    rank(&p, strcmp(argv[6], "accuracy") == 0);
    print_all(&p);
    return 0;
}
