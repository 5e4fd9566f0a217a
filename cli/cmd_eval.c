/* SPDX-License-Identifier: Apache-2.0 */
/* narrow eval: accuracy of a float or integer network on labelled data, and how often it agrees with another one. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/data_options.h"
#include "cli/network.h"
#include "cli/overflows.h"
#include "cli/report.h"
#include "cli/score.h"
#include "cli/shares.h"

#define BATCH 16

typedef struct eval {
    const char *data, *labels, *against;
    nw_storage_options storage;
    int64_t limit, threads;
    bool json, count_overflows;
    nw_overflow *overflow; /* counted on `network`, or NULL */
    nw_data_options preprocess;
    nw_network network, rival;
    nw_dataset *dataset;
    nw_score score, rival_score;
    size_t n; /* samples evaluated */
} eval;

static nw_status score_batch(eval *e, size_t first, size_t n, float *logits, float *other, nw_error *error)
{
    const size_t size = nw_network_output_size(&e->network);
    NW_TRY(nw_network_run(&e->network, e->dataset, first, n, logits, error));
    if (other)
        NW_TRY(nw_network_run(&e->rival, e->dataset, first, n, other, error));
    for (size_t i = 0; i < n; i++) {
        uint8_t *map;
        NW_TRY(nw_score_read_map(&map, &e->score, &e->network.model->preprocess, e->dataset, first + i, error));
        const int32_t label = nw_dataset_has_labels(e->dataset) ? nw_dataset_label(e->dataset, first + i) : -1;
        nw_score_add(&e->score, logits + i * size, label, map, other ? other + i * size : NULL);
        if (other)
            nw_score_add(&e->rival_score, other + i * size, label, map, NULL);
        free(map);
    }
    return NW_OK;
}

static nw_status score_all(eval *e, nw_error *error)
{
    const size_t size = nw_network_output_size(&e->network);
    float *logits = malloc(size * BATCH * sizeof(float));
    float *other = e->against ? malloc(size * BATCH * sizeof(float)) : NULL;
    nw_status status = logits && (other || !e->against) ? NW_OK : nw_fail_memory(error, "evaluating");
    nw_progress progress = {.phase = "evaluating"};
    for (size_t first = 0; !status && first < e->n; first += BATCH) {
        const size_t n = e->n - first < BATCH ? e->n - first : BATCH;
        status = score_batch(e, first, n, logits, other, error);
        nw_progress_show(&progress, (int64_t)(first + n), (int64_t)e->n);
    }
    free(logits);
    free(other);
    return status;
}

/** There must be something to compare the answers with, and every class must have an output. */
static nw_status check_labels(const eval *e, const nw_tensor *output, nw_error *error)
{
    const int64_t classes = (int64_t)nw_dataset_n_classes(e->dataset);
    const int64_t needed = classes + e->network.model->preprocess.class_offset;
    if (!e->against && !e->overflow && !nw_dataset_has_labels(e->dataset) && !nw_dataset_has_maps(e->dataset))
        return nw_fail(error, NW_ERROR_USAGE, "%s: has no labels; give --labels PATH, or --against MODEL", e->data);
    if (nw_dataset_has_labels(e->dataset) && needed > nw_tensor_channels(output))
        return nw_fail(error, NW_ERROR_DATA, "%s: has %lld classes, which need %lld outputs, but the network has %d",
                       e->data, (long long)classes, (long long)needed, (int)nw_tensor_channels(output));
    return NW_OK;
}

/** Lets an observer count what leaves 16 bits, if that was asked for. */
static nw_status count_overflows(eval *e, const char *path, nw_error *error)
{
    if (!e->count_overflows)
        return NW_OK;
    if (!e->network.integer)
        return nw_fail(error, NW_ERROR_USAGE, "%s: has no integer sums; --count-overflows needs a .nw file", path);
    NW_TRY(nw_overflow_create(&e->overflow, e->network.model, error));
    e->network.observer = nw_overflow_observe;
    e->network.context = e->overflow;
    return NW_OK;
}

