/* SPDX-License-Identifier: Apache-2.0 */
/* See search.h. The search for the smallest network within a drop is in search_drop.c. */
#include "plan/search_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/file.h"
#include "plan/reasons.h"

#define CODED_TRIES 5   /* networks made for one budget */
#define FILE_TRIES 6    /* corrections of the budget for what the file holds besides weights */
#define DEAREST 40.0    /* log2 of the highest price on time, in damage of the whole network per its time */
#define CHEAPEST (-30.0)
#define POINT_BYTES 12  /* of a further point besides its codes: channel, step, offset */

const char *const nw_damage_names[] = {"divergence", "noise", "changed", NULL};

nw_damage_kind nw_damage_default(const nw_measurement *measurement)
{
    return measurement->n_classes > 1 ? NW_DAMAGE_DIVERGENCE : NW_DAMAGE_NOISE;
}

double nw_damage_of(const nw_damage *damage, nw_damage_kind kind)
{
    return kind == NW_DAMAGE_DIVERGENCE ? damage->divergence
           : kind == NW_DAMAGE_NOISE    ? damage->noise
                                        : damage->changed;
}

/* items */

/** p_i over t_i, or p_i if t_i was not measured. */
static double rate_of(const nw_measurement *m, const nw_measured *row)
{
    const double robustness = nw_measured_robustness(m, row);
    return isnan(robustness) ? nw_measured_rate(row) : nw_measured_rate(row) / robustness;
}

static bool is_coded(const nw_search *s)
{
    return s->task.options->weight_storage == NW_STORED_CODED;
}

/** Rows of a layer with its further points over those without. */
static double rows_ratio(const nw_search *s, const nw_measured *row)
{
    const nw_node *node = &s->task.model->nodes[row->index];
    const int32_t n = nw_linear_shape_of(node, &s->task.model->tensors[node->inputs[1]]).n_channels;
    return 1.0 + (double)row->extra_points / n;
}

/** Costs of the choices with further points. */
static void add_points(nw_item *item, const nw_search *s, const nw_measured *row)
{
    item->most_extended = row->extended ? NW_MOST_EXTENDED_BITS : 0;
    for (int32_t b = NW_LEAST_BITS; b <= item->most_extended; b++) {
        const int32_t choice = nw_choice_extend(b);
        const double codes = is_coded(s) ? row->coded[choice]
                                         : nw_costs_layer_bytes(s->costs, row->index, b) * rows_ratio(s, row);
        item->cost[choice] = codes + POINT_BYTES * row->extra_points;
    }
}

static void make_item(nw_item *item, const nw_search *s, const nw_measured *row)
{
    const nw_search_task *task = &s->task;
    *item = (nw_item){.least = NW_LEAST_BITS, .most = NW_MOST_BITS};
    for (int32_t choice = NW_LEAST_BITS; choice < NW_CHOICES; choice++)
        item->damage[choice] = nw_damage_of(&row->at[choice], task->kind);
    item->rate = rate_of(task->measurement, row);
    if (row->tensor) {
        const int32_t least =
            nw_activations_is_input(task->model, task->trials, row->index) ? task->options->input_bits : 0;
        item->least = item->most = least > task->options->activation_bits ? least : task->options->activation_bits;
        item->size = nw_activations_size(task->model, task->trials, row->index);
        return;
    }
    const nw_node *node = &task->model->nodes[row->index];
    item->size = (double)nw_tensor_elements(&task->model->tensors[node->inputs[1]]);
    for (int32_t b = NW_LEAST_BITS; b <= NW_MOST_BITS; b++)
        item->cost[b] = is_coded(s) ? fmax(row->coded[b], item->cost[b - 1])
                                    : nw_costs_layer_bytes(s->costs, row->index, b);
    add_points(item, s, row);
}

void nw_search_free(nw_search *search)
{
    if (!search)
        return;
    nw_costs_free(search->costs);
    free(search->items);
    free(search->priced);
    free(search);
}

/** Widths of activations for the goals; goals NULL: those of the options. */
static nw_status choose_activations(nw_search *s, const nw_goals *goals, nw_error *error)
{
    const nw_activation_task task = {
        .model = s->task.model,
        .trials = s->task.trials,
        .measurement = s->task.measurement,
        .options = s->task.options,
        .costs = s->costs,
        .most = s->task.options->activation_bits,
        .inputs = s->task.options->input_bits <= s->task.options->activation_bits && s->task.options->input_bits < 8,
        .how = s->task.how,
        .mean_bits = goals ? goals->activation_bits : 0.0,
        .arena = goals ? goals->arena : 0.0,
    };
    s->narrow = task.mean_bits > 0.0 || task.arena > 0.0;
    return nw_activations_choose(&s->activations, s->items, &task, error);
}

