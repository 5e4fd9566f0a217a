/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelcheck for families that this CPU may be unable to run: the same sources, compiled with intrinsics in plain C.
 * It proves what they compute, not that the compiler's code for the real instructions does; kernelcheck itself does
 * that where the CPU has them. The emulated objects stand before the real ones of the library, so the table's functions
 * are theirs. The AVX2 code that these families share runs as it is.
 */
#include "check.h"

int main(int argc, char **argv)
{
    static const struct {
        nw_isa below;
        const char *name;
        void (*init)(nw_kernels *kernels);
    } families[] = {{NW_ISA_AVX2, "avxvnni emulated", nw_kernels_init_avxvnni},
                    {NW_ISA_AVX2, "avx512 emulated", nw_kernels_init_avx512},
                    {NW_ISA_AVX512, "avx512vnni emulated", nw_kernels_init_avx512vnni},
                    {NW_ISA_AVX512VNNI, "amx emulated", nw_kernels_init_amx}};
    check_level levels[NW_COUNT(families)];
    nw_kernels ref;
    nw_kernels_init(&ref, NW_ISA_REF);
    for (size_t i = 0; i < NW_COUNT(families); i++) {
        levels[i] = (check_level){.name = families[i].name};
        nw_kernels_init(&levels[i].kernels, families[i].below);
        families[i].init(&levels[i].kernels);
        if (!nw_isa_available(NW_ISA_AVX2))
            levels[i].skip = "this CPU cannot run the AVX2 code that packs for it";
    }
    return kernelcheck(argc, argv, &ref, levels, NW_COUNT(families));
}
