/* SPDX-License-Identifier: Apache-2.0 */
/* Counted overflows (runtime/overflow.h) as a table and as JSON: `narrow eval --count-overflows`. */
#ifndef NARROW_CLI_OVERFLOWS_H
#define NARROW_CLI_OVERFLOWS_H

#include "cli/report.h"
#include "model/model.h"
#include "runtime/overflow.h"

/** A line per linear layer, and one for all of them. */
void nw_overflows_print(const nw_overflow *overflow, const nw_model *model);

/** Adds "overflows" to the document. */
void nw_overflows_report(cJSON *document, const nw_overflow *overflow, const nw_model *model);

#endif
