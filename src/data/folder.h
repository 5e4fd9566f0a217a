/* SPDX-License-Identifier: Apache-2.0 */
/* Listing of folders, and joining of paths, for dataset.h. */
#ifndef NARROW_DATA_FOLDER_H
#define NARROW_DATA_FOLDER_H

#include <stdbool.h>

#include "data/names.h"

typedef enum nw_path_kind { NW_PATH_MISSING, NW_PATH_FILE, NW_PATH_FOLDER } nw_path_kind;

/** What a path leads to; links are followed, anything but files and folders counts as missing. */
nw_path_kind nw_path_look(const char *path);

/** True if the name ends in .jpg, .jpeg or .png, in any case. */
bool nw_path_is_picture(const char *path);

/** True if the path ends in `extension` (".csv"), in any case. */
bool nw_path_ends(const char *path, const char *extension);

/** folder + "/" + name on the heap, without the slash if `folder` is empty or `name` starts with one. NULL: no memory.
 */
char *nw_path_join(const char *folder, const char *name);

/** The path with its extension (".jpg") replaced by `extension` (may be ""), on the heap. NULL: no memory. */
char *nw_path_with_extension(const char *path, const char *extension);

/** The folder a path lies in ("" for a plain name), on the heap. NULL: no memory. */
char *nw_path_folder(const char *path);

/** The part of a path after its last slash. */
const char *nw_path_name(const char *path);

/**
 * Adds the pictures and the sub-folders of a folder to two lists, each sorted by bytes. Names that start with a dot and
 * files that are not pictures are left out.
 *
 * @param pictures, folders  empty lists; either may hold entries when the call fails
 * @return NW_ERROR_DATA if it cannot be read, NW_ERROR_MEMORY
 */
nw_status nw_folder_list(nw_names *pictures, nw_names *folders, const char *path, nw_error *error);

#endif
