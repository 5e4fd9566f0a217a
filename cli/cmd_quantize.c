/* SPDX-License-Identifier: Apache-2.0 */
/* narrow quantize: a float ONNX network and calibration data in, a .nw file out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/data_options.h"
#include "cli/network.h"
#include "cli/plan_rows.h"
#include "cli/planner.h"
#include "cli/quantize_options.h"
#include "cli/report.h"
#include "cli/shares.h"
#include "model/file.h"
#include "plan/ranking.h"
#include "plan/stored_codes.h"
#include "quant/quantize.h"

typedef struct quantize {
    const char *calib, *labels, *plan_path, *layer_bits, *tensor_bits;
    int64_t samples, threads;
    bool json, act_codes;
    nw_stored_codes about_codes;
    nw_quantize_choices choices;
    nw_planner planner; /* used when there is a goal ... */
    nw_quantize_options free_of_rows; /* ... with what it follows */
    nw_data_options preprocess;
    nw_plan *plan;
    nw_model *model, *integer;
    nw_dataset *data;
    nw_calibration *calibration;
    double seconds;
} quantize;

/** --plan, and after it what the command line says of single layers and tensors. */
static nw_status settle_plan(nw_quantize_options *o, quantize *q, nw_error *error)
{
    if (q->plan_path)
        NW_TRY(nw_plan_read(&q->plan, q->plan_path, error));
    if (!q->plan)
        q->plan = nw_plan_create();
    if (!q->plan)
        return nw_fail_memory(error, "a plan");
    NW_TRY(nw_plan_rows_add(q->plan, NW_PLAN_LAYERS, q->layer_bits, error));
    NW_TRY(nw_plan_rows_add(q->plan, NW_PLAN_TENSORS, q->tensor_bits, error));
    o->plan = q->plan;
    return NW_OK;
}

/** Before minutes of work: OUT must not be a float network's name, and it must be possible to write it. */
static nw_status check_output(const char *path, nw_error *error)
{
    if (nw_path_is_onnx(path))
        return nw_fail(error, NW_ERROR_USAGE, "%s: the output is a .nw file; .onnx names a float network", path);
    return nw_file_check_writable(path, error);
}

static void show_progress(void *context, int64_t done, int64_t total)
{
    nw_progress_show(context, done, total);
}

static nw_status follow_options(quantize *q, const nw_quantize_options *options, nw_error *error)
{
    nw_sample_choice choice = nw_sample_choice_make(q->data, q->samples, q->choices.rounding_samples);
    choice.pool = nw_sample_pool(&q->choices, q->plan_path || q->tensor_bits);
    choice.learns = nw_sample_pool(&q->choices, false) > 0 && options->rounding == NW_ROUND_REFINE &&
                    !(options->point_budget > 0.0);
    NW_TRY(nw_calibrate_on(&q->calibration, q->model, &choice, error));
    if (options->ranking == NW_RANKING_ACCURACY) {
        nw_progress progress = {.phase = "ranking channels"};
        NW_TRY(nw_rank_channels(q->plan, q->model, q->calibration, options, show_progress, &progress, error));
    }
    return nw_quantize(&q->integer, q->model, q->calibration, options, error);
}

/** The network of the plan that meets the goals best; its calibration and itself move over from the planner. */
static nw_status meet_goals(quantize *q, const nw_quantize_options *options, nw_error *error)
{
    q->free_of_rows = *options; /* the planner's report looks at them after this */
    q->free_of_rows.plan = NULL;
    if (options->plan->n_layers || options->plan->n_tensors)
        return nw_fail(error, NW_ERROR_USAGE, "a goal decides the plan: it goes neither with --plan nor with "
                                              "--layer-bits or --tensor-bits");
    nw_sample_choice choice = nw_sample_choice_make(q->data, q->samples, q->choices.rounding_samples);
    choice.pool = q->choices.learn > 0 ? nw_sample_pool(&q->choices, false) : 0; /* many networks will be made */
    NW_TRY(nw_planner_open(&q->planner, q->model, &choice, &q->free_of_rows, q->threads, error));
    NW_TRY(nw_planner_measure(&q->planner, error));
    NW_TRY(nw_planner_search(&q->planner, false, error));
    q->integer = q->planner.found.model;
    q->planner.found.model = NULL;
    q->calibration = q->planner.calibration;
    q->planner.calibration = NULL;
    return NW_OK;
}

