/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow plan: measures what every layer's width costs the answer and decides who gets how many bits; and puts
 * together what shards measured.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/data_options.h"
#include "cli/planner.h"
#include "plan/state.h"

#define MOST_SHARDS 1024

typedef struct plan {
    const char *calib, *labels, *merge;
    int64_t samples, threads;
    bool json, dry_run;
    nw_quantize_choices choices;
    nw_data_options preprocess;
    nw_planner planner;
    nw_model *model;
    nw_dataset *data;
    nw_quantize_options options;
} plan;

/* merging */

static nw_status merge(const plan *p, const char *const *paths, nw_error *error)
{
    nw_measurement *all = NULL;
    nw_status status = nw_state_read(&all, paths[0], error);
    for (int32_t i = 1; !status && paths[i]; i++) {
        nw_measurement *one = NULL;
        status = nw_state_read(&one, paths[i], error);
        if (!status)
            status = nw_state_absorb(all, one, paths[i], error);
        nw_measurement_free(one);
    }
    if (!status)
        status = nw_state_write(all, p->merge, error);
    char *missing = status ? NULL : nw_state_missing(all);
    if (missing)
        status = nw_fail(error, NW_GOAL_MISSED, "%s: not measured yet: %.400s", p->merge, missing);
    else if (!status && !p->json)
        printf("%s: complete, %d rows\n", p->merge, all->n);
    if (!status && p->json) {
        cJSON *report = cJSON_CreateObject();
        cJSON_AddStringToObject(report, "merged", p->merge);
        cJSON_AddNumberToObject(report, "rows", all->n);
        status = nw_report_print(report, error);
    }
    free(missing);
    nw_measurement_free(all);
    return status;
}

/* planning */

static nw_status open_all(plan *p, const char *const *paths, nw_error *error)
{
    bool given;
    if (paths[1])
        NW_TRY(nw_file_check_writable(paths[1], error));
    nw_quantize_choices_prefer_small(&p->choices);
    NW_TRY(nw_quantize_choices_settle(&p->options, &p->choices, error));
    NW_TRY(nw_thread_count_check(p->threads, error));
    NW_TRY(nw_float_model_read(&p->model, paths[0], error));
    NW_TRY(nw_data_options_settle(&p->model->preprocess, &given, &p->preprocess, p->model, error));
    p->model->has_preprocess = given;
    NW_TRY(nw_data_open(&p->data, p->calib, p->labels, &p->model->preprocess, given, error));
    NW_TRY(nw_sample_check(p->model, p->data, paths[0], p->calib, error));
    nw_float_set_threads((int32_t)nw_thread_count(p->threads));
    nw_sample_choice choice = nw_sample_choice_make(p->data, p->samples, p->choices.rounding_samples);
    choice.pool = p->choices.learn > 0 ? nw_sample_pool(&p->choices, false) : 0; /* many networks will be made */
    return nw_planner_open(&p->planner, p->model, &choice, &p->options, p->threads, error);
}

static nw_status write_plan(const plan *p, const char *path, nw_error *error)
{
    char *text = nw_plan_print(p->planner.found.plan);
    if (!text)
        return nw_fail_memory(error, "writing the plan");
    const nw_piece piece = {text, strlen(text)};
    const nw_status status = nw_file_write(path, &piece, 1, error);
    free(text);
    return status;
}

static nw_status report(const plan *p, const char *const *paths, nw_error *error)
{
    if (!p->json) {
        nw_planner_print_rows(&p->planner);
        nw_planner_print(&p->planner);
        return NW_OK;
    }
    cJSON *document = cJSON_CreateObject();
    cJSON_AddStringToObject(document, "from", paths[0]);
    if (paths[1] && !p->dry_run)
        cJSON_AddStringToObject(document, "plan", paths[1]);
    nw_planner_report(document, &p->planner);
    return nw_report_print(document, error);
}

/** A shard's part is its state file. */
static nw_status report_shard(const plan *p, nw_error *error)
{
    if (!p->json) {
        printf("%s: shard %s measured in %.1f s\n", p->planner.state, p->planner.shard, p->planner.seconds_measuring);
        return NW_OK;
    }
    cJSON *document = cJSON_CreateObject();
    cJSON_AddStringToObject(document, "state", p->planner.state);
    cJSON_AddStringToObject(document, "shard", p->planner.shard);
    return nw_report_print(document, error);
}

