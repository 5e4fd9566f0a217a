/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops for wider registers than the compiler may assume everywhere: one source, several machine codes, of which the
 * loader takes the widest that the CPU runs.
 *
 *     NW_CLONES static void scale(float *restrict y, const float *restrict x, float a, size_t n) { ... }
 *
 * Only for loops that compute every element by itself, or add up every element in the order of the source:
 * then all clones give the same bits (-ffp-contract=off: none multiplies and adds at once). What they call must be
 * inline, or it stays narrow.
 */
#ifndef NARROW_BASE_CLONES_H
#define NARROW_BASE_CLONES_H

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define NW_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef NW_CLONES
#define NW_CLONES
#endif

#endif
