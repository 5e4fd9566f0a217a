/* SPDX-License-Identifier: Apache-2.0 */
/* See quantize.h: checks the options, then takes the steps of scheme.h one after the other. */
#include "quant/quantize.h"

#include "model/weight_storage.h"
#include "quant/learn.h"
#include "quant/narrow.h"
#include "quant/reconstruct.h"
#include "quant/scheme.h"

static nw_status check_options(const nw_quantize_options *options, nw_error *error)
{
    if (options->weight_bits < 1 || options->weight_bits > 8 || options->activation_bits < 1 ||
        options->activation_bits > 8)
        return nw_fail(error, NW_ERROR_USAGE, "weight and activation bits must be 1 to 8, not %d and %d",
                       options->weight_bits, options->activation_bits);
    if (!(options->percentile > 0.5 && options->percentile <= 1.0))
        return nw_fail(error, NW_ERROR_USAGE, "the percentile must be above 0.5 and at most 1, not %g",
                       options->percentile);
    const double power = options->equalize_power;
    if (!((power == NW_EQUALIZE_AUTO || (power >= 0.0 && power <= 1.0)) && options->equalize_room >= 0.0 &&
          options->equalize_room <= 1.0))
        return nw_fail(error, NW_ERROR_USAGE, "equalization needs a power of 0 to 1 and a room of 0 to 1");
    if (!(options->limit_margin >= 0.0 && options->limit_margin <= 16.0 && options->limit_floor >= 0.0 &&
          options->limit_floor <= 1.0))
        return nw_fail(error, NW_ERROR_USAGE, "limits need a margin of 0 to 16 and a floor of 0 to 1");
    if (options->border_bits < 0 || options->border_bits > 8)
        return nw_fail(error, NW_ERROR_USAGE, "first and last layers: bits must be 0 (like the rest) to 8, not %d",
                       options->border_bits);
    if (!(options->point_budget >= 0.0 && options->point_budget <= NW_MAX_POINTS - 1))
        return nw_fail(error, NW_ERROR_USAGE, "the budget of further points must be 0 to %d, not %g", NW_MAX_POINTS - 1,
                       options->point_budget);
    const bool pieces = options->points == NW_POINTS_PIECEWISE || options->points == NW_POINTS_SPLIT;
    if (pieces && options->rounding != NW_ROUND_PLAIN)
        return nw_fail(error, NW_ERROR_USAGE, "piecewise grids and split channels are for nearest rounding");
    if (pieces && options->weight_bits == 1)
        return nw_fail(error, NW_ERROR_USAGE, "piecewise grids and split channels need weights of 2 bits or more");
    if (options->book == NW_BOOK_SHARED && (pieces || options->point_budget > 0.0))
        return nw_fail(error, NW_ERROR_USAGE, "further points are for weights with a step of their own per channel");
    if (options->book == NW_BOOK_PER_TENSOR && pieces)
        return nw_fail(error, NW_ERROR_USAGE, "piecewise grids and split channels choose a step per channel");
    if (options->input_bits < 0 || options->input_bits > 8)
        return nw_fail(error, NW_ERROR_USAGE, "inputs: bits must be 0 (like the rest) to 8, not %d",
                       options->input_bits);
    if (options->extra_bits < 1 || options->extra_bits > 7 || !(options->share >= 0.0 && options->share <= 1.0))
        return nw_fail(error, NW_ERROR_USAGE, "DQA needs 1 to 7 extra bits and a share of 0 to 1, not %d and %g",
                       options->extra_bits, options->share);
    if (options->learn_updates < NW_LEARN_AUTO)
        return nw_fail(error, NW_ERROR_USAGE, "updates to learn with must be 0 or more, not %d",
                       options->learn_updates);
    return NW_OK;
}

/** Widths and methods of everything. */
static nw_status settle(nw_scheme *scheme, nw_error *error)
{
    NW_TRY(nw_scheme_modes(scheme, error));
    nw_scheme_groups(scheme);
    nw_scheme_saturation(scheme);
    return nw_scheme_settle(scheme, error);
}

