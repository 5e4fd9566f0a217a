/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options that say how a network is quantized, and the calibration that goes before it: what `narrow quantize` and
 * `narrow plan` share.
 *
 *     nw_quantize_choices choices = NW_QUANTIZE_CHOICES_DEFAULTS;
 *     const nw_option options[] = {NW_QUANTIZE_CHOICES(&choices), ..., NW_OPTIONS_END};
 *     ...
 *     nw_quantize_options settled;
 *     NW_TRY(nw_quantize_choices_settle(&settled, &choices, error));
 */
#ifndef NARROW_CLI_QUANTIZE_OPTIONS_H
#define NARROW_CLI_QUANTIZE_OPTIONS_H

#include "cli/args.h"
#include "cli/report.h"
#include "data/dataset.h"
#include "quant/quantize.h"

typedef struct nw_quantize_choices {
    const char *acc, *range, *weight_range, *bias_correction, *weight_method, *weight_book, *weight_storage,
        *point_budget;
    const char *act_method, *act_placement, *act_ranking, *act_share;
    int64_t weights, acts, act_extra_bits, input_bits, border, rounding_samples, learn, seed;
    bool equalize, limits, acc_first;
} nw_quantize_choices;

#define NW_QUANTIZE_CHOICES_DEFAULTS                                                                                   \
    {                                                                                                                  \
        .weights = 8, .acts = 8, .act_extra_bits = 3, .input_bits = 8, .border = 8, .learn = NW_LEARN_AUTO, .seed = 1, \
        .equalize = true, .limits = true                                                                               \
    }

/** Table entries for a command's options. */
#define NW_QUANTIZE_CHOICES(o)                                                                                         \
    {"weights", "BITS", NW_OPTION_NUMBER, &(o)->weights, "width of weights, 1 to 8 (default 8)"},                      \
    {"acts", "BITS", NW_OPTION_NUMBER, &(o)->acts, "width of activations, 1 to 8 (default 8)"},                        \
    {"input-bits", "BITS", NW_OPTION_NUMBER, &(o)->input_bits,                                                         \
     "least width of the network's inputs (default 8; 0: like the rest)"},                                             \
    {"act-method", "METHOD", NW_OPTION_TEXT, &(o)->act_method,                                                         \
     "activations below 8 bits: direct (default), noisy, noisy-scalar, dqa"},                                          \
    {"act-extra-bits", "BITS", NW_OPTION_NUMBER, &(o)->act_extra_bits,                                                 \
     "dqa: further bits of important channels (default 3)"},                                                           \
    {"act-share", "SHARE", NW_OPTION_TEXT, &(o)->act_share, "dqa: share of important channels (default 0.4)"},         \
    {"act-placement", "WHERE", NW_OPTION_TEXT, &(o)->act_placement,                                                    \
     "narrow activations: all (default), blocks (outputs of blocks)"},                                                 \
    {"act-ranking", "RULE", NW_OPTION_TEXT, &(o)->act_ranking,                                                         \
     "dqa: important channels by output (default), accuracy (greedy search, slow) or random"},                         \
    {"weight-method", "METHOD", NW_OPTION_TEXT, &(o)->weight_method,                                                   \
     "weights below 8 bits: plain, feedback, refine (default), multipoint, multipoint-feedback, multipoint-refine; "   \
     "to compare: multipoint-random, piecewise, ocs"},                                                                 \
    {"weight-book", "BOOK", NW_OPTION_TEXT, &(o)->weight_book,                                                         \
     "values of weights below 8 bits: uniform (default), power-of-two (3, 4 bits), flint (4, 5 bits), shared (one "    \
     "step a layer, for coded storage), "                                                                              \
     "per-tensor (uniform, one step a layer), auto (uniform, or flint in layers where it errs clearly less)"},         \
    {"weight-storage", "HOW", NW_OPTION_TEXT, &(o)->weight_storage,                                                    \
     "weights in the file: packed (default), coded (entropy-coded: a smaller file, the same answers)"},                \
    {"point-budget", "PERCENT", NW_OPTION_TEXT, &(o)->point_budget,                                                    \
     "extra multiply-accumulates that further points may cost (default 5)"},                                           \
    {"first-last", "BITS", NW_OPTION_NUMBER, &(o)->border,                                                             \
     "least width of the first and last layers' weights (default 8; 0: like the rest)"},                               \
    {"acc", "WIDTH", NW_OPTION_TEXT, &(o)->acc,                                                                        \
     "sums: auto (default), 32, 16 (ranges narrowed for 16-bit sums; exact), 16-wrap (modulo 2^16)"},                  \
    {"acc-first", NULL, NW_OPTION_FLAG, &(o)->acc_first, "--acc 16, 16-wrap: the first layer too"},                    \
    {"range", "METHOD", NW_OPTION_TEXT, &(o)->range, "activation ranges: minmax, percentile, mse, output (default)"},  \
    {"weight-range", "METHOD", NW_OPTION_TEXT, &(o)->weight_range, "weight steps: minmax, mse, output (default)"},     \
    {"bias-correction", "METHOD", NW_OPTION_TEXT, &(o)->bias_correction, "none, analytic, empirical (default)"},       \
    {"equalize", NULL, NW_OPTION_FLAG, &(o)->equalize, "cross-layer equalization (--no-equalize turns it off)"},       \
    {"limits", NULL, NW_OPTION_FLAG, &(o)->limits, "per-channel limits from calibration (--no-limits: off)"},          \
    {"rounding-samples", "N", NW_OPTION_NUMBER, &(o)->rounding_samples,                                                \
     "calibration samples that weights and biases are fitted to at once; memory grows with N (default: at most 96, "   \
     "384 before learning)"},                                                                                          \
    {"learn", "UPDATES", NW_OPTION_NUMBER, &(o)->learn,                                                                \
     "how often weights and activations' steps are moved along their gradients; 0: never (default: up to 1,200 times " \
     "behind activations of 6 bits or fewer)"},                                                                        \
    {"seed", "N", NW_OPTION_NUMBER, &(o)->seed, "stored in the plan (default 1)"}

