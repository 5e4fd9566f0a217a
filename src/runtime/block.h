/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of an engine. */
#ifndef NARROW_RUNTIME_BLOCK_H
#define NARROW_RUNTIME_BLOCK_H

#include <stddef.h>

#define NW_HUGE_PAGE ((size_t)2 << 20)
#define NW_HUGE_FROM (4 * NW_HUGE_PAGE) /* bytes of the smallest block that asks for huge pages */

/**
 * `size` bytes, aligned to NW_ARENA_ALIGNMENT, for free(); NULL if there is no memory. From NW_HUGE_FROM on aligned to
 * NW_HUGE_PAGE, and where the system offers it (Linux, madvise) the whole huge pages among them are asked for: no byte
 * more becomes resident than without. Large matrices that meet one pixel stream their weights from memory, and one
 * entry of the translation buffer then covers 2 MiB.
 */
void *nw_block_create(size_t size);

#endif
