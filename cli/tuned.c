/* SPDX-License-Identifier: Apache-2.0 */
/* See tuned.h. */
#define _POSIX_C_SOURCE 200809L
#include "cli/tuned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cache.h"
#include "plan/state.h"

void nw_tuned_path(char path[640], const char *cache, nw_isa isa)
{
    char key[128];
    nw_tuning_key(key, isa);
    if (cache)
        snprintf(path, 640, "%s", cache);
    else if (!nw_cache_path(path, 640, "tuning", nw_state_hash_text(key)))
        path[0] = '\0';
}

nw_status nw_tuned_find(nw_tuning *out, const nw_engine_options *options, const nw_model *model, const char *cache,
                        nw_error *error)
{
    char path[640];
    nw_isa isa;
    nw_error why = {""};
    *out = (nw_tuning){0};
    NW_TRY(nw_isa_choose(&isa, options->isa ? options->isa : getenv("NARROW_ISA"), error));
    nw_tuned_path(path, cache, isa);
    if (!path[0] || access(path, F_OK) != 0)
        return NW_OK;
    const int32_t threads = options->threads ? (int32_t)options->threads : 1;
    const nw_status status = nw_tuning_find(out, path, model, isa, threads, &why);
    if (status == NW_ERROR_MEMORY)
        return nw_fail_memory(error, "reading measured choices");
    if (status)
        fprintf(stderr, "narrow: %s; layers run as without it\n", why.message);
    return NW_OK;
}
