/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatch: reference first, then every level the family includes, each overwriting what it improves. */
#include "kernels/kernels.h"

const char *nw_arrangement_name(nw_arrangement arrangement)
{
    static const char *const names[NW_ARRANGE_COUNT] = {"cheapest", "int32", "runs", "units", "direct", "winograd"};
    return arrangement < NW_ARRANGE_COUNT ? names[arrangement] : NULL;
}

void nw_kernels_init(nw_kernels *kernels, nw_isa isa)
{
    nw_kernels_init_ref(kernels);
#if defined(NW_HAVE_AVX2)
    if (isa >= NW_ISA_AVX2)
        nw_kernels_init_avx2(kernels);
#endif
#if defined(NW_HAVE_AVXVNNI)
    if (isa == NW_ISA_AVXVNNI) /* no part of AVX-512 */
        nw_kernels_init_avxvnni(kernels);
#endif
#if defined(NW_HAVE_AVX512)
    if (isa >= NW_ISA_AVX512)
        nw_kernels_init_avx512(kernels);
#endif
#if defined(NW_HAVE_AVX512VNNI)
    if (isa >= NW_ISA_AVX512VNNI)
        nw_kernels_init_avx512vnni(kernels);
#endif
#if defined(NW_HAVE_AMX)
    if (isa >= NW_ISA_AMX)
        nw_kernels_init_amx(kernels);
#endif
#if defined(NW_HAVE_NEON)
    if (isa >= NW_ISA_NEON)
        nw_kernels_init_neon(kernels);
    if (isa >= NW_ISA_DOTPROD)
        nw_kernels_init_dotprod(kernels);
    if (isa >= NW_ISA_I8MM)
        nw_kernels_init_i8mm(kernels);
#endif
    kernels->isa = isa;
}
