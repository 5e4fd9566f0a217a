/* SPDX-License-Identifier: Apache-2.0 */
/* JSON on stdout and progress on stderr: what all commands share in talking to people and tools. */
#ifndef NARROW_CLI_REPORT_H
#define NARROW_CLI_REPORT_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/error.h"

#define NW_OPTION_JSON(target) {"json", NULL, NW_OPTION_FLAG, target, "one JSON document on stdout"}

/** Prints the document on stdout and deletes it. NW_ERROR_MEMORY if it cannot be rendered. */
nw_status nw_report_print(cJSON *report, nw_error *error);

/**
 * A line on stderr with phase, count and remaining time; silent unless stderr is a terminal. {0} with a phase starts.
 */
typedef struct nw_progress {
    const char *phase;
    double started, shown; /* seconds; 0: not yet */
} nw_progress;

/** Shows that `done` of `total` steps are over; at most ten times a second, and clears the line at the end. */
void nw_progress_show(nw_progress *progress, int64_t done, int64_t total);

/** Monotonic time in seconds. */
double nw_seconds(void);

#endif