/** NW_ERROR_USAGE naming the option that is none. */
nw_status nw_quantize_choices_settle(nw_quantize_options *out, const nw_quantize_choices *choices, nw_error *error);

/**
 * For planning, where the smallest file is wanted: weights are coded and the rows of a layer share a step, unless an
 * option says otherwise or gives channels further points.
 */
void nw_quantize_choices_prefer_small(nw_quantize_choices *choices);

/** Index of `given` among names (NULL-terminated) into *value; untouched if nothing is given. */
nw_status nw_choose(int *value, const char *option, const char *given, const char *const *names, nw_error *error);

/**
 * Samples of the data: `wanted` of them (0: all), spread evenly, so that a few of a folder of classes still come from
 * every class. `held` of these, spread evenly too, can be set aside. Calibration keeps `kept` of the others for bias
 * correction and rounding (0: as many as its defaults allow, more where `learns` says that learning starts from there).
 */
typedef struct nw_sample_choice {
    const nw_dataset *data;
    size_t n, held; /* of the data's samples, and of these set aside */
    int64_t kept;
    bool learns;
    int64_t pool; /* most samples that calibration keeps to learn from (nw_sample_pool) */
} nw_sample_choice;

nw_sample_choice nw_sample_choice_make(const nw_dataset *data, int64_t wanted, int64_t kept);

/**
 * Samples to learn from that these choices want: none where nothing can become narrow. @param planned  by --plan and
 * such
 */
int64_t nw_sample_pool(const nw_quantize_choices *choices, bool planned);

/** Index in the data of sample i of those not set aside (0 .. n - held - 1), and of those set aside. */
size_t nw_sample_used(const nw_sample_choice *choice, size_t i);
size_t nw_sample_held(const nw_sample_choice *choice, size_t i);

/** Runs calibration on the samples not set aside, with progress. */
nw_status nw_calibrate_on(nw_calibration **out, const nw_model *model, const nw_sample_choice *choice,
                          nw_error *error);

/** NW_ERROR_* unless the network has one input and a sample fits it. @param names  of the network and of the data */
nw_status nw_sample_check(const nw_model *model, const nw_dataset *data, const char *network, const char *path,
                          nw_error *error);

#endif