static nw_status make(plan *p, const char *const *paths, nw_error *error)
{
    NW_TRY(open_all(p, paths, error));
    NW_TRY(nw_planner_measure(&p->planner, error));
    if (p->planner.shard)
        return report_shard(p, error);
    NW_TRY(nw_planner_search(&p->planner, p->dry_run, error));
    if (p->planner.found.plan && paths[1] && !p->dry_run)
        NW_TRY(write_plan(p, paths[1], error));
    NW_TRY(report(p, paths, error));
    return nw_planner_verdict(&p->planner, error);
}

static nw_status check(const plan *p, const char *const *paths, nw_error *error)
{
    if (p->merge)
        return paths[0] ? NW_OK : nw_fail(error, NW_ERROR_USAGE, "--merge needs the shards' state files");
    if (!p->calib || !paths[0] || paths[2] || (paths[0] && paths[1] && paths[2]))
        return nw_fail(error, NW_ERROR_USAGE, "`narrow plan` needs ONNX, at most one OUT, and --calib PATH");
    if (p->planner.shard && !p->planner.state)
        return nw_fail(error, NW_ERROR_USAGE, "--shard needs --state FILE, where its part is kept");
    if (paths[1] && !p->planner.shard && !nw_planner_has_goal(&p->planner))
        return nw_fail(error, NW_ERROR_USAGE,
                       "%s: a plan needs a goal: --target-size, --max-drop, --target-acts, --arena (without OUT the "
                       "front is shown)",
                       paths[1]);
    return NW_OK;
}

nw_status nw_command_plan(int argc, char **argv, nw_error *error)
{
    plan p = {.choices = NW_QUANTIZE_CHOICES_DEFAULTS, .planner = NW_PLANNER_DEFAULTS};
    const char *paths[MOST_SHARDS + 1] = {NULL};
    bool help;
    const nw_option options[] = {
        {"calib", "PATH", NW_OPTION_TEXT, &p.calib, "calibration data; labels, if there are any, count for --max-drop"},
        {"labels", "PATH", NW_OPTION_TEXT, &p.labels, "folder of label maps, .csv or .npy"},
        {"samples", "N", NW_OPTION_NUMBER, &p.samples, "use N of them, spread evenly (default: all)"},
        NW_PLANNER_OPTIONS(&p.planner),
        {"robustness", NULL, NW_OPTION_FLAG, &p.planner.robustness,
         "measure t_i too, which --allocation adaptive needs"},
        {"tensors", NULL, NW_OPTION_FLAG, &p.planner.tensors, "measure activations too"},
        {"together", NULL, NW_OPTION_FLAG, &p.planner.together, "measure all that was chosen at once too"},
        {"shard", "I/N", NW_OPTION_TEXT, &p.planner.shard, "measure only every N-th row, from the I-th, into --state"},
        {"merge", "FILE", NW_OPTION_TEXT, &p.merge, "put together the state files given in place of ONNX OUT"},
        {"dry-run", NULL, NW_OPTION_FLAG, &p.dry_run, "show the choice; make no network and write no plan"},
        NW_QUANTIZE_CHOICES(&p.choices),
        {"threads", "N", NW_OPTION_NUMBER, &p.threads, "default: OMP_NUM_THREADS, or all processors"},
        NW_DATA_OPTIONS(&p.preprocess),
        NW_OPTION_JSON(&p.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"plan", "ONNX [OUT]", "Measures what every layer's width costs the network's answer, "
                                  "and gives each the bits it deserves.",
                                  "narrow plan net.onnx plan.json --calib photos/ --max-drop 0.5", options};
    NW_TRY(nw_args_parse(&line, argc, argv, paths, 0, MOST_SHARDS, &help, error));
    if (help)
        return NW_OK;
    NW_TRY(check(&p, paths, error));
    if (p.merge)
        return merge(&p, paths, error);
    const nw_status status = make(&p, paths, error);
    nw_planner_close(&p.planner);
    nw_dataset_free(p.data);
    nw_model_free(p.model);
    return status;
}
