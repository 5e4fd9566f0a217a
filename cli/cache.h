/* SPDX-License-Identifier: Apache-2.0 */
/* Where commands keep what they measured: $XDG_CACHE_HOME/narrow or ~/.cache/narrow. */
#ifndef NARROW_CLI_CACHE_H
#define NARROW_CLI_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The file KIND-HASH.json in that folder, which is made if need be; false if there is none, or the path is too long.
 */
bool nw_cache_path(char *path, size_t size, const char *kind, uint64_t hash);

#endif
