/* SPDX-License-Identifier: Apache-2.0 */
/* narrow report: one self-contained HTML page about an integer network, and the same as JSON (cli/report/). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/data_options.h"
#include "cli/report.h"
#include "cli/report/facts.h"
#include "cli/report/page.h"
#include "cli/score.h"

typedef struct report {
    const char *path, *output, *against, *data, *labels, *plan_path;
    int64_t samples, limit, runs, threads;
    bool json, bench;
    nw_data_options preprocess;
    nw_storage_options storage; /* tuned, table */
    nw_network network, floats;
    nw_dataset *dataset;
    nw_plan *plan;
    nw_timing timing;
    nw_facts facts;
    bool described; /* facts are there */
} report;

static nw_status check(const report *r, nw_error *error)
{
    if (nw_path_is_onnx(r->path))
        return nw_fail(error, NW_ERROR_USAGE,
                       "%s: `narrow report` describes a .nw file; give the ONNX file as --against", r->path);
    if (r->against && !nw_path_is_onnx(r->against))
        return nw_fail(error, NW_ERROR_USAGE, "--against %s: must be an .onnx file", r->against);
    if (!r->output && !r->json)
        return nw_fail(error, NW_ERROR_USAGE, "`narrow report` needs -o FILE, or --json");
    if (r->labels && !r->data)
        return nw_fail(error, NW_ERROR_USAGE, "--labels needs --data PATH");
    if (r->samples < 1)
        return nw_fail(error, NW_ERROR_USAGE, "--samples: at least 1");
    return r->output ? nw_file_check_writable(r->output, error) : NW_OK;
}

static nw_status open_all(report *r, nw_error *error)
{
    NW_TRY(nw_network_open_stored(&r->network, r->path, r->threads, 1, &r->storage, error));
    if (r->against) {
        NW_TRY(nw_network_open(&r->floats, r->against, r->threads, 1, error));
        if (nw_network_input_size(&r->network) != nw_network_input_size(&r->floats) ||
            nw_network_output_size(&r->network) != nw_network_output_size(&r->floats))
            return nw_fail(error, NW_ERROR_DATA, "%s and %s have inputs or outputs of different sizes", r->path,
                           r->against);
    }
    const char *text = r->network.model->plan;
    if (r->plan_path)
        NW_TRY(nw_plan_read(&r->plan, r->plan_path, error));
    else if (text)
        NW_TRY(nw_plan_parse(&r->plan, text, strlen(text), r->path, error));
    if (!r->data)
        return NW_OK;
    bool given;
    nw_model *model = r->network.model;
    NW_TRY(nw_data_options_settle(&model->preprocess, &given, &r->preprocess, model, error));
    NW_TRY(nw_data_open(&r->dataset, r->data, r->labels, &model->preprocess, given, error));
    if (nw_dataset_sample_size(r->dataset) != nw_network_input_size(&r->network))
        return nw_fail(error, NW_ERROR_DATA, "%s: a sample has %zu values, but the network reads %zu", r->data,
                       nw_dataset_sample_size(r->dataset), nw_network_input_size(&r->network));
    return NW_OK;
}

/** Accuracy where the data has a class per sample; agreement and SQNR beside the float network. */
static nw_status score_samples(report *r, size_t n, nw_score *score, nw_score *other, nw_error *error)
{
    const size_t size = nw_network_output_size(&r->network);
    float *logits = malloc(2 * size * sizeof(float));
    nw_status status = logits ? NW_OK : nw_fail_memory(error, "evaluating");
    nw_progress progress = {.phase = "evaluating"};
    for (size_t i = 0; !status && i < n; i++) {
        const int32_t label = nw_dataset_label(r->dataset, i);
        status = nw_network_run(&r->network, r->dataset, i, 1, logits, error);
        if (!status && r->against)
            status = nw_network_run(&r->floats, r->dataset, i, 1, logits + size, error);
        if (status)
            break;
        nw_score_add(score, logits, label, NULL, r->against ? logits + size : NULL);
        if (r->against)
            nw_score_add(other, logits + size, label, NULL, NULL);
        nw_progress_show(&progress, (int64_t)i + 1, (int64_t)n);
    }
    free(logits);
    return status;
}