static nw_status make(quantize *q, const char *const *paths, nw_error *error)
{
    nw_quantize_options options;
    NW_TRY(check_output(paths[1], error));
    if (nw_planner_has_goal(&q->planner))
        nw_quantize_choices_prefer_small(&q->choices);
    NW_TRY(nw_quantize_choices_settle(&options, &q->choices, error));
    if (!nw_code_book_exists(options.book, options.weight_bits) && !q->plan_path && !q->layer_bits)
        return nw_fail(error, NW_ERROR_USAGE, "--weight-book %s: has no codes of %d bits", q->choices.weight_book,
                       (int)options.weight_bits);
    NW_TRY(settle_plan(&options, q, error));
    NW_TRY(nw_thread_count_check(q->threads, error));
    NW_TRY(nw_float_model_read(&q->model, paths[0], error));
    bool given;
    NW_TRY(nw_data_options_settle(&q->model->preprocess, &given, &q->preprocess, q->model, error));
    q->model->has_preprocess = given;
    NW_TRY(nw_data_open(&q->data, q->calib, q->labels, &q->model->preprocess, given, error));
    NW_TRY(nw_sample_check(q->model, q->data, paths[0], q->calib, error));
    nw_float_set_threads((int32_t)nw_thread_count(q->threads));
    const double start = nw_seconds();
    NW_TRY(nw_planner_has_goal(&q->planner) ? meet_goals(q, &options, error)
                                            : follow_options(q, &options, error));
    if (q->act_codes)
        NW_TRY(nw_stored_codes_fit(&q->about_codes, q->integer, q->calibration, nw_thread_count(q->threads), error));
    q->seconds = nw_seconds() - start;
    return nw_model_write(q->integer, paths[1], error);
}

/**
 * Adds "sums": what every layer planned for sums in 16 bits was narrowed by, as its plan says. Nothing if there is
 * none.
 */
static nw_status report_sums(cJSON *document, const nw_model *integer, nw_error *error)
{
    static const char *const others[] = {"bytes", "time", "damage_measure"}; /* reasons for its width */
    nw_plan *plan;
    NW_TRY(nw_plan_parse(&plan, integer->plan, strlen(integer->plan), "the plan", error));
    cJSON *sums = NULL;
    for (int32_t i = 0; i < plan->n_layers; i++) {
        const nw_plan_layer *layer = &plan->layers[i];
        cJSON *row = layer->why ? cJSON_Parse(layer->why) : NULL;
        if (!cJSON_HasObjectItem(row, "weight_alpha")) {
            cJSON_Delete(row);
            continue;
        }
        for (size_t j = 0; j < sizeof(others) / sizeof(*others); j++)
            cJSON_DeleteItemFromObjectCaseSensitive(row, others[j]);
        sums = sums ? sums : cJSON_AddArrayToObject(document, "sums");
        cJSON_AddStringToObject(row, "node", layer->key.name);
        cJSON_AddStringToObject(row, "accumulator", nw_plan_accumulators[layer->accumulator]);
        cJSON_AddItemToArray(sums, row);
    }
    nw_plan_free(plan);
    return NW_OK;
}

