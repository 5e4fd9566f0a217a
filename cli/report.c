/* SPDX-License-Identifier: Apache-2.0 */
/* See report.h. */
#define _POSIX_C_SOURCE 200809L
#include "cli/report.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

nw_status nw_report_print(cJSON *report, nw_error *error)
{
    char *text = report ? cJSON_Print(report) : NULL;
    cJSON_Delete(report);
    if (!text)
        return nw_fail_memory(error, "writing the report");
    printf("%s\n", text);
    cJSON_free(text);
    return NW_OK;
}

double nw_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void nw_progress_show(nw_progress *progress, int64_t done, int64_t total)
{
    if (!isatty(STDERR_FILENO))
        return;
    const double now = nw_seconds();
    if (progress->started <= 0.0)
        progress->started = now;
    if (done >= total) {
        fprintf(stderr, "\r\033[K");
        return;
    }
    if (now - progress->shown < 0.1)
        return;
    progress->shown = now;
    fprintf(stderr, "\r\033[K%s: %lld of %lld", progress->phase, (long long)done, (long long)total);
    if (done > 0)
        fprintf(stderr, ", %.0f s left", (now - progress->started) / (double)done * (double)(total - done));
}
