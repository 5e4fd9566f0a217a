/* SPDX-License-Identifier: Apache-2.0 */
/* The levels of this machine, for kernelcheck.c. */
#include <string.h>

#include "check.h"

static bool same_table(const nw_kernels *a, const nw_kernels *b)
{
    return a->gemm.run == b->gemm.run && a->depthwise.run == b->depthwise.run && a->add == b->add &&
           a->max_pool == b->max_pool && a->average_pool == b->average_pool && a->table == b->table;
}

int main(int argc, char **argv)
{
    check_level levels[NW_ISA_COUNT];
    nw_kernels ref;
    nw_kernels_init(&ref, NW_ISA_REF);
    const nw_kernels *before = &ref;
    size_t n = 0;
    for (int isa = NW_ISA_REF + 1; isa < NW_ISA_COUNT; isa++) {
        check_level *level = &levels[n++];
        level->name = nw_isa_name((nw_isa)isa);
        level->skip = NULL;
        nw_kernels_init(&level->kernels, (nw_isa)isa);
        if (same_table(before, &level->kernels))
            level->skip = "this build does not contain it";
        else if (!nw_isa_available((nw_isa)isa))
            level->skip = "this CPU cannot run it";
        before = &level->kernels;
    }
    return kernelcheck(argc, argv, &ref, levels, n);
}
