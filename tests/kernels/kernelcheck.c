/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelcheck: every kernel of every level against the reference, byte for byte.
 *
 *     kernelcheck [--seed N] [--isa NAME] [--filter ENTRY] [--plant] | --bench | --bench-json | --bench-winograd
 *
 * Levels run in order; an entry is checked each time a level brings a new function for it. --plant instead plants one
 * error after the other behind each level's kernels and demands that the check finds it. Exit code: 0 all as it should
 * be, 1 a difference, 2 usage, 77 no level could run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "plant.h"

typedef struct options {
    uint64_t seed;
    const char *isa, *filter;
    bool plant;
} options;

static bool parse(options *o, int argc, char **argv)
{
    *o = (options){.seed = (uint64_t)time(NULL)};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--plant")) {
            o->plant = true;
            continue;
        }
        if (!value)
            return false;
        if (!strcmp(argv[i], "--seed"))
            o->seed = strtoull(value, NULL, 10);
        else if (!strcmp(argv[i], "--isa"))
            o->isa = value;
        else if (!strcmp(argv[i], "--filter"))
            o->filter = value;
        else
            return false;
        i++;
    }
    return true;
}

/* `before` is the table of the level below: what did not change was checked there. */
static void check_new(check *c, const nw_kernels *ref, const nw_kernels *before, const nw_kernels *now)
{
    if (now->gemm.run != before->gemm.run || now->gemm.run_extra != before->gemm.run_extra ||
        now->gemm.pack != before->gemm.pack)
        check_gemm(c, ref, now);
    if (now->gemm_narrow.run != before->gemm_narrow.run ||
        now->gemm_narrow.run_extra != before->gemm_narrow.run_extra ||
        now->gemm_narrow.pack != before->gemm_narrow.pack)
        check_gemm_narrow(c, ref, now);
    if (now->winograd.run &&
        (now->winograd.run != before->winograd.run || now->winograd.pack != before->winograd.pack))
        check_winograd(c, ref, now);
    if (now->depthwise.run != before->depthwise.run || now->depthwise.run_rows != before->depthwise.run_rows ||
        now->depthwise.pack != before->depthwise.pack)
        check_depthwise(c, ref, now);
    if (now->add != before->add)
        check_add(c, ref, now);
    if (now->multiply != before->multiply)
        check_multiply(c, ref, now);
    if (now->max_pool != before->max_pool)
        check_max_pool(c, ref, now);
    if (now->average_pool != before->average_pool)
        check_average_pool(c, ref, now);
    if (now->float_line != before->float_line)
        check_float_line(c, ref, now);
    if (now->resize_codes != before->resize_codes)
        check_resize_codes(c, ref, now);
    if (now->resize_reals != before->resize_reals)
        check_resize_reals(c, ref, now);
    if (now->table != before->table)
        check_table(c, ref, now);
    if (now->tables != before->tables)
        check_tables(c, ref, now);
    if (now->transpose != before->transpose)
        check_transpose(c, ref, now);
    if (now->unpack != before->unpack)
        check_unpack(c, ref, now);
    if (now->squeeze != before->squeeze)
        check_squeeze(c, ref, now);
    if (now->expand != before->expand)
        check_expand(c, ref, now);
    if (now->pack != before->pack)
        check_pack(c, ref, now);
    if (now->quantize != before->quantize)
        check_quantize(c, ref, now);
    if (now->dequantize != before->dequantize)
        check_dequantize(c, ref, now);
}

static bool level_passes(const options *o, const nw_kernels *ref, const nw_kernels *before, const check_level *level)
{
    check c;
    check_init(&c, o->seed, o->filter);
    c.level = level->name;
    check_new(&c, ref, before, &level->kernels);
    printf("%s %s: %lld cases, %lld differ (seed %llu)\n", c.n_failed ? "FAIL" : "ok  ", level->name,
           (long long)c.n_cases, (long long)c.n_failed, (unsigned long long)o->seed);
    return c.n_failed == 0;
}

static bool plants_found(const options *o, const nw_kernels *ref, const check_level *level)
{
    bool all = true;
    for (int32_t i = 0; i < PLANT_COUNT; i++) {
        if (!plant_applies(&level->kernels, i)) {
            printf("SKIP %s: planted \"%s\": the family has none\n", level->name, plant_name(i));
            continue;
        }
        const nw_kernels planted = plant_error(&level->kernels, i);
        check c;
        check_init(&c, o->seed, o->filter);
        c.quiet = true;
        check_new(&c, ref, &level->kernels, &planted);
        printf("%s %s: planted \"%s\": %lld of %lld cases differ\n", c.n_failed ? "ok  " : "FAIL", level->name,
               plant_name(i), (long long)c.n_failed, (long long)c.n_cases);
        all = all && c.n_failed > 0;
    }
    return all;
}

int kernelcheck(int argc, char **argv, const nw_kernels *ref, const check_level *levels, size_t n_levels)
{
    options o;
    if (!parse(&o, argc, argv)) {
        fprintf(stderr, "usage: kernelcheck [--seed N] [--isa NAME] [--filter ENTRY] [--plant]\n");
        return 2;
    }
    bool pass = true;
    size_t n_named = 0;
    size_t n_run = 0;
    const nw_kernels *before = ref;
    for (size_t i = 0; i < n_levels; i++) {
        if (o.isa && strcmp(o.isa, levels[i].name) != 0)
            continue;
        n_named++;
        if (levels[i].skip) {
            printf("SKIP %s: %s\n", levels[i].name, levels[i].skip);
            continue;
        }
        const bool ok = o.plant ? plants_found(&o, ref, &levels[i]) : level_passes(&o, ref, before, &levels[i]);
        pass = pass && ok;
        before = &levels[i].kernels;
        n_run++;
    }
    if (n_named == 0) {
        fprintf(stderr, "kernelcheck: no level is called %s\n", o.isa);
        return 2;
    }
    if (n_run == 0) {
        printf("SKIP: no kernel was checked\n");
        return 77;
    }
    return pass ? 0 : 1;
}
