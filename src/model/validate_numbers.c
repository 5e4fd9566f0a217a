/* SPDX-License-Identifier: Apache-2.0 */
/* Part of nw_model_validate: what the arithmetic of docs/numerics.md relies on. Shapes are right when this runs. */
#include <math.h>

#include "model/levels.h"
#include "model/validate.h"

#define MIN_MULTIPLIER 0x1p-40f
#define MAX_MULTIPLIER 0x1p20f
#define MAX_BIAS 0x1p30f
#define MAX_FLOAT_BIAS 0x1p60f /* of a linear node with an f32 output */

void nw_check_codes(const nw_tensor *tensor, int32_t c, int32_t *lowest, int32_t *highest)
{
    nw_quant_code_range(&tensor->quant, c, lowest, highest); /* lo <= 0 <= hi: the zero point lies between */
}

static bool is_multiplier(float m)
{
    return m >= MIN_MULTIPLIER && m <= MAX_MULTIPLIER;
}

static nw_status check_multipliers(const nw_check *check, const float *values, int32_t n, bool zero_allowed)
{
    if (!values)
        return nw_check_fail(check, "has no multipliers");
    for (int32_t i = 0; i < n; i++)
        if (!is_multiplier(values[i]) && !(zero_allowed && values[i] == 0.0f))
            return nw_check_fail(check, "multiplier %d must be %s2^-40 to 2^20", (int)i, zero_allowed ? "0 or " : "");
    return NW_OK;
}

/**
 * First points in the order of the channels; then p = 2 for some channels, p = 3 for some of those, and so on, within
 * one p in ascending order of the channels.
 */
static nw_status check_rows(const nw_check *check)
{
    const nw_linear *linear = check->node->linear;
    const int32_t n = linear->n_channels;
    int32_t begin = 0, end = n; /* rows of the point before; ascending channels */
    if (linear->n_rows < n || linear->n_rows > NW_MAX_POINTS * (int64_t)n)
        return nw_check_fail(check, "has %d rows of weights for %d channels", (int)linear->n_rows, (int)n);
    for (int32_t row = 0; row < n; row++)
        if (linear->row_channel[row] != row)
            return nw_check_fail(check, "row %d of the weights must be that of channel %d", (int)row, (int)row);
    for (int p = 2; end < linear->n_rows; p++) {
        int32_t row = end, before = begin;
        for (; row < linear->n_rows && (row == end || linear->row_channel[row] > linear->row_channel[row - 1]); row++) {
            while (before < end && linear->row_channel[before] < linear->row_channel[row])
                before++;
            if (before == end || linear->row_channel[before] != linear->row_channel[row])
                break;
        }
        if (row == end || p > NW_MAX_POINTS)
            return nw_check_fail(check, "row %d of the weights is out of order", (int)row);
        begin = end;
        end = row;
    }
    return NW_OK;
}

/** Bounds of one row's sums, over all inputs that the limits allow. */
typedef struct row_bounds {
    int64_t positive, negative; /* sum over w > 0 of w * highest, over w < 0 of -w * highest: bound every partial sum */
    int64_t lowest, highest;    /* of acc + offset */
    int64_t weight_sum;
} row_bounds;

static row_bounds bound_row(const nw_check *check, int32_t row)
{
    const nw_linear *linear = check->node->linear;
    const nw_tensor *x = check->x;
    const int32_t channels = nw_tensor_channels(x) / check->node->groups;
    const int32_t outputs = linear->n_channels / check->node->groups;
    const int32_t first = linear->row_channel[row] / outputs * channels; /* of the row's group */
    const int32_t zero = x->quant.zero_point;
    const int8_t *weights = linear->weights + (size_t)row * (size_t)linear->k;
    row_bounds bounds = {0, 0, 0, 0, 0};
    for (int32_t c = 0; c < channels; c++) {
        int64_t above = 0, below = 0; /* sums of this channel's positive and negative weights */
        int32_t lowest, highest;
        nw_check_codes(x, first + c, &lowest, &highest);
        for (int32_t k = c; k < linear->k; k += channels) {
            above += weights[k] > 0 ? weights[k] : 0;
            below -= weights[k] < 0 ? weights[k] : 0;
        }
        bounds.positive += above * highest;
        bounds.negative += below * highest;
        bounds.highest += above * (highest - zero) + below * (zero - lowest);
        bounds.lowest -= above * (zero - lowest) + below * (highest - zero);
        bounds.weight_sum += above - below;
    }
    return bounds;
}

