/* SPDX-License-Identifier: Apache-2.0 */
/* See quantize_options.h. */
#include "cli/quantize_options.h"

#include <stdlib.h>
#include <string.h>

#define MOST_ROUNDING_SAMPLES 1000000
#define MOST_LEARN_UPDATES 1000000
#define MOST_POOL 1024  /* samples to learn from */
#define LEARNS_KEPT 384 /* and to round what is learned from there; docs/methods.md#learning */

nw_status nw_choose(int *value, const char *option, const char *given, const char *const *names, nw_error *error)
{
    if (!given)
        return NW_OK;
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], given) == 0) {
            *value = i;
            return NW_OK;
        }
    return nw_fail(error, NW_ERROR_USAGE, "--%s %s: no such choice; see `narrow quantize --help`", option, given);
}

void nw_quantize_choices_prefer_small(nw_quantize_choices *choices)
{
    const char *method = choices->weight_method ? choices->weight_method : "refine";
    const bool one_point = !strcmp(method, "plain") || !strcmp(method, "feedback") || !strcmp(method, "refine");
    if (!choices->weight_storage)
        choices->weight_storage = nw_plan_storages[NW_STORED_CODED];
    if (!choices->weight_book && one_point && !strcmp(choices->weight_storage, nw_plan_storages[NW_STORED_CODED]))
        choices->weight_book = nw_plan_books[NW_BOOK_SHARED];
}

/** --weight-method: how codes are found, and whether channels may have more points. */
static nw_status settle_weights(nw_quantize_options *o, const nw_quantize_choices *q, nw_error *error)
{
    static const char *const methods[] = {"plain",      "feedback",            "refine",
                                          "multipoint", "multipoint-feedback", "multipoint-refine",
                                          "multipoint-random", "piecewise", "ocs", NULL};
    int method = (int)o->rounding;
    NW_TRY(nw_choose(&method, "weight-method", q->weight_method, methods, error));
    int book = (int)o->book;
    NW_TRY(nw_choose(&book, "weight-book", q->weight_book, nw_plan_books, error));
    o->book = (nw_book_kind)book;
    int storage = (int)o->weight_storage;
    NW_TRY(nw_choose(&storage, "weight-storage", q->weight_storage, nw_plan_storages, error));
    o->weight_storage = (nw_weight_storage)storage;
    const bool multipoint = method > (int)NW_ROUND_REFINE;
    const bool rival = method >= 6; /* on nearest codes */
    o->rounding = rival ? NW_ROUND_PLAIN : (nw_rounding)(method % 3);
    o->points = rival ? (nw_point_method)(method - 6 + NW_POINTS_AT_RANDOM) : NW_POINTS_BY_ERROR;
    o->point_budget = multipoint ? 0.05 : 0.0;
    if (q->point_budget) {
        char *end;
        o->point_budget = strtod(q->point_budget, &end) / 100.0;
        if (!multipoint || end == q->point_budget || *end || !(o->point_budget > 0.0 && o->point_budget <= 3.0))
            return nw_fail(error, NW_ERROR_USAGE,
                           "--point-budget %s: percent above 0, at most 300, with one of --weight-method multipoint, "
                           "multipoint-feedback, multipoint-refine, multipoint-random, ocs", q->point_budget);
    }
    if (q->border < 0 || q->border > 8)
        return nw_fail(error, NW_ERROR_USAGE, "--first-last: 1 to 8 bits, or 0 for those of --weights");
    o->border_bits = (int32_t)q->border;
    return NW_OK;
}

/** --acts and what goes with it. */
static nw_status settle_activations(nw_quantize_options *o, const nw_quantize_choices *q, nw_error *error)
{
    static const char *const placements[] = {"all", "blocks", NULL};
    static const char *const rankings[] = {"output", "random", "accuracy", NULL};
    int kind = (int)o->activation_kind;
    int placement = (int)o->placement;
    int ranking = (int)o->ranking;
    NW_TRY(nw_choose(&kind, "act-method", q->act_method, nw_plan_schemes, error));
    NW_TRY(nw_choose(&placement, "act-placement", q->act_placement, placements, error));
    NW_TRY(nw_choose(&ranking, "act-ranking", q->act_ranking, rankings, error));
    if (q->act_extra_bits < 1 || q->act_extra_bits > 7)
        return nw_fail(error, NW_ERROR_USAGE, "--act-extra-bits: from 1 to 7 bits");
    if (q->input_bits < 0 || q->input_bits > 8)
        return nw_fail(error, NW_ERROR_USAGE, "--input-bits: 1 to 8 bits, or 0 for those of --acts");
    o->input_bits = (int32_t)q->input_bits;
    if (q->act_share) {
        char *end;
        o->share = strtod(q->act_share, &end);
        if (end == q->act_share || *end || !(o->share >= 0.0 && o->share <= 1.0))
            return nw_fail(error, NW_ERROR_USAGE, "--act-share %s: a number from 0 to 1", q->act_share);
    }
    o->activation_bits = (int32_t)q->acts;
    o->activation_kind = (nw_activation_kind)kind;
    o->placement = (nw_placement)placement;
    o->ranking = (nw_ranking)ranking;
    o->extra_bits = (int32_t)q->act_extra_bits;
    return NW_OK;
}