nw_status nw_search_create(nw_search **out, const nw_search_task *task, nw_error *error)
{
    nw_search *s = calloc(1, sizeof(*s));
    if (!s)
        return nw_fail_memory(error, "planning");
    s->task = *task;
    s->n = task->measurement->n;
    s->items = calloc((size_t)s->n + 1, sizeof(*s->items));
    s->priced = calloc((size_t)s->n + 1, sizeof(*s->priced));
    nw_status status = s->items && s->priced
                           ? nw_costs_create(&s->costs, task->model, task->calibration, task->options, error)
                           : nw_fail_memory(error, "planning");
    for (int32_t i = 0; !status && i < s->n; i++)
        make_item(&s->items[i], s, &task->measurement->rows[i]);
    if (!status)
        s->costs->fusion = task->fusion;
    if (!status)
        status = choose_activations(s, NULL, error);
    if (status)
        nw_search_free(s);
    else
        *out = s;
    return status;
}

void nw_found_clear(nw_found *found)
{
    nw_plan_free(found->plan);
    nw_model_free(found->model);
    free(found->choices);
    *found = (nw_found){0};
}

nw_status nw_search_activations(nw_plan **rows, nw_search *search, const nw_goals *goals, nw_error *error)
{
    *rows = NULL;
    NW_TRY(choose_activations(search, goals, error));
    if (!search->narrow || !search->activations.packed)
        return NW_OK;
    nw_plan *plan = nw_plan_create();
    nw_status status = plan ? NW_OK : nw_fail_memory(error, "a plan");
    for (int32_t i = 0; !status && i < search->n; i++) {
        const nw_measured *row = &search->task.measurement->rows[i];
        nw_plan_tensor *tensor = NULL;
        if (!row->tensor)
            continue;
        status = nw_plan_add_tensor(&tensor, plan, row->name, false, error);
        if (!status)
            nw_reasons_tensor(tensor, &search->task, &search->items[i]);
    }
    if (status)
        nw_plan_free(plan);
    else
        *rows = plan;
    return status;
}

/* time */

void nw_search_set_times(nw_search *search, const nw_times *times, const nw_times *narrowed)
{
    search->task.times = times;
    search->task.narrowed_times = narrowed;
}

/** Of a layer; further points take as much longer as there are more rows. */
static double layer_time(const nw_search *s, const nw_measured *row, int32_t choice)
{
    const nw_times *times = nw_choice_is_narrowed(choice) ? s->task.narrowed_times : s->task.times;
    const double seconds = times->layers[row->index][nw_choice_bits(choice)];
    return nw_choice_is_extended(choice) ? seconds * rows_ratio(s, row) : seconds;
}

/** Widths at which narrowed rows are faster. */
static uint32_t paying(const nw_search *s, const nw_measured *row)
{
    uint32_t widths = 0;
    for (int32_t b = NW_LEAST_BITS; !row->tensor && s->task.narrowed_times && b <= NW_MOST_BITS; b++)
        if (layer_time(s, row, nw_choice_narrow(b)) < NW_NARROWING_PAYS * layer_time(s, row, b))
            widths |= 1u << b;
    return widths;
}

void nw_search_narrowing(const nw_search *search, uint32_t *wanted)
{
    for (int32_t i = 0; i < search->n; i++)
        wanted[i] = paying(search, &search->task.measurement->rows[i]);
}

void nw_search_narrowed(nw_search *search)
{
    for (int32_t i = 0; i < search->n; i++) {
        const nw_measured *row = &search->task.measurement->rows[i];
        nw_item *item = &search->items[i];
        item->narrowed = row->narrowed & paying(search, row);
        for (int32_t b = NW_LEAST_BITS; b <= NW_MOST_BITS; b++) {
            const int32_t choice = nw_choice_narrow(b);
            item->damage[choice] = nw_damage_of(&row->at[choice], search->task.kind);
            item->cost[choice] = is_coded(search) ? row->coded[choice] : item->cost[b];
        }
    }
}

static double time_of(const nw_search *s, const int32_t *choices)
{
    if (!s->task.times)
        return NAN;
    double sum = s->task.times->rest;
    for (int32_t i = 0; i < s->n; i++)
        if (!s->task.measurement->rows[i].tensor)
            sum += layer_time(s, &s->task.measurement->rows[i], choices[i]);
    return sum;
}

