/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DQA's important channels by the answers they save: the greedy search of Hu et al. 2024 (arXiv:2412.09687) and of its
 * authors' code. Tensors are visited in the order of the network; for every channel i of tensor l the network is run in
 * which
 *
 *     tensors j < l   are rounded to NW_RANKING_BITS bits but for one channel, the best one of theirs
 *     tensor l        likewise but for channel i
 *     the others      are real, and so are all weights
 *
 * and those channels are important whose network keeps most answers. The paper counts labels; here an answer counts if
 * it is the float network's, and where as many are kept the smaller divergence (yardstick.h) decides. What comes before
 * tensor l is computed once (prefix.h), so a channel costs the tail alone: sum over l of channels times half a network.
 *
 *     nw_plan *plan = nw_plan_create();
 *     NW_TRY(nw_rank_channels(plan, model, calibration, &options, NULL, NULL, error));   rows with "channels"
 *     options.plan = plan;
 *     NW_TRY(nw_quantize(&integer, model, calibration, &options, error));
 */
#ifndef NARROW_PLAN_RANKING_H
#define NARROW_PLAN_RANKING_H

#include "quant/quantize.h"

#define NW_RANKING_BITS 3 /* whatever the width that is wanted, as in the paper */

/**
 * Adds a row with its important channels for every tensor that options and plan give DQA's extra bits, but for those
 * whose channels the plan names already.
 *
 * @param plan         rows are added to; may be options->plan
 * @param calibration  its kept samples are what answers are counted on
 * @param progress     NULL or: told how many channels of how many are done
 * @return NW_ERROR_MEMORY; as nw_quantize for options and rows that contradict each other
 */
nw_status nw_rank_channels(nw_plan *plan, const nw_model *model, const nw_calibration *calibration,
                           const nw_quantize_options *options,
                           void (*progress)(void *context, int64_t done, int64_t total), void *context,
                           nw_error *error);

#endif
