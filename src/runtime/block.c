/* SPDX-License-Identifier: Apache-2.0 */
/* See block.h. */
#define _DEFAULT_SOURCE
#include "runtime/block.h"

#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "base/arena.h"
#include "base/arith.h"

void *nw_block_create(size_t size)
{
    const size_t alignment = size < NW_HUGE_FROM ? NW_ARENA_ALIGNMENT : NW_HUGE_PAGE;
    void *block = aligned_alloc(alignment, nw_align(size, alignment));
#if defined(MADV_HUGEPAGE)
    if (block && alignment == NW_HUGE_PAGE)
        (void)madvise(block, size / NW_HUGE_PAGE * NW_HUGE_PAGE, MADV_HUGEPAGE); /* a refusal costs speed alone */
#endif
    return block;
}
