/* SPDX-License-Identifier: Apache-2.0 */
/* See search.h. */
#include "plan/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/file.h"
#include "plan/reasons.h"

#define CLOSE_BYTES 1.02 /* two networks this near in size: no need to try what lies between */
#define CODED_TRIES 5   /* networks made for one budget */
#define FILE_TRIES 6    /* corrections of the budget for what the file holds besides weights */

const char *const nw_damage_names[] = {"divergence", "noise", "changed", NULL};

struct nw_search {
    nw_search_task task;
    nw_costs *costs;
    nw_item *items; /* [n] owned; of layers. Tensors have one width and no cost: activations.h chooses it */
    nw_item *priced; /* [n] owned; the same, time added to the damage at some price */
    double seconds; /* goal; 0: none */
    nw_activation_choice activations;
    bool narrow;
    int32_t n;
    double others; /* bytes of the file that are no packed weights, as far as is known */
    int64_t done;
};

nw_damage_kind nw_damage_default(const nw_measurement *measurement)
{
    return measurement->n_classes > 1 ? NW_DAMAGE_DIVERGENCE : NW_DAMAGE_NOISE;
}

static double damage_of(const nw_damage *damage, nw_damage_kind kind)
{
    return kind == NW_DAMAGE_DIVERGENCE ? damage->divergence
           : kind == NW_DAMAGE_NOISE    ? damage->noise
                                        : damage->changed;
}

/* items */

/** p_i: noise on Z at a middling width times 4^bits; over t_i, if that was measured. */
static double rate_of(const nw_measurement *m, const nw_measured *row)
{
    const int32_t bits = 6;
    const double p = row->at[bits].noise * exp2(2.0 * bits);
    return row->drop_noise > 0.0 && m->margin > 0.0 ? p / (row->drop_noise / m->margin) : p;
}

static bool is_coded(const nw_search *s)
{
    return s->task.options->weight_storage == NW_STORED_CODED;
}

static void make_item(nw_item *item, const nw_search *s, const nw_measured *row)
{
    const nw_search_task *task = &s->task;
    *item = (nw_item){.least = NW_LEAST_BITS, .most = NW_MOST_BITS};
    for (int32_t b = NW_LEAST_BITS; b <= NW_MOST_BITS; b++)
        item->damage[b] = damage_of(&row->at[b], task->kind);
    item->rate = rate_of(task->measurement, row);
    if (row->tensor) {
        const int32_t least = nw_activations_is_input(task->model, task->trials, row->index) ? task->options->input_bits : 0;
        item->least = item->most = least > task->options->activation_bits ? least : task->options->activation_bits;
        item->size = nw_activations_size(task->model, task->trials, row->index);
        return;
    }
    const nw_node *node = &task->model->nodes[row->index];
    item->size = (double)nw_tensor_elements(&task->model->tensors[node->inputs[1]]);
    for (int32_t b = NW_LEAST_BITS; b <= NW_MOST_BITS; b++)
        item->cost[b] = is_coded(s) ? fmax(row->coded[b], item->cost[b - 1])
                                    : nw_costs_layer_bytes(s->costs, row->index, b);
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
    nw_status status = s->items && s->priced ? nw_costs_create(&s->costs, task->model, task->calibration, task->options, error)
                                : nw_fail_memory(error, "planning");
    for (int32_t i = 0; !status && i < s->n; i++)
        make_item(&s->items[i], s, &task->measurement->rows[i]);
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
    free(found->bits);
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
            tensor->bits = search->items[i].least;
    }
    if (status)
        nw_plan_free(plan);
    else
        *rows = plan;
    return status;
}

void nw_search_set_times(nw_search *search, const nw_times *times)
{
    search->task.times = times;
}

/* time */