/** Allocates with a price on time. */
static nw_status allocate_priced(int32_t *choices, bool *fits, nw_search *s, double budget, double price,
                                 nw_error *error)
{
    memcpy(s->priced, s->items, (size_t)s->n * sizeof(*s->priced));
    for (int32_t i = 0; price > 0.0 && i < s->n; i++) {
        int32_t order[NW_CHOICES];
        const nw_measured *row = &s->task.measurement->rows[i];
        const int32_t n = row->tensor ? 0 : nw_item_choices(order, &s->items[i]);
        for (int32_t j = 0; j < n; j++)
            s->priced[i].damage[order[j]] += price * layer_time(s, row, order[j]);
    }
    return nw_allocate(choices, fits, s->priced, s->n, budget, s->task.how, error);
}

/**
 * Within a budget of bytes, and of time if that is a goal: the lowest price on time that keeps it. A time that nothing
 * keeps is missed by as little damage as goes with what is as good as the fastest.
 */
static nw_status allocate(int32_t *choices, bool *fits, nw_search *s, double budget, nw_error *error)
{
    NW_TRY(allocate_priced(choices, fits, s, budget, 0.0, error));
    if (!(s->seconds > 0.0) || time_of(s, choices) <= s->seconds)
        return NW_OK;
    const double slowest = time_of(s, choices);
    const double unit = (nw_items_damage(s->items, s->n, choices) + 1e-30) / slowest;
    NW_TRY(allocate_priced(choices, fits, s, budget, unit * exp2(DEAREST), error));
    const double fastest = time_of(s, choices);
    const double wanted = fastest <= s->seconds ? s->seconds : NW_NEAR_FASTEST * fastest;
    double lo = CHEAPEST;
    double hi = DEAREST;
    if (slowest <= wanted)
        return allocate_priced(choices, fits, s, budget, 0.0, error);
    for (int32_t step = 0; step < 18; step++) {
        const double middle = 0.5 * (lo + hi);
        NW_TRY(allocate_priced(choices, fits, s, budget, unit * exp2(middle), error));
        if (time_of(s, choices) <= wanted)
            hi = middle;
        else
            lo = middle;
    }
    return allocate_priced(choices, fits, s, budget, unit * exp2(hi), error);
}

/* one budget */

/**
 * Bytes of the file: to the byte where weights are packed; else with coded weights as long as they were when measured.
 */
static nw_status count_bytes(nw_found *found, nw_search *s, nw_error *error)
{
    NW_TRY(nw_costs_file_bytes(&found->bytes, s->costs, found->plan, error));
    double more = 0.0;
    for (int32_t i = 0; i < s->n; i++) {
        const nw_measured *row = &s->task.measurement->rows[i];
        const int32_t choice = found->choices[i];
        if (!row->tensor && (is_coded(s) || choice > NW_MOST_BITS))
            more += s->items[i].cost[choice] - nw_costs_layer_bytes(s->costs, row->index, nw_choice_bits(choice));
    }
    found->bytes = (size_t)fmax((double)found->bytes + more, 0.0);
    return NW_OK;
}

nw_status nw_search_decide(nw_found *found, nw_search *s, double bytes, nw_error *error)
{
    found->choices = calloc((size_t)s->n + 1, sizeof(*found->choices));
    if (!found->choices)
        return nw_fail_memory(error, "planning");
    double others = s->others;
    for (int32_t step = 0; step < FILE_TRIES; step++) {
        bool fits;
        nw_plan_free(found->plan);
        found->plan = NULL;
        NW_TRY(allocate(found->choices, &fits, s, bytes - others, error));
        NW_TRY(nw_reasons_plan(&found->plan, &s->task, s->items, found->choices, s->narrow, error));
        NW_TRY(count_bytes(found, s, error));
        if ((double)found->bytes <= bytes || !fits)
            break;
        others += ((double)found->bytes - bytes) * (double)(1 << step); /* the text of the plan changes too */
    }
    found->damage = nw_items_damage(s->items, s->n, found->choices);
    found->activations = s->activations;
    found->narrow = s->narrow;
    found->seconds = time_of(s, found->choices);
    found->verdict = (nw_verdict){NAN, NAN, NAN};
    return NW_OK;
}

/** Makes the network of a decision. */
static nw_status make(nw_found *found, nw_search *s, nw_error *error)
{
    nw_quantize_options options = *s->task.options;
    nw_bytes file = {0};
    options.plan = found->plan;
    /* the plan gives points */
    options.point_budget = options.points == NW_POINTS_BY_ERROR ? 0.0 : options.point_budget;
    NW_TRY(nw_quantize(&found->model, s->task.model, s->task.calibration, &options, error));
    NW_TRY(nw_model_serialize(&file, found->model, error));
    found->bytes = file.size;
    nw_bytes_free(&file);
    return NW_OK;
}

