/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes random valid .nw files, for open_nw.sh and as a corpus for fuzz/fuzz_nw.c, and reads one:
 *     make_nw FOLDER NUMBER
 *     make_nw --check FILE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/file.h"
#include "models/nw_random.h"

static nw_status write_one(const char *folder, int i, nw_error *error)
{
    char path[4096];
    nw_model *model = nw_random_model((uint64_t)i, i % 6);
    snprintf(path, sizeof(path), "%s/random_%03d.nw", folder, i);
    const nw_status status = model ? nw_model_write(model, path, error) : nw_fail_memory(error, "making a model");
    nw_model_free(model);
    return status;
}

static nw_status check_one(const char *path, nw_error *error)
{
    nw_model *model = NULL;
    NW_TRY(nw_model_read(&model, path, error));
    nw_model_free(model);
    return NW_OK;
}

int main(int argc, char **argv)
{
    nw_error error = {{0}};
    nw_status status = NW_OK;
    if (argc != 3) {
        fprintf(stderr, "usage: make_nw FOLDER NUMBER | make_nw --check FILE\n");
        return NW_ERROR_USAGE;
    }
    if (!strcmp(argv[1], "--check"))
        status = check_one(argv[2], &error);
    for (int i = 0; !status && strcmp(argv[1], "--check") && i < atoi(argv[2]); i++)
        status = write_one(argv[1], i, &error);
    if (status)
        fprintf(stderr, "%s\n", error.message);
    return nw_status_exit_code(status);
}
