/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block handed out piece by piece. Without memory it only counts, so the same code first measures and then fills:
 *
 *     nw_arena counting = {0};
 *     build(&counting);                       // every take returns NULL; counting.used is the size
 *     nw_arena arena = {.base = block};
 *     build(&arena);
 */
#ifndef NARROW_BASE_ARENA_H
#define NARROW_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NW_ARENA_ALIGNMENT 64

typedef struct nw_arena {
    uint8_t *base; /* aligned to NW_ARENA_ALIGNMENT, or NULL to count */
    size_t used;
} nw_arena;

/** The next `size` bytes, aligned to NW_ARENA_ALIGNMENT; NULL while counting. */
static inline void *nw_arena_take(nw_arena *arena, size_t size)
{
    const size_t at = arena->used;
    arena->used = at + (size + NW_ARENA_ALIGNMENT - 1) / NW_ARENA_ALIGNMENT * NW_ARENA_ALIGNMENT;
    return arena->base ? arena->base + at : NULL;
}

/** Where the next take will lie; NULL while counting. */
static inline void *nw_arena_next(const nw_arena *arena)
{
    return arena->base ? arena->base + arena->used : NULL;
}

/** A copy of `size` bytes of `data` followed by `padding` zero bytes; NULL while counting. */
static inline void *nw_arena_copy(nw_arena *arena, const void *data, size_t size, size_t padding)
{
    uint8_t *copy = nw_arena_take(arena, size + padding);
    if (copy) {
        memcpy(copy, data, size);
        memset(copy + size, 0, padding);
    }
    return copy;
}

#endif
