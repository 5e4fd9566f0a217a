/* SPDX-License-Identifier: Apache-2.0 */
/* The levels of this machine, for kernelcheck.c, and --bench. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "check.h"
#if defined(NW_HAVE_AVX2)
#include "kernels/avx2/avx2.h"
#include "kernels/runs.h"
#endif
#if defined(NW_HAVE_NEON)
#include "kernels/neon/neon.h"
#endif

static bool same_table(const nw_kernels *a, const nw_kernels *b)
{
    return a->gemm.run == b->gemm.run && a->depthwise.run == b->depthwise.run &&
           a->depthwise.run_rows == b->depthwise.run_rows && a->add == b->add && a->multiply == b->multiply &&
           a->max_pool == b->max_pool && a->average_pool == b->average_pool && a->table == b->table &&
           a->tables == b->tables && a->transpose == b->transpose &&
           a->unpack == b->unpack && a->pack == b->pack && a->squeeze == b->squeeze && a->expand == b->expand &&
           a->float_line == b->float_line && a->resize_codes == b->resize_codes && a->resize_reals == b->resize_reals;
}

#if defined(NW_HAVE_AVX2)

/* The matrix product in each arrangement that a panel can have, not only in the one its cost chooses. */
#define FORM(name, form, run, window)                                                                                 \
    static size_t name(void *packed, const nw_gemm_source *source)                                                    \
    {                                                                                                                 \
        const nw_avx2_mode mode = {form, run, window};                                                                \
        return nw_gemm_pack_avx2_mode(packed, source, &mode);                                                         \
    }
FORM(pack_wide, NW_AVX2_WIDE, 1, 1)
FORM(pack_int32, NW_AVX2_WIDEN, 1, 1)
FORM(pack_widen, NW_AVX2_WIDEN, NW_AVX2_MAX_RUN, NW_RUNS_WINDOW)
FORM(pack_units, NW_AVX2_UNITS, NW_AVX2_MAX_RUN, NW_RUNS_WINDOW)
FORM(pack_mixed, NW_AVX2_MIXED, NW_AVX2_MAX_RUN, NW_RUNS_WINDOW)
FORM(pack_split, NW_AVX2_SPLIT, NW_AVX2_MAX_RUN, NW_RUNS_WINDOW)
FORM(pack_in_order, NW_AVX2_WIDEN, NW_AVX2_MAX_RUN, 1)
FORM(pack_runs_of_3, NW_AVX2_SPLIT, 3, 7)

static size_t avx2_forms(check_level *levels)
{
    static const struct {
        const char *name;
        size_t (*pack)(void *packed, const nw_gemm_source *source);
    } forms[] = {{"avx2-wide", pack_wide},
                 {"avx2-int32", pack_int32},
                 {"avx2-widen", pack_widen},
                 {"avx2-units", pack_units},
                 {"avx2-mixed", pack_mixed},
                 {"avx2-split", pack_split},
                 {"avx2-in-order", pack_in_order},
                 {"avx2-runs-of-3", pack_runs_of_3}};
    for (size_t i = 0; i < NW_COUNT(forms); i++) {
        levels[i] = (check_level){.name = forms[i].name};
        nw_kernels_init(&levels[i].kernels, NW_ISA_AVX2);
        levels[i].kernels.gemm.pack = forms[i].pack;
        levels[i].skip = nw_isa_available(NW_ISA_AVX2) ? NULL : "this CPU cannot run it";
    }
    return NW_COUNT(forms);
}

#endif

#if defined(NW_HAVE_NEON)

static size_t neon_forms(check_level *levels)
{
    levels[0] = (check_level){.name = "neon-int32"};
    nw_kernels_init(&levels[0].kernels, NW_ISA_NEON);
    levels[0].kernels.gemm.pack = nw_gemm_pack_neon_int32;
    levels[0].skip = nw_isa_available(NW_ISA_NEON) ? NULL : "this CPU cannot run it";
    return 1;
}

#endif

static void bench(const nw_kernels *ref, const check_level *levels, size_t n)
{
#if defined(NW_HAVE_AVX2)
    bench_gemm(false);
#endif
    for (size_t i = 0; i < n; i++) {
        if (levels[i].skip)
            printf("SKIP %s: %s\n", levels[i].name, levels[i].skip);
        else if (levels[i].name == nw_isa_name(levels[i].kernels.isa)) /* not a form of a level */
            bench_entries(ref, &levels[i].kernels, levels[i].name);
    }
}

int main(int argc, char **argv)
{
    check_level levels[NW_ISA_COUNT + 8];
    nw_kernels ref;
    nw_kernels_init(&ref, NW_ISA_REF);
    const nw_kernels *before = &ref;
    size_t n = 0;
    for (int isa = NW_ISA_REF + 1; isa < NW_ISA_COUNT; isa++) {
        check_level *level = &levels[n++];
        *level = (check_level){.name = nw_isa_name((nw_isa)isa)};
        if (!nw_isa_available((nw_isa)isa)) { /* compilers may fill the table itself with its instructions */
            level->skip = "this CPU cannot run it, or this build does not contain it";
            continue;
        }
        nw_kernels_init(&level->kernels, (nw_isa)isa);
        if (same_table(before, &level->kernels))
            level->skip = "this build does not contain it";
#if defined(NW_HAVE_AVX2)
        if (isa == NW_ISA_AVX2)
            n += avx2_forms(levels + n);
#endif
#if defined(NW_HAVE_NEON)
        if (isa == NW_ISA_NEON)
            n += neon_forms(levels + n);
#endif
        before = &level->kernels;
    }
    if (argc == 2 && !strcmp(argv[1], "--bench")) {
        bench(&ref, levels, n);
        return 0;
    }
    for (size_t i = 0; argc == 2 && !strcmp(argv[1], "--bench-winograd"); i++) {
        if (i == n)
            return 0;
        if (!levels[i].skip && levels[i].kernels.winograd.run && levels[i].name == nw_isa_name(levels[i].kernels.isa))
            bench_winograd(&levels[i].kernels, levels[i].name);
    }
#if defined(NW_HAVE_AVX2)
    if (argc == 2 && !strcmp(argv[1], "--bench-json")) {
        bench_gemm(true);
        return 0;
    }
#endif
    return kernelcheck(argc, argv, &ref, levels, n);
}
