/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One grid for every group of tensors, then limits for every channel: what calibration saw plus a margin, cut to the
 * clamp that is fused behind the node. PASS nodes inherit limits, because they do not clamp. Between equalize.c and
 * linear.c.
 */
#include <math.h>

#include "quant/narrow.h"

/** The clamp of a tensor's producer, in reals. */
static void clamp_of(const nw_scheme *scheme, int32_t tensor, double *lo, double *hi)
{
    const int32_t producer = nw_model_producer(scheme->model, tensor);
    *lo = -INFINITY;
    *hi = INFINITY;
    if (producer == NW_NONE)
        return;
    const nw_mode mode = scheme->nodes[producer].mode;
    if (mode == NW_MODE_LINEAR || scheme->model->nodes[producer].op == NW_OP_ADD) {
        *lo = (double)scheme->model->nodes[producer].lo;
        *hi = (double)scheme->model->nodes[producer].hi;
    }
}

/** Range of a channel in reals: what was seen; for pictures what the pixels can be. */
static void channel_range(const nw_scheme *scheme, int32_t tensor, int32_t c, double *lo, double *hi)
{
    const nw_model *model = scheme->model;
    const nw_channel_stats *channel = &scheme->calibration->tensors[tensor].channels[c];
    *lo = nw_scheme_useful(&scheme->tensors[tensor], (double)channel->min);
    *hi = nw_scheme_useful(&scheme->tensors[tensor], (double)channel->max);
    if (model->has_preprocess && model->n_inputs > 0 && tensor == model->inputs[0] &&
        nw_preprocess_channels(&model->preprocess) == scheme->tensors[tensor].n_channels) {
        const double mean = (double)nw_preprocess_mean(&model->preprocess, c);
        const double std = (double)nw_preprocess_std(&model->preprocess, c);
        *lo = fmin((0.0 - mean) / std, (255.0 - mean) / std);
        *hi = fmax((0.0 - mean) / std, (255.0 - mean) / std);
    }
}

static bool is_input(const nw_scheme *scheme, int32_t tensor)
{
    return nw_model_producer(scheme->model, tensor) == NW_NONE;
}

/** Extremes of all channels of a group after their factors. */
static bool group_extremes(const nw_scheme *scheme, int32_t group, double *lo, double *hi)
{
    bool input = false;
    *lo = *hi = 0.0;
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        const nw_tensor_scheme *tensor = &scheme->tensors[t];
        if (tensor->group != group || !nw_scheme_is_source(scheme, t))
            continue;
        input = input || is_input(scheme, t);
        for (int32_t c = 0; c < tensor->n_channels; c++) {
            double channel_lo, channel_hi;
            channel_range(scheme, t, c, &channel_lo, &channel_hi);
            *lo = fmin(*lo, channel_lo * tensor->factor[c]);
            *hi = fmax(*hi, channel_hi * tensor->factor[c]);
        }
    }
    return input;
}

static void set_grid(nw_scheme *scheme, int32_t group, nw_grid grid)
{
    for (int32_t t = group; t < scheme->model->n_tensors; t++)
        if (scheme->tensors[t].group == group)
            scheme->tensors[t].grid = grid;
}

/** The grid of ordinary channels, each step cut into 2^extra_bits: the zero point is one of theirs. */
static nw_grid refine_grid(nw_grid grid, int32_t extra_bits)
{
    grid.bits = (uint8_t)(grid.bits + extra_bits);
    grid.zero_point = (uint8_t)(grid.zero_point << extra_bits);
    grid.scale = ldexpf(grid.scale, -extra_bits);
    return grid;
}

static nw_status choose_grid(nw_scheme *scheme, int32_t group, nw_error *error)
{
    const nw_quantize_options *options = scheme->options;
    const int32_t extra_bits = scheme->tensors[group].extra_bits;
    const int32_t bits = scheme->tensors[group].grid.bits - extra_bits;
    double lo, hi;
    const bool input = group_extremes(scheme, group, &lo, &hi);
    nw_profile *profile = nw_profile_create(lo, hi);
    if (!profile)
        return nw_fail_memory(error, "choosing ranges");
    for (int32_t t = group; t < scheme->model->n_tensors; t++) {
        const nw_tensor_scheme *tensor = &scheme->tensors[t];
        const nw_tensor_stats *stats = &scheme->calibration->tensors[t];
        if (tensor->group == group && nw_scheme_is_source(scheme, t))
            for (int32_t c = 0; c < tensor->n_channels; c++) {
                nw_channel_stats useful = stats->channels[c];
                useful.min = (float)nw_scheme_useful(tensor, (double)useful.min);
                useful.max = (float)nw_scheme_useful(tensor, (double)useful.max);
                nw_profile_add(profile, &useful, stats->n_values, tensor->factor[c]);
            }
    }
    /* whatever lies in a picture is signal, and unseen pictures may use all of it */
    const nw_grid grid = nw_range_choose(profile, bits, input ? NW_RANGE_MIN_MAX : options->activation_range,
                                         options->percentile);
    nw_profile_free(profile);
    set_grid(scheme, group, refine_grid(grid, extra_bits));
    return NW_OK;
}