/** Ranges and weights. Nodes whose sums modulo 2^16 need narrower codes, or cannot be had, ask for another round. */
static nw_status choose_numbers(nw_scheme *scheme, nw_error *error)
{
    bool again = true;
    while (again) {
        for (int32_t t = 0; t < scheme->model->n_tensors; t++)
            for (int32_t c = 0; scheme->tensors[t].factor && c < scheme->tensors[t].n_channels; c++)
                scheme->tensors[t].factor[c] = 1.0;
        NW_TRY(nw_scheme_narrow(scheme, error));
        NW_TRY(nw_scheme_equalize(scheme, error));
        NW_TRY(nw_scheme_grids(scheme, error));
        nw_narrow_offsets(scheme);
        NW_TRY(nw_scheme_linear(scheme, error));
        NW_TRY(nw_scheme_sums(scheme, error));
        NW_TRY(nw_scheme_wraps(scheme, &again, error));
    }
    return NW_OK;
}

static nw_status take_steps(nw_model **out, nw_scheme *scheme, nw_error *error)
{
    NW_TRY(settle(scheme, error));
    nw_scheme_learn_updates(scheme);
    NW_TRY(choose_numbers(scheme, error));
    NW_TRY(nw_scheme_reconstruct(scheme, error));
    NW_TRY(nw_scheme_correct(scheme, error));
    NW_TRY(nw_scheme_learn(scheme, error));
    return nw_scheme_emit(out, scheme, error);
}

/** How the file will hold the weights: as the plan says, else as the options say. */
static nw_status settle_storage(nw_model *integer, const nw_quantize_options *options, nw_error *error)
{
    const bool said = options->plan && options->plan->weight_storage != NW_PLAN_UNSAID;
    integer->weight_storage = said ? (nw_weight_storage)options->plan->weight_storage : options->weight_storage;
    return nw_weight_storage_settle(integer, error);
}

/** Writes the plan that was followed into the network. */
static nw_status store_plan(nw_model *integer, const nw_scheme *scheme, nw_error *error)
{
    nw_plan *plan = nw_scheme_plan(scheme);
    if (plan && integer->weight_storage != NW_STORED_PACKED)
        plan->weight_storage = (int32_t)integer->weight_storage;
    integer->plan = plan ? nw_plan_print(plan) : NULL;
    nw_plan_free(plan);
    return integer->plan ? NW_OK : nw_fail_memory(error, "writing down the plan");
}

/** The scheme of a network, nothing decided yet. */
static nw_status begin(nw_scheme **scheme, const nw_model *model, const nw_calibration *calibration,
                       const nw_quantize_options *options, nw_error *error)
{
    NW_TRY(check_options(options, error));
    if (calibration->n_tensors != model->n_tensors || calibration->n_samples < 1)
        return nw_fail(error, NW_ERROR_USAGE, "the calibration is empty or that of another network");
    *scheme = nw_scheme_create(model, calibration, options);
    return *scheme ? NW_OK : nw_fail_memory(error, "quantizing");
}

nw_status nw_important_counts(int32_t *counts, const nw_model *model, const nw_calibration *calibration,
                              const nw_quantize_options *options, nw_error *error)
{
    nw_scheme *scheme;
    NW_TRY(begin(&scheme, model, calibration, options, error));
    const nw_status status = settle(scheme, error);
    for (int32_t t = 0; !status && t < model->n_tensors; t++) {
        nw_plan_tensor row = NW_PLAN_TENSOR_UNSAID;
        nw_plan_tensor_of(&row, options->plan, model->tensors[t].name);
        const bool ranked = scheme->tensors[t].extra_bits && nw_scheme_is_source(scheme, t) && !row.channels;
        counts[t] = ranked ? nw_narrow_important(&scheme->tensors[t]) : NW_NONE;
    }
    nw_scheme_free(scheme);
    return status;
}

nw_status nw_quantize(nw_model **out, const nw_model *model, const nw_calibration *calibration,
                      const nw_quantize_options *options, nw_error *error)
{
    nw_scheme *scheme;
    NW_TRY(begin(&scheme, model, calibration, options, error));
    nw_model *integer = NULL;
    nw_status status = take_steps(&integer, scheme, error);
    if (!status)
        status = settle_storage(integer, options, error);
    if (!status)
        status = store_plan(integer, scheme, error);
    nw_scheme_free(scheme);
    if (status)
        nw_model_free(integer);
    else
        *out = integer;
    return status;
}
