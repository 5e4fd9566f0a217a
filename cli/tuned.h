/* SPDX-License-Identifier: Apache-2.0 */
/* The table of measured choices (runtime/tuning.h) as commands use it: `narrow tune` and `--tuned`. */
#ifndef NARROW_CLI_TUNED_H
#define NARROW_CLI_TUNED_H

#include "runtime/tuning.h"

/** The file: `cache` itself, or the one in the cache folder for this CPU; "" if there is no such folder. */
void nw_tuned_path(char path[640], const char *cache, nw_isa isa);

/**
 * What was measured for a network, options->isa and options->threads; to be freed with nw_tuning_free, whatever is
 * returned. A file that cannot be used is named on stderr, in one sentence; one that is not there is silently none.
 */
nw_status nw_tuned_find(nw_tuning *out, const nw_engine_options *options, const nw_model *model, const char *cache,
                        nw_error *error);

#endif
