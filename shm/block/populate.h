/* SPDX-License-Identifier: MIT
 *
 * populate.h: giving a part of a lazy block its memory.
 */
#ifndef WEIR_SHM_BLOCK_POPULATE_H
#define WEIR_SHM_BLOCK_POPULATE_H

#include "shm/block/shared_memory.h"

/* Reserves `size` bytes from `offset` on, which lie in the block, in whole pages, and maps them
 * here. 0; or -ENOSPC or -ENOMEM with a message, never SIGBUS, when the block's owner has no
 * memory to give back either. What had memory keeps its contents.
 */
int weir__populate(struct weir_shm *shm, size_t offset, size_t size);

/* The same for pages that are mapped here, without a message: 0 or the errno. EFAULT: a write would
 * have been a SIGBUS; EINVAL: the kernel does not have the call (before 5.14). */
int weir__populate_pages(char *begin, size_t size);
bool weir__can_populate(void);

#endif
