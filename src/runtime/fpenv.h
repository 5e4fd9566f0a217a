/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floating-point environment of a run: round to nearest even, subnormals kept. Saved and set where a thread enters,
 * put back where it leaves, whatever the caller's program had chosen.
 */
#ifndef NARROW_RUNTIME_FPENV_H
#define NARROW_RUNTIME_FPENV_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

typedef uint32_t nw_fpenv;

static inline nw_fpenv nw_fpenv_enter(void)
{
    const nw_fpenv saved = _mm_getcsr();
    _mm_setcsr(0x1f80); /* all exceptions masked, nearest even, no FTZ, no DAZ */
    return saved;
}

static inline void nw_fpenv_leave(nw_fpenv saved)
{
    _mm_setcsr(saved);
}

#elif defined(__aarch64__)

typedef uint64_t nw_fpenv;

static inline nw_fpenv nw_fpenv_enter(void)
{
    nw_fpenv saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"((nw_fpenv)0));
    return saved;
}

static inline void nw_fpenv_leave(nw_fpenv saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved));
}

#else
#include <fenv.h>

typedef int nw_fpenv;

static inline nw_fpenv nw_fpenv_enter(void)
{
    const nw_fpenv saved = fegetround();
    fesetround(FE_TONEAREST);
    return saved;
}

static inline void nw_fpenv_leave(nw_fpenv saved)
{
    fesetround(saved);
}

#endif

#endif
