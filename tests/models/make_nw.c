/* SPDX-License-Identifier: Apache-2.0 */
/* Writes random valid .nw files, for open_nw.py and as a corpus for fuzz/fuzz_nw.c:   make_nw FOLDER NUMBER */
#include <stdio.h>
#include <stdlib.h>

#include "model/file.h"
#include "models/nw_random.h"

int main(int argc, char **argv)
{
    const int n = argc == 3 ? atoi(argv[2]) : 0;
    if (n < 1) {
        fprintf(stderr, "usage: make_nw FOLDER NUMBER\n");
        return NW_ERROR_USAGE;
    }
    for (int i = 0; i < n; i++) {
        char path[4096];
        nw_error error = {{0}};
        nw_model *model = nw_random_model((uint64_t)i, i % 6);
        snprintf(path, sizeof(path), "%s/random_%03d.nw", argv[1], i);
        const nw_status status = model ? nw_model_write(model, path, &error) : NW_ERROR_MEMORY;
        nw_model_free(model);
        if (status) {
            fprintf(stderr, "%s\n", error.message);
            return nw_status_exit_code(status);
        }
    }
    return 0;
}
