/* SPDX-License-Identifier: Apache-2.0 */
/* See cache.h. */
#include "cli/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool nw_cache_path(char *path, size_t size, const char *kind, uint64_t hash)
{
    char folder[512];
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (base && *base)
        snprintf(folder, sizeof(folder), "%s", base);
    else if (home && *home)
        snprintf(folder, sizeof(folder), "%s/.cache", home);
    else
        return false;
    mkdir(folder, 0777);
    const size_t n = strlen(folder);
    snprintf(folder + n, sizeof(folder) - n, "/narrow");
    mkdir(folder, 0777);
    return snprintf(path, size, "%s/%s-%016" PRIx64 ".json", folder, kind, hash) < (int)size;
}