static double time_of(const nw_search *s, const int32_t *bits)
{
    if (!s->task.times)
        return NAN;
    double sum = s->task.times->rest;
    for (int32_t i = 0; i < s->n; i++)
        if (!s->task.measurement->rows[i].tensor)
            sum += s->task.times->layers[s->task.measurement->rows[i].index][bits[i]];
    return sum;
}

/** Allocates with a price on time. */
static nw_status allocate_priced(int32_t *bits, bool *fits, nw_search *s, double budget, double price, nw_error *error)
{
    memcpy(s->priced, s->items, (size_t)s->n * sizeof(*s->priced));
    for (int32_t i = 0; price > 0.0 && i < s->n; i++)
        for (int32_t b = NW_LEAST_BITS; !s->task.measurement->rows[i].tensor && b <= NW_MOST_BITS; b++)
            s->priced[i].damage[b] += price * s->task.times->layers[s->task.measurement->rows[i].index][b];
    return nw_allocate(bits, fits, s->priced, s->n, budget, s->task.how, error);
}

/** Within a budget of bytes, and of time if that is a goal: the lowest price on time that keeps it. */
static nw_status allocate(int32_t *bits, bool *fits, nw_search *s, double budget, nw_error *error)
{
    NW_TRY(allocate_priced(bits, fits, s, budget, 0.0, error));
    if (!(s->seconds > 0.0) || time_of(s, bits) <= s->seconds)
        return NW_OK;
    double lo = -30.0; /* log2 of the price, in damage of the whole network per its time */
    double hi = 40.0;
    const double unit = (nw_items_damage(s->items, s->n, bits) + 1e-30) / time_of(s, bits);
    for (int32_t step = 0; step < 18; step++) {
        const double middle = 0.5 * (lo + hi);
        NW_TRY(allocate_priced(bits, fits, s, budget, unit * exp2(middle), error));
        if (time_of(s, bits) <= s->seconds)
            hi = middle;
        else
            lo = middle;
    }
    return allocate_priced(bits, fits, s, budget, unit * exp2(hi), error);
}

/* one budget */

/** Bytes of the file: to the byte where weights are packed; else with coded weights as long as they were when measured. */
static nw_status count_bytes(nw_found *found, nw_search *s, nw_error *error)
{
    NW_TRY(nw_costs_file_bytes(&found->bytes, s->costs, found->plan, error));
    double more = 0.0;
    for (int32_t i = 0; is_coded(s) && i < s->n; i++) {
        const nw_measured *row = &s->task.measurement->rows[i];
        if (!row->tensor)
            more += s->items[i].cost[found->bits[i]] - nw_costs_layer_bytes(s->costs, row->index, found->bits[i]);
    }
    found->bytes = (size_t)fmax((double)found->bytes + more, 0.0);
    return NW_OK;
}

/** Widths for a file of at most `bytes`, and their plan. The file is the smallest there is if that is not possible. */
static nw_status decide(nw_found *found, nw_search *s, double bytes, nw_error *error)
{
    found->bits = calloc((size_t)s->n + 1, sizeof(*found->bits));
    if (!found->bits)
        return nw_fail_memory(error, "planning");
    double others = s->others;
    for (int32_t step = 0; step < FILE_TRIES; step++) {
        bool fits;
        nw_plan_free(found->plan);
        found->plan = NULL;
        NW_TRY(allocate(found->bits, &fits, s, bytes - others, error));
        NW_TRY(nw_reasons_plan(&found->plan, &s->task, s->items, found->bits, s->narrow, error));
        NW_TRY(count_bytes(found, s, error));
        if ((double)found->bytes <= bytes || !fits)
            break;
        others += ((double)found->bytes - bytes) * (double)(1 << step); /* the text of the plan changes too */
    }
    found->damage = nw_items_damage(s->items, s->n, found->bits);
    found->activations = s->activations;
    found->narrow = s->narrow;
    found->seconds = time_of(s, found->bits);
    found->verdict = (nw_verdict){NAN, NAN, NAN};
    return NW_OK;
}