nw_status nw_quantize_choices_settle(nw_quantize_options *out, const nw_quantize_choices *q, nw_error *error)
{
    static const char *const ranges[] = {"minmax", "percentile", "mse", "output", NULL};
    static const char *const weight_ranges[] = {"minmax", "mse", "output", NULL};
    static const char *const corrections[] = {"none", "analytic", "empirical", NULL};
    nw_quantize_options o = NW_QUANTIZE_DEFAULTS;
    int range = (int)o.activation_range;
    int weight_range = (int)o.weight_range;
    int correction = (int)o.bias_correction;
    NW_TRY(nw_choose(&range, "range", q->range, ranges, error));
    NW_TRY(nw_choose(&weight_range, "weight-range", q->weight_range, weight_ranges, error));
    NW_TRY(nw_choose(&correction, "bias-correction", q->bias_correction, corrections, error));
    if (q->weights < 1 || q->weights > 8 || q->acts < 1 || q->acts > 8)
        return nw_fail(error, NW_ERROR_USAGE, "--weights and --acts: from 1 to 8 bits");
    if (q->rounding_samples < 0 || q->rounding_samples > MOST_ROUNDING_SAMPLES)
        return nw_fail(error, NW_ERROR_USAGE, "--rounding-samples: from 1 to %d, or 0 for the default",
                       MOST_ROUNDING_SAMPLES);
    if (q->learn < NW_LEARN_AUTO || q->learn > MOST_LEARN_UPDATES)
        return nw_fail(error, NW_ERROR_USAGE, "--learn: from 0 to %d updates", MOST_LEARN_UPDATES);
    o.learn_updates = (int32_t)q->learn;
    o.activation_range = (nw_range_method)range;
    o.weight_range = (nw_weight_method)weight_range;
    o.bias_correction = (nw_bias_correction)correction;
    o.weight_bits = (int32_t)q->weights;
    NW_TRY(settle_activations(&o, q, error));
    o.equalize = q->equalize;
    NW_TRY(settle_weights(&o, q, error));
    o.limits = q->limits;
    int accumulator = (int)o.accumulator;
    NW_TRY(nw_choose(&accumulator, "acc", q->acc, nw_plan_accumulators, error));
    o.accumulator = (nw_accumulator)accumulator;
    o.sums_first = q->acc_first;
    o.seed = (uint64_t)q->seed;
    *out = o;
    return NW_OK;
}

/* samples */

nw_sample_choice nw_sample_choice_make(const nw_dataset *data, int64_t wanted, int64_t kept)
{
    const size_t count = nw_dataset_count(data);
    return (nw_sample_choice){
        .data = data, .n = wanted && (size_t)wanted < count ? (size_t)wanted : count, .kept = kept};
}

int64_t nw_sample_pool(const nw_quantize_choices *choices, bool planned)
{
    const bool wanted = choices->learn > 0 || (choices->learn && (choices->acts < 8 || planned));
    return wanted ? MOST_POOL : 0;
}

/** Sample i of the n chosen ones. */
static size_t chosen(const nw_sample_choice *choice, size_t i)
{
    return (size_t)((double)i * (double)nw_dataset_count(choice->data) / (double)choice->n);
}

/** Of `part` samples spread over n, where number i stands: the last of its span. */
static size_t spread(size_t i, size_t part, size_t n)
{
    return ((i + 1) * n + part - 1) / part - 1;
}

size_t nw_sample_held(const nw_sample_choice *choice, size_t i)
{
    return chosen(choice, spread(i, choice->held, choice->n));
}

size_t nw_sample_used(const nw_sample_choice *choice, size_t i)
{
    if (!choice->held)
        return chosen(choice, i);
    size_t lo = i; /* every one set aside before it moves it on by one */
    for (size_t held = 0; held < choice->held && spread(held, choice->held, choice->n) <= lo; held++)
        lo++;
    return chosen(choice, lo);
}

static nw_status read_sample(void *context, int64_t index, float *const *inputs, nw_error *error)
{
    const nw_sample_choice *choice = context;
    return nw_dataset_tensor(choice->data, nw_sample_used(choice, (size_t)index), inputs[0], error);
}

static void show_progress(void *context, int64_t done, int64_t total)
{
    nw_progress_show(context, done, total);
}

nw_status nw_calibrate_on(nw_calibration **out, const nw_model *model, const nw_sample_choice *choice, nw_error *error)
{
    nw_sample_choice copy = *choice;
    const nw_sample_source source = {read_sample, &copy, (int64_t)(choice->n - choice->held)};
    nw_calibrate_options options = NW_CALIBRATE_DEFAULTS;
    nw_progress progress = {.phase = "calibrating"};
    options.max_kept = (int32_t)choice->kept;
    if (choice->learns)
        options.auto_kept = LEARNS_KEPT;
    options.max_pool = (int32_t)choice->pool;
    options.progress = show_progress;
    options.progress_context = &progress;
    return nw_calibrate(out, model, &source, &options, error);
}

nw_status nw_sample_check(const nw_model *model, const nw_dataset *data, const char *network, const char *path,
                          nw_error *error)
{
    if (model->n_inputs != 1)
        return nw_fail(error, NW_ERROR_UNSUPPORTED, "%s: has %d inputs; calibration feeds exactly one", network,
                       model->n_inputs);
    const size_t wanted = nw_tensor_elements(&model->tensors[model->inputs[0]]);
    if (nw_dataset_sample_size(data) != wanted)
        return nw_fail(error, NW_ERROR_DATA, "%s: a sample has %zu values, but the network reads %zu", path,
                       nw_dataset_sample_size(data), wanted);
    return NW_OK;
}
