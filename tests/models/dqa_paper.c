/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DQA paper's own setting, played in the float engine (Hu et al. 2024 and its authors' code): float weights,
 * outputs of blocks rounded on signed grids whose scales are taken per channel from the running batch. Every row is
 * simulated; the integer form is `narrow quantize --act-method dqa`. Run by tools/bench_dqa_paper.py.
 *
 *     dqa_paper MODEL.onnx PREPROCESS CALIB TEST BATCH BITS[,BITS...] RANKING_BATCHES [CALIB_LABELS TEST_LABELS]
 *
 * PREPROCESS is JSON (model/preprocess.h). A batch takes every k-th picture, so that it holds all classes of a folder
 * of folders. Channels are ranked on one batch of CALIB by the squared error that rounding them to 3 bits makes; on
 * RANKING_BATCHES of them, if not 0, a second time as the authors do: by the accuracy of the network whose other
 * channels of the block are rounded, block after block, with the best channel of earlier ones kept float. One line of
 * JSON per method and width:
 *
 *     direct         q = clip(rint(a / d), -2^(n-1), 2^(n-1) - 1), d = max|a| / 2^(n-1), per channel
 *     NoisyQuant     as the authors implement it, dqa_rounding.h
 *     DQA, ranked    important channels with n + m bits, m = 3, a share of 0.4; of 0.2 to 1 too where n = 3
 *     DQA, random    the same share chosen by lot, five times
 *
 * Bits per value: n, and for important channels the Huffman code of the m low bits with its book (per channel and
 * batch).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/score.h"
#include "data/dataset.h"
#include "dqa_rounding.h"
#include "float/engine.h"
#include "onnx/onnx.h"
#include "passes/passes.h"
#include "quant/scheme.h"

#define RANK_BITS 3
#define MAX_BLOCKS 64
#define SHARE 0.4
#define SEEDS 5

typedef enum method { FLOAT, DIRECT, NOISY, DQA, RANKING } method; /* RANKING: important channels stay float */

typedef struct block {
    int32_t tensor, n_channels;
    uint8_t *important; /* [n_channels] */
    int32_t *order;     /* [n_channels] most important first */
} block;

