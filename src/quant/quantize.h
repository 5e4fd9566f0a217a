/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Float network and calibration in, integer network out (docs/numerics.md says what its nodes compute).
 *
 *     nw_quantize_options options = NW_QUANTIZE_DEFAULTS;
 *     options.activation_bits = 7;
 *     nw_model *integer;
 *     NW_TRY(nw_quantize(&integer, model, calibration, &options, error));
 *     NW_TRY(nw_model_write(integer, "net.nw", error));
 */
#ifndef NARROW_QUANT_QUANTIZE_H
#define NARROW_QUANT_QUANTIZE_H

#include "model/model.h"
#include "quant/calibrate.h"
#include "quant/plan.h"
#include "quant/range.h"
#include "quant/refine.h"
#include "quant/rivals.h"
#include "quant/weights.h"

#define NW_EQUALIZE_AUTO (-1.0)
#define NW_LEARN_AUTO (-1)

typedef enum nw_bias_correction {
    NW_BIAS_CORRECTION_NONE,
    NW_BIAS_CORRECTION_ANALYTIC, /* from the weights' and the input's mean rounding error per channel */
    NW_BIAS_CORRECTION_EMPIRICAL /* measured layer by layer on the kept samples, behind the quantized prefix */
} nw_bias_correction;

/** Which tensors are narrow; the others keep 8 bits. */
typedef enum nw_placement {
    NW_PLACEMENT_ALL,   /* every tensor of codes */
    NW_PLACEMENT_BLOCKS /* outputs of blocks, as the DQA paper has it (blocks.c) */
} nw_placement;

/** Which channels get extra bits under DQA. */
typedef enum nw_ranking {
    NW_RANKING_OUTPUT,  /* those whose rounding error does most behind the nodes that read them */
    NW_RANKING_RANDOM,  /* any; a rival */
    NW_RANKING_ACCURACY /* those that save most answers: plan/ranking.h finds them, for the plan. Without it as
                           OUTPUT */
} nw_ranking;

typedef struct nw_quantize_options {
    int32_t weight_bits, activation_bits; /* 1 to 8 */
    nw_activation_kind activation_kind;   /* below 8 bits */
    nw_placement placement;
    nw_ranking ranking;
    int32_t input_bits; /* least width of the network's inputs; 0: like the rest */
    int32_t extra_bits; /* DQA: of important channels, 1 to 7; fewer where more than 8 would come out */
    double share;       /* DQA: of channels that are important, 0 to 1 */
    const nw_plan *plan; /* borrowed, or NULL: choices for single layers and tensors; a row nobody uses is an error */
    nw_range_method activation_range;
    double percentile; /* for NW_RANGE_PERCENTILE */
    nw_weight_method weight_range;
    nw_bias_correction bias_correction;
    int32_t border_bits;     /* least width of the first and last linear nodes' weights; 0: like the rest */
    nw_accumulator accumulator; /* of all linear nodes; 16: ranges are narrowed where 16-bit sums pay (sums.c) */
    bool sums_first;         /* 16 and 16-wrap: the first layer too */
    nw_rounding rounding;    /* of weights below 8 bits */
    nw_book_kind book;       /* of weights below 8 bits; widths that have no such book are uniform */
    nw_weight_storage weight_storage; /* of the network that comes out */
    nw_point_method points;  /* how channels come to further points, if there is a budget */
    double point_budget;     /* extra multiply-accumulates for further points (multipoint.h), as a share of all;
                                NW_POINTS_SPLIT: share of the input channels that come twice */
    bool equalize;           /* factors per channel */
    double equalize_power;   /* 0 to 1: a channel of range r gets the factor (r_max / r)^power; NW_EQUALIZE_AUTO: the
                                power with the least predicted noise, for each group of tensors */
    double equalize_room;    /* 0 to 1: added to r, grown by limit_margin, as a share of r_max: factors stay below 1 /
                                room */
    bool limits;             /* clamp every channel to what calibration saw, plus ... */
    double limit_margin;     /* ... this share of the channel's range ... */
    double limit_floor;      /* ... and this share of the tensor's range */
    int32_t learn_updates;   /* >= 0 (learn.h); NW_LEARN_AUTO: behind activations of 6 bits or fewer if the calibration
                                has a pool, as many as pay and take a minute or so; none with methods that are not the
                                defaults */
    uint64_t seed;           /* of NoisyQuant's offsets, of random rankings, of the order in which samples are learned
                                from */
} nw_quantize_options;

#define NW_QUANTIZE_DEFAULTS                                                                                          \
    {                                                                                                                 \
        .weight_bits = 8, .activation_bits = 8, .activation_range = NW_RANGE_OUTPUT, .percentile = 0.9999,            \
        .input_bits = 8, .extra_bits = 3, .share = 0.4, .weight_range = NW_WEIGHTS_OUTPUT,                            \
        .bias_correction = NW_BIAS_CORRECTION_EMPIRICAL, .equalize = true,                                            \
        .equalize_power = NW_EQUALIZE_AUTO, .equalize_room = 0.2, .limits = true, .limit_margin = 0.5,                \
        .limit_floor = 0.05, .border_bits = 8, .rounding = NW_ROUND_REFINE, .learn_updates = NW_LEARN_AUTO, .seed = 1 \
    }

/**
 * How many channels of every tensor DQA will take as important.
 *
 * @param counts  [model->n_tensors] out; NW_NONE: no extra bits, codes of another tensor, or channels that the plan
 *                names
 * @return as nw_quantize
 */
nw_status nw_important_counts(int32_t *counts, const nw_model *model, const nw_calibration *calibration,
                              const nw_quantize_options *options, nw_error *error);

/**
 * Quantizes a network.
 *
 * Linear nodes become the one layer form; tensors between them codes of the wanted widths; functions of one tensor
 * become tables; what nothing but reals can carry (Softmax and what stands between it and the last linear node,
 * outputs) stays float. The plan that was followed is stored with the network. The result passes nw_model_validate. It
 * is deterministic for one machine and thread count.
 *
 * @param model        as the passes leave it; borrowed for the call
 * @param calibration  of this very model
 * @return NW_ERROR_USAGE for options out of range, contradictory or unused; NW_ERROR_UNSUPPORTED naming the node;
 *         NW_ERROR_MEMORY
 */
nw_status nw_quantize(nw_model **out, const nw_model *model, const nw_calibration *calibration,
                      const nw_quantize_options *options, nw_error *error);

#endif