/** Limits of one channel that its producer enforces. */
static void source_limits(nw_scheme *scheme, int32_t t, int32_t c, double clamp_lo, double clamp_hi, double group_range)
{
    const nw_quantize_options *options = scheme->options;
    nw_tensor_scheme *tensor = &scheme->tensors[t];
    const double step = (double)tensor->grid.scale * (1 << tensor->shift[c]);
    const double codes_per_real = tensor->factor[c] / step;
    const nw_clip codes = nw_narrow_codes(tensor, c);
    double lo = codes.lo;
    double hi = codes.hi;
    double seen_lo, seen_hi;
    channel_range(scheme, t, c, &seen_lo, &seen_hi);
    if (options->limits) {
        const double margin = options->limit_margin * (seen_hi - seen_lo);
        const double slack = options->limit_floor * group_range / step;
        lo = fmax(lo, floor((seen_lo - margin) * codes_per_real - slack));
        hi = fmin(hi, ceil((seen_hi + margin) * codes_per_real + slack));
    }
    lo = fmax(lo, rint(clamp_lo * codes_per_real));
    hi = fmin(hi, rint(clamp_hi * codes_per_real));
    tensor->lo[c] = (float)fmin(lo, 0.0);
    tensor->hi[c] = (float)fmax(hi, 0.0);
}

static void set_source_limits(nw_scheme *scheme, int32_t t)
{
    double clamp_lo, clamp_hi, lo, hi;
    clamp_of(scheme, t, &clamp_lo, &clamp_hi);
    group_extremes(scheme, scheme->tensors[t].group, &lo, &hi);
    for (int32_t c = 0; c < scheme->tensors[t].n_channels; c++)
        source_limits(scheme, t, c, clamp_lo, clamp_hi, fmax(hi, -lo));
}

static void inherit(void *context, int32_t input, int32_t c_in, int32_t output, int32_t c_out)
{
    const nw_scheme *scheme = context;
    const nw_tensor_scheme *x = &scheme->tensors[input];
    nw_tensor_scheme *y = &scheme->tensors[output];
    const int32_t finer = x->shift[c_in] - y->shift[c_out]; /* >= 0: narrow.c */
    y->lo[c_out] = fminf(y->lo[c_out], ldexpf(x->lo[c_in], finer));
    y->hi[c_out] = fmaxf(y->hi[c_out], ldexpf(x->hi[c_in], finer));
}

nw_status nw_scheme_limits(nw_scheme *scheme, nw_error *error)
{
    const nw_model *model = scheme->model;
    for (int32_t t = 0; t < model->n_tensors; t++) /* what inherits starts from nothing */
        for (int32_t c = 0; scheme->tensors[t].code && c < scheme->tensors[t].n_channels; c++)
            scheme->tensors[t].lo[c] = scheme->tensors[t].hi[c] = 0.0f;
    for (int32_t i = 0; i < model->n_inputs; i++)
        if (scheme->tensors[model->inputs[i]].code)
            set_source_limits(scheme, model->inputs[i]);
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        if (!scheme->tensors[node->output].code)
            continue;
        if (scheme->nodes[i].mode == NW_MODE_PASS) {
            nw_scheme_pairs(scheme, node, inherit, scheme);
            continue;
        }
        double clamp_lo, clamp_hi;
        clamp_of(scheme, node->output, &clamp_lo, &clamp_hi);
        if (clamp_lo > 0.0 || clamp_hi < 0.0)
            return nw_fail(error, NW_ERROR_UNSUPPORTED,
                           "node \"%s\": its clamp to [%g, %g] leaves out 0, which every quantized tensor must hold",
                           node->name, clamp_lo, clamp_hi);
        set_source_limits(scheme, node->output);
    }
    return NW_OK;
}

nw_status nw_scheme_grids(nw_scheme *scheme, nw_error *error)
{
    for (int32_t t = 0; t < scheme->model->n_tensors; t++) {
        if (!scheme->tensors[t].code || scheme->tensors[t].group != t)
            continue;
        if (!nw_is_narrow(scheme, t)) {
            NW_TRY(choose_grid(scheme, t, error));
            continue;
        }
        double step;
        nw_narrow_step(&step, NULL, scheme, t);
        nw_grid grid = scheme->tensors[t].grid;
        grid.scale = (float)step;
        set_grid(scheme, t, grid);
    }
    /* a group's lowest tensor may itself be no code only if no member is: PASS nodes have codes on all sides */
    return nw_scheme_limits(scheme, error);
}