static nw_status open_all(eval *e, const char *path, nw_error *error)
{
    NW_TRY(nw_network_open_stored(&e->network, path, e->threads, BATCH, &e->storage, error));
    nw_model *model = e->network.model;
    NW_TRY(count_overflows(e, path, error));
    bool given;
    NW_TRY(nw_data_options_settle(&model->preprocess, &given, &e->preprocess, model, error));
    NW_TRY(nw_data_open(&e->dataset, e->data, e->labels, &model->preprocess, given, error));
    e->n = nw_dataset_count(e->dataset);
    if (e->limit && (size_t)e->limit < e->n)
        e->n = (size_t)e->limit;
    const nw_tensor *output = &model->tensors[model->outputs[0]];
    NW_TRY(check_labels(e, output, error));
    NW_TRY(nw_score_init(&e->score, output, model->preprocess.class_offset, error));
    if (!e->against)
        return NW_OK;
    NW_TRY(nw_network_open_stored(&e->rival, e->against, e->threads, BATCH, &e->storage, error));
    if (nw_network_output_size(&e->rival) != nw_network_output_size(&e->network))
        return nw_fail(error, NW_ERROR_DATA, "%s and %s have outputs of different sizes", path, e->against);
    return nw_score_init(&e->rival_score, output, model->preprocess.class_offset, error);
}

static void report_score(cJSON *report, const nw_score *score)
{
    if (score->labelled) {
        cJSON_AddNumberToObject(report, "top1", nw_score_top1(score));
        cJSON_AddNumberToObject(report, "top1_standard_error",
                                nw_standard_error(nw_score_top1(score), score->labelled));
    }
    if (!score->pixels)
        return;
    cJSON_AddNumberToObject(report, "miou", nw_score_miou(score));
    cJSON_AddNumberToObject(report, "pixel_accuracy", nw_score_pixel_accuracy(score));
    cJSON *classes = cJSON_AddArrayToObject(report, "iou");
    for (int32_t c = 0; c < score->n_classes; c++)
        cJSON_AddItemToArray(classes, cJSON_CreateNumber(nw_score_iou(score, c)));
}

/** How the activations of these samples were stored; nothing if they were not. */
static void report_storage(cJSON *report, const eval *e)
{
    if (!e->network.integer || !e->storage.name)
        return;
    const nw_traffic traffic = nw_engine_traffic(e->network.engine);
    cJSON_AddStringToObject(report, "activation_storage", e->storage.name);
    cJSON_AddNumberToObject(report, "stored_bits_per_value", nw_traffic_bits_per_value(&traffic));
    cJSON_AddNumberToObject(report, "rows_dropped_share",
                            traffic.rows ? (double)traffic.rows_dropped / (double)traffic.rows : 0.0);
}

static void print_storage(const eval *e)
{
    if (!e->network.integer || !e->storage.name)
        return;
    const nw_traffic traffic = nw_engine_traffic(e->network.engine);
    printf("%-24s  %d tensors, %.2f bits per value", e->storage.name, (int)traffic.n_stored,
           nw_traffic_bits_per_value(&traffic));
    if (traffic.rows_dropped)
        printf(", %.2f %% of the rows without their low bits",
               100.0 * (double)traffic.rows_dropped / (double)traffic.rows);
    printf("\n");
}

static nw_status print_json(const eval *e, const char *path, nw_error *error)
{
    cJSON *report = cJSON_CreateObject();
    cJSON_AddStringToObject(report, "model", path);
    cJSON_AddStringToObject(report, "data", e->data);
    cJSON_AddNumberToObject(report, "samples", (double)e->n);
    report_score(report, &e->score);
    if (e->against) {
        cJSON *rival = cJSON_AddObjectToObject(report, "against");
        cJSON_AddStringToObject(rival, "model", e->against);
        report_score(rival, &e->rival_score);
        cJSON_AddNumberToObject(report, "agreement", nw_score_agreement(&e->score));
        cJSON_AddNumberToObject(report, "sqnr_db", nw_score_sqnr(&e->score));
    }
    nw_shares_report(report, e->network.model, e->network.engine);
    report_storage(report, e);
    if (e->overflow)
        nw_overflows_report(report, e->overflow, e->network.model);
    return nw_report_print(report, error);
}

