/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow verify: checks a .nw file, attacks the sums of its layers, runs it on a built-in input with every kernel
 * family and several thread counts, and prints the hash over every intermediate tensor, which is the same on every
 * machine.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/network.h"
#include "cli/report.h"
#include "kernels/cpu.h"
#include "runtime/attack.h"
#include "runtime/hash.h"

#define RUNS 1
#define MOST_THREADS 3

/** A file that asks for wrapping sums gives up the guarantee that no sum overflows. */
static nw_status check_wrap(const nw_model *model, bool allow, nw_error *error)
{
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (model->nodes[i].linear && model->nodes[i].linear->accumulator == NW_ACCUMULATOR_16_WRAP && !allow)
            return nw_fail(error, NW_GOAL_MISSED,
                           "node \"%s\": its sums may wrap around at 16 bits; --allow-wrap accepts that",
                           model->nodes[i].name);
    return NW_OK;
}

/** Hash of an engine laid out for n threads, run by as many. */
static nw_status hash_threads(uint64_t *hash, const nw_model *model, nw_isa isa, const nw_engine_options *storage,
                              size_t n, nw_error *error)
{
    nw_engine *engine;
    nw_engine_options options = *storage;
    options.isa = nw_isa_name(isa);
    options.threads = n;
    NW_TRY(nw_engine_create_with(&engine, model, &options, error));
    nw_threads *threads = nw_threads_create(n);
    const nw_status status = threads ? nw_engine_hash(hash, engine, model, RUNS, threads, error)
                                     : nw_fail_memory(error, "starting threads");
    nw_threads_free(threads);
    nw_engine_free(engine);
    return status;
}

/** Hash with one family and every thread count; they must agree with each other. */
static nw_status hash_family(uint64_t *hash, const nw_model *model, nw_isa isa, const nw_engine_options *storage,
                             nw_error *error)
{
    nw_status status = NW_OK;
    for (size_t n = 1; !status && n <= MOST_THREADS; n++) {
        uint64_t now = 0;
        status = hash_threads(&now, model, isa, storage, n, error);
        if (!status && n > 1 && now != *hash)
            status = nw_fail(error, NW_GOAL_MISSED, "%s: %zu threads give %016" PRIx64 ", one gives %016" PRIx64,
                             nw_isa_name(isa), n, now, *hash);
        if (n == 1)
            *hash = now;
    }
    return status;
}

/** Every linear layer's worst sums through the family's kernels. The reference sums in 32 bits, as bounds allow. */
static nw_status attack(const nw_model *model, nw_isa isa, nw_error *error)
{
    nw_kernels kernels;
    nw_kernels_init(&kernels, isa);
    for (int32_t i = 0; isa != NW_ISA_REF && i < model->n_nodes; i++)
        if (model->nodes[i].linear && nw_attack_node(model, i, &kernels, error)) {
            const nw_error inner = error ? *error : (nw_error){0};
            return nw_fail(error, NW_GOAL_MISSED, "%s: %s", nw_isa_name(isa), inner.message);
        }
    return NW_OK;
}

static nw_status check_bounds(const nw_model *model, nw_error *error)
{
    for (int32_t i = 0; i < model->n_nodes; i++)
        if (model->nodes[i].linear)
            NW_TRY(nw_attack_bounds(model, i, error));
    return NW_OK;
}

static nw_status verify(const nw_model *model, const nw_engine_options *storage, uint64_t *hash, cJSON *families,
                        bool json, nw_error *error)
{
    for (int i = 0; i < NW_ISA_COUNT; i++) {
        const nw_isa isa = (nw_isa)i;
        const bool available = nw_isa_available(isa);
        uint64_t now = 0;
        if (available)
            NW_TRY(attack(model, isa, error));
        if (available)
            NW_TRY(hash_family(&now, model, isa, storage, error));
        if (available && isa == NW_ISA_REF)
            *hash = now;
        else if (available && now != *hash)
            return nw_fail(error, NW_GOAL_MISSED, "%s gives %016" PRIx64 ", the reference %016" PRIx64,
                           nw_isa_name(isa), now, *hash);
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "isa", nw_isa_name(isa));
        cJSON_AddStringToObject(row, "result", available ? "same" : "skipped: this CPU cannot run it");
        cJSON_AddItemToArray(families, row);
        if (!json && available)
            printf("    %-12s same bytes at 1, 2, 3 threads\n", nw_isa_name(isa));
        else if (!json)
            printf("    %-12s skipped: this CPU cannot run it\n", nw_isa_name(isa));
    }
    return NW_OK;
}

nw_status nw_command_verify(int argc, char **argv, nw_error *error)
{
    bool json = false;
    bool allow_wrap = false;
    bool help;
    const char *expect = NULL;
    nw_storage_options storage_options = {0};
    nw_engine_options storage = {0};
    const char *path = NULL;
    const nw_option options[] = {
        {"expect", "HASH", NW_OPTION_TEXT, &expect, "exit code 1 unless the hash is this one"},
        {"allow-wrap", NULL, NW_OPTION_FLAG, &allow_wrap, "accept layers whose sums wrap around at 16 bits"},
        NW_STORAGE_OPTIONS(&storage_options),
        NW_OPTION_JSON(&json),
        NW_OPTIONS_END,
    };
    const nw_command_line line = {"verify", "MODEL", "Checks a .nw file and prints the hash of every intermediate "
                                  "tensor on a built-in input.", "narrow verify net.nw", options};
    NW_TRY(nw_args_parse(&line, argc, argv, &path, 1, 1, &help, error));
    if (help)
        return NW_OK;
    NW_TRY(nw_storage_settle(&storage, &storage_options, error));
    nw_isa wished; /* all families are checked, but a NARROW_ISA that cannot be met must not seem to be */
    NW_TRY(nw_isa_choose(&wished, getenv("NARROW_ISA"), error));
    nw_model *model = NULL;
    NW_TRY(nw_model_read(&model, path, error));
    uint64_t hash = 0;
    cJSON *report = cJSON_CreateObject();
    cJSON *families = cJSON_AddArrayToObject(report, "families");
    nw_tuning tuning;
    nw_status status = nw_storage_tune(&storage, &tuning, &storage_options, model, error);
    if (!status)
        status = check_wrap(model, allow_wrap, error);
    if (!status)
        status = check_bounds(model, error);
    if (!status)
        status = verify(model, &storage, &hash, families, json, error);
    nw_tuning_free(&tuning);
    char text[17];
    snprintf(text, sizeof(text), "%016" PRIx64, hash);
    if (!status && expect && strcmp(expect, text) != 0)
        status = nw_fail(error, NW_GOAL_MISSED, "%s: hash %s, expected %s", path, text, expect);
    cJSON_AddStringToObject(report, "model", path);
    cJSON_AddStringToObject(report, "hash", text);
    if (!status && json) {
        nw_model_free(model);
        return nw_report_print(report, error);
    }
    if (!status)
        printf("%s  %s\n", text, path);
    cJSON_Delete(report);
    nw_model_free(model);
    return status;
}