typedef struct paper {
    nw_model *model;
    nw_preprocess preprocess;
    nw_dataset *calib, *test;
    nw_float_engine *engine;
    block blocks[MAX_BLOCKS];
    int32_t n_blocks, batch, bits;
    method method;
    int32_t n_active; /* blocks that are rounded; the others stay float */
    size_t n_out;
    float *out, *reference;    /* [batch, n_out]; the float network's, [n_test, n_out] */
    double coded, raw, values; /* bits and values seen */
    uint64_t restored, otherwise;
    float **captured; /* [n_tensors] while ranking */
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

static void round_important(paper *p, float *x, size_t stride, size_t plane)
{
    if (p->method == RANKING)
        return;
    dqa_extra extra = {.restored = 0};
    dqa_round_channel(x, (size_t)p->batch, stride, plane, p->bits + EXTRA_BITS, &extra);
    p->coded += dqa_huffman_bits(&extra);
    p->raw += EXTRA_BITS * (double)p->batch * (double)plane;
    p->restored += extra.restored;
    p->otherwise += extra.otherwise;
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
    p->values += (double)n;
    p->coded += (double)n * p->bits;
    p->raw += (double)n * p->bits;
    if (p->method == NOISY) {
        dqa_round_noisy(data, n, p->bits);
        return;
    }
    const size_t stride = n / (size_t)p->batch, plane = stride / (size_t)b->n_channels;
    for (int32_t c = 0; c < b->n_channels; c++) {
        float *x = data + (size_t)c * plane;
        if (p->method != DIRECT && b->important[c])
            round_important(p, x, stride, plane);
        else
            dqa_round_channel(x, (size_t)p->batch, stride, plane, p->bits, NULL);
    }
}

/** Sample i of batch k of `n_batches`. */
static size_t sample_of(size_t k, size_t n_batches, size_t i)
{
    return i * n_batches + k;
}

static size_t batches_of(const paper *p, const nw_dataset *data)
{
    return nw_dataset_count(data) / (size_t)p->batch;
}

static void read_batch(const paper *p, const nw_dataset *data, size_t k, float *x)
{
    const size_t n = nw_dataset_sample_size(data);
    for (size_t i = 0; i < (size_t)p->batch; i++)
        check(nw_dataset_tensor(data, sample_of(k, batches_of(p, data), i), x + i * n, &error));
}

/** Adds the outputs of batch k to the score; other: [n, n_out] in order of the samples, or NULL. */
static void score_batch(const paper *p, nw_score *score, const nw_dataset *data, size_t k, const float *other)
{
    for (size_t i = 0; i < (size_t)p->batch; i++) {
        const size_t at = sample_of(k, batches_of(p, data), i);
        uint8_t *map;
        check(nw_score_read_map(&map, score, &p->preprocess, data, at, &error));
        nw_score_add(score, p->out + i * p->n_out, nw_dataset_label(data, at), map,
                     other ? other + at * p->n_out : NULL);
        free(map);
    }
}

static nw_score new_score(const paper *p)
{
    nw_score score;
    check(nw_score_init(&score, &p->model->tensors[p->model->outputs[0]], p->preprocess.class_offset, &error));
    return score;
}

static void print_score(const paper *p, const char *name, const nw_score *score)
{
    printf("{\"method\": \"%s\", \"bits\": %d, \"blocks\": %d", name, (int)p->bits, (int)p->n_blocks);
    if (score->labelled)
        printf(", \"unit\": \"top-1\", \"accuracy\": %.6f, \"standard_error\": %.6f", nw_score_top1(score),
               nw_standard_error(nw_score_top1(score), score->labelled));
    else
        printf(", \"unit\": \"mIoU\", \"accuracy\": %.6f, \"standard_error\": null", nw_score_miou(score));
    printf(", \"samples\": %llu", (unsigned long long)score->samples);
    if (p->method != FLOAT)
        printf(", \"agreement\": %.6f, \"sqnr_db\": %.3f, \"bits_per_value\": %.4f, \"raw_bits_per_value\": %.4f",
               nw_score_agreement(score), nw_score_sqnr(score), p->coded / p->values, p->raw / p->values);
    if (p->method == DQA)
        printf(", \"restored\": %llu, \"restored_otherwise\": %llu", (unsigned long long)p->restored,
               (unsigned long long)p->otherwise);
    printf("}\n");
    fflush(stdout);
}

/** The network over all whole batches of the test pictures. */
static void evaluate(paper *p, const char *name, method m, int32_t bits)
{
    float *x = take(nw_dataset_sample_size(p->test) * (size_t)p->batch * sizeof(*x));
    nw_score score = new_score(p);
    p->method = m;
    p->bits = bits;
    p->n_active = p->n_blocks;
    p->coded = p->raw = p->values = 0.0;
    p->restored = p->otherwise = 0;
    for (size_t k = 0; k < batches_of(p, p->test); k++) {
        read_batch(p, p->test, k, x);
        check(nw_float_run(p->engine, (const float *const[]){x}, &p->out, &error));
        for (size_t i = 0; m == FLOAT && i < (size_t)p->batch; i++)
            memcpy(p->reference + sample_of(k, batches_of(p, p->test), i) * p->n_out, p->out + i * p->n_out,
                   p->n_out * sizeof(*p->out));
        score_batch(p, &score, p->test, k, m == FLOAT ? NULL : p->reference);
    }
    print_score(p, name, &score);
    nw_score_free(&score);
    free(x);
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

/** Adds the answers to batch k of CALIB with this block's tensor as given, earlier ones as captured. */
static void score_tail(paper *p, nw_score *score, int32_t tensor, const float *data, size_t k)
{
    nw_float_override *given = take((size_t)p->model->n_tensors * sizeof(*given));
    int32_t n_given = 0;
    for (int32_t t = 0; t < p->model->n_tensors; t++)
        if (p->captured[t])
            given[n_given++] = (nw_float_override){t, t == tensor ? data : p->captured[t]};
    check(nw_float_run_from(p->engine, p->capture_from, p->model->n_nodes, given, n_given, &p->out, &error));
    score_batch(p, score, p->calib, k, NULL);
    free(given);
}

/** What one batch says of the channels of block `at`: adds squares [n_channels] and, unless NULL, answers too. */
static void score_channels(paper *p, const block *b, size_t k, double *squares, nw_score *answers)
{
    const size_t plane = nw_tensor_elements(&p->model->tensors[b->tensor]) / (size_t)b->n_channels;
    const size_t stride = plane * (size_t)b->n_channels, n = stride * (size_t)p->batch;
    const float *raw = p->captured[b->tensor];
    float *low = take(n * sizeof(*low)), *mixed = take(n * sizeof(*mixed));
    memcpy(low, raw, n * sizeof(*low));
    for (int32_t c = 0; c < b->n_channels; c++)
        dqa_round_channel(low + (size_t)c * plane, (size_t)p->batch, stride, plane, RANK_BITS, NULL);
    for (int32_t c = 0; c < b->n_channels; c++) {
        memcpy(mixed, low, n * sizeof(*mixed));
        for (size_t s = 0; s < (size_t)p->batch; s++)
            for (size_t i = 0; i < plane; i++) {
                const size_t at = s * stride + (size_t)c * plane + i;
                squares[c] += (double)((raw[at] - low[at]) * (raw[at] - low[at]));
                mixed[at] = raw[at];
            }
        if (answers)
            score_tail(p, &answers[c], b->tensor, mixed, k);
    }
    free(low);
    free(mixed);
}

/** Runs batch k of CALIB up to block `at`, earlier blocks rounded but for their best channel (authors), or float. */
static void capture_batch(paper *p, int32_t at, size_t k, bool earlier_rounded)
{
    float *x = take(nw_dataset_sample_size(p->calib) * (size_t)p->batch * sizeof(*x));
    read_batch(p, p->calib, k, x);
    p->method = RANKING;
    p->bits = RANK_BITS;
    p->n_active = earlier_rounded ? at : 0;
    p->capture_from = nw_model_producer(p->model, p->blocks[at].tensor) + 1;
    nw_float_observe(p->engine, capture, p);
    check(nw_float_run(p->engine, (const float *const[]){x}, &p->out, &error));
    nw_float_observe(p->engine, NULL, NULL);
    free(x);
}

static void forget_captured(paper *p)
{
    for (int32_t t = 0; t < p->model->n_tensors; t++) {
        free(p->captured[t]);
        p->captured[t] = NULL;
    }
}

/** Order of the channels of block `at`; n_batches 0: by squares on one batch. */
static void rank_block(paper *p, int32_t at, size_t n_batches)
{
    block *b = &p->blocks[at];
    const size_t n = (size_t)b->n_channels;
    ranked *all = take(n * sizeof(*all));
    double *squares = take(n * sizeof(*squares));
    nw_score *answers = take(n * sizeof(*answers));
    for (size_t c = 0; c < n; c++)
        answers[c] = new_score(p);
    for (size_t k = 0; k < (n_batches ? n_batches : 1); k++) {
        capture_batch(p, at, k, n_batches > 0);
        score_channels(p, b, k, squares, n_batches ? answers : NULL);
        forget_captured(p);
    }
    for (size_t c = 0; c < n; c++) {
        const nw_score *a = &answers[c];
        const double right = a->labelled ? nw_score_top1(a) : nw_score_pixel_accuracy(a);
        /* ties by the larger error: one answer more counts more than 1e-9 */
        all[c] = (ranked){n_batches ? right + 1e-9 * squares[c] / (1.0 + squares[c]) : squares[c], (int32_t)c};
        nw_score_free(&answers[c]);
    }
    qsort(all, n, sizeof(*all), descending);
    for (size_t c = 0; c < n; c++)
        b->order[c] = all[c].channel;
    memset(b->important, 0, n);
    b->important[b->order[0]] = 1;
    free(all);
    free(squares);
    free(answers);
}

static void rank(paper *p, size_t n_batches)
{
    p->captured = take((size_t)p->model->n_tensors * sizeof(*p->captured));
    for (int32_t at = 0; at < p->n_blocks; at++)
        rank_block(p, at, n_batches);
    free(p->captured);
}

/** The first share of the order; seed 0: as ranked, else a shuffled order. */
static void choose(paper *p, double share, uint64_t seed)
{
    for (int32_t at = 0; at < p->n_blocks; at++) {
        block *b = &p->blocks[at];
        int32_t *order = take((size_t)b->n_channels * sizeof(*order));
        for (int32_t c = 0; c < b->n_channels; c++)
            order[c] = seed ? c : b->order[c];
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

/** Without channels to choose. */
static void print_plain(paper *p, int32_t bits)
{
    evaluate(p, "direct", DIRECT, bits);
    evaluate(p, "NoisyQuant", NOISY, bits);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        choose(p, SHARE, seed);
        evaluate(p, "DQA, random", DQA, bits);
    }
}

/** The paper's share of the ranked channels; and at 3 bits other shares (none at all is direct). */
static void print_ranked(paper *p, const char *rule, int32_t bits)
{
    choose(p, SHARE, 0);
    evaluate(p, rule, DQA, bits);
    for (int32_t tenth = 2; bits == RANK_BITS && tenth <= 10; tenth += 2) {
        char name[64];
        if (tenth / 10.0 == SHARE)
            continue;
        snprintf(name, sizeof(name), "%s, share %.1f", rule, tenth / 10.0);
        choose(p, tenth / 10.0, 0);
        evaluate(p, name, DQA, bits);
    }
}

static void print_all(paper *p, const int32_t *bits, int32_t n_bits, size_t ranking_batches)
{
    evaluate(p, "float", FLOAT, 32);
    for (int32_t i = 0; i < n_bits; i++)
        print_plain(p, bits[i]);
    evaluate(p, "direct", DIRECT, bits[n_bits - 1] + 1); /* about as many bits as DQA at the last width */
    rank(p, 0);
    for (int32_t i = 0; i < n_bits; i++)
        print_ranked(p, "DQA, ranked by error", bits[i]);
    if (!ranking_batches)
        return;
    rank(p, ranking_batches);
    for (int32_t i = 0; i < n_bits; i++)
        print_ranked(p, "DQA, ranked by accuracy", bits[i]);
}

static void open_blocks(paper *p)
{
    const nw_scheme scheme = {.model = p->model};
    for (int32_t t = 0; t < p->model->n_tensors && p->n_blocks < MAX_BLOCKS; t++) {
        if (p->model->tensors[t].data || !nw_scheme_ends_block(&scheme, t))
            continue;
        const int32_t n = nw_tensor_channels(&p->model->tensors[t]);
        p->blocks[p->n_blocks++] = (block){t, n, take((size_t)n), take((size_t)n * sizeof(int32_t))};
        check(nw_float_edit(p->engine, t, edit, p, &error));
    }
}

/** "3,4,5"; returns how many, 0 for something else. */
static int32_t read_widths(const char *text, int32_t widths[8])
{
    int32_t n = 0;
    for (; n < 8 && *text; n++) {
        char *end;
        widths[n] = (int32_t)strtol(text, &end, 10);
        if (widths[n] < 2 || widths[n] > 8 || (*end && *end != ','))
            return 0;
        text = *end ? end + 1 : end;
    }
    return n;
}

static int usage(void)
{
    fprintf(stderr, "dqa_paper MODEL.onnx PREPROCESS CALIB TEST BATCH BITS[,BITS...] RANKING_BATCHES"
                    " [CALIB_LABELS TEST_LABELS]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static paper p;
    if (argc != 8 && argc != 10)
        return usage();
    check(nw_onnx_import(&p.model, argv[1], &error));
    check(nw_passes_run(p.model, &error));
    check(nw_preprocess_parse(&p.preprocess, argv[2], "PREPROCESS", &error));
    check(nw_dataset_open(&p.calib, argv[3], argc > 8 ? argv[8] : NULL, &p.preprocess, &error));
    check(nw_dataset_open(&p.test, argv[4], argc > 8 ? argv[9] : NULL, &p.preprocess, &error));
    p.batch = (int32_t)strtol(argv[5], NULL, 10);
    int32_t widths[8];
    const int32_t n_widths = read_widths(argv[6], widths);
    const long ranking_batches = strtol(argv[7], NULL, 10);
    if (p.batch < 1 || !batches_of(&p, p.test) || !n_widths || ranking_batches < 0 ||
        batches_of(&p, p.calib) < (size_t)(ranking_batches ? ranking_batches : 1))
        return usage();
    p.n_out = nw_tensor_elements(&p.model->tensors[p.model->outputs[0]]);
    p.out = take(p.n_out * (size_t)p.batch * sizeof(float));
    p.reference = take(p.n_out * nw_dataset_count(p.test) * sizeof(float));
    check(nw_float_create(&p.engine, p.model, p.batch, &error));
    open_blocks(&p);
    print_all(&p, widths, n_widths, (size_t)ranking_batches);
    return 0;
}