static void print_score(const char *name, const nw_score *score)
{
    printf("%-24s", name);
    if (score->labelled)
        printf("  top-1 %6.2f %% (+- %.2f)", 100.0 * nw_score_top1(score),
               100.0 * nw_standard_error(nw_score_top1(score), score->labelled));
    if (score->pixels)
        printf("  mIoU %6.2f %%  pixel accuracy %6.2f %%", 100.0 * nw_score_miou(score),
               100.0 * nw_score_pixel_accuracy(score));
    printf("\n");
}

static void print_classes(const eval *e)
{
    if (!e->score.pixels)
        return;
    printf("\nclass    IoU %%%s\n", e->against ? "    rival    difference" : "");
    for (int32_t c = 0; c < e->score.n_classes; c++) {
        const double iou = nw_score_iou(&e->score, c);
        if (iou < 0.0)
            continue;
        printf("%5d  %7.2f", c, 100.0 * iou);
        if (e->against)
            printf("  %7.2f  %+12.2f", 100.0 * nw_score_iou(&e->rival_score, c),
                   100.0 * (iou - nw_score_iou(&e->rival_score, c)));
        printf("\n");
    }
}

static void print_text(const eval *e, const char *path)
{
    printf("%zu samples of %s\n", e->n, e->data);
    print_score(path, &e->score);
    if (e->against) {
        print_score(e->against, &e->rival_score);
        printf("%-24s  %.2f %% of the answers, output SQNR %.1f dB\n", "agreement",
               100.0 * nw_score_agreement(&e->score), nw_score_sqnr(&e->score));
    }
    nw_shares shares;
    nw_shares_count(&shares, e->network.model);
    if (e->network.integer)
        printf("%-24s  %.1f %% of the multiply-accumulates, kernels %s\n", "integer",
               100.0 * nw_shares_integer(&shares), nw_isa_name(nw_engine_isa(e->network.engine)));
    print_storage(e);
    print_classes(e);
    if (e->overflow)
        nw_overflows_print(e->overflow, e->network.model);
}

nw_status nw_command_eval(int argc, char **argv, nw_error *error)
{
    eval e = {0};
    const char *path = NULL;
    bool help;
    const nw_option options[] = {
        {"data", "PATH", NW_OPTION_TEXT, &e.data, "folder of class folders, .csv list, .npy or .npz"},
        {"labels", "PATH", NW_OPTION_TEXT, &e.labels, "folder of label maps, .csv or .npy"},
        {"against", "MODEL", NW_OPTION_TEXT, &e.against, "a second network (.onnx or .nw) for agreement and drop"},
        {"count-overflows", NULL, NW_OPTION_FLAG, &e.count_overflows,
         "how many sums of each layer leave 16 bits (slow)"},
        {"limit", "N", NW_OPTION_NUMBER, &e.limit, "only the first N samples"},
        {"threads", "N", NW_OPTION_NUMBER, &e.threads, "default: OMP_NUM_THREADS, or all processors"},
        NW_STORAGE_OPTIONS(&e.storage),
        NW_DATA_OPTIONS(&e.preprocess),
        NW_OPTION_JSON(&e.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"eval", "MODEL", "Accuracy of a float (.onnx) or integer (.nw) network on data.",
                                  "narrow eval net.nw --data test/ --against net.onnx", options};
    NW_TRY(nw_args_parse(&line, argc, argv, &path, 1, 1, &help, error));
    if (help)
        return NW_OK;
    if (!e.data)
        return nw_fail(error, NW_ERROR_USAGE, "`narrow eval` needs --data PATH");
    nw_status status = open_all(&e, path, error);
    if (!status)
        status = score_all(&e, error);
    if (!status && e.json)
        status = print_json(&e, path, error);
    else if (!status)
        print_text(&e, path);
    nw_overflow_free(e.overflow);
    nw_score_free(&e.score);
    nw_score_free(&e.rival_score);
    nw_dataset_free(e.dataset);
    nw_network_close(&e.network);
    nw_network_close(&e.rival);
    return status;
}
