/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash over every intermediate tensor of .nw files, as `narrow verify` prints it, by every kernel family that this
 * machine runs: a program that needs the engine alone, to be compared between machines.
 *
 *     hash_nw FILE...        "HASH FILE" per line on stdout, the families on stderr
 *
 * Exit code: 0, or 1 if a file cannot be run or two families disagree.
 */
#include <inttypes.h>
#include <stdio.h>

#include "kernels/cpu.h"
#include "model/file.h"
#include "runtime/hash.h"

static nw_status hash_family(uint64_t *hash, const nw_model *model, nw_isa isa, nw_error *error)
{
    nw_engine *engine;
    NW_TRY(nw_engine_create(&engine, model, nw_isa_name(isa), error));
    const nw_status status = nw_engine_hash(hash, engine, model, 1, NULL, error);
    nw_engine_free(engine);
    return status;
}

static nw_status hash_file(const char *path, nw_error *error)
{
    nw_model *model = NULL;
    uint64_t hash = 0;
    NW_TRY(nw_model_read(&model, path, error));
    nw_status status = NW_OK;
    for (int i = 0; !status && i < NW_ISA_COUNT; i++) {
        uint64_t now = 0;
        if (!nw_isa_available((nw_isa)i))
            continue;
        status = hash_family(&now, model, (nw_isa)i, error);
        if (i == NW_ISA_REF)
            hash = now;
        else if (!status && now != hash)
            status = nw_fail(error, NW_GOAL_MISSED, "%s: %s gives %016" PRIx64 ", the reference %016" PRIx64, path,
                             nw_isa_name((nw_isa)i), now, hash);
    }
    nw_model_free(model);
    if (!status)
        printf("%016" PRIx64 " %s\n", hash, path);
    return status;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 0; i < NW_ISA_COUNT; i++)
        if (nw_isa_available((nw_isa)i))
            fprintf(stderr, "%s%s", i ? ", " : "families: ", nw_isa_name((nw_isa)i));
    fprintf(stderr, "\n");
    for (int i = 1; i < argc; i++) {
        nw_error error = {{0}};
        if (hash_file(argv[i], &error)) {
            fprintf(stderr, "%s\n", error.message);
            failed = 1;
        }
    }
    return failed;
}
