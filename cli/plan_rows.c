/* SPDX-License-Identifier: Apache-2.0 */
/* See plan_rows.h. Used by cmd_quantize.c. */
#include "cli/plan_rows.h"

#include <string.h>

static nw_status add_row(nw_plan *plan, nw_plan_part part, const char *expression, int32_t bits, nw_error *error)
{
    if (part == NW_PLAN_LAYERS) {
        nw_plan_layer *row;
        NW_TRY(nw_plan_add_layer(&row, plan, expression, true, error));
        row->bits = bits;
        return NW_OK;
    }
    nw_plan_tensor *row;
    NW_TRY(nw_plan_add_tensor(&row, plan, expression, true, error));
    row->bits = bits;
    return NW_OK;
}

nw_status nw_plan_rows_add(nw_plan *plan, nw_plan_part part, const char *list, nw_error *error)
{
    for (const char *at = list; at && *at;) {
        const size_t size = strcspn(at, ",");
        char expression[NW_PLAN_EXPRESSION + 1];
        const bool fits = size >= 3 && size - 2 <= NW_PLAN_EXPRESSION;
        if (!fits || at[size - 2] != '=' || at[size - 1] < '1' || at[size - 1] > '8')
            return nw_fail(error, NW_ERROR_USAGE, "\"%.*s\": must be EXPRESSION=BITS with 1 to 8 bits",
                           (int)(size < 200 ? size : 200), at);
        memcpy(expression, at, size - 2);
        expression[size - 2] = '\0';
        NW_TRY(add_row(plan, part, expression, at[size - 1] - '0', error));
        at += at[size] ? size + 1 : size;
    }
    return NW_OK;
}
