/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From goals to a plan: allocate.h on the measured damage (measure.h) and the real costs (cost.h), the network made and
 * judged on samples that nothing else saw, until the goals are met as tightly as can be.
 *
 *     nw_search *search;
 *     NW_TRY(nw_search_create(&search, &task, error));
 *     NW_TRY(nw_search_run(&found, search, &goals, error));
 *     ... nw_model_write(found.model, ...), nw_plan_print(found.plan)
 *     nw_found_clear(&found);
 *     nw_search_free(search);
 *
 * Layers may be given further points (options: point_budget, the share of a layer's multiply-accumulates that its
 * points may add) beside widths; the network made has them where the plan says so, and nowhere else. With a goal for
 * the time their rows may also be narrowed for 16-bit sums, where that is faster: times of both are told, then damages
 * measured of what nw_search_narrowing asks for.
 *
 * With a goal for the drop the smallest network that meets it is wanted; else the least damage within the others.
 * Widths of activations are chosen first (activations.h), for the goals that they alone can meet: they cost no bytes of
 * the file. Goals that nothing meets are missed by as little as can be: the smallest file, the least drop; of times,
 * the least damage within NW_NEAR_FASTEST of the fastest, for where widths hardly change the time they would be given
 * away for nothing.
 */
#ifndef NARROW_PLAN_SEARCH_H
#define NARROW_PLAN_SEARCH_H

#include "plan/activations.h"
#include "plan/allocate.h"
#include "plan/cost.h"
#include "plan/measure.h"
#include "plan/times.h"

/** What is added up and kept small. */
typedef enum nw_damage_kind { NW_DAMAGE_DIVERGENCE, NW_DAMAGE_NOISE, NW_DAMAGE_CHANGED } nw_damage_kind;

/** "divergence", "noise", "changed"; NULL-terminated. */
extern const char *const nw_damage_names[];

/** The one of its figures that is meant. */
double nw_damage_of(const nw_damage *damage, nw_damage_kind kind);

/** Divergence where Z holds the scores of classes of one output, else noise. */
nw_damage_kind nw_damage_default(const nw_measurement *measurement);

/** How good an integer network is. */
typedef struct nw_verdict {
    double drop;    /* share of answers lost, `error` included, 0 to 1 (or below 0: gained) */
    double error;   /* standard error of the drop; NAN: not known */
    double counted; /* what labels count without any error; NAN: nothing */
} nw_verdict;

typedef nw_status nw_judge(void *context, const nw_model *integer, nw_verdict *verdict, nw_error *error);

typedef struct nw_search_task {
    const nw_model *model; /* all borrowed */
    const nw_calibration *calibration;
    const nw_quantize_options *options;
    const nw_trials *trials;
    const nw_measurement *measurement; /* complete */
    const nw_times *times; /* NULL: nothing is known (yet), and there can be no goal for the time */
    const nw_times *narrowed_times; /* of the network with rows narrowed for 16-bit sums; NULL: that is no choice */
    nw_damage_kind kind;
    nw_allocation how;
    nw_fusion fusion; /* of the runs whose arena is a goal */
    nw_judge *judge; /* NULL: nothing is judged, and there can be no goal for the drop */
    void (*progress)(void *context, int64_t done, int64_t total);
    void *context;
} nw_search_task;

typedef struct nw_goals {
    double bytes; /* of the file; 0: no goal */
    double drop;  /* share of answers; below 0: no goal */
    double arena; /* bytes; 0: no goal */
    double activation_bits; /* mean over the values that may be narrow; 0: no goal */
    double seconds; /* of a run; 0: no goal */
} nw_goals;

typedef struct nw_search nw_search;

nw_status nw_search_create(nw_search **out, const nw_search_task *task, nw_error *error);
void nw_search_free(nw_search *search);

/**
 * Widths of activations as nw_search_run will choose them for the goals, which is what times depend on.
 *
 * @param rows  out: a plan of tensors alone; NULL if none is narrower than the options say. The caller's
 */
nw_status nw_search_activations(nw_plan **rows, nw_search *search, const nw_goals *goals, nw_error *error);

/** Gives times to a search that was created without. Borrowed. @param narrowed  NULL: narrowed widths are no choices */
void nw_search_set_times(nw_search *search, const nw_times *times, const nw_times *narrowed);

#define NW_NARROWING_PAYS 0.97 /* least share of its time that a narrowed layer must save, by forecast */

/** @param wanted  [measurement->n] out: widths (bit b) whose damage narrowed, narrowing.h, the search would know */
void nw_search_narrowing(const nw_search *search, uint32_t *wanted);

/** Takes narrowed widths that were measured since then, and pay, among the choices. */
void nw_search_narrowed(nw_search *search);

#define NW_NEAR_FASTEST 1.02 /* forecasts of times this close tell nothing apart */
#define NW_MOST_TRIES 8 /* networks made for one search */

/** What came out. */
typedef struct nw_found {
    nw_plan *plan;   /* owned; with reasons */
    nw_model *model; /* owned; NULL after a dry run */
    int32_t *choices; /* [measurement->n] owned; choice.h */
    size_t bytes;    /* of the file */
    nw_activation_choice activations;
    bool narrow;     /* widths of activations were chosen */
    double seconds;  /* as predicted; NAN without times */
    double damage;   /* sum of what was measured */
    nw_verdict verdict; /* all NAN if it was not judged */
    bool met;        /* all goals */
    int32_t tried;   /* networks that were made and judged on the way */
    struct {
        size_t bytes;
        double drop;
    } trail[NW_MOST_TRIES]; /* [tried] */
} nw_found;

/** @param dry  no network is made: goals for the drop cannot be met then */
nw_status nw_search_run(nw_found *found, nw_search *search, const nw_goals *goals, bool dry, nw_error *error);
void nw_found_clear(nw_found *found);

/** One point of the front: a budget's best. */
typedef struct nw_front_point {
    size_t bytes; /* of the file */
    double damage;
    double mean_bits; /* per weight */
} nw_front_point;

/** Points from the smallest to the largest network, at most n, budgets spaced evenly. @return in *n how many */
nw_status nw_search_front(nw_front_point *points, int32_t *n, nw_search *search, nw_error *error);

#endif
