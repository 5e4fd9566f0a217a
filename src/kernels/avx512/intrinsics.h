/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The intrinsics of the AVX-512 families. Normally the compiler's own; tests/kernels/emulated puts others before this
 * file (NW_EMULATED), so that the very same kernel sources run on a CPU without the instructions.
 */
#ifndef NARROW_KERNELS_AVX512_INTRINSICS_H
#define NARROW_KERNELS_AVX512_INTRINSICS_H

#if !defined(NW_EMULATED)
#include <immintrin.h>
#endif

/*
 * x, of which the compiler knows no more than that it is in a register of its own. GCC 12 otherwise lets accumulators
 * share their first value and then moves each of them to another register and back in every turn of a loop (objdump).
 */
static inline __m512i in_register(__m512i x)
{
#if !defined(NW_EMULATED)
    __asm__("" : "+v"(x));
#endif
    return x;
}

/* *sum += x in 16 or 32 bits, in the register of *sum: GCC 12 otherwise moves the sums of a loop back in each turn. */
static inline void add16_to(__m512i *sum, __m512i x)
{
#if !defined(NW_EMULATED)
    __asm__("vpaddw %1, %0, %0" : "+v"(*sum) : "v"(x));
#else
    *sum = _mm512_add_epi16(*sum, x);
#endif
}

static inline void add32_to(__m512i *sum, __m512i x)
{
#if !defined(NW_EMULATED)
    __asm__("vpaddd %1, %0, %0" : "+v"(*sum) : "v"(x));
#else
    *sum = _mm512_add_epi32(*sum, x);
#endif
}

#endif
