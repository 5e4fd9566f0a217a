/* SPDX-License-Identifier: Apache-2.0 */
/* See folder.h. */
#define _POSIX_C_SOURCE 200809L
#include "data/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

nw_path_kind nw_path_look(const char *path)
{
    struct stat info;
    if (stat(path, &info))
        return NW_PATH_MISSING;
    return S_ISREG(info.st_mode) ? NW_PATH_FILE : S_ISDIR(info.st_mode) ? NW_PATH_FOLDER : NW_PATH_MISSING;
}

bool nw_path_ends(const char *path, const char *extension)
{
    const size_t n = strlen(path), m = strlen(extension);
    return n >= m && !strcasecmp(path + n - m, extension);
}

bool nw_path_is_picture(const char *path)
{
    return nw_path_ends(path, ".jpg") || nw_path_ends(path, ".jpeg") || nw_path_ends(path, ".png");
}

/* The first n bytes of `head`, then `middle`, then `tail`. */
static char *concatenate(const char *head, size_t n, const char *middle, const char *tail)
{
    const size_t m = strlen(middle), t = strlen(tail);
    char *out = malloc(n + m + t + 1);
    if (!out)
        return NULL;
    memcpy(out, head, n);
    memcpy(out + n, middle, m);
    memcpy(out + n + m, tail, t + 1);
    return out;
}

char *nw_path_join(const char *folder, const char *name)
{
    const size_t n = strlen(folder);
    if (name[0] == '/')
        return concatenate("", 0, "", name);
    return concatenate(folder, n, n && folder[n - 1] != '/' ? "/" : "", name);
}

const char *nw_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *nw_path_with_extension(const char *path, const char *extension)
{
    const char *dot = strrchr(nw_path_name(path), '.');
    return concatenate(path, dot ? (size_t)(dot - path) : strlen(path), "", extension);
}

char *nw_path_folder(const char *path)
{
    const char *name = nw_path_name(path);
    const size_t n = (size_t)(name - path);
    return concatenate(path, n > 1 ? n - 1 : n, "", "");
}

static nw_status add_entry(nw_names *pictures, nw_names *folders, const char *folder, const char *name, nw_error *error)
{
    if (name[0] == '.')
        return NW_OK;
    char *path = nw_path_join(folder, name);
    if (!path)
        return nw_fail_memory(error, "listing a folder");
    const nw_path_kind kind = nw_path_look(path);
    free(path);
    if (kind == NW_PATH_FOLDER)
        return nw_names_add(folders, name, strlen(name), error);
    if (kind == NW_PATH_FILE && nw_path_is_picture(name))
        return nw_names_add(pictures, name, strlen(name), error);
    return NW_OK;
}

nw_status nw_folder_list(nw_names *pictures, nw_names *folders, const char *path, nw_error *error)
{
    nw_status status = NW_OK;
    DIR *folder = opendir(path);
    if (!folder)
        return nw_fail(error, NW_ERROR_DATA, "%s: cannot be opened: %s", path, strerror(errno));
    while (!status) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry) {
            if (errno)
                status = nw_fail(error, NW_ERROR_DATA, "%s: cannot be listed: %s", path, strerror(errno));
            break;
        }
        status = add_entry(pictures, folders, path, entry->d_name, error);
    }
    closedir(folder);
    if (status)
        return status;
    nw_names_sort(pictures);
    nw_names_sort(folders);
    return NW_OK;
}
