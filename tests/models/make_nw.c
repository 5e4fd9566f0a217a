/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes random valid .nw files, every other one with coded weights, every third with prefix codes, for open_nw.sh and
 * as a corpus for fuzz/fuzz_nw.c, and reads one:
 *     make_nw FOLDER NUMBER
 *     make_nw --offsets FOLDER NUMBER     beside each file what a reader must derive: node, row, offset, a line each
 *     make_nw --check FILE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/file.h"
#include "models/nw_random.h"

static nw_status write_offsets(const nw_model *model, const char *path, nw_error *error)
{
    FILE *file = fopen(path, "w");
    for (int32_t i = 0; file && i < model->n_nodes; i++)
        for (int32_t row = 0; model->nodes[i].linear && row < model->nodes[i].linear->n_rows; row++)
            fprintf(file, "%d %d %d\n", (int)i, (int)row, (int)model->nodes[i].linear->offset[row]);
    return file && !fclose(file) ? NW_OK : nw_fail(error, NW_ERROR_DATA, "%s: cannot be written", path);
}

static nw_status write_one(const char *folder, int i, bool offsets, nw_error *error)
{
    char path[4096];
    nw_model *model = nw_random_model((uint64_t)i, i % 6);
    if (model && i % 2)
        nw_random_sparsify(model, (uint64_t)i);
    if (model && i % 3 == 1 && !nw_random_codes(model, (uint64_t)i))
        return nw_fail_memory(error, "making a model");
    snprintf(path, sizeof(path), "%s/random_%03d.nw", folder, i);
    nw_status status = model ? nw_model_write(model, path, error) : nw_fail_memory(error, "making a model");
    snprintf(path, sizeof(path), "%s/random_%03d.offsets", folder, i);
    if (!status && offsets)
        status = write_offsets(model, path, error);
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
    const bool offsets = argc == 4 && !strcmp(argv[1], "--offsets");
    if (argc != 3 && !offsets) {
        fprintf(stderr, "usage: make_nw [--offsets] FOLDER NUMBER | make_nw --check FILE\n");
        return NW_ERROR_USAGE;
    }
    argv += offsets;
    const bool check = !strcmp(argv[1], "--check");
    if (check)
        status = check_one(argv[2], &error);
    for (int i = 0; !status && !check && i < atoi(argv[2]); i++)
        status = write_one(argv[1], i, offsets, &error);
    if (status)
        fprintf(stderr, "%s\n", error.message);
    return nw_status_exit_code(status);
}