static nw_status report(const quantize *q, const char *const *paths, nw_error *error)
{
    nw_shares floats;
    nw_shares integers;
    nw_shares_count(&floats, q->model);
    nw_shares_count(&integers, q->integer);
    if (!q->json) {
        printf("%s: %.1f %% of %llu multiply-accumulates integer, weights %llu bytes (float: %llu), %lld calibration "
               "samples, %.1f s\n", paths[1], 100.0 * nw_shares_integer(&integers),
               (unsigned long long)integers.total_macs, (unsigned long long)integers.total_bytes,
               (unsigned long long)floats.total_bytes, (long long)q->calibration->n_samples, q->seconds);
        if (q->planner.search)
            nw_planner_print(&q->planner);
        return NW_OK;
    }
    cJSON *document = cJSON_CreateObject();
    cJSON_AddStringToObject(document, "model", paths[1]);
    cJSON_AddStringToObject(document, "from", paths[0]);
    cJSON_AddNumberToObject(document, "calibration_samples", (double)q->calibration->n_samples);
    cJSON_AddNumberToObject(document, "seconds", q->seconds);
    cJSON_AddNumberToObject(document, "float_weight_bytes", (double)floats.total_bytes);
    nw_shares_report(document, q->integer, NULL);
    cJSON_AddStringToObject(document, "weight_storage", nw_plan_storages[q->integer->weight_storage]);
    if (q->act_codes) {
        cJSON_AddNumberToObject(document, "activation_entropy", q->about_codes.entropy);
        cJSON_AddNumberToObject(document, "activation_code_bits", q->about_codes.bits);
    }
    if (q->planner.search)
        nw_planner_report(document, &q->planner);
    const nw_status status = report_sums(document, q->integer, error);
    if (!status)
        return nw_report_print(document, error);
    cJSON_Delete(document);
    return status;
}

nw_status nw_command_quantize(int argc, char **argv, nw_error *error)
{
    quantize q = {.choices = NW_QUANTIZE_CHOICES_DEFAULTS, .planner = NW_PLANNER_DEFAULTS};
    const char *paths[2] = {NULL, NULL};
    bool help;
    const nw_option options[] = {
        {"calib", "PATH", NW_OPTION_TEXT, &q.calib, "calibration data: folder, .csv, .npy, .npz (no labels needed)"},
        {"samples", "N", NW_OPTION_NUMBER, &q.samples, "use N of them, spread evenly (default: all)"},
        NW_QUANTIZE_CHOICES(&q.choices),
        {"labels", "PATH", NW_OPTION_TEXT, &q.labels, "labels of --calib, which --max-drop counts: maps, .csv or .npy"},
        NW_PLANNER_OPTIONS(&q.planner),
        {"plan", "FILE", NW_OPTION_TEXT, &q.plan_path,
         "choices for single layers and tensors (`narrow inspect --plan`)"},
        {"layer-bits", "LIST", NW_OPTION_TEXT, &q.layer_bits,
         "widths of single layers' weights, by regular expression: 'layer3.*=4,fc=8'"},
        {"tensor-bits", "LIST", NW_OPTION_TEXT, &q.tensor_bits, "widths of single activations, likewise"},
        {"act-codes", NULL, NW_OPTION_FLAG, &q.act_codes,
         "prefix codes for --activation-storage huffman, fitted to calibration samples"},
        {"threads", "N", NW_OPTION_NUMBER, &q.threads, "default: OMP_NUM_THREADS, or all processors"},
        NW_DATA_OPTIONS(&q.preprocess),
        NW_OPTION_JSON(&q.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"quantize", "ONNX OUT", "A float network in, a network of narrow integers out.",
                                  "narrow quantize net.onnx net.nw --calib photos/ --preprocess net.json", options};
    NW_TRY(nw_args_parse(&line, argc, argv, paths, 2, 2, &help, error));
    if (help)
        return NW_OK;
    if (!q.calib)
        return nw_fail(error, NW_ERROR_USAGE, "`narrow quantize` needs --calib PATH");
    nw_status status = make(&q, paths, error);
    if (!status)
        status = report(&q, paths, error);
    if (!status)
        status = nw_planner_verdict(&q.planner, error);
    nw_planner_close(&q.planner);
    nw_dataset_free(q.data);
    nw_calibration_free(q.calibration);
    nw_plan_free(q.plan);
    nw_model_free(q.model);
    nw_model_free(q.integer);
    return status;
}