/** Makes the network of a decision. */
static nw_status make(nw_found *found, nw_search *s, nw_error *error)
{
    nw_quantize_options options = *s->task.options;
    nw_bytes file = {0};
    options.plan = found->plan;
    NW_TRY(nw_quantize(&found->model, s->task.model, s->task.calibration, &options, error));
    NW_TRY(nw_model_serialize(&file, found->model, error));
    found->bytes = file.size;
    nw_bytes_free(&file);
    return NW_OK;
}

static double byte_limit(const nw_goals *goals)
{
    return goals->bytes > 0.0 ? goals->bytes : INFINITY;
}

static bool meets(const nw_found *found, const nw_goals *goals)
{
    return (double)found->bytes <= byte_limit(goals) &&
           (goals->arena <= 0.0 || (double)found->activations.arena <= goals->arena) &&
           (goals->activation_bits <= 0.0 || found->activations.mean_bits <= goals->activation_bits * (1.0 + 1e-9)) &&
           (goals->seconds <= 0.0 || found->seconds <= goals->seconds) &&
           (goals->drop < 0.0 || found->verdict.drop <= goals->drop);
}

/**
 * The network for a budget, judged. Coded weights may come out a little longer than they were when measured: if the file
 * then exceeds `limit`, again with a smaller budget, unless there is nothing smaller.
 */
