/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a plan from the command line: "layer3.*=4,fc=8". */
#ifndef NARROW_CLI_PLAN_ROWS_H
#define NARROW_CLI_PLAN_ROWS_H

#include "quant/plan.h"

typedef enum nw_plan_part { NW_PLAN_LAYERS, NW_PLAN_TENSORS } nw_plan_part;

/**
 * Appends a row for every EXPRESSION=BITS of a list that commas divide (an expression that needs a comma goes into a
 * plan file).
 * @param list  NULL: nothing to add
 * @return NW_ERROR_USAGE naming the entry that is none; NW_ERROR_MEMORY
 */
nw_status nw_plan_rows_add(nw_plan *plan, nw_plan_part part, const char *list, nw_error *error);

#endif
