/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of nw_model_validate: operators that move codes without changing them, or (RESIZE) take means of them. Input and
 * output share scale, zero point and width, and each output channel must be allowed to hold what arrives in it, because
 * consumers rely on its limits; a mean, rounded to the channel's step, then lies within them too.
 */
#include "model/validate.h"

static bool same_grid(const nw_quant *a, const nw_quant *b)
{
    return a->bits == b->bits && a->zero_point == b->zero_point && a->scale == b->scale;
}

/** Codes of channel `from` of x are among those of channel `to` of y: z + (k << s), with one z. */
static nw_status check_channel(const nw_check *check, const nw_tensor *x, int32_t from, int32_t to)
{
    int32_t x_lowest, x_highest, y_lowest, y_highest;
    nw_check_codes(x, from, &x_lowest, &x_highest);
    nw_check_codes(check->y, to, &y_lowest, &y_highest);
    if (x_lowest >= y_lowest && x_highest <= y_highest && x->quant.shift[from] >= check->y->quant.shift[to])
        return NW_OK;
    return nw_check_fail(check, "channel %d of its output cannot hold the codes of channel %d of \"%.80s\"", (int)to,
                         (int)from, x->name);
}

/** Row-major order of [C, H * W]: channel c of x covers a run of elements, which lies in one or more channels of y. */
static nw_status check_reshape(const nw_check *check)
{
    const int64_t elements = (int64_t)nw_tensor_elements(check->x);
    const int64_t x_inner = elements / nw_tensor_channels(check->x), y_inner = elements / nw_tensor_channels(check->y);
    for (int32_t c = 0; c < nw_tensor_channels(check->x); c++)
        for (int64_t to = c * x_inner / y_inner; to <= ((c + 1) * x_inner - 1) / y_inner; to++)
            NW_TRY(check_channel(check, check->x, c, (int32_t)to));
    return NW_OK;
}

/** Where the channels become another axis, every output channel holds codes of all input channels. */
static nw_status check_transpose(const nw_check *check)
{
    const int32_t n = nw_tensor_channels(check->x), m = nw_tensor_channels(check->y);
    const nw_quant *quant = &check->y->quant;
    int32_t lowest = 0, highest = 255, shift = 0; /* what every channel of y holds */
    if (check->node->perm[1] == 1) {
        for (int32_t c = 0; c < n; c++)
            NW_TRY(check_channel(check, check->x, c, c));
        return NW_OK;
    }
    for (int32_t c = 0; c < m; c++) {
        int32_t low, high;
        nw_check_codes(check->y, c, &low, &high);
        lowest = low > lowest ? low : lowest;
        highest = high < highest ? high : highest;
        shift = quant->shift[c] > shift ? quant->shift[c] : shift;
    }
    for (int32_t c = 0; c < n; c++) {
        int32_t low, high;
        nw_check_codes(check->x, c, &low, &high);
        if (low < lowest || high > highest || check->x->quant.shift[c] < shift)
            return nw_check_fail(check, "a channel of its output cannot hold the codes of channel %d", (int)c);
    }
    return NW_OK;
}

static nw_status check_concat(const nw_check *check)
{
    int32_t to = 0;
    for (int32_t i = 0; i < check->node->n_inputs; i++) {
        const nw_tensor *x = &check->model->tensors[check->node->inputs[i]];
        if (!same_grid(&x->quant, &check->y->quant))
            return nw_check_fail(check, "input \"%.80s\" and the output differ in bits, scale or zero point", x->name);
        for (int32_t c = 0; c < nw_tensor_channels(x); c++)
            NW_TRY(check_channel(check, x, c, to++));
    }
    return NW_OK;
}

nw_status nw_check_moved_codes(const nw_check *check)
{
    const nw_node *node = check->node;
    if (node->op == NW_OP_CONCAT)
        return check_concat(check);
    if (!same_grid(&check->x->quant, &check->y->quant))
        return nw_check_fail(check, "input and output differ in bits, scale or zero point");
    if (node->op == NW_OP_RESHAPE)
        return check_reshape(check);
    if (node->op == NW_OP_TRANSPOSE)
        return check_transpose(check);
    const bool slice = node->op == NW_OP_SLICE, pad = node->op == NW_OP_PAD;
    const int32_t n = slice ? nw_tensor_channels(check->y) : nw_tensor_channels(check->x);
    for (int32_t c = 0; c < n; c++) {
        const int32_t from = slice ? node->starts[1] + c * node->steps[1] : c;
        NW_TRY(check_channel(check, check->x, from, pad ? c + node->pads[1] : c));
    }
    return NW_OK;
}
