/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that `narrow report` says of a network, as plain data: facts.c takes it from the file and the engine, errors.c
 * from runs beside the float network, planned.c from a plan's reasons; facts_json.c and page.c write it down.
 *
 *     nw_facts facts;
 *     NW_TRY(nw_facts_create(&facts, &network, path, error));
 *     NW_TRY(nw_facts_measure(&facts, &network, &floats, data, 16, error));
 *     ... nw_facts_json(&facts), nw_page_write(&page, &facts) ...
 *     nw_facts_free(&facts);
 *
 * What was not measured is NAN. A ratio of signal to noise without noise is INFINITY.
 */
#ifndef NARROW_CLI_REPORT_FACTS_H
#define NARROW_CLI_REPORT_FACTS_H

#include <cjson/cJSON.h>

#include "cli/network.h"
#include "cli/shares.h"
#include "cli/timing.h"
#include "quant/plan.h"

#define NW_FACT_WIDTHS 9  /* figures by bits, 1 to 8 */
#define NW_FACT_FRONT 12  /* most points of the front */

/** A linear layer. */
typedef struct nw_layer_facts {
    int32_t node;            /* of the model */
    char shape[96];          /* of the output */
    int32_t weight_bits, activation_bits; /* 32: reals */
    int32_t planned_bits;    /* width that was planned; values on a shared step (quant/code_book.h) are wider */
    int32_t extra_bits;      /* of activation_bits, those that only important channels have */
    uint64_t macs, weight_bytes, n_weights;
    int64_t weights[256];    /* [w + 128]: how many weights are w, all points */
    const char *kernel;      /* borrowed from the engine */
    bool has_runs;           /* whether sums are formed in 16 bits; then: */
    nw_run_counts runs;
    double mean_run;         /* steps */
    double paired_share, wide_share; /* of the steps: nw_run_counts */
    double filled_share;     /* of the places of all steps: hold a weight */
    char why[256];           /* why it is not faster: one sentence */
    char narrowed[400];      /* what was narrowed for 16-bit sums, what that gains and costs: sentences; or empty */
    double narrowed_damage;  /* with that, `damage` being without it; NAN: not known */
    double isolated_db;      /* SQNR of its output when it alone is integer */
    double accumulated_db;   /* ... when everything is */
    double damage;           /* as planned, in units of damage_measure */
    int32_t n_by_bits;       /* widths the planner measured: */
    double damage_by_bits[NW_FACT_WIDTHS], bytes_by_bits[NW_FACT_WIDTHS]; /* NAN: not measured */
} nw_layer_facts;

/** A tensor of codes whose producer rounds. */
typedef struct nw_tensor_facts {
    int32_t tensor, node;
    int32_t extra_bits, n_fine; /* of its bits, those that only important channels have, and how many these are */
    double lowest, highest;  /* reals that the codes reach */
    double *limits;          /* [n_limits] owned; per channel its share of the codes, ascending */
    int32_t n_limits;
    int64_t codes[256];      /* how often each was seen */
    int64_t n_codes;         /* 0: none seen */
    int64_t n_at_limit;
    double at_limit_share;   /* of the codes: at the upper limit of their channel */
    double accumulated_db;
    double damage;           /* as planned, of it and those that share its grid */
    int32_t n_by_bits;       /* widths the planner measured: */
    double damage_by_bits[NW_FACT_WIDTHS], bytes_by_bits[NW_FACT_WIDTHS]; /* NAN: not measured */
} nw_tensor_facts;

/** A node that computes in reals. */
typedef struct nw_float_facts {
    int32_t node;
    const char *why; /* static */
} nw_float_facts;

typedef struct nw_facts {
    const char *path, *against, *data; /* borrowed; NULL: not given */
    const nw_model *model;                    /* borrowed */
    const char *isa;
    nw_shares shares;
    uint64_t file_bytes, against_bytes, float_weight_bytes; /* weights and biases of the linear layers in binary32 */
    size_t activation_bytes, packed_activation_bytes, engine_bytes; /* packed: with packed storage, one thread */
    nw_layer_facts *layers;   /* [n_layers] owned */
    nw_tensor_facts *tensors; /* [n_tensors] owned */
    nw_float_facts *floats;   /* [n_floats] owned */
    int32_t n_layers, n_tensors, n_floats;
    /* with data */
    size_t samples, error_samples;
    double top1, top1_standard_error, float_top1, agreement, sqnr_db;
    /* with times */
    const nw_timing *timing; /* borrowed, or NULL */
    int64_t runs, threads;
    /* with a plan that says why */
    char damage_measure[32]; /* "": none */
    int32_t n_front;
    double front_bytes[NW_FACT_FRONT], front_damage[NW_FACT_FRONT];
    double chosen_bytes, chosen_damage;
} nw_facts;

/** What the file and the engine say. @param network  integer, open; must outlive the facts. NW_ERROR_MEMORY */
nw_status nw_facts_create(nw_facts *facts, const nw_network *network, const char *path, nw_error *error);
void nw_facts_free(nw_facts *facts);

/**
 * Runs samples, spread evenly, through the network: counts codes; beside the float network also errors. A tensor's
 * channels are compared after the factor that fits best, because equalization leaves factors the file does not keep.
 *
 * @param floats     the float network, or NULL
 * @param n_samples  1 to the count of the data
 */
nw_status nw_facts_measure(nw_facts *facts, nw_network *network, nw_network *floats, const nw_dataset *data,
                           size_t n_samples, nw_error *error);

/** Reasons and the front, from a plan; layers and tensors without reasons stay without. */
nw_status nw_facts_add_plan(nw_facts *facts, const nw_plan *plan, nw_error *error);

/** Sets `why` of a layer from its runs: speed.c. */
void nw_facts_explain(nw_layer_facts *layer, const nw_model *model, nw_isa isa);

/** The document of --json; NULL without memory. */
cJSON *nw_facts_json(const nw_facts *facts);

/** Time of a layer in milliseconds, or NAN. */
double nw_layer_milliseconds(const nw_facts *facts, const nw_layer_facts *layer);

static inline const nw_node *nw_layer_node(const nw_facts *facts, const nw_layer_facts *layer)
{
    return &facts->model->nodes[layer->node];
}

#define NW_RUN_BUCKETS 9 /* no run (wide), runs of up to 1, 2, 4, 8, .., 128 steps */
extern const char *const nw_run_bucket_names[NW_RUN_BUCKETS];

/** Share of a layer's steps that stand in runs of such a length. */
void nw_run_buckets(double shares[NW_RUN_BUCKETS], const nw_layer_facts *layer);

#endif