static nw_status try_budget(nw_found *found, nw_search *s, double budget, double limit, bool dry, nw_error *error)
{
    nw_found one = {0};
    nw_status status = NW_OK;
    for (int32_t step = 0; !status && step < CODED_TRIES; step++) {
        nw_found_clear(&one);
        status = decide(&one, s, budget, error);
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

/* the drop */

/** Bytes of packed weights of the smallest and the largest network. */
static void span(const nw_search *s, double *least, double *most)
{
    *least = *most = 0.0;
    for (int32_t i = 0; i < s->n; i++) {
        *least += s->items[i].cost[s->items[i].least];
        *most += s->items[i].cost[s->items[i].most];
    }
}

/** Answers that a decision is expected to change: flips go with the size of the noise, which adds up in squares. */
static double expected_drop(const nw_search *s, const int32_t *bits)
{
    double squares = 0.0;
    for (int32_t i = 0; i < s->n; i++) {
        const nw_measured *row = &s->task.measurement->rows[i];
        squares += row->at[bits[i]].changed * row->at[bits[i]].changed;
    }
    return sqrt(squares);
}

/** First budget to try: the smallest whose expected drop is within the goal. */
static nw_status first_budget(double *bytes, nw_search *s, double lo, double hi, double drop, nw_error *error)
{
    for (int32_t step = 0; step < 8; step++) {
        nw_found one = {0};
        const double middle = 0.5 * (lo + hi);
        const nw_status status = decide(&one, s, middle, error);
        const double expected = status ? 0.0 : expected_drop(s, one.bits);
        nw_found_clear(&one);
        NW_TRY(status);
        if (expected <= drop)
            hi = middle;
        else
            lo = middle;
    }
    *bytes = hi;
    return NW_OK;
}

/** `best` is replaced by `one`, whose contents it takes; the trail stays. */
static void take(nw_found *best, nw_found *one)
{
    one->tried = best->tried;
    memcpy(one->trail, best->trail, sizeof(one->trail));
    nw_found_clear(best);
    *best = *one;
    *one = (nw_found){0};
}

/** Sizes between which the goal is met, and what is lost there; NAN: not known. */
typedef struct bracket {
    double lo, hi, lost_lo, lost_hi;
} bracket;

/** Where to try next: what is lost falls about evenly from octave to octave. */
static double between(const bracket *b, double goal)
{
    if (!(b->lost_hi > 0.0 && b->lost_lo > b->lost_hi && goal > 0.0))
        return sqrt(b->lo * b->hi);
    const double share = log(b->lost_lo / goal) / log(b->lost_lo / b->lost_hi);
    return b->lo * pow(b->hi / b->lo, fmin(fmax(share + 0.05, 0.1), 0.9));
}

/** The smallest network within the drop; best found if none is. */
static nw_status smallest(nw_found *best, nw_search *s, const nw_goals *goals, nw_error *error)
{
    bracket b = {.lost_lo = NAN, .lost_hi = NAN};
    double next;
    span(s, &b.lo, &b.hi);
    b.lo += s->others;
    b.hi += s->others * 1.1;
    const double limit = byte_limit(goals);
    b.hi = fmin(b.hi, limit);
    NW_TRY(first_budget(&next, s, b.lo, b.hi, goals->drop, error));
    bool met = false;
    for (int32_t step = 0; step < NW_MOST_TRIES; step++) {
        nw_found one = {0};
        NW_TRY(try_budget(&one, s, next, limit, false, error));
        best->trail[best->tried].bytes = one.bytes;
        best->trail[best->tried++].drop = one.verdict.drop;
        const double lost = one.verdict.drop;
        const bool good = lost <= goals->drop;
        const double size = (double)one.bytes;
        if (!best->model || (good ? !met || one.bytes < best->bytes : !met && one.verdict.drop < best->verdict.drop))
            take(best, &one);
        nw_found_clear(&one);
        if (s->task.progress)
            s->task.progress(s->task.context, step + 1, NW_MOST_TRIES);
        met = met || good;
        if (!good && next >= b.hi)
            break; /* the largest is not good enough */
        if (good) {
            b.hi = fmin(size, next);
            b.lost_hi = lost;
        } else if (next >= b.lo) {
            b.lo = next;
            b.lost_lo = lost;
        }
        if (b.hi <= b.lo * CLOSE_BYTES && (met || step + 2 >= NW_MOST_TRIES))
            break;
        next = met ? between(&b, goals->drop) : step > 1 ? b.hi : sqrt(next * b.hi);
    }
    return NW_OK;
}

nw_status nw_search_run(nw_found *found, nw_search *search, const nw_goals *goals, bool dry, nw_error *error)
{
    nw_found best = {0};
    double least, most;
    search->seconds = goals->seconds;
    nw_found probe = {0}; /* learns what the file holds besides weights */
    nw_status status = choose_activations(search, goals, error);
    if (!status)
        status = decide(&probe, search, INFINITY, error);
    if (!status)
        search->others = (double)probe.bytes - nw_items_cost(search->items, search->n, probe.bits);
    nw_found_clear(&probe);
    span(search, &least, &most);
    if (!status && goals->drop >= 0.0 && !dry && search->task.judge) {
        status = smallest(&best, search, goals, error);
    } else if (!status) {
        status = try_budget(&best, search, byte_limit(goals), byte_limit(goals), dry, error);
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
    nw_status status = decide(&probe, search, INFINITY, error);
    if (!status)
        search->others = (double)probe.bytes - nw_items_cost(search->items, search->n, probe.bits);
    nw_found_clear(&probe);
    span(search, &least, &most);
    for (int32_t i = 0; i < search->n; i++)
        weights += search->task.measurement->rows[i].tensor ? 0.0 : search->items[i].size;
    for (int32_t i = 0; !status && i < *n; i++) {
        nw_found one = {0};
        const double share = *n > 1 ? (double)i / (*n - 1) : 1.0;
        status = decide(&one, search, search->others + least + share * (most - least) + 1.0, error);
        if (!status && (kept == 0 || one.bytes > points[kept - 1].bytes)) {
            double sum = 0.0;
            for (int32_t j = 0; j < search->n; j++)
                sum += search->task.measurement->rows[j].tensor ? 0.0 : search->items[j].size * one.bits[j];
            points[kept++] = (nw_front_point){one.bytes, one.damage, weights > 0.0 ? sum / weights : 0.0};
        }
        nw_found_clear(&one);
    }
    *n = kept;
    return status;
}