static bool meets(const nw_found *found, const nw_goals *goals)
{
    return (double)found->bytes <= nw_search_byte_limit(goals) &&
           (goals->arena <= 0.0 || (double)found->activations.arena <= goals->arena) &&
           (goals->activation_bits <= 0.0 || found->activations.mean_bits <= goals->activation_bits * (1.0 + 1e-9)) &&
           (goals->seconds <= 0.0 || found->seconds <= goals->seconds) &&
           (goals->drop < 0.0 || found->verdict.drop <= goals->drop);
}

nw_status nw_search_try(nw_found *found, nw_search *s, double budget, double limit, bool dry, nw_error *error)
{
    nw_found one = {0};
    nw_status status = NW_OK;
    for (int32_t step = 0; !status && step < CODED_TRIES; step++) {
        nw_found_clear(&one);
        status = nw_search_decide(&one, s, budget, error);
        const bool is_least = (double)one.bytes > budget;
        if (!status && !dry)
            status = make(&one, s, error);
        if (is_least || (double)one.bytes <= limit)
            break;
        budget -= 1.2 * (step + 1) * ((double)one.bytes - limit);
    }
    if (!status && !dry && s->task.judge)
        status = s->task.judge(s->task.context, one.model, &one.verdict, error);
    if (status)
        nw_found_clear(&one);
    else
        *found = one;
    return status;
}

void nw_search_span(const nw_search *s, double *least, double *most)
{
    *least = *most = 0.0;
    for (int32_t i = 0; i < s->n; i++) {
        *least += s->items[i].cost[s->items[i].least];
        *most += s->items[i].cost[s->items[i].most];
    }
}

nw_status nw_search_run(nw_found *found, nw_search *search, const nw_goals *goals, bool dry, nw_error *error)
{
    nw_found best = {0};
    double least, most;
    search->seconds = goals->seconds;
    nw_found probe = {0}; /* learns what the file holds besides weights */
    nw_status status = choose_activations(search, goals, error);
    if (!status)
        status = nw_search_decide(&probe, search, INFINITY, error);
    if (!status)
        search->others = (double)probe.bytes - nw_items_cost(search->items, search->n, probe.choices);
    nw_found_clear(&probe);
    nw_search_span(search, &least, &most);
    if (!status && goals->drop >= 0.0 && !dry && search->task.judge) {
        status = nw_search_smallest(&best, search, goals, error);
    } else if (!status) {
        status = nw_search_try(&best, search, nw_search_byte_limit(goals), nw_search_byte_limit(goals), dry, error);
        if (!status && !dry) {
            best.trail[0].bytes = best.bytes;
            best.trail[0].drop = best.verdict.drop;
            best.tried = 1;
        }
    }
    if (status) {
        nw_found_clear(&best);
        return status;
    }
    best.met = meets(&best, goals);
    *found = best;
    return NW_OK;
}

nw_status nw_search_front(nw_front_point *points, int32_t *n, nw_search *search, nw_error *error)
{
    double least, most, weights = 0.0;
    int32_t kept = 0;
    nw_found probe = {0};
    nw_status status = nw_search_decide(&probe, search, INFINITY, error);
    if (!status)
        search->others = (double)probe.bytes - nw_items_cost(search->items, search->n, probe.choices);
    nw_found_clear(&probe);
    nw_search_span(search, &least, &most);
    for (int32_t i = 0; i < search->n; i++)
        weights += search->task.measurement->rows[i].tensor ? 0.0 : search->items[i].size;
    for (int32_t i = 0; !status && i < *n; i++) {
        nw_found one = {0};
        const double share = *n > 1 ? (double)i / (*n - 1) : 1.0;
        status = nw_search_decide(&one, search, search->others + least + share * (most - least) + 1.0, error);
        if (!status && (kept == 0 || one.bytes > points[kept - 1].bytes)) {
            double sum = 0.0;
            for (int32_t j = 0; j < search->n; j++)
                sum += search->task.measurement->rows[j].tensor
                           ? 0.0
                           : search->items[j].size * nw_choice_bits(one.choices[j]);
            points[kept++] = (nw_front_point){one.bytes, one.damage, weights > 0.0 ? sum / weights : 0.0};
        }
        nw_found_clear(&one);
    }
    *n = kept;
    return status;
}
