/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few compiler extensions Narrow uses, in one place. Everything else is C11.
 */
#ifndef NARROW_BASE_COMPILER_H
#define NARROW_BASE_COMPILER_H

#if defined(__GNUC__)
#define NW_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define NW_NOINLINE __attribute__((noinline))
#define NW_INLINE inline __attribute__((always_inline))
#define NW_UNUSED __attribute__((unused))
#else
#define NW_PRINTF(text, first)
#define NW_NOINLINE
#define NW_INLINE inline
#define NW_UNUSED
#endif

/** Number of elements of an array (not of a pointer). */
#define NW_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