static nw_status check_row(const nw_check *check, int32_t row, const bool *allowed)
{
    const nw_linear *linear = check->node->linear;
    const int8_t *weights = linear->weights + (size_t)row * (size_t)linear->k;
    for (int32_t k = 0; k < linear->k; k++)
        if (!allowed[weights[k] + 128])
            return nw_check_fail(check, "row %d holds the weight %d, which is not one of %d bits", (int)row, weights[k],
                                 linear->weight_bits);
    const row_bounds bounds = bound_row(check, row);
    const int64_t zero = check->x->quant.zero_point;
    if (bounds.positive > INT32_MAX || bounds.negative > INT32_MAX || bounds.highest > INT32_MAX ||
        bounds.lowest < -INT32_MAX)
        return nw_check_fail(check, "the sum of row %d can leave 32 bits", (int)row);
    if (linear->offset[row] != -zero * bounds.weight_sum)
        return nw_check_fail(check, "the offset of row %d is not minus the zero point times the sum of its weights",
                             (int)row);
    /* a wrapped sum plus an offset, even that of one phase of a transposed convolution, |offset| <= the larger bound */
    const int64_t most = INT32_MAX - 32768;
    if (linear->accumulator == NW_ACCUMULATOR_16_WRAP && (bounds.positive > most || bounds.negative > most))
        return nw_check_fail(check, "the wrapped sum of row %d can leave 32 bits", (int)row);
    return NW_OK;
}

static nw_status check_linear(const nw_check *check)
{
    const nw_linear *linear = check->node->linear;
    const float limit = check->y->type == NW_TYPE_F32 ? MAX_FLOAT_BIAS : MAX_BIAS;
    if (linear->weight_bits < 1 || linear->weight_bits > 8 || linear->accumulator >= NW_ACCUMULATOR_COUNT)
        return nw_check_fail(check, "weights must have 1 to 8 bits, and a known accumulator");
    if (linear->levels && !nw_levels_valid(linear->levels, linear->weight_bits))
        return nw_check_fail(check, "the levels of its weights must ascend from 0 to at most 127");
    bool allowed[256];
    nw_levels_allow(allowed, linear->levels, linear->weight_bits);
    NW_TRY(check_rows(check));
    NW_TRY(check_multipliers(check, linear->multiplier, linear->n_rows, true));
    if (linear->residual_multiplier)
        NW_TRY(check_multipliers(check, linear->residual_multiplier, linear->n_channels, true));
    for (int32_t o = 0; o < linear->n_channels; o++)
        if (!(fabsf(linear->bias[o]) <= limit))
            return nw_check_fail(check, "bias %d is out of range", (int)o);
    for (int32_t row = 0; row < linear->n_rows; row++)
        NW_TRY(check_row(check, row, allowed));
    return NW_OK;
}

/** Whether `code` is one that channel c of the tensor may hold. */
static bool holds(const nw_tensor *tensor, int32_t c, int32_t code)
{
    int32_t lowest, highest;
    nw_check_codes(tensor, c, &lowest, &highest);
    return code >= lowest && code <= highest && code % (1 << tensor->quant.shift[c]) == 0;
}

/** Every code that can reach a table comes out as one that the output may hold. Pixels reach all entries. */
static nw_status check_table(const nw_check *check, bool pixels)
{
    const nw_node *node = check->node;
    const int32_t channels = nw_tensor_channels(check->y);
    if (!node->table || (node->n_tables != channels && (pixels || node->n_tables != 1)))
        return nw_check_fail(check, "has no tables, or not one per channel");
    for (int32_t c = 0; c < channels; c++) {
        const uint8_t *table = node->table + (node->n_tables == 1 ? 0 : (size_t)c * 256);
        int32_t code = 0, highest = 255;
        if (!pixels)
            nw_check_codes(check->x, c, &code, &highest);
        for (const int32_t step = pixels ? 1 : 1 << check->x->quant.shift[c]; code <= highest; code += step)
            if (!holds(check->y, c, table[code]))
                return nw_check_fail(check, "table of channel %d gives %d for %d, which its output cannot hold", (int)c,
                                     table[code], (int)code);
    }
    return NW_OK;
}

nw_status nw_check_numbers(const nw_check *check)
{
    const nw_node *node = check->node;
    const int32_t channels = nw_tensor_channels(check->y);
    switch (node->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
        return check_linear(check);
    case NW_OP_QUANTIZE:
        return node->table ? check_table(check, true) : NW_OK;
    case NW_OP_TABLE:
        return check_table(check, false);
    case NW_OP_AVERAGE_POOL:
        return check_multipliers(check, node->multipliers[0], channels, false);
    case NW_OP_MUL:
        return check->y->type == NW_TYPE_U8 ? check_multipliers(check, node->multipliers[0], channels, false) : NW_OK;
    case NW_OP_ADD:
        if (check->y->type != NW_TYPE_U8)
            return NW_OK;
        NW_TRY(check_multipliers(check, node->multipliers[0], channels, false));
        return check_multipliers(check, node->multipliers[1], channels, false);
    case NW_OP_MAX_POOL:
    case NW_OP_CONCAT:
    case NW_OP_SLICE:
    case NW_OP_PAD:
    case NW_OP_RESHAPE:
    case NW_OP_TRANSPOSE:
    case NW_OP_RESIZE:
        return check->y->type == NW_TYPE_U8 ? nw_check_moved_codes(check) : NW_OK;
    default:
        return NW_OK;
    }
}