static nw_status evaluate(report *r, nw_error *error)
{
    nw_facts *f = &r->facts;
    const nw_model *model = r->network.model;
    const nw_tensor *output = &model->tensors[model->outputs[0]];
    const size_t count = nw_dataset_count(r->dataset);
    nw_score score = {0};
    nw_score other = {0};
    f->samples = r->limit && (size_t)r->limit < count ? (size_t)r->limit : count;
    nw_status status = nw_score_init(&score, output, model->preprocess.class_offset, error);
    if (!status)
        status = nw_score_init(&other, output, model->preprocess.class_offset, error);
    if (!status)
        status = score_samples(r, f->samples, &score, &other, error);
    if (!status && score.labelled && score.positions == 1) {
        f->top1 = nw_score_top1(&score);
        f->top1_standard_error = nw_standard_error(f->top1, score.labelled);
        f->float_top1 = r->against ? nw_score_top1(&other) : NAN;
    }
    if (!status && r->against) {
        f->agreement = nw_score_agreement(&score);
        f->sqnr_db = nw_score_sqnr(&score);
    }
    nw_score_free(&score);
    nw_score_free(&other);
    return status;
}

static nw_status describe(report *r, nw_error *error)
{
    nw_facts *f = &r->facts;
    NW_TRY(nw_facts_create(f, &r->network, r->path, error));
    r->described = true;
    f->against = r->against;
    f->data = r->data;
    f->against_bytes = r->against ? r->floats.model->source_size : 0;
    if (r->plan)
        NW_TRY(nw_facts_add_plan(f, r->plan, error));
    if (r->bench) {
        NW_TRY(nw_timing_measure(&r->timing, &r->network, (nw_network *[]){&r->floats}, r->against ? 1 : 0, r->runs,
                                 r->threads, error));
        f->timing = &r->timing;
        f->runs = r->runs;
        f->threads = (int64_t)nw_thread_count(r->threads);
    }
    if (!r->data)
        return NW_OK;
    const size_t count = nw_dataset_count(r->dataset);
    NW_TRY(nw_facts_measure(f, &r->network, r->against ? &r->floats : NULL, r->dataset,
                            (size_t)r->samples < count ? (size_t)r->samples : count, error));
    return evaluate(r, error);
}

static nw_status write_out(const report *r, nw_error *error)
{
    if (r->output) {
        nw_html page = {0};
        nw_page(&page, &r->facts);
        NW_TRY(nw_html_write(&page, r->output, error));
        if (!r->json)
            printf("%s: %d layers, %d tensors of %s\n", r->output, r->facts.n_layers, r->facts.n_tensors, r->path);
    }
    return r->json ? nw_report_print(nw_facts_json(&r->facts), error) : NW_OK;
}

nw_status nw_command_report(int argc, char **argv, nw_error *error)
{
    report r = {.samples = 16, .runs = 50, .threads = 1};
    bool help;
    const nw_option options[] = {
        {"output", "FILE", NW_OPTION_TEXT, &r.output, "the page; -o FILE is the same"},
        {"against", "ONNX", NW_OPTION_TEXT, &r.against,
         "the float network: errors, agreement, sizes and times beside it"},
        {"data", "PATH", NW_OPTION_TEXT, &r.data, "samples: codes seen, errors, accuracy"},
        {"labels", "PATH", NW_OPTION_TEXT, &r.labels, "classes that the data does not carry: .csv or .npy"},
        {"samples", "N", NW_OPTION_NUMBER, &r.samples, "samples for codes and errors, spread evenly (default 16)"},
        {"limit", "N", NW_OPTION_NUMBER, &r.limit, "accuracy and agreement of only the first N samples"},
        {"plan", "FILE", NW_OPTION_TEXT, &r.plan_path,
         "the plan with its reasons (`narrow plan`); default: the network's own"},
        {"bench", NULL, NW_OPTION_FLAG, &r.bench, "measure times"},
        {"runs", "N", NW_OPTION_NUMBER, &r.runs, "runs for --bench (default 50)"},
        {"threads", "N", NW_OPTION_NUMBER, &r.threads, "default 1"},
        NW_TUNED_OPTIONS(&r.storage),
        NW_DATA_OPTIONS(&r.preprocess),
        NW_OPTION_JSON(&r.json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"report", "MODEL",
                                  "One HTML page about a .nw network: sizes, errors, speed, and why.",
                                  "narrow report net.nw -o net.html --against net.onnx --data test/ --bench", options};
    NW_TRY(nw_args_parse(&line, argc, argv, &r.path, 1, 1, &help, error));
    if (help)
        return NW_OK;
    nw_status status = check(&r, error);
    if (!status)
        status = open_all(&r, error);
    if (!status)
        status = describe(&r, error);
    if (!status)
        status = write_out(&r, error);
    if (r.described)
        nw_facts_free(&r.facts);
    nw_timing_free(&r.timing);
    nw_plan_free(r.plan);
    nw_dataset_free(r.dataset);
    nw_network_close(&r.network);
    nw_network_close(&r.floats);
    return status;
}
