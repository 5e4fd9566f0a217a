/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelcheck for kernels that this CPU may be unable to run: the same sources, compiled with the intrinsics of SIMDe
 * (src/kernels/avx512vnni/intrinsics.h). It proves what they compute, not that the compiler's code for the real
 * instructions does; kernelcheck itself does that where the CPU has them.
 */
#include <string.h>

#include "check.h"

/* Has the name in avx512vnni.h under NW_EMULATE_AVX512. */
void nw_kernels_init_avx512vnni_emulated(nw_kernels *kernels);

int main(int argc, char **argv)
{
    nw_kernels ref;
    nw_kernels_init(&ref, NW_ISA_REF);
    check_level level = {.name = "avx512vnni emulated", .kernels = ref};
    nw_kernels_init_avx512vnni_emulated(&level.kernels);
    return kernelcheck(argc, argv, &ref, &level, 1);
}
